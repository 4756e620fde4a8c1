#!/usr/bin/env bash
# Fusion times beside the reference's, in one run on the same threads: seconds of each method on two of the reference's
# models and the recorded 400 samples, the fastest of REPEAT runs (3), and the ratio.
#
#   PYTHON=.venv/bin/python REFERENCE=path/to/checkout bash benches/reference.sh [mnist | cifar10] [METHODS] [IMPORTANCES]
#
# METHODS are the reference's names, by default hf,kf,git-rebasin,otf-acts,alf; IMPORTANCES by default
# uniform,conductance,deeplift. What OTFusion takes longer with a score than with uniform ones is the score's own time. With
# PARTS=4 (mnist) the models are four. On cifar10 the reference's kf takes some 20 minutes per importance. PYTHON needs what ../shared/bench/run_reference.py names; REFERENCE is a checkout of
# AndrewSpano/neuron-interpolation-model-fusion.
set -euo pipefail
cd "$(dirname "$0")/.."
shared=$(cd "${RUNNER_SHARED:-../shared}" && pwd)
threads=${THREADS:-2} repeat=${REPEAT:-3} dataset=${1:-mnist} methods=${2:-hf,kf,git-rebasin,otf-acts,alf}
importances=${3:-uniform,conductance,deeplift} parts=${PARTS:-2}
cargo build --release --quiet
runner=${CARGO_TARGET_DIR:-$PWD/target}/release/runner
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

case $dataset in
mnist)
    models=MLPs/MNIST experiment=mnist-mlp-reference
    levels='{"optimizer_per_level":"adam","lr_per_level":1e-4,"weight_decay_per_level":1e-4,"epochs_per_level":[25,150]}'
    ;;
cifar10)
    models=VGGs/CIFAR-10 experiment=cifar10-vgg11half-reference
    levels='{"optimizer_per_level":"adam","lr_per_level":1e-3,"weight_decay_per_level":1e-4,"epochs_per_level":[100,100,100,100,100,100,100,100,150]}'
    ;;
*) echo "error: no data set \`$dataset\` here: mnist or cifar10" >&2 && exit 2 ;;
esac

"${PYTHON:-python3}" "$shared/bench/run_reference.py" --reference "$REFERENCE" --data "$shared/data" --dataset "$dataset" \
    --models "$shared/reference-models/non-iid/$models/split-by-$parts/seed1/model_*.pt" \
    --samples 400 --methods "$methods" --importance "$importances" --repeat "$repeat" --threads "$threads" \
    --alf "$levels" 2>/dev/null >"$scratch/reference.jsonl"

# The same methods with the same scores; one method seed is enough.
filters=() && IFS=, read -ra names <<<"$methods" && IFS=, read -ra scores <<<"$importances"
for name in "${names[@]}"; do
    case $name in hf) name=hf-linear ;; kf) name=kf-linear ;; otf-acts) name=otfusion ;; alf) name=kf-gradient ;; esac
    filters+=("${scores[@]/#/-Emethod=$name,importance=}")
done
for run in $(seq "$repeat"); do
    RAYON_NUM_THREADS=$threads /usr/bin/time -f '%M' -o "$scratch/memory" "$runner" --results "$scratch/$run" exec \
        "experiments/$experiment.toml" -j 1 --data-dir "$shared/data" "${filters[@]}" split.parts=$parts method-seeds=0 \
        >/dev/null 2>&1
done

"${PYTHON:-python3}" - "$scratch" <<'PYTHON'
import glob, json, sys
ours = {}
for path in glob.glob(sys.argv[1] + "/*/*/records/fuse-*"):
    record = json.load(open(path))
    key = (record.get("method"), record.get("importance"))
    ours[key] = min(ours.get(key, 1e9), record["seconds"]["fuse"])
names = {"hf": "hf-linear", "kf": "kf-linear", "otf-acts": "otfusion", "alf": "kf-gradient"}
print("| method | importance | reference, s | runner, s | ratio |\n| --- | --- | --: | --: | --: |")
for line in open(sys.argv[1] + "/reference.jsonl"):
    r = json.loads(line)
    key = (names.get(r["method"], r["method"]), r["importance"])
    if key not in ours:  # the experiment has no such fusion
        continue
    print(f"| {key[0]} | {key[1]} | {r['seconds']:.3f} | {ours[key]:.3f} | {r['seconds'] / ours[key]:.1f} |")
PYTHON
echo "peak memory of the last run here: $(($(cat "$scratch/memory") / 1024)) MB"
