//! A network of one's own, trained and fused by every method.

use super::*;

const OWN: &str = r#"name = "tiny"

[dataset]
name = "digits"

[split]
kind = "random"

[model]
architecture = "sequential"

[[model.layers]]
kind = "conv"
out = 8
kernel = 3
padding = 1
bias = false

[[model.layers]]
kind = "batch-norm"

[[model.layers]]
kind = "relu"

[[model.layers]]
kind = "max-pool"
kernel = 2

[[model.layers]]
kind = "residual"
body = [
    { kind = "conv", out = 8, kernel = 3, padding = 1 },
    { kind = "relu" },
    { kind = "conv", out = 8, kernel = 3, padding = 1 },
]

[[model.layers]]
kind = "relu"

[[model.layers]]
kind = "flatten"

[[model.layers]]
kind = "linear"

[base]
epochs = 4
batch-size = 32
warmup-epochs = 0
optimizer = { lr = 0.01 }

[fusion-set]
samples = 100

[[fusion]]
method = "vanilla-averaging"

[[fusion]]
method = "hf-linear"

[[fusion]]
method = "kf-linear"

[[fusion]]
method = "otfusion"
ground = ["acts", "weights"]

[[fusion]]
method = "git-rebasin"
importance = ["uniform", "conductance"]

[[fusion]]
method = "kf-gradient"
level = { epochs = 3 }
"#;

#[test]
fn a_network_of_ones_own_is_trained_and_fused() {
    let bench = Bench::with(OWN);
    bench.exec(&[]).ok();
    let records = bench.records();
    assert_eq!(records.len(), 2 + 8);
    for (name, record) in records {
        let accuracy = record["metrics"]["accuracy"].as_f64().expect("accuracy");
        // Chance is 0.1. Neurons of models with different initialisations are no pairs for averaging.
        let least = match name.as_str() {
            name if name.starts_with("train") => 0.8,
            name if name.contains("hf-linear") || name.contains("kf-linear") => 0.4,
            _ => 0.05,
        };
        assert!(accuracy > least, "{name}: {accuracy}");
    }
    // Its checkpoint says what it is: nothing is left to do, and one layer less is another network.
    assert_eq!(bench.to_run(&[]), Vec::<String>::new());
    assert_eq!(bench.to_run(&["model.layers.2.kind=gelu"]).len(), 10);
}
