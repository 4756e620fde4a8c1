//! KF gradient: the neurons of all models in clusters, each level of the fused network trained to reproduce them.
//!
//! Starting from a copy of model 0, level by level:
//!
//! 1. k-means over the level outputs of all models' neurons, as many clusters as the level has outputs, starting from
//!    one model's neurons. The target of cluster c is the importance-weighted mean of its members,
//!    `T_c = sum_{i in c} s_i a_i / sum_{i in c} s_i`. In the last level T is the mean of the models' logits, times
//!    head weights if asked for, or of their softmax (`kd-on-head`).
//! 2. The level alone is trained to map its inputs (the output of the fused levels before it) to T, on a random 80 % of
//!    the samples; it stops after `patience` epochs without a better loss on the rest. The last weights are kept.
//!
//! | paper | here | shape |
//! | --- | --- | --- |
//! | X | `inputs.images` | `[N, C, H, W]` |
//! | `a_i`, level outputs of all models | `activations` | `[N, n_k, ...]` each |
//! | T | `target` | `[N, n, ...]` |
//! | s, importance scores | `scores` | `[k][n_k]` |
//!
//! Cost per level: a product `O(m n^2)` for the clustering, then `epochs` times forward and backward of the level on
//! 80 % of X. Parameters reset or perturbed are those that are trained: running statistics of a `BatchNorm` stay.
//!
//! Clustering is in f64 on the Gram matrix, training in f32. Departures from the reference: `kd-on-head` trains the KL
//! divergence to log-softmax at the same temperature (there: to raw outputs, `compat = "reference"`), and with it the
//! loss is the divergence whatever the other options say (there it silently is the squared error without head weights
//! or weighted loss).

mod settings;

pub use settings::{KfGradient, Start};

use candle_core::{D, DType, Tensor};
use candle_nn::ops::softmax;
use faer::Mat;
use faer::reborrow::ReborrowMut;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use super::activations::matrix;
use super::activations::{Buffer, blocks, positions, side_by_side};
use super::compare::{Needs, require};
use super::layers::{require_finite, scores, squared_distances};
use super::level::{LevelTrainer, Loss};
use super::member::{totals, whole};
use super::method::no_such_model;
use super::on_device;
use super::report::{LayerReport, errors};
use super::targets::{LevelTarget, mean_logits, weighted_means};
use super::{Arity, Compat, Fused, FusionError, FusionMethod, Inputs, MethodInfo, head_weights};
use crate::arch::Network;
use crate::arch::Plan;
use crate::gpu;
use crate::importance::Importance;
use crate::importance::{Place, Preparation};
use crate::linalg::KMEANS_VERSION;
use crate::linalg::{Clustering, Points, Rule, add_gram, assign, farthest_first, kmeans};
use crate::seed;
use crate::tick::{Tick, go_on, unwatched};

/// Stop when the cost is not below that of 3 iterations ago.
const RULE: Rule = Rule {
    improvement: 0.0,
    steps: 3,
    weighted_repair: false,
};

/// The name in errors.
const METHOD: &str = "kf-gradient";

impl FusionMethod for KfGradient {
    const INFO: MethodInfo = MethodInfo {
        name: "kf-gradient",
        label: "KF gradient",
        summary: "k-means over all models' neurons, each level trained to reproduce the clusters",
        paper: "arXiv 2507.00037",
        arity: Arity::Any,
        version: 1,
        seconds: 5.0,
    };

