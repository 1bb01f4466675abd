# Installs what is missing and dispatches; everything else is in tools/ and in the crates.
# `make run` and `make test` are idempotent and quick the second time.

SHELL := /bin/bash
# A rustup of this user need not be on the PATH; one on the PATH comes first.
export PATH := $(PATH):$(HOME)/.cargo/bin

.PHONY: run test check-style docs book soak bench bench-report deb-amd64 deb-arm64 install-run install-test build

## run: the demo line, once, in real time, with its page; `make run ARGS=--loop` until Ctrl-C
run: build
	target/release/sightline run $(ARGS)

build: install-run
	cargo build --release --locked --package sightline

## test: the tests of every crate
test: install-test
	tools/test

## check-style: formatting, clippy, dependencies
check-style: install-test
	@tools/install-cargo-deny
	tools/check-style

## docs: the API documentation
docs: install-test
	RUSTDOCFLAGS=--deny=warnings cargo doc --locked --workspace --no-deps

## book: docs/ as a book, in target/book
book:
	@tools/install-packages run
	@tools/install-mdbook
	tools/build-book

## soak: what takes too long for every change
soak: install-test
	tools/soak

## bench: our own code, stage by stage
bench: install-run
	cargo bench --locked --package sightline --bench stages

## bench-report: everything that docs/performance.md shows, on a machine that does nothing else
bench-report: install-test
	tools/bench-report

## deb-amd64, deb-arm64: Debian packages of the inspector, in target/debian
deb-amd64:
	cross/package amd64

deb-arm64:
	cross/package arm64

install-run:
	@tools/install-packages run
	@tools/install-rust
	@tools/install-onnxruntime

install-test:
	@tools/install-packages test
	@tools/install-rust
	@tools/install-onnxruntime
	@tools/install-libtorch
	@tools/install-python-checks
	@tools/install-page-checks
