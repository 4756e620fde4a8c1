//! `y = x W^T + b` over the last dimension.
//!
//! The bias is what products are added to, so it costs one write. Products are cut into blocks whose sizes follow from
//! the shapes alone, each computed by one thread: results do not depend on the number of threads.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, D, Layout, Result, Shape, Tensor, bail};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

use super::real::{Real, has_kernel, simd};
use super::values::{by_dtype, dtype, elements, tensor, values};

/// Rows of a block of a product over features.
const ROWS: usize = 512;
/// Rows of a block of a product over rows (the weight's gradient), and of the rows that it sums over.
const OUTPUTS: usize = 192;
const SUMMED: usize = 2080;
/// Rows of a block of the bias's gradient.
const BIAS_ROWS: usize = 256;

/// `x W^T + b`: x is `[..., d]`, the weight `[n, d]`, the bias `[n]`, the result `[..., n]`.
///
/// Errors where shapes or types differ. Gradients are computed for those of the three that are tracked.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (n, d) = weight.dims2()?;
    if x.dim(D::Minus1)? != d || bias.is_some_and(|bias| bias.dims() != [n]) {
        bail!(
            "linear: x {:?}, weight {:?}, bias {:?}",
            x.shape(),
            weight.shape(),
            bias.map(Tensor::shape)
        );
    }
    if !has_kernel(x) {
        return plain(x, weight, bias);
    }
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    match bias {
        Some(bias) => x.apply_op3(&weight, &bias.contiguous()?, Linear),
        None => x.apply_op2(&weight, Linear),
    }
}

/// The same as candle's operations.
fn plain(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (n, d) = weight.dims2()?;
    let mut shape = x.dims().to_vec();
    shape.truncate(shape.len() - 1);
    shape.push(n);
    let y = x.reshape(((), d))?.matmul(&weight.t()?)?;
    let y = match bias {
        Some(bias) => y.broadcast_add(bias)?,
        None => y,
    };
    y.reshape(shape)
}

struct Linear;

impl Linear {
    fn forward(
        (x, x_at): (&CpuStorage, &Layout),
        (weight, weight_at): (&CpuStorage, &Layout),
        bias: Option<(&CpuStorage, &Layout)>,
    ) -> Result<(CpuStorage, Shape)> {
        let (n, d) = weight_at.shape().dims2()?;
        let mut shape = x_at.dims().to_vec();
        shape.truncate(shape.len() - 1);
        shape.push(n);
        let storage = by_dtype!(dtype(x), forward((x, x_at), (weight, weight_at), bias, n, d))?;
        Ok((storage, shape.into()))
    }

