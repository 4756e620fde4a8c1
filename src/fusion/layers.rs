//! What the layer-wise methods share: activations and scores of all models, the least squares of a layer, the walk
//! along the layers of the fused network, and the replacement of weights.

use candle_core::{DType, Tensor};
use faer::Mat;
use faer::reborrow::ReborrowMut;

use super::activations::{Buffer, blocks, layer_inputs, matrix, positions, side_by_side};
use super::compare::{Needs, require};
use super::on_device::{self, OnDevice};
use super::{FusionError, Inputs};
use crate::arch::{Network, Visitor};
use crate::gpu;
use crate::importance::{Importance, Place, Preparation};
use crate::linalg::{Cutoff, GRAM_LIMIT, LeastSquares, LinalgError, NormalEquations, Solution};
use crate::tick::{Tick, go_on};

/// Prepared scores, `[model][place][neuron]`.
pub(super) fn scores(
    method: &'static str,
    inputs: &Inputs,
    importance: Importance,
    place: Place,
    preparation: Preparation,
    on_tick: &mut Tick,
) -> Result<Vec<Vec<Vec<f64>>>, FusionError> {
    let missing = |what| FusionError::Missing { method, what };
    let images = inputs.images.ok_or_else(|| missing("a fusion set"))?;
    let labels = match (importance, inputs.labels) {
        (Importance::Uniform, _) => images,
        (_, Some(labels)) => labels,
        (_, None) => return Err(missing("the labels of the fusion set for its importance scores")),
    };
    let mut all = Vec::with_capacity(inputs.models.len());
    for (model, network) in inputs.models.iter().enumerate() {
        let mut scores = importance.scores(network, images, labels, place, on_tick)?;
        for (at, scores) in scores.iter_mut().enumerate() {
            if scores.iter().any(|score| !score.is_finite()) {
                let layer = match place {
                    Place::Layer => &network.layers()[at].name,
                    Place::Level => &network.levels()[at].name,
                };
                return Err(FusionError::NotFinite {
                    what: "importance scores",
                    layer: layer.clone(),
                    model,
                });
            }
            preparation.apply(scores);
        }
        all.push(scores);
    }
    Ok(all)
}

/// The models with every `BatchNorm` folded into its layer.
pub(super) fn folded(models: &[Network]) -> Result<Vec<Network>, FusionError> {
    Ok(models
        .iter()
        .map(Network::folded)
        .collect::<candle_core::Result<_>>()?)
}

/// Pre-activations of every model and layer on the fusion set, `[model][layer]`, each `[N, n, ...]` and finite.
pub(super) fn preactivations(
    method: &'static str,
    inputs: &Inputs,
    on_tick: &mut Tick,
) -> Result<Vec<Vec<Tensor>>, FusionError> {
    let what = "a fusion set";
    let images = inputs.images.ok_or(FusionError::Missing { method, what })?;
    let of = |(model, network): (usize, &Network)| {
        let tensors = preactivations_of(network, images, on_tick)?;
        for (layer, tensor) in network.layers().iter().zip(&tensors) {
            require_finite(tensor, &layer.name, model)?;
        }
        Ok(tensors)
    };
    inputs.models.iter().enumerate().map(of).collect()
}

/// Pre-activations of one network by layer.
pub(super) fn preactivations_of(
    network: &Network,
    images: &Tensor,
    on_tick: &mut Tick,
) -> Result<Vec<Tensor>, FusionError> {
    struct Collect<'a, 'b>(Vec<Tensor>, &'a mut Tick<'b>);
    impl Visitor for Collect<'_, '_> {
        fn layer(&mut self, layer: usize, input: &Tensor, network: &Network) -> candle_core::Result<Tensor> {
            if go_on(self.1).is_err() {
                candle_core::bail!("stopped")
            }
            let output = network.layer_output(layer, input)?;
            self.0.push(output.clone());
            Ok(output)
        }
    }
    let mut found = Collect(Vec::with_capacity(network.layers().len()), on_tick);
    network.forward_with(images, &mut found)?;
    Ok(found.0)
}

/// Refuses activations that are not finite.
pub(super) fn require_finite(tensor: &Tensor, layer: &str, model: usize) -> Result<(), FusionError> {
    let finite = if gpu::active(tensor) {
        on_device::is_finite(tensor)?
    } else {
        let values = tensor.flatten_all()?.to_vec1::<f32>()?;
        values.iter().all(|value| value.is_finite())
    };
    if finite {
        return Ok(());
    }
    Err(FusionError::NotFinite {
        what: "activations",
        layer: layer.to_string(),
        model,
    })
}

/// The least squares of a layer.
pub(super) struct Solved {
    pub solution: Solution,
    /// Inner products where they were computed, if that is a GPU.
    pub on_device: Option<OnDevice>,
}

