# Needs Go 1.26 and nothing else; see CONTRIBUTING.md.
export CGO_ENABLED = 0
# Google's storage without gRPC, which it does not need: 19 MB less of each binary.
TAGS = -tags disable_grpc_modules

.PHONY: bench build test test-amx test-arm64 test-s3 test-buckets check demo demo-model generate stress vuln

# Without symbols: a quarter smaller.
build:
	go build -trimpath $(TAGS) -ldflags="-s -w" -o bin/ ./cmd/...

test:
	go test $(TAGS) ./...

# What runs on AVX512-BF16 and AMX, where the CPU lacks them under an emulator of their
# instructions; test covers what it has.
AMX = ./compute/... ./model ./train ./scorer
NATIVE = generic|avx2|avx512$(if $(shell grep -m1 avx512_bf16 /proc/cpuinfo),|avx512bf16)
test-amx:
	go build -o bin/test/amxemu ./internal/amxemu
	if bin/test/amxemu true; then go test $(TAGS) -count=1 -timeout 30m -p 1 -skip '/^($(NATIVE))$$' -exec $(CURDIR)/bin/test/amxemu $(AMX); \
	else echo "NOT TESTED with AVX512-BF16 and AMX"; fi

# The portable code on arm64, under QEMU's emulation of a process (Debian: qemu-user-static).
ARM64 = ./eaft ./compute/... ./model/... ./parquet ./report ./scorer ./tokenize/... ./train ./eval
test-arm64:
	GOARCH=arm64 go test $(TAGS) -timeout 60m -p 1 -exec qemu-aarch64-static $(ARM64)

# What reads and writes buckets, on a real S3 server with faults before it.
S3 = ./internal/store ./scorer ./train ./cmd/train ./cmd/pipeline
test-s3:
	GOBIN=$(CURDIR)/bin/test go install github.com/versity/versitygw/cmd/versitygw@v1.8.0
	EAFT_VERSITYGW=$(CURDIR)/bin/test/versitygw go test $(TAGS) -count=1 -timeout 30m -parallel 16 -run 'S3|Server|Faults|Stalled|Refused|Away|Bucket|Unsent|Chain|Claims' $(S3)

# The same on servers that speak Google's and Azure's protocols.
AZURITE = $(CURDIR)/bin/test/azurite
test-buckets:
	GOBIN=$(CURDIR)/bin/test go install github.com/fsouza/fake-gcs-server@v1.56.1
	npm install --prefix $(AZURITE) --no-audit --no-fund --loglevel error azurite@3.35.0 || \
		echo "NOT TESTED on Azurite: it needs npm (Debian: apt-get install nodejs npm)"
	EAFT_FAKEGCS=$(CURDIR)/bin/test/fake-gcs-server EAFT_AZURITE=$$(command -v $(AZURITE)/node_modules/.bin/azurite-blob) \
		go test $(TAGS) -count=1 -timeout 30m -parallel 16 -run 'Server|Faults|Stalled|Refused|Chain|Claims' ./internal/store ./cmd/pipeline

# What .ci/run asks beside the tests.
check:
	test -z "$$(gofmt -l $$(git ls-files '*.go'))"
	go vet $(TAGS) ./...
	go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 $(TAGS) ./...

# The four stages on the corpus and the model that ship in the repository.
demo: build
	bin/pipeline demo --out demo-out

# Makes the demo's model, corpus and held-out rows again; see examples/demo/README.md.
demo-model: build
	examples/demo/make-model.sh

generate:
	go generate ./...

# What takes longer than the tests may: garbage collection, fuzzing of every parser, killing and going on.
stress:
	internal/stress.sh

# Known vulnerabilities in what the programs call.
vuln:
	internal/vuln.sh

# Measures eaft and its rivals in turn and writes the tables; see docs/benchmarks.md.
#   make bench BENCH="--model DIR --corpus train.jsonl --python venv/bin/python"
bench: build
	go run ./bench --write $(BENCH)
