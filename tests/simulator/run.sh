#!/usr/bin/env bash
# run.sh FOLDER: the program and benches/gpu in FOLDER on the simulated GPU, whose libraries are on LD_LIBRARY_PATH.
# It runs every line of Rust that a GPU would run, and the kernels' sources compiled for the CPU. It shows nothing of speed,
# of races between threads, or of NVIDIA's own libraries.
set -euo pipefail
folder=$(cd "${1:?a folder}" && pwd)
runner=$folder/runner gpu=$folder/gpu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export RAYON_NUM_THREADS=${RAYON_NUM_THREADS:-2}

# fails CODE TEXT COMMAND...: the command ends with this code and says this.
fails() {
    local code=$1 text=$2 found=0
    shift 2
    "$@" >"$work/out" 2>&1 || found=$?
    if [ "$found" != "$code" ] || ! grep -qF -- "$text" "$work/out"; then
        echo "error: \`$*\` ended with $found instead of $code, or did not say: $text" >&2
        cat "$work/out" >&2
        exit 1
    fi
    echo "ok     $text"
}

echo "== devices"
manifest=experiments/quickstart.toml
fails 0 "cuda:0 (Simulated GPU)" "$runner" check "$manifest" --device cuda
fails 0 "cuda:0 (Simulated GPU)" "$runner" check "$manifest"
fails 2 "there is no GPU 1: this machine has one GPU, number 0" "$runner" check "$manifest" --device cuda:1
SIMULATOR_DEVICES=0 fails 2 "there is no NVIDIA GPU on this machine" "$runner" check "$manifest" --device cuda
SIMULATOR_DEVICES=0 fails 0 "cpu" "$runner" check "$manifest"

echo "== parity"
"$gpu" parity op kernel cuSOLVER "step small" "step mlp" "in f64 mlp" "in f64 small-vit" method scores
if [ -d "$folder/inputs" ]; then
    echo "== recorded cases"
    "$gpu" parity --inputs "$folder/inputs" "golden mnist"
fi
echo "== determinism"
"$gpu" determinism kernel "step small" hf-linear kf-gradient

echo "== an experiment, again on the device, and on the CPU"
results=(--results "$work/results")
few=(base.epochs=2 seeds=[1] split.parts=[2])
"$runner" exec "$manifest" "${few[@]}" --device cuda "${results[@]}" | tail -3
fails 0 "6 of 6 verified jobs are the same" "$runner" verify "$manifest" "${few[@]}" --device cuda "${results[@]}"
fails 0 "verified jobs" "$runner" verify "$manifest" "${few[@]}" --device cpu --tolerance 0.02 "${results[@]}"

# recorded TEXT RESULTS: some record says this.
recorded() {
    grep -rqF -- "$1" "$2"/*/records || { echo "error: no record says: $1" >&2 && exit 1; }
    echo "ok     recorded: $1"
}

echo "== what ran on the host"
recorded "\"host\"" "$work/results"
recorded "assignment" "$work/results"

echo "== memory used up: after a second try the job fails and says so, and with memory everything is done"
SIMULATOR_MEMORY=300000 fails 100 "memory is used up" "$runner" exec "$manifest" "${few[@]}" --device cuda --results "$work/full"
recorded "run fewer jobs at a time" "$work/full"
fails 0 "0 failed, 0 skipped" "$runner" exec "$manifest" "${few[@]}" --device cuda --results "$work/full"

echo "== a device lost in mid-run: nothing that was done is lost"
SIMULATOR_FAIL_AFTER=3000 fails 100 "1 run, 1 failed" "$runner" exec "$manifest" "${few[@]}" --device cuda --jobs 1 --results "$work/lost"
recorded "the GPU does not answer any more" "$work/lost"
fails 0 "1 up to date" "$runner" exec "$manifest" "${few[@]}" --device cuda --results "$work/lost"

echo "== precision"
for precision in tf32 bf16; do
    fails 2 "is for GPUs" "$runner" check "$manifest" --device cpu base.precision="\"$precision\""
    fails 0 "" "$runner" exec "$manifest" "${few[@]}" --device cuda --results "$work/$precision" base.precision="\"$precision\""
done
