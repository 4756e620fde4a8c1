//! Layer normalisation over the last dimension, as `torch.nn.LayerNorm`.
//!
//! With `h = (x - mean) / sqrt(var + eps)` (biased variance) the result is `y = gamma h + beta`. With `g = dy gamma`:
//!
//! ```text
//! dx = (g - mean(g) - h mean(g h)) / sqrt(var + eps)      dgamma = sum dy h      dbeta = sum dy
//! ```
//!
//! One pass over memory each way: a row stays in the first cache while mean and then squared deviations are summed
//! (two passes in the input's type, in 32 lanes; errors of f32 stay near one unit in the last place). The backward pass
//! computes the statistics again, which is cheaper than to keep them.

#![allow(clippy::inline_always)] // see `real`

use candle_core::{CpuStorage, CustomOp3, D, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::linear::{add, added};
use super::real::{Real, has_kernel, simd, sum};
use super::values::{by_dtype, dtype, elements, tensor, values};
use crate::gpu;

/// Rows per block; gradients of gamma and beta are summed over a block, then over blocks in their order.
const ROWS: usize = 128;

/// `(x - mean) / sqrt(var + eps) * gamma + beta`: x is `[..., d]`, gamma and beta are `[d]`.
///
/// Errors where shapes or types differ. Gradients are computed for those of the three that are tracked.
pub fn layer_norm(x: &Tensor, gamma: &Tensor, beta: &Tensor, eps: f64) -> Result<Tensor> {
    let d = x.dim(D::Minus1)?;
    if gamma.dims() != [d] || beta.dims() != [d] {
        bail!(
            "layer_norm: x {:?}, gamma {:?}, beta {:?}",
            x.shape(),
            gamma.shape(),
            beta.shape()
        );
    }
    if gpu::active(x) {
        return gpu::layer_norm(x, gamma, beta, eps);
    }
    if !has_kernel(x) {
        return plain(x, gamma, beta, eps);
    }
    x.contiguous()?
        .apply_op3(&gamma.contiguous()?, &beta.contiguous()?, LayerNorm { eps })
}

/// The same as candle's operations.
fn plain(x: &Tensor, gamma: &Tensor, beta: &Tensor, eps: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let normalised = centred.broadcast_div(&(variance + eps)?.sqrt()?)?;
    normalised.broadcast_mul(gamma)?.broadcast_add(beta)
}

struct LayerNorm {
    eps: f64,
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_at: &Layout,
        gamma: &CpuStorage,
        gamma_at: &Layout,
        beta: &CpuStorage,
        beta_at: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let y = by_dtype!(
            dtype(x),
            forward((x, x_at), (gamma, gamma_at), (beta, beta_at), self.eps)
        )?;
        Ok((y, x_at.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gamma: &Tensor,
        beta: &Tensor,
        _: &Tensor,
        y_gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let y_gradient = y_gradient.contiguous()?;
        by_dtype!(x.dtype(), backward(x, gamma, beta, &y_gradient, self.eps))
    }
}

/// Mean and `1 / sqrt(var + eps)` of a row.
#[inline(always)]
fn statistics<T: Real>(row: &[T], eps: T) -> (T, T) {
    let count = T::from_f64(row.len() as f64);
    let mean = sum(row, row, |a, _| a) / count;
    let variance = sum(row, row, |a, _| (a - mean) * (a - mean)) / count;
    (mean, T::one() / (variance + eps).root())
}

fn forward<T: Real>(
    (x, x_at): (&CpuStorage, &Layout),
    (gamma, gamma_at): (&CpuStorage, &Layout),
    (beta, beta_at): (&CpuStorage, &Layout),
    eps: f64,
) -> Result<CpuStorage> {
    let (x, gamma) = (elements::<T>(x, x_at)?, elements::<T>(gamma, gamma_at)?);
    let beta = elements::<T>(beta, beta_at)?;
    let (d, eps) = (gamma.len().max(1), T::from_f64(eps));
    let mut y = vec![T::zero(); x.len()];
    let blocks = y.par_chunks_mut(ROWS * d).zip(x.par_chunks(ROWS * d));
    blocks.for_each(|(y, x)| {
        simd(
            #[inline(always)]
            || {
                for (y, x) in y.chunks_exact_mut(d).zip(x.chunks_exact(d)) {
                    let (mean, scale) = statistics(x, eps);
                    for (((y, &x), &gamma), &beta) in y.iter_mut().zip(x).zip(gamma).zip(beta) {
                        *y = Real::mul_add((x - mean) * scale, gamma, beta);
                    }
                }
            },
        );
    });
    Ok(T::to_cpu_storage_owned(y))
}

type Gradients = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

fn backward<T: Real>(
    x_tensor: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    y_gradient: &Tensor,
    eps: f64,
) -> Result<Gradients> {
    let wanted = (x_tensor.track_op(), gamma.track_op() || beta.track_op());
    let (x, gamma_values, y_gradient) = (values(x_tensor), values(gamma), values(y_gradient));
    let (x, dy) = (x.get::<T>()?, y_gradient.get::<T>()?);
    let (gamma_values, eps) = (gamma_values.get::<T>()?, T::from_f64(eps));
    let d = gamma_values.len().max(1);
    let blocks = x.len().div_ceil(ROWS * d);
    let mut dx = vec![T::zero(); if wanted.0 { x.len() } else { 0 }];
    let mut sums = vec![T::zero(); if wanted.1 { blocks.max(1) * 2 * d } else { 0 }];
    // What is not wanted has no elements; zipping needs one, possibly empty, slice per block.
    let mut dx_blocks: Vec<&mut [T]> = dx.chunks_mut(ROWS * d).collect();
    let mut sum_blocks: Vec<&mut [T]> = sums.chunks_mut(2 * d).collect();
    dx_blocks.resize_with(blocks, Default::default);
    sum_blocks.resize_with(blocks, Default::default);
    let inputs = x.par_chunks(ROWS * d).zip(dy.par_chunks(ROWS * d));
    let outputs = dx_blocks.into_par_iter().zip(sum_blocks);
    inputs.zip(outputs).for_each(|((x, dy), (dx, sums))| {
        simd(
            #[inline(always)]
            || block(x, dy, gamma_values, eps, dx, sums),
        );
    });
    let sums = added(sums, 2 * d);
    let part = |tracked: bool, range: std::ops::Range<usize>| match tracked {
        true => tensor::<T>(sums[range].to_vec(), gamma.shape()).map(Some),
        false => Ok(None),
    };
    Ok((
        wanted.0.then(|| tensor(dx, x_tensor.shape())).transpose()?,
        part(gamma.track_op(), 0..d)?,
        part(beta.track_op(), d..2 * d)?,
    ))
}

/// Gradients of a block of rows; `dx` or `sums` (`dgamma`, then `dbeta`) may be empty where they are not wanted.
#[inline(always)]
fn block<T: Real>(x: &[T], dy: &[T], gamma: &[T], eps: T, dx: &mut [T], sums: &mut [T]) {
    let d = gamma.len();
    let count = T::from_f64(d as f64);
    let (mut h, mut g) = (vec![T::zero(); d], vec![T::zero(); d]);
    let mut dx = dx.chunks_exact_mut(d);
    let (gamma_sums, beta_sums) = sums.split_at_mut(sums.len() / 2);
    for (x, dy) in x.chunks_exact(d).zip(dy.chunks_exact(d)) {
        let (mean, scale) = statistics(x, eps);
        for (h, &x) in h.iter_mut().zip(x) {
            *h = (x - mean) * scale;
        }
        for ((sum, &h), &dy) in gamma_sums.iter_mut().zip(&h).zip(dy) {
            *sum = Real::mul_add(dy, h, *sum);
        }
        add(beta_sums, dy);
        let Some(dx) = dx.next() else { continue };
        for ((g, &dy), &gamma) in g.iter_mut().zip(dy).zip(gamma) {
            *g = dy * gamma;
        }
        let g_mean = sum(&g, &g, |g, _| g) / count;
        let gh_mean = sum(&g, &h, |g, h| g * h) / count;
        for ((dx, &g), &h) in dx.iter_mut().zip(&g).zip(&h) {
            *dx = (g - g_mean - h * gh_mean) * scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::checks::{agree, differences_agree, input, run, same_on_threads, single_agrees};
    use crate::testing::{DOUBLE, Tolerance};
    use candle_core::Var;

    const EPS: f64 = 1e-5;

    fn op(inputs: &[Tensor]) -> Result<Tensor> {
        layer_norm(&inputs[0], &inputs[1], &inputs[2], EPS)
    }

    fn inputs(x: &[usize]) -> [Tensor; 3] {
        let d = *x.last().expect("a dimension");
        [input(x, 0.0), input(d, 1.0), input(d, 2.0)]
    }

    #[test]
    fn candle_agrees_across_block_borders() {
        // 1e-5 under the root of the variance of one element magnifies roundings.
        for x in [vec![4], vec![3, 2], vec![2, 65, 33], vec![129, 64], vec![300, 7]] {
            agree(
                &op,
                &|i| plain(&i[0], &i[1], &i[2], EPS),
                &inputs(&x),
                Tolerance::new(1e-10, 1e-10),
            );
        }
        differences_agree(&op, &inputs(&[2, 3, 5]));
    }

    /// `torch.nn.functional.layer_norm`, torch 2.15, f64; inputs and weights of the loss as `checks::input`.
    #[test]
    fn torch_agrees() {
        #[rustfmt::skip]
        let expected: [&[f64]; 4] = [
            &[
                0.967_245_122_712_714_5, 0.115_040_383_966_126_74, -0.485_172_936_127_922_56,
                0.961_327_067_852_689_5, 1.545_342_272_047_197_9, -0.010_321_908_908_978_85,
                0.223_992_716_929_442_25, 0.897_287_269_192_933_6,
            ],
            &[
                -0.644_756_849_054_835_9, 0.560_818_221_904_229_1, -0.713_779_065_733_977_3,
                0.797_717_692_884_584_6, -0.816_743_148_168_582_1, 0.612_735_470_705_733_3,
                -0.494_444_618_317_334_8, 0.698_452_295_780_184,
            ],
            &[
                -0.710_570_059_622_762_9, 1.023_709_381_067_631, -1.007_250_277_614_939_5,
                1.277_271_190_416_886_7,
            ],
            &[
                -1.848_238_719_512_021_3, 0.801_562_132_285_937, 1.641_684_984_350_369,
                -1.224_606_275_488_292_7,
            ],
        ];
        for (ours, torch) in run(&op, &inputs(&[2, 4])).iter().zip(expected) {
            DOUBLE.assert_all(ours, torch);
        }
    }

    #[test]
    fn single_precision_far_from_zero_and_threads() {
        let [x, gamma, beta] = inputs(&[2, 150, 384]);
        same_on_threads(&op, &[x.clone(), gamma.clone(), beta.clone()]);
        // With a mean of 100 deviations have five digits, which is what x itself holds of them.
        let far = (x + 100.0).expect("x");
        single_agrees(&op, &[far, gamma, beta], Tolerance::new(2e-4, 2e-4));
    }

    #[test]
    fn only_what_is_tracked_has_a_gradient() {
        for which in 0..3 {
            let mut inputs = inputs(&[2, 3]);
            inputs[which] = Var::from_tensor(&inputs[which]).expect("var").into_inner();
            let [x, gamma, beta] = inputs;
            let y = layer_norm(&x, &gamma, &beta, EPS).expect("forward");
            let (dx, dg, db) = LayerNorm { eps: EPS }
                .bwd(&x, &gamma, &beta, &y, &y)
                .expect("backward");
            let found = [dx.is_some(), dg.is_some(), db.is_some()];
            assert_eq!(found, [0, 1, 2].map(|i| i == which));
        }
        let [x, gamma, _] = inputs(&[2, 3]);
        assert!(layer_norm(&x, &gamma, &x, EPS).is_err());
    }
}
