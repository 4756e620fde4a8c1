//! Scaled dot-product attention without masks: `softmax(q k^T scale) v` for each head.
//!
//! With `P = softmax(q k^T scale)`, `y = P v` and D the row sums of `P * dP`:
//!
//! ```text
//! dv = P^T dy      dP = dy v^T      dS = P * (dP - D)      dq = scale dS k      dk = scale dS^T q
//! ```
//!
//! P is computed again in the backward pass: `[T, T]` numbers for each head of each sample would leave the cache and
//! come back, which takes longer than the product. Each head of each sample is computed by one thread.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

use super::real::{Real, has_kernel, largest, simd, sum};
use super::values::{by_dtype, dtype, elements, tensor, values};

/// `softmax(q k^T scale) v`: all three and the result are `[N, heads, T, width]`.
///
/// Where heads are parts of a `[N, T, heads * width]` tensor, [`multi_head_attention`] saves copies.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, scale: f64) -> Result<Tensor> {
    q.dims4()?;
    multi_head_attention(q, k, v, 1, scale)
}

/// Attention of `heads` heads, head h being columns `h * width..(h + 1) * width` of q, k and v; all three and the
/// result are `[..., T, heads * width]`.
///
/// Errors where shapes or types differ. Without a gradient where none of the three is tracked.
pub fn multi_head_attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, scale: f64) -> Result<Tensor> {
    let fits = q.rank() >= 2 && q.dims()[q.rank() - 1].checked_rem(heads) == Some(0);
    if !fits || q.shape() != k.shape() || q.shape() != v.shape() {
        bail!(
            "attention of {heads} heads: q {:?}, k {:?}, v {:?}",
            q.shape(),
            k.shape(),
            v.shape()
        );
    }
    if !has_kernel(q) {
        return plain(q, k, v, heads, scale);
    }
    q.contiguous()?
        .apply_op3(&k.contiguous()?, &v.contiguous()?, Attention { heads, scale })
}

/// The same as candle's operations.
fn plain(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, scale: f64) -> Result<Tensor> {
    let sizes = Sizes::new(q.shape(), heads);
    let split = |x: &Tensor| {
        let shape = (sizes.samples, sizes.tokens, heads, sizes.width);
        x.reshape(shape)?.transpose(1, 2)?.contiguous()
    };
    let (q, k, v) = (split(q)?, split(k)?, split(v)?);
    let scores = (q.matmul(&k.t()?)? * scale)?;
    let y = candle_nn::ops::softmax(&scores, candle_core::D::Minus1)?.matmul(&v)?;
    y.transpose(1, 2)?.contiguous()?.reshape(sizes.shape)
}

/// What the shape `[..., tokens, heads * width]` means.
struct Sizes {
    shape: Shape,
    samples: usize,
    tokens: usize,
    heads: usize,
    width: usize,
}

impl Sizes {
    /// The shape must have at least two dimensions, the last of which `heads` divides.
    fn new(shape: &Shape, heads: usize) -> Self {
        let dims = shape.dims();
        let (samples, inner) = dims.split_at(dims.len() - 2);
        Self {
            shape: shape.clone(),
            samples: samples.iter().product(),
            tokens: inner[0],
            heads,
            width: inner[1] / heads,
        }
    }

    /// Elements of a sample; 1 where there are none, for iterators over chunks.
    fn sample(&self) -> usize {
        (self.tokens * self.heads * self.width).max(1)
    }

    /// All heads of a sample, `[tokens, heads * width]`.
    fn matrix<'a, T>(&self, sample: &'a [T]) -> MatRef<'a, T> {
        MatRef::from_row_major_slice(sample, self.tokens, self.heads * self.width)
    }

    /// The heads of a sample's result, `[tokens, width]` each, with their first columns.
    fn heads<'a, T: Real>(
        &self,
        sample: &'a mut [T],
    ) -> impl IndexedParallelIterator<Item = MatMut<'a, T>> + use<'a, T> {
        MatMut::from_row_major_slice_mut(sample, self.tokens, self.heads * self.width)
            .par_col_chunks_mut(self.width)
    }
}

struct Attention {
    heads: usize,
    scale: f64,
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_at: &Layout,
        k: &CpuStorage,
        k_at: &Layout,
        v: &CpuStorage,
        v_at: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let sizes = Sizes::new(q_at.shape(), self.heads);
        let y = by_dtype!(
            dtype(q),
            forward((q, q_at), (k, k_at), (v, v_at), &sizes, self.scale)
        )?;
        Ok((y, sizes.shape))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _: &Tensor,
        y_gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let sizes = Sizes::new(q.shape(), self.heads);
        let y_gradient = y_gradient.contiguous()?;
        let gradients = by_dtype!(q.dtype(), backward([q, k, v, &y_gradient], &sizes, self.scale))?;
        let [dq, dk, dv] = gradients;
        let keep = |tensor: &Tensor, gradient| tensor.track_op().then_some(gradient);
        Ok((keep(q, dq), keep(k, dk), keep(v, dv)))
    }
}

