//! Axes, `[[exclude]]` and `[[include]]`.

use insta::assert_snapshot;

use super::*;

/// Two methods over two splits and two seeds.
fn sweep(rest: &str) -> String {
    format!(
        "seeds = [1, 2]\n{DIGITS}[split]\nparts = [2, 4]\n[[fusion]]\nmethod = \"vanilla-averaging\"\n\
         [[fusion]]\nmethod = \"ensemble\"\n{rest}"
    )
}

fn fusions(text: &str) -> String {
    let plan = plan(text, &[]);
    stems(&plan)
        .into_iter()
        .filter(|name| name.starts_with("fuse"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn every_list_multiplies_in_the_order_of_the_keys_the_last_fastest() {
    let text = format!(
        "{DIGITS}[split]\nparts = [4, 2]\n[base]\nepochs = [1, 2]\n[[fusion]]\nmethod = \"ensemble\"\nhead-weights = [true, false]\n"
    );
    assert_snapshot!(fusions(&text), @r#"
    fuse-ensemble-epochs=1-head-weights=true-parts=4-seed=1
    fuse-ensemble-epochs=1-head-weights=false-parts=4-seed=1
    fuse-ensemble-epochs=1-head-weights=true-parts=2-seed=1
    fuse-ensemble-epochs=1-head-weights=false-parts=2-seed=1
    fuse-ensemble-epochs=2-head-weights=true-parts=4-seed=1
    fuse-ensemble-epochs=2-head-weights=false-parts=4-seed=1
    fuse-ensemble-epochs=2-head-weights=true-parts=2-seed=1
    fuse-ensemble-epochs=2-head-weights=false-parts=2-seed=1
    "#);
}

#[test]
fn a_list_of_lists_is_an_axis_where_a_list_belongs() {
    let points = |hidden: &str| resolved(&format!("{DIGITS}[model]\nhidden = {hidden}\n"), &[]).points;
    assert_eq!(points("[64, 32]").len(), 1);
    assert_eq!(points("[]").len(), 1);
    let two = points("[[64], [32, 16]]");
    let widths: Vec<_> = two
        .iter()
        .map(|point| point.axes["model.hidden"].to_string())
        .collect();
    assert_eq!(widths, ["[64]", "[32,16]"]);
}

#[test]
fn a_table_in_a_list_is_an_axis_too() {
    let text = format!("{DIGITS}[base]\noptimizer = [{{ lr = 0.1 }}, {{ name = \"sgd\" }}]\n");
    let rates: Vec<f64> = resolved(&text, &[])
        .points
        .iter()
        .map(|p| p.settings.base.optimizer.lr)
        .collect();
    assert_eq!(rates, [0.1, 1e-3]);
}

#[test]
fn base_models_are_shared_by_points_that_differ_in_fusion_alone() {
    let text = format!("{DIGITS}[fusion-set]\nsamples = [50, 100]\n[[fusion]]\nmethod = \"hf-linear\"\n");
    assert_snapshot!(stems(&plan(&text, &[])).join("\n"), @r#"
    train-model_0-seed=1
    train-model_1-seed=1
    fuse-hf-linear-uniform-samples=50-seed=1
    fuse-hf-linear-uniform-samples=100-seed=1
    "#);
}

#[test]
fn exclude_drops_what_matches_all_its_terms() {
    assert_snapshot!(fusions(&sweep("[[exclude]]\nparts = 4\nmethod = \"ensemble\"\n")), @r#"
    fuse-vanilla-averaging-parts=2-seed=1
    fuse-ensemble-parts=2-seed=1
    fuse-vanilla-averaging-parts=2-seed=2
    fuse-ensemble-parts=2-seed=2
    fuse-vanilla-averaging-parts=4-seed=1
    fuse-vanilla-averaging-parts=4-seed=2
    "#);
    assert_snapshot!(fusions(&sweep("[[exclude]]\nseed = [2]\nparts = [2, 3]\n[[exclude]]\nmethod = \"ensemble\"\n")), @r#"
    fuse-vanilla-averaging-parts=2-seed=1
    fuse-vanilla-averaging-parts=4-seed=1
    fuse-vanilla-averaging-parts=4-seed=2
    "#);
}

#[test]
fn exclude_of_base_settings_drops_base_models_too_of_a_method_does_not() {
    let count = |rest: &str| {
        let plan = plan(&sweep(rest), &[]);
        plan.jobs
            .iter()
            .filter(|job| job.name.starts_with("train"))
            .count()
    };
    assert_eq!(count(""), 12);
    assert_eq!(count("[[exclude]]\nparts = 4\n"), 4);
    assert_eq!(count("[[exclude]]\n\"split.parts\" = 4\nseed = 1\n"), 8);
    assert_eq!(
        count("[[exclude]]\nparts = 4\nmethod = [\"ensemble\", \"vanilla-averaging\"]\n"),
        12
    );
}

#[test]
fn include_adds_single_combinations() {
    assert_snapshot!(fusions(&sweep("[[include]]\nparts = 3\nseed = 1\nmethod = \"ensemble\"\n")), @r#"
    fuse-vanilla-averaging-parts=2-seed=1
    fuse-ensemble-parts=2-seed=1
    fuse-vanilla-averaging-parts=2-seed=2
    fuse-ensemble-parts=2-seed=2
    fuse-vanilla-averaging-parts=4-seed=1
    fuse-ensemble-parts=4-seed=1
    fuse-vanilla-averaging-parts=4-seed=2
    fuse-ensemble-parts=4-seed=2
    fuse-ensemble-parts=3-seed=1
    "#);
    assert_snapshot!(fusions(&sweep("[[include]]\nparts = 2\nseed = 7\nmethod = \"hf-linear\"\n")), @r#"
    fuse-vanilla-averaging-parts=2-seed=1
    fuse-ensemble-parts=2-seed=1
    fuse-vanilla-averaging-parts=2-seed=2
    fuse-ensemble-parts=2-seed=2
    fuse-hf-linear-uniform-parts=2-seed=7
    fuse-vanilla-averaging-parts=4-seed=1
    fuse-ensemble-parts=4-seed=1
    fuse-vanilla-averaging-parts=4-seed=2
    fuse-ensemble-parts=4-seed=2
    "#);
}

#[test]
fn include_wins_over_exclude() {
    let text = sweep(
        "[[exclude]]\nmethod = \"ensemble\"\n[[include]]\nparts = 2\nseed = 2\nmethod = \"ensemble\"\n",
    );
    assert_snapshot!(fusions(&text), @r#"
    fuse-vanilla-averaging-parts=2-seed=1
    fuse-vanilla-averaging-parts=2-seed=2
    fuse-ensemble-parts=2-seed=2
    fuse-vanilla-averaging-parts=4-seed=1
    fuse-vanilla-averaging-parts=4-seed=2
    "#);
}
