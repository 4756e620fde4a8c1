//! Importance scores and pre-activations.

use runner::importance::Place;
use runner::tick::unwatched;

use super::{KINDS, Run, of_largest, relative_l2};

#[test]
fn scores_are_the_recorded_ones() {
    for parts in [2, 4] {
        let Some(run) = Run::open(parts, "importance scores") else {
            return;
        };
        for (importance, kind) in KINDS {
            for (k, network) in run.models.iter().enumerate() {
                let scores = importance
                    .scores(network, &run.images, &run.labels, Place::Layer, &mut unwatched)
                    .expect("scores");
                for (l, ours) in scores.iter().enumerate() {
                    let name = format!("importance.layer.{kind}.{k}.{l}");
                    if run.golden.names().contains(&name) {
                        let recorded = run.golden.f32(&name).1;
                        let worst = ours
                            .iter()
                            .zip(&recorded)
                            .map(|(a, &b)| (a / f64::from(b) - 1.0).abs());
                        let worst = worst.fold(0.0, f64::max);
                        assert!(
                            worst < 1e-4 || of_largest(ours, &recorded) < 1e-7,
                            "{name}: {worst:e}"
                        );
                    } else {
                        assert!(parts == 4 && kind == "featureablation", "{name} is not recorded");
                    }
                }
            }
        }
    }
}

#[test]
fn preactivations_are_the_recorded_ones() {
    let Some(run) = Run::open(2, "pre-activations") else {
        return;
    };
    for (k, network) in run.models.iter().enumerate() {
        for (l, ours) in network
            .preactivations(&run.images)
            .expect("activations")
            .iter()
            .enumerate()
        {
            let recorded = run.golden.f32(&format!("preactivations.{k}.{l}")).1;
            let ours: Vec<f32> = ours.flatten_all().and_then(|t| t.to_vec1()).expect("values");
            assert!(relative_l2(&ours, &recorded) < 1e-6);
        }
    }
}
