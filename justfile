# `just` lists the recipes; `just ci` is what CI runs.

default:
    @just --list

# All checks, cheapest first
ci:
    bash .ci/run

# Run unit, integration and documentation tests
test *ARGS:
    cargo test {{ ARGS }}

# Format the code
fmt:
    cargo fmt

# Generate docs/manifest.*, docs/pictures and the blocks between markers in README.md and docs/
docs:
    bash scripts/docs.sh

# Open the library's documentation in a browser
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

# Check the dependencies for known vulnerabilities; needs GitHub
advisories:
    cargo deny check advisories

# Build the feature `cuda` and run it on a simulated GPU. Not part of CI: candle's kernels take minutes to compile.
cuda:
    bash scripts/cuda.sh check
    bash scripts/cuda.sh simulate
