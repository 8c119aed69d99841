"""Tiny models with random weights, one folder for each variant, and what
transformers computes with them in float32: the oracle of the package's tests.

    pip install torch==2.15.0 transformers==5.23.0 safetensors==0.8.0 gguf==0.19.0
    OMP_NUM_THREADS=1 python make_fixtures.py

Each folder holds config.json, the weights, expected.safetensors and, where GGUF
can express the variant, model.gguf. Every row is run alone, so packing has to
agree with unpacked rows. expected.safetensors:

    ids [T], cu_seqlens [rows+1], targets [n]     int32, flat positions
    logprob, entropy, topk_entropy, topk_mass, top1_logprob, lse [n]   k = 20
    rank, top1_id [n]                             int32
    loss [1]                                      sum(w * -logprob) / n, w = topk_entropy / ln 20 detached
    grad.NAME                                     of the loss, for every parameter
"""
import json, math, os, shutil

import gguf
import numpy as np
import torch
from safetensors.torch import save_file
from transformers import (LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM,
                          Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM)

HERE = os.path.dirname(os.path.abspath(__file__))
K = 20
ROWS = [7, 1, 13, 2, 5]
BASE = dict(vocab_size=97, hidden_size=24, intermediate_size=40, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
            bos_token_id=1, eos_token_id=2, pad_token_id=0)
LLAMA3 = dict(rope_type="llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=16)


def randomize(model, seed):
    """Weights wide enough that the distributions are far from flat."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            r = torch.randn(p.shape, generator=g)
            if p.dim() == 2:
                p.copy_(r * (0.6 if "embed" in name or "lm_head" in name else 1.2 / math.sqrt(p.shape[1])))
            elif name.endswith("bias"):
                p.copy_(r * 0.3)
            else:
                p.copy_(1 + r * 0.2)


def expected(model, seed):
    g = torch.Generator().manual_seed(seed + 1)
    ids = [torch.randint(0, BASE["vocab_size"], (n,), generator=g) for n in ROWS]
    cu = np.concatenate([[0], np.cumsum(ROWS)])
    model.zero_grad()
    out = {k: [] for k in ("targets", "logprob", "entropy", "topk_entropy", "topk_mass", "top1_logprob", "lse", "rank", "top1_id")}
    losses = []
    for r, row in enumerate(ids):
        trained = [t for t in range(1, len(row)) if torch.rand(1, generator=g) < 0.75]
        if not trained:
            continue
        logits = model(input_ids=row[None], use_cache=False).logits[0].float()
        x = logits[[t - 1 for t in trained]]
        y = row[trained]
        lp = torch.log_softmax(x, -1)
        p = lp.exp()
        top = torch.topk(x, K, -1).values
        tlp = torch.log_softmax(top, -1)
        h = -(tlp.exp() * tlp).sum(-1)
        target = lp.gather(1, y[:, None])[:, 0]
        losses.append((h.detach() / math.log(K)) * -target)
        out["targets"] += [int(cu[r]) + t for t in trained]
        out["logprob"].append(target)
        out["entropy"].append(-(p * lp).sum(-1))
        out["topk_entropy"].append(h)
        out["topk_mass"].append(torch.topk(p, K, -1).values.sum(-1))
        out["top1_logprob"].append(lp.max(-1).values)
        out["lse"].append(torch.logsumexp(x, -1))
        out["rank"].append((x > x.gather(1, y[:, None])).sum(-1))
        out["top1_id"].append(x.argmax(-1))
    n = len(out["targets"])
    loss = torch.cat(losses).sum() / n
    loss.backward()
    t = {"ids": torch.cat(ids).int(), "cu_seqlens": torch.tensor(cu).int(), "targets": torch.tensor(out["targets"]).int(),
         "loss": loss.detach()[None]}
    for k, v in out.items():
        if k != "targets":
            v = torch.cat(v).detach()
            t[k] = v.int() if k in ("rank", "top1_id") else v.float()
    for name, p in model.named_parameters():
        t["grad." + name] = p.grad.contiguous()
    return t


def transformers4(path):
    """Rewrites a config.json the way transformers 4 wrote it."""
    with open(path) as f:
        c = json.load(f)
    rope = c.pop("rope_parameters")
    c["rope_theta"] = rope.pop("rope_theta")
    c["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    c["torch_dtype"] = c.pop("dtype")
    c["transformers_version"] = "4.46.0"
    with open(path, "w") as f:
        json.dump(c, f, indent=2, sort_keys=True)


def permute(w, heads):
    """LlamaModel.permute of llama.cpp's convert_hf_to_gguf.py."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


GGUF_NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}


