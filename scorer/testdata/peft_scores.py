"""Writes a LoRA adapter of a model with PEFT, random A and B, and prints the scores of
rows (JSON on stdin: InputIDs and Labels) by the model with it, K = 5, float32.
Written against peft 0.21.2, transformers 5.23.0, torch 2.15.0.

    peft_scores.py MODEL ADAPTER-FOLDER < rows.json
"""
import json, sys, torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

torch.manual_seed(0)
base = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32, attn_implementation="eager")
model = get_peft_model(base, LoraConfig(r=3, lora_alpha=7, lora_dropout=0.1, target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM"))
with torch.no_grad():
    for name, p in model.named_parameters():
        if "lora_" in name:
            p.normal_(std=0.1)
model.eval().save_pretrained(sys.argv[2])

out = []
for row in json.load(sys.stdin):
    ids, labels = row["InputIDs"], row["Labels"]
    with torch.no_grad():
        lp = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1)
    scores = []
    for t in range(1, len(ids)):
        if labels[t] == -100:
            continue
        d = lp[t - 1]
        top = d.topk(5).values
        q = (top - top.logsumexp(-1)).exp()
        scores.append({"LogProb": d[ids[t]].item(), "Entropy": -(d.exp() * d).sum().item(),
                       "TopKEntropy": -(q * q.log()).sum().item(), "TopKMass": top.exp().sum().item()})
    out.append(scores)
print(json.dumps(out))
