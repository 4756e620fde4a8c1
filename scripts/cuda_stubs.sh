#!/usr/bin/env bash
# cuda_stubs.sh FOLDER: libraries with the names and functions of NVIDIA's, but nothing in them, for linking where CUDA is not
# installed as a whole. The functions are those of cudarc's bindings, which `cargo fetch` has brought. When the program starts
# the loader takes NVIDIA's own.
set -euo pipefail
out=$(mkdir -p "${1:?a folder}" && realpath "$1")
version=$(sed -n '/^name = "cudarc"/{n;s/version = "\(.*\)"/\1/p}' "$(dirname "$0")/../Cargo.lock")
cudarc=$(echo "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/cudarc-"$version"/src)

# stub NAME VERSION BINDINGS
stub() {
    grep -ohE 'pub unsafe fn cu[A-Za-z0-9_]+' "$cudarc/$3"/sys/*.rs 2>/dev/null | awk '{print "int " $4 "(void) { return 999; }"}' |
        sort -u | cc -x c -w -shared -fPIC -o "$out/lib$1.so" -Wl,-soname,"lib$1.so.$2" -
}
stub cuda 1 driver
stub cublas 13 cublas
stub cublasLt 13 cublaslt
stub curand 10 curand
stub cusolver 12 cusolver
stub cusparse 12 cusparse
