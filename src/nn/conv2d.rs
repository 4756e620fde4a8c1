//! Convolution of images.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::columns::Image;
use super::direct::{self, Sizes};
use super::element::{Element, by_dtype, ours, slice, with_slice};
use super::sum;
use super::window::Window;
use super::winograd;

/// `y[n, o, i, j] = bias[o] + sum_{c, a, b} weight[o, c, a, b] x[n, c, i stride + a - padding, j stride + b - padding]`
/// with `x` 0 outside: `[N, C, H, W]` and `[O, C, kh, kw]` to `[N, O, (H + 2 padding - kh) / stride + 1, ...]`.
///
/// Differentiable in the three tensors. On the CPU in f32 and f64 the kernels are ours and give the same bits on any
/// number of threads; elsewhere candle's. Errors where shapes do not fit.
pub fn conv2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: usize,
    padding: usize,
) -> Result<Tensor> {
    let sizes = sizes(x.shape(), weight.shape(), stride, padding)?;
    if let Some(bias) = bias
        && bias.dims() != [sizes.outputs]
    {
        bail!(
            "a bias of shape {:?} for {} channels",
            bias.shape(),
            sizes.outputs
        );
    }
    if !ours(x) {
        let y = x.conv2d(weight, padding, stride, 1, 1)?;
        return match bias {
            Some(bias) => y.broadcast_add(&bias.reshape((1, (), 1, 1))?),
            None => Ok(y),
        };
    }
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    match bias {
        Some(bias) => x.apply_op3(&weight, &bias.contiguous()?, Conv2d { sizes }),
        None => x.apply_op2(&weight, Conv2d { sizes }),
    }
}

fn sizes(x: &Shape, weight: &Shape, stride: usize, padding: usize) -> Result<Sizes> {
    let (images, channels, height, width) = x.dims4()?;
    let (outputs, inputs, kh, kw) = weight.dims4()?;
    if inputs != channels || channels == 0 || outputs == 0 {
        bail!("a convolution of {x:?} with a weight of shape {weight:?}");
    }
    let window = Window {
        kernel: (kh, kw),
        stride,
        padding,
    };
    let image = Image {
        channels,
        height,
        width,
        window,
        positions: window.positions((height, width))?,
    };
    Ok(Sizes {
        images,
        image,
        outputs,
    })
}

struct Conv2d {
    sizes: Sizes,
}

impl Conv2d {
    fn forward<T: Element>(
        &self,
        x: (&CpuStorage, &Layout),
        weight: (&CpuStorage, &Layout),
        bias: Option<(&CpuStorage, &Layout)>,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, weight) = (slice::<T>(x.0, x.1)?, slice::<T>(weight.0, weight.1)?);
        let bias = bias
            .map(|(storage, layout)| slice::<T>(storage, layout))
            .transpose()?;
        let result = if winograd::suits(&self.sizes) {
            winograd::forward(&self.sizes, x, weight, bias)
        } else {
            direct::forward(self.sizes, x, weight, bias)
        };
        let (down, along) = self.sizes.image.positions;
        let shape = (self.sizes.images, self.sizes.outputs, down, along);
        Ok((T::to_cpu_storage_owned(result), shape.into()))
    }

    fn backward<T: Element>(
        &self,
        x: &Tensor,
        weight: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let wanted = (x.track_op(), weight.track_op());
        let gradient = gradient.contiguous()?;
        let (of_x, of_weight) = with_slice::<T, _>(x, |x| {
            with_slice::<T, _>(weight, |weight| {
                with_slice::<T, _>(&gradient, |gradient| {
                    if winograd::suits(&self.sizes) {
                        return Ok(winograd::backward(&self.sizes, (x, weight), gradient, wanted));
                    }
                    Ok((
                        wanted
                            .0
                            .then(|| direct::gradient_of_x(self.sizes, weight, gradient)),
                        wanted
                            .1
                            .then(|| direct::gradient_of_weight(self.sizes, x, gradient)),
                    ))
                })
            })
        })?;
        let tensor = |values: Option<Vec<T>>, like: &Tensor| {
            values
                .map(|values| Tensor::from_vec(values, like.shape(), like.device()))
                .transpose()
        };
        Ok((tensor(of_x, x)?, tensor(of_weight, weight)?))
    }

    /// `[O]`: sums over images and positions.
    fn gradient_of_bias<T: Element>(&self, gradient: &Tensor) -> Result<Tensor> {
        let (outputs, area) = (self.sizes.outputs, self.sizes.image.columns());
        let sums: Vec<T> = with_slice::<T, _>(&gradient.contiguous()?, |gradient| {
            Ok((0..outputs)
                .into_par_iter()
                .map(|output| {
                    let planes = gradient.chunks_exact(area).skip(output).step_by(outputs);
                    T::from_f64(planes.map(sum::sum).sum())
                })
                .collect())
        })?;
        Tensor::from_vec(sums, outputs, gradient.device())
    }
}

