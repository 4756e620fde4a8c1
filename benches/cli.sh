#!/usr/bin/env bash
# Measures the program from outside; prints the table of benches/README.md. Needs hyperfine and GNU time
# (`apt-get install hyperfine time`) and a release build: `just bench`, or
#
#   cargo build --release && bash benches/cli.sh
#
# BIN names another program to measure (a variable RUNNER_BIN would set the manifest's key `bin`).
set -euo pipefail
cd "$(dirname "$0")/.."

bin=${BIN:-${CARGO_TARGET_DIR:-target}/release/runner}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
sweep=benches/plan-10000.toml
quick=experiments/quickstart.toml

# measure NAME LIMIT [hyperfine options] COMMAND: one row, times in seconds.
measure() {
    local name=$1 limit=$2
    shift 2
    hyperfine --style none --shell none --export-csv "$scratch/row.csv" "$@" >&2
    # Columns of the CSV: command, mean, stddev, median, user, system, min, max.
    awk -F, -v name="$name" -v limit="$limit" \
        'NR == 2 { printf "| %s | %s | %.3f | %.3f | %.3f | %.3f |\n", name, limit, $(NF-6), $(NF-5), $(NF-1), $NF }' \
        "$scratch/row.csv"
}

peak() { command time -f %M -o "$scratch/peak" "$@" >/dev/null 2>&1; echo "$(($(cat "$scratch/peak") / 1024)) MB"; }

echo "$("$bin" --version), $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2 | xargs), $(nproc) cores," \
    "$(free -g | awk '/Mem/ { print $2 }') GB, $(date -u +%F)"
echo
echo "| what | limit | mean (s) | deviation | least | most |"
echo "| --- | --: | --: | --: | --: | --: |"
measure "quickstart, nothing cached: 39 jobs" "20 s" --runs 5 --prepare "rm -rf $scratch/quick" \
    "$bin --results $scratch/quick exec $quick"
measure "quickstart, all cached" "0.3 s" --runs 20 "$bin --results $scratch/quick exec $quick"
measure "\`runner --help\`" "0.02 s" --runs 50 --warmup 3 "$bin --help"
measure "plan 10,400 jobs: \`runner list\`" "1 s" --runs 10 --warmup 1 "$bin --results $scratch/sweep list $sweep"
measure "plan 10,400 jobs with reasons: \`exec --dry-run\`" "1 s" --runs 10 --warmup 1 \
    "$bin --results $scratch/sweep exec --dry-run $sweep"
measure "run 10,400 tiny jobs" "" --runs 1 "$bin --results $scratch/sweep exec $sweep"
measure "the same, all cached" "" --runs 5 "$bin --results $scratch/sweep exec $sweep"
measure "table over 10,400 records" "2 s" --runs 10 --warmup 1 "$bin --results $scratch/sweep table plan-10000"
echo
echo "Peak memory: $(peak "$bin" list $sweep) for the plan (limit 200 MB)," \
    "$(peak "$bin" --results "$scratch/sweep" table plan-10000) for the table," \
    "$(peak "$bin" --results "$scratch/peak-quick" exec $quick) for the quickstart."
