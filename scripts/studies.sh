#!/usr/bin/env bash
# Computes results/studies/, whose figures docs/reports/studies.md shows: the line between two MLPs that the reference trained
# on MNIST, and the neurons of three MLPs of width 10 that are trained here. Needs the folder `shared` beside the repository.
#
# BIN names a program built already.
set -euo pipefail
cd "$(dirname "$0")/.."
program=(cargo run --quiet --release --)
[ -z "${BIN:-}" ] || program=("$BIN")
shared=../shared
# A place with the same name each time: the study names the files.
scratch=target/studies
rm -rf "$scratch"
mkdir -p results/studies "$scratch"

models=$shared/reference-models/non-iid/MLPs/MNIST/split-by-2/seed1
"${program[@]}" interpolate "$models/model_0.pt" "$models/model_1.pt" --dataset mnist --data-dir $shared/data --samples 400 \
    --out results/studies/interpolation.json

cat >"$scratch/narrow.toml" <<'END'
name = "narrow"
[dataset]
name = "mnist"
[split]
kind = "non-iid"
parts = 3
[model]
hidden = [10]
[base]
epochs = 10
END
"${program[@]}" --results "$scratch" --data-dir $shared/data exec "$scratch/narrow.toml" >/dev/null
"${program[@]}" importance --kind uniform,conductance,deeplift --models "$scratch/narrow/cache/checkpoints/train-model_*" \
    --dataset mnist --data-dir $shared/data --samples 100 --images 0,1 --out results/studies/neurons.json
