#!/usr/bin/env bash
# How long the page of 10,400 jobs takes: to make, and to open in a headless Chromium until its script ran to its end, as the
# page itself tells (`data-ready`, milliseconds since navigation). Needs a release build and a Chromium:
#
#   cargo build --release && bash benches/page.sh
#
# BIN names another program, RESULTS a folder that holds the results of benches/plan-10000.toml already.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=${BIN:-${CARGO_TARGET_DIR:-target}/release/runner}
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
results=${RESULTS:-$scratch/results}
[ -f "$results/plan-10000/index.json" ] || "$bin" --results "$results" exec benches/plan-10000.toml >/dev/null 2>&1

milliseconds() { echo $((($(date +%s%N) - $1) / 1000000)); }

since=$(date +%s%N)
"$bin" --results "$results" report plan-10000 --out "$scratch/report.html" >/dev/null
made=$(milliseconds "$since")

echo "$("$bin" --version), $("$browser" --version), $(nproc) cores, $(date -u +%F)"
echo "made in $made ms: $(du -k "$scratch/report.html" | cut -f1) KiB, $(ls "$results/plan-10000/records" | wc -l) records"
for _ in 1 2 3 4 5; do
    since=$(date +%s%N)
    "$browser" --headless=new --no-sandbox --disable-gpu --disable-background-networking --no-first-run \
        --user-data-dir="$scratch/profile" --dump-dom "file://$scratch/report.html" 2>/dev/null >"$scratch/dom"
    wall=$(milliseconds "$since")
    ready=$(grep -o 'data-ready="[0-9]*"' "$scratch/dom" | grep -o '[0-9]*')
    echo "open after $ready ms; the browser from start to end $wall ms"
done
