# demo: the migration story on real parts; CHECK=1 plays it and exits 0 or 1.
# test: everything that CI checks. check: the part of it that needs no database. bench: the figures. fmt: formats.

.PHONY: demo test check bench fmt install

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

fmt:
	cargo fmt

install:
	@.ci/install
