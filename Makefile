# Every target prepares what it needs. Cargo is always called with the same profile, and with targets that need the
# dev-dependencies (an example is one), so that RocksDB and the Wasm engine are compiled once for all of them (about 15
# minutes on two cores, the first time).

SHELL := /bin/bash
# For programs that read files of the repository and are not run by cargo: a target directory may be shared by clones.
export CARGO_MANIFEST_DIR := $(CURDIR)
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
SETUP := setup=$$(tests/setup/toolchain.sh) && eval "$$setup"
DEMO_SETUP := setup=$$(tests/setup/toolchain.sh --pip) && eval "$$setup"

.PHONY: help demo test lint guests bench bench-fluvio bench-kafka crash hostile fuzz build interop languages schemathesis

help: ## this list
	@echo "Millstream. Targets:"
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/' | expand -t 20

build: ## the binary, tests, benches and the demo
	@$(SETUP); echo "building (about 15 minutes the first time on two cores, seconds later)"
	@$(SETUP); cargo build --all-targets

demo: ## recommendations on MovieLens-100K, live; the server stays up until Ctrl-C (DEMO_EXIT=1 ends at once)
	@$(DEMO_SETUP); echo "building (about 15 minutes the first time on two cores, seconds later)"; \
	cargo build --bin millstream --example demo; exec $(TARGET_DIR)/debug/examples/demo

test: ## all tests
	@$(SETUP); cargo build --all-targets; cargo test --lib --bins --tests

lint: ## formatting, lints, documentation, prebuilt guests
	cargo fmt --all --check
	@$(SETUP); cargo clippy --all-targets -- -D warnings; \
	cargo doc --no-deps --lib --examples --document-private-items 2>&1 | tee $(TARGET_DIR)/doc.log; ! grep -q '^warning' $(TARGET_DIR)/doc.log
	guest-examples/build.sh --check

guests: ## rebuild the guest examples and their prebuilt copies
	guest-examples/build.sh

bench: ## the figures of docs/BENCHMARKS.md (release build: about 10 minutes more)
	@$(SETUP); cargo build --all-targets; \
	export ROCKSDB_STATIC=1 ROCKSDB_LIB_DIR="$$(CARGO_TARGET_DIR=$(TARGET_DIR) benches/rocksdb-lib-dir.sh)"; \
	cargo bench --benches

bench-kafka: ## beside Apache Kafka 4.2, same clients (release build, then under 25 minutes; BENCH=--quick for a look)
	@$(SETUP); cargo build --all-targets; \
	export ROCKSDB_STATIC=1 ROCKSDB_LIB_DIR="$$(CARGO_TARGET_DIR=$(TARGET_DIR) benches/rocksdb-lib-dir.sh)"; \
	cargo bench --benches --no-run; \
	benches/kafka/run.py --server $(TARGET_DIR)/release/millstream --results $(TARGET_DIR)/bench-kafka $(BENCH)

bench-fluvio: ## our engine beside Fluvio's on the same batches (a release build of both engines, once: about half an hour)
	@$(SETUP); cargo build --all-targets; \
	export ROCKSDB_STATIC=1 ROCKSDB_LIB_DIR="$$(CARGO_TARGET_DIR=$(TARGET_DIR) benches/rocksdb-lib-dir.sh)"; \
	export CARGO_TARGET_DIR=$(TARGET_DIR)/fluvio; wasm=wasm32-unknown-unknown; \
	(cd benches/fluvio/guests && cargo build --release --target $$wasm); \
	cargo run --release --manifest-path benches/fluvio/Cargo.toml -- guest-examples/prebuilt/bench-packed.wasm \
		$$CARGO_TARGET_DIR/$$wasm/release/fluvio_filter.wasm $$CARGO_TARGET_DIR/$$wasm/release/fluvio_map.wasm

crash: ## kill -9 under load, 50 rounds (or CRASH_ROUNDS) over HTTP, of Kafka's transactions, of polls, of windows and of stages each, 20 upgrades and 2 rollbacks; the order of fsync and answers where strace is there
	@$(SETUP); cargo build --all-targets --features torn-commit; \
	cp $(TARGET_DIR)/debug/millstream $(TARGET_DIR)/debug/millstream-torn; cargo build --all-targets; \
	crash=$(TARGET_DIR)/debug/examples/crash; server=$(TARGET_DIR)/debug/millstream; \
	$$crash --server $$server --rounds $${CRASH_ROUNDS:-50}; \
	$$crash --server $$server --transactions --rounds $${CRASH_ROUNDS:-50}; \
	$$crash --server $$server --sources --rounds $${CRASH_ROUNDS:-50}; \
	$$crash --server $$server --upgrades --rounds $${UPGRADE_ROUNDS:-22}; \
	$$crash --server $$server --time --rounds $${CRASH_ROUNDS:-50}; \
	$$crash --server $$server --stages --rounds $${CRASH_ROUNDS:-50}; \
	$$crash --server $$server-torn --rounds $${CRASH_ROUNDS:-50} --expect-failure; \
	$$crash --server $$server-torn --sources --rounds $${CRASH_ROUNDS:-50} --expect-failure; \
	$$crash --server $$server-torn --upgrades --rounds $${UPGRADE_ROUNDS:-22} --expect-failure; \
	$$crash --server $$server-torn --time --rounds $${CRASH_ROUNDS:-50} --expect-failure; \
	$$crash --server $$server-torn --stages --rounds $${CRASH_ROUNDS:-50} --expect-failure; \
	if command -v strace >/dev/null; then \
		$$crash --server $$server --sync fsync; $$crash --server $$server --sync os; \
	else echo "strace is not installed: the order of fsync and answers is not checked"; fi

hostile: ## hostile components beside good ones: each ends as docs/LIMITS.md says, the neighbours go on
	@$(SETUP); cargo build --all-targets; \
	$(TARGET_DIR)/debug/examples/hostile --server $(TARGET_DIR)/debug/millstream

fuzz: ## bytes from strangers, FUZZ_SECONDS (60) for each target; any compiler for Linux on x86-64 will do
	tests/fuzz/run.sh

interop: ## real Kafka clients and tools against the server (SUITE=matrix for one; docs/INTEROP.md)
	@$(SETUP); cargo build --all-targets; \
	tests/interop/run.py $(SUITE) --server $(TARGET_DIR)/debug/millstream $(INTEROP)

schemathesis: ## requests made from the server's own OpenAPI document (EXAMPLES=50 for each route); needs python3 and its registry
	@$(SETUP); cargo build --all-targets; \
	CARGO_TARGET_DIR=$(TARGET_DIR) tests/schemathesis/run.sh $(TARGET_DIR)/debug/millstream $(SCHEMATHESIS)

languages: ## every language from an empty folder to records that run (LANGUAGES="--only c,go"); needs its tools and registries
	@$(SETUP); cargo build --all-targets; \
	tests/languages/run.py --server $(TARGET_DIR)/debug/millstream $(LANGUAGES)
