//! Reductions on a GPU. A sum is cut into parts of [`PART`] terms, each summed by a block: thread t sums
//! terms t, t + 256, ..., then halves are added; the parts are summed by one block in the same order.

use candle_core::{DType, Result, Shape, Tensor, bail};

use super::images::one;
#[cfg(test)]
use super::launch::BLOCK;
use super::launch::{Kernel, Number, blocks, by_dtype, size, sizes};

/// Terms of a part; `PART` in `kernels/sums.cu`.
const PART: usize = 4096;

/// The sum of `terms` as a block of a kernel computes it: thread t sums terms t, t + 256, ..., then halves are added.
#[cfg(test)]
fn block_sum(terms: &[f64]) -> f64 {
    let mut lanes = [0.0; BLOCK];
    for (i, term) in terms.iter().enumerate() {
        lanes[i % BLOCK] += term;
    }
    let mut width = BLOCK / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// The sum of any number of terms as the kernels compute it: the twin of all of them.
#[cfg(test)]
pub(super) fn twin(terms: &[f64]) -> f64 {
    block_sum(&terms.chunks(PART).map(block_sum).collect::<Vec<_>>())
}

/// Sums of each of `groups` rows of as many parts.
fn parts_sum(parts: &Tensor, groups: usize) -> Result<Tensor> {
    let kernel = Kernel {
        name: "sum_parts",
        blocks: groups,
        outputs: &[(DType::F64, groups)],
        numbers: &[size(parts.elem_count() / groups.max(1))?],
    };
    one(kernel.launch(&[parts], &[Shape::from(groups)])?)
}

/// The mean of `w (y - t)^2` over all elements (f64, one number on the device) and its gradient with respect to y, both
/// f32 `[B, n, ...]`; w is `[n]`, by neuron. Twin: `twin`, of the same terms.
pub fn weighted_error(y: &Tensor, t: &Tensor, weights: &Tensor) -> Result<(Tensor, Tensor)> {
    let (count, width) = (y.elem_count(), y.dim(1)?);
    if y.shape() != t.shape() || weights.dims() != [width] || count == 0 {
        bail!(
            "squared errors of {:?} and {:?} with weights {:?}",
            y.shape(),
            t.shape(),
            weights.shape()
        );
    }
    let parts = count.div_ceil(PART);
    let scale = 1.0 / count as f64;
    let positions = count / (y.dim(0)? * width);
    let mut numbers = sizes([count, width, positions])?;
    numbers.push(Number::F32((2.0 * scale) as f32));
    let kernel = Kernel {
        name: "weighted_error",
        blocks: parts,
        outputs: &[(DType::F64, parts), (DType::F32, count)],
        numbers: &numbers,
    };
    let shapes = [Shape::from(parts), y.shape().clone()];
    let mut results = kernel.launch(&[y, t, weights], &shapes)?.into_iter();
    match (results.next(), results.next()) {
        (Some(parts), Some(slope)) => Ok(((parts_sum(&parts, 1)?.squeeze(0)? * scale)?, slope)),
        _ => bail!("a kernel without results"),
    }
}

/// The sum of `|x|` over samples and positions for each neuron of `x [N, width, ...]`, f64 `[width]`. Twin: `twin`.
pub fn absolute_sums(x: &Tensor) -> Result<Tensor> {
    neuron_sums(x, true)
}

/// The same of `x` or `|x|`.
fn neuron_sums(x: &Tensor, absolute: bool) -> Result<Tensor> {
    let (samples, width) = (x.dim(0)?, x.dim(1)?);
    let positions = x.elem_count() / (samples * width).max(1);
    let pieces = (samples * positions).div_ceil(PART);
    let kernel = Kernel {
        name: &by_dtype("neuron_sums", x.dtype())?,
        blocks: width * pieces,
        outputs: &[(DType::F64, width * pieces)],
        numbers: &sizes([samples, width, positions, usize::from(absolute)])?,
    };
    let parts = one(kernel.launch(&[x], &[Shape::from(width * pieces)])?)?;
    parts_sum(&parts, width)
}

/// The gradient of a bias `[width]` from that of results `[N, width, ...]`.
pub(super) fn of_bias(slope: &Tensor) -> Result<Tensor> {
    neuron_sums(slope, false)?.to_dtype(slope.dtype())
}

/// `total + slope (next - output)`, all of one shape. Twin: the same by candle's operations.
pub fn conductance(total: &Tensor, slope: &Tensor, next: &Tensor, output: &Tensor) -> Result<Tensor> {
    let count = total.elem_count();
    let kernel = Kernel {
        name: &by_dtype("conductance", total.dtype())?,
        blocks: blocks(count),
        outputs: &[(total.dtype(), count)],
        numbers: &[size(count)?],
    };
    one(kernel.launch(&[total, slope, next, output], &[total.shape().clone()])?)
}
