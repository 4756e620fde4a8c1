//! The linear algebra of layers where the activations are, on a GPU: f64 products by cuBLAS, eigenvectors by cuSOLVER.
//! The same mathematics as `linalg` on the CPU, which rounds differently.
//!
//! What stays on the host, and is noted in the record: assignments, the network simplex, the choice of k-means' first
//! centroids and the repair of its empty clusters, singular value decompositions (cutoffs below
//! [`GRAM_LIMIT`]), and the writing of weights.

use candle_core::{DType, Result, Tensor};

use super::FusionError;
use super::activations::{matrix, positions};
use super::member::{Member, totals};
use crate::arch::{Layer, LayerKind};
use crate::gpu;
use crate::linalg::{Cutoff, GRAM_LIMIT, LinalgError, Solution};
use crate::nn;

/// Numbers in one block of rows: 512 MiB.
const NUMBERS: usize = 1 << 26;

/// Blocks of samples: first, and how many.
fn blocks(samples: usize, per_sample: usize) -> impl Iterator<Item = (usize, usize)> {
    let step = (gpu::chunk(NUMBERS) / per_sample.max(1)).max(1);
    (0..samples)
        .step_by(step)
        .map(move |first| (first, step.min(samples - first)))
}

/// Several models' activations `[N, n, ...]` of a block of samples side by side: `[count * positions, sum of n]`, f64.
fn rows(tensors: &[Tensor], (first, count): (usize, usize)) -> Result<Tensor> {
    let parts = tensors.iter().map(|tensor| {
        let part = tensor.narrow(0, first, count)?.to_dtype(DType::F64)?;
        let shape = (count, part.dim(1)?, positions(&part));
        part.reshape(shape)?.transpose(1, 2)?.flatten(0, 1)
    });
    Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 1)
}

/// Sums of widths and of numbers per sample.
fn width(tensors: &[Tensor]) -> Result<(usize, usize)> {
    let width = tensors.iter().map(|t| t.dim(1)).sum::<Result<usize>>()?;
    Ok((width, width * tensors.first().map_or(1, positions)))
}

/// What a layer's linear map multiplies, with a column of ones where there is a bias: `[rows, fan-in (+ 1)]`, f64.
fn inputs(layer: &Layer, bias: bool, input: &Tensor, (first, count): (usize, usize)) -> Result<Tensor> {
    let part = input.narrow(0, first, count)?;
    let rows = match layer.kind {
        LayerKind::Linear => part.reshape((count, layer.fan_in()))?,
        LayerKind::Conv { stride, padding } => {
            nn::unfold(&part, (layer.shape[2], layer.shape[3]), stride, padding)?
        }
    };
    let rows = rows.to_dtype(DType::F64)?;
    if !bias {
        return Ok(rows);
    }
    let ones = Tensor::ones((rows.dim(0)?, 1), DType::F64, rows.device())?;
    Tensor::cat(&[&rows, &ones], 1)
}

/// `sum or part`, adding.
fn add(sum: &mut Option<Tensor>, part: Tensor) -> Result<()> {
    *sum = Some(match sum.take() {
        Some(sum) => (sum + part)?,
        None => part,
    });
    Ok(())
}

fn some(sum: Option<Tensor>) -> Result<Tensor> {
    match sum {
        Some(sum) => Ok(sum),
        None => candle_core::bail!("no samples"),
    }
}

/// Inner products of a solution, on the device.
#[derive(Debug)]
pub(super) struct OnDevice {
    /// `[n, n]`.
    pub gram: Tensor,
    /// `[n]`.
    pub outside: Tensor,
}

impl OnDevice {
    /// HF linear's cost of every pair, row-major.
    pub fn pair_costs(&self, s0: &[f64], s1: &[f64]) -> Result<Vec<f64>> {
        let scores = Tensor::new([s0, s1].concat(), self.gram.device())?;
        gpu::pair_costs(&self.gram, &self.outside, &scores)?
            .flatten_all()?
            .to_vec1()
    }

    /// The points of a k-means.
    pub fn points(&self) -> gpu::Clusters<'_> {
        gpu::Clusters {
            gram: &self.gram,
            outside: &self.outside,
        }
    }
}

