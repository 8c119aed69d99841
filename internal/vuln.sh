#!/usr/bin/env bash
# Looks for known vulnerabilities in the code that the four programs call. The database is vuln.go.dev's; where that is
# out of reach it is made of golang.org/x/vulndb, which the module proxy has. Fails on those of modules, which go.mod can
# mend; those of the standard library are the Go release's, and are told.
set -euo pipefail
cd "$(dirname "$0")/.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
GOBIN="$tmp" go install golang.org/x/vuln/cmd/govulncheck@v1.9.0
db=https://vuln.go.dev
if ! curl -sf -m 10 -o "$tmp/db.json" $db/index/db.json; then
  echo "vuln: $db is out of reach; using golang.org/x/vulndb of the module proxy"
  IFS=' ' read -r dir version < <(cd "$tmp" && go list -m -f '{{.Dir}} {{.Version}}' "$(go mod download -json golang.org/x/vulndb@latest | sed -n 's/.*"Version": "\(.*\)",/golang.org\/x\/vulndb@\1/p')")
  GOBIN="$tmp" go install golang.org/x/vulndb/cmd/indexdb@"$version"
  "$tmp/indexdb" -vulns "$dir/data/osv" -out "$tmp/db"
  db=file://$tmp/db
  echo "vuln: database of $version"
fi
code=0
"$tmp/govulncheck" -db "$db" -tags disable_grpc_modules ./cmd/... >"$tmp/out" || code=$?
case $code in
  0) echo "vuln: none is known" ;;
  3)
    cat "$tmp/out"
    if grep -q '^  Module: ' "$tmp/out"; then
      echo "vuln: go get the fixed versions"
      exit 1
    fi
    echo "vuln: none of the modules; the standard library of $(go env GOVERSION) has the above: build with the newest Go"
    ;;
  *)
    cat "$tmp/out"
    exit $code
    ;;
esac
