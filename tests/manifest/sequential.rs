//! `architecture = "sequential"`: lists of tables that are no axes, and problems deep within them.

use insta::assert_snapshot;

use super::*;

fn model(layers: &str) -> String {
    format!("\n[model]\narchitecture = \"sequential\"\nlayers = [\n{layers}]\n")
}

const LINEAR: &str = "    { kind = \"flatten\" },\n    { kind = \"linear\", bias = false },\n";

#[test]
fn a_list_of_layers_is_one_network_and_a_list_of_lists_an_axis() {
    let points = |text: &str| resolved(&format!("{DIGITS}{text}"), &[]).points;
    assert_eq!(points(&model(LINEAR)).len(), 1);
    let tables = "\n[model]\narchitecture = \"sequential\"\n\n[[model.layers]]\nkind = \"flatten\"\n\n[[model.layers]]\nkind = \"linear\"\nbias = false\n";
    assert_eq!(points(tables)[0].settings, points(&model(LINEAR))[0].settings);
    let two = points(&model(&format!(
        "[{LINEAR}], [{{ kind = \"flatten\" }}, {{ kind = \"linear\", out = 5 }}, {{ kind = \"linear\" }}]"
    )));
    assert_eq!(two.len(), 2);
    // Written out, defaults make no other network.
    let short =
        model("{ kind = \"conv\", out = 2, kernel = 1 }, { kind = \"flatten\" }, { kind = \"linear\" }");
    let long = model(
        "{ kind = \"conv\", out = 2, kernel = 1, stride = 1, padding = 0, bias = true, level = false }, { kind = \"flatten\" }, { kind = \"linear\" }",
    );
    assert_eq!(points(&short)[0].settings, points(&long)[0].settings);
}

#[test]
fn problems_are_marked_where_they_are() {
    assert_snapshot!(digits(&model(&format!(
        "    {{ kind = \"conv\", out = 4, kernel = 3, pading = 1 }},\n    {{ kind = \"cnov\" }},\n{LINEAR}"
    ))), @r#"
    error: unknown key `pading`
      --> m.toml:9:43
       |
     9 |     { kind = "conv", out = 4, kernel = 3, pading = 1 },
       |                                           ^^^^^^

    hint: did you mean `padding`?

    error: unknown value `cnov` for `model.layers.1.kind`
      --> m.toml:10:14
        |
     10 |     { kind = "cnov" },
        |              ^^^^^^

    hint: did you mean `conv`?
    "#);
    // Keys of other kinds, here and within a block.
    assert_snapshot!(digits(&model(&format!(
        "    {{ kind = \"relu\", out = 3 }},\n    {{ kind = \"residual\", body = [\n        {{ kind = \"linear\", kernel = 3 }},\n    ] }},\n{LINEAR}"
    ))), @r#"
    error: unknown key `out`
      --> m.toml:9:22
       |
     9 |     { kind = "relu", out = 3 },
       |                      ^^^

    hint: one of `level`

    error: unknown key `kernel`
      --> m.toml:11:28
        |
     11 |         { kind = "linear", kernel = 3 },
        |                            ^^^^^^

    hint: one of `name`, `level`, `out`, `bias`
    "#);
    assert_snapshot!(digits(&model(&format!("    {{ kind = \"conv\", out = \"many\", kernel = 3 }},\n{LINEAR}"))), @r#"
    error: `model.layers.0.out` must be a whole number, 0 or more, not "many"
      --> m.toml:9:28
       |
     9 |     { kind = "conv", out = "many", kernel = 3 },
       |                            ^^^^^^
    "#);
    assert_snapshot!(digits(&model(&format!("    {{ kind = \"max-pool\" }},\n{LINEAR}"))), @r#"
    error: `model.layers.0` lacks the key `kernel`
      --> m.toml:9:5
       |
     9 |     { kind = "max-pool" },
       |     ^^^^^^^^^^^^^^^^^^^^^

    hint: add `kernel = ...`; `runner schema --markdown` explains all keys
    "#);
    assert_snapshot!(digits(&model(&format!("    {{ out = 3 }},\n{LINEAR}"))), @r#"
    error: `model.layers.0` lacks the key `kind`
      --> m.toml:9:5
       |
     9 |     { out = 3 },
       |     ^^^^^^^^^^^

    hint: add `kind = ...`; `runner schema --markdown` explains all keys
    "#);
    assert_snapshot!(digits("\n[model]\narchitecture = \"sequential\"\n"), @r#"
    error: `model` lacks the key `layers`
      --> m.toml:6:2
       |
     6 | [model]
       |  ^^^^^

    hint: add `layers = ...`; `runner schema --markdown` explains all keys
    "#);
}

#[test]
fn numbers_out_of_range_and_networks_that_do_not_fit() {
    assert_snapshot!(digits(&model(&format!(
        "    {{ kind = \"residual\", body = [{{ kind = \"conv\", out = 0, kernel = 3 }}] }},\n    {{ kind = \"dropout\", p = 1.5 }},\n{LINEAR}"
    ))), @r#"
    error: `model.layers.0.body.0.out` must be between 1 and 1000000, not 0
      --> m.toml:9:57
       |
     9 |     { kind = "residual", body = [{ kind = "conv", out = 0, kernel = 3 }] },
       |                                                         ^

    error: `model.layers.1.p` must be between 0 and 0.99, not 1.5
      --> m.toml:10:29
        |
     10 |     { kind = "dropout", p = 1.5 },
        |                             ^^^
    "#);
    assert_snapshot!(digits(&model(&format!(
        "    {{ kind = \"residual\", body = [\n        {{ kind = \"relu\" }},\n        {{ kind = \"conv\", out = 4, kernel = 9 }},\n    ] }},\n{LINEAR}"
    ))), @r#"
    error: architecture `sequential` does not fit images of shape [1, 8, 8]: images are too small: a convolution window of side 9 meets activations of shape [1, 8, 8]
      --> m.toml:11:9
        |
     11 |         { kind = "conv", out = 4, kernel = 9 },
        |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    "#);
    assert_snapshot!(digits(&model("    { kind = \"flatten\" },\n    { kind = \"linear\", out = 11 },\n")), @r#"
    error: architecture `sequential` does not fit images of shape [1, 8, 8]: the network ends in activations of shape [11] instead of [10], one for each class; leave out `out` of the last layer, and flatten before it
      --> m.toml:8:10
       |
     8 | layers = [
       |          ^
    "#);
    // On an axis, the element is marked.
    assert_snapshot!(digits(&model(&format!("    [\n{LINEAR}    ], [\n        {{ kind = \"flatten\", bias = true }},\n{LINEAR}    ]\n"))), @r#"
    error: unknown key `bias`
      --> m.toml:13:29
        |
     13 |         { kind = "flatten", bias = true },
        |                             ^^^^

    hint: one of `level`
    "#);
}
