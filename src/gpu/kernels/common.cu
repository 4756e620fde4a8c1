// What all kernels share; the sources are joined into one before they are compiled.
//
// Every tensor is contiguous and has fewer than 2^32 elements. Products and sums are not fused (--fmad=false) and no sum
// uses atomics: a kernel that adds in the order of its twin on the CPU gives the same bits.

typedef unsigned int u32;

// Threads of a block, everywhere.
#define BLOCK 256

// The element of this thread; threads beyond the last have nothing to do.
#define EACH(i, n)                                                                                                     \
    const u32 i = blockIdx.x * BLOCK + threadIdx.x;                                                                    \
    if (i >= n) return;

// The sum over the block's threads, by halves, on thread 0: lane t gets lane t + 128, then t + 64, ...
__device__ double block_sum(double value) {
    __shared__ double lanes[BLOCK];
    lanes[threadIdx.x] = value;
    __syncthreads();
    for (u32 width = BLOCK / 2; width > 0; width /= 2) {
        if (threadIdx.x < width) lanes[threadIdx.x] += lanes[threadIdx.x + width];
        __syncthreads();
    }
    return lanes[0];
}