impl CustomOp2 for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, weight) = ((x, x_layout), (weight, weight_layout));
        by_dtype!(x.0.dtype(), T => self.forward::<T>(x, weight, None))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        by_dtype!(x.dtype(), T => self.backward::<T>(x, weight, gradient))
    }
}

impl CustomOp3 for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, weight, bias) = ((x, x_layout), (weight, weight_layout), (bias, bias_layout));
        by_dtype!(x.0.dtype(), T => self.forward::<T>(x, weight, Some(bias)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (of_x, of_weight) = by_dtype!(x.dtype(), T => self.backward::<T>(x, weight, gradient))?;
        let of_bias = match bias.track_op() {
            true => Some(by_dtype!(x.dtype(), T => self.gradient_of_bias::<T>(gradient))?),
            false => None,
        };
        Ok((of_x, of_weight, of_bias))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::*;
    use crate::nn::tests::{assert_same_on_threads, check_gradients, gradients, ramp, values};
    use crate::testing::{DOUBLE, SINGLE};

    /// Images, channels, outputs; height and width; kernel; stride; padding.
    type Case = ([usize; 3], (usize, usize), (usize, usize), usize, usize);

    /// Both ways of computing, at sizes that are no multiples of their blocks.
    const CASES: [Case; 14] = [
        ([1, 1, 1], (1, 1), (1, 1), 1, 0),
        ([3, 2, 5], (4, 7), (1, 1), 1, 0),
        ([2, 3, 4], (7, 5), (1, 1), 2, 0),
        ([2, 3, 2], (6, 9), (3, 3), 2, 1),
        ([1, 2, 3], (5, 4), (3, 2), 1, 0),
        ([3, 5, 7], (5, 5), (3, 3), 1, 1),
        ([2, 2, 3], (3, 11), (2, 5), 3, 2),
        ([2, 40, 3], (20, 21), (3, 3), 2, 1),
        ([70, 3, 2], (2, 2), (3, 3), 2, 1),
        ([1, 16, 16], (3, 3), (3, 3), 1, 0),
        ([3, 16, 17], (5, 4), (3, 3), 1, 1),
        ([2, 35, 16], (1, 1), (3, 3), 1, 1),
        ([1, 16, 19], (2, 7), (3, 3), 1, 2),
        ([2, 17, 16], (3, 4), (3, 3), 1, 3),
    ];

    fn tensors(
        ((n, c, o), (h, w), (kh, kw)): ((usize, usize, usize), (usize, usize), (usize, usize)),
    ) -> [Tensor; 3] {
        [
            ramp(&[n, c, h, w], 7, 11),
            ramp(&[o, c, kh, kw], 5, 13),
            ramp(&[o], 3, 5),
        ]
    }

    fn of(&([n, c, o], size, kernel, stride, padding): &Case) -> ([Tensor; 3], usize, usize) {
        (tensors(((n, c, o), size, kernel)), stride, padding)
    }

    /// The definition: the result, and the gradients for the gradient `weights(result)`.
    fn naive([x, weight, bias]: &[Tensor; 3], stride: usize, padding: usize) -> [Vec<f64>; 5] {
        let (n, c, h, w) = x.dims4().expect("rank 4");
        let (o, _, kh, kw) = weight.dims4().expect("rank 4");
        let (down, along) = (
            (h + 2 * padding - kh) / stride + 1,
            (w + 2 * padding - kw) / stride + 1,
        );
        let g = values(&ramp(&[n, o, down, along], 3, 7));
        let (x, weight, bias) = (values(x), values(weight), values(bias));
        let mut y = vec![0.0; g.len()];
        let (mut dx, mut dw, mut db) = (vec![0.0; x.len()], vec![0.0; weight.len()], vec![0.0; o]);
        for at in 0..g.len() {
            let (image, output) = (at / along / down / o, at / along / down % o);
            y[at] = bias[output];
            db[output] += g[at];
            for k in 0..c * kh * kw {
                let (channel, ky, kx) = (k / kh / kw, k / kw % kh, k % kw);
                let (i, j) = (at / along % down * stride + ky, at % along * stride + kx);
                if (padding..h + padding).contains(&i) && (padding..w + padding).contains(&j) {
                    let pixel = ((image * c + channel) * h + i - padding) * w + j - padding;
                    let element = output * c * kh * kw + k;
                    y[at] += weight[element] * x[pixel];
                    dx[pixel] += weight[element] * g[at];
                    dw[element] += x[pixel] * g[at];
                }
            }
        }
        [y, dx, dw, db, g]
    }

    #[test]
    fn agrees_with_the_definition() {
        for case in &CASES {
            let (inputs, stride, padding) = of(case);
            let [y, dx, dw, db, g] = naive(&inputs, stride, padding);
            for (dtype, tolerance) in [(DType::F64, DOUBLE), (DType::F32, SINGLE)] {
                let inputs = inputs.each_ref().map(|x| x.to_dtype(dtype).expect("dtype"));
                let [x, weight, bias] = &inputs;
                let dims = conv2d(x, weight, Some(bias), stride, padding).expect("shapes fit");
                let weights = Tensor::from_slice(&g, dims.shape(), x.device())
                    .and_then(|weights| weights.to_dtype(dtype))
                    .expect("shape");
                let (found, gradients) = gradients(&[x, weight, bias], &weights, |t| {
                    conv2d(t[0], t[1], Some(t[2]), stride, padding)
                });
                tolerance.assert_all(&values(&found), &y);
                for (found, expected) in gradients.iter().zip([&dx, &dw, &db]) {
                    tolerance.assert_all(&values(found), expected);
                }
                let without = conv2d(x, weight, None, stride, padding).expect("shapes fit");
                let bias = bias.reshape((1, (), 1, 1)).expect("shape");
                let sum = without.broadcast_add(&bias).expect("shapes fit");
                tolerance.assert_all(&values(&sum), &y);
            }
        }
    }

    #[test]
    fn gradients_agree_with_differences() {
        for case in [CASES[3], ([1, 16, 16], (2, 3), (3, 3), 1, 1)] {
            let ([x, weight, bias], stride, padding) = of(&case);
            check_gradients(&[&x, &weight, &bias], |t| {
                conv2d(t[0], t[1], Some(t[2]), stride, padding)
            });
        }
    }

    /// Large enough for several groups of images in either way, and for partial sums of the weight's gradient.
    #[test]
    fn the_number_of_threads_changes_no_bit() {
        for case in [
            ([40, 3, 8], (16, 16), (3, 3), 1, 1),
            ([9, 32, 48], (30, 30), (3, 3), 1, 1),
        ] {
            let (inputs, stride, padding) = of(&case);
            let [x, weight, bias] =
                inputs.map(|x| x.sin().and_then(|x| x.to_dtype(DType::F32)).expect("dtype"));
            assert_same_on_threads(|| {
                let y = conv2d(&x, &weight, Some(&bias), stride, padding).expect("shapes fit");
                let weights = y.cos().expect("elements");
                let (y, mut all) = gradients(&[&x, &weight, &bias], &weights, |t| {
                    conv2d(t[0], t[1], Some(t[2]), stride, padding)
                });
                all.push(y);
                all
            });
        }
    }

    /// PyTorch 2.15, f64, `F.conv2d(x, w, b, stride=2, padding=1)` with `x = ramp(1, 2, 4, 3; 7, 11)`,
    /// `w = ramp(2, 2, 3, 3; 5, 13)`, `b = [0.5, -1]`, then `backward(ramp(1, 2, 2, 2; 3, 5))`.
    #[test]
    fn agrees_with_pytorch() {
        let bias = Tensor::new(&[0.5, -1.0], &candle_core::Device::Cpu).expect("bias");
        let inputs = [&ramp(&[1, 2, 4, 3], 7, 11), &ramp(&[2, 2, 3, 3], 5, 13), &bias];
        let (y, gradients) = gradients(&inputs, &ramp(&[1, 2, 2, 2], 3, 5), |t| {
            conv2d(t[0], t[1], Some(t[2]), 2, 1)
        });
        let expected = [
            1.25, -3.9375, 4.3125, -3.34375, 1.78125, -1.03125, 2.90625, 0.65625,
        ];
        DOUBLE.assert_all(&values(&y), &expected);
        let expected = [
            0.0625, 0.09375, 0.34375, 0.125, -0.21875, 0.6875, 0.3125, 0.59375, 0.59375, 0.6875, -0.96875,
            1.09375, 0.84375, 0.40625, -0.9375, 0.8125, 0.6875, 1.3125, 1.03125, 0.78125, -0.75, -0.625,
            1.65625, -0.65625,
        ];
        DOUBLE.assert_all(&values(&gradients[0]), &expected);
        let expected = [
            0.546875, -0.125, 0.078125, 0.875, -0.34375, -0.0625, 0.5, -1.0625, -0.0625, -0.328125, 1.28125,
            -0.046875, -0.625, 1.9375, -0.0625, -1.0, 1.5625, -0.0625, 0.078125, 0.96875, 0.390625, -0.0625,
            0.46875, 0.5625, -0.0625, 1.25, 0.3125, -0.046875, 0.5625, -0.234375, -0.0625, 0.5, -0.4375,
            -0.0625, 0.25, -0.6875,
        ];
        DOUBLE.assert_all(&values(&gradients[1]), &expected);
        DOUBLE.assert_all(&values(&gradients[2]), &[1.5, 1.0]);
    }

    /// The same for `F.conv2d(ramp(2, 16, 3, 5; 7, 11), ramp(17, 16, 3, 3; 5, 13), padding=1)` and
    /// `backward(ramp(2, 17, 3, 5; 3, 5))`: the last plane of each.
    #[test]
    fn winograd_agrees_with_pytorch() {
        let inputs = [&ramp(&[2, 16, 3, 5], 7, 11), &ramp(&[17, 16, 3, 3], 5, 13)];
        let (y, gradients) = gradients(&inputs, &ramp(&[2, 17, 3, 5], 3, 5), |t| {
            conv2d(t[0], t[1], None, 1, 1)
        });
        let last = |x: &Tensor, expected: &[f64]| {
            let x = values(x);
            DOUBLE.assert_all(&x[x.len() - expected.len()..], expected);
        };
        last(
            &y,
            &[
                8.03125, 30.21875, -4.25, 31.40625, 7.03125, 8.59375, 18.25, 9.9375, 10.5625, 15.0, 2.84375,
                31.5625, 2.34375, 20.21875, 14.6875,
            ],
        );
        last(
            &gradients[0],
            &[
                6.21875, 7.90625, 20.65625, 17.46875, 16.15625, 8.1875, 11.703125, 28.140625, 25.046875,
                22.5, 4.5625, 8.375, 17.0, 16.875, 14.25,
            ],
        );
        last(
            &gradients[1],
            &[
                1.53125, 2.71875, 3.8125, 3.75, 3.96875, 5.5625, 2.4375, 1.65625, 4.40625,
            ],
        );
    }

    #[test]
    fn no_gradients_but_those_wanted_and_strides_are_fine() {
        let ([x, weight, bias], stride, padding) = of(&CASES[3]);
        let expected = values(&conv2d(&x, &weight, Some(&bias), stride, padding).expect("shapes fit"));
        let strided = x
            .transpose(2, 3)
            .and_then(|x| x.contiguous()?.transpose(2, 3))
            .expect("rank 4");
        let weight = candle_core::Var::from_tensor(&weight).expect("variable");
        let y = conv2d(&strided, &weight, Some(&bias), stride, padding).expect("shapes fit");
        assert_eq!(values(&y), expected);
        let store = y.backward().expect("backward");
        assert!(store.get(&weight).is_some() && store.get(&strided).is_none() && store.get(&bias).is_none());
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() {
        let ([x, weight, _], ..) = of(&CASES[3]);
        let wrong = ramp(&[3], 3, 5);
        for result in [
            conv2d(&x, &weight, Some(&wrong), 1, 1),
            conv2d(&x, &weight, None, 0, 1),
            conv2d(&x.narrow(1, 0, 2).expect("channels"), &weight, None, 1, 1),
            conv2d(&x.narrow(2, 0, 2).expect("rows"), &weight, None, 1, 0),
        ] {
            assert!(result.is_err());
        }
    }
}
