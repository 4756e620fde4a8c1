// Reductions. A sum is cut into parts by shape alone; a block sums a part, thread t the terms t, t + 256, ... in f64, then
// block_sum; then one block sums the parts in the same way.

// Terms of one part.
#define PART 4096

// parts[blockIdx.x] = sum over a part of w (y - t)^2, and slope = 2 scale w (y - t); w by the neuron (i / positions) % width.
extern "C" __global__ void weighted_error(const float *y, const float *t, const float *weights, double *parts,
                                          float *slope, u32 n, u32 width, u32 positions, float scale) {
    const u32 first = blockIdx.x * PART;
    double sum = 0.0;
    for (u32 at = threadIdx.x; at < PART && first + at < n; at += BLOCK) {
        const u32 i = first + at;
        const float error = y[i] - t[i], weighted = error * weights[i / positions % width];
        slope[i] = weighted * scale;
        sum += (double)weighted * (double)error;
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

// y[group] = the sum of `count` numbers.
extern "C" __global__ void sum_parts(const double *parts, double *y, u32 count) {
    const double *own = parts + blockIdx.x * count;
    double sum = 0.0;
    for (u32 i = threadIdx.x; i < count; i += BLOCK) sum += own[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) y[blockIdx.x] = sum;
}

// Sums of x, or of |x|, over samples and positions for each neuron of x [N, width, positions]: block neuron * pieces + piece sums
// one piece of the neuron's N * positions elements.
template <class T>
__device__ void neuron_sums(const T *x, double *parts, u32 samples, u32 width, u32 positions, u32 absolute) {
    const u32 all = samples * positions, pieces = (all + PART - 1) / PART;
    const u32 neuron = blockIdx.x / pieces, first = blockIdx.x % pieces * PART;
    double sum = 0.0;
    for (u32 at = threadIdx.x; at < PART && first + at < all; at += BLOCK) {
        const u32 i = first + at;
        const double value = (double)x[(i / positions * width + neuron) * positions + i % positions];
        sum += absolute && value < 0.0 ? -value : value;
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

extern "C" __global__ void neuron_sums_f32(const float *x, double *parts, u32 samples, u32 width, u32 positions,
                                           u32 absolute) {
    neuron_sums(x, parts, samples, width, positions, absolute);
}
extern "C" __global__ void neuron_sums_f64(const double *x, double *parts, u32 samples, u32 width, u32 positions,
                                           u32 absolute) {
    neuron_sums(x, parts, samples, width, positions, absolute);
}

// One step of conductance: total + slope (next - output).
extern "C" __global__ void conductance_f32(const float *total, const float *slope, const float *next,
                                           const float *output, float *y, u32 n) {
    EACH(i, n)
    y[i] = total[i] + slope[i] * (next[i] - output[i]);
}
extern "C" __global__ void conductance_f64(const double *total, const double *slope, const double *next,
                                           const double *output, double *y, u32 n) {
    EACH(i, n)
    y[i] = total[i] + slope[i] * (next[i] - output[i]);
}
