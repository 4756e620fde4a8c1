// Dropout with the draws of the CPU's generator: ChaCha with 8 rounds, 64 bits to an element, from word `position` on.

struct Chacha {
    u32 key[8], stream_low, stream_high;
};

__device__ u32 rotated(u32 x, u32 by) { return x << by | x >> (32 - by); }

__device__ void quarter(u32 *s, u32 a, u32 b, u32 c, u32 d) {
    s[a] += s[b];
    s[d] = rotated(s[d] ^ s[a], 16);
    s[c] += s[d];
    s[b] = rotated(s[b] ^ s[c], 12);
    s[a] += s[b];
    s[d] = rotated(s[d] ^ s[a], 8);
    s[c] += s[d];
    s[b] = rotated(s[b] ^ s[c], 7);
}

// The 16 words of a block.
__device__ void chacha(const Chacha &c, unsigned long long block, u32 *words) {
    u32 start[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
    for (u32 i = 0; i < 8; i++) start[4 + i] = c.key[i];
    start[12] = (u32)block;
    start[13] = (u32)(block >> 32);
    start[14] = c.stream_low;
    start[15] = c.stream_high;
    for (u32 i = 0; i < 16; i++) words[i] = start[i];
    for (u32 round = 0; round < 4; round++) {
        quarter(words, 0, 4, 8, 12);
        quarter(words, 1, 5, 9, 13);
        quarter(words, 2, 6, 10, 14);
        quarter(words, 3, 7, 11, 15);
        quarter(words, 0, 5, 10, 15);
        quarter(words, 1, 6, 11, 12);
        quarter(words, 2, 7, 8, 13);
        quarter(words, 3, 4, 9, 14);
    }
    for (u32 i = 0; i < 16; i++) words[i] += start[i];
}

// One thread per block of the generator: the elements whose draws begin in it are 0 where the draw is below `limit`, else
// times `kept`.
template <class T>
__device__ void dropout(const T *x, T *y, u32 n, u32 count, const Chacha &c, unsigned long long position,
                        unsigned long long limit, float kept) {
    EACH(i, n)
    const unsigned long long block = position / 16 + i, first = 16 * block;
    u32 words[32];
    chacha(c, block, words);
    // A draw begins at the last word of a block only where the position is odd.
    if (position % 2 == 1) chacha(c, block + 1, words + 16);
    for (u32 word = (u32)(position % 2); word < 16; word += 2) {
        if (first + word < position) continue;
        const unsigned long long at = (first + word - position) / 2;
        if (at >= count) return;
        const unsigned long long draw = (unsigned long long)words[word + 1] << 32 | words[word];
        y[at] = x[at] * (T)(draw < limit ? 0.0f : kept);
    }
}

#define DROPOUT(T, name)                                                                                               \
    extern "C" __global__ void dropout_##name(const T *x, T *y, u32 n, u32 count, u32 k0, u32 k1, u32 k2, u32 k3,      \
                                              u32 k4, u32 k5, u32 k6, u32 k7, u32 stream_low, u32 stream_high,         \
                                              u32 position_low, u32 position_high, u32 limit_low, u32 limit_high,      \
                                              float kept) {                                                            \
        const Chacha c{{k0, k1, k2, k3, k4, k5, k6, k7}, stream_low, stream_high};                                     \
        const unsigned long long position = (unsigned long long)position_high << 32 | position_low;                    \
        dropout(x, y, n, count, c, position, (unsigned long long)limit_high << 32 | limit_low, kept);                  \
    }

DROPOUT(float, f32)
DROPOUT(double, f64)
