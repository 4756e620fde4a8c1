//! Augmentation of normalised images: pasting a part of an image onto it, and mixing the images of a batch.

use std::ops::Range;

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Beta, Distribution};

/// `[C, H, W]`.
pub(super) type Shape = [usize; 3];

/// How the images of a batch are mixed.
#[derive(Debug, Clone, PartialEq)]
pub struct Mix {
    /// For each image the one it is mixed with.
    pub partners: Vec<usize>,
    /// The image's own share.
    pub share: f64,
    /// What comes from the partner.
    pub part: Part,
}

/// What of an image comes from its partner.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// A rectangle.
    Window(Window),
    /// Its share of every pixel: the image's own, the partner's.
    Shares(f32, f32),
}

impl Mix {
    /// Mixes the images `[N, C, H, W]` of a batch.
    pub fn apply(&self, values: &mut [f32], shape: Shape) {
        let [channels, height, width] = shape;
        let image = channels * height * width;
        let old = values.to_vec();
        for (i, &partner) in self.partners.iter().enumerate() {
            match &self.part {
                Part::Window(window) => {
                    for channel in 0..channels {
                        for row in window.rows.clone() {
                            let start = (channel * height + row) * width;
                            let line = start + window.columns.start..start + window.columns.end;
                            let from = partner * image + line.start..partner * image + line.end;
                            values[i * image + line.start..i * image + line.end].copy_from_slice(&old[from]);
                        }
                    }
                }
                Part::Shares(own, other) => {
                    let pairs = values[i * image..][..image]
                        .iter_mut()
                        .zip(&old[partner * image..]);
                    for (value, from) in pairs {
                        *value = own * *value + other * from;
                    }
                }
            }
        }
    }
}

/// One draw of Beta(alpha, alpha).
fn beta(alpha: f64, rng: &mut ChaCha8Rng) -> f64 {
    // Positive by the range of the setting.
    Beta::new(alpha, alpha).map_or(0.5, |beta| beta.sample(rng))
}

/// All images of a batch in another order.
fn partners(count: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut partners: Vec<usize> = (0..count).collect();
    partners.shuffle(rng);
    partners
}

/// A rectangle of `[C, H, W]`: rows and columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// From the top.
    pub rows: Range<usize>,
    /// From the left.
    pub columns: Range<usize>,
}

/// `CutMix` (Yun et al., ICCV 2019): one rectangle, the same in all images, comes from another image of the batch.
///
/// Its area is `1 - lambda` of the image before it is cut at the border, `lambda ~ Beta(alpha, alpha)`; the share is what
/// remains of the image.
pub(super) fn cutmix(count: usize, shape: Shape, alpha: f64, rng: &mut ChaCha8Rng) -> Mix {
    let [_, height, width] = shape;
    let partners = partners(count, rng);
    let lambda = beta(alpha, rng);
    let mut side = |size: usize| -> Range<usize> {
        let size = size as f64;
        let centre = rng.random::<f64>() * size;
        let half = (size * (1.0 - lambda).sqrt() / 2.0).floor();
        let at = |x: f64| x.clamp(0.0, size) as usize;
        at(centre - half)..at(centre + half)
    };
    let window = Window {
        rows: side(height),
        columns: side(width),
    };
    let area = window.rows.len() * window.columns.len();
    Mix {
        partners,
        share: 1.0 - area as f64 / (height * width) as f64,
        part: Part::Window(window),
    }
}

/// `MixUp` (Zhang et al., ICLR 2018): `lambda x + (1 - lambda) x'`, one `lambda ~ Beta(alpha, alpha)` for the batch.
pub(super) fn mixup(count: usize, alpha: f64, rng: &mut ChaCha8Rng) -> Mix {
    let share = beta(alpha, rng);
    Mix {
        partners: partners(count, rng),
        share,
        part: Part::Shares(share as f32, (1.0 - share) as f32),
    }
}

/// The reference's random-crop-paste: a rectangle of the image, flipped or not, is blended into another place of the
/// image, flipped or not.
pub(super) fn crop_paste(values: &mut [f32], shape: Shape, alpha: f64, flip: f64, rng: &mut ChaCha8Rng) {
    let [_, height, width] = shape;
    let cut = (1.0 - beta(alpha, rng)).sqrt();
    let mut side = |size: usize| -> Range<usize> {
        let half = (size as f64 * cut) as usize / 2;
        let centre = rng.random_range(0..size.max(1));
        centre.saturating_sub(half)..(centre + half).min(size)
    };
    let (columns, rows) = (side(width), side(height));
    let front = Window { rows, columns };
    // The reference draws below `size - length`, and fails where the rectangle is as large as the image.
    let mut place = |size: usize, length: usize| rng.random_range(0..(size - length).max(1));
    let left = place(width, front.columns.len());
    let top = place(height, front.rows.len());
    let flip_front = rng.random::<f64>() <= flip;
    let flip_image = rng.random::<f64>() <= flip;
    let kept = rng.random::<f64>() as f32;
    for plane in values.chunks_exact_mut(height * width) {
        let old = plane.to_vec();
        if flip_image {
            for row in plane.chunks_exact_mut(width) {
                row.reverse();
            }
        }
        for (i, from) in front.rows.clone().enumerate() {
            let from = &old[from * width..][front.columns.clone()];
            let to = &mut plane[(top + i) * width + left..][..from.len()];
            for (j, value) in to.iter_mut().enumerate() {
                let source = if flip_front {
                    from[from.len() - 1 - j]
                } else {
                    from[j]
                };
                *value = *value * kept + source * (1.0 - kept);
            }
        }
    }
}
