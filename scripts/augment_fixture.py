"""Writes tests/data/augment.txt: what Pillow makes of small images, for the operations of AutoAugment.

    python scripts/augment_fixture.py > tests/data/augment.txt        (Pillow and numpy)

A line `name index sign` names the operation, the index of its magnitude among the ten of the policy, and the direction.
What follows are FNV-1a checksums of the results for the images of `IMAGES`, and the whole result (hexadecimal, rows of
pixels) for a tiny image. `src/data/augment/tests.rs` makes the same images.
"""
import numpy as np
import PIL
from PIL import Image, ImageEnhance, ImageOps

IMAGES = [("noise", 32, 32, 3), ("smooth", 32, 32, 3), ("poster", 17, 13, 3), ("smooth", 28, 28, 1)]
TINY = ("smooth", 8, 6, 3)


def image(kind, width, height, channels):
    state, pixels = width * 1000 + height * 10 + channels, bytearray()
    for y in range(height):
        for x in range(width):
            for c in range(channels):
                state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
                noise = state >> 56
                pixels.append({
                    "noise": noise,
                    "smooth": min(20 + x * 5 + y * 2 + c * 10 + noise % 16, 255),
                    "poster": (noise >> 6) * 60 + 20,
                }[kind])
    return Image.frombytes("RGB" if channels == 3 else "L", (width, height), bytes(pixels))


def fnv(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return f"{value:016x}"


def affine(x, data, filter=Image.NEAREST):
    fill = (128, 128, 128) if x.mode == "RGB" else 128
    return x.transform(x.size, Image.AFFINE, data, filter, fillcolor=fill)


def rotate(x, degrees):
    turned = x.convert("RGBA").rotate(degrees)
    return Image.composite(turned, Image.new("RGBA", turned.size, (128,) * 4), turned).convert(x.mode)


line = np.linspace
OPERATIONS = {
    "shear-x": (line(0, 0.3, 10), lambda x, m, s: affine(x, (1, m * s, 0, 0, 1, 0), Image.BICUBIC), [-1, 1]),
    "shear-y": (line(0, 0.3, 10), lambda x, m, s: affine(x, (1, 0, 0, m * s, 1, 0), Image.BICUBIC), [-1, 1]),
    "translate-x": (line(0, 150 / 331, 10), lambda x, m, s: affine(x, (1, 0, m * x.size[0] * s, 0, 1, 0)), [-1, 1]),
    "translate-y": (line(0, 150 / 331, 10), lambda x, m, s: affine(x, (1, 0, 0, 0, 1, m * x.size[1] * s)), [-1, 1]),
    "rotate": (line(0, 30, 10), lambda x, m, s: rotate(x, m), [1]),
    "color": (line(0.0, 0.9, 10), lambda x, m, s: ImageEnhance.Color(x).enhance(1 + m * s), [-1, 1]),
    "posterize": (np.round(line(8, 4, 10), 0).astype(int), lambda x, m, s: ImageOps.posterize(x, int(m)), [1]),
    "solarize": (line(256, 0, 10), lambda x, m, s: ImageOps.solarize(x, m), [1]),
    "contrast": (line(0.0, 0.9, 10), lambda x, m, s: ImageEnhance.Contrast(x).enhance(1 + m * s), [-1, 1]),
    "sharpness": (line(0.0, 0.9, 10), lambda x, m, s: ImageEnhance.Sharpness(x).enhance(1 + m * s), [-1, 1]),
    "brightness": (line(0.0, 0.9, 10), lambda x, m, s: ImageEnhance.Brightness(x).enhance(1 + m * s), [-1, 1]),
    "auto-contrast": (line(0, 0, 10), lambda x, m, s: ImageOps.autocontrast(x), [1]),
    "equalize": (line(0, 0, 10), lambda x, m, s: ImageOps.equalize(x), [1]),
    "invert": (line(0, 0, 10), lambda x, m, s: ImageOps.invert(x), [1]),
}

if __name__ == "__main__":
    print(f"# Pillow {PIL.__version__}, numpy {np.__version__}: scripts/augment_fixture.py")
    for name, (magnitudes, operation, signs) in OPERATIONS.items():
        for index in [0] if not np.any(magnitudes) else [1, 3, 6, 8, 9]:
            for sign in signs:
                results = [operation(image(*i), magnitudes[index], sign).tobytes() for i in IMAGES]
                tiny = operation(image(*TINY), magnitudes[index], sign).tobytes().hex() if index in (0, 6) else "-"
                print(name, index, sign, *map(fnv, results), tiny)
