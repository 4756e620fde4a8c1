//! Windows of images as rows.

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use super::element::{Element, by_dtype, ours, with_slice};
use super::window::Window;
use crate::gpu;

/// The windows of `x [N, C, H, W]` as the rows of a matrix `[N H' W', C kh kw]`: rows in the order of (image, row,
/// column), columns in that of (channel, row, column in the window), zeros beyond the image. So the convolution with
/// `weight [O, C, kh, kw]` is the product with `weight` as `[O, C kh kw]` transposed. No gradients.
///
/// ```
/// use candle_core::{Device, Tensor};
/// let x = Tensor::arange(0f32, 9.0, &Device::Cpu)?.reshape((1, 1, 3, 3))?;
/// let rows = runner::nn::unfold(&x, (2, 2), 1, 0)?.to_vec2::<f32>()?;
/// assert_eq!(rows, [[0., 1., 3., 4.], [1., 2., 4., 5.], [3., 4., 6., 7.], [4., 5., 7., 8.]]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn unfold(x: &Tensor, kernel: (usize, usize), stride: usize, padding: usize) -> Result<Tensor> {
    let window = Window {
        kernel,
        stride,
        padding,
    };
    let (_, channels, height, width) = x.dims4()?;
    if channels * height * width == 0 {
        bail!("windows of images of shape {:?}", x.shape());
    }
    let positions = window.positions((height, width))?;
    let x = x.detach();
    if gpu::active(&x) {
        let cut = gpu::Cut {
            images: x.dims4()?,
            positions,
            kernel,
            stride,
            padding,
        };
        gpu::unfold(&x, cut)
    } else if ours(&x) {
        by_dtype!(x.dtype(), T => rows::<T>(&x.contiguous()?, window, positions))
    } else {
        composed(&x, window, positions)
    }
}

fn rows<T: Element>(x: &Tensor, window: Window, (down, along): (usize, usize)) -> Result<Tensor> {
    let (images, channels, height, width) = x.dims4()?;
    let Window {
        kernel: (kh, kw),
        stride,
        padding,
    } = window;
    let depth = channels * kh * kw;
    let mut result = vec![T::ZERO; images * down * along * depth];
    with_slice::<T, _>(x, |x| {
        result
            .par_chunks_mut(along * depth)
            .enumerate()
            .for_each(|(line, result)| {
                let (image, y) = (line / down, line % down);
                let image = &x[image * channels * height * width..][..channels * height * width];
                for (position, row) in result.chunks_exact_mut(depth).enumerate() {
                    let left = position * stride;
                    // The part of the window that lies inside the image.
                    let start = padding.saturating_sub(left).min(kw);
                    let end = (width + padding).saturating_sub(left).clamp(start, kw);
                    for (index, part) in row.chunks_exact_mut(kw).enumerate() {
                        let (channel, top) = (index / kh, y * stride + index % kh);
                        if start < end && (padding..height + padding).contains(&top) {
                            let line = &image[(channel * height + top - padding) * width..][..width];
                            part[start..end]
                                .copy_from_slice(&line[left + start - padding..left + end - padding]);
                        }
                    }
                }
            });
        Ok(())
    })?;
    Tensor::from_vec(result, (images * down * along, depth), x.device())
}

/// The same in candle's operations.
fn composed(x: &Tensor, window: Window, (down, along): (usize, usize)) -> Result<Tensor> {
    let (images, channels, _, _) = x.dims4()?;
    let Window {
        kernel: (kh, kw),
        stride,
        padding,
    } = window;
    let padded = x
        .pad_with_zeros(2, padding, padding)?
        .pad_with_zeros(3, padding, padding)?;
    let every = |offset: usize, count: usize| {
        let indices: Vec<u32> = (0..count).map(|i| (offset + i * stride) as u32).collect();
        Tensor::from_vec(indices, count, x.device())
    };
    let mut parts = Vec::with_capacity(kh * kw);
    for ky in 0..kh {
        let lines = padded.index_select(&every(ky, down)?, 2)?;
        for kx in 0..kw {
            parts.push(lines.index_select(&every(kx, along)?, 3)?);
        }
    }
    // [N, C, kh kw, H', W']
    Tensor::stack(&parts, 2)?
        .permute((0, 3, 4, 1, 2))?
        .contiguous()?
        .reshape((images * down * along, channels * kh * kw))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::conv2d;
    use crate::nn::tests::{ramp, values};
    use crate::testing::DOUBLE;

    /// PyTorch 2.15: `F.unfold(ramp(2, 2, 3, 3; 7, 11), (2, 3), padding=1).transpose(1, 2).reshape(-1, 12)`,
    /// rows 5 and 17.
    #[test]
    fn agrees_with_pytorch() {
        let rows = unfold(&ramp(&[2, 2, 3, 3], 7, 11), (2, 3), 1, 1).expect("shapes fit");
        assert_eq!(rows.dims(), [24, 12]);
        let rows = rows.to_vec2::<f64>().expect("matrix");
        let expected = [
            0.875, -0.125, 0.0, 0.625, -0.375, 0.0, 0.125, -0.875, 0.0, -0.125, 1.625, 0.0,
        ];
        assert_eq!(rows[5], expected);
        let expected = [
            -0.625, 1.125, 0.0, -0.875, 0.875, 0.0, 1.375, 0.375, 0.0, 1.125, 0.125, 0.0,
        ];
        assert_eq!(rows[17], expected);
    }

    #[test]
    fn the_product_with_a_weight_is_the_convolution() {
        for (kernel, stride, padding) in [((1, 1), 1, 0), ((3, 2), 2, 1), ((3, 3), 1, 1), ((2, 3), 3, 4)] {
            let (x, weight) = (
                ramp(&[3, 2, 5, 4], 7, 11),
                ramp(&[4, 2, kernel.0, kernel.1], 5, 13),
            );
            let y = conv2d(&x, &weight, None, stride, padding).expect("shapes fit");
            let rows = unfold(&x, kernel, stride, padding).expect("shapes fit");
            let product = weight
                .flatten_from(1)
                .and_then(|weight| rows.matmul(&weight.t()?))
                .expect("shapes fit");
            let y = y.permute((0, 2, 3, 1)).expect("rank 4");
            DOUBLE.assert_all(&values(&product), &values(&y));
        }
    }

    #[test]
    fn candle_s_operations_give_the_same() {
        for (kernel, stride, padding) in [((1, 1), 1, 0), ((3, 2), 2, 1), ((2, 3), 3, 2)] {
            let x = ramp(&[3, 2, 5, 4], 7, 11);
            let window = Window {
                kernel,
                stride,
                padding,
            };
            let positions = window.positions((5, 4)).expect("fits");
            let composed = composed(&x, window, positions).expect("shapes fit");
            let rows = unfold(&x, kernel, stride, padding).expect("shapes fit");
            assert_eq!(composed.dims(), rows.dims());
            assert_eq!(values(&composed), values(&rows));
        }
    }

    #[test]
    fn a_window_that_does_not_fit_is_an_error() {
        let error = unfold(&ramp(&[1, 1, 2, 2], 7, 11), (3, 3), 1, 0).expect_err("too large");
        let text = error.to_string();
        assert!(
            text.contains("a 3x3 window with stride 1 and padding 0 does not fit a 2x2 plane"),
            "{text}"
        );
    }
}
