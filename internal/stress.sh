#!/usr/bin/env bash
# Fuzzes every fuzz test of the module for FUZZTIME (5m) each; shrinking inputs that
# are merely new would take most of it.
set -euo pipefail
cd "$(dirname "$0")/.."
for pkg in $(go list ./...); do
  for target in $(go test -list '^Fuzz' "$pkg" | grep '^Fuzz' || true); do
    echo "== $pkg $target"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-5m}" -fuzzminimizetime 100x "$pkg"
  done
done
# With Python: tokenizers against Hugging Face's library on many random texts.
if [ -n "${EAFT_PYTHON:-}" ]; then
  echo "== tokenize/tokenizer TestReference"
  EAFT_TEXTS="${EAFT_TEXTS:-10000}" go test -count 1 -timeout 0 -v -run '^TestReference$' ./tokenize/tokenizer
fi
