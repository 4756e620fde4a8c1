//! The recorded run on CIFAR-10 with two `VGG11_half`: layer-wise methods, importances, KF gradient's targets.
//!
//! Many neurons are dead there, so optimal assignments need not be unique: objectives are compared. Later layers are
//! compared with the recorded fused weights of the earlier ones before them.

use candle_core::{DType, Device, Tensor};
use runner::arch::{Architecture, Network, Vgg, VggKind};
use runner::checkpoint::torch;
use runner::fusion::{
    Compat, GitRebasin, GroundCost, HfLinear, Inputs, KfGradient, OtFusion, Start, weighted_means,
};
use runner::importance::{Importance, Place};
use runner::tick::unwatched;

use super::{of_largest, relative_l2};
use crate::shared::{Golden, shared};

const KINDS: [(Importance, &str); 2] = [
    (Importance::Uniform, "uniform"),
    (Importance::Conductance, "conductance"),
];

struct Run {
    golden: Golden,
    models: Vec<Network>,
    images: Tensor,
    labels: Tensor,
}

impl Run {
    fn open(what: &str) -> Option<Self> {
        let shared = shared(what)?;
        let golden = Golden::open(&shared, "cifar10-vgg11half-non-iid-split-2");
        let folder = shared.join("reference-models/non-iid/VGGs/CIFAR-10/split-by-2/seed1");
        let architecture = Architecture::Vgg(VggKind::Vgg11Half, Vgg::default());
        let model = |k| {
            let file = torch::read(&folder.join(format!("model_{k}.pt"))).expect("a model");
            Network::from_state(&architecture, &[3, 32, 32], 10, &file.tensors, &Device::Cpu).expect("a VGG")
        };
        let (shape, images) = golden.f32("fusion.images");
        let labels: Vec<u32> = golden
            .indices("fusion.labels")
            .into_iter()
            .map(|l| l as u32)
            .collect();
        Some(Self {
            models: vec![model(0), model(1)],
            images: Tensor::from_vec(images, shape, &Device::Cpu).expect("images"),
            labels: Tensor::new(labels, &Device::Cpu).expect("labels"),
            golden,
        })
    }

    fn inputs(&self) -> Inputs<'_> {
        Inputs {
            models: &self.models,
            images: Some(&self.images),
            labels: Some(&self.labels),
            seed: 0,
            class_counts: None,
        }
    }

    fn recorded_network(&self, run: &str) -> Network {
        let mut network = self.models[0].clone();
        let names: Vec<String> = network.plan.parameters.iter().map(|p| p.name.clone()).collect();
        for (tensor, name) in network.tensors.iter_mut().zip(names) {
            let (shape, values) = self.golden.f32(&format!("fused.{run}.{name}"));
            *tensor = Tensor::from_vec(values, shape, &Device::Cpu).expect("tensor");
        }
        network
    }

    /// Of the recorded cost matrix, the objective of the recorded assignment and of ours.
    fn objectives(&self, name: &str, ours: &[usize]) -> (f64, f64) {
        let costs = self.golden.f32(&format!("cost.{name}")).1;
        let recorded = self.golden.indices(&format!("assignment.{name}"));
        let n = ours.len();
        let of = |assignment: &[usize]| {
            let pairs = assignment.iter().enumerate();
            pairs.map(|(i, &j)| f64::from(costs[i * n + j])).sum()
        };
        (of(&recorded), of(ours))
    }
}

/// Costs are distances times scores, or follow plans whose marginals are scores: the scores' tolerance, the one
/// `vgg_conductances_are_the_recorded_ones` asserts, comes on top of the distances'.
fn score_tolerance(importance: Importance) -> f64 {
    if importance == Importance::Uniform {
        0.0
    } else {
        1e-4
    }
}

fn inverse(clusters: &[usize]) -> Vec<usize> {
    let mut inverse = vec![0; clusters.len()];
    for (j, &i) in clusters.iter().enumerate() {
        inverse[i] = j;
    }
    inverse
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().and_then(|t| t.to_vec1()).expect("values")
}

#[test]
fn vgg_logits_are_the_recorded_ones() {
    let Some(run) = Run::open("logits of VGGs") else {
        return;
    };
    for (k, network) in run.models.iter().enumerate() {
        let ours = values(&network.forward(&run.images).expect("logits"));
        let recorded = run.golden.f32(&format!("preactivations.{k}.8")).1;
        let off = relative_l2(&ours, &recorded);
        assert!(off < 1e-5, "model {k}: logits differ by {off:e}");
    }
}

