"""What llama.cpp makes of texts with a vocabulary of a GGUF.

    pip install gguf==0.19.0 llama-cpp-python==0.3.36
    python llamacpp.py FILE.gguf < VOCABULARY.json

The vocabulary is {"values": {KEY: VALUE}, "texts": [TEXT]}; keys are those of a GGUF
after tokenizer.ggml. and an array's type is its first value's; precompiled_charsmap is
in base64. The file that is written with it stays. It prints a list of ids and one of
ids with special tokens for each text; the exit status is 3 where a package is missing.
"""
import base64, json, sys

try:
    import gguf
    import llama_cpp
except ImportError as e:
    print(e, file=sys.stderr)
    sys.exit(3)

v = json.load(sys.stdin)
w = gguf.GGUFWriter(sys.argv[1], "llama")
for key, value in v["values"].items():
    name = "tokenizer.ggml." + key
    if key == "precompiled_charsmap":
        w.add_array(name, base64.b64decode(value))
    elif isinstance(value, bool):
        w.add_bool(name, value)
    elif isinstance(value, int):
        w.add_uint32(name, value)
    elif isinstance(value, str):
        w.add_string(name, value)
    else:
        w.add_array(name, [float(x) for x in value] if key == "scores" else value)
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()
model = llama_cpp.Llama(sys.argv[1], vocab_only=True, verbose=False)
for text in v["texts"]:
    b = text.encode()
    print(json.dumps([model.tokenize(b, add_bos=special, special=True) for special in (False, True)]))
