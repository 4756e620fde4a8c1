#!/usr/bin/env bash
# What a GPU has to show, in one run of some minutes: `bash benches/gpu.sh [OUT]`. The machine needs NVIDIA's driver and CUDA
# 13's libraries, no Rust: `bash scripts/cuda.sh pack` elsewhere, and carry target/cuda.tar.xz, which is unpacked here (or the
# folder target/cuda; BIN names another). Writes OUT (default results/gpu-NAME.md, by the GPU's name), which is to be committed.
#
# With Python and torch (PYTHON), the same trainings and fusions in PyTorch, eager. BUDGET is the most seconds that each part
# may take (default 120).
#
# DEVICE=cpu runs everything on the CPU, small: a test of this script.
set -uo pipefail
cd "$(dirname "$0")/.."
bin=${BIN:-target/cuda} device=${DEVICE:-cuda:0} python=${PYTHON:-python3} budget=${BUDGET:-120}
small=() recorded=golden
[ "$device" = cpu ] && small=(small) && recorded="golden mnist"
inputs=$bin/inputs
[ -x "$bin/gpu" ] || [ ! -f target/cuda.tar.xz ] || tar -C target -xJf target/cuda.tar.xz

# Where the toolkit or PyTorch's packages keep the libraries.
for place in /usr/local/cuda/lib64 $("$python" -c 'import glob, site
for root in site.getsitepackages(): print(*glob.glob(root + "/nvidia/*/lib"))' 2>/dev/null); do
    [ -d "$place" ] && LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$place"
done
export LD_LIBRARY_PATH PYTHONUNBUFFERED=1

name=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -1 | tr ' /' '--')
out=${1:-results/gpu-${name:-$device}.md}
mkdir -p "$(dirname "$out")"
failed=0

# part TITLE COMMAND...: its output under a heading; goes on when it fails.
part() {
    local title=$1 start=$SECONDS code=0
    shift
    printf '\n## %s\n\n```text\n' "$title"
    timeout "$budget" "$@" 2>&1 || code=$?
    printf '```\n\n'
    case $code in
    0) echo "$((SECONDS - start)) s." ;;
    124) echo "Stopped after $budget s." ;;
    *) echo "FAILED with code $code after $((SECONDS - start)) s." ;;
    esac
    [ $code = 0 ] || failed=$((failed + 1))
}

report() {
    echo "# ${name:-$device}"
    echo
    echo "By \`benches/gpu.sh\` on $(date -u +%F), commit $(cat "$bin/commit" 2>/dev/null || echo unknown)."
    part "Machine" bash -c 'uname -srm; nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv 2>/dev/null || true'
    local results
    results=$(mktemp -d)
    part "Quickstart" "$bin/runner" exec experiments/quickstart.toml --device "$device" --results "$results"
    part "Quickstart on the CPU" "$bin/runner" verify experiments/quickstart.toml --device cpu --results "$results" --tolerance 0.02
    rm -rf "$results"
    part "Speed" "$bin/gpu" speed --device "$device" ${small[@]+"${small[@]}"} ${SPEED:-}
    if "$python" -c 'import torch' 2>/dev/null; then
        part "PyTorch, eager" "$python" benches/gpu.py --device "${device%%:*}" ${small[@]+"${small[@]}"}
    else
        printf '\nNo PyTorch here.\n'
    fi
    part "Parity with the CPU" "$bin/gpu" parity --device "$device" ${PARITY:-}
    part "Determinism" "$bin/gpu" determinism --device "$device" ${PARITY:-kernel "step small" "step v" method}
    if [ -d "$inputs" ]; then
        part "Recorded cases, parity with the CPU" "$bin/gpu" parity --device "$device" --inputs "$inputs" "$recorded"
        part "Recorded cases, determinism" "$bin/gpu" determinism --device "$device" --inputs "$inputs" "golden mnist"
    else
        printf '\nNo recorded cases here.\n'
    fi
    printf '\n%s parts failed.\n' "$failed"
    return "$failed"
}
report | tee "$out"
exit "${PIPESTATUS[0]}"
