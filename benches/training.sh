#!/usr/bin/env bash
# Training steps and inference beside PyTorch's, in one run on the same threads: images per second of each, the ratio.
#
#   PYTHON=.venv/bin/python REFERENCE=path/to/checkout bash benches/training.sh [CASE...]
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
cases=("$@")
[ $# -gt 0 ] || cases=(mlp vgg11 resnet18 vit)

bench=$(cargo bench --bench training --no-run 2>&1 | sed -n 's/.*(\(.*training-[0-9a-f]*\)).*/\1/p')
rows=$(mktemp)
trap 'rm -f "$rows"' EXIT
for _ in $(seq "$rounds"); do
    RAYON_NUM_THREADS=$threads "$bench" "$steps" "${cases[@]}" | sed 's/^/ours /' >>"$rows"
    "$python" "$shared/bench/torch_training.py" --reference "$reference" --threads "$threads" \
        --cases "$(IFS=,; echo "${cases[*]}")" --steps "$steps" | sed 's/^/torch /' >>"$rows"
done

# Median of the images per second: of whom, case, phase.
median() {
    sed -n "s/^$1 .*\"case\": \"$2\", \"phase\": \"$3\".*\"images_per_second\": \([0-9.]*\).*/\1/p" "$rows" | sort -g |
        sed -n "$(((rounds + 1) / 2))p"
}
echo "| network | phase | PyTorch, images/s | runner, images/s | ratio |"
echo "| --- | --- | --: | --: | --: |"
for case in "${cases[@]}"; do
    for phase in train inference; do
        awk -v case="$case" -v phase="$phase" -v ours="$(median ours "$case" $phase)" -v torch="$(median torch "$case" $phase)" \
            'BEGIN { printf "| %s | %s | %.1f | %.1f | %.2f |\n", case, phase, torch, ours, ours / torch }'
    done
done
