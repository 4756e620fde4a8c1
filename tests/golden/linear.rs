//! HF linear and Git Re-Basin: costs, assignments, fused weights, accuracy.

use runner::arch::Network;
use runner::fusion::{GitRebasin, HfLinear, LayerReport};

use super::{KINDS, Run, of_largest};

fn check(
    run: &Run,
    name: &str,
    (network, layers): &(Network, Vec<LayerReport>),
    weights: f64,
    accuracy: f64,
) {
    for (l, layer) in layers.iter().enumerate() {
        let cost = of_largest(&layer.costs, &run.golden.f32(&format!("cost.{name}.{l}")).1);
        assert!(
            cost < 1e-5,
            "{name}, layer {l}: costs differ by {cost:e} of the largest"
        );
        let recorded = run.golden.indices(&format!("assignment.{name}.{l}"));
        if l + 1 < layers.len() {
            let mut ours = vec![0; recorded.len()];
            for (j, &i) in layer.clusters[1].iter().enumerate() {
                ours[i] = j;
            }
            assert_eq!(ours, recorded, "{name}, layer {l}");
        }
    }
    let distance = run.distance(network, name);
    assert!(distance < weights, "{name}: fused weights differ by {distance:e}");
    let (ours, recorded) = (run.accuracy(network), run.recorded_accuracy(name));
    assert!(
        (ours - recorded).abs() <= accuracy,
        "{name}: accuracy {ours} instead of {recorded}"
    );
}

#[test]
fn hf_linear_is_the_recorded_one() {
    let Some(run) = Run::open(2, "HF linear") else {
        return;
    };
    for (importance, kind) in KINDS {
        let method = HfLinear {
            importance,
            ..HfLinear::default()
        };
        let fused = method.fuse_layers(&run.inputs(0)).expect("fused");
        check(&run, &format!("hf-{kind}"), &fused, 1e-4, 0.002);
    }
}

#[test]
fn git_rebasin_is_the_recorded_one() {
    let Some(run) = Run::open(2, "Git Re-Basin") else {
        return;
    };
    for (importance, kind) in KINDS {
        let method = GitRebasin {
            importance,
            ..GitRebasin::default()
        };
        let fused = method.fuse_layers(&run.inputs(0)).expect("fused");
        check(&run, &format!("git-rebasin-{kind}"), &fused, 1e-5, 1e-4);
    }
}
