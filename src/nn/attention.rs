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

#![allow(clippy::inline_always)] // see `real`

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
    simd(
        #[inline(always)]
        || {
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
        },
    );
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
                    simd(
                        #[inline(always)]
                        || scores_gradient(p, dp, tokens),
                    );
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
#[inline(always)]
fn scores_gradient<T: Real>(p: &[T], dp: &mut [T], tokens: usize) {
    for (p, dp) in p.chunks_exact(tokens).zip(dp.chunks_exact_mut(tokens)) {
        let along = sum(p, dp, |p, dp| p * dp);
        for (dp, &p) in dp.iter_mut().zip(p) {
            *dp = p * (*dp - along);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::checks::{agree, differences_agree, input, run, same_on_threads, single_agrees};
    use crate::testing::{DOUBLE, Tolerance};
    use candle_core::Var;

    const SCALE: f64 = 0.7;

    fn inputs(shape: &[usize]) -> [Tensor; 3] {
        [0.0, 1.0, 2.0].map(|seed| input(shape, seed))
    }

    fn op(inputs: &[Tensor]) -> Result<Tensor> {
        attention(&inputs[0], &inputs[1], &inputs[2], SCALE)
    }

    #[test]
    fn candle_agrees_at_awkward_shapes() {
        for (shape, heads) in [
            (vec![1, 1], 1),
            (vec![3, 2, 6], 3),
            (vec![2, 65, 32], 2),
            (vec![2, 3, 33, 10], 5),
        ] {
            let ours = |i: &[Tensor]| multi_head_attention(&i[0], &i[1], &i[2], heads, SCALE);
            let candle = |i: &[Tensor]| plain(&i[0], &i[1], &i[2], heads, SCALE);
            agree(&ours, &candle, &inputs(&shape), DOUBLE);
        }
        differences_agree(&op, &inputs(&[2, 2, 3, 2]));
    }

    #[test]
    fn heads_are_columns() {
        let split = |x: &Tensor| x.reshape((2, 5, 3, 4))?.transpose(1, 2);
        let apart = |i: &[Tensor]| {
            let y = attention(&split(&i[0])?, &split(&i[1])?, &split(&i[2])?, SCALE)?;
            y.transpose(1, 2)?.reshape((2, 5, 12))
        };
        let together = |i: &[Tensor]| multi_head_attention(&i[0], &i[1], &i[2], 3, SCALE);
        agree(&together, &apart, &inputs(&[2, 5, 12]), DOUBLE);
    }

    /// `torch.nn.functional.scaled_dot_product_attention`, torch 2.15, f64; inputs and weights of the loss as
    /// `checks::input`.
    #[test]
    fn torch_agrees() {
        let expected: [[f64; 12]; 4] = [
            [
                0.34560457115941595,
                -0.28510595781645487,
                0.02642167363257389,
                -0.05080057016105936,
                0.49545761754406803,
                -0.43688055395870906,
                -0.07878066620902284,
                0.47287688082989915,
                0.020249525207452636,
                -0.04265609795094245,
                -0.09466897467607244,
                0.6803378768469651,
            ],
            [
                -0.45976080892681137,
                -0.11684619873774456,
                0.6651207628646987,
                0.12141916424812259,
                -0.4141615865300454,
                -0.09006398731762863,
                0.42337944467015365,
                -0.22845760256625372,
                -0.5907960062198809,
                0.3685257125028995,
                0.3149628113895957,
                -0.1805498563695085,
            ],
            [
                -0.10754827422122425,
                -0.4367477167485484,
                0.20075493837333927,
                0.7543082956366782,
                -0.09320666415211508,
                -0.31756057888813,
                0.38067028362778543,
                0.19446712990975468,
                -0.6196709320180879,
                -0.30298908502709493,
                0.23900064839030227,
                0.10852195511734027,
            ],
            [
                -0.5951791221314613,
                0.2674321625327256,
                0.018929198549769377,
                -0.03524705007777952,
                -0.3161333062852606,
                0.15483232041067002,
                0.303965638811405,
                -0.6157017306843455,
                -0.037875549300130804,
                0.1301486323878693,
                0.17931525208643095,
                -0.3854935128660882,
            ],
        ];
        for (ours, torch) in run(&op, &inputs(&[1, 2, 3, 2])).iter().zip(expected) {
            DOUBLE.assert_all(ours, &torch);
        }
    }

    #[test]
    fn large_scores_single_precision_and_threads() {
        let inputs = inputs(&[3, 4, 65, 32]);
        single_agrees(&op, &inputs, Tolerance::new(2e-5, 2e-5));
        same_on_threads(&op, &inputs);
        // Scores of +-1600: probabilities are 0 and 1, nothing overflows.
        let sharp = |i: &[Tensor]| attention(&i[0], &i[1], &i[2], 100.0);
        assert!(
            run(&sharp, &inputs)
                .iter()
                .flatten()
                .all(|value| value.is_finite())
        );
    }

    #[test]
    fn only_what_is_tracked_has_a_gradient() {
        let [q, k, v] = inputs(&[2, 3, 4]);
        let k = Var::from_tensor(&k).expect("var").into_inner();
        let y = multi_head_attention(&q, &k, &v, 2, SCALE).expect("forward");
        let op = Attention {
            heads: 2,
            scale: SCALE,
        };
        let (dq, dk, dv) = op.bwd(&q, &k, &v, &y, &y).expect("backward");
        assert!(dq.is_none() && dk.is_some() && dv.is_none());
        assert!(multi_head_attention(&q, &k, &v, 3, SCALE).is_err());
        assert!(multi_head_attention(&q, &k, &v, 0, SCALE).is_err());
        assert!(attention(&q, &k, &v, SCALE).is_err());
    }
}
