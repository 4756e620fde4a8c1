#!/usr/bin/env bash
# Fusion times beside the reference's, in one run on the same threads: seconds of each method on the reference's two
# MNIST models and the recorded 400 samples, the fastest of three, and the ratio.
#
#   PYTHON=.venv/bin/python REFERENCE=path/to/checkout bash benches/reference.sh
#
# PYTHON needs what ../shared/bench/run_reference.py names; REFERENCE is a checkout of
# AndrewSpano/neuron-interpolation-model-fusion.
set -euo pipefail
cd "$(dirname "$0")/.."
shared=$(cd "${RUNNER_SHARED:-../shared}" && pwd)
threads=${THREADS:-2}
cargo build --release --quiet
runner=$PWD/target/release/runner
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

"${PYTHON:-python3}" "$shared/bench/run_reference.py" --reference "$REFERENCE" --data "$shared/data" --dataset mnist \
    --models "$shared/reference-models/non-iid/MLPs/MNIST/split-by-2/seed1/model_*.pt" \
    --samples 400 --methods hf,kf,git-rebasin,otf-acts,alf --importance uniform,conductance --repeat 3 \
    --threads "$threads" \
    --alf '{"optimizer_per_level":"adam","lr_per_level":1e-4,"weight_decay_per_level":1e-4,"epochs_per_level":[25,150]}' \
    2>/dev/null >"$scratch/reference.jsonl"

for run in 1 2 3; do
    RAYON_NUM_THREADS=$threads "$runner" --results "$scratch/$run" exec experiments/mnist-mlp-non-iid.toml -j 1 \
        --data-dir "$shared/data" split.parts=2 >/dev/null 2>&1
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
    print(f"| {key[0]} | {key[1]} | {r['seconds']:.3f} | {ours[key]:.3f} | {r['seconds'] / ours[key]:.1f} |")
PYTHON
