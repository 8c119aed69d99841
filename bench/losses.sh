#!/usr/bin/env bash
# Trains one model with each of four losses on the same rows and measures what it has learnt and what it has lost: the
# table of docs/training.md. Done steps are not done again.
#
#   bench/losses.sh MODEL TRAIN.jsonl TEST.jsonl WIKITEXT MMLU OUT
#
# TRAIN and TEST are prompts and completions as tokenize reads them (GSM8K's), WIKITEXT plain text, MMLU questions with
# choices as "train eval --task mc" reads them. ROWS (2000), LR (2e-5), LIMIT (MMLU questions; all), TOKENS (of WIKITEXT;
# all) and BIN (bin) may be set in the environment.
set -euo pipefail
[ $# = 6 ] || { sed -n 2,9p "$0" >&2; exit 2; }
model=$1 train=$2 test=$3 wikitext=$4 mmlu=$5 out=$6
bin=${BIN:-bin} rows=${ROWS:-2000}
mkdir -p "$out"
"$bin/tokenize" --model "$model" --out "$out/tokens" "$train"
"$bin/tokenize" --model "$model" --out "$out/held-out" "$test"
"$bin/scorer" score --model "$model" --tokens "$out/tokens" --out "$out/base" --limit "$rows"

measure() { # NAME MODEL
  local to="$out/$1"
  [ -s "$to.loss.json" ] || "$bin/train" eval --model "$2" --tokens "$out/held-out" --json > "$to.loss.json"
  [ -s "$to.wikitext.json" ] || "$bin/train" eval --model "$2" --task perplexity --data "$wikitext" --max-tokens "${TOKENS:-0}" --json > "$to.wikitext.json"
  [ -s "$to.mmlu.json" ] || "$bin/train" eval --model "$2" --task mc --data "$mmlu" --limit "${LIMIT:-0}" --json > "$to.mmlu.json"
}

losses="sft eaft mask dft"
for loss in $losses; do
  "$bin/train" --model "$model" --tokens "$out/tokens" --scores "$out/base" --out "$out/$loss" --loss "$loss" \
    --max-rows "$rows" --lr "${LR:-2e-5}"
done
