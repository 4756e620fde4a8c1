//! Activations and layer inputs as matrices, in blocks of samples.
//!
//! Activations are f32 tensors `[N, n, ...]`, neurons (channels, hidden units) in the second dimension. As a matrix
//! they are `[m, n]` in f64 with a row per sample and position, `m = N * positions`; a convolution's inputs are its
//! patches, `[m, C kh kw]`. On large images neither is made as a whole.

use candle_core::{DType, Tensor};
use faer::reborrow::ReborrowMut;
use faer::{Mat, MatMut, MatRef};
use rayon::prelude::*;

use crate::arch::{Layer, LayerKind};
use crate::nn::Window;

/// Rows of a block: enough for an efficient product.
const ROWS: usize = 8192;

/// Positions per sample of activations `[N, n, ...]`.
pub(super) fn positions(tensor: &Tensor) -> usize {
    tensor.dims().iter().skip(2).product()
}

/// Cuts `samples` of so many positions into blocks: first sample and number of samples.
pub(super) fn blocks(samples: usize, positions: usize) -> impl Iterator<Item = (usize, usize)> {
    let step = (ROWS / positions.max(1)).max(1);
    (0..samples)
        .step_by(step)
        .map(move |first| (first, step.min(samples - first)))
}

/// Runs `$body` with the entries of a block of samples in their own type.
macro_rules! with_values {
    ($tensor:expr, $range:expr, $values:ident => $body:expr) => {{
        let block = $tensor.narrow(0, $range.0, $range.1)?.flatten_all()?;
        match block.dtype() {
            DType::F32 => {
                let $values = block.to_vec1::<f32>()?;
                $body
            }
            _ => {
                let $values = block.to_dtype(DType::F64)?.to_vec1::<f64>()?;
                $body
            }
        }
    }};
}

/// A matrix for one block after the other: fresh memory costs more than what is computed in it.
///
/// It starts as zeros; afterwards a row holds what was there before.
#[derive(Debug, Default)]
pub(super) struct Buffer(Option<Mat<f64>>);

impl Buffer {
    /// `rows` rows of `columns`, in place of the last ones.
    pub fn take(&mut self, rows: usize, columns: usize) -> MatMut<'_, f64> {
        let kept = self
            .0
            .take()
            .filter(|kept| kept.ncols() == columns && kept.nrows() >= rows);
        let matrix = self.0.insert(kept.unwrap_or_else(|| Mat::zeros(rows, columns)));
        matrix.subrows_mut(0, rows)
    }
}

/// Fills the columns of `matrix` on all threads: `fill(j, column)` for the `j`-th of them.
pub(super) fn fill_columns(matrix: MatMut<'_, f64>, fill: impl Fn(usize, &mut [f64]) + Sync) {
    matrix.par_col_iter_mut().enumerate().for_each(|(j, column)| {
        if let Some(column) = column.try_as_col_major_mut() {
            fill(j, column.as_slice_mut());
        }
    });
}

/// An f32 tensor `[m, n]` as an f64 matrix.
pub(super) fn matrix(tensor: &Tensor) -> candle_core::Result<Mat<f64>> {
    let (m, n) = tensor.dims2()?;
    let values = tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    Ok(Mat::from_fn(m, n, |i, j| values[i * n + j]))
}

/// A block of several models' activations side by side, `[count * positions, sum of n]`.
pub(super) fn side_by_side<'a>(
    buffer: &'a mut Buffer,
    tensors: &[Tensor],
    range: (usize, usize),
) -> candle_core::Result<MatMut<'a, f64>> {
    let positions = tensors.first().map_or(1, positions);
    let widths: Vec<usize> = tensors
        .iter()
        .map(|t| t.dim(1))
        .collect::<candle_core::Result<_>>()?;
    let mut matrix = buffer.take(range.1 * positions, widths.iter().sum());
    let mut at = 0;
    for (tensor, n) in tensors.iter().zip(widths) {
        let own = matrix.rb_mut().subcols_mut(at, n);
        with_values!(tensor, range, values => {
            fill_columns(own, |j, column| {
                for (sample, part) in column.chunks_exact_mut(positions).enumerate() {
                    convert(part, &values[(sample * n + j) * positions..][..positions]);
                }
            });
        });
        at += n;
    }
    Ok(matrix)
}

/// A matrix `[m, n]` as activations of the shape of `like`, but n wide.
pub(super) fn unflatten(matrix: MatRef<'_, f64>, like: &Tensor) -> candle_core::Result<Tensor> {
    let (positions, n) = (positions(like), matrix.ncols());
    let mut shape = like.dims().to_vec();
    shape[0] = matrix.nrows() / positions;
    shape[1] = n;
    let mut values = vec![0f32; matrix.nrows() * n];
    for j in 0..n {
        for (row, value) in matrix.col(j).iter().enumerate() {
            let (sample, position) = (row / positions, row % positions);
            values[(sample * n + j) * positions + position] = *value as f32;
        }
    }
    Tensor::from_vec(values, shape, like.device())
}