    fn fuse(&self, inputs: &Inputs, on_tick: &mut Tick) -> Result<Fused, FusionError> {
        let missing = |what| FusionError::Missing { method: METHOD, what };
        require(METHOD, Needs::Levels, inputs.models)?;
        let images = inputs.images.ok_or(missing("a fusion set"))?;
        let mut network = self.start_network(inputs)?;
        let last = network.levels().len() - 1;
        if let Some((_, problem)) = self.missing_levels(last + 1).into_iter().next() {
            return Err(FusionError::Levels {
                method: METHOD,
                problem,
            });
        }
        let preparation = Preparation {
            normalise: self.normalize_importance,
            rescale: self.rescale_importance,
        };
        let scores = scores(
            METHOD,
            inputs,
            self.importance,
            Place::Level,
            preparation,
            on_tick,
        )?;
        let mut reports = Vec::with_capacity(last + 1);
        let mut x = images.clone();
        let mut outputs: Vec<Tensor> = inputs.models.iter().map(|_| images.clone()).collect();
        for l in 0..=last {
            let name = network.levels()[l].name.clone();
            for (model, (output, own)) in outputs.iter_mut().zip(inputs.models).enumerate() {
                *output = batched(own, l, output, on_tick)?;
                require_finite(output, &name, model)?;
            }
            if self.skip_levels.contains(&l) {
                x = batched(&network, l, &x, on_tick)?;
                continue;
            }
            let scores: Vec<Vec<f64>> = scores.iter().map(|model| model[l].clone()).collect();
            let width = network.levels()[l].width;
            let (mut found, head_loss) = if l == last {
                let (found, loss) = self.head(inputs, &outputs, &scores)?;
                (found, Some(loss))
            } else {
                (
                    self.clustered((&name, width), &outputs, &scores, inputs.seed, on_tick)?,
                    None,
                )
            };
            if head_loss.is_none() && self.align_skip_connections && found.target.dims() == x.dims() {
                align(&mut found, &x, &scores, &name, on_tick)?;
            }
            let loss = match head_loss {
                Some(loss) => loss,
                None => Loss::Squared(self.cluster_weights(&found.clusters, &scores, (width, images))?),
            };
            let mut rng = seed::generator(inputs.seed, METHOD, &[l as u64]);
            self.unsettle(&mut network, l, &mut rng)?;
            let head = self.head.as_ref().filter(|_| l == last);
            let trainer = LevelTrainer {
                settings: self.levels.get(l).or(head).unwrap_or(&self.level),
                batch_size: self.batch_size,
                patience: self.patience,
                cosine: self.cosine,
                loss,
            };
            let training = trainer.train(&mut network, l, &x, &found.target, &mut rng, on_tick)?;
            x = batched(&network, l, &x, on_tick)?;
            let (grouping_error, approximation_error) =
                self.errors(&outputs, &found, &scores, &x, l == last)?;
            reports.push(LayerReport {
                grouping_error,
                approximation_error,
                training: Some(training),
                ..LayerReport::new(&name, width, found.clusters, found.cost)
            });
        }
        Ok(Fused::Network {
            network,
            diagnostics: json!({ "levels": reports }),
        })
    }

    fn importance(&self) -> Option<Importance> {
        Some(self.importance)
    }

    fn is_random(&self) -> bool {
        true
    }

    fn needs_class_counts(&self) -> bool {
        self.head_weights
    }

    fn needs(&self) -> Needs {
        Needs::Levels
    }

    fn shared_versions(&self) -> Vec<(&'static str, u32)> {
        let score = self.importance;
        vec![(score.as_str(), score.version()), ("k-means", KMEANS_VERSION)]
    }

    fn steps_on_host(&self) -> &'static [&'static str] {
        match self.align_skip_connections {
            true => &["assignment", "k-means: start and repair"],
            false => &["k-means: start and repair"],
        }
    }

    fn mismatch(&self, first: &Plan, other: &Plan) -> Option<String> {
        let name = Self::INFO.name;
        if let Some(found) = Needs::Levels.difference(first, other) {
            return Some(found.message(name, Needs::Levels));
        }
        let mut pairs = first.levels.iter().zip(&other.levels);
        if self.start == Start::Second
            && let Some((a, b)) = pairs.find(|(a, b)| a.width != b.width)
        {
            return Some(format!(
                "`{name}` with `start = \"second\"` needs a second model as wide as the first, but level `{}` has {} \
                 neurons in `[model]` and {} in `[other-models]`",
                a.name, a.width, b.width
            ));
        }
        (self.start_model > 0 && first != other).then(|| {
            format!(
                "`{name}` can start only from a model of model 0's architecture, which `start-model` is not"
            )
        })
    }

    fn contradictions(&self, models: usize) -> Vec<(&'static str, String)> {
        let idle = self.idle_parameters();
        no_such_model("start-model", self.start_model, models)
            .chain(idle)
            .collect()
    }

    fn obstacles(&self, plan: &Plan) -> Vec<(Option<&'static str>, String)> {
        let found = self.missing_levels(plan.levels.len()).into_iter();
        found.map(|(key, message)| (Some(key), message)).collect()
    }
}

impl KfGradient {
    /// Theorem 1's errors of a level. In the last one the target is what was trained for, not the mean by importance.
    fn errors(
        &self,
        outputs: &[Tensor],
        found: &LevelTarget,
        scores: &[Vec<f64>],
        fused: &Tensor,
        last: bool,
    ) -> candle_core::Result<(f64, f64)> {
        let members = whole(&found.clusters, scores);
        if !last {
            return errors(outputs, &members, None, fused);
        }
        let seen = |logits: &Tensor| match self.kd_on_head {
            true => softmax(&(logits / self.kd_temperature)?, D::Minus1),
            false => Ok(logits.clone()),
        };
        let outputs = outputs
            .iter()
            .map(seen)
            .collect::<candle_core::Result<Vec<_>>>()?;
        errors(&outputs, &members, Some(&found.target), &seen(fused)?)
    }

    fn start_network(&self, inputs: &Inputs) -> Result<Network, FusionError> {
        let what = "the model named by `start-model`, of model 0's architecture";
        let models = inputs.models;
        let start = models
            .get(self.start_model)
            .filter(|start| start.plan == models[0].plan);
        start
            .cloned()
            .ok_or(FusionError::Missing { method: METHOD, what })
    }

