//! Means of windows.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::element::{Element, by_dtype, ours, slice, with_slice};
use super::window::Window;
use crate::gpu;

/// The mean of each `kernel x kernel` window of `x [N, C, H, W]`: `[N, C, (H - kernel) / stride + 1, ...]`.
/// Differentiable.
///
/// ```
/// use candle_core::{Device, Tensor};
/// let x = Tensor::arange(0f32, 16.0, &Device::Cpu)?.reshape((1, 1, 4, 4))?;
/// let y = runner::nn::avg_pool2d(&x, 2, 2)?.flatten_all()?.to_vec1::<f32>()?;
/// assert_eq!(y, [2.5, 4.5, 10.5, 12.5]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn avg_pool2d(x: &Tensor, kernel: usize, stride: usize) -> Result<Tensor> {
    let window = Window {
        kernel: (kernel, kernel),
        stride,
        padding: 0,
    };
    let (_, _, height, width) = x.dims4()?;
    let positions = window.positions((height, width))?;
    if gpu::active(x) {
        return gpu::avg_pool2d(x, positions, [kernel, stride]);
    }
    if !ours(x) {
        return x.avg_pool2d_with_stride(kernel, stride);
    }
    x.contiguous()?.apply_op1(AvgPool2d {
        kernel,
        stride,
        size: (height, width),
        positions,
    })
}

struct AvgPool2d {
    kernel: usize,
    stride: usize,
    /// Height and width of the planes.
    size: (usize, usize),
    positions: (usize, usize),
}

impl AvgPool2d {
    /// Calls `f(window, start)` for each line of pixels of each window of a plane.
    fn each_line(&self, mut f: impl FnMut(usize, usize)) {
        for y in 0..self.positions.0 {
            for x in 0..self.positions.1 {
                for ky in 0..self.kernel {
                    let start = (y * self.stride + ky) * self.size.1 + x * self.stride;
                    f(y * self.positions.1 + x, start);
                }
            }
        }
    }

    /// 1 / pixels of a window.
    fn weight<T: Element>(&self) -> T {
        T::from_f64(1.0 / (self.kernel * self.kernel) as f64)
    }

    fn forward<T: Element>(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice::<T>(x, layout)?;
        let (images, channels, height, width) = layout.shape().dims4()?;
        let (down, along) = self.positions;
        let mut result = vec![T::ZERO; images * channels * down * along];
        result
            .par_chunks_mut(down * along)
            .zip(x.par_chunks(height * width))
            .for_each(|(result, plane)| {
                self.each_line(|window, start| {
                    for &pixel in &plane[start..start + self.kernel] {
                        result[window] += pixel;
                    }
                });
                for sum in result {
                    *sum *= self.weight();
                }
            });
        let shape = (images, channels, down, along);
        Ok((T::to_cpu_storage_owned(result), shape.into()))
    }

    fn backward<T: Element>(&self, x: &Tensor, gradient: &Tensor) -> Result<Tensor> {
        let area = self.size.0 * self.size.1;
        let mut result = vec![T::ZERO; x.elem_count()];
        with_slice::<T, _>(gradient, |gradient| {
            result
                .par_chunks_mut(area)
                .zip(gradient.par_chunks(self.positions.0 * self.positions.1))
                .for_each(|(result, gradient)| {
                    self.each_line(|window, start| {
                        for pixel in &mut result[start..start + self.kernel] {
                            *pixel += gradient[window] * self.weight();
                        }
                    });
                });
            Ok(())
        })?;
        Tensor::from_vec(result, x.shape(), x.device())
    }
}

impl CustomOp1 for AvgPool2d {
    fn name(&self) -> &'static str {
        "avg_pool2d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        by_dtype!(x.dtype(), T => self.forward::<T>(x, layout))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(
            by_dtype!(x.dtype(), T => self.backward::<T>(x, &gradient.contiguous()?)
            )?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::tests::{assert_same_on_threads, check_gradients, gradients, ramp, values};
    use crate::testing::PRINTED;

    /// PyTorch 2.15, f64: `F.avg_pool2d(ramp(1, 1, 4, 5; 7, 11), 3, 1)`, `backward(ramp(1, 1, 2, 3; 3, 5))`.
    #[test]
    fn agrees_with_pytorch() {
        let (x, weights) = (ramp(&[1, 1, 4, 5], 7, 11), ramp(&[1, 1, 2, 3], 3, 5));
        let (y, all) = gradients(&[&x], &weights, |t| avg_pool2d(t[0], 3, 1));
        let expected = [
            0.152_777_777_8,
            0.375,
            0.597_222_222_2,
            0.347_222_222_2,
            0.263_888_888_9,
            0.486_111_111_1,
        ];
        PRINTED.assert_all(&values(&y), &expected);
        let expected = [
            -0.013_888_888_9,
            0.055_555_555_6,
            0.069_444_444_4,
            0.083_333_333_3,
            0.013_888_888_9,
            0.083_333_333_3,
            0.194_444_444_4,
            0.194_444_444_4,
            0.111_111_111_1,
            0.0,
        ];
        PRINTED.assert_all(&values(&all[0])[..10], &expected);
    }

    #[test]
    fn gradients_agree_with_differences() {
        for (kernel, stride) in [(1, 1), (2, 2), (3, 1), (2, 3), (5, 2)] {
            check_gradients(&[&ramp(&[2, 3, 7, 6], 7, 11)], |t| {
                avg_pool2d(t[0], kernel, stride)
            });
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let x = ramp(&[5, 7, 9, 8], 7, 11);
        assert_same_on_threads(|| {
            let weights = ramp(&[5, 7, 4, 3], 3, 5);
            let (y, mut all) = gradients(&[&x], &weights, |t| avg_pool2d(t[0], 3, 2));
            all.push(y);
            all
        });
    }
}
