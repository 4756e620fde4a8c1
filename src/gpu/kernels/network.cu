// Operations of networks.

template <class T> __device__ void gate(const T *x, const T *value, T *y, u32 n) {
    EACH(i, n)
    y[i] = x[i] <= T(0) ? T(0) : value[i];
}

// Rounded to bf16, the nearest, of two the even one: the upper half of the bits.
__device__ u32 bf16(float x) {
    union {
        float number;
        u32 bits;
    } const both = {x};
    return x != x ? 0x7fffu : (both.bits + 0x7fffu + (both.bits >> 16 & 1u)) >> 16;
}

// One thread per pair.
extern "C" __global__ void to_bf16(const float *x, u32 *y, u32 n) {
    EACH(i, (n + 1) / 2)
    y[i] = bf16(x[2 * i]) | (2 * i + 1 < n ? bf16(x[2 * i + 1]) << 16 : 0u);
}

// A window that slides over planes [height, width], at down x along positions.
struct Window {
    u32 height, width, down, along, kernel, stride, padding;
};

// The pixel with the largest element of a window: the first of equals in row-major order, NaN above all.
template <class T> __device__ u32 largest(const T *plane, const Window &w, u32 row, u32 column) {
    bool none = true;
    u32 at = 0;
    T best = T(0);
    for (u32 ky = 0; ky < w.kernel; ky++) {
        const u32 y = row * w.stride + ky - w.padding; // wraps around to a large number above the image
        if (y >= w.height) continue;
        for (u32 kx = 0; kx < w.kernel; kx++) {
            const u32 x = column * w.stride + kx - w.padding;
            if (x >= w.width) continue;
            const T value = plane[y * w.width + x];
            if (none || value > best || value != value) {
                none = false;
                best = value;
                at = y * w.width + x;
            }
        }
    }
    return at;
}

// The first window along an axis that reaches pixel `at`, and how many there are below `end`.
__device__ u32 first_window(u32 at, const Window &w) {
    const u32 padded = at + w.padding;
    return padded < w.kernel ? 0 : (padded - w.kernel) / w.stride + 1;
}

__device__ u32 last_window(u32 at, const Window &w, u32 positions) {
    const u32 last = (at + w.padding) / w.stride;
    return last < positions ? last : positions - 1;
}

template <class T> __device__ void max_pool(const T *x, T *y, u32 n, Window w) {
    EACH(i, n)
    const u32 area = w.down * w.along, plane = i / area, at = i % area;
    const T *pixels = x + plane * (w.height * w.width);
    y[i] = pixels[largest(pixels, w, at / w.along, at % w.along)];
}

// One thread per pixel: the gradients of those windows whose maximum it is, in the order of windows.
template <class T> __device__ void max_pool_back(const T *x, const T *gradient, T *y, u32 n, Window w) {
    EACH(i, n)
    const u32 area = w.height * w.width, plane = i / area, pixel = i % area;
    const u32 row = pixel / w.width, column = pixel % w.width;
    const T *pixels = x + plane * area, *slopes = gradient + plane * (w.down * w.along);
    T sum = T(0);
    for (u32 r = first_window(row, w); r <= last_window(row, w, w.down); r++)
        for (u32 c = first_window(column, w); c <= last_window(column, w, w.along); c++)
            if (largest(pixels, w, r, c) == pixel) sum += slopes[r * w.along + c];
    y[i] = sum;
}

// The same where windows lie side by side and cover the plane: one thread per window.
template <class T> __device__ void max_pool_back_apart(const T *x, const T *gradient, T *y, u32 n, Window w) {
    EACH(i, n)
    const u32 area = w.down * w.along, start = i / area * (w.height * w.width);
    const u32 row = i % area / w.along, column = i % w.along, at = largest(x + start, w, row, column);
    for (u32 ky = 0; ky < w.kernel; ky++)
        for (u32 kx = 0; kx < w.kernel; kx++) {
            const u32 pixel = (row * w.stride + ky) * w.width + column * w.stride + kx;
            y[start + pixel] = pixel == at ? T(0) + gradient[i] : T(0); // a sum, as in the other: never -0
        }
}

template <class T> __device__ void avg_pool(const T *x, T *y, u32 n, Window w, T weight) {
    EACH(i, n)
    const u32 area = w.down * w.along, at = i % area;
    const T *pixels = x + i / area * (w.height * w.width);
    const u32 top = at / w.along * w.stride, left = at % w.along * w.stride;
    T sum = T(0);
    for (u32 ky = 0; ky < w.kernel; ky++)
        for (u32 kx = 0; kx < w.kernel; kx++) sum += pixels[(top + ky) * w.width + left + kx];
    y[i] = sum * weight;
}

template <class T> __device__ void avg_pool_back(const T *gradient, T *y, u32 n, Window w, T weight) {
    EACH(i, n)
    const u32 area = w.height * w.width, pixel = i % area, row = pixel / w.width, column = pixel % w.width;
    const T *slopes = gradient + i / area * (w.down * w.along);
    T sum = T(0);
    for (u32 r = first_window(row, w); r <= last_window(row, w, w.down); r++)
        for (u32 c = first_window(column, w); c <= last_window(column, w, w.along); c++)
            sum += slopes[r * w.along + c] * weight;
    y[i] = sum;
}

// Images [N, C, H, W] and windows of kernel_y x kernel_x.
struct Unfold {
    u32 channels, height, width, down, along, kernel_y, kernel_x, stride, padding;
};

