# demo: the migration story on real parts; CHECK=1 plays it and exits 0 or 1.
# test: everything that CI checks. check: the part of it that needs no database. bench: the figures. fmt: formats.
# fuzz: each target of fuzz/ for FUZZ_SECONDS; needs cargo-fuzz and a nightly toolchain.
# soak: promises that take long to check, on a quiet machine; RUN="idle slow" takes some of them. It says what is missing.

.PHONY: demo test check bench fuzz soak fmt install

demo: install
	cargo run --release --locked --quiet -- demo $(if $(filter 1 yes true,$(CHECK)),--check)

test: install check
	cargo test --locked
	.ci/deny

check:
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --locked --no-deps --document-private-items

bench: install
	cargo bench --locked

FUZZ_SECONDS ?= 600
FUZZ_TARGETS ?= $(notdir $(basename $(wildcard fuzz/fuzz_targets/*.rs)))

fuzz:
	set -e; for target in $(FUZZ_TARGETS); do \
		mkdir -p fuzz/corpus/$$target; \
		cargo +nightly fuzz run --fuzz-dir fuzz --sanitizer none $$target fuzz/corpus/$$target fuzz/seeds/$$target -- -max_total_time=$(FUZZ_SECONDS) -timeout=10; \
	done

soak: install
	cargo build --release --locked --bin ficus
	benches/soak/soak.py --markdown "$${CARGO_TARGET_DIR:-target}/soak.md" $(RUN)

fmt:
	cargo fmt

install:
	@.ci/install
