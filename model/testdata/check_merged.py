"""Are merged weights what PEFT's merge_and_unload makes of base and adapter in float32?

    python check_merged.py JOBS.json

JOBS.json lists name, base, adapter and merged: folders, which transformers loads, and GGUF
files of F32, which gguf-py reads. Written against torch 2.15, transformers 5.23, peft 0.21,
gguf 0.19. Weights without an adapter, embeddings that are tied to the head among them, must
be equal to the bit.

Bounds, of each weight, with u = 2^-24, rank r and scale s: PEFT sums r products in float32 in
some order, multiplies by s and adds the base, so that it errs by
(r+2) u / (1 - (r+2) u) s |B||A| and half a unit in the last place of its result. We sum in
float64 and round once: half a unit of ours, u of its magnitude at most.
"""
import json, os, sys

import torch
from gguf import MODEL_ARCH_NAMES, GGUFReader, get_tensor_name_map
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM


def load(ref):
    model, report = AutoModelForCausalLM.from_pretrained(ref, dtype=torch.float32, output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not report[kind], f"{ref}: {kind} {report[kind]}"
    return model


def is_tied(model):
    return model.get_input_embeddings().weight is model.get_output_embeddings().weight


def read_gguf(path, names, tied):
    """The tensors of a GGUF by transformers' names, q and k of architecture llama as transformers has them."""
    reader = GGUFReader(path)
    arch = str(reader.fields["general.architecture"].contents())
    meta = {k: reader.fields[f"{arch}.{k}"].contents() for k in ("block_count", "attention.head_count", "attention.head_count_kv")}
    to_gguf = get_tensor_name_map({v: k for k, v in MODEL_ARCH_NAMES.items()}[arch], meta["block_count"])
    tensors = {t.name: torch.from_numpy(t.data.copy()) for t in reader.tensors}
    tensors.pop("rope_freqs.weight", None)
    out = {}
    for name in names:
        if tied and name == "lm_head.weight":
            assert "output.weight" not in tensors
            out[name] = out["model.embed_tokens.weight"]
            continue
        x = tensors.pop(to_gguf.get_name(name, (".weight", ".bias")))
        if arch == "llama" and (".q_proj." in name or ".k_proj." in name):
            heads = meta["attention.head_count" if ".q_proj." in name else "attention.head_count_kv"]
            x = x.reshape(heads, len(x) // heads // 2, 2, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)
        out[name] = x
    assert not tensors, list(tensors)
    return out


u = 2.0**-24
for job in json.load(open(sys.argv[1])):
    base = load(job["base"])
    tied = is_tied(base)
    peft = PeftModel.from_pretrained(base, job["adapter"]).merge_and_unload()
    want = peft.state_dict()
    config = json.load(open(os.path.join(job["adapter"], "adapter_config.json")))
    rank = config["r"]
    scale = config["lora_alpha"] / rank
    gamma = (rank + 2) * u / (1 - (rank + 2) * u)
    tensors = load_file(os.path.join(job["adapter"], "adapter_model.safetensors"))
    for ref in job["merged"]:
        if ref.endswith(".gguf"):
            got = read_gguf(ref, want, tied)
        else:
            model = load(ref)
            assert tied == is_tied(model), ref
            got = model.state_dict()
        assert got.keys() == want.keys(), got.keys() ^ want.keys()
        worst, equal, n, adapted = 0.0, 0, 0, set()
        for key in tensors:
            if not key.endswith(".lora_A.weight"):
                continue
            path = key.removesuffix(".lora_A.weight")
            name = path.removeprefix("base_model.model.") + ".weight"
            adapted.add(name)
            product = scale * (tensors[path + ".lora_B.weight"].double().abs() @ tensors[key].double().abs())
            x, y = got[name].double(), want[name].double()
            bound = gamma * product + u * (1 + 4 * u) * (x.abs() + y.abs())
            off = (x - y).abs()
            assert (off <= bound).all(), f"{ref}: {name}: off by {(off / bound).max()} times the bound"
            worst = max(worst, (off / bound).nan_to_num().max().item())
            equal, n = equal + (off == 0).sum().item(), n + off.numel()
        for name in want.keys() - adapted:
            assert torch.equal(got[name], want[name]), f"{ref}: {name}"
        assert n > 0
        print(f"{job['name']}, {os.path.basename(ref)}: of {n} merged weights {100 * equal / n:.1f}% are PEFT's to the bit, the others off by {worst:.2f} of the bound at most; tied: {tied}")
