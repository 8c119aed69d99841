#!/usr/bin/env bash
# Makes the demo's world again and trains its model with this project's own
# programs: writes examples/demo/*.jsonl and model/demo. Needs bin/ (make build).
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

go run ./examples/demo/world -out "$work" -seed 1
cp "$work"/{corpus,target,known}.jsonl examples/demo/
bin/tokenize --model "$work/model" --out "$work/tokens" "$work/world.jsonl"
bin/train --model "$work/model" --from-scratch --tokens "$work/tokens" --loss sft --dtype bf16 \
  --epochs 6 --lr 2e-3 --batch-tokens 2048 --warmup 0.05 --seed 1 --out "$work/run"
for f in config.json model.safetensors tokenizer.json tokenizer_config.json chat_template.jinja; do
  cp "$work/run/model/$f" model/demo/
done
