//! `AutoAugment`'s policy for CIFAR-10: one of 25 pairs of operations, each applied with its own probability.
//!
//! Cubuk et al., "`AutoAugment`: Learning Augmentation Policies from Data", CVPR 2019; table and ranges as the reference
//! has them. What is outside of the image is grey (128).

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::geometry::{self, Filter};
use super::{Image, colour};

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    // Of AutoAugment's operations the one that no pair has.
    #[cfg_attr(not(test), expect(dead_code))]
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Color,
    Posterize,
    Solarize,
    Contrast,
    Sharpness,
    Brightness,
    AutoContrast,
    Equalize,
    Invert,
}

use Operation::{
    AutoContrast, Brightness, Color, Contrast, Equalize, Invert, Posterize, Rotate, Sharpness, ShearX,
    ShearY, Solarize, TranslateX, TranslateY,
};

/// An operation, its probability, and the index of its magnitude.
type Step = (f64, Operation, u8);

const POLICY: [[Step; 2]; 25] = [
    [(0.1, Invert, 7), (0.2, Contrast, 6)],
    [(0.7, Rotate, 2), (0.3, TranslateX, 9)],
    [(0.8, Sharpness, 1), (0.9, Sharpness, 3)],
    [(0.5, ShearY, 8), (0.7, TranslateY, 9)],
    [(0.5, AutoContrast, 8), (0.9, Equalize, 2)],
    [(0.2, ShearY, 7), (0.3, Posterize, 7)],
    [(0.4, Color, 3), (0.6, Brightness, 7)],
    [(0.3, Sharpness, 9), (0.7, Brightness, 9)],
    [(0.6, Equalize, 5), (0.5, Equalize, 1)],
    [(0.6, Contrast, 7), (0.6, Sharpness, 5)],
    [(0.7, Color, 7), (0.5, TranslateX, 8)],
    [(0.3, Equalize, 7), (0.4, AutoContrast, 8)],
    [(0.4, TranslateY, 3), (0.2, Sharpness, 6)],
    [(0.9, Brightness, 6), (0.2, Color, 8)],
    [(0.5, Solarize, 2), (0.0, Invert, 3)],
    [(0.2, Equalize, 0), (0.6, AutoContrast, 0)],
    [(0.2, Equalize, 8), (0.6, Equalize, 4)],
    [(0.9, Color, 9), (0.6, Equalize, 6)],
    [(0.8, AutoContrast, 4), (0.2, Solarize, 8)],
    [(0.1, Brightness, 3), (0.7, Color, 0)],
    [(0.4, Solarize, 5), (0.9, AutoContrast, 3)],
    [(0.9, TranslateY, 9), (0.7, TranslateY, 9)],
    [(0.9, AutoContrast, 2), (0.8, Solarize, 3)],
    [(0.8, Equalize, 8), (0.1, Invert, 3)],
    [(0.7, TranslateY, 9), (0.9, AutoContrast, 1)],
];

/// Applies one of the policy's pairs.
pub(super) fn apply(image: &mut Image, rng: &mut ChaCha8Rng) {
    let pair = &POLICY[rng.random_range(0..POLICY.len())];
    for &(probability, operation, index) in pair {
        if rng.random::<f64>() < probability {
            let sign = if rng.random::<bool>() { 1.0 } else { -1.0 };
            operation.apply(image, index, sign);
        }
    }
}

/// `numpy.linspace(start, stop, 10)[index]`.
fn magnitude(start: f64, stop: f64, index: u8) -> f64 {
    match index {
        9.. => stop,
        _ => f64::from(index) * ((stop - start) / 9.0) + start,
    }
}

impl Operation {
    /// `sign` is -1 or 1; rotations, tables and `solarize` have no direction.
    pub fn apply(self, image: &mut Image, index: u8, sign: f64) {
        let part = |stop| magnitude(0.0, stop, index);
        let factor = 1.0 + part(0.9) * sign;
        let shear = part(0.3) * sign;
        let shift = part(150.0 / 331.0);
        match self {
            ShearX => geometry::affine(image, [1.0, shear, 0.0, 0.0, 1.0, 0.0], Filter::Bicubic),
            ShearY => geometry::affine(image, [1.0, 0.0, 0.0, shear, 1.0, 0.0], Filter::Bicubic),
            TranslateX => {
                let shift = shift * image.width as f64 * sign;
                geometry::affine(image, [1.0, 0.0, shift, 0.0, 1.0, 0.0], Filter::Nearest);
            }
            TranslateY => {
                let shift = shift * image.height as f64 * sign;
                geometry::affine(image, [1.0, 0.0, 0.0, 0.0, 1.0, shift], Filter::Nearest);
            }
            Rotate => geometry::rotate(image, part(30.0)),
            Color => colour::color(image, factor),
            Posterize => colour::posterize(image, magnitude(8.0, 4.0, index).round_ties_even() as u32),
            Solarize => colour::solarize(image, magnitude(256.0, 0.0, index)),
            Contrast => colour::contrast(image, factor),
            Sharpness => colour::sharpness(image, factor),
            Brightness => colour::brightness(image, factor),
            AutoContrast => colour::auto_contrast(image),
            Equalize => colour::equalize(image),
            Invert => colour::invert(image),
        }
    }
}
