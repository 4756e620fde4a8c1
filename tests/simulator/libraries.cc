// cuBLAS, cuSOLVER and cuRAND for the simulated GPU: plain loops, and only the functions that are called. Products sum in
// f64 and round once; TF32 and bf16 round the factors as cuBLAS says it does.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <vector>

#define API extern "C" __attribute__((visibility("default"))) int

API cublasCreate_v2(void **handle) { return *handle = new char, 0; }
API cublasDestroy_v2(void *handle) { return delete static_cast<char *>(handle), 0; }
API cublasSetStream_v2(void *, void *) { return 0; }

static float rounded(float x, int bits) {
    if (bits == 0 || !std::isfinite(x)) return x;
    uint32_t word;
    std::memcpy(&word, &x, 4);
    const uint32_t half = (1u << (bits - 1)) - 1 + (word >> bits & 1);
    word = (word + half) >> bits << bits;
    std::memcpy(&x, &word, 4);
    return x;
}

template <class T>
static int multiply(int transa, int transb, int m, int n, int k, T alpha, const T *a, int lda, long long stride_a, const T *b,
                    int ldb, long long stride_b, T beta, T *c, int ldc, long long stride_c, int count, int drop) {
    if (lda < (transa ? k : m) || ldb < (transb ? n : k) || ldc < m) return 7;
    for (int batch = 0; batch < count; batch++, a += stride_a, b += stride_b, c += stride_c)
        for (int j = 0; j < n; j++)
            for (int i = 0; i < m; i++) {
                double sum = 0;
                for (int l = 0; l < k; l++) {
                    const T x = transa ? a[l + (size_t)i * lda] : a[i + (size_t)l * lda];
                    const T y = transb ? b[j + (size_t)l * ldb] : b[l + (size_t)j * ldb];
                    sum += drop ? (double)rounded((float)x, drop) * rounded((float)y, drop) : (double)x * (double)y;
                }
                T &to = c[i + (size_t)j * ldc];
                to = beta == T(0) ? T(alpha * sum) : T(alpha * sum + beta * to);
            }
    return 0;
}

static std::vector<float> widened(const void *halves, long long count) {
    std::vector<float> values(count);
    for (long long i = 0; i < count; i++) {
        const unsigned bits = (unsigned)static_cast<const unsigned short *>(halves)[i] << 16;
        std::memcpy(&values[i], &bits, sizeof bits);
    }
    return values;
}

// Bits of an f32's mantissa that a kind of product drops.
static int dropped(int compute) { return compute == 77 ? 13 : compute == 75 ? 16 : 0; }

API cublasGemmStridedBatchedEx(void *, int transa, int transb, int m, int n, int k, const float *alpha, const float *a,
                               int a_type, int lda, long long stride_a, const float *b, int b_type, int ldb,
                               long long stride_b, const float *beta, float *c, int c_type, int ldc, long long stride_c,
                               int count, int compute, int) {
    if (c_type != 0 || a_type != b_type) return 15;
    if (a_type == 14) { // CUDA_R_16BF
        const auto as = widened(a, stride_a * (count - 1) + (long long)lda * (transa ? m : k));
        const auto bs = widened(b, stride_b * (count - 1) + (long long)ldb * (transb ? k : n));
        return multiply(transa, transb, m, n, k, *alpha, as.data(), lda, stride_a, bs.data(), ldb, stride_b, *beta, c, ldc,
                        stride_c, count, 0);
    }
    if (a_type != 0) return 15; // CUDA_R_32F
    return multiply(transa, transb, m, n, k, *alpha, a, lda, stride_a, b, ldb, stride_b, *beta, c, ldc, stride_c, count,
                    dropped(compute));
}
API cublasGemmEx(void *handle, int transa, int transb, int m, int n, int k, const float *alpha, const float *a, int a_type,
                 int lda, const float *b, int b_type, int ldb, const float *beta, float *c, int c_type, int ldc, int compute,
                 int algorithm) {
    return cublasGemmStridedBatchedEx(handle, transa, transb, m, n, k, alpha, a, a_type, lda, 0, b, b_type, ldb, 0, beta, c,
                                      c_type, ldc, 0, 1, compute, algorithm);
}
API cublasDgemmStridedBatched(void *, int transa, int transb, int m, int n, int k, const double *alpha, const double *a,
                              int lda, long long stride_a, const double *b, int ldb, long long stride_b, const double *beta,
                              double *c, int ldc, long long stride_c, int count) {
    return multiply(transa, transb, m, n, k, *alpha, a, lda, stride_a, b, ldb, stride_b, *beta, c, ldc, stride_c, count, 0);
}

