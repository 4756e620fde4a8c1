use candle_core::{DType, Device, Tensor};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::arch::{Architecture, Network};
use crate::seed::generator;

/// Wants a snapshot after so many batches, then stops.
struct Until {
    batches: usize,
    at_epoch: bool,
    snapshot: Option<Snapshot>,
    good: Option<(usize, Network)>,
}

impl Observer for Until {
    fn batch(&mut self) -> Next {
        if self.at_epoch {
            return Next::Go;
        }
        self.batches = self.batches.wrapping_sub(1);
        match self.batches {
            0 => Next::Stop,
            _ => Next::Go,
        }
    }
    fn epoch(&mut self, done: &Epoch) -> Next {
        match self.at_epoch && done.epoch == self.batches {
            true => Next::Stop,
            false => Next::Go,
        }
    }
    fn keep(&mut self, snapshot: &Snapshot) {
        // What goes through a file: the tensors are copies, the rest is text.
        let progress = serde_json::to_string(&snapshot.progress).expect("text");
        let copied = |(name, tensor): &(String, Tensor)| (name.clone(), tensor.copy().expect("copy"));
        self.snapshot = Some(Snapshot {
            progress: serde_json::from_str(&progress).expect("read"),
            order: snapshot.order.clone(),
            tensors: snapshot.tensors.iter().map(copied).collect(),
        });
    }
    fn diverged(&mut self, epoch: usize, network: &Network) {
        self.good = Some((epoch, network.clone()));
    }
}

fn never() -> Until {
    Until {
        batches: usize::MAX,
        at_epoch: false,
        snapshot: None,
        good: None,
    }
}

/// Two separable clouds of 4 x 4 images.
fn clouds(samples: usize, seed: u64) -> (Tensor, Tensor) {
    let mut rng = generator(seed, "clouds", &[]);
    let labels: Vec<u32> = (0..samples as u32).map(|i| i % 2).collect();
    let values: Vec<f32> = labels
        .iter()
        .flat_map(|&label| (0..16).map(move |i| (label, i)))
        .map(|(label, i)| rng.random_range(-1.0..1.0f32) + if i % 2 == label { 0.7 } else { 0.0 })
        .collect();
    (
        Tensor::from_vec(values, (samples, 1, 4, 4), &Device::Cpu).expect("images"),
        Tensor::new(labels, &Device::Cpu).expect("labels"),
    )
}

/// With `BatchNorm` and dropout: state beyond the weights, and draws in the middle of an epoch.
fn network() -> Network {
    let settings = serde_json::json!({ "architecture": "sequential", "layers": [
        { "kind": "conv", "out": 3, "kernel": 3 }, { "kind": "batch-norm" }, { "kind": "relu" },
        { "kind": "flatten" }, { "kind": "dropout", "p": 0.2 }, { "kind": "linear" },
    ] });
    let architecture: Architecture = serde_json::from_value(settings).expect("architecture");
    let mut rng = generator(1, "initialisation", &[]);
    Network::initialise(&architecture, &[1, 4, 4], 2, &mut rng, &Device::Cpu).expect("network")
}

fn settings<'a>(optimizer: &'a OptimizerSettings, schedule: &'a Schedule) -> Fit<'a> {
    Fit {
        epochs: 4,
        batch_size: 7,
        accumulate: 1,
        optimizer,
        schedule,
        warmup_epochs: 1,
        min_lr: 1e-5,
        clip_norm: Some(1.0),
        label_smoothing: 0.1,
        select: Select::Validation,
        precision: crate::gpu::Precision::F32,
        workers: 2,
    }
}

fn rng() -> ChaCha8Rng {
    generator(1, "batches", &[])
}

