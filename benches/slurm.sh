#!/usr/bin/env bash
# 10,400 tiny jobs through a real Slurm of two nodes on this machine, as packed arrays, and nothing lost. Needs root, Debian's
# packages slurmctld, slurmd, slurm-client and munge, `../shared/tools/slurm-dev-cluster`, and a release build:
#
#   cargo build --release && bash benches/slurm.sh
#
# BIN names another program, PACK the jobs of a task (100).
set -euo pipefail
cd "$(dirname "$0")/.."

bin=$(realpath "${BIN:-${CARGO_TARGET_DIR:-target}/release/runner}")
shared=$(realpath "${RUNNER_SHARED:-../shared}")
unset RUNNER_SHARED
sweep=$PWD/benches/plan-10000.toml
scratch=$(mktemp -d)
chmod 755 "$scratch" # munged insists
export SLURM_DEV_DIR=$scratch/slurm SLURM_DEV_PORT=19800
tool=$shared/tools/slurm-dev-cluster
trap '"$tool" stop >/dev/null 2>&1; rm -rf "$scratch"' EXIT
eval "$("$tool" start)"
cd "$scratch"

seconds() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(seconds)" 'BEGIN { printf "%.2f s", b - a }'; }

# Nodes are not the machine that asks: until it has, they run nothing.
scontrol update NodeName=n1,n2 State=DRAIN Reason=waits
start=$(seconds)
"$bin" exec "$sweep" --executor slurm --device cpu slurm.pack="${PACK:-100}" | head -n 1
echo "submitted in $(since "$start")"
for _ in 1 2 3; do
    asked=$(seconds)
    "$bin" status plan-10000 --format json >status.json
    echo "status with all queued: $(since "$asked"), of it squeue: $(start=$(seconds); squeue -h -r -t all >/dev/null; since "$start")"
done
scontrol update NodeName=n1,n2 State=RESUME
start=$(seconds)
while [ -n "$(squeue -h)" ]; do
    asked=$(seconds)
    "$bin" status plan-10000 | tail -n 1 >status.txt
    echo "status beside eight tasks on these $(nproc) cores: $(since "$asked"), $(cat status.txt)"
    sleep 3
done
echo "all tasks ended after $(since "$start")"
start=$(seconds)
"$bin" status plan-10000
echo "status with all done: $(since "$start")"
start=$(seconds)
"$bin" exec "$sweep" --executor slurm --device cpu >/dev/null
echo "resubmitted (all done), tables made in $(since "$start")"
echo "records: $(find results/plan-10000/records -name '*.json' | wc -l); claims left:" \
    "$(find results/plan-10000/cache/claims -type f | wc -l)"
