"""Small files of each format and dtype, and the float32 that the formats' own
libraries read: the oracle of the package's tests.

    pip install gguf==0.19.0 safetensors==0.8.0 numpy==2.4.6 torch==2.15.0
    python make_fixtures.py

quants.gguf     a tensor of each quantisation, shape [3, 64], and a few keys
dtypes/         model.safetensors with F32, F16, BF16, a scalar, a vector
sharded/        the same tensors in three files and an index
expected.json   base64 of little-endian float32 by tensor: gguf.*, safetensors.*
"""
import base64, json, os, shutil

import gguf
import numpy as np
import torch
from safetensors.torch import load_file, save_file

HERE = os.path.dirname(os.path.abspath(__file__))
os.chdir(HERE)
rng = np.random.default_rng(11)
T = gguf.GGMLQuantizationType
expected = {}


def keep(name, a):
    expected[name] = base64.b64encode(np.ascontiguousarray(a, dtype="<f4").tobytes()).decode()


w = gguf.GGUFWriter("quants.gguf", "llama")
w.add_uint32("test.uint32", 7)
w.add_int64("test.int64", -9)
w.add_uint64("test.uint64", 2**63)
w.add_float32("test.float32", 0.5)
w.add_float64("test.float64", 1e300)
w.add_bool("test.bool", True)
w.add_string("test.string", "grün")
w.add_array("test.strings", ["a", "", "ü"])
w.add_array("test.int32s", [1, -2, 3])
w.add_array("test.floats", [1.5, 2.5])
w.add_chat_template("{{ messages }}")
w.add_tokenizer_model("gpt2")
w.add_tokenizer_pre("gpt-2")
w.add_token_list(["a", "b", "ab", "<s>", "</s>"])
w.add_token_types([1, 1, 1, 3, 3])
w.add_token_merges(["a b"])
w.add_bos_token_id(3)
w.add_eos_token_id(4)
for typ in [T.F32, T.F16, T.BF16, T.Q4_0, T.Q4_1, T.Q8_0]:
    a = (rng.standard_normal((3, 64)) * 10.0 ** rng.integers(-3, 3, (3, 1))).astype(np.float32)
    a[1, 32:] = 0
    q = gguf.quants.quantize(a, typ)
    w.add_tensor("t." + typ.name, q, raw_dtype=typ)
    keep("gguf.t." + typ.name, gguf.quants.dequantize(q, typ))
w.add_tensor("t.vector", np.arange(5, dtype=np.float32))
keep("gguf.t.vector", np.arange(5))
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()

special = torch.tensor([0.0, -0.0, 1.0, float("inf"), float("-inf"), float("nan"), 6e-8, 65504.0, 1e-4, -3.0])
tensors = {
    "f32": torch.tensor(rng.standard_normal((4, 6)), dtype=torch.float32),
    "f16": torch.tensor(rng.standard_normal((4, 6)), dtype=torch.float16),
    "bf16": torch.tensor(rng.standard_normal((2, 3, 5)), dtype=torch.bfloat16),
    "vector": torch.arange(7, dtype=torch.float32),
    "scalar": torch.tensor(2.5, dtype=torch.float32),
    "special.f16": special.to(torch.float16),
    "special.bf16": special.to(torch.bfloat16),
}
for d in ["dtypes", "sharded"]:
    shutil.rmtree(d, ignore_errors=True)
    os.makedirs(d)
    with open(d + "/config.json", "w") as f:
        f.write('{"model_type": "llama"}\n')
save_file(tensors, "dtypes/model.safetensors", metadata={"format": "pt"})
for name, t in load_file("dtypes/model.safetensors").items():
    keep("safetensors." + name, t.to(torch.float32).numpy())
names, where = sorted(tensors), {}
for i in range(3):
    file = f"model-{i + 1:05}-of-00003.safetensors"
    save_file({n: tensors[n] for n in names[i::3]}, "sharded/" + file, metadata={"format": "pt"})
    where.update({n: file for n in names[i::3]})
with open("sharded/model.safetensors.index.json", "w") as f:
    json.dump({"metadata": {}, "weight_map": where}, f, indent=1)
with open("expected.json", "w") as f:
    json.dump(expected, f, indent=0)
