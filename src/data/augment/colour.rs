//! Changing values in place: tables, and Pillow's enhancers, to the bit.

use super::Image;

/// Replaces every value of a plane.
fn look_up(plane: &mut [u8], table: &[u8; 256]) {
    for pixel in plane {
        *pixel = table[usize::from(*pixel)];
    }
}

fn histogram(plane: &[u8]) -> [usize; 256] {
    let mut counts = [0; 256];
    for &pixel in plane {
        counts[usize::from(pixel)] += 1;
    }
    counts
}

fn table(value: impl Fn(u8) -> u8) -> [u8; 256] {
    std::array::from_fn(|i| value(i as u8))
}

/// `ImageOps.invert`.
pub(super) fn invert(image: &mut Image) {
    look_up(&mut image.pixels, &table(|v| 255 - v));
}

/// `ImageOps.solarize`: inverts values from `threshold` on.
pub(super) fn solarize(image: &mut Image, threshold: f64) {
    look_up(
        &mut image.pixels,
        &table(|v| if f64::from(v) < threshold { v } else { 255 - v }),
    );
}

/// `ImageOps.posterize`: keeps the upper `bits`, 1 to 8.
pub(super) fn posterize(image: &mut Image, bits: u32) {
    let mask = 255u8.checked_shl(8u32.saturating_sub(bits)).unwrap_or(0);
    look_up(&mut image.pixels, &table(|v| v & mask));
}

/// `ImageOps.autocontrast`: each plane stretched over all values.
pub(super) fn auto_contrast(image: &mut Image) {
    for plane in image.planes_mut() {
        let (Some(&low), Some(&high)) = (plane.iter().min(), plane.iter().max()) else {
            continue;
        };
        if high > low {
            let scale = 255.0 / f64::from(high - low);
            let offset = -f64::from(low) * scale;
            let stretched = |v: u8| (f64::from(v) * scale + offset).trunc().clamp(0.0, 255.0) as u8;
            look_up(plane, &table(stretched));
        }
    }
}

/// `ImageOps.equalize`: each plane with as equal a histogram as a table can give.
pub(super) fn equalize(image: &mut Image) {
    for plane in image.planes_mut() {
        let counts = histogram(plane);
        let last = counts.iter().rev().find(|&&n| n > 0).copied().unwrap_or(0);
        let step = (plane.len() - last) / 255;
        // One value alone has all pixels, so that the step is 0, too.
        if step == 0 {
            continue;
        }
        let mut n = step / 2;
        let mut levels = [0; 256];
        for (level, count) in levels.iter_mut().zip(counts) {
            *level = (n / step).min(255) as u8;
            n += count;
        }
        look_up(plane, &levels);
    }
}

/// `Image.blend(from, to, factor)`, in f32: between the two, or beyond.
fn blend(from: u8, to: u8, factor: f32) -> u8 {
    let (from, to) = (f32::from(from), f32::from(to));
    (from + factor * (to - from)).clamp(0.0, 255.0) as u8
}

/// Blends every pixel with what `other` gives for it; nothing for a factor of 1.
fn enhance(image: &mut Image, factor: f64, other: impl Fn(&Image) -> Vec<u8>) {
    let factor = factor as f32;
    if factor == 1.0 {
        return;
    }
    let other = other(image);
    for (pixel, from) in image.pixels.iter_mut().zip(other) {
        *pixel = blend(from, *pixel, factor);
    }
}

/// The luma of every pixel, as `convert("L")`; images that are not of three colours stay as they are.
fn luma(image: &Image) -> Vec<u8> {
    let mut planes = image.planes().filter(|_| image.channels == 3);
    match (planes.next(), planes.next(), planes.next()) {
        (Some(r), Some(g), Some(b)) => {
            let weigh = |((&r, &g), &b): ((&u8, &u8), &u8)| {
                let sum = u32::from(r) * 19595 + u32::from(g) * 38470 + u32::from(b) * 7471;
                ((sum + 0x8000) >> 16) as u8
            };
            r.iter().zip(g).zip(b).map(weigh).collect()
        }
        _ => image.pixels.clone(),
    }
}

/// `ImageEnhance.Color`.
pub(super) fn color(image: &mut Image, factor: f64) {
    enhance(image, factor, |image| {
        luma(image).repeat(if image.channels == 3 { 3 } else { 1 })
    });
}

/// `ImageEnhance.Brightness`.
pub(super) fn brightness(image: &mut Image, factor: f64) {
    enhance(image, factor, |image| vec![0; image.pixels.len()]);
}

/// `ImageEnhance.Contrast`.
pub(super) fn contrast(image: &mut Image, factor: f64) {
    enhance(image, factor, |image| {
        let luma = luma(image);
        let sum: u64 = luma.iter().map(|&v| u64::from(v)).sum();
        let mean = (sum as f64 / luma.len().max(1) as f64 + 0.5) as u8;
        vec![mean; image.pixels.len()]
    });
}

/// `ImageEnhance.Sharpness`.
pub(super) fn sharpness(image: &mut Image, factor: f64) {
    enhance(image, factor, smooth);
}

/// `filter(ImageFilter.SMOOTH)`: weights 1 and, in the middle, 5, of 13; the border stays.
fn smooth(image: &Image) -> Vec<u8> {
    const SIDE: f32 = 1.0 / 13.0;
    const MIDDLE: f32 = 5.0 / 13.0;
    let (height, width) = (image.height, image.width);
    let mut out = image.pixels.clone();
    for (plane, out) in image.planes().zip(out.chunks_exact_mut(height * width)) {
        for y in 1..height.saturating_sub(1) {
            for x in 1..width.saturating_sub(1) {
                let row = |y: usize, middle: f32| {
                    let at = |x: usize| f32::from(plane[y * width + x]);
                    at(x - 1) * SIDE + at(x) * middle + at(x + 1) * SIDE
                };
                // In Pillow's order, for its rounding.
                let sum = 0.5 + row(y + 1, SIDE) + row(y, MIDDLE) + row(y - 1, SIDE);
                out[y * width + x] = sum.clamp(0.0, 255.0) as u8;
            }
        }
    }
    out
}
