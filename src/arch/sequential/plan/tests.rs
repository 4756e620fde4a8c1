//! Names, levels, and what is refused where.

use super::*;
use serde_json::json;

#[test]
fn modules_have_their_longest_prefix_in_whole_parts_in_common() {
    assert_eq!(common_parent(&["0.weight", "1.weight"]), "");
    assert_eq!(
        common_parent(&["features.1.2.weight", "features.1.2.bias"]),
        "features.1."
    );
    assert_eq!(
        common_parent(&["features.1.2.weight", "features.10.3.weight"]),
        "features."
    );
    assert_eq!(common_parent(&["3.body.0.weight", "3.shortcut.0.weight"]), "3.");
    assert_eq!(common_parent(&["a.b.0.w", "a.b.0.c.w", "a.w"]), "");
    assert_eq!(common_parent(&[]), "");
}

fn plan(layers: serde_json::Value) -> Result<Plan, PlanError> {
    let layers = serde_json::from_value(layers).expect("layers");
    Sequential { layers }.plan(&[1, 4, 4], 3)
}

/// Names of tensors, and `[first, end)` of each level's.
fn tensors(layers: serde_json::Value) -> (Vec<String>, Vec<(usize, usize)>) {
    let plan = plan(layers).expect("a plan");
    let names = plan.parameters.iter().map(|p| p.name.clone()).collect();
    let levels = plan
        .levels
        .iter()
        .map(|level| (level.parameters.start, level.parameters.end));
    (names, levels.collect())
}

#[test]
fn tensors_are_named_by_position_and_levels_end_after_parameters_or_where_marked() {
    let layers = |mark: bool| {
        json!([
            { "kind": "conv", "out": 2, "kernel": 3, "padding": 1, "bias": false },
            { "kind": "batch-norm" },
            { "kind": "relu", "level": mark },
            { "kind": "residual", "body": [
                { "kind": "conv", "out": 2, "kernel": 1 },
                { "kind": "relu" },
                { "kind": "conv", "out": 2, "kernel": 1, "bias": false, "name": "own" },
            ], "shortcut": [{ "kind": "conv", "out": 2, "kernel": 1, "bias": false }] },
            { "kind": "flatten" },
            { "kind": "linear" },
            { "kind": "dropout", "p": 0.5 },
        ])
    };
    let (names, levels) = tensors(layers(false));
    let norm = [
        "weight",
        "bias",
        "running_mean",
        "running_var",
        "num_batches_tracked",
    ];
    let mut expected = vec!["0.weight".to_string()];
    expected.extend(norm.map(|name| format!("1.{name}")));
    expected.extend(
        [
            "3.body.0.weight",
            "3.body.0.bias",
            "own.weight",
            "3.shortcut.0.weight",
            "5.weight",
            "5.bias",
        ]
        .map(String::from),
    );
    assert_eq!(names, expected);
    assert_eq!(levels, [(0, 6), (6, 10), (10, 12)]);
    assert_eq!(tensors(layers(true)).1, [(0, 6), (6, 12)]);
}

#[test]
fn what_cannot_be_built_is_refused_where_it_stands() {
    let refused = |layers| {
        let error = plan(layers).expect_err("a problem");
        (error.at.join("."), error.message)
    };
    let conv = || json!({ "kind": "conv", "out": 2, "kernel": 3 });
    let flatten = || json!({ "kind": "flatten" });
    let cases = [
        (json!([]), "layers", "empty"),
        (json!([flatten()]), "layers.0", "no parameters"),
        (
            json!([flatten(), { "kind": "relu" }, { "kind": "batch-norm" }]),
            "layers.2",
            "right after it",
        ),
        (json!([conv(), { "kind": "linear" }]), "layers.1", "flattened"),
        (json!([flatten(), conv()]), "layers.1", "[C, H, W]"),
        (
            json!([conv(), conv(), flatten(), { "kind": "linear" }]),
            "layers.1",
            "too small",
        ),
        (
            json!([flatten(), { "kind": "linear", "out": 4 }]),
            "layers",
            "[4] instead of [3]",
        ),
        (
            json!([flatten(), { "kind": "linear" }, { "kind": "linear" }]),
            "layers.1",
            "`out` is missing",
        ),
        (
            json!([{ "kind": "residual", "body": [] }, flatten(), { "kind": "linear" }]),
            "layers.0",
            "empty",
        ),
        (
            json!([{ "kind": "residual", "body": [conv()] }]),
            "layers.0",
            "[2, 2, 2] and [1, 4, 4]",
        ),
        (
            json!([{ "kind": "residual", "body": [conv(), { "kind": "first-token" }] }]),
            "layers.0.body.1",
            "needs tokens",
        ),
        (json!([{ "kind": "layer-norm" }]), "layers.0", "flat activations"),
        (
            json!([{ "kind": "conv", "out": 1_000_000, "kernel": 1, "padding": 1000 }]),
            "layers.0",
            "supported",
        ),
    ];
    for (layers, at, part) in cases {
        let (found, message) = refused(layers.clone());
        assert!(
            found == at && message.contains(part),
            "{layers}: {found}: {message}"
        );
    }
    let marked = json!([
        { "kind": "conv", "out": 3, "kernel": 4, "level": true },
        { "kind": "batch-norm" },
        flatten(),
    ]);
    assert_eq!(refused(marked).0, "layers.0");
    let twice = json!([
        { "kind": "conv", "out": 3, "kernel": 1, "name": "a" },
        { "kind": "conv", "out": 3, "kernel": 4, "name": "a" },
        flatten(),
    ]);
    assert_eq!(refused(twice).1, "two tensors have the name `a.weight`");
}