/// What a layer's linear map multiplies, for a block of samples of its input: `[rows, fan-in]`, and a column of ones
/// where there is a bias. Rows are in the order of those of [`side_by_side`] of its output. A buffer serves one layer
/// only: what lies in the padding stays as it is.
pub(super) fn layer_inputs<'a>(
    buffer: &'a mut Buffer,
    layer: &Layer,
    bias: bool,
    input: &Tensor,
    range: (usize, usize),
) -> candle_core::Result<MatMut<'a, f64>> {
    let d = layer.fan_in();
    let width = d + usize::from(bias);
    let mut matrix;
    match layer.kind {
        LayerKind::Linear => {
            matrix = buffer.take(range.1, width);
            with_values!(input, range, values => {
                let own = matrix.rb_mut().subcols_mut(0, d);
                fill_columns(own, |j, column| gather(column, &values, (j, d)));
            });
        }
        LayerKind::Conv { stride, padding } => {
            let (_, c, h, w) = input.dims4()?;
            let kernel = (layer.shape[2], layer.shape[3]);
            let window = Window {
                kernel,
                stride,
                padding,
            };
            let (rows, columns) = window.positions((h, w))?;
            matrix = buffer.take(range.1 * rows * columns, width);
            with_values!(input, range, values => {
                fill_columns(matrix.rb_mut().subcols_mut(0, d), |j, column| {
                    let (channel, ky, kx) = (j / (kernel.0 * kernel.1), j / kernel.1 % kernel.0, j % kernel.1);
                    let planes = values.chunks_exact(h * w).skip(channel).step_by(c);
                    for (out, plane) in column.chunks_exact_mut(rows * columns).zip(planes) {
                        shifted(out, plane, (h, w), columns, (ky, kx), window);
                    }
                });
            });
        }
    }
    if bias {
        matrix.rb_mut().col_mut(d).fill(1.0);
    }
    Ok(matrix)
}

/// What one entry of a kernel, `(ky, kx)`, meets on an image's plane at all positions; 0 in the padding, which `out`
/// holds already.
fn shifted<T: Copy + Into<f64>>(
    out: &mut [f64],
    plane: &[T],
    (h, w): (usize, usize),
    columns: usize,
    (ky, kx): (usize, usize),
    window: Window,
) {
    let inside = window.inside(kx, w, columns);
    for (y, out) in out.chunks_exact_mut(columns).enumerate() {
        let Some(from) = (y * window.stride + ky)
            .checked_sub(window.padding)
            .filter(|&y| y < h)
        else {
            continue;
        };
        if !inside.is_empty() {
            let row = &plane[from * w + inside.start * window.stride + kx - window.padding..(from + 1) * w];
            for (out, value) in out[inside.clone()]
                .iter_mut()
                .zip(row.iter().step_by(window.stride))
            {
                *out = (*value).into();
            }
        }
    }
}

/// Every `step`-th value, from the `first` on.
fn gather<T: Copy + Into<f64>>(to: &mut [f64], from: &[T], (first, step): (usize, usize)) {
    for (to, from) in to.iter_mut().zip(from.iter().skip(first).step_by(step)) {
        *to = (*from).into();
    }
}

fn convert<T: Copy + Into<f64>>(to: &mut [f64], from: &[T]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = (*from).into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn blocks_cover_all_samples_and_matrices_come_back() {
        let covered: Vec<(usize, usize)> = blocks(20, 1000).collect();
        assert_eq!(covered, [(0, 8), (8, 8), (16, 4)]);
        let tensor = Tensor::arange(0f32, 36.0, &Device::Cpu).and_then(|t| t.reshape((3, 2, 2, 3)));
        let tensor = tensor.expect("tensor");
        let mut buffer = Buffer::default();
        let matrix = side_by_side(&mut buffer, std::slice::from_ref(&tensor), (0, 3)).expect("matrix");
        assert_eq!((matrix.nrows(), matrix.ncols()), (18, 2));
        // Sample 1, neuron 1, position 4.
        assert_eq!(matrix[(6 + 4, 1)], 12.0 + 6.0 + 4.0);
        let back = unflatten(matrix.as_ref(), &tensor).expect("tensor");
        let flat = |t: &Tensor| t.flatten_all().and_then(|t| t.to_vec1::<f32>()).expect("values");
        assert_eq!(flat(&back), flat(&tensor));
    }
}