/// What `layers::solve` computes; `None` where singular values have to be found without squaring them, on the host.
pub(super) fn solve(
    layer: &Layer,
    bias: bool,
    input: &Tensor,
    targets: &[Tensor],
    cutoff: Cutoff,
) -> std::result::Result<Option<(Solution, OnDevice)>, FusionError> {
    let samples = input.dim(0)?;
    let per_sample = targets.first().map_or(1, positions);
    let (m, d) = (samples * per_sample, layer.fan_in() + usize::from(bias));
    let relative = cutoff.relative(m, d);
    let failed = |source| FusionError::Linalg {
        layer: layer.name.clone(),
        source,
    };
    if !(0.0..1.0).contains(&relative) {
        return Err(failed(LinalgError::Cutoff { value: relative }));
    }
    if relative < GRAM_LIMIT {
        return Ok(None);
    }
    let numbers = (d + width(targets)?.0) * per_sample;
    let solved = if d <= m {
        let (mut squares, mut moments, mut norms) = (None, None, None);
        for range in blocks(samples, numbers) {
            let (z, a) = (inputs(layer, bias, input, range)?, rows(targets, range)?);
            add(&mut squares, z.t()?.matmul(&z)?)?;
            add(&mut moments, z.t()?.matmul(&a)?)?;
            add(&mut norms, a.sqr()?.sum(0)?)?;
        }
        tall(&some(squares)?, &some(moments)?, &some(norms)?, relative)
    } else {
        let all = (0, samples);
        wide(&inputs(layer, bias, input, all)?, &rows(targets, all)?, relative)
    };
    solved.map(Some).map_err(|error| match error {
        Failed::Linalg(source) => failed(source),
        Failed::Candle(error) => error.into(),
    })
}

enum Failed {
    Linalg(LinalgError),
    Candle(candle_core::Error),
}

impl From<candle_core::Error> for Failed {
    fn from(error: candle_core::Error) -> Self {
        Self::Candle(error)
    }
}

/// `1 / |column|` from squares of norms; a dead neuron has no direction and stays zero.
fn inverse_norms(squares: &Tensor) -> Result<Tensor> {
    squares.sqrt()?.maximum(f64::MIN_POSITIVE)?.recip()
}

/// The eigenvectors that belong to singular values above the cutoff, one per row, and these values; ascending.
fn kept(gram: &Tensor, cutoff: f64) -> std::result::Result<(Tensor, Tensor), Failed> {
    if !gram.sum_all()?.to_scalar::<f64>()?.is_finite() {
        return Err(Failed::Linalg(LinalgError::Overflow { what: "Z" }));
    }
    let (squares, vectors) = eigen(gram)?;
    let singular: Vec<f64> = squares.iter().map(|square| square.max(0.0).sqrt()).collect();
    let smallest = singular.last().map_or(0.0, |largest| cutoff * largest);
    let first = singular.partition_point(|&value| value <= smallest);
    let rank = singular.len() - first;
    let values = Tensor::new(&singular[first..], gram.device())?.reshape((rank, 1))?;
    Ok((vectors.narrow(0, first, rank)?, values))
}

/// Eigenvalues, ascending, and eigenvectors, one per row. By cuSOLVER; on the CPU, where tests run, by `linalg`.
fn eigen(gram: &Tensor) -> std::result::Result<(Vec<f64>, Tensor), Failed> {
    if gram.device().is_cuda() {
        let (values, vectors) = gpu::eigen(gram)?;
        return Ok((values.to_vec1()?, vectors));
    }
    let (vectors, singular) = crate::linalg::eigen(&matrix(gram)?).map_err(Failed::Linalg)?;
    let n = singular.len();
    let rows = (0..n).rev().flat_map(|j| vectors.col(j).iter().copied());
    let vectors = Tensor::from_vec(rows.collect::<Vec<_>>(), (n, n), gram.device())?;
    Ok((singular.iter().rev().map(|s| s * s).collect(), vectors))
}

