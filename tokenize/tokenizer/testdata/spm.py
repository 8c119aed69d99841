"""What llama.cpp makes of texts with a vocabulary of its kind llama.

    pip install gguf==0.19.0 llama-cpp-python==0.3.36
    python spm.py < VOCABULARY.json

The vocabulary is {"tokens", "scores", "types", "add_space_prefix", "add_bos_token",
"add_eos_token", "texts"}; the file that is written with it goes to argv[1] and stays.
It prints a list of ids and one of ids with BOS and EOS for each text; the exit
status is 3 where a package is missing.
"""
import json, sys

try:
    import gguf
    import llama_cpp
except ImportError as e:
    print(e, file=sys.stderr)
    sys.exit(3)

v = json.load(sys.stdin)
w = gguf.GGUFWriter(sys.argv[1], "llama")
w.add_tokenizer_model("llama")
w.add_token_list(v["tokens"])
w.add_token_scores(v["scores"])
w.add_token_types(v["types"])
w.add_add_space_prefix(v["add_space_prefix"])
w.add_add_bos_token(v["add_bos_token"])
w.add_add_eos_token(v["add_eos_token"])
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()
model = llama_cpp.Llama(sys.argv[1], vocab_only=True, verbose=False)
for text in v["texts"]:
    b = text.encode()
    print(json.dumps([model.tokenize(b, add_bos=special, special=True) for special in (False, True)]))
