//! Settings of training and fine-tuning: what is refused, and which jobs `[finetune]` adds.

use super::*;

const GROUPS: &str = "name = \"t\"\nseeds = [1]\n[dataset]\nname = \"digits\"\n[split]\nkind = \"full\"\n\
    [model-set]\nseeds = [3, 4, 5]\n[model]\nhidden = [8]\n[fusion-set]\nsamples = 50\n\
    [[fusion]]\nmethod = \"hf-linear\"\ngroups = { size = 2 }\n[[fusion]]\nmethod = \"vanilla-averaging\"\nlabel = \"Mean\"\n";

fn names(manifest: &str, overrides: &[&str], kind: &str) -> Vec<String> {
    let plan = plan(manifest, overrides);
    let jobs = plan.jobs.iter().filter(|job| job.kind().as_str() == kind);
    jobs.map(|job| {
        let (name, _) = job.name.rsplit_once('-').expect("a hash");
        format!("{name} | {}", job.label.as_deref().unwrap_or("-"))
    })
    .collect()
}

/// Asserts that the manifest's problems say all of these.
fn says(rest: &str, texts: &[&str]) {
    let report = digits(rest);
    for text in texts {
        assert!(report.contains(text), "{text} is not in\n{report}");
    }
    assert_eq!(report.matches("error: ").count(), texts.len(), "{report}");
}

#[test]
fn keys_that_do_nothing_or_exclude_each_other() {
    says(
        "\n[base]\noptimizer = { name = \"adamw\", momentum = 0.9 }\nschedule = { name = \"cosine\", gamma = 0.5 }\n\
         augment = [\"cutmix\", { name = \"mixup\", alpha = 2 }]\n",
        &[
            "error: `base.optimizer.momentum` does nothing for `adamw`",
            "error: `base.schedule.gamma` does nothing for `cosine`",
            "error: `base.augment`: `cutmix` and `mixup` exclude each other",
        ],
    );
    says(
        "\n[base]\nschedule = { name = \"cosin\" }\n",
        &["error: unknown value `cosin` for `base.schedule.name`"],
    );
    says(
        "\n[base]\naugment = [\"flip\", { name = \"random-crop\", alpha = 2 }]\n",
        &["error: unknown key `alpha`"],
    );
    says(
        "\n[base]\naugment = [\"flip\", \"crop\"]\n",
        &["error: unknown value `crop` for `base.augment.1`"],
    );
    says(
        "\n[base]\naugment = [{ name = \"flip\", probability = 1.5 }]\n",
        &["error: `base.augment.0`: `probability` must be between 0 and 1, not 1.5"],
    );
    says(
        "\n[base]\naccumulate = 0\nclip-norm = -1\n[resources]\ncheckpoint = \"often\"\n",
        &[
            "error: `base.accumulate` must be at least 1, not 0",
            "error: `base.clip-norm` must be at least 0, not -1",
            "error: `resources.checkpoint` is not a duration",
        ],
    );
}

#[test]
fn a_grid_needs_something_to_choose_by() {
    says(
        "\n[finetune]\nlr = [1e-3, 1e-4]\nepochs = 2\nselect = \"last\"\n",
        &["error: `finetune.select` cannot be `last` where there is something to choose"],
    );
    says(
        "\n[finetune]\nlr = 1e-3\nepochs = [2, 4]\nval-ratio = 0\n",
        &["error: `finetune.val-ratio` is 0, so there is nothing to choose the best pair by"],
    );
    says("\n[finetune]\nlr = []\n", &["error: `finetune.lr` is empty"]);
    says(
        "\n[finetune]\nof = \"all\"\n",
        &["error: unknown value `all` for `finetune.of.0`"],
    );
    says(
        "\n[finetune]\nepochs = [0]\n",
        &["error: `finetune.epochs.0` must be between 1"],
    );
}

#[test]
fn fine_tuning_adds_jobs_and_leaves_the_others_as_they_are() {
    let both = ["finetune.lr=[1e-3, 1e-4]", "finetune.epochs=2"];
    let keys = |overrides: &[&str]| -> Vec<String> {
        let plan = plan(GROUPS, overrides);
        let others = plan.jobs.iter().filter(|job| job.kind().as_str() != "finetune");
        others.map(|job| job.key.clone()).collect()
    };
    assert_eq!(keys(&[]), keys(&both));
    assert_eq!(
        names(GROUPS, &both, "finetune"),
        [
            "finetune-model_0-seed=3 | -",
            "finetune-model_1-seed=4 | -",
            "finetune-model_2-seed=5 | -",
            "finetune-of-vanilla-averaging-g0-1-seed=1 | Vanilla averaging of fine-tuned models, groups of 2",
            "finetune-of-vanilla-averaging-g0-2-seed=1 | Vanilla averaging of fine-tuned models, groups of 2",
            "finetune-of-vanilla-averaging-g1-2-seed=1 | Vanilla averaging of fine-tuned models, groups of 2",
            "finetune-of-ensemble-g0-1-seed=1 | Ensemble of fine-tuned models, groups of 2",
            "finetune-of-ensemble-g0-2-seed=1 | Ensemble of fine-tuned models, groups of 2",
            "finetune-of-ensemble-g1-2-seed=1 | Ensemble of fine-tuned models, groups of 2",
            "finetune-of-vanilla-averaging-seed=1 | Mean of fine-tuned models",
            "finetune-vanilla-averaging-g0-1-seed=1 | -",
            "finetune-vanilla-averaging-g0-2-seed=1 | -",
            "finetune-vanilla-averaging-g1-2-seed=1 | -",
            "finetune-hf-linear-uniform-g0-1-seed=1 | -",
            "finetune-hf-linear-uniform-g0-2-seed=1 | -",
            "finetune-hf-linear-uniform-g1-2-seed=1 | -",
            "finetune-vanilla-averaging-seed=1 | Mean, fine-tuned",
        ]
    );
}

#[test]
fn a_fine_tuning_schedule_without_a_name_is_the_default_one_with_what_is_given() {
    says(
        "\n[finetune]\nschedule = { every = 5 }\n",
        &["error: `finetune.schedule.every` does nothing for `restarts`"],
    );
    says(
        "\n[finetune]\nschedule = { name = \"cosine\", period = 20 }\n",
        &["error: `finetune.schedule.period` does nothing for `cosine`"],
    );
    let of = |rest: &str| {
        let manifest = resolved(&format!("{DIGITS}{rest}"), &[]);
        let settings = &manifest.points[0].settings.finetune;
        settings.clone().expect("told to").schedule
    };
    let (default, longer) = (
        of("\n[finetune]\nlr = 1e-3\n"),
        of("\n[finetune]\nschedule = { period = 20 }\n"),
    );
    assert_eq!((default.period, default.factor), (Some(10), Some(2)));
    assert_eq!(
        (longer.name, longer.period, longer.factor),
        (default.name, Some(20), Some(2))
    );
}
