"""A model with a larger vocabulary, its new rows zeros: to see what memory a vocabulary costs.

    python widen_vocab.py MODEL_DIR OUT_DIR VOCABULARY
"""
import os
import shutil
import sys

import torch
import transformers

src, out, size = sys.argv[1:4]
m = transformers.AutoModelForCausalLM.from_pretrained(src, dtype=torch.bfloat16)
old = m.config.vocab_size
m.resize_token_embeddings(int(size), mean_resizing=False)
with torch.no_grad():
    m.get_input_embeddings().weight[old:] = 0
    m.get_output_embeddings().weight[old:] = 0
m.save_pretrained(out)
for name in os.listdir(src):
    if name.startswith(("tokenizer", "chat_template", "special_tokens")):
        shutil.copy(os.path.join(src, name), out)
