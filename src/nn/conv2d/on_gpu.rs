//! Convolution on a GPU: one product with the windows as rows.
//!
//! ```text
//! Y = unfold(x) W^T      dW = dY^T unfold(x)      dx = fold(dY W)
//! ```
//!
//! with Y as rows `[N H' W', O]`. The windows of a batch are kept for the way back; where they are many, images are taken
//! in groups.

use candle_core::{Result, Tensor};

use super::Sizes;
use crate::gpu::{Cut, Precision, chunk, product, unfold};

/// Elements of the windows of a group of images: 2 GiB in f32.
const WINDOWS: usize = 1 << 29;

pub(super) fn conv2d(
    precision: Precision,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    sizes: &Sizes,
) -> Result<Tensor> {
    let image = &sizes.image;
    let group = (chunk(WINDOWS) / (image.rows() * image.columns()).max(1)).max(1);
    let weight = weight.flatten_from(1)?.t()?;
    let mut parts = Vec::new();
    for first in (0..sizes.images.max(1)).step_by(group) {
        let count = group.min(sizes.images - first);
        let cut = Cut {
            images: (count, image.channels, image.height, image.width),
            positions: image.positions,
            kernel: image.window.kernel,
            stride: image.window.stride,
            padding: image.window.padding,
        };
        let rows = unfold(&x.narrow(0, first, count)?, cut)?;
        let y = product(&rows, &weight, precision)?;
        let y = match bias {
            Some(bias) => y.broadcast_add(bias)?,
            None => y,
        };
        parts.push(y.reshape((count, image.columns(), sizes.outputs))?);
    }
    let y = match parts.as_slice() {
        [all] => all.clone(),
        _ => Tensor::cat(&parts, 0)?,
    };
    let (down, along) = image.positions;
    let shape = (sizes.images, sizes.outputs, down, along);
    y.transpose(1, 2)?.contiguous()?.reshape(shape)
}
