//! What the layer-wise methods share: activations and scores of all models, matrices, and the replacement of weights.

use candle_core::{DType, Tensor};
use faer::Mat;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FusionError, Inputs};
use crate::arch::{Layer, Network};
use crate::importance::{Importance, Place, normalise, rescale};

/// How the scores of a method are prepared; every method that takes an importance has these two keys beside it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(super) struct Preparation {
    pub normalise: bool,
    pub rescale: Option<f64>,
}

/// Prepared scores, `[model][layer][neuron]`.
pub(super) fn scores(
    method: &'static str,
    inputs: &Inputs,
    importance: Importance,
    place: Place,
    preparation: Preparation,
) -> Result<Vec<Vec<Vec<f64>>>, FusionError> {
    let missing = |what| FusionError::Missing { method, what };
    let images = inputs.images.ok_or_else(|| missing("a fusion set"))?;
    let labels = match (importance, inputs.labels) {
        (Importance::Uniform, _) => &images.zeros_like()?,
        (_, Some(labels)) => labels,
        (_, None) => return Err(missing("the labels of the fusion set for its importance scores")),
    };
    let mut all = Vec::with_capacity(inputs.models.len());
    for (model, network) in inputs.models.iter().enumerate() {
        let mut scores = importance.scores(network, images, labels, place)?;
        for (layer, scores) in network.layers.iter().zip(&mut scores) {
            if scores.iter().any(|score| !score.is_finite()) {
                return Err(FusionError::NotFinite {
                    what: "importance scores",
                    layer: layer.plan.name.clone(),
                    model,
                });
            }
            if let Some(lowest) = preparation.rescale {
                rescale(scores, lowest);
            }
            if preparation.normalise {
                normalise(scores);
            }
        }
        all.push(scores);
    }
    Ok(all)
}

/// Pre-activations of every model and layer on the fusion set, `[model][layer]`, each `[m, n]` in f64 and finite.
pub(super) fn preactivations(
    method: &'static str,
    inputs: &Inputs,
) -> Result<Vec<Vec<Mat<f64>>>, FusionError> {
    let what = "a fusion set";
    let images = inputs.images.ok_or(FusionError::Missing { method, what })?;
    inputs
        .models
        .iter()
        .enumerate()
        .map(|(model, network)| {
            let tensors = network.preactivations(images)?;
            network
                .layers
                .iter()
                .zip(&tensors)
                .map(|(layer, tensor)| finite(tensor, layer, model))
                .collect()
        })
        .collect()
}

fn finite(tensor: &Tensor, layer: &Layer, model: usize) -> Result<Mat<f64>, FusionError> {
    let matrix = matrix(tensor)?;
    if (0..matrix.ncols()).any(|j| matrix.col(j).iter().any(|v| !v.is_finite())) {
        return Err(FusionError::NotFinite {
            what: "activations",
            layer: layer.plan.name.clone(),
            model,
        });
    }
    Ok(matrix)
}

/// An f32 tensor `[m, n]` as an f64 matrix.
pub(super) fn matrix(tensor: &Tensor) -> candle_core::Result<Mat<f64>> {
    let (m, n) = tensor.dims2()?;
    let values = tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    Ok(Mat::from_fn(m, n, |i, j| values[i * n + j]))
}

/// A layer's inputs, with a column of ones where it has a bias: `[m, d]` or `[m, d + 1]`.
pub(super) fn inputs_with_ones(input: &Tensor, bias: bool) -> candle_core::Result<Mat<f64>> {
    let z = matrix(input)?;
    let (m, d) = z.shape();
    Ok(Mat::from_fn(m, d + usize::from(bias), |i, j| {
        if j < d { z[(i, j)] } else { 1.0 }
    }))
}

/// Scales every column to unit norm. A dead neuron has no direction: it stays zero.
pub(super) fn unit_columns(a: &mut Mat<f64>) {
    for j in 0..a.ncols() {
        let norm = a.col(j).norm_l2().max(f64::MIN_POSITIVE);
        for value in a.col_mut(j).iter_mut() {
            *value /= norm;
        }
    }
}

/// A layer's weight `[out, in]` and bias `[out]` as f64.
pub(super) fn weights(layer: &Layer) -> candle_core::Result<(Mat<f64>, Option<Vec<f64>>)> {
    let bias = layer
        .bias
        .as_ref()
        .map(|bias| bias.to_dtype(DType::F64)?.to_vec1::<f64>())
        .transpose()?;
    Ok((matrix(&layer.weight)?, bias))
}

/// Replaces a layer's weight by `weight(i, j)` and its bias, where it has one, by `bias(i)`.
pub(super) fn replace(
    layer: &mut Layer,
    weight: impl Fn(usize, usize) -> f64,
    bias: impl Fn(usize) -> f64,
) -> candle_core::Result<()> {
    let [out, width] = layer.plan.weight;
    let device = layer.weight.device().clone();
    let values: Vec<f32> = (0..out)
        .flat_map(|i| (0..width).map(move |j| (i, j)))
        .map(|(i, j)| weight(i, j) as f32)
        .collect();
    layer.weight = Tensor::from_vec(values, (out, width), &device)?;
    if let Some(slot) = &mut layer.bias {
        *slot = Tensor::from_vec((0..out).map(|i| bias(i) as f32).collect(), out, &device)?;
    }
    Ok(())
}

/// Squared Euclidean distances between the columns of `a` and those of `b`, row-major, from one product:
/// `|a|^2 + |b|^2 - 2 a b`, in f64 because nearly equal numbers cancel.
pub(super) fn squared_distances(a: &Mat<f64>, b: &Mat<f64>) -> Result<Vec<f64>, crate::linalg::LinalgError> {
    let gram = crate::linalg::product(a.transpose(), b.as_ref())?;
    let square = |x: &Mat<f64>| {
        (0..x.ncols())
            .map(|j| x.col(j).squared_norm_l2())
            .collect::<Vec<_>>()
    };
    let (a2, b2) = (square(a), square(b));
    let mut distances = Vec::with_capacity(a2.len() * b2.len());
    for (i, a2) in a2.iter().enumerate() {
        distances.extend(
            b2.iter()
                .enumerate()
                .map(|(j, b2)| (a2 + b2 - 2.0 * gram[(i, j)]).max(0.0)),
        );
    }
    Ok(distances)
}

/// Checks that all networks have as many layers as the first.
pub(super) fn require_equal_depth(method: &'static str, models: &[Network]) -> Result<(), FusionError> {
    let depth = models.first().map_or(0, |network| network.layers.len());
    match models.iter().position(|network| network.layers.len() != depth) {
        None => Ok(()),
        Some(model) => Err(FusionError::Depth {
            method,
            first: depth,
            other: models[model].layers.len(),
            model,
        }),
    }
}
