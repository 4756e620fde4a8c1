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
        "    {{ kind = \"conv\", out = 4, kernal = 3 }},\n    {{ kind = \"cnov\" }},\n    {{ kind = \"relu\", out = 3 }},\n\
         \u{20}   {{ kind = \"residual\", body = [\n        {{ kind = \"linear\", kernel = 3 }},\n    ] }},\n{LINEAR}"
    ))), @"");
    assert_snapshot!(digits(&model(&format!("    {{ kind = \"conv\", out = \"many\", kernel = 3 }},\n{LINEAR}"))), @"");
    assert_snapshot!(digits(&model(&format!("    {{ kind = \"max-pool\" }},\n{LINEAR}"))), @"");
    assert_snapshot!(digits(&model(&format!("    {{ out = 3 }},\n{LINEAR}"))), @"");
    assert_snapshot!(digits("\n[model]\narchitecture = \"sequential\"\n"), @"");
}

#[test]
fn numbers_out_of_range_and_networks_that_do_not_fit() {
    assert_snapshot!(digits(&model(&format!(
        "    {{ kind = \"residual\", body = [{{ kind = \"conv\", out = 0, kernel = 3 }}] }},\n    {{ kind = \"dropout\", p = 1.5 }},\n{LINEAR}"
    ))), @"");
    assert_snapshot!(digits(&model(&format!(
        "    {{ kind = \"residual\", body = [\n        {{ kind = \"relu\" }},\n        {{ kind = \"conv\", out = 4, kernel = 9 }},\n    ] }},\n{LINEAR}"
    ))), @"");
    assert_snapshot!(digits(&model("    { kind = \"flatten\" },\n    { kind = \"linear\", out = 11 },\n")), @"");
    assert_snapshot!(digits(&model(&format!("    {LINEAR}], [\n    {{ kind = \"flatten\", bias = true }},\n"))), @"");
}
