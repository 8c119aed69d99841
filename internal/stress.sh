#!/usr/bin/env bash
# Scores and trains under hard garbage collection for STRESSTIME (10m) on each instruction set, fuzzes every fuzz test
# of the module for FUZZTIME (5m) each (shrinking inputs that are merely new would take most of it), then kills tokenize
# and the pipeline at random moments for as long, trainings fifty times, and fills the disks of trainings and pipelines.
set -euo pipefail
cd "$(dirname "$0")/.."
export GOFLAGS="-tags=disable_grpc_modules"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
echo "== scores under garbage collection"
GOGC=1 EAFT_STRESS="${STRESSTIME:-10m}" go test -count=1 -timeout 0 -run '^TestScoresUnderGarbageCollection$' -v ./model
# An input that takes over ten seconds, or more memory than this, ends its process and is kept under testdata/fuzz.
for pkg in $(go list ./...); do
  dir=$(go list -f '{{.Dir}}' "$pkg")
  for target in $(grep -oEh '^func Fuzz[A-Za-z0-9]+' "$dir"/*_test.go 2>/dev/null | cut -d' ' -f2); do
    echo "== $pkg $target"
    go test -c -fuzz "^$target\$" -o "$tmp/fuzz" "$pkg"
    (
      cd "$dir"
      ulimit -v 6291456 2>/dev/null || echo "memory is not limited here"
      GOMEMLIMIT=2GiB "$tmp/fuzz" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "${FUZZTIME:-5m}" \
        -test.fuzzminimizetime 10x -test.fuzzcachedir "$(go env GOCACHE)/fuzz/$pkg"
    )
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
