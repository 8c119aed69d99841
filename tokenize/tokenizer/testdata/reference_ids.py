"""Ids of Hugging Face's tokenizers: argv[1] is a tokenizer.json, stdin a JSON list
of texts, stdout a JSON list of lists of ids, without post-processing."""
import json, sys

from tokenizers import Tokenizer

t = Tokenizer.from_file(sys.argv[1])
json.dump([t.encode(s, add_special_tokens=False).ids for s in json.load(sys.stdin)], sys.stdout)