API curandCreateGenerator(void **generator, int) { return *generator = new char, 0; }
API curandDestroyGenerator(void *generator) { return delete static_cast<char *>(generator), 0; }
API curandSetPseudoRandomGeneratorSeed(void *, unsigned long long) { return 0; }
API curandSetStream(void *, void *) { return 0; }

API cusolverDnCreate(void **handle) { return *handle = new char, 0; }
API cusolverDnDestroy(void *handle) { return delete static_cast<char *>(handle), 0; }
API cusolverDnSetStream(void *, void *) { return 0; }
API cusolverDnDsyevd_bufferSize(void *, int, int, int n, const double *, int, const double *, int *room) {
    return *room = n * n, 0;
}
// Jacobi's rotations on the lower triangle (fill mode 0), eigenvalues ascending, vectors in columns.
API cusolverDnDsyevd(void *, int vectors, int fill, int n, double *a, int lda, double *w, double *scratch, int room,
                     int *info) {
    if (vectors != 1 || fill != 0 || room < n * n) return 3;
    std::vector<double> s(n * n), v(n * n, 0.0);
    for (int j = 0; j < n; j++)
        for (int i = 0; i < n; i++) s[i + j * n] = i >= j ? a[i + j * lda] : a[j + i * lda];
    for (int i = 0; i < n; i++) v[i + i * n] = 1;
    std::memset(scratch, 0, sizeof(double) * n * n);
    for (int sweep = 0; sweep < 60; sweep++) {
        double off = 0, all = 0;
        for (int i = 0; i < n * n; i++) {
            all += s[i] * s[i];
            if (i % (n + 1)) off += s[i] * s[i];
        }
        if (off <= 1e-32 * all) break;
        for (int p = 0; p < n; p++)
            for (int q = p + 1; q < n; q++) {
                const double x = s[p + q * n];
                if (x == 0) continue;
                const double theta = (s[q + q * n] - s[p + p * n]) / (2 * x);
                const double t = (theta < 0 ? -1 : 1) / (std::fabs(theta) + std::sqrt(theta * theta + 1));
                const double c = 1 / std::sqrt(t * t + 1), r = t * c;
                for (int i = 0; i < n; i++) {
                    const double sp = s[i + p * n], sq = s[i + q * n];
                    s[i + p * n] = c * sp - r * sq;
                    s[i + q * n] = r * sp + c * sq;
                }
                for (int i = 0; i < n; i++) {
                    const double sp = s[p + i * n], sq = s[q + i * n];
                    s[p + i * n] = c * sp - r * sq;
                    s[q + i * n] = r * sp + c * sq;
                }
                for (int i = 0; i < n; i++) {
                    const double vp = v[i + p * n], vq = v[i + q * n];
                    v[i + p * n] = c * vp - r * vq;
                    v[i + q * n] = r * vp + c * vq;
                }
            }
    }
    std::vector<int> order(n);
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](int i, int j) { return s[i + i * n] < s[j + j * n]; });
    for (int j = 0; j < n; j++) {
        w[j] = s[order[j] + order[j] * n];
        for (int i = 0; i < n; i++) a[i + j * lda] = v[i + order[j] * n];
    }
    return *info = 0, 0;
}
