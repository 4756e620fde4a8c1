# `just` lists the recipes; `just ci` is what CI runs.

default:
    @just --list

# All checks, cheapest first
ci:
    bash .ci/run

# Unit, integration and documentation tests
test *ARGS:
    cargo test {{ ARGS }}

# Format the code
fmt:
    cargo fmt

# Everything generated: docs/manifest.*, the blocks between markers in README.md
docs:
    bash scripts/docs.sh

# The library's documentation in a browser
doc:
    cargo doc --no-deps --open

# Run the two experiments whose results are committed; the second needs ../shared
experiments:
    cargo run --release -- exec experiments/quickstart.toml
    cargo run --release -- exec experiments/mnist-mlp-reference.toml

# Measure; needs hyperfine and GNU time
bench:
    cargo build --release
    bash benches/cli.sh

# Measure a sweep of 100,000 jobs; needs GNU time
scale:
    cargo build --release
    bash benches/scale.sh

# Known vulnerabilities of the dependencies; needs GitHub
advisories:
    cargo deny check advisories

# The feature `cuda` without a GPU: compiled, and run on a simulated one. Not part of CI: candle's kernels take minutes.
cuda:
    bash scripts/cuda.sh check
    bash scripts/cuda.sh simulate
