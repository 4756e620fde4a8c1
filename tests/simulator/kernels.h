// What candle's CUDA sources need to be compiled for the CPU: NVIDIA's headers in their form for C++ compilers, then the
// emulator's words in the place of CUDA's.

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <cuda/std/limits>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>

#undef __global__
#undef __device__
#undef __shared__
#undef __forceinline__

#include "../../src/gpu/emulator/shim.h"

#undef __device__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__
#define __CUDACC_VER_MAJOR__ 13
#define __CUDACC_VER_MINOR__ 0

using std::isinf;
using std::isnan;
using std::max;
using std::min;
using std::signbit;

namespace {

template <class To, class From> To reinterpreted(From from) {
    static_assert(sizeof(To) == sizeof(From), "of one size");
    To to;
    std::memcpy(&to, &from, sizeof to);
    return to;
}

inline long long __double_as_longlong(double x) { return reinterpreted<long long>(x); }
inline double __longlong_as_double(long long x) { return reinterpreted<double>(x); }
inline int __float_as_int(float x) { return reinterpreted<int>(x); }
inline float __int_as_float(int x) { return reinterpreted<float>(x); }
inline unsigned __float_as_uint(float x) { return reinterpreted<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return reinterpreted<float>(x); }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float normcdff(float x) { return 0.5f * std::erfc(-x * 0.70710678118654752f); }
inline double normcdf(double x) { return 0.5 * std::erfc(-x * 0.70710678118654752); }

template <class T, class U, class V> T atomicCAS(T *at, U compare, V value) {
    const T old = *at;
    if (old == T(compare)) *at = T(value);
    return old;
}
template <class T, class U> T atomicAdd(T *at, U value) {
    const T old = *at;
    *at = T(old + value);
    return old;
}
template <class T, class U> T atomicMin(T *at, U value) {
    const T old = *at;
    if (T(value) < old) *at = T(value);
    return old;
}
template <class T, class U> T atomicMax(T *at, U value) {
    const T old = *at;
    if (T(value) > old) *at = T(value);
    return old;
}

} // namespace

// Kernels by name.
struct Kernel {
    void (*run)(emulator::Index blocks, emulator::Index threads, void **arguments);
};
std::map<std::string, Kernel> &kernels();
struct Register {
    Register(const char *name, Kernel kernel) { kernels()[name] = kernel; }
};
#define REGISTER(name)                                                                                                 \
    static Register registered_##name(                                                                                 \
        #name, Kernel{[](emulator::Index blocks, emulator::Index threads, void **arguments) {                          \
            emulator::run(name, blocks, threads, arguments);                                                           \
        }});