/// `softmax(q k^T scale)` of one head, row by row into `p`.
fn probabilities<T: Real>(q: MatRef<'_, T>, k: MatRef<'_, T>, scale: T, p: &mut [T]) {
    let tokens = q.nrows();
    let scores = MatMut::from_row_major_slice_mut(&mut *p, tokens, tokens);
    matmul(scores, Accum::Replace, q, k.transpose(), scale, Par::Seq);
    simd(|| {
        for row in p.chunks_exact_mut(tokens) {
            let most = largest(row);
            for value in &mut *row {
                *value = (*value - most).decay();
            }
            let inverse = T::one() / sum(row, row, |a, _| a);
            for value in row {
                *value *= inverse;
            }
        }
    });
}

fn forward<T: Real>(
    (q, q_at): (&CpuStorage, &Layout),
    (k, k_at): (&CpuStorage, &Layout),
    (v, v_at): (&CpuStorage, &Layout),
    sizes: &Sizes,
    scale: f64,
) -> Result<CpuStorage> {
    let (q, k) = (elements::<T>(q, q_at)?, elements::<T>(k, k_at)?);
    let v = elements::<T>(v, v_at)?;
    let (tokens, width, scale) = (sizes.tokens, sizes.width, T::from_f64(scale));
    let mut y = vec![T::zero(); q.len()];
    let size = sizes.sample();
    let samples = y.par_chunks_mut(size).zip(q.par_chunks(size));
    let samples = samples.zip(k.par_chunks(size).zip(v.par_chunks(size)));
    samples.for_each(|((y, q), (k, v))| {
        let (q, k, v) = (sizes.matrix(q), sizes.matrix(k), sizes.matrix(v));
        let heads = sizes.heads(y).enumerate();
        heads.for_each_init(
            || vec![T::zero(); tokens * tokens],
            |p, (head, y)| {
                let [q, k, v] = [q, k, v].map(|all| all.subcols(head * width, width));
                probabilities(q, k, scale, p);
                let p = MatRef::from_row_major_slice(p, tokens, tokens);
                matmul(y, Accum::Replace, p, v, T::one(), Par::Seq);
            },
        );
    });
    Ok(T::to_cpu_storage_owned(y))
}

/// Gradients of q, k and v; the inputs are q, k, v and the result's gradient.
fn backward<T: Real>(inputs: [&Tensor; 4], sizes: &Sizes, scale: f64) -> Result<[Tensor; 3]> {
    let [q, k, v, y] = inputs.map(values);
    let (q, k, v, y) = (q.get::<T>()?, k.get::<T>()?, v.get::<T>()?, y.get::<T>()?);
    let (tokens, width, scale) = (sizes.tokens, sizes.width, T::from_f64(scale));
    let size = sizes.sample();
    let mut gradients = [(); 3].map(|()| vec![T::zero(); q.len()]);
    let [dq, dk, dv] = &mut gradients;
    let inputs = q
        .par_chunks(size)
        .zip(k.par_chunks(size))
        .zip(v.par_chunks(size).zip(y.par_chunks(size)));
    let outputs = dq
        .par_chunks_mut(size)
        .zip(dk.par_chunks_mut(size))
        .zip(dv.par_chunks_mut(size));
    inputs
        .zip(outputs)
        .for_each(|(((q, k), (v, dy)), ((dq, dk), dv))| {
            let inputs = [q, k, v, dy].map(|sample| sizes.matrix(sample));
            let heads = sizes
                .heads(dq)
                .zip(sizes.heads(dk))
                .zip(sizes.heads(dv))
                .enumerate();
            heads.for_each_init(
                || (vec![T::zero(); tokens * tokens], vec![T::zero(); tokens * tokens]),
                |(p, dp), (head, ((dq, dk), dv))| {
                    let [q, k, v, dy] = inputs.map(|all| all.subcols(head * width, width));
                    probabilities(q, k, scale, p);
                    let square = MatMut::from_row_major_slice_mut(&mut *dp, tokens, tokens);
                    matmul(square, Accum::Replace, dy, v.transpose(), T::one(), Par::Seq);
                    simd(|| scores_gradient(p, dp, tokens));
                    let p = MatRef::from_row_major_slice(p, tokens, tokens);
                    let ds = MatRef::from_row_major_slice(dp, tokens, tokens);
                    matmul(dv, Accum::Replace, p.transpose(), dy, T::one(), Par::Seq);
                    matmul(dq, Accum::Replace, ds, k, scale, Par::Seq);
                    matmul(dk, Accum::Replace, ds.transpose(), q, scale, Par::Seq);
                },
            );
        });
    let [dq, dk, dv] = gradients;
    Ok([
        tensor(dq, &sizes.shape)?,
        tensor(dk, &sizes.shape)?,
        tensor(dv, &sizes.shape)?,
    ])
}

/// `dS = P * (dP - D)` in place of dP; D are the row sums of `P * dP`.
#[allow(clippy::inline_always)] // see `real`
#[inline(always)]
fn scores_gradient<T: Real>(p: &[T], dp: &mut [T], tokens: usize) {
    for (p, dp) in p.chunks_exact(tokens).zip(dp.chunks_exact_mut(tokens)) {
        let along = sum(p, dp, |p, dp| p * dp);
        for (dp, &p) in dp.iter_mut().zip(p) {
            *dp = p * (*dp - along);
        }
    }
}