def write_gguf(model, arch, path):
    c = model.config
    head_dim = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    rope = c.rope_parameters
    w = gguf.GGUFWriter(path, arch)
    w.add_block_count(c.num_hidden_layers)
    w.add_context_length(c.max_position_embeddings)
    w.add_embedding_length(c.hidden_size)
    w.add_feed_forward_length(c.intermediate_size)
    w.add_head_count(c.num_attention_heads)
    w.add_head_count_kv(c.num_key_value_heads)
    w.add_key_length(head_dim)
    w.add_value_length(head_dim)
    w.add_rope_dimension_count(head_dim)
    w.add_rope_freq_base(rope["rope_theta"])
    w.add_layer_norm_rms_eps(c.rms_norm_eps)
    w.add_bos_token_id(c.bos_token_id)
    w.add_eos_token_id(c.eos_token_id)
    if rope["rope_type"] == "linear":
        w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        w.add_rope_scaling_factor(rope["factor"])
    if rope["rope_type"] == "llama3":
        w.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        plain = 1.0 / rope["rope_theta"] ** (np.arange(0, head_dim, 2) / head_dim)
        w.add_tensor("rope_freqs.weight", (plain / model.model.rotary_emb.inv_freq.double().numpy()).astype(np.float32))
    for name, p in model.state_dict().items():
        if name == "lm_head.weight" and c.tie_word_embeddings:
            continue
        x = p.numpy()
        if arch == "llama" and "q_proj" in name:
            x = permute(x, c.num_attention_heads)
        if arch == "llama" and "k_proj" in name:
            x = permute(x, c.num_key_value_heads)
        stem, kind = name.rsplit(".", 1)
        prefix = ""
        if stem.startswith("model.layers."):
            _, _, layer, stem = stem.split(".", 3)
            prefix = f"blk.{layer}."
        w.add_tensor(f"{prefix}{GGUF_NAMES[stem]}.{kind}", np.ascontiguousarray(x))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


VARIANTS = {
    # name: (model class, config, shard size, transformers-4 config, GGUF architecture)
    "llama": (LlamaForCausalLM, LlamaConfig(**BASE, tie_word_embeddings=True), "1GB", False, None),
    "llama3": (LlamaForCausalLM, LlamaConfig(**BASE | dict(hidden_size=32), tie_word_embeddings=False, attention_bias=True, mlp_bias=True,
                                             rope_parameters=dict(rope_theta=10000.0, **LLAMA3)), "40KB", True, "llama"),
    "mistral": (MistralForCausalLM, MistralConfig(**BASE, head_dim=8, sliding_window=4, tie_word_embeddings=False), "1GB", True, None),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(**BASE, tie_word_embeddings=True, use_sliding_window=True, sliding_window=5,
                                            max_window_layers=1), "1GB", False, None),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config(**BASE, head_dim=16, tie_word_embeddings=False,
                                            rope_parameters=dict(rope_type="linear", factor=2.0, rope_theta=1e6)), "1GB", True, "qwen3"),
}

torch.use_deterministic_algorithms(True)
for seed, (name, (cls, config, shard, v4, arch)) in enumerate(VARIANTS.items()):
    folder = os.path.join(HERE, name)
    shutil.rmtree(folder, ignore_errors=True)
    config._attn_implementation = "eager"
    model = cls(config).float().eval()
    randomize(model, 100 * seed)
    model.save_pretrained(folder, max_shard_size=shard)
    for extra in ("generation_config.json",):
        if name != "llama" and os.path.exists(os.path.join(folder, extra)):
            os.remove(os.path.join(folder, extra))
    if v4:
        transformers4(os.path.join(folder, "config.json"))
    save_file(expected(model, 100 * seed), os.path.join(folder, "expected.safetensors"))
    if arch:
        write_gguf(model, arch, os.path.join(folder, "model.gguf"))
    print(name, sorted(os.listdir(folder)))
