//! What is in a job's key, and what is not.

use std::collections::BTreeSet;

use super::*;

const FULL: &str = "# a comment\nname = \"t\"\nseeds = [1]\nmethod-seeds = [0]\n\
    [dataset]\nname = \"digits\"\n[split]\nkind = \"non-iid\"\nparts = 2\nval-ratio = 0.1\n\
    [model]\narchitecture = \"mlp\"\nhidden = [8]\n[base]\nepochs = 3\n\
    [fusion-set]\nsamples = 50\n[[fusion]]\nmethod = \"hf-linear\"\n";

fn keys(plan: &Plan, kind: &str) -> BTreeSet<String> {
    plan.jobs
        .iter()
        .filter(|job| job.kind().as_str() == kind)
        .map(|job| job.key.clone())
        .collect()
}

/// Which kinds of jobs get other keys by an override.
fn changed(item: &str) -> Vec<&'static str> {
    let (before, after) = (plan(FULL, &[]), plan(FULL, &[item]));
    ["train", "fuse"]
        .into_iter()
        .filter(|kind| keys(&before, kind) != keys(&after, kind))
        .collect()
}

#[test]
fn every_setting_that_can_change_a_number_is_in_the_key() {
    for item in [
        "seeds=[2]",
        "dataset.mean=[0.5]",
        "dataset.std=[0.5]",
        "dataset.size=28",
        "split.kind=random",
        "split.val-ratio=0.2",
        "model.hidden=[9]",
        "model.bias=false",
        "model.level-activations=true",
        "base.epochs=4",
        "base.batch-size=64",
        "base.optimizer.name=sgd",
        "base.optimizer.lr=0.01",
        "base.optimizer.weight-decay=0",
        "base.optimizer={name=\"sgd\", momentum=0.9}",
        "base.optimizer={name=\"sgd\", momentum=0.9, nesterov=true}",
        "base.schedule.name=constant",
        "base.schedule.hold=1",
        "base.accumulate=2",
        "base.clip-norm=1.0",
        "base.augment=[\"flip\"]",
        "base.select=test",
        "base.warmup-epochs=2",
        "base.min-lr=0",
        "base.label-smoothing=0.1",
        "base.select=last",
    ] {
        assert_eq!(changed(item), ["train", "fuse"], "{item}");
    }
    for item in [
        "base.order=test-accuracy",
        "fusion-set.samples=51",
        "fusion-set.indices=[1]",
        "fusion.0.norm-acts=true",
        "fusion.0.cutoff=0.1",
    ] {
        assert_eq!(changed(item), ["fuse"], "{item}");
    }
}

#[test]
fn method_seeds_count_for_methods_that_draw() {
    assert_eq!(
        changed("method-seeds=[1]"),
        Vec::<&str>::new(),
        "hf-linear draws nothing"
    );
    let random = FULL.replace("hf-linear", "kf-linear");
    let fusions = |item: &[&str]| keys(&plan(&random, item), "fuse");
    let (before, after) = (fusions(&[]), fusions(&["method-seeds=[0, 1]"]));
    assert!(before.is_subset(&after) && after.len() == 2, "{after:?}");
}

#[test]
fn names_labels_paths_limits_and_reports_are_not() {
    for item in [
        "name=other",
        "description=x",
        "dataset.dir=elsewhere",
        "fusion.0.label=mine",
        "resources.timeout=1h",
        "resources.checkpoint=1m",
        "resources.cores=2",
        "resources.memory=4G",
        "resources.gpus=0.5",
        "finetune={epochs=1}",
        "report=[{metric=\"loss\"}]",
    ] {
        assert_eq!(changed(item), Vec::<&str>::new(), "{item}");
    }
}

#[test]
fn text_of_the_manifest_is_not() {
    let rewritten = FULL
        .replace("# a comment\n", "")
        .replace("epochs = 3", "epochs    =    3 # three\nbatch-size = 128");
    assert_eq!(plan(FULL, &[]).jobs, plan(&rewritten, &[]).jobs);
}

#[test]
fn content_of_inputs_and_the_kind_of_device_are_in_the_key() {
    let manifest = resolved(FULL, &[]);
    let with = |hash: &str, device: &str| {
        let mut inputs = Inputs::default();
        inputs.datasets.insert("digits".into(), hash.into());
        let plan = build(&manifest, &inputs, device).expect("no name twice");
        plan.jobs
            .iter()
            .map(|job| job.key.clone())
            .collect::<BTreeSet<_>>()
    };
    let first = with("a", "cpu");
    assert_eq!(first, with("a", "cpu"));
    assert!(first.is_disjoint(&with("b", "cpu")));
    assert!(first.is_disjoint(&with("a", "cuda")));
}

#[test]
fn paths_of_models_are_not_in_the_key_their_content_is() {
    let with = |pattern: &str, hash: &str| {
        let manifest = resolved(FULL, &[&format!("base.models={pattern}")]);
        let file = |name: &str| runner::plan::ModelFile {
            path: name.into(),
            hash: hash.into(),
        };
        let mut inputs = Inputs::default();
        inputs.models.insert(
            pattern.into(),
            vec![file(&format!("{pattern}/0")), file(&format!("{pattern}/1"))],
        );
        let plan = build(&manifest, &inputs, "cpu").expect("no name twice");
        plan.jobs.iter().map(|job| job.key.clone()).collect::<Vec<_>>()
    };
    assert_eq!(with("here", "h"), with("there", "h"));
    assert_ne!(with("here", "h"), with("here", "i"));
}

#[test]
fn names_are_files_and_unique() {
    let plan = plan(
        FULL,
        &[
            "split.parts=2",
            "base.optimizer.lr=[1e-3, 1e-4]",
            "model.hidden=[[8], [9, 9]]",
            "seeds=[1,2,3]",
        ],
    );
    let names: BTreeSet<&str> = plan.jobs.iter().map(|job| job.name.as_str()).collect();
    assert_eq!(names.len(), plan.jobs.len());
    for name in names {
        assert!(
            name.len() < 200
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "._-+=".contains(c)),
            "{name}"
        );
    }
}

#[test]
fn a_changed_setting_is_named_with_both_values() {
    let settings = |item: &str| plan(FULL, &[item]).jobs[0].identity_settings();
    let differences = runner::plan::key::differences(&settings("base.epochs=3"), &settings("base.epochs=5"));
    assert_eq!(differences, ["base.epochs: 3 -> 5"]);
}
