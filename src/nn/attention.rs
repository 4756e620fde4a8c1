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
use crate::gpu;

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
    if gpu::active(q) {
        return gpu::attention(q, k, v, heads, scale);
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
        #[rustfmt::skip]
        let expected: [[f64; 12]; 4] = [
            [
                0.345_604_571_159_415_95, -0.285_105_957_816_454_87, 0.026_421_673_632_573_89,
                -0.050_800_570_161_059_36, 0.495_457_617_544_068_03, -0.436_880_553_958_709_06,
                -0.078_780_666_209_022_84, 0.472_876_880_829_899_15, 0.020_249_525_207_452_636,
                -0.042_656_097_950_942_45, -0.094_668_974_676_072_44, 0.680_337_876_846_965_1,
            ],
            [
                -0.459_760_808_926_811_37, -0.116_846_198_737_744_56, 0.665_120_762_864_698_7,
                0.121_419_164_248_122_59, -0.414_161_586_530_045_4, -0.090_063_987_317_628_63,
                0.423_379_444_670_153_65, -0.228_457_602_566_253_72, -0.590_796_006_219_880_9,
                0.368_525_712_502_899_5, 0.314_962_811_389_595_7, -0.180_549_856_369_508_5,
            ],
            [
                -0.107_548_274_221_224_25, -0.436_747_716_748_548_4, 0.200_754_938_373_339_27,
                0.754_308_295_636_678_2, -0.093_206_664_152_115_08, -0.317_560_578_888_13,
                0.380_670_283_627_785_43, 0.194_467_129_909_754_68, -0.619_670_932_018_087_9,
                -0.302_989_085_027_094_93, 0.239_000_648_390_302_27, 0.108_521_955_117_340_27,
            ],
            [
                -0.595_179_122_131_461_3, 0.267_432_162_532_725_6, 0.018_929_198_549_769_377,
                -0.035_247_050_077_779_52, -0.316_133_306_285_260_6, 0.154_832_320_410_670_02,
                0.303_965_638_811_405, -0.615_701_730_684_345_5, -0.037_875_549_300_130_804,
                0.130_148_632_387_869_3, 0.179_315_252_086_430_95, -0.385_493_512_866_088_2,
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
