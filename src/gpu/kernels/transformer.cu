// Operations of transformers: layer normalisation, GELU, attention, and what linear maps have beside their product.

__device__ float power(float x) { return expf(x); }
__device__ double power(double x) { return exp(x); }
// The normal distribution.
__device__ float normal(float x) { return 0.5f * erfcf(-0.70710678118654752440f * x); }
__device__ double normal(double x) { return 0.5 * erfc(-0.70710678118654752440 * x); }

template <class T> __device__ void gelu(const T *x, T *y, u32 n) {
    EACH(i, n)
    y[i] = x[i] * normal(x[i]);
}

template <class T> __device__ void gelu_back(const T *x, const T *gradient, T *y, u32 n) {
    EACH(i, n)
    const T density = T(0.39894228040143267794) * power(T(-0.5) * x[i] * x[i]);
    y[i] = gradient[i] * (normal(x[i]) + x[i] * density);
}

template <class T> __device__ void add_bias(const T *x, const T *bias, T *y, u32 n, u32 width) {
    EACH(i, n)
    y[i] = x[i] + bias[i % width];
}

// Rows of a part in sums over columns.
#define ROWS 64

// parts[piece, column]: sums over ROWS rows of x [rows, width].
template <class T> __device__ void column_sums(const T *x, double *parts, u32 n, u32 rows, u32 width) {
    EACH(i, n)
    const u32 first = i / width * ROWS;
    double sum = 0.0;
    for (u32 row = first; row < first + ROWS && row < rows; row++) sum += (double)x[row * width + i % width];
    parts[i] = sum;
}

// The sum, or the largest, over a warp's lanes, on all of them.
template <class T> __device__ T warp_sum(T value) {
    for (int mask = 16; mask > 0; mask /= 2) value += __shfl_xor_sync(0xffffffffu, value, mask);
    return value;
}

template <class T> __device__ T warp_max(T value) {
    for (int mask = 16; mask > 0; mask /= 2) {
        const T other = __shfl_xor_sync(0xffffffffu, value, mask);
        value = other > value || other != other ? other : value;
    }
    return value;
}

// The sums of the pieces: a warp for each column.
template <class T> __device__ void column_parts(const double *parts, T *y, u32 n, u32 width, u32 pieces) {
    EACH(i, n)
    const u32 column = i / 32;
    double sum = 0.0;
    for (u32 piece = i % 32; piece < pieces; piece += 32) sum += parts[piece * width + column];
    sum = warp_sum(sum);
    if (i % 32 == 0) y[column] = (T)sum;
}

// One block per row x [width]: its mean, and 1 over the root of its variance and `eps`.
template <class T> __device__ void layer_norm_statistics(const T *x, T *statistics, u32 width, double eps) {
    const T *row = x + blockIdx.x * width;
    __shared__ double mean;
    double sum = 0.0;
    for (u32 i = threadIdx.x; i < width; i += BLOCK) sum += (double)row[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) mean = sum / width;
    __syncthreads();
    sum = 0.0;
    for (u32 i = threadIdx.x; i < width; i += BLOCK) sum += ((double)row[i] - mean) * ((double)row[i] - mean);
    sum = block_sum(sum);
    if (threadIdx.x > 0) return;
    statistics[2 * blockIdx.x] = (T)mean;
    statistics[2 * blockIdx.x + 1] = (T)(1.0 / sqrt(sum / width + eps));
}

template <class T>
__device__ void layer_norm(const T *x, const T *statistics, const T *gamma, const T *beta, T *y, u32 n, u32 width) {
    EACH(i, n)
    const T *own = statistics + i / width * 2;
    y[i] = (x[i] - own[0]) * own[1] * gamma[i % width] + beta[i % width];
}

// One block per row: with h = (x - mean) scale and g = dy gamma, dx = scale (g - mean(g) - h mean(g h)).
template <class T>
__device__ void layer_norm_back(const T *x, const T *statistics, const T *gamma, const T *gradient, T *y, u32 width) {
    const u32 start = blockIdx.x * width;
    const T mean = statistics[2 * blockIdx.x], scale = statistics[2 * blockIdx.x + 1];
    __shared__ double means[2];
    double sum = 0.0, weighted = 0.0;
    for (u32 i = threadIdx.x; i < width; i += BLOCK) {
        const double g = (double)(gradient[start + i] * gamma[i]);
        sum += g;
        weighted += g * (double)((x[start + i] - mean) * scale);
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) means[0] = sum / width;
    weighted = block_sum(weighted);
    if (threadIdx.x == 0) means[1] = weighted / width;
    __syncthreads();
    for (u32 i = threadIdx.x; i < width; i += BLOCK) {
        const T g = gradient[start + i] * gamma[i], h = (x[start + i] - mean) * scale;
        y[start + i] = scale * (g - (T)means[0] - h * (T)means[1]);
    }
}

// parts[piece, 2, column]: sums over ROWS rows of dy h and of dy.
template <class T>
__device__ void layer_norm_sums(const T *x, const T *statistics, const T *gradient, double *parts, u32 n, u32 rows,
                                u32 width) {
    EACH(i, n)
    const u32 piece = i / width, column = i % width;
    double scales = 0.0, shifts = 0.0;
    for (u32 row = piece * ROWS; row < (piece + 1) * ROWS && row < rows; row++) {
        const T slope = gradient[row * width + column];
        scales += (double)(slope * ((x[row * width + column] - statistics[2 * row]) * statistics[2 * row + 1]));
        shifts += (double)slope;
    }
    parts[2 * piece * width + column] = scales;
    parts[(2 * piece + 1) * width + column] = shifts;
}