// Windows as rows: y is [N down along, C kernel_y kernel_x].
template <class T> __device__ void unfold(const T *x, T *y, u32 n, Unfold u) {
    EACH(i, n)
    const u32 depth = u.channels * u.kernel_y * u.kernel_x, row = i / depth, at = i % depth;
    const u32 image = row / (u.down * u.along), position = row % (u.down * u.along);
    const u32 channel = at / (u.kernel_y * u.kernel_x), offset = at % (u.kernel_y * u.kernel_x);
    const u32 py = position / u.along * u.stride + offset / u.kernel_x - u.padding;
    const u32 px = position % u.along * u.stride + offset % u.kernel_x - u.padding;
    const bool inside = py < u.height && px < u.width;
    y[i] = inside ? x[((image * u.channels + channel) * u.height + py) * u.width + px] : T(0);
}

// The adjoint: one thread per pixel adds what was read from it, in the order of the windows' entries.
template <class T> __device__ void fold(const T *rows, T *y, u32 n, Unfold u) {
    EACH(i, n)
    const u32 px = i % u.width, py = i / u.width % u.height;
    const u32 channel = i / (u.width * u.height) % u.channels, image = i / (u.width * u.height * u.channels);
    const u32 depth = u.channels * u.kernel_y * u.kernel_x;
    T sum = T(0);
    for (u32 ky = 0; ky < u.kernel_y; ky++) {
        const u32 top = py + u.padding - ky; // wraps around where the window would start above the padding
        if (top % u.stride != 0 || top / u.stride >= u.down || py + u.padding < ky) continue;
        for (u32 kx = 0; kx < u.kernel_x; kx++) {
            const u32 left = px + u.padding - kx;
            if (left % u.stride != 0 || left / u.stride >= u.along || px + u.padding < kx) continue;
            const u32 row = (image * u.down + top / u.stride) * u.along + left / u.stride;
            sum += rows[row * depth + (channel * u.kernel_y + ky) * u.kernel_x + kx];
        }
    }
    y[i] = sum;
}

// Results of windows, rows [N positions, O], to planes [N, O, positions], plus bias where `biased`; and back.
template <class T>
__device__ void planes(const T *rows, const T *bias, T *y, u32 n, u32 outputs, u32 positions, u32 biased) {
    EACH(i, n)
    const u32 output = i / positions % outputs, image = i / (positions * outputs);
    y[i] = rows[(image * positions + i % positions) * outputs + output] + (biased ? bias[output] : T(0));
}

template <class T> __device__ void rows(const T *planes, T *y, u32 n, u32 outputs, u32 positions) {
    EACH(i, n)
    const u32 row = i / outputs;
    y[i] = planes[(row / positions * outputs + i % outputs) * positions + row % positions];
}

#define WINDOW u32 height, u32 width, u32 down, u32 along, u32 kernel, u32 stride, u32 padding
#define MAKE_WINDOW Window{height, width, down, along, kernel, stride, padding}
#define UNFOLD                                                                                                         \
    u32 channels, u32 height, u32 width, u32 down, u32 along, u32 kernel_y, u32 kernel_x, u32 stride, u32 padding
#define MAKE_UNFOLD Unfold{channels, height, width, down, along, kernel_y, kernel_x, stride, padding}

#define NETWORK(T, name)                                                                                               \
    extern "C" __global__ void gate_##name(const T *x, const T *value, T *y, u32 n) { gate(x, value, y, n); }          \
    extern "C" __global__ void max_pool_##name(const T *x, T *y, u32 n, WINDOW) { max_pool(x, y, n, MAKE_WINDOW); }    \
    extern "C" __global__ void max_pool_back_##name(const T *x, const T *gradient, T *y, u32 n, WINDOW) {              \
        max_pool_back(x, gradient, y, n, MAKE_WINDOW);                                                                 \
    }                                                                                                                  \
    extern "C" __global__ void max_pool_back_apart_##name(const T *x, const T *gradient, T *y, u32 n, WINDOW) {        \
        max_pool_back_apart(x, gradient, y, n, MAKE_WINDOW);                                                           \
    }                                                                                                                  \
    extern "C" __global__ void avg_pool_##name(const T *x, T *y, u32 n, WINDOW, T weight) {                            \
        avg_pool(x, y, n, MAKE_WINDOW, weight);                                                                        \
    }                                                                                                                  \
    extern "C" __global__ void avg_pool_back_##name(const T *gradient, T *y, u32 n, WINDOW, T weight) {                \
        avg_pool_back(gradient, y, n, MAKE_WINDOW, weight);                                                            \
    }                                                                                                                  \
    extern "C" __global__ void unfold_##name(const T *x, T *y, u32 n, UNFOLD) { unfold(x, y, n, MAKE_UNFOLD); }        \
    extern "C" __global__ void fold_##name(const T *rows, T *y, u32 n, UNFOLD) { fold(rows, y, n, MAKE_UNFOLD); }      \
    extern "C" __global__ void planes_##name(const T *x, const T *bias, T *y, u32 n, u32 outputs, u32 positions,       \
                                             u32 biased) {                                                             \
        planes(x, bias, y, n, outputs, positions, biased);                                                             \
    }                                                                                                                  \
    extern "C" __global__ void rows_##name(const T *x, T *y, u32 n, u32 outputs, u32 positions) {                      \
        rows(x, y, n, outputs, positions);                                                                             \
    }

NETWORK(float, f32)
NETWORK(double, f64)
