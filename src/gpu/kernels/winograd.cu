// Convolution by Winograd's F(2x2, 3x3): the maps of nn/winograd/tiles.rs, one thread per tile. Tiles are numbered
// channel by channel, image by image, row by row: entry k of tile i is at k * all + i, so that 16 matrices
// [channels, images * tiles] lie one after the other.

// Images [N, C, height, width] under tiles of 2x2 positions, at down x along places.
struct Tiling {
    u32 images, height, width, down, along, padding;
};

template <class T> __device__ void input_map(const T *d, u32 step, T *v) {
    v[0] = d[0] - d[2 * step];
    v[1] = d[step] + d[2 * step];
    v[2] = d[2 * step] - d[step];
    v[3] = d[step] - d[3 * step];
}

template <class T> __device__ void output_map(const T *m, u32 step, T *y) {
    y[0] = m[0] + m[step] + m[2 * step];
    y[1] = m[step] - m[2 * step] - m[3 * step];
}

template <class T> __device__ void output_adjoint(const T *y, u32 step, T *m) {
    m[0] = y[0];
    m[1] = y[0] + y[step];
    m[2] = y[0] - y[step];
    m[3] = T(0) - y[step];
}

template <class T> __device__ void weight_map(const T *g, u32 step, T *u) {
    const T ends = (g[0] + g[2 * step]) * T(0.5), middle = g[step] * T(0.5);
    u[0] = g[0];
    u[1] = ends + middle;
    u[2] = ends - middle;
    u[3] = g[2 * step];
}

template <class T> __device__ void weight_adjoint(const T *u, u32 step, T *g) {
    const T sum = (u[step] + u[2 * step]) * T(0.5);
    g[0] = u[0] + sum;
    g[1] = (u[step] - u[2 * step]) * T(0.5);
    g[2] = sum + u[3 * step];
}

// Entries 2 `second` and 2 `second` + 1 of the inputs' adjoint.
template <class T> __device__ void input_adjoint(const T *v, u32 step, u32 second, T *d) {
    d[0] = second ? v[step] + v[2 * step] - v[0] : v[0];
    d[1] = second ? T(0) - v[3 * step] : v[step] - v[2 * step] + v[3 * step];
}

// A map of I to J numbers applied to the columns, then to the rows of a tile, whose entries are `down` and `along` apart.
template <u32 I, u32 J, class T>
__device__ void both(void (*map)(const T *, u32, T *), const T *tile, u32 down, u32 along, T *result) {
    T half[J * I], part[J];
    for (u32 b = 0; b < I; b++) {
        map(tile + b * along, down, part);
        for (u32 a = 0; a < J; a++) half[I * a + b] = part[a];
    }
    for (u32 a = 0; a < J; a++) map(half + I * a, 1, result + J * a);
}

template <class T> __device__ void winograd_inputs(const T *x, T *v, u32 n, Tiling t) {
    EACH(i, n)
    const u32 area = t.down * t.along, channel = i / (t.images * area), image = i / area % t.images;
    const u32 channels = n / (t.images * area);
    const u32 top = i % area / t.along * 2 - t.padding, left = i % t.along * 2 - t.padding; // wraps around as in pooling
    const T *plane = x + (image * channels + channel) * (t.height * t.width);
    T d[16], result[16];
    for (u32 a = 0; a < 4; a++)
        for (u32 b = 0; b < 4; b++) {
            const u32 py = top + a, px = left + b;
            d[4 * a + b] = py < t.height && px < t.width ? plane[py * t.width + px] : T(0);
        }
    both<4, 4>(input_map<T>, d, 4, 1, result);
    for (u32 k = 0; k < 16; k++) v[k * n + i] = result[k];
}

// The adjoint: one thread per 2x2 pixels of the padded image adds what the up to four tiles over them read there.
template <class T> __device__ void winograd_inputs_back(const T *v, T *y, u32 n, Tiling t) {
    EACH(i, n)
    const u32 rows = t.down + 1, columns = t.along + 1, area = t.down * t.along;
    const u32 channel = i / (t.images * rows * columns), image = i / (rows * columns) % t.images;
    const u32 channels = n / (t.images * rows * columns), row = i / columns % rows, column = i % columns;
    const u32 all = channels * t.images * area;
    T sums[4] = {T(0), T(0), T(0), T(0)};
    for (u32 a = 0; a < 2; a++)
        for (u32 b = 0; b < 2; b++) {
            // Of the tile itself the first two rows are here, of the one above the last two.
            if (row < a || column < b || row - a >= t.down || column - b >= t.along) continue;
            const T *tile = v + (channel * t.images + image) * area + (row - a) * t.along + column - b;
            T half[8], part[2];
            for (u32 k = 0; k < 4; k++) {
                input_adjoint(tile + k * all, 4 * all, a, part);
                half[k] = part[0];
                half[4 + k] = part[1];
            }
            for (u32 k = 0; k < 2; k++) {
                input_adjoint(half + 4 * k, 1, b, part);
                sums[2 * k] += part[0];
                sums[2 * k + 1] += part[1];
            }
        }
    T *plane = y + (image * channels + channel) * (t.height * t.width);
    for (u32 k = 0; k < 4; k++) {
        const u32 py = 2 * row + k / 2 - t.padding, px = 2 * column + k % 2 - t.padding;
        if (py < t.height && px < t.width) plane[py * t.width + px] = sums[k];
    }
}

