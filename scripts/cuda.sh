#!/usr/bin/env bash
# The feature `cuda` on a machine that may have neither a GPU nor CUDA: `bash scripts/cuda.sh COMMAND`.
#
#   check      cargo check with the feature, our kernels to PTX by nvcc
#   build      the program and benches/gpu with the feature, stripped, in target/cuda/
#   inputs     the recorded cases' networks and fusion sets from ../shared (or RUNNER_SHARED), in target/cuda/inputs (42 MB)
#   pack       build and inputs, in target/cuda.tar.xz: what a GPU machine needs for benches/gpu.sh
#   simulate   build, and run both on a simulated GPU (tests/simulator): parity, experiments, failures
#
# nvcc is taken from the PATH. Where there is none, CUDA 13.0's compiler and libraries come from PyPI into CUDA_TOOLS
# (default target/cuda-tools, 2 GB). CUDA_COMPUTE_CAP is the GPU that candle's kernels are compiled for (default 90: H100,
# H200). PROFILE is cargo's (default release); CARGO is cargo.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo} profile=${PROFILE:-release}
export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-90}

tools() {
    command -v nvcc >/dev/null && [ -n "${CUDA_HOME:-}" ] && [ -z "${CUDA_TOOLS:-}" ] && return
    local at
    at=$(mkdir -p "${CUDA_TOOLS:=target/cuda-tools}" && realpath "$CUDA_TOOLS")
    if [ ! -x "$at/cuda/bin/nvcc" ]; then
        python3 -m venv "$at/venv"
        "$at/venv/bin/pip" install -q "nvidia-cuda-nvcc==13.0.*" "nvidia-cuda-crt==13.0.*" "nvidia-nvvm==13.0.*" \
            "nvidia-cuda-cccl==13.0.*" "nvidia-cuda-runtime==13.0.*" "nvidia-cuda-nvrtc==13.0.*" "nvidia-cublas==13.*" \
            nvidia-curand
        ln -sfn "$(echo "$at"/venv/lib/python3*/site-packages/nvidia/cu13)" "$at/cuda"
    fi
    if [ ! -e "$at/cuda/lib/libcuda.so" ]; then
        "$cargo" fetch --locked
        bash scripts/cuda_stubs.sh "$at/cuda/lib"
        ln -sfn libnvrtc.so.13 "$at/cuda/lib/libnvrtc.so"
        ln -sfn libcudart.so.13 "$at/cuda/lib/libcudart.so"
    fi
    export CUDA_HOME=$at/cuda CUDA_PATH=$at/cuda CUDA_ROOT=$at/cuda PATH=$at/cuda/bin:$PATH
    export NVCC_CCBIN=${NVCC_CCBIN:-$(command -v g++)}
}

kernels() {
    mkdir -p target/cuda
    # As in src/gpu/launch.rs: what all share first.
    (cd src/gpu/kernels && cat common.cu $(ls | grep -v common)) >target/cuda/kernels.cu
    nvcc -ptx -arch="sm_$CUDA_COMPUTE_CAP" -std=c++17 --fmad=false -Werror all-warnings target/cuda/kernels.cu \
        -o target/cuda/kernels.ptx
    echo "$(grep -c '\.entry' target/cuda/kernels.ptx) kernels to PTX"
}

build() {
    "$cargo" build --locked --profile "$profile" --features cuda --bin runner --bench gpu
    local folder=target/${profile/#dev/debug}
    mkdir -p target/cuda
    strip -o target/cuda/runner "$folder/runner"
    strip -o target/cuda/gpu "$(ls -t "$folder"/deps/gpu-* | grep -v '\.d$' | head -1)"
    git describe --always --dirty >target/cuda/commit 2>/dev/null || echo unknown >target/cuda/commit
    ls -l target/cuda/runner target/cuda/gpu
}

# The reference's networks, and of the recorded tensors the images and labels alone.
inputs() {
    local shared=${RUNNER_SHARED:-../shared} out=target/cuda/inputs
    mkdir -p "$out/golden"
    cp -r --no-preserve=mode "$shared/reference-models" "$out"
    rm -rf "$out"/reference-models/*/*/*/split-by-8
    python3 - "$shared/golden" "$out/golden" <<'PYTHON'
import json, pathlib, struct, sys
golden, out = map(pathlib.Path, sys.argv[1:])
for path in golden.glob("*.safetensors"):
    whole = path.read_bytes()
    start = 8 + struct.unpack("<Q", whole[:8])[0]
    header, data = {}, b""
    for name, info in json.loads(whole[8:start]).items():
        if name.startswith("fusion."):
            a, b = info["data_offsets"]
            header[name] = info | {"data_offsets": [len(data), len(data) + b - a]}
            data += whole[start + a : start + b]
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (out / path.name).write_bytes(struct.pack("<Q", len(text)) + text + data)
PYTHON
    du -sh "$out"
}

simulate() {
    bash tests/simulator/build.sh target/cuda/simulator
    LD_LIBRARY_PATH=$PWD/target/cuda/simulator bash tests/simulator/run.sh target/cuda
}

# One after the other, not with &&, within which `set -e` would not end a function that fails.
case "${1:-}" in
check)
    tools
    kernels
    "$cargo" check --locked --features cuda
    ;;
build)
    tools
    build
    ;;
inputs) inputs ;;
pack)
    tools
    build
    inputs
    # A dictionary as large as a program: the two are mostly the same.
    tar -C target -c cuda/gpu cuda/runner cuda/inputs cuda/commit | xz -T1 --lzma2=preset=6,dict=128MiB >target/cuda.tar.xz
    ls -l target/cuda.tar.xz
    ;;
simulate)
    tools
    build
    simulate
    ;;
*) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" && exit 2 ;;
esac
