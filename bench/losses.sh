#!/usr/bin/env bash
# Trains one model with each of four losses on the same rows, measures what it has learnt and what it has lost, and
# prints the table of docs/training.md. Steps that are done are not done again.
#
#   bench/losses.sh MODEL TRAIN TEST WIKITEXT MMLU OUT
#
# TRAIN and TEST are prompts and completions as tokenize reads them (GSM8K's), WIKITEXT plain text, MMLU questions with
# choices as "train eval --task mc" reads them. In the environment: ROWS (2000) to train on, LR (2e-5), TOKENS (all) of
# WIKITEXT, EVERY (1): one question of so many, BIN (bin).
set -euo pipefail
[ $# = 6 ] || { sed -n 2,9p "$0" >&2; exit 2; }
model=$1 train=$2 test=$3 wikitext=$4 mmlu=$5 out=$6
bin=${BIN:-bin} rows=${ROWS:-2000}
mkdir -p "$out"
"$bin/tokenize" --model "$model" --out "$out/tokens" "$train" >&2
"$bin/tokenize" --model "$model" --out "$out/held-out" "$test" >&2
"$bin/scorer" score --model "$model" --tokens "$out/tokens" --out "$out/base" --limit "$rows" >&2
awk "NR % ${EVERY:-1} == 0" "$mmlu" > "$out/questions.jsonl"

once() { # FILE COMMAND...: the command's output, kept
  [ -s "$1" ] || { "${@:2}" > "$1.part" && mv "$1.part" "$1"; }
}
field() { # FILE NAME: the first number of that name
  tr -d ' \n' < "$1" | grep -o "\"$2\":{*\(\"value\":\)*[-0-9.e+]*" | head -1 | grep -o '[-0-9.e+]*$'
}
measure() { # NAME MODEL
  once "$out/$1.loss.json" "$bin/train" eval --model "$2" --tokens "$out/held-out" --json
  once "$out/$1.wikitext.json" "$bin/train" eval --model "$2" --task perplexity --data "$wikitext" --max-tokens "${TOKENS:-0}" --json
  once "$out/$1.mmlu.json" "$bin/train" eval --model "$2" --task mc --data "$out/questions.jsonl" --json
  printf '| %s | %.4f | %.4f | %.3f | %.4f | ' "$1" "$(field "$out/$1.loss.json" loss)" "$(field "$out/$1.loss.json" accuracy)" \
    "$(field "$out/$1.wikitext.json" token_perplexity)" "$(field "$out/$1.mmlu.json" acc)"
}

losses="sft eaft mask dft"
for loss in $losses; do
  "$bin/train" --model "$model" --tokens "$out/tokens" --scores "$out/base" --out "$out/$loss" --loss "$loss" \
    --max-rows "$rows" --lr "${LR:-2e-5}" >&2
done
echo "| loss | held-out loss | held-out accuracy | wikitext-2 perplexity | MMLU accuracy | confident before, lost | conflicts resolved | new |"
echo "|---|---|---|---|---|---|---|---|"
measure base "$model"
echo " | | |"
for loss in $losses; do
  measure "$loss" "$out/$loss/model"
  "$bin/scorer" score --model "$out/$loss/model" --tokens "$out/tokens" --out "$out/after-$loss" --limit "$rows" >&2
  once "$out/$loss.audit.json" "$bin/train" audit "$out/$loss" --after "$out/after-$loss" --json
  f="$out/$loss.audit.json"
  echo "$(field "$f" lost) of $(field "$f" confident) | $(field "$f" resolved) | $(field "$f" new) |"
done
