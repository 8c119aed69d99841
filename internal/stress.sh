#!/usr/bin/env bash
# Scores and trains under hard garbage collection for STRESSTIME (10m) on each instruction set, fuzzes every fuzz test
# of the module for FUZZTIME (5m) each (shrinking inputs that are merely new would take most of it), then kills tokenize
# and the pipeline at random moments for as long, trainings fifty times, and fills the disks of trainings and pipelines.
set -euo pipefail
cd "$(dirname "$0")/.."
echo "== scores under garbage collection"
GOGC=1 EAFT_STRESS="${STRESSTIME:-10m}" go test -count=1 -timeout 0 -run '^TestScoresUnderGarbageCollection$' -v ./model
for pkg in $(go list ./...); do
  for target in $(go test -list '^Fuzz' "$pkg" | grep '^Fuzz' || true); do
    echo "== $pkg $target"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-5m}" -fuzzminimizetime 10x "$pkg"
  done
done
echo "== ./cmd/tokenize TestKilled"
EAFT_STRESS="${FUZZTIME:-5m}" go test -v -timeout 0 -run '^TestKilled$' ./cmd/tokenize
# Fifty kills of training and fifty SIGTERMs, and a disk that is full at every 8 KiB.
echo "== ./cmd/train TestKilled TestDiskFull"
EAFT_STRESS=1 go test -count=1 -v -timeout 0 -run '^(TestKilled|TestDiskFull)$' ./cmd/train
echo "== ./cmd/pipeline TestKilled, and TestDiskFull where this is root"
EAFT_STRESS="${FUZZTIME:-5m}" go test -v -timeout 0 -run '^(TestKilled|TestDiskFull)$' ./cmd/pipeline
# With Python: tokenizers against Hugging Face's library on many random texts.
if [ -n "${EAFT_PYTHON:-}" ]; then
  echo "== tokenize/tokenizer TestReference"
  EAFT_TEXTS="${EAFT_TEXTS:-10000}" go test -count 1 -timeout 0 -v -run '^TestReference$' ./tokenize/tokenizer
fi
