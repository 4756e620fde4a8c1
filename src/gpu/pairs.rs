//! Costs of pairs of neurons, and the steps of k-means on a Gram matrix. All in f64, one thread per result.

use candle_core::{DType, Result, Shape, Tensor, bail};

use super::images::one;
use super::launch::{Kernel, Number, blocks, size, sizes};

/// `|a_i - b_j|^2`, `[n, k]`, from the products `[n, k]` of the columns of a and b and the squares of their norms, `[n]`
/// and `[k]`; with `unit` each column counts as scaled to norm 1. Twin: `squared_distances` of `fusion::layers`.
pub fn distances(products: &Tensor, a: &Tensor, b: &Tensor, unit: bool) -> Result<Tensor> {
    let (n, k) = products.dims2()?;
    let mut numbers = sizes([n, k])?;
    numbers.push(Number::U32(unit.into()));
    let kernel = Kernel {
        name: "distances",
        blocks: blocks(n * k),
        outputs: &[(DType::F64, n * k)],
        numbers: &numbers,
    };
    one(kernel.launch(&[products, a, b], &[Shape::from((n, k))])?)
}

/// HF linear's cost of every pair, `[n, n]`, from the Gram matrix of projections `[2 n, 2 n]`, the squared norms of what
/// lies outside `[2 n]` and the scores `[2 n]`. Twin: `pair_costs` of `fusion::hf_linear`.
pub fn pair_costs(gram: &Tensor, outside: &Tensor, scores: &Tensor) -> Result<Tensor> {
    let n = gram.dim(0)? / 2;
    let kernel = Kernel {
        name: "pair_costs",
        blocks: blocks(n * n),
        outputs: &[(DType::F64, n * n)],
        numbers: &[size(n)?],
    };
    one(kernel.launch(&[gram, outside, scores], &[Shape::from((n, n))])?)
}

/// What is clustered, on the device.
#[derive(Debug, Clone, Copy)]
pub struct Clusters<'a> {
    /// Inner products of the points, `[n, n]`.
    pub gram: &'a Tensor,
    /// Squared norm of each point's part outside of the centroids' space, `[n]`.
    pub outside: &'a Tensor,
}

/// The nearest centroid of each point, the first of equals, and the distance to it. Centroids are the means, weighted by
/// `shares`, of the members of `clusters`, each below `k`. Twin: `Points::assign` of `linalg::kmeans`.
pub fn nearest(
    points: &Clusters,
    clusters: &[u32],
    shares: &[f64],
    k: usize,
) -> Result<(Vec<u32>, Vec<f64>)> {
    let n = points.gram.dim(0)?;
    if clusters.len() != n || shares.len() != n || k == 0 {
        bail!(
            "{} clusters and {} shares of {n} points",
            clusters.len(),
            shares.len()
        );
    }
    let device = points.gram.device();
    let clusters = Tensor::from_slice(clusters, n, device)?;
    let shares = Tensor::from_slice(shares, n, device)?;
    let numbers = sizes([n, k])?;
    let products = Kernel {
        name: "centroid_products",
        blocks: blocks(k * n),
        outputs: &[(DType::F64, k * n)],
        numbers: &numbers,
    };
    let inner = one(products.launch(&[points.gram, &clusters, &shares], &[Shape::from((k, n))])?)?;
    let squares = Kernel {
        name: "centroid_squares",
        blocks: blocks(k),
        outputs: &[(DType::F64, k)],
        numbers: &numbers,
    };
    let squares = one(squares.launch(&[&inner, &clusters, &shares], &[Shape::from(k)])?)?;
    let nearest = Kernel {
        name: "nearest",
        blocks: blocks(n),
        outputs: &[(DType::U32, n), (DType::F64, n)],
        numbers: &numbers,
    };
    let inputs = [points.gram, points.outside, &inner, &squares];
    let mut results = nearest.launch(&inputs, &[n.into(), n.into()])?.into_iter();
    match (results.next(), results.next()) {
        (Some(cluster), Some(distance)) => Ok((cluster.to_vec1()?, distance.to_vec1()?)),
        _ => bail!("a kernel without results"),
    }
}
