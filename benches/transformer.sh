#!/usr/bin/env bash
# Training steps of a ViT beside PyTorch's, in one run on the same threads: images per second of each, the ratio.
#
#   PYTHON=.venv/bin/python REFERENCE=path/to/checkout bash benches/transformer.sh
#
# PYTHON needs what ../shared/bench/torch_training.py names; REFERENCE is a checkout of
# AndrewSpano/neuron-interpolation-model-fusion. Rounds alternate, so that what else the machine does hits both; the
# ratio is of the medians.
set -euo pipefail
cd "$(dirname "$0")/.."
shared=$(cd "${RUNNER_SHARED:-../shared}" && pwd)
threads=${THREADS:-2} rounds=${ROUNDS:-3} steps=${STEPS:-5}
python=${PYTHON:-python3}
reference=$(cd "${REFERENCE:?a checkout of the reference}" && pwd)

bench=$(cargo bench --bench transformer --no-run 2>&1 | sed -n 's/.*(\(.*transformer-[0-9a-f]*\)).*/\1/p')
rows=$(mktemp)
trap 'rm -f "$rows"' EXIT
for _ in $(seq "$rounds"); do
    RAYON_NUM_THREADS=$threads "$bench" "$steps" | sed 's/^/ours /' >>"$rows"
    "$python" "$shared/bench/torch_training.py" --reference "$reference" --threads "$threads" --cases vit \
        --steps "$steps" | grep '"train"' | sed 's/^/torch /' >>"$rows"
done

median() { sed -n "s/^$1 .*\"images_per_second\": \([0-9.]*\).*/\1/p" "$rows" | sort -g | sed -n "$(((rounds + 1) / 2))p"; }
ours=$(median ours) torch=$(median torch)
grep '^ours' "$rows" | sed 's/^ours //'
awk -v ours="$ours" -v torch="$torch" -v threads="$threads" 'BEGIN {
    printf "ViT, batch 128, %d threads: %.1f images/s, PyTorch %.1f, ratio %.2f\n", threads, ours, torch, ours / torch
}'