#[test]
fn vgg_hf_linear_is_the_recorded_one() {
    let Some(run) = Run::open("HF linear on VGGs") else {
        return;
    };
    let recorded = run.recorded_network("hf-uniform");
    let method = HfLinear::default();
    let (network, layers) = method.fuse_guided(&run.inputs(), Some(&recorded)).expect("fused");
    for (l, layer) in layers.iter().enumerate() {
        let name = format!("hf-uniform.{l}");
        let off = of_largest(&layer.costs, &run.golden.f32(&format!("cost.{name}")).1);
        let limit = if l == 0 { 2e-4 } else { 3e-5 };
        assert!(off < limit, "{name}: costs differ by {off:e} of the largest");
        let expected = [12, 0, 390, 0, 950, 0, 1576, 1485, 0][l];
        assert!(
            expected == 0 || layer.rank == Some(expected),
            "{name}: rank {:?}",
            layer.rank
        );
        if l == 8 {
            continue;
        }
        // In layer 5 two pairs of dead neurons can change partners without a change of the cost's first 13 digits.
        let (recorded_cost, cost) = run.objectives(&name, &inverse(&layer.clusters[1]));
        assert!(
            (cost / recorded_cost - 1.0).abs() < 1e-6,
            "{name}: {cost} instead of {recorded_cost}"
        );
        if l != 5 {
            let assignment = run.golden.indices(&format!("assignment.{name}"));
            assert_eq!(inverse(&layer.clusters[1]), assignment, "{name}");
        }
        let at = network.layers()[l].weight;
        let off = relative_l2(&values(&network.tensors[at]), &values(&recorded.tensors[at]));
        assert!(off < 1e-2, "{name}: weights differ by {off:e}");
    }
    // What the fused layers compute from the recorded network's activations.
    let inputs = recorded.preactivations(&run.images).expect("activations");
    let mut seen = Seen {
        fused: &network,
        outputs: Vec::new(),
    };
    recorded.forward_with(&run.images, &mut seen).expect("pass");
    for (l, (ours, recorded)) in seen.outputs.iter().zip(&inputs).enumerate() {
        let off = relative_l2(&values(ours), &values(recorded));
        assert!(off < 1e-4, "layer {l}: pre-activations differ by {off:e}");
    }
}

/// Notes what another network's layers make of each layer's input.
struct Seen<'a> {
    fused: &'a Network,
    outputs: Vec<Tensor>,
}

impl runner::arch::Visitor for Seen<'_> {
    fn layer(&mut self, layer: usize, input: &Tensor, network: &Network) -> candle_core::Result<Tensor> {
        self.outputs.push(self.fused.layer_output(layer, input)?);
        network.layer_output(layer, input)
    }
}

#[test]
fn vgg_git_rebasin_and_otfusion_cost_what_is_recorded() {
    let Some(run) = Run::open("Git Re-Basin and OTFusion on VGGs") else {
        return;
    };
    for (importance, kind) in KINDS {
        let method = GitRebasin {
            importance,
            ..GitRebasin::default()
        };
        let (_, layers) = method.fuse_layers(&run.inputs()).expect("fused");
        for (l, layer) in layers.iter().enumerate().take(8) {
            let name = format!("git-rebasin-{kind}.{l}");
            let off = of_largest(&layer.costs, &run.golden.f32(&format!("cost.{name}")).1);
            let limit = if l == 0 { 2e-4 } else { 3e-5 } + score_tolerance(importance);
            assert!(off < limit, "{name}: costs differ by {off:e} of the largest");
            let (recorded, ours) = run.objectives(&name, &inverse(&layer.clusters[1]));
            assert!(
                ours <= recorded * (1.0 + 1e-6),
                "{name}: {ours} instead of {recorded}"
            );
        }
        for (ground, mode) in [(GroundCost::Acts, "acts"), (GroundCost::Weights, "wts")] {
            let method = OtFusion {
                ground,
                importance,
                compat: Compat::Reference,
                ..OtFusion::default()
            };
            let (network, transports) = method.fuse_layers(&run.inputs()).expect("fused");
            let mut compared = 0;
            for (i, ours) in transports.iter().enumerate() {
                let name = format!("otf-{mode}-{kind}.{i}");
                let off = of_largest(&ours.costs, &run.golden.f32(&format!("cost.{name}")).1);
                let limit = if i == 0 { 2e-4 } else { 3e-5 } + score_tolerance(importance);
                assert!(off < limit, "{name}: costs differ by {off:e} of the largest");
                let plan = run.golden.f32(&format!("transport.{name}")).1;
                let objective: f64 = plan.iter().zip(&ours.costs).map(|(&t, c)| f64::from(t) * c).sum();
                let off = (ours.objective / objective - 1.0).abs();
                assert!(
                    off < 1e-6,
                    "{name}: objective {} instead of {objective}",
                    ours.objective
                );
                compared += 1;
                // Weights are compared after they were aligned: another optimal plan makes other costs from here on.
                // The scores' own tolerance is that of the mass, 1 in all, too.
                let moved: f64 = ours
                    .plan
                    .iter()
                    .zip(&plan)
                    .map(|(a, &b)| (a - f64::from(b)).abs())
                    .sum();
                if mode == "wts" && moved > 1e-4 {
                    break;
                }
            }
            let least = if mode == "wts" { 5 } else { 9 };
            assert!(
                compared >= least,
                "otf-{mode}-{kind}: only {compared} layers could be compared"
            );
            if (mode, kind) == ("acts", "uniform") {
                let recorded = run.recorded_network("otf-acts-uniform");
                for (at, parameter) in network.plan.parameters.iter().enumerate() {
                    let off = relative_l2(&values(&network.tensors[at]), &values(&recorded.tensors[at]));
                    assert!(off < 1e-5, "{}: differs by {off:e}", parameter.name);
                }
            }
        }
    }
}

