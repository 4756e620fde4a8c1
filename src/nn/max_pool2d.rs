//! Maxima of windows.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::element::{Element, by_dtype, ours, slice, with_slice};
use super::window::Window;
use crate::gpu;

/// The largest element of each `kernel x kernel` window of `x [N, C, H, W]`: `[N, C, H', W']` with
/// `H' = (H + 2 padding - kernel) / stride + 1`. Pixels beyond the image count as minus infinity, NaN as the largest.
///
/// The gradient goes to the first of equal maxima in row-major order, as in PyTorch (candle's splits it). In other types
/// than f32 and f64 it is candle's, and padding an error. Errors where the padding is more than half the kernel, so that
/// a window could lie outside.
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
    if gpu::active(x) {
        return gpu::max_pool2d(x, positions, [kernel, stride, padding]);
    }
    if ours(x) {
        return x
            .contiguous()?
            .apply_op1(MaxPool2d::new(window, (height, width), positions));
    }
    if padding > 0 {
        bail!("max_pool2d with padding is for f32 and f64");
    }
    x.max_pool2d_with_stride(kernel, stride)
}

struct MaxPool2d {
    window: Window,
    /// Height and width of the planes.
    size: (usize, usize),
    positions: (usize, usize),
    /// For each element of the window, the pixel of each window of a plane. Positions beyond the image are moved to
    /// its border, which lies in the same window and keeps pixels in row-major order.
    pixels: Vec<Vec<u32>>,
}

/// Of the windows of a plane: elements under comparison, maxima so far, and the pixels where those are.
struct Scratch<T> {
    values: Vec<T>,
    maxima: Vec<T>,
    pixels: Vec<u32>,
}

impl<T: Element> Scratch<T> {
    fn new(windows: usize) -> Self {
        Self {
            values: vec![T::ZERO; windows],
            maxima: vec![T::ZERO; windows],
            pixels: vec![0; windows],
        }
    }
}

/// Later elements replace the maxima only if larger; NaN always. Apart from reading the elements, so that it becomes
/// vector instructions: branches would be mispredicted half of the time.
fn compare<T: Element>(values: &[T], candidates: &[u32], maxima: &mut [T], pixels: &mut [u32]) {
    let windows = values.iter().zip(candidates);
    for ((&value, &candidate), (maximum, pixel)) in windows.zip(maxima.iter_mut().zip(pixels)) {
        let (old, at) = (*maximum, *pixel);
        let better = (value > old) | value.nan();
        *maximum = if better { value } else { old };
        *pixel = if better { candidate } else { at };
    }
}

/// The later of two elements if it is larger or NaN.
fn larger<T: Element>(earlier: T, later: T) -> T {
    if (later > earlier) | later.nan() {
        later
    } else {
        earlier
    }
}

/// Maxima of windows of 2x2 side by side, without asking where they are: most pools, and several times as fast.
fn halve<T: Element>(plane: &[T], width: usize, result: &mut [T]) {
    let rows = plane.chunks_exact(2 * width);
    for (result, rows) in result.chunks_exact_mut(width / 2).zip(rows) {
        let (top, bottom) = rows.split_at(width);
        let pairs = top.chunks_exact(2).zip(bottom.chunks_exact(2));
        for (result, (top, bottom)) in result.iter_mut().zip(pairs) {
            *result = larger(larger(larger(top[0], top[1]), bottom[0]), bottom[1]);
        }
    }
}

impl MaxPool2d {
    fn new(window: Window, size: (usize, usize), positions: (usize, usize)) -> Self {
        let inside = |position: usize, offset: usize, size: usize| {
            let padded = position * window.stride + offset;
            padded.saturating_sub(window.padding).min(size - 1)
        };
        let (kh, kw) = window.kernel;
        let of_element = |element: usize| {
            let pixel = |at: usize| {
                let y = inside(at / positions.1, element / kw, size.0);
                let x = inside(at % positions.1, element % kw, size.1);
                (y * size.1 + x) as u32
            };
            (0..positions.0 * positions.1).map(pixel).collect()
        };
        Self {
            window,
            size,
            positions,
            pixels: (0..kh * kw).map(of_element).collect(),
        }
    }

    fn windows(&self) -> usize {
        self.positions.0 * self.positions.1
    }

    /// Maxima of the windows of a plane and the first pixels where they are.
    fn maxima<T: Element>(&self, plane: &[T], scratch: &mut Scratch<T>) {
        let Scratch {
            values,
            maxima,
            pixels,
        } = scratch;
        maxima.fill(T::LEAST);
        pixels.copy_from_slice(&self.pixels[0]);
        for candidates in &self.pixels {
            for (value, &pixel) in values.iter_mut().zip(candidates) {
                *value = plane[pixel as usize];
            }
            compare(values, candidates, maxima, pixels);
        }
    }

    fn forward<T: Element>(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice::<T>(x, layout)?;
        let (images, channels, height, width) = layout.shape().dims4()?;
        let mut result = vec![T::ZERO; images * channels * self.windows()];
        let planes = result
            .par_chunks_mut(self.windows())
            .zip(x.par_chunks(height * width));
        let halving = Window {
            kernel: (2, 2),
            stride: 2,
            padding: 0,
        };
        if self.window == halving {
            planes.for_each(|(result, plane)| halve(plane, width, result));
        } else {
            planes.for_each_init(
                || Scratch::new(self.windows()),
                |scratch, (result, plane)| {
                    self.maxima(plane, scratch);
                    result.copy_from_slice(&scratch.maxima);
                },
            );
        }
        let shape = (images, channels, self.positions.0, self.positions.1);
        Ok((T::to_cpu_storage_owned(result), shape.into()))
    }

    fn backward<T: Element>(&self, x: &Tensor, gradient: &Tensor) -> Result<Tensor> {
        let area = self.size.0 * self.size.1;
        let mut result = vec![T::ZERO; x.elem_count()];
        with_slice::<T, _>(x, |x| {
            with_slice::<T, _>(gradient, |gradient| {
                (
                    result.par_chunks_mut(area),
                    x.par_chunks(area),
                    gradient.par_chunks(self.windows()),
                )
                    .into_par_iter()
                    .for_each_init(
                        || Scratch::new(self.windows()),
                        |scratch, (result, plane, gradient)| {
                            self.maxima(plane, scratch);
                            for (&pixel, &gradient) in scratch.pixels.iter().zip(gradient) {
                                result[pixel as usize] += gradient;
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
