//! Golden values of importance scores and fusion methods: the reference's MNIST MLPs (see `shared/golden/README.md`).
//!
//! Everything runs under `compat = "reference"` and the recorded settings.

use std::path::Path;

use candle_core::{Device, Tensor};

use runner::arch::{Architecture, Mlp, Network};
use runner::checkpoint::torch;
use runner::data::{self, DataSet};
use runner::fusion::Inputs;
use runner::importance::Importance;
use runner::metrics::evaluate_logits;

use crate::shared::{Golden, shared};

pub mod architectures;
mod committed;
mod infer;
mod linear;
mod random;
mod scores;
mod transports;
mod vgg;
mod vit;

const KINDS: [(Importance, &str); 4] = [
    (Importance::Uniform, "uniform"),
    (Importance::Conductance, "conductance"),
    (Importance::Deeplift, "deeplift"),
    (Importance::FeatureAblation, "featureablation"),
];

/// The recorded run over `parts` models: fusion set, models, test set, recorded values.
struct Run {
    golden: Golden,
    models: Vec<Network>,
    images: Tensor,
    labels: Tensor,
    counts: Vec<Vec<u64>>,
    test: (Tensor, Vec<u32>),
}

impl Run {
    /// The run, or nothing where there is no `shared` folder.
    fn open(parts: usize, what: &str) -> Option<Self> {
        let shared = shared(what)?;
        let golden = Golden::open(&shared, &format!("mnist-mlp-non-iid-split-{parts}"));
        let set = data::load("mnist", Some(&shared.join("data")), None).expect("MNIST");
        let files = (0..parts).map(|k| model(&shared, parts, k, &set));
        let (models, counts) = files.unzip();
        let (shape, images) = golden.f32("fusion.images");
        let labels: Vec<u32> = golden
            .indices("fusion.labels")
            .into_iter()
            .map(|l| l as u32)
            .collect();
        Some(Self {
            models,
            counts,
            images: Tensor::from_vec(images, shape, &Device::Cpu).expect("images"),
            labels: Tensor::new(labels, &Device::Cpu).expect("labels"),
            test: (
                set.test.images(None, &Device::Cpu).expect("images"),
                set.test.labels().to_vec(),
            ),
            golden,
        })
    }

    fn inputs(&self, seed: u64) -> Inputs<'_> {
        Inputs {
            models: &self.models,
            images: Some(&self.images),
            labels: Some(&self.labels),
            seed,
            class_counts: Some(&self.counts),
        }
    }

    fn accuracy(&self, network: &Network) -> f64 {
        let logits = network
            .forward(&self.test.0)
            .and_then(|l| l.flatten_all())
            .expect("logits");
        let logits: Vec<f32> = logits.to_vec1().expect("logits");
        evaluate_logits(&logits, &self.test.1, 10)
            .expect("metrics")
            .accuracy
    }

    fn recorded_accuracy(&self, run: &str) -> f64 {
        self.golden.json["results"][run]["accuracy"]
            .as_f64()
            .expect("recorded accuracy")
    }

    /// Relative L2 distance of a fused network to the recorded one, its largest over the tensors.
    fn distance(&self, network: &Network, run: &str) -> f64 {
        let of = |(name, tensor): &(String, Tensor)| {
            let recorded = self.golden.f32(&format!("fused.{run}.{name}")).1;
            let ours: Vec<f32> = tensor.flatten_all().and_then(|t| t.to_vec1()).expect("values");
            relative_l2(&ours, &recorded)
        };
        network.state().iter().map(of).fold(0.0, f64::max)
    }
}

fn model(shared: &Path, parts: usize, k: usize, set: &DataSet) -> (Network, Vec<u64>) {
    let folder = shared.join(format!(
        "reference-models/non-iid/MLPs/MNIST/split-by-{parts}/seed1"
    ));
    let file = torch::read(&folder.join(format!("model_{k}.pt"))).expect("a model of the reference");
    let architecture = Architecture::Mlp(Mlp::default());
    let network =
        Network::from_state(&architecture, &set.shape, 10, &file.tensors, &Device::Cpu).expect("network");
    let mut counts = vec![0; 10];
    for name in ["train_indices", "val_indices"] {
        if let Some(torch::Attribute::Indices(indices)) = file.attributes.get(name) {
            for &index in indices {
                counts[set.train.labels()[index as usize] as usize] += 1;
            }
        }
    }
    (network, counts)
}

fn relative_l2(ours: &[f32], recorded: &[f32]) -> f64 {
    assert_eq!(ours.len(), recorded.len());
    let square = |x: f64| x * x;
    let difference: f64 = ours
        .iter()
        .zip(recorded)
        .map(|(a, b)| square(f64::from(a - b)))
        .sum();
    let norm: f64 = recorded.iter().map(|b| square(f64::from(*b))).sum();
    (difference / norm).sqrt()
}

/// Largest difference in units of the largest recorded entry.
fn of_largest(ours: &[f64], recorded: &[f32]) -> f64 {
    assert_eq!(ours.len(), recorded.len());
    let largest = recorded.iter().fold(0f64, |a, b| a.max(f64::from(b.abs())));
    ours.iter()
        .zip(recorded)
        .map(|(a, b)| (a - f64::from(*b)).abs() / largest)
        .fold(0.0, f64::max)
}