    fn backward(
        x: &Tensor,
        weight: &Tensor,
        y_gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let y_gradient = y_gradient.contiguous()?;
        let x_gradient = x
            .track_op()
            .then(|| by_dtype!(x.dtype(), input_gradient(x, weight, &y_gradient)));
        let weight_gradient = weight
            .track_op()
            .then(|| by_dtype!(x.dtype(), weight_gradient(x, weight, &y_gradient)));
        Ok((x_gradient.transpose()?, weight_gradient.transpose()?))
    }
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_at: &Layout,
        weight: &CpuStorage,
        weight_at: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Self::forward((x, x_at), (weight, weight_at), None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        y: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Self::backward(x, weight, y)
    }
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_at: &Layout,
        weight: &CpuStorage,
        weight_at: &Layout,
        bias: &CpuStorage,
        bias_at: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Self::forward((x, x_at), (weight, weight_at), Some((bias, bias_at)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        y: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (x_gradient, weight_gradient) = Self::backward(x, weight, y)?;
        let bias_gradient = bias
            .track_op()
            .then(|| by_dtype!(y.dtype(), bias_gradient(y, bias.elem_count())));
        Ok((x_gradient, weight_gradient, bias_gradient.transpose()?))
    }
}

/// The largest block of at most `most` of `total` things such that blocks are nearly equal; at least 1.
fn even(total: usize, most: usize) -> usize {
    total.div_ceil(total.div_ceil(most).max(1)).max(1)
}

/// Rows of a block: enough blocks for 16 threads, but none too small for an efficient product.
fn block_rows(rows: usize) -> usize {
    even(rows, rows.div_ceil(16).clamp(32, ROWS))
}

fn forward<T: Real>(
    (x, x_at): (&CpuStorage, &Layout),
    (weight, weight_at): (&CpuStorage, &Layout),
    bias: Option<(&CpuStorage, &Layout)>,
    n: usize,
    d: usize,
) -> Result<CpuStorage> {
    let x = elements::<T>(x, x_at)?;
    let weight = MatRef::from_row_major_slice(elements::<T>(weight, weight_at)?, n, d).transpose();
    let bias = bias
        .map(|(bias, bias_at)| elements::<T>(bias, bias_at))
        .transpose()?;
    Ok(T::to_cpu_storage_owned(product(x, weight, bias)))
}

/// `[m, k]` (row by row) times `[k, n]`, plus the bias in every row.
fn product<T: Real>(x: &[T], right: MatRef<'_, T>, bias: Option<&[T]>) -> Vec<T> {
    let (k, n) = (right.nrows(), right.ncols());
    let m = x.len().checked_div(k).unwrap_or(0);
    let mut y = vec![T::zero(); m * n];
    let rows = block_rows(m);
    let blocks = y
        .par_chunks_mut((rows * n).max(1))
        .zip(x.par_chunks((rows * k).max(1)));
    blocks.for_each(|(y, x)| {
        let accumulate = match bias {
            Some(bias) => {
                y.chunks_exact_mut(n).for_each(|row| row.copy_from_slice(bias));
                Accum::Add
            }
            None => Accum::Replace,
        };
        let x = MatRef::from_row_major_slice(x, x.len() / k, k);
        let y = MatMut::from_row_major_slice_mut(y, x.nrows(), n);
        matmul(y, accumulate, x, right, T::one(), Par::Seq);
    });
    y
}

/// `dx = dy W`.
fn input_gradient<T: Real>(x: &Tensor, weight: &Tensor, y_gradient: &Tensor) -> Result<Tensor> {
    let (n, d) = weight.dims2()?;
    let (weight, y_gradient) = (values(weight), values(y_gradient));
    let weight = MatRef::from_row_major_slice(weight.get::<T>()?, n, d);
    tensor(product(y_gradient.get()?, weight, None), x.shape())
}

/// `dW = dy^T x`: blocks of rows of dW times blocks of the rows summed over, the latter added in their order.
fn weight_gradient<T: Real>(x: &Tensor, weight: &Tensor, y_gradient: &Tensor) -> Result<Tensor> {
    let (n, d) = weight.dims2()?;
    let size = n * d;
    let (x, y_gradient) = (values(x), values(y_gradient));
    let (x, y_gradient) = (x.get::<T>()?, y_gradient.get::<T>()?);
    let m = y_gradient.len().checked_div(n).unwrap_or(0);
    let (outputs, summed) = (even(n, OUTPUTS), even(m, SUMMED));
    let parts = m.div_ceil(summed).max(1);
    let mut sums = vec![T::zero(); parts * size];
    let blocks = sums
        .par_chunks_mut(size.max(1))
        .enumerate()
        .flat_map(|(part, sums)| {
            let rows = sums.par_chunks_mut((outputs * d).max(1)).enumerate();
            rows.map(move |(block, sums)| (part * summed, block * outputs, sums))
        });
    blocks.for_each(|(first, output, block)| {
        let (count, outputs) = (summed.min(m - first), block.len() / d);
        let x = MatRef::from_row_major_slice(&x[first * d..(first + count) * d], count, d);
        let y = MatRef::from_row_major_slice(&y_gradient[first * n..(first + count) * n], count, n);
        let y = y.subcols(output, outputs).transpose();
        let block = MatMut::from_row_major_slice_mut(block, outputs, d);
        matmul(block, Accum::Replace, y, x, T::one(), Par::Seq);
    });
    tensor(added(sums, size), weight.shape())
}

/// `db`: columns of dy summed, `[n]`.
fn bias_gradient<T: Real>(y_gradient: &Tensor, n: usize) -> Result<Tensor> {
    let y_gradient = y_gradient.contiguous()?;
    let y_gradient = values(&y_gradient);
    let y_gradient = y_gradient.get::<T>()?;
    let block = (BIAS_ROWS * n).max(1);
    let mut sums = vec![T::zero(); y_gradient.len().div_ceil(block).max(1) * n];
    let blocks = sums.par_chunks_mut(n.max(1)).zip(y_gradient.par_chunks(block));
    blocks.for_each(|(sums, rows)| simd(|| rows.chunks_exact(n).for_each(|row| add(sums, row))));
    tensor(added(sums, n), &Shape::from(n))
}

/// Consecutive parts of `size` elements added in their order.
pub(super) fn added<T: Real>(mut parts: Vec<T>, size: usize) -> Vec<T> {
    if parts.len() <= size {
        return parts;
    }
    let (sum, rest) = parts.split_at_mut(size);
    simd(|| rest.chunks_exact(size).for_each(|part| add(sum, part)));
    // Not `truncate`, which would keep the memory of all parts.
    sum.to_vec()
}

#[allow(clippy::inline_always)] // see `real`
#[inline(always)]
pub(super) fn add<T: Real>(sum: &mut [T], other: &[T]) {
    for (sum, &other) in sum.iter_mut().zip(other) {
        *sum += other;
    }
}
