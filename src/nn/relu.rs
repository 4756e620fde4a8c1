//! `max(x, 0)`.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::element::{Element, by_dtype, ours, slice, with_slice};
use crate::gpu;

/// Elements that a thread takes at a time.
const CHUNK: usize = 1 << 14;

/// `max(x, 0)`, any shape. As in PyTorch, and unlike candle's, NaN stays NaN; the derivative is 0 where `x <= 0`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// let x = Tensor::new(&[-1f32, 0.0, 2.0, f32::NAN], &Device::Cpu)?;
/// let y = runner::nn::relu(&x)?.to_vec1::<f32>()?;
/// assert_eq!(y[..3], [0.0, 0.0, 2.0]);
/// assert!(y[3].is_nan());
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn relu(x: &Tensor) -> Result<Tensor> {
    if gpu::active(x) {
        gpu::relu(x)
    } else if ours(x) {
        x.contiguous()?.apply_op1(Relu)
    } else {
        // Candle's `relu` loses NaN; a comparison with one is false.
        x.le(0.0)?.where_cond(&x.zeros_like()?, x)
    }
}

/// `value` where `x` is positive or NaN, else 0.
fn gate<T: Element>(x: &[T], value: &[T]) -> Vec<T> {
    let mut result = vec![T::ZERO; x.len()];
    (
        result.par_chunks_mut(CHUNK),
        x.par_chunks(CHUNK),
        value.par_chunks(CHUNK),
    )
        .into_par_iter()
        .for_each(|(result, x, value)| {
            for ((result, &x), &value) in result.iter_mut().zip(x).zip(value) {
                *result = if x <= T::ZERO { T::ZERO } else { value };
            }
        });
    result
}

struct Relu;

impl Relu {
    fn forward<T: Element>(x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice::<T>(x, layout)?;
        Ok((T::to_cpu_storage_owned(gate(x, x)), layout.shape().clone()))
    }

    fn backward<T: Element>(x: &Tensor, gradient: &Tensor) -> Result<Tensor> {
        let values = with_slice::<T, _>(x, |x| with_slice::<T, _>(gradient, |g| Ok(gate(x, g))))?;
        Tensor::from_vec(values, x.shape(), x.device())
    }
}

impl CustomOp1 for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        by_dtype!(x.dtype(), T => Self::forward::<T>(x, layout))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(
            by_dtype!(x.dtype(), T => Self::backward::<T>(x, &gradient.contiguous()?))?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::tests::{assert_same_on_threads, gradients, ramp, values};

    /// PyTorch 2.15: `F.relu([-1, 0, 2, nan])` is `[0, 0, 2, nan]`, gradients `[0, 0, 3, 4]` for `[1, 2, 3, 4]`.
    #[test]
    fn agrees_with_pytorch() {
        let device = candle_core::Device::Cpu;
        let x = Tensor::new(&[-1.0, 0.0, 2.0, f64::NAN], &device).expect("x");
        let weights = Tensor::new(&[1.0, 2.0, 3.0, 4.0], &device).expect("weights");
        let (y, all) = gradients(&[&x], &weights, |t| relu(t[0]));
        assert_eq!(values(&y)[..3], [0.0, 0.0, 2.0]);
        assert!(values(&y)[3].is_nan());
        assert_eq!(values(&all[0]), [0.0, 0.0, 3.0, 4.0]);
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let x = ramp(&[3, CHUNK + 1], 7, 11);
        assert_same_on_threads(|| {
            let (y, mut all) = gradients(&[&x], &x, |t| relu(t[0]));
            all.push(y);
            all
        });
        let expected: Vec<f64> = values(&x).iter().map(|x| x.max(0.0)).collect();
        assert_eq!(values(&relu(&x).expect("elements")), expected);
    }
}
