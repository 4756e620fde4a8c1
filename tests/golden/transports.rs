//! `OTFusion`: costs, transports by objective value, fused weights, accuracy.

use runner::fusion::{Compat, GroundCost, OtFusion};

use super::{KINDS, Run, of_largest};

#[test]
fn otfusion_is_the_recorded_one() {
    for parts in [2, 4] {
        let Some(run) = Run::open(parts, "OTFusion") else {
            return;
        };
        for (ground, mode) in [(GroundCost::Acts, "acts"), (GroundCost::Weights, "wts")] {
            for (importance, kind) in KINDS {
                let name = format!("otf-{mode}-{kind}");
                if run.golden.json["results"][&name].is_null() {
                    assert_eq!((parts, kind), (4, "featureablation"), "{name} is not recorded");
                    continue;
                }
                let method = OtFusion {
                    ground,
                    importance,
                    compat: Compat::Reference,
                    ..OtFusion::default()
                };
                let (network, transports) = method.fuse_layers(&run.inputs(0)).expect("fused");
                for (i, ours) in transports.iter().enumerate() {
                    let cost = of_largest(&ours.costs, &run.golden.f32(&format!("cost.{name}.{i}")).1);
                    assert!(cost < 1e-5, "{name} {i}: costs differ by {cost:e} of the largest");
                    let recorded = run.golden.f32(&format!("transport.{name}.{i}")).1;
                    let objective: f64 = recorded
                        .iter()
                        .zip(&ours.costs)
                        .map(|(&t, c)| f64::from(t) * c)
                        .sum();
                    let relative = (ours.objective / objective - 1.0).abs();
                    assert!(
                        relative < 1e-6,
                        "{name} {i}: objective {} instead of {objective}",
                        ours.objective
                    );
                }
                let distance = run.distance(&network, &name);
                assert!(distance < 1e-5, "{name}: fused weights differ by {distance:e}");
                let (ours, recorded) = (run.accuracy(&network), run.recorded_accuracy(&name));
                assert!(
                    (ours - recorded).abs() <= 1e-4,
                    "{name}: accuracy {ours} instead of {recorded}"
                );
            }
        }
    }
}
