#!/usr/bin/env bash
# Fuzzes every fuzz test of the module for FUZZTIME (5m) each.
set -euo pipefail
cd "$(dirname "$0")/.."
for pkg in $(go list ./...); do
  for target in $(go test -list '^Fuzz' "$pkg" | grep '^Fuzz' || true); do
    echo "== $pkg $target"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-5m}" "$pkg"
  done
done
