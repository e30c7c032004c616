# Thin names over cargo and scripts/.
.DEFAULT_GOAL := help
.PHONY: help run build dist install test chaos starved bench bench-peers profile setup multilingual servers clients \
	check clean

# Official builds of ONNX Runtime send telemetry to their maker; turn this off for everything that make runs.
export ORT_DISABLE_TELEMETRY := 1

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s%s\n", $$1, $$2 }' Makefile

# Where `make install` puts things: below DESTDIR, if that is set.
PREFIX ?= /usr/local

run: setup ## Build Wellspring and run the demo
	cargo build --release -p wellspring-cli
	target/release/wellspring demo

build: setup ## Build the command into target/release/
	cargo build --release --locked -p wellspring-cli

dist: build ## Pack the command with all that it needs into an archive in target/dist/
	@scripts/dist.sh target/release/wellspring target/dist

install: ## Put what `make build` has built into PREFIX (/usr/local), below DESTDIR
	@scripts/install.sh target/release/wellspring "$(DESTDIR)$(PREFIX)"

test: setup multilingual servers clients ## Run all tests, including those in the documentation
	cargo test

chaos: servers ## Check freshness for a long time, with eight processes and every fault (WELLSPRING_CHAOS_SECONDS)
	WELLSPRING_CHAOS_SECONDS=$${WELLSPRING_CHAOS_SECONDS:-1800} cargo test -p wellspring --no-default-features \
		--features valkey,embedded --test chaos -- --nocapture nothing_stale

starved: servers ## Measure the share of hits beside up to ten busy threads a core, two minutes (WELLSPRING_STARVED_SECONDS)
	cargo test -p wellspring --no-default-features --features valkey,embedded --test chaos -- --ignored --nocapture \
		hits_beside_busy_threads

bench: setup servers ## Run the benchmarks
	cargo bench

profile: setup ## Draw flame graphs of hits and misses into target/profile/
	cargo bench --bench cache -- --profile-time 10 'lookup/(exact|semantic|miss)'

bench-peers: setup servers ## Compare with other caches, 25 minutes (SIZES=10000: 10), and draw docs/peers.svg
	@scripts/fetch-peers.sh
	.deps/peers/bin/python benches/peers/caches/run.py

setup: ## Fetch the ONNX Runtime library into .deps/ (about 24 MB, once)
	@scripts/fetch-onnxruntime.sh

multilingual: ## Build the multilingual model into .deps/models/ (about 128 MB, once)
	@scripts/fetch-multilingual.sh

servers: ## Make Valkey and Redis available to tests (in .deps/ if none is installed)
	@scripts/fetch-valkey.sh

clients: ## Fetch what tests of the gateway need: client libraries, and a browser if there is none (.deps/, once)
	@scripts/fetch-clients.sh
	@scripts/fetch-chromium.sh

check: ## Check formatting, lints, features, packages, documentation, deployment files and dependencies
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	scripts/check-packages.sh
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps
	scripts/check-deploy.sh
	scripts/check-dependencies.sh

clean: ## Remove what was built and fetched
	cargo clean
	rm -rf .deps
