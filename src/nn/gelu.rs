//! The Gaussian error linear unit, exactly: `y = x Phi(x)`, `dx = dy (Phi(x) + x phi(x))`.
//!
//! Phi and phi are the distribution and the density of the normal distribution, so that
//! `Phi(x) = (1 + erf(x / sqrt 2)) / 2`. Both come from one exponential, and Phi keeps its relative accuracy far into
//! the negative tail, where `1 + erf` would cancel.

#![allow(clippy::inline_always)] // see `real`

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::real::{Real, has_kernel, simd};
use super::values::{by_dtype, dtype, elements, tensor, values};
use crate::gpu;

/// Elements per block: what fits the first cache beside its result.
const BLOCK: usize = 4096;

/// `x Phi(x)` of every element, any shape; `torch.nn.GELU()`.
///
/// On devices that are neither a CPU nor CUDA's it is candle's, whose derivative has an error of up to 2e-7.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    if gpu::active(x) {
        gpu::gelu(x)
    } else if has_kernel(x) {
        x.contiguous()?.apply_op1(Gelu)
    } else {
        x.gelu_erf()
    }
}

struct Gelu;

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, x_at: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = by_dtype!(dtype(x), forward(x, x_at))?;
        Ok((y, x_at.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, y_gradient: &Tensor) -> Result<Option<Tensor>> {
        by_dtype!(x.dtype(), backward(x, &y_gradient.contiguous()?)).map(Some)
    }
}

fn forward<T: Real>(x: &CpuStorage, x_at: &Layout) -> Result<CpuStorage> {
    let x = elements::<T>(x, x_at)?;
    let mut y = vec![T::zero(); x.len()];
    let blocks = y.par_chunks_mut(BLOCK).zip(x.par_chunks(BLOCK));
    blocks.for_each(|(y, x)| {
        simd(
            #[inline(always)]
            || {
                for (y, &x) in y.iter_mut().zip(x) {
                    *y = x * x.normal().0;
                }
            },
        );
    });
    Ok(T::to_cpu_storage_owned(y))
}

fn backward<T: Real>(x: &Tensor, y_gradient: &Tensor) -> Result<Tensor> {
    let (x_values, y_gradient) = (values(x), values(y_gradient));
    let (x_values, y_gradient) = (x_values.get::<T>()?, y_gradient.get::<T>()?);
    let mut gradient = vec![T::zero(); x_values.len()];
    let blocks = gradient.par_chunks_mut(BLOCK).zip(x_values.par_chunks(BLOCK));
    let blocks = blocks.zip(y_gradient.par_chunks(BLOCK));
    blocks.for_each(|((gradient, x), y_gradient)| {
        simd(
            #[inline(always)]
            || {
                for ((gradient, &x), &dy) in gradient.iter_mut().zip(x).zip(y_gradient) {
                    let (distribution, density) = x.normal();
                    *gradient = dy * Real::mul_add(x, density, distribution);
                }
            },
        );
    });
    tensor(gradient, x.shape())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::checks::{agree, differences_agree, input, numbers, run, same_on_threads, single_agrees};
    use crate::testing::{DOUBLE, Tolerance};
    use candle_core::Device;

    fn op(inputs: &[Tensor]) -> Result<Tensor> {
        gelu(&inputs[0])
    }

    /// -12..12 in steps of 1 / 512.
    fn grid() -> Tensor {
        let points = (0..=24 * 512).map(|i| f64::from(i) / 512.0 - 12.0);
        Tensor::from_iter(points, &Device::Cpu).expect("grid")
    }

    #[test]
    fn candle_agrees_on_a_grid() {
        // Not `gelu_erf`, whose derivative has six digits.
        let candle = |i: &[Tensor]| (((&i[0] / 2f64.sqrt())?.erf()? + 1.0)? * 0.5)? * &i[0];
        agree(&op, &candle, &[grid()], DOUBLE);
        // x Phi(x) to two roundings of a number up to 12.
        single_agrees(&op, &[grid()], Tolerance::new(4e-7, 4e-7));
        differences_agree(&op, &[input((3, 2, 5), 0.0)]);
    }

    /// `torch.nn.functional.gelu`, torch 2.15, f64: y and `dy/dx * sin(99 + 1.7 i)`.
    #[test]
    fn torch_agrees() {
        let x = Tensor::new(&[-6.0, -2.5, -0.7, -1e-3, 0.0, 0.4, 1.0, 3.0, 8.0], &Device::Cpu).expect("x");
        #[rustfmt::skip]
        let y = [
            -5.919_525_869_479_969e-9, -0.015_524_163_314_440_398, -0.169_374_556_556_151_1,
            -0.000_499_601_057_786_089, 0.0, 0.262_168_696_644_129_7, 0.841_344_746_068_543,
            2.995_950_305_905_11, 7.999_999_999_999_995,
        ];
        #[rustfmt::skip]
        let gradient = [
            3.544_057_688_623_330_5e-8, -0.006_327_360_562_400_301, 0.022_353_539_811_675_63,
            -0.206_941_591_004_983_16, -0.424_515_942_662_833_9, 0.508_393_558_949_913_6,
            0.742_969_701_799_587_2, -0.819_738_285_869_344_9, -0.477_085_546_471_899_8,
        ];
        let ours = run(&op, &[x]);
        DOUBLE.assert_all(&ours[0], &y);
        DOUBLE.assert_all(&ours[1], &gradient);
    }

    /// mpmath, 30 digits: the tail, where `1 + erf` has no digits left.
    #[test]
    fn the_tail_keeps_its_digits() {
        let x = Tensor::new(&[-10.0, -20.0, -30.0], &Device::Cpu).expect("x");
        let expected = [
            -7.619_853_024_160_526e-23,
            -5.507_248_237_212_467e-88,
            -1.472_014_178_144_456e-196,
        ];
        for (ours, expected) in numbers(&gelu(&x).expect("gelu")).into_iter().zip(expected) {
            assert!(
                (ours / expected - 1.0).abs() < 1e-12,
                "{ours} instead of {expected}"
            );
        }
    }

    #[test]
    fn what_is_not_a_number_stays() {
        let x = Tensor::new(&[f32::NAN, f32::INFINITY, -1e30, 1e30], &Device::Cpu).expect("x");
        let y = numbers(&gelu(&x).expect("gelu"));
        assert!(y[0].is_nan() && y[1] == f64::INFINITY && y[2] == 0.0 && y[3] == f64::from(1e30f32));
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        same_on_threads(&op, &[input((3, 4097), 0.0)]);
    }
}
