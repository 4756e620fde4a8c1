// One step of Adam over all parameters in one launch. `table` has five words for each parameter: addresses of its values,
// moments [2, count] and gradient, its count, and the first of its blocks.
extern "C" __global__ void adam(const unsigned long long *table, u32 parameters, float penalty, float kept, float scale,
                                float correction, float beta1, float beta2, float epsilon) {
    u32 low = 0, high = parameters; // the parameter of this block is the last that does not begin after it
    while (high - low > 1) {
        const u32 middle = (low + high) / 2;
        if (table[5 * middle + 4] <= blockIdx.x) low = middle;
        else high = middle;
    }
    const unsigned long long *own = table + 5 * low;
    float *value = (float *)own[0], *first = (float *)own[1];
    const float *gradient = (const float *)own[2];
    const u32 count = (u32)own[3], i = (blockIdx.x - (u32)own[4]) * BLOCK + threadIdx.x;
    if (i >= count) return;
    float *second = first + count;
    const float w = value[i], g = gradient[i] + penalty * w;
    const float m = beta1 * first[i] + (1.0f - beta1) * g;
    const float v = beta2 * second[i] + (1.0f - beta2) * g * g;
    first[i] = m;
    second[i] = v;
    value[i] = kept * w - scale * m / (sqrtf(v) / correction + epsilon);
}