/// From `Z^T Z`, `Z^T A` and the squared norms of A's columns.
fn tall(
    squares: &Tensor,
    moments: &Tensor,
    norms: &Tensor,
    cutoff: f64,
) -> std::result::Result<(Solution, OnDevice), Failed> {
    let (vectors, singular) = kept(squares, cutoff)?;
    let coordinates = vectors.matmul(moments)?.broadcast_div(&singular)?;
    let gram = coordinates.t()?.matmul(&coordinates)?;
    let outside = (norms - coordinates.sqr()?.sum(0)?)?.maximum(0.0)?;
    let weights = vectors.t()?.matmul(&coordinates.broadcast_div(&singular)?)?;
    finished(&weights, gram, outside, singular.elem_count())
}

/// From `Z` and `A`, for fewer rows than columns of Z.
fn wide(z: &Tensor, a: &Tensor, cutoff: f64) -> std::result::Result<(Solution, OnDevice), Failed> {
    let (vectors, singular) = kept(&z.matmul(&z.t()?)?, cutoff)?;
    let coordinates = vectors.matmul(a)?;
    let gram = coordinates.t()?.matmul(&coordinates)?;
    let outside = (a - vectors.t()?.matmul(&coordinates)?)?.sqr()?.sum(0)?;
    let scaled = coordinates.broadcast_div(&singular.sqr()?)?;
    let weights = z.t()?.matmul(&vectors.t()?.matmul(&scaled)?)?;
    finished(&weights, gram, outside, singular.elem_count())
}

fn finished(
    weights: &Tensor,
    gram: Tensor,
    outside: Tensor,
    rank: usize,
) -> std::result::Result<(Solution, OnDevice), Failed> {
    let solution = Solution {
        weights: matrix(weights)?,
        gram: matrix(&gram)?,
        outside: outside.to_vec1()?,
        rank,
    };
    Ok((solution, OnDevice { gram, outside }))
}

/// What `layers::squared_distances` computes.
pub(super) fn squared_distances(
    a: &Tensor,
    b: &Tensor,
    unit_norm: bool,
    rectified: bool,
) -> Result<Vec<f64>> {
    let (mut products, mut squares_a, mut squares_b) = (None, None, None);
    let pair = [a.clone(), b.clone()];
    for range in blocks(a.dim(0)?, width(&pair)?.1) {
        let block = |tensor: &Tensor| {
            let rows = rows(std::slice::from_ref(tensor), range)?;
            if rectified { rows.relu() } else { Ok(rows) }
        };
        let (a, b) = (block(a)?, block(b)?);
        add(&mut products, a.t()?.matmul(&b)?)?;
        add(&mut squares_a, a.sqr()?.sum(0)?)?;
        add(&mut squares_b, b.sqr()?.sum(0)?)?;
    }
    gpu::distances(&some(products)?, &some(squares_a)?, &some(squares_b)?, unit_norm)?
        .flatten_all()?
        .to_vec1()
}

/// Inner products of all models' neurons, `[n, n]`; with `unit_rows` each model's rows count as scaled to norm 1.
pub(super) fn gram(activations: &[Tensor], unit_rows: bool) -> Result<Tensor> {
    let mut gram = None;
    let samples = activations.first().map_or(Ok(0), |t| t.dim(0))?;
    for range in blocks(samples, width(activations)?.1) {
        let points = if unit_rows {
            let parts = activations.iter().map(|own| {
                let own = rows(std::slice::from_ref(own), range)?;
                own.broadcast_mul(&inverse_norms(&own.sqr()?.sum_keepdim(1)?)?)
            });
            Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 1)?
        } else {
            rows(activations, range)?
        };
        add(&mut gram, points.t()?.matmul(&points)?)?;
    }
    some(gram)
}

/// What `layers::unit_norm` computes.
pub(super) fn unit_norm(tensor: &Tensor) -> Result<Tensor> {
    let mut squares = None;
    let one = std::slice::from_ref(tensor);
    for range in blocks(tensor.dim(0)?, width(one)?.1) {
        add(&mut squares, rows(one, range)?.sqr()?.sum(0)?)?;
    }
    let squares = some(squares)?;
    // A dead neuron has no direction: it stays zero.
    let scales = (inverse_norms(&squares)? * squares.gt(0.0)?.to_dtype(DType::F64)?)?;
    let mut shape = vec![1; tensor.rank()];
    shape[1] = tensor.dim(1)?;
    tensor.broadcast_mul(&scales.to_dtype(tensor.dtype())?.reshape(shape)?)
}