/// `pinv(Z) A` of layer `l`, with Z its `input` in the fused network (and a column of ones for its bias) and A the
/// pre-activations of all models side by side.
pub(super) fn solve(
    network: &Network,
    l: usize,
    input: &Tensor,
    targets: &[Tensor],
    cutoff: Option<f64>,
    on_tick: &mut Tick,
) -> Result<Solved, FusionError> {
    let layer = &network.layers()[l];
    let linalg = |source| FusionError::Linalg {
        layer: layer.name.clone(),
        source,
    };
    let bias = network.bias(l).is_some();
    let samples = input.dim(0)?;
    let per_sample = targets.first().map_or(1, positions);
    let (m, d) = (samples * per_sample, layer.fan_in() + usize::from(bias));
    let cutoff = cutoff.map_or(Cutoff::Default, Cutoff::Relative);
    let on_host = |solution| Solved {
        solution,
        on_device: None,
    };
    if gpu::active(input) {
        if let Some((solution, on_device)) = on_device::solve(layer, bias, input, targets, cutoff)? {
            return Ok(Solved {
                solution,
                on_device: Some(on_device),
            });
        }
        gpu::note("singular value decomposition");
    }
    let (mut inputs, mut outputs) = (Buffer::default(), Buffer::default());
    if d > m || cutoff.relative(m, d) < GRAM_LIMIT {
        let all = (0, samples);
        let z = layer_inputs(&mut inputs, layer, bias, input, all)?;
        let a = side_by_side(&mut outputs, targets, all)?;
        let solver = LeastSquares::new(z.as_ref(), cutoff).map_err(linalg)?;
        return solver.solution(a.as_ref()).map(on_host).map_err(linalg);
    }
    let n = targets
        .iter()
        .map(|t| t.dim(1))
        .sum::<candle_core::Result<usize>>()?;
    let mut sums = NormalEquations::new(d, n);
    for range in blocks(samples, per_sample) {
        go_on(on_tick)?;
        let z = layer_inputs(&mut inputs, layer, bias, input, range)?;
        let a = side_by_side(&mut outputs, targets, range)?;
        sums.add(z.as_ref(), a.as_ref()).map_err(linalg)?;
    }
    sums.solve(cutoff).map(on_host).map_err(linalg)
}

/// Squared distances between the projections of the first `n` neurons and those of the others, row-major.
pub(super) fn projected_distances(solution: &Solution, n: usize) -> Vec<f64> {
    let gram = &solution.gram;
    let all = gram.nrows();
    let distance = |i: usize, j: usize| (gram[(i, i)] - 2.0 * gram[(i, j)] + gram[(j, j)]).max(0.0);
    (0..n)
        .flat_map(|i| (n..all).map(move |j| (i, j)))
        .map(|(i, j)| distance(i, j))
        .collect()
}

/// What is done at each layer of a walk: its index, its input, and the network whose layer it may replace.
pub(super) type Step<'a> = dyn FnMut(usize, &Tensor, &mut Network) -> Result<(), FusionError> + 'a;

/// Passes `images` through `network`, replacing its layers on the way: what comes after a layer sees the new one, or
/// that of `guide` where there is one.
pub(super) fn walk(
    network: &Network,
    images: &Tensor,
    guide: Option<&Network>,
    step: &mut Step,
) -> Result<Network, FusionError> {
    struct Walk<'a, 'b> {
        fused: Network,
        guide: Option<&'a Network>,
        step: &'a mut Step<'b>,
        error: Option<FusionError>,
    }
    impl Visitor for Walk<'_, '_> {
        fn layer(&mut self, layer: usize, input: &Tensor, _: &Network) -> candle_core::Result<Tensor> {
            match (self.step)(layer, input, &mut self.fused) {
                Ok(()) => self.guide.unwrap_or(&self.fused).layer_output(layer, input),
                Err(error) => {
                    self.error = Some(error);
                    candle_core::bail!("stopped")
                }
            }
        }
    }
    let mut walk = Walk {
        fused: network.clone(),
        guide,
        step,
        error: None,
    };
    let outcome = network.forward_with(images, &mut walk);
    match (walk.error, outcome) {
        (Some(error), _) => Err(error),
        (None, Err(error)) => Err(error.into()),
        (None, Ok(_)) => Ok(walk.fused),
    }
}

/// Activations `[N, n, ...]` with each neuron's scaled to unit norm. A dead neuron has no direction: it stays zero.
pub(super) fn unit_norm(tensor: &Tensor) -> candle_core::Result<Tensor> {
    if gpu::active(tensor) {
        return on_device::unit_norm(tensor);
    }
    let n = tensor.dim(1)?;
    let mut squares = vec![0.0; n];
    let mut buffer = Buffer::default();
    for range in blocks(tensor.dim(0)?, positions(tensor)) {
        let columns = side_by_side(&mut buffer, std::slice::from_ref(tensor), range)?;
        for (square, column) in squares.iter_mut().zip(columns.col_iter()) {
            *square += column.squared_norm_l2();
        }
    }
    let scales = squares.iter().map(|square: &f64| match square.sqrt() {
        0.0 => 0.0,
        norm => (1.0 / norm) as f32,
    });
    let mut shape = vec![1; tensor.rank()];
    shape[1] = n;
    let scales = Tensor::from_vec(scales.collect::<Vec<f32>>(), shape, tensor.device())?;
    tensor.broadcast_mul(&scales)
}