    /// Clusters the level outputs of all models, `activations[k] [N, n_k, ...]`, into `width` clusters; `seed` is that
    /// of the starts after the first.
    pub fn cluster(
        &self,
        level: &str,
        width: usize,
        activations: &[Tensor],
        scores: &[Vec<f64>],
        seed: u64,
    ) -> Result<LevelTarget, FusionError> {
        self.clustered((level, width), activations, scores, seed, &mut unwatched)
    }

    fn clustered(
        &self,
        (level, width): (&str, usize),
        activations: &[Tensor],
        scores: &[Vec<f64>],
        seed: u64,
        on_tick: &mut Tick,
    ) -> Result<LevelTarget, FusionError> {
        let widths: Vec<usize> = scores.iter().map(Vec::len).collect();
        let first = match self.start {
            Start::First => 0,
            Start::Second if widths.get(1) == Some(&width) => widths[0],
            Start::Second => {
                return Err(FusionError::Start {
                    level: level.to_string(),
                    width,
                    found: widths.get(1).copied(),
                });
            }
        };
        let n: usize = widths.iter().sum();
        let on_device = match activations.first() {
            Some(any) if gpu::active(any) => Some(on_device::gram(activations, self.normalize_rows)?),
            _ => None,
        };
        let gram = match &on_device {
            Some(gram) => matrix(gram)?,
            None => self.gram(level, &widths, activations, on_tick)?,
        };
        let weights: Vec<f64> = scores.concat();
        let outside = vec![0.0; n];
        let nothing = match &on_device {
            Some(gram) => Some(Tensor::new(outside.as_slice(), gram.device())?),
            None => None,
        };
        let device = on_device.as_ref().zip(nothing.as_ref());
        let points = Points {
            gram: &gram,
            outside: &outside,
            weights: &weights,
            device: device.map(|(gram, outside)| gpu::Clusters { gram, outside }),
        };
        let failed = |source| FusionError::Linalg {
            layer: level.to_string(),
            source,
        };
        let mut rng = seed::generator(seed, "kf-gradient starts", &[n as u64, width as u64]);
        let own: Vec<usize> = (first..first + width).collect();
        let mut found: Clustering = kmeans(&points, &own, RULE).map_err(failed)?;
        for _ in 1..self.kmeans_runs {
            go_on(on_tick)?;
            let start = farthest_first(&points, width, rng.random_range(0..n));
            let next = kmeans(&points, &start, RULE).map_err(failed)?;
            if next.cost < found.cost {
                found = next;
            }
        }
        let clusters = found.groups(&widths);
        Ok(LevelTarget {
            target: weighted_means(activations, &clusters, scores, width)?,
            clusters,
            cost: found.cost,
        })
    }

    /// Inner products of all models' neurons, rows scaled to unit norm for each model where that is asked for.
    fn gram(
        &self,
        level: &str,
        widths: &[usize],
        activations: &[Tensor],
        on_tick: &mut Tick,
    ) -> Result<Mat<f64>, FusionError> {
        let n: usize = widths.iter().sum();
        let mut gram = Mat::<f64>::zeros(n, n);
        let Some(any) = activations.first() else {
            return Ok(gram);
        };
        let mut buffer = Buffer::default();
        for range in blocks(any.dim(0)?, positions(any)) {
            go_on(on_tick)?;
            let mut points = side_by_side(&mut buffer, activations, range)?;
            if self.normalize_rows {
                let mut at = 0;
                for &width in widths {
                    let mut own = points.rb_mut().subcols_mut(at, width);
                    for i in 0..own.nrows() {
                        let norm = own.as_ref().row(i).norm_l2().max(f64::MIN_POSITIVE);
                        own.as_mut()
                            .row_mut(i)
                            .iter_mut()
                            .for_each(|value| *value /= norm);
                    }
                    at += width;
                }
            }
            add_gram(&mut gram, points.as_ref()).map_err(|source| FusionError::Linalg {
                layer: level.to_string(),
                source,
            })?;
        }
        for column in 0..n {
            for row in 0..column {
                gram[(row, column)] = gram[(column, row)];
            }
        }
        Ok(gram)
    }

