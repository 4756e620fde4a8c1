//! `y = x W^T + b` over the last dimension.
//!
//! The bias is what products are added to, so it costs one write. Products are cut into blocks whose sizes follow from
//! the shapes alone, each computed by one thread: results do not depend on the number of threads.

#![allow(clippy::inline_always)] // see `real`

use candle_core::{CpuStorage, CustomOp2, CustomOp3, D, Layout, Result, Shape, Tensor, bail};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

use super::real::{Real, has_kernel, simd};
use super::values::{by_dtype, dtype, elements, tensor, values};
use crate::gpu::{self, Precision};

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
    linear_in(Precision::F32, x, weight, bias)
}

/// The same, on a GPU with products of this precision.
pub fn linear_in(precision: Precision, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (n, d) = weight.dims2()?;
    if x.dim(D::Minus1)? != d || bias.is_some_and(|bias| bias.dims() != [n]) {
        bail!(
            "linear: x {:?}, weight {:?}, bias {:?}",
            x.shape(),
            weight.shape(),
            bias.map(Tensor::shape)
        );
    }
    if gpu::active(x) || !has_kernel(x) {
        return elsewhere(precision, x, weight, bias);
    }
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    match bias {
        Some(bias) => x.apply_op3(&weight, &bias.contiguous()?, Linear),
        None => x.apply_op2(&weight, Linear),
    }
}

/// The same on a GPU, or as candle's operations.
fn elsewhere(precision: Precision, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (n, d) = weight.dims2()?;
    let mut shape = x.dims().to_vec();
    shape.truncate(shape.len() - 1);
    shape.push(n);
    let rows = x.reshape(((), d))?;
    let y = match bias {
        _ if gpu::active(x) => gpu::linear(precision, &rows, weight, bias)?,
        Some(bias) => rows.matmul(&weight.t()?)?.broadcast_add(bias)?,
        None => rows.matmul(&weight.t()?)?,
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
    blocks.for_each(|(sums, rows)| add_parts(sums, rows));
    tensor(added(sums, n), &Shape::from(n))
}

/// Consecutive parts of `size` elements added in their order.
pub(super) fn added<T: Real>(mut parts: Vec<T>, size: usize) -> Vec<T> {
    if parts.len() <= size {
        return parts;
    }
    let (sum, rest) = parts.split_at_mut(size);
    add_parts(sum, rest);
    // Not `truncate`, which would keep the memory of all parts.
    sum.to_vec()
}

/// Adds the parts of `parts`, each as long as the sum, in their order.
fn add_parts<T: Real>(sum: &mut [T], parts: &[T]) {
    simd(
        #[inline(always)]
        || {
            for part in parts.chunks_exact(sum.len().max(1)) {
                add(sum, part);
            }
        },
    );
}

/// Adds element by element.
#[inline(always)]
pub(super) fn add<T: Real>(sum: &mut [T], other: &[T]) {
    for (sum, &other) in sum.iter_mut().zip(other) {
        *sum += other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::checks::{agree, differences_agree, input, run, same_on_threads, single_agrees};
    use crate::testing::{DOUBLE, Tolerance};
    use candle_core::Var;

    fn with_bias(inputs: &[Tensor]) -> Result<Tensor> {
        linear(&inputs[0], &inputs[1], Some(&inputs[2]))
    }

    fn inputs(x: &[usize], n: usize) -> [Tensor; 3] {
        let d = *x.last().expect("a dimension");
        [input(x, 0.0), input((n, d), 1.0), input(n, 2.0)]
    }

    #[test]
    fn candle_agrees_across_block_borders() {
        for (x, n) in [
            (vec![1], 1),
            (vec![3, 5], 2),
            (vec![2, 33, 7], 385),
            (vec![2, 1041, 3], 11),
            (vec![8193, 2], 3),
        ] {
            let inputs = inputs(&x, n);
            agree(
                &with_bias,
                &|i| elsewhere(Precision::F32, &i[0], &i[1], Some(&i[2])),
                &inputs,
                SUMS,
            );
            let two = &inputs[..2];
            agree(
                &|i| linear(&i[0], &i[1], None),
                &|i| elsewhere(Precision::F32, &i[0], &i[1], None),
                two,
                SUMS,
            );
        }
    }

    /// f64 sums of some thousand terms that cancel.
    const SUMS: Tolerance = Tolerance::new(1e-10, 1e-10);

    #[test]
    fn the_definition_agrees() {
        let inputs = inputs(&[2, 3, 5], 4);
        let [x, weight, bias] = inputs.each_ref().map(crate::nn::checks::numbers);
        let y = (0..6).flat_map(|row| {
            let (x, weight, bias) = (&x, &weight, &bias);
            (0..4).map(move |n| bias[n] + (0..5).map(|d| x[5 * row + d] * weight[5 * n + d]).sum::<f64>())
        });
        DOUBLE.assert_all(&run(&with_bias, &inputs)[0], &y.collect::<Vec<_>>());
        differences_agree(&with_bias, &inputs);
    }

    /// `torch.nn.functional.linear`, torch 2.15, f64; inputs and weights of the loss as `checks::input`.
    #[test]
    fn torch_agrees() {
        #[rustfmt::skip]
        let expected: [&[f64]; 4] = [
            &[
                1.576_288_457_401_706_2, 0.479_588_356_552_349_9, -0.418_416_653_177_255_3,
                0.072_198_977_568_433_63,
            ],
            &[
                -0.871_448_987_328_759_9, -0.259_054_686_919_277_47, 0.938_204_527_590_759_5,
                0.879_839_160_784_799_2, -0.005_427_446_281_118_908, -0.878_440_567_641_985_4,
            ],
            &[
                -0.884_945_046_496_968_7, -0.518_577_296_633_461_5, 1.018_576_705_572_725_7,
                0.383_791_569_204_469_6, -0.038_003_045_054_883_666, -0.373_998_602_960_896_5,
            ],
            &[-0.043_351_344_541_284_75, -0.246_313_434_365_832_56],
        ];
        for (ours, torch) in run(&with_bias, &inputs(&[2, 3], 2)).iter().zip(expected) {
            DOUBLE.assert_all(ours, torch);
        }
    }

    #[test]
    fn single_precision_and_threads() {
        let inputs = inputs(&[3, 700, 40], 200);
        // A sum of 2100 terms of size 1 in f32.
        single_agrees(&with_bias, &inputs, Tolerance::new(1e-3, 1e-5));
        same_on_threads(&with_bias, &inputs);
    }

    #[test]
    fn only_what_is_tracked_has_a_gradient() {
        let [x, weight, bias] = inputs(&[2, 3], 2);
        let weight = Var::from_tensor(&weight).expect("var");
        let y = linear(&x, &weight, Some(&bias)).expect("forward");
        let (dx, dw, db) = CustomOp3::bwd(&Linear, &x, &weight, &bias, &y, &y).expect("backward");
        assert!(dx.is_none() && dw.is_some() && db.is_none());
        assert!(!linear(&x, &x, None).expect("forward").track_op());
        assert!(linear(&x, &weight, Some(&x)).is_err());
    }

    #[test]
    fn transposed_and_empty_inputs() {
        let (x, weight) = (input((5, 4), 0.0), input((5, 3), 1.0));
        let through = |i: &[Tensor]| linear(&i[0].t()?, &i[1].t()?, None);
        agree(&through, &|i| i[0].t()?.matmul(&i[1]), &[x, weight], DOUBLE);
        let empty = run(&with_bias, &inputs(&[0, 3], 2));
        assert_eq!(empty, [vec![], vec![], vec![0.0; 6], vec![0.0; 2]]);
    }
}
