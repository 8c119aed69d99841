"""What transformers makes of the tasks in float32: the oracle of the package's tests.

    python reference.py make          writes questions.jsonl, sums.jsonl, text.txt from
                                      examples/demo and golden.json, of the demo's model
    python reference.py MODEL < tasks  prints the same for any model and tasks

Tasks are {"questions": [{"context", "choices"}], "prompts": [...], "text",
"window", "stride", "new"}: what a task asks, before tokens. The tokenizer is the
folder's own, chat templates are transformers' apply_chat_template, each choice is
a row of its own, and completions are generate's.
"""
import json, os, random, re, sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
DEMO = os.path.join(HERE, "../../model/demo")


def compute(folder, tasks):
    tok = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")

    def encode(s):
        return tok(s, add_special_tokens=False)["input_ids"]

    @torch.no_grad()
    def logprobs(ids):
        return torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1)

    def loglikelihood(context, continuation):
        """lm-evaluation-harness, TemplateLM._encode_pair and _loglikelihood_tokens."""
        space = context[len(context.rstrip()):]
        context, continuation = context.rstrip(), space + continuation
        whole, ctx = encode(context + continuation), encode(context)
        cont = whole[len(ctx):]
        lp = logprobs(ctx + cont)
        return sum(lp[len(ctx) + i - 1, t].item() for i, t in enumerate(cont))

    def chat(user):
        return tok.apply_chat_template([{"role": "user", "content": user}], tokenize=False, add_generation_prompt=True)

    def generate(prompt):
        ids = encode(prompt)
        r = model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long), do_sample=False,
                           max_new_tokens=tasks["new"], pad_token_id=0)
        return tok.decode(r[0, len(ids):], skip_special_tokens=True)

    def perplexity(text, window, stride):
        """Token by token: from the first window that holds it."""
        ids = encode(text)[:tasks.get("max_tokens")]
        nll, cache = 0.0, {}
        for t in range(1, len(ids)):
            k = max(0, -(-(t + 1 - window) // stride))  # the first k with k * stride + window > t
            if k not in cache:
                cache = {k: logprobs(ids[k * stride:k * stride + window])}
            nll -= cache[k][t - k * stride - 1, ids[t]].item()
        return {"tokens": len(ids) - 1, "nll": nll}

    out = {}
    if "questions" in tasks:
        out["raw"] = [[loglikelihood(q["context"], " " + c) for c in q["choices"]] for q in tasks["questions"]]
        out["spaced"] = [[loglikelihood(q["context"] + " ", " " + c) for c in q["choices"]] for q in tasks["questions"]]
        out["chat"] = [[loglikelihood(chat(q["context"]), c) for c in q["choices"]] for q in tasks["questions"]]
    if "prompts" in tasks:
        out["answers"] = [generate(chat(p)) for p in tasks["prompts"]]
    if "text" in tasks:
        out["perplexity"] = perplexity(tasks["text"], tasks["window"], tasks["stride"])
    return out


def make():
    rng = random.Random(3)
    facts, sums, says = {}, [], []
    for line in open(os.path.join(HERE, "../../examples/demo/known.jsonl")):
        user, assistant = (m["content"] for m in json.loads(line)["messages"])
        fact = re.search(r"the (\w+) of (\w+)", user)
        if fact:
            facts.setdefault(fact[1], {})[fact[2]] = re.sub(r"^(It is|That is) ", "", assistant)
        elif re.fullmatch(r"What is \d+ \+ \d+\?", user):
            sums.append((user, assistant))
        else:
            says.append(assistant)
    questions = []
    for attribute, of in sorted(facts.items()):
        for land in sorted(of)[:4]:
            choices = rng.sample(sorted(set(of.values()) - {of[land]}), 3) + [of[land]]
            rng.shuffle(choices)
            questions.append({"question": f"What is the {attribute} of {land}?", "subject": attribute, "choices": choices, "answer": choices.index(of[land])})
    sums = [{"question": q, "answer": f"{a} #### {a.split()[-1].rstrip('.')}"} for q, a in sums[:12]]
    text = "\n".join(says[:60]) + "\n"
    for name, rows in (("questions.jsonl", questions), ("sums.jsonl", sums)):
        with open(os.path.join(HERE, name), "w") as f:
            f.writelines(json.dumps(r) + "\n" for r in rows)
    with open(os.path.join(HERE, "text.txt"), "w") as f:
        f.write(text)
    golden = compute(DEMO, {"questions": [{"context": f"Question: {q['question']}\nAnswer:", "choices": q["choices"]} for q in questions],
                            "prompts": [s["question"] for s in sums], "text": text, "window": 64, "stride": 24, "new": 20})
    with open(os.path.join(HERE, "golden.json"), "w") as f:
        json.dump(golden, f, indent=1)
        f.write("\n")


if sys.argv[1] == "make":
    make()
else:
    json.dump(compute(sys.argv[1], json.load(sys.stdin)), sys.stdout)
