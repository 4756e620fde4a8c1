//! Batch normalisation; channels are dimension 1.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::affine::{affine, channels, map_planes, planes, spread};
use super::element::{Element, by_dtype, ours, slice, with_slice};
use super::sum::{sum, sum_of};

/// `gamma (x - mean) / sqrt(var + eps) + beta` per channel, for evaluation: `x [N, C, ...]`, the others `[C]`, `gamma`
/// 1 and `beta` 0 where absent. Differentiable in all tensors. Errors where shapes do not fit.
///
/// ```
/// use candle_core::{Device, Tensor};
/// let x = Tensor::new(&[[1f32, 10.0], [3.0, 30.0]], &Device::Cpu)?;
/// let (mean, var) = (Tensor::new(&[2f32, 20.0], &Device::Cpu)?, Tensor::new(&[1f32, 100.0], &Device::Cpu)?);
/// let y = runner::nn::batch_norm(&x, None, None, &mean, &var, 0.0)?;
/// assert_eq!(y.to_vec2::<f32>()?, [[-1.0, -1.0], [1.0, 1.0]]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn batch_norm(
    x: &Tensor,
    gamma: Option<&Tensor>,
    beta: Option<&Tensor>,
    mean: &Tensor,
    var: &Tensor,
    eps: f64,
) -> Result<Tensor> {
    let scale = (var + eps)?.sqrt()?.recip()?;
    let scale = match gamma {
        Some(gamma) => (scale * gamma)?,
        None => scale,
    };
    let shift = (mean * &scale)?.neg()?;
    let shift = match beta {
        Some(beta) => (shift + beta)?,
        None => shift,
    };
    affine(x, &scale, &shift)
}

/// The same with the batch's own mean and variance: `(y, mean [C], biased variance [C])`, the latter two without
/// gradients; `y` differentiable in `x`, `gamma` and `beta`. Statistics are summed in f64.
pub fn batch_norm_train(
    x: &Tensor,
    gamma: Option<&Tensor>,
    beta: Option<&Tensor>,
    eps: f64,
) -> Result<(Tensor, Tensor, Tensor)> {
    let (channels, _) = channels(x)?;
    let (normal, mean, var) = if ours(x) {
        by_dtype!(x.dtype(), T => normalised::<T>(&x.contiguous()?, eps))?
    } else {
        composed(x, eps)?
    };
    if gamma.is_none() && beta.is_none() {
        return Ok((normal, mean, var));
    }
    let or = |given: Option<&Tensor>, value: f64| match given {
        Some(tensor) => Ok(tensor.clone()),
        None => Tensor::full(value, channels, x.device())?.to_dtype(x.dtype()),
    };
    let y = affine(&normal, &or(gamma, 1.0)?, &or(beta, 0.0)?)?;
    Ok((y, mean, var))
}

/// `(x - mean) / sqrt(var + eps)` with statistics over all dimensions but 1, in candle's operations.
fn composed(x: &Tensor, eps: f64) -> Result<(Tensor, Tensor, Tensor)> {
    let rows = x.transpose(0, 1)?.flatten_from(1)?;
    let mean = rows.mean(1)?;
    let centred = x.broadcast_sub(&spread(&mean, x)?)?;
    let var = centred.sqr()?.transpose(0, 1)?.flatten_from(1)?.mean(1)?;
    let normal = centred.broadcast_div(&spread(&(&var + eps)?.sqrt()?, x)?)?;
    Ok((normal, mean.detach(), var.detach()))
}

fn normalised<T: Element>(x: &Tensor, eps: f64) -> Result<(Tensor, Tensor, Tensor)> {
    let (channels, area) = channels(x)?;
    let moments: Vec<(f64, f64)> = with_slice::<T, _>(x, |x| {
        let count = (x.len() / channels) as f64;
        Ok((0..channels)
            .into_par_iter()
            .map(|c| {
                let mean = planes(x, channels, area, c).map(sum).sum::<f64>() / count;
                let squares = planes(x, channels, area, c)
                    .map(|plane| sum_of(plane, |_, x| (x.to_f64() - mean) * (x.to_f64() - mean)));
                (mean, squares.sum::<f64>() / count)
            })
            .collect())
    })?;
    let tensor = |values: Vec<f64>| Tensor::from_vec(values, channels, x.device())?.to_dtype(x.dtype());
    let (mean, var): (Vec<f64>, Vec<f64>) = moments.into_iter().unzip();
    let scale = var.iter().map(|var| 1.0 / (var + eps).sqrt()).collect();
    let normal = x.apply_op1(Normalise {
        mean: mean.clone(),
        scale,
    })?;
    Ok((normal, tensor(mean)?, tensor(var)?))
}

/// `y = scale (x - mean)`, where the statistics depend on `x`:
/// `dx = scale (g - mean(g) - y mean(g y))`, means over all but the channels.
struct Normalise {
    mean: Vec<f64>,
    /// `1 / sqrt(var + eps)`.
    scale: Vec<f64>,
}

