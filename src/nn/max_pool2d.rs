//! Maxima of windows.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::element::{Element, by_dtype, ours, slice, with_slice};
use super::window::Window;

/// The largest element of each `kernel x kernel` window of `x [N, C, H, W]`: `[N, C, H', W']` with
/// `H' = (H + 2 padding - kernel) / stride + 1`. Pixels beyond the image count as minus infinity, NaN as the largest.
///
/// The gradient goes to the first of equal maxima in row-major order, as in PyTorch (candle's splits it). Elsewhere
/// than on the CPU in f32 and f64 it is candle's, and padding an error. Errors where the padding is more than half the
/// kernel, so that a window could lie outside.
///
/// ```
/// use candle_core::{Device, Tensor};
/// let x = Tensor::arange(0f32, 16.0, &Device::Cpu)?.reshape((1, 1, 4, 4))?;
/// let y = runner::nn::max_pool2d(&x, 2, 2, 0)?.flatten_all()?.to_vec1::<f32>()?;
/// assert_eq!(y, [5.0, 7.0, 13.0, 15.0]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn max_pool2d(x: &Tensor, kernel: usize, stride: usize, padding: usize) -> Result<Tensor> {
    if 2 * padding > kernel {
        bail!("padding {padding} is more than half of the kernel {kernel}");
    }
    let window = Window {
        kernel: (kernel, kernel),
        stride,
        padding,
    };
    let (_, _, height, width) = x.dims4()?;
    let positions = window.positions((height, width))?;
    if ours(x) {
        return x.contiguous()?.apply_op1(MaxPool2d {
            window,
            size: (height, width),
            positions,
        });
    }
    if padding > 0 {
        bail!("max_pool2d with padding is for the CPU in f32 and f64");
    }
    x.max_pool2d_with_stride(kernel, stride)
}

/// Where every `stride`-th element of `values`, the first of which is pixel `first`, is larger than the maximum so far
/// or NaN, it and its pixel are the new ones.
#[inline(always)]
fn larger<T: Element>(values: &[T], first: usize, stride: usize, maxima: &mut [T], pixels: &mut [u32]) {
    let mut at = first as u32;
    for ((&value, maximum), pixel) in values.iter().step_by(stride).zip(maxima).zip(pixels) {
        let better = value > *maximum || value.nan();
        *maximum = if better { value } else { *maximum };
        *pixel = if better { at } else { *pixel };
        at += stride as u32;
    }
}

struct MaxPool2d {
    window: Window,
    /// Height and width of the planes.
    size: (usize, usize),
    positions: (usize, usize),
}

impl MaxPool2d {
    /// The maxima of the windows in line `y` and the first pixels where they are.
    fn line<T: Element>(&self, plane: &[T], y: usize, maxima: &mut [T], pixels: &mut [u32]) {
        let Window {
            kernel: (kh, kw),
            stride,
            padding,
        } = self.window;
        let (height, width) = self.size;
        let corner = (y * stride).saturating_sub(padding) * width;
        maxima.fill(T::LEAST);
        for (x, pixel) in pixels.iter_mut().enumerate() {
            *pixel = (corner + (x * stride).saturating_sub(padding)) as u32;
        }
        for ky in 0..kh {
            if !(padding..height + padding).contains(&(y * stride + ky)) {
                continue;
            }
            let start = (y * stride + ky - padding) * width;
            for kx in 0..kw {
                let inside = self.window.inside(kx, width, maxima.len());
                if inside.is_empty() {
                    continue;
                }
                let first = start + inside.start * stride + kx - padding;
                let (maxima, pixels) = (&mut maxima[inside.clone()], &mut pixels[inside]);
                let plane = &plane[first..start + width];
                // The usual strides as constants, so that the loop becomes vector instructions.
                match stride {
                    1 => larger(plane, first, 1, maxima, pixels),
                    2 => larger(plane, first, 2, maxima, pixels),
                    _ => larger(plane, first, stride, maxima, pixels),
                }
            }
        }
    }

    fn forward<T: Element>(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice::<T>(x, layout)?;
        let (images, channels, height, width) = layout.shape().dims4()?;
        let (down, along) = self.positions;
        let mut result = vec![T::ZERO; images * channels * down * along];
        result
            .par_chunks_mut(down * along)
            .zip(x.par_chunks(height * width))
            .for_each_init(
                || vec![0; along],
                |pixels, (result, plane)| {
                    for (y, maxima) in result.chunks_exact_mut(along).enumerate() {
                        self.line(plane, y, maxima, pixels);
                    }
                },
            );
        let shape = (images, channels, down, along);
        Ok((T::to_cpu_storage_owned(result), shape.into()))
    }

