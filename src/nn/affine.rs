//! One linear function per channel.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::element::{Element, by_dtype, ours, slice, with_slice};
use super::sum::{sum, sum_of};

/// Channels and elements of one channel of one image of a tensor `[N, C, ...]`. Errors for less than two dimensions
/// and for none of either.
pub fn channels(x: &Tensor) -> Result<(usize, usize)> {
    let &[_, channels, ref rest @ ..] = x.dims() else {
        bail!("channels are dimension 1, but the shape is {:?}", x.shape());
    };
    let area = rest.iter().product();
    if channels == 0 || area == 0 {
        bail!("no channels or no pixels in {:?}", x.shape());
    }
    Ok((channels, area))
}

/// `[C]` so that it broadcasts against `[N, C, ...]`.
pub fn spread(values: &Tensor, like: &Tensor) -> Result<Tensor> {
    let mut shape = vec![1; like.rank()];
    shape[1] = values.elem_count();
    values.reshape(shape)
}

/// The slices of channel `c`, image by image.
pub fn planes<T>(values: &[T], channels: usize, area: usize, c: usize) -> impl Iterator<Item = &[T]> {
    values.chunks_exact(area).skip(c).step_by(channels)
}

/// Calls `f(channel, out, in, start)` for each channel of each image, images in parallel; `start` is the position of
/// `in` in `values`.
pub fn map_planes<T: Element>(
    values: &[T],
    channels: usize,
    area: usize,
    f: impl Fn(usize, &mut [T], &[T], usize) + Sync,
) -> Vec<T> {
    let mut result = vec![T::ZERO; values.len()];
    let size = channels * area;
    result
        .par_chunks_mut(size)
        .zip(values.par_chunks(size))
        .enumerate()
        .for_each(|(image, (result, values))| {
            let planes = result
                .chunks_exact_mut(area)
                .zip(values.chunks_exact(area))
                .enumerate();
            for (channel, (result, values)) in planes {
                f(channel, result, values, image * size + channel * area);
            }
        });
    result
}

/// `scale[c] x[n, c, ...] + shift[c]`, differentiable in all three.
pub fn affine(x: &Tensor, scale: &Tensor, shift: &Tensor) -> Result<Tensor> {
    let (channels, _) = channels(x)?;
    if scale.dims() != [channels] || shift.dims() != [channels] {
        bail!(
            "{channels} channels, but scale {:?} and shift {:?}",
            scale.shape(),
            shift.shape()
        );
    }
    if ours(x) {
        return x
            .contiguous()?
            .apply_op3(&scale.contiguous()?, &shift.contiguous()?, Affine);
    }
    x.broadcast_mul(&spread(scale, x)?)?
        .broadcast_add(&spread(shift, x)?)
}

struct Affine;

impl Affine {
    fn forward<T: Element>(
        x: (&CpuStorage, &Layout),
        scale: (&CpuStorage, &Layout),
        shift: (&CpuStorage, &Layout),
    ) -> Result<(CpuStorage, Shape)> {
        let (values, shape) = (slice::<T>(x.0, x.1)?, x.1.shape());
        let (scale, shift) = (slice::<T>(scale.0, scale.1)?, slice::<T>(shift.0, shift.1)?);
        let area = shape.dims()[2..].iter().product();
        let result = map_planes(values, scale.len(), area, |c, out, x, _| {
            for (out, &x) in out.iter_mut().zip(x) {
                *out = x * scale[c] + shift[c];
            }
        });
        Ok((T::to_cpu_storage_owned(result), shape.clone()))
    }

    fn backward<T: Element>(
        [x, scale, shift]: [&Tensor; 3],
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (channels, area) = channels(x)?;
        with_slice::<T, _>(x, |values| {
            with_slice::<T, _>(gradient, |gradient| {
                let of_x = match x.track_op() {
                    true => with_slice::<T, _>(scale, |scale| {
                        Ok(Some(map_planes(
                            gradient,
                            channels,
                            area,
                            |c, out, gradient, _| {
                                for (out, &gradient) in out.iter_mut().zip(gradient) {
                                    *out = gradient * scale[c];
                                }
                            },
                        )))
                    })?,
                    false => None,
                };
                let each = |f: &(dyn Fn(usize) -> f64 + Sync)| -> Vec<T> {
                    (0..channels).into_par_iter().map(|c| T::from_f64(f(c))).collect()
                };
                let of_scale = scale.track_op().then(|| {
                    each(&|c| {
                        planes(values, channels, area, c)
                            .zip(planes(gradient, channels, area, c))
                            .map(|(x, gradient)| sum_of(x, |i, x| x.to_f64() * gradient[i].to_f64()))
                            .sum()
                    })
                });
                let of_shift = shift
                    .track_op()
                    .then(|| each(&|c| planes(gradient, channels, area, c).map(sum).sum()));
                let tensor = |values: Option<Vec<T>>, like: &Tensor| {
                    values
                        .map(|values| Tensor::from_vec(values, like.shape(), like.device()))
                        .transpose()
                };
                Ok((
                    tensor(of_x, x)?,
                    tensor(of_scale, scale)?,
                    tensor(of_shift, shift)?,
                ))
            })
        })
    }
}

impl CustomOp3 for Affine {
    fn name(&self) -> &'static str {
        "affine"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        scale: &CpuStorage,
        scale_layout: &Layout,
        shift: &CpuStorage,
        shift_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, scale, shift) = ((x, x_layout), (scale, scale_layout), (shift, shift_layout));
        by_dtype!(x.0.dtype(), T => Self::forward::<T>(x, scale, shift))
    }

    fn bwd(
        &self,
        x: &Tensor,
        scale: &Tensor,
        shift: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        by_dtype!(x.dtype(), T => Self::backward::<T>([x, scale, shift], &gradient.contiguous()?)
        )
    }
}