#[test]
fn vgg_conductances_are_the_recorded_ones() {
    let Some(run) = Run::open("conductances of VGGs") else {
        return;
    };
    for (k, network) in run.models.iter().enumerate() {
        let scores =
            Importance::Conductance.scores(network, &run.images, &run.labels, Place::Layer, &mut unwatched);
        for (l, ours) in scores.expect("scores").iter().enumerate() {
            let off = of_largest(
                ours,
                &run.golden.f32(&format!("importance.layer.conductance.{k}.{l}")).1,
            );
            assert!(
                off < 1e-4,
                "model {k}, layer {l}: scores differ by {off:e} of the largest"
            );
        }
    }
}

#[test]
fn vgg_kf_gradient_makes_the_recorded_targets() {
    let Some(run) = Run::open("targets of KF gradient on VGGs") else {
        return;
    };
    let outputs: Vec<Vec<Tensor>> = run
        .models
        .iter()
        .map(|network| network.level_outputs(&run.images).expect("levels"))
        .collect();
    for (importance, kind) in KINDS {
        let scores: Vec<Vec<Vec<f64>>> = run
            .models
            .iter()
            .map(|network| {
                importance
                    .scores(network, &run.images, &run.labels, Place::Level, &mut unwatched)
                    .expect("scores")
            })
            .collect();
        for l in 0..8 {
            let activations: Vec<Tensor> = outputs.iter().map(|model| model[l].clone()).collect();
            let scores: Vec<Vec<f64>> = scores.iter().map(|model| model[l].clone()).collect();
            let width = scores[0].len();
            let recorded = run.golden.indices(&format!("assignment.alf-{kind}.{l}"));
            let clusters: Vec<Vec<usize>> = recorded.chunks(width).map(<[usize]>::to_vec).collect();
            if l >= 6 {
                let ours = weighted_means(&activations, &clusters, &scores, width).expect("means");
                let ours: Vec<f64> = ours
                    .to_dtype(DType::F64)
                    .and_then(|t| t.flatten_all()?.to_vec1())
                    .expect("values");
                let off = of_largest(&ours, &run.golden.f32(&format!("target.alf-{kind}.{l}")).1);
                assert!(
                    off < 1e-5,
                    "{kind}, level {l}: targets differ by {off:e} of the largest"
                );
            }
            let method = KfGradient {
                importance,
                start: Start::Second,
                ..KfGradient::default()
            };
            let found = method
                .cluster("level", width, &activations, &scores, 0)
                .expect("clusters");
            let same = found
                .clusters
                .concat()
                .iter()
                .zip(&recorded)
                .filter(|(a, b)| a == b)
                .count();
            let (ours, theirs) = (cost(&activations, &found.clusters, &scores, &found.target), {
                let target = weighted_means(&activations, &clusters, &scores, width).expect("means");
                cost(&activations, &clusters, &scores, &target)
            });
            // The README of the golden data knows an f64 clustering at 2 % more cost in level 6, conductance.
            assert!(
                ours <= theirs * 1.025,
                "{kind}, level {l}: cost {ours} instead of {theirs}, {same} of {} neurons as recorded",
                recorded.len()
            );
        }
    }
}

/// Sum of `score * distance to the own cluster's target`.
fn cost(activations: &[Tensor], clusters: &[Vec<usize>], scores: &[Vec<f64>], target: &Tensor) -> f64 {
    let neurons = |t: &Tensor| {
        let n = t.dim(1).expect("neurons");
        let rows = t
            .transpose(0, 1)
            .and_then(|t| t.reshape((n, ())))
            .and_then(|t| t.to_dtype(DType::F64));
        rows.expect("rows")
    };
    let target = neurons(target);
    let mut total = 0.0;
    for ((a, clusters), scores) in activations.iter().zip(clusters).zip(scores) {
        let index: Vec<u32> = clusters.iter().map(|&c| c as u32).collect();
        let own = target
            .index_select(&Tensor::new(index, &Device::Cpu).expect("index"), 0)
            .expect("targets");
        let distances = (neurons(a) - own).and_then(|d| d.sqr()?.sum(1)?.sqrt()?.to_vec1::<f64>());
        total += distances
            .expect("distances")
            .iter()
            .zip(scores)
            .map(|(d, s)| d * s)
            .sum::<f64>();
    }
    total
}
