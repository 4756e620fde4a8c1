#!/usr/bin/env bash
# What training has to reach: accuracies, and speed beside PyTorch and without augmentation.
#
#   PYTHON=.venv/bin/python bash benches/bars.sh [mnist] [vgg] [throughput] [augment]
#
# Without arguments, all of it, some 40 minutes on two idle cores, most of them for `vgg`. SEEDS (1,2,3) are those of `mnist`
# and `vgg`, whose trainings begin in PyTorch with the same weights and take the samples in the same order as here. RESULTS
# names a folder that keeps what was trained, so that an interrupted run goes on. PYTHON needs torch, torchvision, pyarrow,
# Pillow and safetensors; the data is expected in ../shared/data or RUNNER_SHARED.
set -euo pipefail
cd "$(dirname "$0")/.."
shared=$(cd "${RUNNER_SHARED:-../shared}" && pwd)
seeds=${SEEDS:-1,2,3} threads=${THREADS:-2} python=${PYTHON:-python3}
runner=${RUNNER_BIN:-${CARGO_TARGET_DIR:-$PWD/target}/release/runner}
[ -n "${RUNNER_BIN:-}" ] || cargo build --release --quiet
unset RUNNER_BIN RUNNER_SHARED
results=${RESULTS:-$(mktemp -d)}
[ -n "${RESULTS:-}" ] || trap 'rm -rf "$results"' EXIT

train() { # manifest, arguments: trains one network after the other
    local manifest=$1 && shift
    RAYON_NUM_THREADS=$threads "$runner" --results "$results" exec "benches/$manifest.toml" -j 1 \
        --data-dir "$shared/data" "$@" >/dev/null 2>&1
}
torch() { "$python" benches/bars.py "$@" --data "$shared/data" --threads "$threads" 2>/dev/null; }

# Accuracies by value of an axis: mean, the single ones, and the mean losses of each epoch.
accuracies() {
    "$python" - "$results/$1/records" <<'PYTHON'
import glob, json, sys
found = {}
for path in sorted(glob.glob(sys.argv[1] + "/train-*.json")):
    record = json.load(open(path))
    kinds = record["axes"].get("base.augment") or []
    name = ", ".join(kind["name"] if isinstance(kind, dict) else kind for kind in kinds) or "none"
    losses = [f"{epoch['train-loss']:.2f}" for epoch in record["diagnostics"]["epochs"]]
    found.setdefault(name, []).append((100 * record["metrics"]["accuracy"], losses))
for name, runs in found.items():
    print(f"runner, augmentation {name}: mean {sum(value for value, _ in runs) / len(runs):.2f} %")
    for value, losses in runs:
        print(f"  {value:.2f} %, losses", *losses)
PYTHON
}
summed() { "$python" -c '
import json, sys
runs = [json.loads(line) for line in sys.stdin]
values = [100 * run["accuracy"] for run in runs]
print(f"PyTorch: mean {sum(values) / len(values):.2f} %")
for value, run in zip(values, runs):
    print(f"  {value:.2f} %, losses", *(f"{loss:.2f}" for loss in run["losses"]))'; }

for what in "${@:-mnist vgg throughput augment}"; do for part in $what; do
    echo "== $part"
    case $part in
    mnist)
        train bars-mnist "seeds=[$seeds]"
        accuracies bars-mnist
        ;;
    vgg)
        "$python" -c 'import safetensors.torch, pyarrow'
        mkdir -p "$results/starts"
        cargo bench --quiet --bench starts -- "$results/starts" ${seeds//,/ }
        train bars-vgg "seeds=[$seeds]"
        accuracies bars-vgg
        torch vgg --epochs 5 --seeds "$seeds" --starts "$results/starts" | summed
        ;;
    throughput) # images per second of training, in alternating rounds
        for round in 1 2 3; do
            rm -rf "$results/bars-mnist"
            train bars-mnist seeds=1 'base.augment=[]' base.epochs=5
            "$python" -c '
import glob, json, sys
ours = json.load(open(glob.glob(sys.argv[1])[0]))["seconds"]["train"]
theirs = json.loads(sys.stdin.read())["images_per_second"]
ours = 5 * 60000 / ours
print(f"round {sys.argv[2]}: runner {ours:.0f} images/s, PyTorch {theirs:.0f}, ratio {ours / theirs:.1f}")' \
                "$results/bars-mnist/records/train-*.json" "$round" < <(torch mnist --epochs 1)
        done
        ;;
    augment)
        for round in 1 2 3; do
            rm -rf "$results/bars-augment"
            train bars-augment -E 'kind=train,model=0'
            "$python" - "$results/bars-augment/records" "$round" <<'PYTHON'
import glob, json, sys
seconds = {}
for path in glob.glob(sys.argv[1] + "/train-model_0-*.json"):
    record = json.load(open(path))
    seconds[bool(record["axes"]["base.augment"])] = record["seconds"]["train"]
print(f"round {sys.argv[2]}: {seconds[False]:.1f} s without, {seconds[True]:.1f} s with augmentation, {100 * seconds[False] / seconds[True]:.1f} %")
PYTHON
        done
        ;;
    *) echo "error: no part \`$part\`: mnist, vgg, throughput or augment" >&2 && exit 2 ;;
    esac
done; done
