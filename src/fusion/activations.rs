//! Activations and layer inputs as matrices, in blocks of samples.
//!
//! Activations are f32 tensors `[N, n, ...]`, neurons (channels, hidden units) in the second dimension. As a matrix
//! they are `[m, n]` in f64 with a row per sample and position, `m = N * positions`; a convolution's inputs are its
//! patches, `[m, C kh kw]`. On large images neither is made as a whole.

use candle_core::{DType, Tensor};
use faer::Mat;

use crate::arch::{Layer, LayerKind};

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

fn values(tensor: &Tensor, (first, count): (usize, usize)) -> candle_core::Result<Vec<f64>> {
    tensor
        .narrow(0, first, count)?
        .to_dtype(DType::F64)?
        .flatten_all()?
        .to_vec1()
}

/// A block of activations as a matrix `[count * positions, n]`.
pub(super) fn block(tensor: &Tensor, range: (usize, usize)) -> candle_core::Result<Mat<f64>> {
    side_by_side(std::slice::from_ref(tensor), range)
}

/// A block of several models' activations side by side, `[count * positions, sum of n]`.
pub(super) fn side_by_side(tensors: &[Tensor], range: (usize, usize)) -> candle_core::Result<Mat<f64>> {
    let positions = tensors.first().map_or(1, positions);
    let width = tensors
        .iter()
        .map(|t| t.dim(1))
        .sum::<candle_core::Result<usize>>()?;
    let mut matrix = Mat::zeros(range.1 * positions, width);
    let mut at = 0;
    for tensor in tensors {
        let n = tensor.dim(1)?;
        let values = values(tensor, range)?;
        for j in 0..n {
            let column = matrix.col_as_slice_mut(at + j);
            for (sample, part) in column.chunks_exact_mut(positions).enumerate() {
                part.copy_from_slice(&values[(sample * n + j) * positions..][..positions]);
            }
        }
        at += n;
    }
    Ok(matrix)
}

/// A matrix `[m, n]` as activations of the shape of `like`, but n wide.
pub(super) fn unflatten(matrix: &Mat<f64>, like: &Tensor) -> candle_core::Result<Tensor> {
    let (positions, n) = (positions(like), matrix.ncols());
    let mut shape = like.dims().to_vec();
    shape[0] = matrix.nrows() / positions;
    shape[1] = n;
    let mut values = vec![0f32; matrix.nrows() * n];
    for j in 0..n {
        let column = matrix.col_as_slice(j);
        for (sample, part) in column.chunks_exact(positions).enumerate() {
            let target = &mut values[(sample * n + j) * positions..][..positions];
            for (target, value) in target.iter_mut().zip(part) {
                *target = *value as f32;
            }
        }
    }
    Tensor::from_vec(values, shape, like.device())
}

/// What a layer's linear map multiplies, for a block of samples of its input: `[rows, fan-in]`, and a column of ones
/// where there is a bias. Rows are in the order of [`block`] of its output.
pub(super) fn layer_inputs(
    layer: &Layer,
    bias: bool,
    input: &Tensor,
    range: (usize, usize),
) -> candle_core::Result<Mat<f64>> {
    let values = values(input, range)?;
    let d = layer.fan_in();
    let mut matrix = match layer.kind {
        LayerKind::Linear => {
            let mut matrix = Mat::zeros(range.1, d + usize::from(bias));
            for j in 0..d {
                let column = matrix.col_as_slice_mut(j).iter_mut();
                column
                    .enumerate()
                    .for_each(|(i, value)| *value = values[i * d + j]);
            }
            matrix
        }
        LayerKind::Conv { stride, padding } => {
            let (_, c, h, w) = input.dims4()?;
            let (kh, kw) = (layer.shape[2], layer.shape[3]);
            let side = |n: usize, k: usize| (n + 2 * padding - k) / stride + 1;
            let (rows, columns) = (side(h, kh), side(w, kw));
            let mut matrix = Mat::zeros(range.1 * rows * columns, d + usize::from(bias));
            for j in 0..d {
                let (channel, ky, kx) = (j / (kh * kw), j / kw % kh, j % kw);
                let out = matrix.col_as_slice_mut(j);
                for sample in 0..range.1 {
                    let plane = &values[(sample * c + channel) * h * w..][..h * w];
                    for y in 0..rows {
                        let Some(from) = (y * stride + ky).checked_sub(padding).filter(|&y| y < h) else {
                            continue;
                        };
                        for x in 0..columns {
                            if let Some(x_in) = (x * stride + kx).checked_sub(padding).filter(|&x| x < w) {
                                out[(sample * rows + y) * columns + x] = plane[from * w + x_in];
                            }
                        }
                    }
                }
            }
            matrix
        }
    };
    if bias {
        matrix.col_as_slice_mut(d).fill(1.0);
    }
    Ok(matrix)
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
        let matrix = block(&tensor, (0, 3)).expect("matrix");
        assert_eq!((matrix.nrows(), matrix.ncols()), (18, 2));
        // Sample 1, neuron 1, position 4.
        assert_eq!(matrix[(6 + 4, 1)], 12.0 + 6.0 + 4.0);
        let back = unflatten(&matrix, &tensor).expect("tensor");
        let flat = |t: &Tensor| t.flatten_all().and_then(|t| t.to_vec1::<f32>()).expect("values");
        assert_eq!(flat(&back), flat(&tensor));
    }
}
