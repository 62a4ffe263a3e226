# `make dev` tries everything on this machine, `make test` proves it, `make conformance` holds it against S3's documentation, `make soak` does
# everything to it for an hour, `make bench` and `make bench-replication` measure it, `make lint` reads it.
.PHONY: dev build-needs test fuzz conformance soak bench bench-replication lint

dev: build-needs
	cargo run --release -- dev

# What the build needs beyond the Rust toolchain, installed only where missing.
build-needs:
	@command -v cargo >/dev/null || { echo "install the Rust toolchain first: https://rustup.rs" >&2; exit 1; }
	@missing=""; \
	command -v cc >/dev/null && command -v c++ >/dev/null && command -v make >/dev/null || missing="$$missing build-essential"; \
	command -v cmake >/dev/null || missing="$$missing cmake"; \
	command -v pkg-config >/dev/null || missing="$$missing pkg-config"; \
	[ -z "$$missing" ] && exit 0; \
	command -v apt-get >/dev/null || { echo "install these first (names as in Debian):$$missing" >&2; exit 1; }; \
	sudo=""; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	echo "installing$$missing"; \
	$$sudo apt-get update -qq && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null

test: build-needs
	e2e/setup.sh
	cargo test --workspace
	@# With the features of the tests (examples have them too): without, every dependency is built a second time.
	cargo build --workspace --bins --examples
	$(MAKE) fuzz
	e2e/run

# Parsers under strange input, each target for SECONDS; TARGETS="sigv4 request" names some of them.
fuzz: SECONDS = 5
fuzz: build-needs
	SECONDS_EACH=$(SECONDS) e2e/fuzz/run $(TARGETS)

# S3's documented behaviour at each backend and through the gateway in front of it. ARGS="--backend rgw --only listing" narrows it.
conformance: build-needs
	e2e/setup.sh
	cargo build -p s3gateway-cli -p s3gateway-e2e
	cd e2e && .venv/bin/python -m conformance $(ARGS)

# Three proxies and three workers under load while everything is done to them, see docs/replication/soak.md. SEED=7 repeats a schedule.
soak: SECONDS = 3600
soak: FOLDER = target/soak-$(shell date -u +%Y%m%dT%H%M%SZ)
soak: build-needs
	e2e/setup.sh
	cargo build -p s3gateway-cli
	cargo build -p s3gateway-embedded --example serve
	PATH=$$PATH:/usr/local/sbin:/usr/sbin:/sbin e2e/.venv/bin/python e2e/soak.py --seconds $(SECONDS) --folder $(FOLDER) $(if $(SEED),--seed $(SEED))

bench: build-needs
	bench/run

# One worker process beside rclone sync, between the same two servers; its memory, and what marks one Redis takes.
bench-replication: build-needs
	bench/run replication

lint: build-needs
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	@# Where it is installed (cargo install --locked cargo-deny). Advisories are fetched: cargo deny check advisories.
	@if cargo deny --version >/dev/null 2>&1; then cargo deny --log-level error check bans licenses sources; \
	else echo "cargo deny is not installed: deny.toml was not checked"; fi