// Heads side by side, [N, tokens, heads width], to [N, heads, tokens, width], and back.
template <class T> __device__ void split_heads(const T *x, T *y, u32 n, u32 tokens, u32 heads, u32 width) {
    EACH(i, n)
    const u32 row = i / width, token = row % tokens, head = row / tokens % heads, sample = row / (tokens * heads);
    y[i] = x[((sample * tokens + token) * heads + head) * width + i % width];
}

template <class T> __device__ void join_heads(const T *x, T *y, u32 n, u32 tokens, u32 heads, u32 width) {
    EACH(i, n)
    const u32 row = i / width, head = row % heads, token = row / heads % tokens, sample = row / (tokens * heads);
    y[i] = x[((sample * heads + head) * tokens + token) * width + i % width];
}

// A warp for each row x [width]: the softmax of scale x.
template <class T> __device__ void row_softmax(const T *x, T *y, u32 n, u32 width, double scale) {
    EACH(i, n)
    const u32 lane = i % 32;
    const T *row = x + i / 32 * width;
    T *result = y + i / 32 * width;
    T most = row[0] * (T)scale, sum = T(0);
    for (u32 j = lane; j < width; j += 32) {
        const T value = row[j] * (T)scale;
        most = value > most || value != value ? value : most;
    }
    most = warp_max(most);
    for (u32 j = lane; j < width; j += 32) sum += power(row[j] * (T)scale - most);
    sum = warp_sum(sum);
    for (u32 j = lane; j < width; j += 32) result[j] = power(row[j] * (T)scale - most) / sum;
}

// With p the softmax and g its gradient, dx = scale p (g - sum p g).
template <class T> __device__ void row_softmax_back(const T *p, const T *g, T *y, u32 n, u32 width, double scale) {
    EACH(i, n)
    const u32 start = i / 32 * width, lane = i % 32;
    T sum = T(0);
    for (u32 j = lane; j < width; j += 32) sum += p[start + j] * g[start + j];
    sum = warp_sum(sum);
    for (u32 j = lane; j < width; j += 32) y[start + j] = (T)scale * (p[start + j] * (g[start + j] - sum));
}

#define TRANSFORMER(T, name)                                                                                           \
    extern "C" __global__ void gelu_##name(const T *x, T *y, u32 n) { gelu(x, y, n); }                                 \
    extern "C" __global__ void gelu_back_##name(const T *x, const T *gradient, T *y, u32 n) {                          \
        gelu_back(x, gradient, y, n);                                                                                  \
    }                                                                                                                  \
    extern "C" __global__ void add_bias_##name(const T *x, const T *bias, T *y, u32 n, u32 width) {                    \
        add_bias(x, bias, y, n, width);                                                                                \
    }                                                                                                                  \
    extern "C" __global__ void column_sums_##name(const T *x, double *parts, u32 n, u32 rows, u32 width) {             \
        column_sums(x, parts, n, rows, width);                                                                         \
    }                                                                                                                  \
    extern "C" __global__ void column_parts_##name(const double *parts, T *y, u32 n, u32 width, u32 pieces) {          \
        column_parts(parts, y, n, width, pieces);                                                                      \
    }                                                                                                                  \
    extern "C" __global__ void layer_norm_statistics_##name(const T *x, T *statistics, u32 width, double eps) {        \
        layer_norm_statistics(x, statistics, width, eps);                                                              \
    }                                                                                                                  \
    extern "C" __global__ void layer_norm_##name(const T *x, const T *statistics, const T *gamma, const T *beta, T *y, \
                                                 u32 n, u32 width) {                                                   \
        layer_norm(x, statistics, gamma, beta, y, n, width);                                                           \
    }                                                                                                                  \
    extern "C" __global__ void layer_norm_back_##name(const T *x, const T *statistics, const T *gamma,                 \
                                                      const T *gradient, T *y, u32 width) {                            \
        layer_norm_back(x, statistics, gamma, gradient, y, width);                                                     \
    }                                                                                                                  \
    extern "C" __global__ void layer_norm_sums_##name(const T *x, const T *statistics, const T *gradient,              \
                                                      double *parts, u32 n, u32 rows, u32 width) {                     \
        layer_norm_sums(x, statistics, gradient, parts, n, rows, width);                                               \
    }                                                                                                                  \
    extern "C" __global__ void split_heads_##name(const T *x, T *y, u32 n, u32 tokens, u32 heads, u32 width) {         \
        split_heads(x, y, n, tokens, heads, width);                                                                    \
    }                                                                                                                  \
    extern "C" __global__ void join_heads_##name(const T *x, T *y, u32 n, u32 tokens, u32 heads, u32 width) {          \
        join_heads(x, y, n, tokens, heads, width);                                                                     \
    }                                                                                                                  \
    extern "C" __global__ void row_softmax_##name(const T *x, T *y, u32 n, u32 width, double scale) {                  \
        row_softmax(x, y, n, width, scale);                                                                            \
    }                                                                                                                  \
    extern "C" __global__ void row_softmax_back_##name(const T *p, const T *g, T *y, u32 n, u32 width, double scale) { \
        row_softmax_back(p, g, y, n, width, scale);                                                                    \
    }

TRANSFORMER(float, f32)
TRANSFORMER(double, f64)
