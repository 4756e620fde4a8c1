#!/usr/bin/env bash
# A sweep of 100,000 jobs that compute next to nothing: how long the runner takes to plan it, to run it, to find it all
# done, and to say how it stands. Prints the table of benches/README.md. Needs GNU time and a release build: `just scale`, or
#
#   cargo build --release && bash benches/scale.sh [SEEDS]
#
# SEEDS (default 1000) seeds give 100 jobs each. BIN names another program to measure. It writes to a temporary folder of
# $TMPDIR, which is to be on a disk, not in memory, for the figures to mean something.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=${BIN:-${CARGO_TARGET_DIR:-target}/release/runner}
seeds=${1:-1000}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# 16 images of 2 x 2 pixels in two classes; black ones and white ones.
black=iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAAAAABX3VL4AAAAC0lEQVR42mNgAAEAAAYAAW0oEC8AAAAASUVORK5CYII=
white=iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAAAAABX3VL4AAAADklEQVR42mP4/5/h/38AC/oD/f1NxGYAAAAASUVORK5CYII=
for part in train test; do
    for class in black white; do
        mkdir -p "$scratch/dots/$part/$class"
        for i in 1 2 3 4 5 6 7 8; do base64 -d <<<"${!class}" >"$scratch/dots/$part/$class/$i.png"; done
    done
done
sed -e "s|SCRATCH|$scratch|" -e "s/SEEDS/$(seq -s, 1 "$seeds")/" benches/scale.toml >"$scratch/scale.toml"

# row NAME LIMIT COMMAND...: seconds, processor seconds and peak memory of one run.
row() {
    local name=$1 limit=$2
    shift 2
    command time -f '%e %U %S %M' -o "$scratch/time" "$@" >/dev/null 2>"$scratch/log" || { cat "$scratch/log" >&2; exit 1; }
    read -r seconds user system kilobytes <"$scratch/time"
    processor=$(awk -v u="$user" -v s="$system" 'BEGIN { print u + s }')
    echo "| $name | $limit | $seconds | $processor | $((kilobytes / 1024)) |"
}

runner=("$bin" --results "$scratch/results")
echo "$("$bin" --version), $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2 | xargs), $(nproc) cores, $(date -u +%F)," \
    "$(df --output=fstype "$scratch" | tail -1), $((seeds * 100)) jobs, load $(cut -d' ' -f1 /proc/loadavg)"
echo
echo "| what | limit | s | processor s | MB |"
echo "| --- | --- | --: | --: | --: |"
row "plan: \`list\`" "5 s, 500 MB" "${runner[@]}" list "$scratch/scale.toml"
row "plan with reasons: \`exec --dry-run\`" "5 s, 500 MB" "${runner[@]}" exec --dry-run "$scratch/scale.toml"
row "run" "$((seeds * 100 / 2000)) s" "${runner[@]}" exec "$scratch/scale.toml"
run=$seconds
row "resume, all done" "2 s" "${runner[@]}" exec "$scratch/scale.toml"
row "status" "1 s" "${runner[@]}" status scale
echo
awk -v jobs=$((seeds * 100)) -v run="$run" 'BEGIN { printf "%.0f jobs a second.\n", jobs / run }'