fn bits(fitted: &Fitted) -> Vec<Vec<u8>> {
    let bytes = |tensor: &Tensor| match tensor.flatten_all().and_then(|t| t.to_vec1::<f32>()) {
        Ok(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Err(_) => tensor.to_string().into_bytes(),
    };
    fitted.network.tensors.iter().map(bytes).collect()
}

#[test]
fn from_any_snapshot_training_goes_on_with_the_same_bits() {
    let (train, val) = (clouds(40, 1), clouds(20, 2));
    let data = Data {
        train: &train,
        measure: Some(&val),
    };
    let schedule = Schedule::default();
    for (name, accumulate) in [
        (OptimizerKind::Adam, 1),
        (OptimizerKind::AdamW, 4),
        (OptimizerKind::Sgd, 1),
    ] {
        let optimizer = OptimizerSettings {
            name,
            lr: 0.02,
            momentum: (name == OptimizerKind::Sgd).then_some(0.9),
            ..OptimizerSettings::default()
        };
        let settings = Fit {
            accumulate,
            ..settings(&optimizer, &schedule)
        };
        let whole = fit(&network(), data, &settings, &mut rng(), None, &mut never()).expect("trained");
        assert_eq!(whole.history.len(), 4);
        assert!(whole.accuracy > Some(0.6), "{:?}", whole.accuracy);
        for (batches, at_epoch) in [
            (4, false),
            (0, true),
            (8, false),
            (16, false),
            (2, true),
            (3, true),
        ] {
            let mut until = Until {
                batches,
                at_epoch,
                snapshot: None,
                good: None,
            };
            let stopped = fit(&network(), data, &settings, &mut rng(), None, &mut until);
            assert!(
                matches!(stopped, Err(TrainError::Stopped)),
                "{batches} {at_epoch}"
            );
            let snapshot = until.snapshot.expect("kept");
            let rest = fit(
                &network(),
                data,
                &settings,
                &mut rng(),
                Some(snapshot),
                &mut never(),
            );
            let rest = rest.expect("trained");
            assert_eq!(rest.history, whole.history, "{batches} {at_epoch}");
            assert_eq!((rest.epoch, rest.accuracy), (whole.epoch, whole.accuracy));
            assert_eq!(bits(&rest), bits(&whole), "{batches} {at_epoch}");
        }
    }
}

#[test]
fn averaged_gradients_of_equal_batches_are_those_of_one_large_batch() {
    // Without dropout and batch statistics, and with equal batches, the two are the same sums.
    let train = clouds(32, 1);
    let data = Data {
        train: &train,
        measure: None,
    };
    let architecture = serde_json::json!({ "architecture": "mlp", "hidden": [6] });
    let architecture: Architecture = serde_json::from_value(architecture).expect("architecture");
    let mut start = generator(1, "initialisation", &[]);
    let network =
        Network::initialise(&architecture, &[1, 4, 4], 2, &mut start, &Device::Cpu).expect("network");
    let (optimizer, schedule) = (OptimizerSettings::default(), Schedule::default());
    let trained = |batch_size, accumulate| {
        let settings = Fit {
            batch_size,
            accumulate,
            ..settings(&optimizer, &schedule)
        };
        fit(&network, data, &settings, &mut rng(), None, &mut never()).expect("trained")
    };
    let (large, small, other) = (trained(16, 1), trained(4, 4), trained(4, 1));
    let distance = |a: &Fitted, b: &Fitted| -> f32 {
        let pairs = a.network.tensors.iter().zip(&b.network.tensors);
        let worst = pairs.map(|(a, b)| {
            let far = (a - b).and_then(|d| d.abs()?.max_all()?.to_scalar::<f32>());
            far.expect("same shapes")
        });
        worst.fold(0.0, f32::max)
    };
    assert!(distance(&large, &small) < 1e-5, "{}", distance(&large, &small));
    assert!(distance(&large, &other) > 1e-4);
}

#[test]
fn the_epoch_of_the_best_test_accuracy_is_the_first_of_equals() {
    let (train, test) = (clouds(40, 1), clouds(20, 2));
    let data = Data {
        train: &train,
        measure: Some(&test),
    };
    // Nothing is learned: all epochs are equal.
    let optimizer = OptimizerSettings {
        lr: 0.0,
        ..OptimizerSettings::default()
    };
    let schedule = Schedule {
        name: ScheduleKind::Constant,
        ..Schedule::default()
    };
    let chosen = |select| {
        let settings = Fit {
            select,
            ..settings(&optimizer, &schedule)
        };
        let mlp = serde_json::json!({ "architecture": "mlp", "hidden": [6] });
        let mlp: Architecture = serde_json::from_value(mlp).expect("architecture");
        let network = Network::initialise(&mlp, &[1, 4, 4], 2, &mut rng(), &Device::Cpu).expect("network");
        let fitted = fit(&network, data, &settings, &mut rng(), None, &mut never()).expect("trained");
        let measured = fitted.history[0].clone();
        (
            fitted.epoch,
            measured.val_accuracy.is_some(),
            measured.test_accuracy.is_some(),
        )
    };
    assert_eq!(chosen(Select::Test), (0, false, true));
    assert_eq!(chosen(Select::Validation), (3, true, false));
    assert_eq!(chosen(Select::Last), (3, false, false));
}

#[test]
fn divergence_names_epoch_and_step_and_keeps_nothing_that_is_not_finite() {
    let (images, labels) = clouds(40, 1);
    let train = ((images * 1e30).expect("scaled"), labels);
    let data = Data {
        train: &train,
        measure: None,
    };
    let optimizer = OptimizerSettings {
        name: OptimizerKind::Sgd,
        lr: 1e30,
        ..OptimizerSettings::default()
    };
    let schedule = Schedule::default();
    let settings = Fit {
        clip_norm: None,
        warmup_epochs: 0,
        ..settings(&optimizer, &schedule)
    };
    let mut observer = Until {
        batches: 3,
        at_epoch: false,
        snapshot: None,
        good: None,
    };
    let error = fit(&network(), data, &settings, &mut rng(), None, &mut observer).expect_err("diverges");
    assert!(
        matches!(
            error,
            TrainError::Diverged {
                epoch: 0,
                step: 0..=3
            }
        ),
        "{error}"
    );
    assert!(observer.snapshot.is_none());
    assert!(observer.good.is_none(), "no epoch was good");
}

#[test]
fn what_a_training_was_before_it_diverged_is_handed_over() {
    let train = clouds(40, 1);
    let held_out = clouds(20, 2);
    let optimizer = OptimizerSettings {
        name: OptimizerKind::Sgd,
        lr: 0.1,
        ..OptimizerSettings::default()
    };
    let explodes = Schedule {
        name: ScheduleKind::Step,
        every: Some(2),
        gamma: Some(1e38),
        ..Schedule::default()
    };
    let stays = Schedule {
        name: ScheduleKind::Constant,
        ..Schedule::default()
    };
    // With held-out samples and without: weights may be finite where logits are not.
    for measure in [Some(&held_out as &dyn Source), None] {
        let data = Data {
            train: &train,
            measure,
        };
        let with = |schedule, epochs| Fit {
            epochs,
            clip_norm: None,
            warmup_epochs: 0,
            ..settings(&optimizer, schedule)
        };
        let mut observer = never();
        let error = fit(
            &network(),
            data,
            &with(&explodes, 3),
            &mut rng(),
            None,
            &mut observer,
        );
        let error = error.expect_err("diverges");
        assert!(matches!(error, TrainError::Diverged { epoch: 2, .. }), "{error}");
        let (epoch, good) = observer.good.expect("two epochs were good");
        assert_eq!(epoch, 1);
        let two = Fit {
            select: Select::Last,
            ..with(&stays, 2)
        };
        let expected = fit(&network(), data, &two, &mut rng(), None, &mut never()).expect("trains");
        let weights = |network: &Network| -> Vec<Vec<f64>> {
            let flat = |tensor: &Tensor| {
                let values = tensor
                    .to_dtype(DType::F64)
                    .and_then(|t| t.flatten_all()?.to_vec1());
                values.expect("values")
            };
            network.tensors.iter().map(flat).collect()
        };
        assert_eq!(weights(&good), weights(&expected.network));
    }
}

#[test]
fn a_snapshot_of_another_training_is_refused() {
    let train = clouds(40, 1);
    let data = Data {
        train: &train,
        measure: None,
    };
    let (optimizer, schedule) = (OptimizerSettings::default(), Schedule::default());
    let settings = settings(&optimizer, &schedule);
    let mut until = Until {
        batches: 2,
        at_epoch: false,
        snapshot: None,
        good: None,
    };
    assert!(fit(&network(), data, &settings, &mut rng(), None, &mut until).is_err());
    let snapshot = until.snapshot.expect("kept");
    let mut torn = snapshot.clone();
    torn.tensors.retain(|(name, _)| name != "weight.1");
    let mut shorter = snapshot;
    shorter.order.pop();
    for snapshot in [torn, shorter] {
        let result = fit(
            &network(),
            data,
            &settings,
            &mut rng(),
            Some(snapshot),
            &mut never(),
        );
        assert!(matches!(result, Err(TrainError::Snapshot(_))));
    }
}
