//! Convolution of images.

mod on_gpu;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::columns::Image;
use super::direct::{self, Sizes};
use super::element::{Element, by_dtype, ours, slice, with_slice};
use super::sum;
use super::window::Window;
use super::winograd;
use crate::gpu::{self, Precision};

/// `y[n, o, i, j] = bias[o] + sum_{c, a, b} weight[o, c, a, b] x[n, c, i stride + a - padding, j stride + b - padding]`
/// with `x` 0 outside: `[N, C, H, W]` and `[O, C, kh, kw]` to `[N, O, (H + 2 padding - kh) / stride + 1, ...]`.
///
/// Differentiable in the three tensors. On the CPU in f32 and f64 the kernels are ours and give the same bits on any
/// number of threads. Errors where shapes do not fit.
pub fn conv2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: usize,
    padding: usize,
) -> Result<Tensor> {
    conv2d_in(Precision::F32, x, weight, bias, (stride, padding))
}

/// The same, on a GPU with products of this precision; `step` are stride and padding.
pub fn conv2d_in(
    precision: Precision,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    step: (usize, usize),
) -> Result<Tensor> {
    let (stride, padding) = step;
    let sizes = sizes(x.shape(), weight.shape(), stride, padding)?;
    if let Some(bias) = bias
        && bias.dims() != [sizes.outputs]
    {
        bail!(
            "a bias of shape {:?} for {} channels",
            bias.shape(),
            sizes.outputs
        );
    }
    if gpu::active(x) {
        return on_gpu::conv2d(precision, x, weight, bias, &sizes);
    }
    if !ours(x) {
        let y = x.conv2d(weight, padding, stride, 1, 1)?;
        return match bias {
            Some(bias) => y.broadcast_add(&bias.reshape((1, (), 1, 1))?),
            None => Ok(y),
        };
    }
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    match bias {
        Some(bias) => x.apply_op3(&weight, &bias.contiguous()?, Conv2d { sizes }),
        None => x.apply_op2(&weight, Conv2d { sizes }),
    }
}

fn sizes(x: &Shape, weight: &Shape, stride: usize, padding: usize) -> Result<Sizes> {
    let (images, channels, height, width) = x.dims4()?;
    let (outputs, inputs, kh, kw) = weight.dims4()?;
    if inputs != channels || channels == 0 || outputs == 0 {
        bail!("a convolution of {x:?} with a weight of shape {weight:?}");
    }
    let window = Window {
        kernel: (kh, kw),
        stride,
        padding,
    };
    let image = Image {
        channels,
        height,
        width,
        window,
        positions: window.positions((height, width))?,
    };
    Ok(Sizes {
        images,
        image,
        outputs,
    })
}

struct Conv2d {
    sizes: Sizes,
}

impl Conv2d {
    fn forward<T: Element>(
        &self,
        x: (&CpuStorage, &Layout),
        weight: (&CpuStorage, &Layout),
        bias: Option<(&CpuStorage, &Layout)>,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, weight) = (slice::<T>(x.0, x.1)?, slice::<T>(weight.0, weight.1)?);
        let bias = bias
            .map(|(storage, layout)| slice::<T>(storage, layout))
            .transpose()?;
        let result = if winograd::suits(&self.sizes) {
            winograd::forward(&self.sizes, x, weight, bias)
        } else {
            direct::forward(self.sizes, x, weight, bias)
        };
        let (down, along) = self.sizes.image.positions;
        let shape = (self.sizes.images, self.sizes.outputs, down, along);
        Ok((T::to_cpu_storage_owned(result), shape.into()))
    }

    fn backward<T: Element>(
        &self,
        x: &Tensor,
        weight: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let wanted = (x.track_op(), weight.track_op());
        let gradient = gradient.contiguous()?;
        let (of_x, of_weight) = with_slice::<T, _>(x, |x| {
            with_slice::<T, _>(weight, |weight| {
                with_slice::<T, _>(&gradient, |gradient| {
                    if winograd::suits(&self.sizes) {
                        return Ok(winograd::backward(&self.sizes, (x, weight), gradient, wanted));
                    }
                    Ok((
                        wanted
                            .0
                            .then(|| direct::gradient_of_x(self.sizes, weight, gradient)),
                        wanted
                            .1
                            .then(|| direct::gradient_of_weight(self.sizes, x, gradient)),
                    ))
                })
            })
        })?;
        let tensor = |values: Option<Vec<T>>, like: &Tensor| {
            values
                .map(|values| Tensor::from_vec(values, like.shape(), like.device()))
                .transpose()
        };
        Ok((tensor(of_x, x)?, tensor(of_weight, weight)?))
    }

    /// `[O]`: sums over images and positions.
    fn gradient_of_bias<T: Element>(&self, gradient: &Tensor) -> Result<Tensor> {
        let (outputs, area) = (self.sizes.outputs, self.sizes.image.columns());
        let sums: Vec<T> = with_slice::<T, _>(&gradient.contiguous()?, |gradient| {
            Ok((0..outputs)
                .into_par_iter()
                .map(|output| {
                    let planes = gradient.chunks_exact(area).skip(output).step_by(outputs);
                    T::from_f64(planes.map(sum::sum).sum())
                })
                .collect())
        })?;
        Tensor::from_vec(sums, outputs, gradient.device())
    }
}

impl CustomOp2 for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, weight) = ((x, x_layout), (weight, weight_layout));
        by_dtype!(x.0.dtype(), T => self.forward::<T>(x, weight, None))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        by_dtype!(x.dtype(), T => self.backward::<T>(x, weight, gradient))
    }
}

impl CustomOp3 for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, weight, bias) = ((x, x_layout), (weight, weight_layout), (bias, bias_layout));
        by_dtype!(x.0.dtype(), T => self.forward::<T>(x, weight, Some(bias)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (of_x, of_weight) = by_dtype!(x.dtype(), T => self.backward::<T>(x, weight, gradient))?;
        let of_bias = match bias.track_op() {
            true => Some(by_dtype!(x.dtype(), T => self.gradient_of_bias::<T>(gradient))?),
            false => None,
        };
        Ok((of_x, of_weight, of_bias))
    }
}

#[cfg(test)]
mod tests;
