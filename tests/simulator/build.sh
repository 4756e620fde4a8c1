#!/usr/bin/env bash
# build.sh OUT: libraries by the names of NVIDIA's, whose GPU is the CPU, for running a program with the feature `cuda` where
# there is no GPU. Needs c++ and NVIDIA's headers (CUDA_HOME, as scripts/cuda.sh sets it). NVRTC is NVIDIA's own.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$(mkdir -p "${1:?a folder}" && realpath "$1")
version=$(sed -n '/^name = "candle-kernels"/{n;s/version = "\(.*\)"/\1/p}' "$here/../../Cargo.lock")
candle=$(echo "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/candle-kernels-"$version"/src)
options=(-std=c++17 -O2 -w -ffp-contract=off -fPIC -fvisibility=hidden -I"$CUDA_HOME/include" -I"$CUDA_HOME/include/cccl")
headers=$(cat "$here/kernels.h" "$here/../../src/gpu/emulator/shim.h")

# compile NAME SOURCE...: kernels in a namespace of their own, then each by its name.
compile() {
    local name=$1 text=""
    shift
    for source in "$@"; do text+="#include \"$source\""$'\n'; done
    text="#include \"$here/kernels.h\""$'\n'"namespace {"$'\n'"$text}"$'\n'
    if [ "$(cat "$out/$name.stamp" 2>/dev/null)" = "$(echo "$headers" | cat - "$@" | sha256sum)" ]; then return; fi
    echo "$text" >"$out/$name.cc"
    c++ "${options[@]}" -E -P "$out/$name.cc" | grep -oE 'extern "C" +void +[a-zA-Z0-9_]+' | awk '{print "REGISTER(" $NF ")"}' |
        sort -u >"$out/$name.names"
    { echo "$text" && cat "$out/$name.names"; } >"$out/$name.cc"
    c++ "${options[@]}" -c "$out/$name.cc" -o "$out/$name.o"
    echo "$headers" | cat - "$@" | sha256sum >"$out/$name.stamp"
}
for name in affine binary cast conv fill indexing reduce ternary unary; do compile "$name" "$candle/$name.cu" & done
kernels="$here/../../src/gpu/kernels"
# As in src/gpu/launch.rs: what all share first.
compile runner "$kernels/common.cu" $(find "$kernels" -name '*.cu' ! -name common.cu | sort)
wait

# What is not simulated is there, and fails when it is called.
lock=$here/../../Cargo.lock
cudarc=$(sed -n '/^name = "cudarc"/{n;s/version = "\(.*\)"/\1/p}' "$lock")
missing() {
    for library in "$@"; do
        grep -ohE 'pub unsafe fn cu[A-Za-z0-9_]+' "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/cudarc-"$cudarc"/src/"$library"/sys/*.rs
    done | awk '{print "__attribute__((weak)) int " $4 "(void) { return 999; }"}' | sort -u
}
missing driver | cc -x c -w -fPIC -c -o "$out/driver-missing.o" -
missing cublas cublaslt curand cusolver cusparse | cc -x c -w -fPIC -c -o "$out/libraries-missing.o" -

c++ "${options[@]}" -c "$here/driver.cc" -o "$out/driver.o"
c++ -shared -o "$out/libcuda.so.1" -Wl,-soname,libcuda.so.1 \
    "$out"/{driver,driver-missing,affine,binary,cast,conv,fill,indexing,reduce,ternary,unary,runner}.o
c++ "${options[@]}" -shared -o "$out/libcublas.so.13" -Wl,-soname,libcublas.so.13 "$here/libraries.cc" "$out/libraries-missing.o"
for name in libcublasLt.so.13 libcurand.so.10 libcusolver.so.12 libcusparse.so.12; do
    echo | cc -x c -shared -fPIC -o "$out/$name" -
done
cp -L "$CUDA_HOME"/lib/libnvrtc.so.13 "$CUDA_HOME"/lib/libnvrtc-builtins.so.13.0 "$out/"
cp -L "$CUDA_HOME/lib/libcudart.so.13" "$out/"
