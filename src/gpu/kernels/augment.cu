// Batches of varied images from a data set that stays on the device. What is random is drawn on the CPU, per sample and per
// batch; `draws` holds top, left and whether to flip for each sample.

extern "C" __global__ void augment(const unsigned char *pixels, const u32 *chosen, const u32 *draws,
                                   const float *table, float *y, u32 n, u32 channels, u32 height, u32 width,
                                   u32 padding) {
    EACH(i, n)
    const u32 column = i % width, row = i / width % height;
    const u32 channel = i / (width * height) % channels, sample = i / (width * height * channels);
    const u32 *draw = draws + 3 * sample;
    const u32 x = (draw[2] ? width - 1 - column : column) + draw[1] - padding;
    const u32 py = row + draw[0] - padding; // wraps around to a large number outside of the image
    const bool inside = py < height && x < width;
    const u32 value = inside ? pixels[((chosen[sample] * channels + channel) * height + py) * width + x] : 0;
    y[i] = table[channel * 256 + value];
}

// CutMix: the rectangle comes from the partner.
extern "C" __global__ void cutmix(const float *x, const u32 *partners, float *y, u32 n, u32 channels, u32 height,
                                  u32 width, u32 top, u32 bottom, u32 left, u32 right) {
    EACH(i, n)
    const u32 column = i % width, row = i / width % height, image = channels * height * width;
    const bool cut = top <= row && row < bottom && left <= column && column < right;
    y[i] = cut ? x[partners[i / image] * image + i % image] : x[i];
}

// MixUp.
extern "C" __global__ void mixup(const float *x, const u32 *partners, float *y, u32 n, u32 image, float own,
                                 float other) {
    EACH(i, n)
    y[i] = own * x[i] + other * x[partners[i / image] * image + i % image];
}
