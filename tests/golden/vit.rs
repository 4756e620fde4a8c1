//! The recorded run on CIFAR-10 with two small vision transformers: KF gradient's clusters and targets.

use candle_core::{DType, Device, Tensor};
use runner::arch::{Architecture, Network, Vit};
use runner::checkpoint::torch;
use runner::fusion::{KfGradient, weighted_means};
use runner::importance::{Importance, Place};
use runner::tick::unwatched;

use super::of_largest;
use crate::shared::{Golden, shared};

fn open() -> Option<(Golden, Vec<Network>, Tensor, Tensor)> {
    let shared = shared("KF gradient on ViTs")?;
    let golden = Golden::open(&shared, "cifar10-vit-full-2");
    let folder = shared.join("reference-models/full-dataset/ViTs/CIFAR-10/seeds-1-2");
    let architecture = Architecture::Vit(Vit {
        depth: 3,
        hidden: 96,
        mlp_hidden: 96,
        heads: 4,
        ..Vit::default()
    });
    let model = |k| {
        let file = torch::read(&folder.join(format!("model_{k}.pt"))).expect("a model");
        Network::from_state(&architecture, &[3, 32, 32], 10, &file.tensors, &Device::Cpu).expect("a ViT")
    };
    let (shape, images) = golden.f32("fusion.images");
    let labels: Vec<u32> = golden
        .indices("fusion.labels")
        .into_iter()
        .map(|l| l as u32)
        .collect();
    Some((
        golden,
        vec![model(0), model(1)],
        Tensor::from_vec(images, shape, &Device::Cpu).expect("images"),
        Tensor::new(labels, &Device::Cpu).expect("labels"),
    ))
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor
        .to_dtype(DType::F64)
        .and_then(|t| t.flatten_all()?.to_vec1())
        .expect("values")
}

#[test]
fn vit_kf_gradient_makes_the_recorded_clusters_and_targets() {
    let Some((golden, models, images, labels)) = open() else {
        return;
    };
    let outputs: Vec<Vec<Tensor>> = models
        .iter()
        .map(|network| network.level_outputs(&images).expect("levels"))
        .collect();
    for (importance, kind) in [
        (Importance::Uniform, "uniform"),
        (Importance::Conductance, "conductance"),
    ] {
        let scores: Vec<Vec<Vec<f64>>> = models
            .iter()
            .map(|network| {
                importance
                    .scores(network, &images, &labels, Place::Level, &mut unwatched)
                    .expect("scores")
            })
            .collect();
        let method = KfGradient {
            importance,
            normalize_rows: true,
            ..KfGradient::default()
        };
        for l in 0..3 {
            let activations: Vec<Tensor> = outputs.iter().map(|model| model[l].clone()).collect();
            let scores: Vec<Vec<f64>> = scores.iter().map(|model| model[l].clone()).collect();
            let found = method
                .cluster("level", 96, &activations, &scores, 0)
                .expect("clusters");
            let recorded = golden.indices(&format!("assignment.alf-{kind}.{l}"));
            let ours = found.clusters.concat();
            let same = ours.iter().zip(&recorded).filter(|(a, b)| a == b).count();
            assert_eq!(
                same,
                recorded.len(),
                "{kind}, level {l}: neurons in their recorded cluster"
            );
            if l == 2 {
                let clusters: Vec<Vec<usize>> = recorded.chunks(96).map(<[usize]>::to_vec).collect();
                let target = weighted_means(&activations, &clusters, &scores, 96).expect("means");
                let off = of_largest(&values(&target), &golden.f32(&format!("target.alf-{kind}.{l}")).1);
                assert!(off < 1e-4, "{kind}: targets differ by {off:e} of the largest");
            }
        }
        let mean = ((&outputs[0][3] + &outputs[1][3]).expect("sum") / 2.0).expect("mean");
        let off = of_largest(&values(&mean), &golden.f32(&format!("target.alf-{kind}.head")).1);
        assert!(
            off < 1e-4,
            "{kind}: the head's targets differ by {off:e} of the largest"
        );
    }
}