// Results [N, O, height, width]; `bias` is read where `biased`.
template <class T> __device__ void winograd_outputs(const T *m, const T *bias, T *y, u32 n, Tiling t, u32 biased) {
    EACH(i, n)
    const u32 area = t.down * t.along, channel = i / (t.images * area), image = i / area % t.images;
    const u32 channels = n / (t.images * area), top = i % area / t.along * 2, left = i % t.along * 2;
    const T more = biased ? bias[channel] : T(0);
    T result[4];
    both<4, 2>(output_map<T>, m + i, 4 * n, n, result);
    T *plane = y + (image * channels + channel) * (t.height * t.width);
    for (u32 a = 0; a < 2; a++)
        for (u32 b = 0; b < 2; b++)
            if (top + a < t.height && left + b < t.width)
                plane[(top + a) * t.width + left + b] = result[2 * a + b] + more;
}

template <class T> __device__ void winograd_outputs_back(const T *gradient, T *m, u32 n, Tiling t) {
    EACH(i, n)
    const u32 area = t.down * t.along, channel = i / (t.images * area), image = i / area % t.images;
    const u32 channels = n / (t.images * area), top = i % area / t.along * 2, left = i % t.along * 2;
    const T *plane = gradient + (image * channels + channel) * (t.height * t.width);
    T own[4], result[16];
    for (u32 a = 0; a < 2; a++)
        for (u32 b = 0; b < 2; b++)
            own[2 * a + b] = top + a < t.height && left + b < t.width ? plane[(top + a) * t.width + left + b] : T(0);
    both<2, 4>(output_adjoint<T>, own, 2, 1, result);
    for (u32 k = 0; k < 16; k++) m[k * n + i] = result[k];
}

// One thread per pair of channels: 3x3 weights to 16 and back.
template <class T> __device__ void winograd_weights(const T *w, T *u, u32 n) {
    EACH(i, n)
    T result[16];
    both<3, 4>(weight_map<T>, w + 9 * i, 3, 1, result);
    for (u32 k = 0; k < 16; k++) u[k * n + i] = result[k];
}

template <class T> __device__ void winograd_weights_back(const T *u, T *w, u32 n) {
    EACH(i, n)
    both<4, 3>(weight_adjoint<T>, u + i, 4 * n, n, w + 9 * i);
}

#define TILING u32 images, u32 height, u32 width, u32 down, u32 along, u32 padding
#define MAKE_TILING Tiling{images, height, width, down, along, padding}

#define WINOGRAD(T, name)                                                                                              \
    extern "C" __global__ void winograd_inputs_##name(const T *x, T *v, u32 n, TILING) {                               \
        winograd_inputs(x, v, n, MAKE_TILING);                                                                         \
    }                                                                                                                  \
    extern "C" __global__ void winograd_inputs_back_##name(const T *v, T *y, u32 n, TILING) {                          \
        winograd_inputs_back(v, y, n, MAKE_TILING);                                                                    \
    }                                                                                                                  \
    extern "C" __global__ void winograd_outputs_##name(const T *m, const T *bias, T *y, u32 n, TILING, u32 biased) {   \
        winograd_outputs(m, bias, y, n, MAKE_TILING, biased);                                                          \
    }                                                                                                                  \
    extern "C" __global__ void winograd_outputs_back_##name(const T *gradient, T *m, u32 n, TILING) {                  \
        winograd_outputs_back(gradient, m, n, MAKE_TILING);                                                            \
    }                                                                                                                  \
    extern "C" __global__ void winograd_weights_##name(const T *w, T *u, u32 n) { winograd_weights(w, u, n); }         \
    extern "C" __global__ void winograd_weights_back_##name(const T *u, T *w, u32 n) { winograd_weights_back(u, w, n); }

WINOGRAD(float, f32)
WINOGRAD(double, f64)