impl Normalise {
    fn forward<T: Element>(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (values, shape) = (slice::<T>(x, layout)?, layout.shape());
        let area = shape.dims()[2..].iter().product();
        let result = map_planes(values, self.mean.len(), area, |c, out, x, _| {
            let (mean, scale) = (T::from_f64(self.mean[c]), T::from_f64(self.scale[c]));
            for (out, &x) in out.iter_mut().zip(x) {
                *out = (x - mean) * scale;
            }
        });
        Ok((T::to_cpu_storage_owned(result), shape.clone()))
    }

    fn backward<T: Element>(&self, y: &Tensor, gradient: &Tensor) -> Result<Tensor> {
        let (channels, area) = channels(y)?;
        let values = with_slice::<T, _>(y, |y| {
            with_slice::<T, _>(gradient, |gradient| {
                let count = (y.len() / channels) as f64;
                let means: Vec<(T, T)> = (0..channels)
                    .into_par_iter()
                    .map(|c| {
                        let along = planes(y, channels, area, c)
                            .zip(planes(gradient, channels, area, c))
                            .map(|(y, gradient)| sum_of(y, |i, y| y.to_f64() * gradient[i].to_f64()));
                        let plain = planes(gradient, channels, area, c).map(sum);
                        (
                            T::from_f64(plain.sum::<f64>() / count),
                            T::from_f64(along.sum::<f64>() / count),
                        )
                    })
                    .collect();
                Ok(map_planes(gradient, channels, area, |c, out, gradient, start| {
                    let (scale, (plain, along)) = (T::from_f64(self.scale[c]), means[c]);
                    let y = &y[start..start + area];
                    for ((out, &gradient), &y) in out.iter_mut().zip(gradient).zip(y) {
                        *out = scale * (gradient - plain - y * along);
                    }
                }))
            })
        })?;
        Tensor::from_vec(values, y.shape(), y.device())
    }
}