/// Members of clusters as a matrix: row i has the weights of neuron i in the columns of its clusters; and the columns' sums.
struct Members {
    matrix: Tensor,
    totals: Vec<f64>,
}

impl Members {
    fn new(members: &[Member], neurons: usize, width: usize, like: &Tensor) -> Result<Self> {
        let mut values = vec![0.0; neurons * width];
        for member in members {
            values[member.neuron * width + member.cluster] += member.weight;
        }
        let matrix = Tensor::from_vec(values, (neurons, width), like.device())?;
        let totals = totals(members, width);
        Ok(Self { matrix, totals })
    }

    /// Weighted means of the members' columns, 0 for a cluster without members.
    fn means(&self, members: &Tensor) -> Result<Tensor> {
        let inverse = |&total: &f64| if total > 0.0 { 1.0 / total } else { 0.0 };
        let inverse: Vec<f64> = self.totals.iter().map(inverse).collect();
        let inverse = Tensor::new(inverse, members.device())?;
        members.matmul(&self.matrix)?.broadcast_mul(&inverse)
    }
}

/// What `targets::weighted_means` computes.
pub(super) fn weighted_means(activations: &[Tensor], members: &[Member], n: usize) -> Result<Tensor> {
    let Some(first) = activations.first() else {
        candle_core::bail!("no models")
    };
    let (all, per_sample) = width(activations)?;
    let members = Members::new(members, all, n, first)?;
    let mut parts = Vec::new();
    for range in blocks(first.dim(0)?, per_sample) {
        let means = members
            .means(&rows(activations, range)?)?
            .to_dtype(first.dtype())?;
        let mut shape = first.dims().to_vec();
        (shape[0], shape[1]) = (range.1, n);
        let means = means.reshape((range.1, positions(first), n))?.transpose(1, 2)?;
        parts.push(means.contiguous()?.reshape(shape)?);
    }
    Tensor::cat(&parts, 0)
}

/// What `report::errors` computes.
pub(super) fn errors(
    activations: &[Tensor],
    members: &[Member],
    target: Option<&Tensor>,
    fused: &Tensor,
) -> Result<(f64, f64)> {
    let (all, per_sample) = width(activations)?;
    let matrix = Members::new(members, all, fused.dim(1)?, fused)?;
    let device = fused.device();
    let index = |of: fn(&Member) -> usize| -> Result<Tensor> {
        let index: Vec<u32> = members.iter().map(|member| of(member) as u32).collect();
        Tensor::new(index, device)
    };
    let (neurons, clusters) = (index(|member| member.neuron)?, index(|member| member.cluster)?);
    let weights: Vec<f64> = members.iter().map(|member| member.weight).collect();
    let (weights, totals) = (
        Tensor::new(weights, device)?,
        Tensor::new(matrix.totals.as_slice(), device)?,
    );
    let (mut grouping, mut approximation) = (0.0, 0.0);
    for range in blocks(fused.dim(0)?, per_sample) {
        let own = rows(activations, range)?;
        let target = match target {
            Some(target) => rows(std::slice::from_ref(target), range)?,
            None => matrix.means(&own)?,
        };
        let weighted = |difference: Tensor, weights: &Tensor| {
            let by_neuron = difference.sqr()?.sum(0)?;
            (by_neuron * weights)?.sum_all()?.to_scalar::<f64>()
        };
        let (own, near) = (own.index_select(&neurons, 1)?, target.index_select(&clusters, 1)?);
        grouping += weighted((near - own)?, &weights)?;
        let fused = rows(std::slice::from_ref(fused), range)?;
        approximation += weighted((target - fused)?, &totals)?;
    }
    Ok((grouping, approximation))
}

/// Whether all elements are numbers: `0 x` is no number for one that is not.
pub(super) fn is_finite(tensor: &Tensor) -> Result<bool> {
    let zero = (tensor * 0.0)?.sum_all()?.to_dtype(DType::F64)?;
    Ok(zero.to_scalar::<f64>()? == 0.0)
}

#[cfg(test)]
mod tests;
