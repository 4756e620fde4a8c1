//! Methods and scores ask whether to go on, in every layer, and stop when they are told to.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use runner::arch::{Architecture, Mlp, Network, Vgg, VggKind};
use runner::fusion::{
    FusionError, GitRebasin, HfLinear, Inputs, KfGradient, KfLinear, LevelSettings, LogitKd, Method,
    OtFusion, fuse,
};
use runner::importance::{Importance, Place};
use runner::tick::unwatched;

const SAMPLES: usize = 20;

struct Case {
    name: &'static str,
    models: Vec<Network>,
    images: Tensor,
    labels: Tensor,
}

fn case(name: &'static str, architecture: &Architecture, image: [usize; 3]) -> Case {
    let device = Device::Cpu;
    let network = |seed| {
        let mut rng = runner::seed::generator(seed, "ticks", &[]);
        Network::initialise(architecture, &image, 10, &mut rng, &device).expect("a network")
    };
    let [c, h, w] = image;
    let values = (0..SAMPLES * c * h * w).map(|i| ((i * 31 % 97) as f32 / 48.0) - 1.0);
    Case {
        name,
        models: vec![network(1), network(2)],
        images: Tensor::from_vec(values.collect(), (SAMPLES, c, h, w), &device).expect("images"),
        labels: Tensor::from_vec((0..SAMPLES as u32).map(|i| i % 10).collect(), SAMPLES, &device)
            .expect("labels"),
    }
}

fn cases() -> [Case; 2] {
    let mlp = Architecture::Mlp(Mlp {
        hidden: vec![64, 48],
        ..Mlp::default()
    });
    let vgg = Architecture::Vgg(VggKind::Vgg11Half, Vgg::default());
    [case("mlp", &mlp, [1, 8, 8]), case("vgg", &vgg, [3, 32, 32])]
}

/// Counts the questions, says no to the `stop`-th, and measures the longest time between two.
struct Asked {
    count: Cell<usize>,
    stop: usize,
    last: Cell<Instant>,
    longest: Cell<Duration>,
}

impl Asked {
    fn new(stop: usize) -> Self {
        Self {
            count: Cell::new(0),
            stop,
            last: Cell::new(Instant::now()),
            longest: Cell::default(),
        }
    }

    fn ask(&self) -> ControlFlow<()> {
        self.longest
            .set(self.longest.get().max(self.last.get().elapsed()));
        self.last.set(Instant::now());
        self.count.set(self.count.get() + 1);
        match self.count.get() == self.stop {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

/// Far more than any of these takes between two questions; a machine that is busy takes its time.
const LONG: Duration = Duration::from_secs(20);

#[test]
fn every_method_asks_in_every_layer_and_stops() {
    let conductance = Importance::Conductance;
    let short = LevelSettings {
        epochs: 2,
        ..LevelSettings::default()
    };
    let methods = [
        Method::from(GitRebasin::default()),
        Method::from(OtFusion::default()),
        Method::from(OtFusion {
            importance: conductance,
            ..OtFusion::default()
        }),
        Method::KfGradient(Box::new(KfGradient {
            level: short.clone(),
            head: Some(short.clone()),
            ..KfGradient::default()
        })),
        Method::from(LogitKd {
            level: short,
            ..LogitKd::default()
        }),
        Method::from(HfLinear::default()),
        Method::from(KfLinear::default()),
    ];
    for case in &cases() {
        // Least squares of convolutions take seconds.
        let fast = methods
            .iter()
            .filter(|method| case.name == "mlp" || !method.name().ends_with("linear"));
        for method in fast {
            let run = |asked: &Asked| {
                let inputs = Inputs {
                    models: &case.models,
                    images: Some(&case.images),
                    labels: Some(&case.labels),
                    seed: 1,
                    class_counts: None,
                };
                fuse(method, &inputs, &mut || asked.ask())
            };
            let all = Asked::new(usize::MAX);
            run(&all).expect("fused");
            let (count, longest) = (all.count.get(), all.longest.get());
            let what = format!("{} {}: {count} questions, {longest:?}", case.name, method.name());
            assert!(count >= case.models[0].layers().len(), "{what}");
            assert!(longest < LONG, "{what}");
            for stop in [1, count / 2, count] {
                let some = Asked::new(stop);
                let stopped = run(&some);
                assert!(matches!(stopped, Err(FusionError::Stopped(_))), "{what}, {stop}");
                assert_eq!(some.count.get(), stop, "{what}: nothing is asked after a no");
            }
        }
    }
}

#[test]
fn every_score_asks_in_every_layer_and_stops() {
    for case in &cases() {
        for kind in Importance::ALL
            .iter()
            .copied()
            .filter(|kind| *kind != Importance::Uniform)
        {
            // An ablation of each element of an image.
            if kind == Importance::FeatureAblation && case.name == "vgg" {
                continue;
            }
            for place in [Place::Layer, Place::Level] {
                let run = |asked: &Asked| {
                    kind.scores(&case.models[0], &case.images, &case.labels, place, &mut || {
                        asked.ask()
                    })
                };
                let all = Asked::new(usize::MAX);
                let scores = run(&all).expect("scores");
                let plain = kind.scores(&case.models[0], &case.images, &case.labels, place, &mut unwatched);
                assert_eq!(scores, plain.expect("scores"));
                let (count, longest) = (all.count.get(), all.longest.get());
                let what = format!("{} {kind:?}: {count} questions, {longest:?}", case.name);
                assert!(count >= case.models[0].layers().len(), "{what}");
                assert!(longest < LONG, "{what}");
                for stop in [1, count] {
                    let some = Asked::new(stop);
                    assert!(run(&some).is_err(), "{what}");
                    assert_eq!(some.count.get(), stop, "{what}: nothing is asked after a no");
                }
            }
        }
    }
}
