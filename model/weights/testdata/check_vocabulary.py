"""Does llama.cpp cut texts as Hugging Face's library does with the tokenizer.json?

    python check_vocabulary.py TEXTS.json TOKENIZER.json VOCABULARY.gguf [...]

Written against llama-cpp-python 0.3.36, tokenizers 0.23. Texts with bytes of 0 are left
out, which llama-cpp-python's strings end at, and for the kind llama those with a text
that llama.cpp always takes for a special token. llama.cpp does not normalise to NFC as
Qwen2's tokenizer does, so for it texts in NFC alone are compared. tekken is not compared:
llama.cpp (in llama-cpp-python 0.3.36) cuts at combining marks elsewhere than the regex in Mistral's tokenizer.json.
"""
import ctypes, json, sys, unicodedata

import llama_cpp
from tokenizers import Tokenizer

texts = [t for t in json.load(open(sys.argv[1])) if "\0" not in t]
log = llama_cpp.llama_log_callback(lambda level, text, data: None)
llama_cpp.llama_log_set(log, ctypes.c_void_p(0))
failed = 0
for folder, gguf in zip(sys.argv[2::2], sys.argv[3::2], strict=True):
    hf = Tokenizer.from_file(folder)
    lib = llama_cpp.Llama(model_path=gguf, vocab_only=True, verbose=False)
    kind = lib.metadata["tokenizer.ggml.model"]
    mine = [t for t in texts if not (kind == "llama" and "<|end|>" in t)]
    if lib.metadata.get("tokenizer.ggml.pre") == "qwen2":
        mine = [t for t in mine if unicodedata.is_normalized("NFC", t)]
    bad = []
    for t in mine:
        a, b = hf.encode(t, add_special_tokens=False).ids, lib.tokenize(t.encode(), add_bos=False, special=True)
        if a != b:
            bad.append((t, a, b))
    print(f"{kind} {lib.metadata.get('tokenizer.ggml.pre', '')}: {len(mine)} texts, {len(bad)} differ")
    for x in bad[:3]:
        print(*x, sep="\n   ")
    failed += len(bad)
sys.exit(1 if failed else 0)
