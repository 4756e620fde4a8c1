//! Convolution on a GPU. The inputs' side of what is multiplied is kept for the way back; where it is much, images are
//! taken in groups.

use candle_core::{Result, Tensor};

use super::{Sizes, winograd};
use crate::gpu::{self, Cut, Precision, Tiling};

/// Elements of the factors of a group of images: 2 GiB in f32.
const FACTORS: usize = 1 << 29;

pub(super) fn conv2d(
    precision: Precision,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    sizes: &Sizes,
) -> Result<Tensor> {
    let image = &sizes.image;
    let transformed = match winograd::suits(sizes) {
        true => Some(gpu::winograd_weights(weight)?),
        false => None,
    };
    let each = match transformed {
        Some(_) => {
            let tiles = image.positions.0.div_ceil(2) * image.positions.1.div_ceil(2);
            16 * tiles * (image.channels + sizes.outputs)
        }
        None => image.rows() * image.columns(),
    };
    let group = (gpu::chunk(FACTORS) / each.max(1)).max(1);
    let mut parts = Vec::new();
    for first in (0..sizes.images.max(1)).step_by(group) {
        let images = group.min(sizes.images - first);
        let x = x.narrow(0, first, images)?;
        let part = if let Some(transformed) = &transformed {
            let tiling = Tiling {
                images,
                inputs: (image.height, image.width),
                results: image.positions,
                padding: image.window.padding,
            };
            gpu::winograd(precision, &x, (weight, transformed), bias, tiling)?
        } else {
            let cut = Cut {
                images: (images, image.channels, image.height, image.width),
                positions: image.positions,
                kernel: image.window.kernel,
                stride: image.window.stride,
                padding: image.window.padding,
            };
            gpu::convolve(precision, &x, weight, bias, cut)?
        };
        parts.push(part);
    }
    match parts.as_slice() {
        [all] => Ok(all.clone()),
        _ => Tensor::cat(&parts, 0),
    }
}