/// A layer's weight `[out, fan-in]` and bias `[out]` as f64.
pub(super) fn weights(network: &Network, l: usize) -> candle_core::Result<(Mat<f64>, Option<Vec<f64>>)> {
    let (weight, bias) = network.linear_of(l)?;
    let bias = bias.map(|bias| bias.to_dtype(DType::F64)?.to_vec1::<f64>());
    Ok((matrix(&weight)?, bias.transpose()?))
}

/// Replaces the weight of layer `l` by `weight(i, j)`, `[out, fan-in]`, and its bias, where it has one, by `bias(i)`.
pub(super) fn replace(
    network: &mut Network,
    l: usize,
    weight: impl Fn(usize, usize) -> f64,
    bias: impl Fn(usize) -> f64,
) -> candle_core::Result<()> {
    let layer = network.plan.layers[l].clone();
    let (out, width) = (layer.width(), layer.fan_in());
    let device = network.tensors[layer.weight].device().clone();
    let values: Vec<f32> = (0..out)
        .flat_map(|i| (0..width).map(move |j| (i, j)))
        .map(|(i, j)| weight(i, j) as f32)
        .collect();
    network.tensors[layer.weight] = Tensor::from_vec(values, layer.shape.as_slice(), &device)?;
    if let Some(at) = network.bias(l) {
        network.tensors[at] = Tensor::from_vec((0..out).map(|i| bias(i) as f32).collect(), out, &device)?;
    }
    Ok(())
}

/// Squared Euclidean distances between the neurons of `a` and those of `b`, row-major, from Gram matrices:
/// `|a|^2 + |b|^2 - 2 a b`, in f64 because nearly equal numbers cancel. `rectified` takes activations below 0 for 0,
/// `unit_norm` scales each neuron's to norm 1.
pub(super) fn squared_distances(
    a: &Tensor,
    b: &Tensor,
    unit_norm: bool,
    rectified: bool,
    on_tick: &mut Tick,
) -> Result<Vec<f64>, FusionError> {
    if gpu::active(a) {
        return Ok(on_device::squared_distances(a, b, unit_norm, rectified)?);
    }
    let (n_a, n_b) = (a.dim(1)?, b.dim(1)?);
    let mut products = Mat::<f64>::zeros(n_a, n_b);
    let mut squares = vec![0.0; n_a + n_b];
    let pair = [a.clone(), b.clone()];
    let mut buffer = Buffer::default();
    for range in blocks(a.dim(0)?, positions(a)) {
        go_on(on_tick)?;
        let mut both = side_by_side(&mut buffer, &pair, range)?;
        if rectified {
            for column in both.rb_mut().col_iter_mut() {
                column.iter_mut().for_each(|value| *value = value.max(0.0));
            }
        }
        let both = both.as_ref();
        let (left, right) = (both.subcols(0, n_a), both.subcols(n_a, n_b));
        crate::linalg::add_product(&mut products, left.transpose(), right).map_err(|source| {
            FusionError::Linalg {
                layer: "distances".to_string(),
                source,
            }
        })?;
        for (square, column) in squares.iter_mut().zip(both.col_iter()) {
            *square += column.squared_norm_l2();
        }
    }
    // A dead neuron has no direction: it stays zero.
    let scale = |square: f64| {
        if unit_norm {
            1.0 / square.sqrt().max(f64::MIN_POSITIVE)
        } else {
            1.0
        }
    };
    let (a2, b2) = squares.split_at(n_a);
    let mut distances = Vec::with_capacity(n_a * n_b);
    for (i, a2) in a2.iter().enumerate() {
        let s_a = scale(*a2);
        distances.extend(b2.iter().enumerate().map(|(j, b2)| {
            let s_b = scale(*b2);
            (a2 * s_a * s_a + b2 * s_b * s_b - 2.0 * products[(i, j)] * s_a * s_b).max(0.0)
        }));
    }
    Ok(distances)
}

/// Squared distances between the rows of two weight matrices.
pub(super) fn row_distances(a: &Mat<f64>, b: &Mat<f64>) -> Result<Vec<f64>, LinalgError> {
    let gram = crate::linalg::product(a.as_ref(), b.transpose())?;
    let square = |x: &Mat<f64>| x.row_iter().map(|row| row.squared_norm_l2()).collect::<Vec<_>>();
    let (a2, b2) = (square(a), square(b));
    Ok((0..a2.len())
        .flat_map(|i| (0..b2.len()).map(move |j| (i, j)))
        .map(|(i, j)| (a2[i] + b2[j] - 2.0 * gram[(i, j)]).max(0.0))
        .collect())
}

/// Refuses networks that layer-wise methods cannot follow, and such as differ in the number or kind of their layers.
/// Widths may differ.
pub(super) fn require_chains(method: &'static str, models: &[Network]) -> Result<(), FusionError> {
    let is_none = |network: &Network| !network.plan.chain || network.layers().is_empty();
    if let Some(model) = models.iter().position(is_none) {
        return Err(FusionError::NoChain {
            method,
            architecture: models[model].architecture.name(),
            model,
        });
    }
    require(method, Needs::Layers, models)
}
