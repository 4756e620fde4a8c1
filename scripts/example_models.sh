#!/usr/bin/env bash
# Trains the networks in example-base-models/ anew, from the manifests that experiments with them begin with.
#
#   bash scripts/example_models.sh DATA-FOLDER      (with MNIST in it; about two minutes on two cores)
#
# BIN names a program built already. Run twice, it gives the same files; `git diff --stat` then shows nothing.
set -euo pipefail
data=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
for variable in $(compgen -e RUNNER_ || true); do unset "$variable"; done
program=(cargo run --quiet --release --)
[ -z "${BIN:-}" ] || program=("$BIN")
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
models=example-base-models/non-iid/MLPs

# What is not run is reported as missing, at length.
train() { "${program[@]}" --results "$results" exec "$@" -E kind=train >/dev/null 2>"$results/log" || { cat "$results/log" >&2; exit 1; }; }
train experiments/quickstart.toml seeds=1,2 'split.parts=[2]'
train experiments/mnist-mlp-non-iid.toml --data-dir "$data" seeds=1
rm -rf "$models"
for checkpoint in "$results"/*/cache/checkpoints/train-model_*.safetensors; do
    name=${checkpoint##*/}
    [[ $name =~ ^train-model_([0-9]+)-parts=([0-9]+)-seed=([0-9]+)- ]]
    case $checkpoint in */quickstart/*) set=digits ;; *) set=MNIST ;; esac
    folder=$models/$set/split-by-${BASH_REMATCH[2]}/seed${BASH_REMATCH[3]}
    mkdir -p "$folder"
    cp "$checkpoint" "$folder/model_${BASH_REMATCH[1]}.safetensors"
done
(cd example-base-models && find non-iid -name '*.safetensors' | LC_ALL=C sort | xargs sha256sum >SHA256SUMS)
du -sb example-base-models