    fn backward<T: Element>(&self, x: &Tensor, gradient: &Tensor) -> Result<Tensor> {
        let area = self.size.0 * self.size.1;
        let (down, along) = self.positions;
        let mut result = vec![T::ZERO; x.elem_count()];
        with_slice::<T, _>(x, |x| {
            with_slice::<T, _>(gradient, |gradient| {
                (
                    result.par_chunks_mut(area),
                    x.par_chunks(area),
                    gradient.par_chunks(down * along),
                )
                    .into_par_iter()
                    .for_each_init(
                        || (vec![T::ZERO; along], vec![0; along]),
                        |(maxima, pixels), (result, plane, gradient)| {
                            for (y, gradient) in gradient.chunks_exact(along).enumerate() {
                                self.line(plane, y, maxima, pixels);
                                for (&pixel, &gradient) in pixels.iter().zip(gradient) {
                                    result[pixel as usize] += gradient;
                                }
                            }
                        },
                    );
                Ok(())
            })
        })?;
        Tensor::from_vec(result, x.shape(), x.device())
    }
}

impl CustomOp1 for MaxPool2d {
    fn name(&self) -> &'static str {
        "max_pool2d"
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
    use candle_core::Device;

    use super::*;
    use crate::nn::tests::{assert_same_on_threads, check_gradients, gradients, ramp, values};

    /// PyTorch 2.15: `F.max_pool2d(x, 3, 2, 1)`, `backward([1, 2, 3, 4, 5, 6])`; maxima that occur several times.
    #[test]
    fn the_first_of_equal_maxima_has_the_gradient() {
        let x = [
            [1.0, 3.0, 3.0, 0.0, 5.0],
            [3.0, 2.0, 3.0, 5.0, 5.0],
            [0.0, 0.0, 0.0, 0.0, 0.0],
            [0.0, -1.0, 0.0, 0.0, -2.0],
        ];
        let x = Tensor::new(&x, &Device::Cpu)
            .and_then(|x| x.reshape((1, 1, 4, 5)))
            .expect("x");
        let weights = Tensor::arange(1.0, 7.0, &Device::Cpu)
            .and_then(|weights| weights.reshape((1, 1, 2, 3)))
            .expect("weights");
        let (y, all) = gradients(&[&x], &weights, |t| max_pool2d(t[0], 3, 2, 1));
        assert_eq!(values(&y), [3.0, 5.0, 5.0, 3.0, 5.0, 5.0]);
        let expected = [
            [0.0, 1.0, 0.0, 0.0, 3.0],
            [4.0, 0.0, 0.0, 13.0, 0.0],
            [0.0; 5],
            [0.0; 5],
        ];
        assert_eq!(values(&all[0]), expected.concat());
    }

    /// PyTorch 2.15: `F.max_pool2d(x, 2)`, `backward([1, 2])`.
    #[test]
    fn nan_is_the_largest() {
        let nan = f64::NAN;
        let x = Tensor::new(&[[nan, 3.0, 1.0, nan], [2.0, nan, 0.0, 1.0]], &Device::Cpu)
            .and_then(|x| x.reshape((1, 1, 2, 4)))
            .expect("x");
        let weights = Tensor::new(&[[[[1.0, 2.0]]]], &Device::Cpu).expect("weights");
        // The loss is NaN, the gradient is not.
        let (y, all) = gradients(&[&x], &weights, |t| max_pool2d(t[0], 2, 2, 0));
        assert!(values(&y).iter().all(|y| y.is_nan()));
        assert_eq!(values(&all[0]), [0.0, 0.0, 0.0, 2.0, 0.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn agrees_with_the_definition_and_differences() {
        for (kernel, stride, padding) in [(1, 1, 0), (2, 2, 0), (3, 1, 1), (3, 2, 1), (2, 3, 1), (4, 5, 2)] {
            // 1/8 to a power of two apart: no ties.
            let x = (ramp(&[2, 3, 7, 6], 101, 252) / 8.0).expect("numbers");
            let y = max_pool2d(&x, kernel, stride, padding).expect("shapes fit");
            let pixels = values(&x);
            let (_, _, down, along) = y.dims4().expect("rank 4");
            for (at, &found) in values(&y).iter().enumerate() {
                let (plane, i, j) = (at / along / down, at / along % down, at % along);
                let mut largest = f64::NEG_INFINITY;
                for y in (i * stride).saturating_sub(padding)..(i * stride + kernel - padding).min(7) {
                    for x in (j * stride).saturating_sub(padding)..(j * stride + kernel - padding).min(6) {
                        largest = largest.max(pixels[(plane * 7 + y) * 6 + x]);
                    }
                }
                assert_eq!(found, largest);
            }
            check_gradients(&[&x], |t| max_pool2d(t[0], kernel, stride, padding));
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let x = ramp(&[5, 7, 9, 8], 7, 11);
        assert_same_on_threads(|| {
            let weights = ramp(&[5, 7, 5, 4], 3, 5);
            let (y, mut all) = gradients(&[&x], &weights, |t| max_pool2d(t[0], 3, 2, 1));
            all.push(y);
            all
        });
    }

    #[test]
    fn padding_of_more_than_half_the_kernel_is_an_error() {
        assert!(max_pool2d(&ramp(&[1, 1, 4, 4], 7, 11), 2, 2, 2).is_err());
    }
}