impl CustomOp1 for Normalise {
    fn name(&self) -> &'static str {
        "batch_norm_train"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        by_dtype!(x.dtype(), T => self.forward::<T>(x, layout))
    }

    fn bwd(&self, _: &Tensor, y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(
            by_dtype!(y.dtype(), T => self.backward::<T>(y, &gradient.contiguous()?)
            )?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::nn::tests::{assert_same_on_threads, check_gradients, gradients, ramp, values};
    use crate::testing::{DOUBLE, PRINTED, SINGLE};

    fn vector(values: &[f64]) -> Tensor {
        Tensor::new(values, &Device::Cpu).expect("numbers")
    }

    /// PyTorch 2.15, f64: `F.batch_norm(ramp(3, 2, 1, 2; 7, 11), ..., [0.5, 2], [1, -1], training, eps=1e-5)`,
    /// `backward(ramp(3, 2, 1, 2; 3, 5))`; the variance is PyTorch's unbiased one times 5/6.
    #[test]
    fn training_agrees_with_pytorch() {
        let (x, weights) = (ramp(&[3, 2, 1, 2], 7, 11), ramp(&[3, 2, 1, 2], 3, 5));
        let (gamma, beta) = (vector(&[0.5, 2.0]), vector(&[1.0, -1.0]));
        let (y, all) = gradients(&[&x, &gamma, &beta], &weights, |t| {
            Ok(batch_norm_train(t[0], Some(t[1]), Some(t[2]), 1e-5)?.0)
        });
        #[rustfmt::skip]
        let expected = [
            0.356_737_802_6, 1.482_446_648, -2.261_176_703_9, 1.813_394_185_6, 1.321_631_098_7, 0.678_368_901_3,
            1.231_312_63, -1.097_013_592_6, 0.517_553_352, 1.643_262_197_4, -1.679_095_148_2, -4.007_421_370_8,
        ];
        PRINTED.assert_all(&values(&y), &expected);
        #[rustfmt::skip]
        let expected = [
            -0.195_013_611_4, 0.112_756_969_1, -0.350_621_674, 0.647_829_529_2, -0.023_104_856_3, -0.244_921_059_3,
            0.172_575_611_2, -0.564_276_949_4, 0.423_294_862_1, -0.073_012_304_2, -1.039_530_867_3, 1.134_024_350_3,
        ];
        PRINTED.assert_all(&values(&all[0]), &expected);
        PRINTED.assert_all(&values(&all[1]), &[0.723_669_972, 0.945_882_527_9]);
        PRINTED.assert_all(&values(&all[2]), &[2.0, 2.25]);
        let (_, mean, var) = batch_norm_train(&x, None, None, 1e-5).expect("shapes fit");
        PRINTED.assert_all(&values(&mean), &[0.125, 0.416_666_666_7]);
        PRINTED.assert_all(&values(&var), &[0.725 * 5.0 / 6.0, 0.885_416_666_7 * 5.0 / 6.0]);
    }

    /// The same in evaluation, with mean `[0.25, -0.5]` and variance `[2, 0.5]`.
    #[test]
    fn evaluation_agrees_with_pytorch() {
        let (x, weights) = (ramp(&[3, 2, 1, 2], 7, 11), ramp(&[3, 2, 1, 2], 3, 5));
        let (gamma, beta) = (vector(&[0.5, 2.0]), vector(&[1.0, -1.0]));
        let (mean, var) = (vector(&[0.25, -0.5]), vector(&[2.0, 0.5]));
        let (y, all) = gradients(&[&x, &gamma, &beta], &weights, |t| {
            batch_norm(t[0], Some(t[1]), Some(t[2]), &mean, &var, 1e-5)
        });
        #[rustfmt::skip]
        let expected = [
            0.602_253_429_9, 1.220_970_316_7, 0.060_649_565_3, 5.010_347_536_9, 1.132_582_19, 0.779_029_683_3,
            4.303_247_826_7, 1.474_848_985_8, 0.690_641_556_6, 1.309_358_443_4, 0.767_749_275_6, -2.060_649_565_3,
        ];
        PRINTED.assert_all(&values(&y), &expected);
        #[rustfmt::skip]
        let expected = [
            -0.044_194_063_3, 0.220_970_316_7, 0.353_549_855_1, 2.474_848_985_8, 0.132_582_19, -0.044_194_063_3,
            1.767_749_275_6, 0.353_549_855_1, 0.309_358_443_4, 0.132_582_19, -0.353_549_855_1, 1.767_749_275_6,
        ];
        PRINTED.assert_all(&values(&all[0]), &expected);
        PRINTED.assert_all(&values(&all[1]), &[0.220_970_316_7, 4.065_823_333_8]);
        PRINTED.assert_all(&values(&all[2]), &[2.0, 2.25]);
    }

    #[test]
    fn gradients_agree_with_differences() {
        for shape in [&[5, 3][..], &[2, 3, 4], &[3, 2, 2, 3]] {
            let x = ramp(shape, 7, 11);
            let (gamma, beta) = (ramp(&shape[1..2], 3, 5), ramp(&shape[1..2], 5, 7));
            let (mean, var) = (
                ramp(&shape[1..2], 2, 5),
                (ramp(&shape[1..2], 1, 3) + 2.0).expect("numbers"),
            );
            check_gradients(&[&x, &gamma, &beta], |t| {
                Ok(batch_norm_train(t[0], Some(t[1]), Some(t[2]), 1e-3)?.0)
            });
            check_gradients(&[&x], |t| Ok(batch_norm_train(t[0], None, None, 1e-3)?.0));
            check_gradients(&[&x, &gamma, &beta, &mean, &var], |t| {
                batch_norm(t[0], Some(t[1]), Some(t[2]), t[3], t[4], 1e-3)
            });
        }
    }

    #[test]
    fn candle_s_operations_give_the_same() {
        let x = ramp(&[3, 4, 2, 5], 7, 11);
        let (normal, mean, var) = composed(&x, 1e-3).expect("shapes fit");
        let ours = batch_norm_train(&x, None, None, 1e-3).expect("shapes fit");
        DOUBLE.assert_all(&values(&ours.0), &values(&normal));
        DOUBLE.assert_all(&values(&ours.1), &values(&mean));
        DOUBLE.assert_all(&values(&ours.2), &values(&var));
    }

    /// A mean far from 0: the variance of f32 data must not come from a difference of large sums.
    #[test]
    fn statistics_are_those_of_double_precision() {
        let x = (ramp(&[8, 2, 6, 6], 7, 11) + 4096.0).expect("numbers");
        let exact = batch_norm_train(&x, None, None, 1e-5).expect("shapes fit");
        let single =
            batch_norm_train(&x.to_dtype(DType::F32).expect("dtype"), None, None, 1e-5).expect("shapes fit");
        SINGLE.assert_all(&values(&single.2), &values(&exact.2));
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let x = ramp(&[9, 5, 7, 6], 7, 11).to_dtype(DType::F32).expect("dtype");
        let one = Tensor::ones(5, DType::F32, &Device::Cpu).expect("ones");
        assert_same_on_threads(|| {
            let (y, mut all) = gradients(&[&x, &one, &one], &x, |t| {
                Ok(batch_norm_train(t[0], Some(t[1]), Some(t[2]), 1e-5)?.0)
            });
            all.push(y);
            all
        });
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() {
        let x = ramp(&[2, 3], 7, 11);
        let two = vector(&[1.0, 2.0]);
        assert!(batch_norm(&x, None, None, &two, &two, 0.0).is_err());
        assert!(batch_norm_train(&x, Some(&two), None, 0.0).is_err());
        assert!(batch_norm_train(&two, None, None, 0.0).is_err());
    }
}