    /// Target and loss of the last level, from the models' logits.
    fn head(
        &self,
        inputs: &Inputs,
        logits: &[Tensor],
        scores: &[Vec<f64>],
    ) -> Result<(LevelTarget, Loss), FusionError> {
        let weights = match (self.head_weights, inputs.class_counts) {
            (false, _) => None,
            (true, Some(counts)) => Some(head_weights(counts)),
            (true, None) => {
                let what = "the training indices of every model for its head weights";
                return Err(FusionError::Missing { method: METHOD, what });
            }
        };
        let softened = self.kd_on_head.then_some(self.kd_temperature);
        let target = mean_logits(&logits.iter().collect::<Vec<_>>(), weights.as_deref(), softened)?;
        let clusters: Vec<Vec<usize>> = scores.iter().map(|scores| (0..scores.len()).collect()).collect();
        let loss = match (self.kd_on_head, self.compat) {
            (true, Compat::None) => Loss::Divergence {
                temperature: self.kd_temperature,
            },
            (true, Compat::Reference) if self.weighted_loss && self.head_weights => Loss::RawDivergence,
            (false, _) if self.head_weights => {
                Loss::Squared(self.cluster_weights(&clusters, scores, (target.dim(1)?, &target))?)
            }
            // As in the reference: without head weights the head's loss is never weighted.
            _ => Loss::Squared(None),
        };
        Ok((
            LevelTarget {
                clusters,
                target,
                cost: 0.0,
            },
            loss,
        ))
    }

    /// Total importance of each cluster, for the weighted loss.
    fn cluster_weights(
        &self,
        clusters: &[Vec<usize>],
        scores: &[Vec<f64>],
        (width, like): (usize, &Tensor),
    ) -> candle_core::Result<Option<Tensor>> {
        if !self.weighted_loss {
            return Ok(None);
        }
        let total: Vec<f32> = totals(&whole(clusters, scores), width)
            .iter()
            .map(|&s| s as f32)
            .collect();
        Tensor::new(total, like.device()).map(Some)
    }

    /// Reset or perturbation of a level's parameters.
    fn unsettle(&self, network: &mut Network, l: usize, rng: &mut ChaCha8Rng) -> candle_core::Result<()> {
        let perturbation = self.perturbations.get(l).copied().unwrap_or(self.perturbation);
        let share = if self.reset_levels.contains(&l) {
            1.0
        } else {
            perturbation
        };
        if share <= 0.0 {
            return Ok(());
        }
        let plan = network.plan.clone();
        let level = &plan.levels[l];
        for at in level.parameters.clone() {
            let parameter = &plan.parameters[at];
            let old = &network.tensors[at];
            let fresh = parameter.init.sample(&parameter.shape, rng, old.device())?;
            let reached = self.compat == Compat::None || is_direct(&parameter.name, &level.prefix);
            if reached && parameter.trainable && fresh.dtype() == DType::F32 {
                network.tensors[at] = ((old * (1.0 - share))? + (fresh * share)?)?;
            }
        }
        Ok(())
    }
}

/// Whether a parameter is one that the reference's reset reaches: weight or bias of a module right below the level.
fn is_direct(name: &str, prefix: &str) -> bool {
    let own = name.strip_prefix(prefix).unwrap_or(name);
    matches!(own.split_once('.'), Some((_, "weight" | "bias")))
}

/// Renames clusters so that cluster i is the one that fits neuron i of the level's input: least sum of
/// `importance * ||x_i - t_j||`.
fn align(
    found: &mut LevelTarget,
    x: &Tensor,
    scores: &[Vec<f64>],
    level: &str,
    on_tick: &mut Tick,
) -> Result<(), FusionError> {
    let n = found.target.dim(1)?;
    let importance = totals(&whole(&found.clusters, scores), n);
    let squared = squared_distances(x, &found.target, false, false, on_tick)?;
    let costs: Vec<f64> = squared
        .iter()
        .enumerate()
        .map(|(at, d)| d.sqrt() * importance[at % n])
        .collect();
    let order = assign(&costs, n, on_tick).map_err(|source| FusionError::Linalg {
        layer: level.to_string(),
        source,
    })?;
    let mut place = vec![0; n];
    for (i, &c) in order.iter().enumerate() {
        place[c] = i;
    }
    let index: Vec<u32> = order.iter().map(|&c| c as u32).collect();
    found.target = found.target.index_select(&Tensor::new(index, x.device())?, 1)?;
    for cluster in found.clusters.iter_mut().flatten() {
        *cluster = place[*cluster];
    }
    Ok(())
}

/// Output of a level, in batches: passes through attention or wide convolutions need much more than their outputs.
fn batched(network: &Network, l: usize, x: &Tensor, on_tick: &mut Tick) -> Result<Tensor, FusionError> {
    const BATCH: usize = 256;
    let (samples, batch) = (x.dim(0)?, gpu::chunk(BATCH));
    if samples <= batch {
        go_on(on_tick)?;
        return Ok(network.level_output(l, x)?);
    }
    let mut parts = Vec::with_capacity(samples.div_ceil(batch));
    for first in (0..samples).step_by(batch) {
        go_on(on_tick)?;
        let part = x.narrow(0, first, batch.min(samples - first))?;
        parts.push(network.level_output(l, &part)?);
    }
    Ok(Tensor::cat(&parts, 0)?)
}
