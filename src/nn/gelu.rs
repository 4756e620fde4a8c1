//! The Gaussian error linear unit, exactly: `y = x Phi(x)`, `dx = dy (Phi(x) + x phi(x))`.
//!
//! Phi and phi are the distribution and the density of the normal distribution, so that
//! `Phi(x) = (1 + erf(x / sqrt 2)) / 2`. Both come from one exponential, and Phi keeps its relative accuracy far into
//! the negative tail, where `1 + erf` would cancel.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::real::{Real, has_kernel, simd};
use super::values::{by_dtype, dtype, elements, tensor, values};

/// Elements per block: what fits the first cache beside its result.
const BLOCK: usize = 4096;

/// `x Phi(x)` of every element, any shape; `torch.nn.GELU()`.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    if has_kernel(x) {
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
        simd(|| {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = x * x.normal().0;
            }
        });
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
        simd(|| {
            for ((gradient, &x), &dy) in gradient.iter_mut().zip(x).zip(y_gradient) {
                let (distribution, density) = x.normal();
                *gradient = dy * Real::mul_add(x, density, distribution);
            }
        });
    });
    tensor(gradient, x.shape())
}
