#!/usr/bin/env bash
# The convolutions of VGG11 (batches of 128 images of 32x32) beside PyTorch's, on THREADS threads (2) each; prints a
# table for benches/README.md. The last row is the network up to its classifier: inference is its forward pass,
# training both. Needs an idle machine and a Python with torch:
#
#   PYTHON=.venv/bin/python bash benches/nn.sh
set -euo pipefail
cd "$(dirname "$0")/.."

threads=${THREADS:-2}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

cargo bench --quiet --bench conv --no-run
RAYON_NUM_THREADS=$threads cargo bench --quiet --bench conv >"$scratch/ours"
"${PYTHON:-python3}" benches/nn.py "$threads" >"$scratch/torch"

echo "| layer | forward, PyTorch (ms) | forward (ms) | ratio | both, PyTorch (ms) | both (ms) | ratio |"
echo "| --- | --: | --: | --: | --: | --: | --: |"
paste "$scratch/torch" "$scratch/ours" | awk -F'\t' '$1 != $4 { exit 1 } {
    printf "| %s | %.1f | %.1f | %.2f | %.1f | %.1f | %.2f |\n", $1, $2, $5, $2 / $5, $2 + $3, $5 + $6, ($2 + $3) / ($5 + $6)
}'
