//! Varied training images.
//!
//! The order is the reference's, whatever that of the list: crop, flip and `AutoAugment` on bytes, normalisation,
//! random-crop-paste, then the mixing of a batch's images. Everything random comes from the generators that are passed
//! in: one per sample, one per batch, so that what is drawn does not depend on who computes it.

mod colour;
mod geometry;
mod mix;
mod policy;
mod settings;
#[cfg(test)]
mod tests;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

pub use mix::{Mix, Part as MixPart};
pub use settings::Augmentation;

/// One image of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Image {
    channels: usize,
    height: usize,
    width: usize,
    /// `[C, H, W]`, row-major.
    pixels: Vec<u8>,
}

impl Image {
    /// Each channel, `[H, W]`.
    fn planes(&self) -> impl Iterator<Item = &[u8]> {
        self.pixels.chunks_exact((self.height * self.width).max(1))
    }

    fn planes_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.pixels.chunks_exact_mut((self.height * self.width).max(1))
    }
}

/// A list of augmentations, ready for use.
#[derive(Debug, Clone, Default)]
pub struct Augmenter {
    /// In the order of application.
    steps: Vec<Augmentation>,
}

impl Augmenter {
    /// These augmentations.
    pub fn new(augmentations: &[Augmentation]) -> Self {
        let mut steps = augmentations.to_vec();
        steps.sort_by_key(|step| match step {
            Augmentation::RandomCrop { .. } => 0,
            Augmentation::Flip { .. } => 1,
            Augmentation::AutoAugment => 2,
            Augmentation::RandomCropPaste { .. } => 3,
            Augmentation::Cutmix { .. } | Augmentation::Mixup { .. } => 4,
        });
        Self { steps }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Varies the bytes of one image `[C, H, W]`.
    pub fn bytes(&self, shape: [usize; 3], pixels: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
        let [channels, height, width] = shape;
        let mut image = Image {
            channels,
            height,
            width,
            pixels: pixels.to_vec(),
        };
        for step in &self.steps {
            match *step {
                Augmentation::RandomCrop { padding } => {
                    let top = rng.random_range(0..=2 * padding);
                    let left = rng.random_range(0..=2 * padding);
                    geometry::crop(&mut image, padding, top, left);
                }
                Augmentation::Flip { probability } => {
                    if rng.random::<f64>() < probability {
                        geometry::flip(&mut image);
                    }
                }
                Augmentation::AutoAugment => policy::apply(&mut image, rng),
                Augmentation::RandomCropPaste { .. }
                | Augmentation::Cutmix { .. }
                | Augmentation::Mixup { .. } => {}
            }
        }
        image.pixels
    }

    /// Varies one normalised image `[C, H, W]`, with the generator that [`Augmenter::bytes`] has drawn from.
    pub fn values(&self, shape: [usize; 3], values: &mut [f32], rng: &mut ChaCha8Rng) {
        for step in &self.steps {
            if let Augmentation::RandomCropPaste { alpha, probability } = *step {
                mix::crop_paste(values, shape, alpha, probability, rng);
            }
        }
    }

    /// Mixes the normalised images `[N, C, H, W]` of a batch; `None` where they are not mixed.
    pub fn batch(&self, shape: [usize; 3], values: &mut [f32], rng: &mut ChaCha8Rng) -> Option<Mix> {
        let count = values.len() / shape.iter().product::<usize>().max(1);
        let mix = self.mix(shape, count, rng)?;
        mix.apply(values, shape);
        Some(mix)
    }

    /// Draws how [`Augmenter::batch`] mixes so many images.
    pub fn mix(&self, shape: [usize; 3], count: usize, rng: &mut ChaCha8Rng) -> Option<Mix> {
        self.steps.iter().find_map(|step| match *step {
            Augmentation::Cutmix { alpha, probability } => {
                (rng.random::<f64>() < probability).then(|| mix::cutmix(count, shape, alpha, rng))
            }
            Augmentation::Mixup { alpha, probability } => {
                (rng.random::<f64>() < probability).then(|| mix::mixup(count, alpha, rng))
            }
            _ => None,
        })
    }

    /// The border of the crop (0 without one), where images are but cropped and flipped before they are mixed.
    pub fn moves_only(&self) -> Option<usize> {
        let mut border = None;
        for step in &self.steps {
            match *step {
                Augmentation::RandomCrop { padding } if border.is_none() => border = Some(padding),
                Augmentation::Flip { .. } | Augmentation::Cutmix { .. } | Augmentation::Mixup { .. } => {}
                _ => return None,
            }
        }
        Some(border.unwrap_or(0))
    }

    /// Draws how [`Augmenter::bytes`] moves an image where [`Augmenter::moves_only`]: the corner of the crop, from top and
    /// left of the image with its border, and whether it is flipped.
    pub fn moves(&self, rng: &mut ChaCha8Rng) -> (usize, usize, bool) {
        let (mut top, mut left, mut flipped) = (0, 0, false);
        for step in &self.steps {
            match *step {
                Augmentation::RandomCrop { padding } => {
                    top = rng.random_range(0..=2 * padding);
                    left = rng.random_range(0..=2 * padding);
                }
                Augmentation::Flip { probability } => flipped ^= rng.random::<f64>() < probability,
                _ => {}
            }
        }
        (top, left, flipped)
    }
}
