//! Sets of models, groups of them, the first n: plans, identities, problems.

use insta::assert_snapshot;
use runner::plan::Filter;

use super::*;

/// Four models trained on everything, each by its own seed.
const SET: &str = "name = \"t\"\n\n[dataset]\nname = \"digits\"\n\n[model-set]\nseeds = [11, 12, 13, 14]\n";

/// Four models as parts of one split.
const PARTS: &str = "name = \"t\"\n\n[dataset]\nname = \"digits\"\n\n[split]\nparts = 4\n";

fn lines(text: &str, overrides: &[&str]) -> String {
    let plan = plan(text, overrides);
    let line = |(job, needs): (&std::sync::Arc<JobSpec>, &Vec<usize>)| format!("{} <- {needs:?}", stem(job));
    let lines: Vec<String> = plan.jobs.iter().zip(&plan.needs).map(line).collect();
    lines.join("\n")
}

fn fusions(plan: &Plan) -> Vec<&JobSpec> {
    let jobs = plan.jobs.iter().map(AsRef::as_ref);
    jobs.filter(|job| job.kind() == runner::result::Kind::Fuse)
        .collect()
}

/// The key of the only job whose name begins so.
fn key(plan: &Plan, stem: &str) -> String {
    let mut keys = plan
        .jobs
        .iter()
        .filter(|job| job.name.starts_with(stem))
        .map(|job| job.key.clone());
    let (key, next) = (keys.next(), keys.next());
    assert!(next.is_none(), "{stem}");
    key.unwrap_or_else(|| panic!("no {stem} in {:?}", stems(plan)))
}

#[test]
fn a_set_of_models_and_all_pairs_of_them() {
    let text = format!("{SET}\n[[fusion]]\nmethod = \"hf-linear\"\ngroups = {{ size = 2 }}\n");
    assert_snapshot!(lines(&text, &[]), @r#"
    train-model_0-seed=11 <- []
    train-model_1-seed=12 <- []
    train-model_2-seed=13 <- []
    train-model_3-seed=14 <- []
    fuse-vanilla-averaging-g0-1-seed=1 <- [0, 1]
    fuse-vanilla-averaging-g0-2-seed=1 <- [0, 2]
    fuse-vanilla-averaging-g0-3-seed=1 <- [0, 3]
    fuse-vanilla-averaging-g1-2-seed=1 <- [1, 2]
    fuse-vanilla-averaging-g1-3-seed=1 <- [1, 3]
    fuse-vanilla-averaging-g2-3-seed=1 <- [2, 3]
    fuse-ensemble-g0-1-seed=1 <- [0, 1]
    fuse-ensemble-g0-2-seed=1 <- [0, 2]
    fuse-ensemble-g0-3-seed=1 <- [0, 3]
    fuse-ensemble-g1-2-seed=1 <- [1, 2]
    fuse-ensemble-g1-3-seed=1 <- [1, 3]
    fuse-ensemble-g2-3-seed=1 <- [2, 3]
    fuse-hf-linear-uniform-g0-1-seed=1 <- [0, 1]
    fuse-hf-linear-uniform-g0-2-seed=1 <- [0, 2]
    fuse-hf-linear-uniform-g0-3-seed=1 <- [0, 3]
    fuse-hf-linear-uniform-g1-2-seed=1 <- [1, 2]
    fuse-hf-linear-uniform-g1-3-seed=1 <- [1, 3]
    fuse-hf-linear-uniform-g2-3-seed=1 <- [2, 3]
    "#);
}

#[test]
fn sampled_groups_beside_all_models_and_the_first() {
    let text = format!(
        "{PARTS}\n[[fusion]]\nmethod = \"kf-linear\"\n\n[[fusion]]\nmethod = \"kf-linear\"\nfirst = [2, 3]\n\n\
         [[fusion]]\nmethod = \"kf-linear\"\ngroups = {{ size = [2, 3], sample = 2, seed = 7, with = [] }}\n"
    );
    assert_snapshot!(lines(&text, &[]), @r#"
    train-model_0-seed=1 <- []
    train-model_1-seed=1 <- []
    train-model_2-seed=1 <- []
    train-model_3-seed=1 <- []
    fuse-kf-linear-uniform-seed=1 <- [0, 1, 2, 3]
    fuse-kf-linear-uniform-first=2-seed=1 <- [0, 1]
    fuse-kf-linear-uniform-first=3-seed=1 <- [0, 1, 2]
    fuse-kf-linear-uniform-g0-3-seed=1 <- [0, 3]
    fuse-kf-linear-uniform-g0-2-3-seed=1 <- [0, 2, 3]
    fuse-kf-linear-uniform-g1-2-3-seed=1 <- [1, 2, 3]
    "#);
}

#[test]
fn what_goes_along_with_groups_can_be_listed_or_left_out() {
    let groups = "groups = { size = 3 }";
    let count = |rest: &str| fusions(&plan(&format!("{SET}\n{rest}"), &[])).len();
    let method = |name: &str, groups: &str| format!("[[fusion]]\nmethod = \"{name}\"\n{groups}\n\n");
    // Four groups of three: the method, the average, the ensemble.
    assert_eq!(count(&method("kf-linear", groups)), 12);
    assert_eq!(
        count(&(method("kf-linear", groups) + &method("kf-gradient", groups))),
        16
    );
    assert_eq!(
        count(&(method("kf-linear", groups) + &method("ensemble", groups))),
        12
    );
    assert_eq!(count(&method("kf-linear", "groups = { size = 3, with = [] }")), 4);
    assert_eq!(
        count(&method(
            "kf-linear",
            "groups = { size = 3, with = [\"ensemble\"] }"
        )),
        8
    );
    assert_eq!(count(&method("ensemble", groups)), 8);
    // Other sizes have baselines of their own.
    assert_eq!(count(&method("kf-linear", "groups = { size = [2, 3] }")), 18 + 12);
}

#[test]
fn a_job_is_known_by_its_models() {
    let text = |rest: &str| format!("{PARTS}\n[[fusion]]\nmethod = \"kf-linear\"\n{rest}");
    let all = plan(&text(""), &[]);
    let key_of_all = key(&all, "fuse-kf-linear");
    for rest in ["first = 4", "groups = { size = 4, with = [] }"] {
        let plan = plan(&text(rest), &[]);
        assert_eq!(fusions(&plan).len(), 1);
        assert_eq!(key(&plan, "fuse-kf-linear"), key_of_all, "{rest}");
    }
    let first = plan(&text("first = 2"), &[]);
    let pairs = plan(&text("groups = { size = 2 }"), &[]);
    assert_eq!(
        key(&first, "fuse-kf-linear"),
        key(&pairs, "fuse-kf-linear-uniform-g0-1")
    );
    let keys: std::collections::BTreeSet<String> = pairs.jobs.iter().map(|job| job.key.clone()).collect();
    assert_eq!(keys.len(), 4 + 3 * 6);
    // What is drawn is not in the key, only what comes out.
    let sampled = plan(&text("groups = { size = 2, sample = 3, seed = 5 }"), &[]);
    assert!(fusions(&sampled).iter().all(|job| keys.contains(&job.key)));
    assert_eq!(fusions(&sampled).len(), 9);
}

#[test]
fn models_with_seeds_of_their_own_stay_when_the_set_grows() {
    let text = |seeds: &str| {
        format!(
            "{DIGITS}\n[model-set]\nseeds = {seeds}\n\n[[fusion]]\nmethod = \"kf-linear\"\ngroups = {{ size = 2 }}\n"
        )
    };
    let keys = |seeds: &str| -> std::collections::BTreeSet<String> {
        plan(&text(seeds), &[])
            .jobs
            .iter()
            .map(|job| job.key.clone())
            .collect()
    };
    let (few, many) = (keys("[11, 12]"), keys("[11, 12, 13]"));
    assert_eq!((few.len(), many.len()), (2 + 3, 3 + 9));
    assert!(few.is_subset(&many));
    // Another place in the list is no other model.
    let bases = |seeds: &str| {
        let plan = plan(&text(seeds), &[]);
        let bases = plan
            .jobs
            .iter()
            .filter(|job| job.kind() == runner::result::Kind::Train);
        bases
            .map(|job| (job.key.clone(), job.seed))
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(bases("[11, 12, 13]"), bases("[13, 11, 12]"));
    assert!(bases("[11, 12]").is_disjoint(&bases("[1, 2]")));
    // Seeds at the top redraw the fusion set and train nothing anew.
    let plan = plan(&text("[11, 12]"), &["seeds=1,2"]);
    assert_eq!((plan.jobs.len(), fusions(&plan).len()), (2 + 6, 6));
}

#[test]
fn the_first_by_accuracy_need_all_models() {
    let text = format!(
        "{PARTS}\n[base]\norder = \"test-accuracy\"\n\n[[fusion]]\nmethod = \"kf-linear\"\nfirst = [2, 4]\n\n[[fusion]]\nmethod = \"kf-linear\"\nlabel = \"all\"\n"
    );
    let plan = plan(&text, &[]);
    let jobs = fusions(&plan);
    let needs: Vec<usize> = jobs.iter().map(|job| job.needs.len()).collect();
    assert_eq!(needs, [4, 4]);
    assert_eq!((jobs[0].models().len(), jobs[1].models().len()), (2, 4));
    assert_ne!(jobs[0].key, jobs[1].key);
    // The first four of four are all of them: one job, two places.
    assert_eq!(jobs[1].also.len(), 1);
    assert_eq!(jobs[1].also[0].label.as_deref(), Some("all"));
}

#[test]
fn groups_in_filters_and_selectors() {
    let text = format!(
        "{PARTS}\n[[fusion]]\nmethod = \"kf-linear\"\nfirst = [2, 3]\n\n[[fusion]]\nmethod = \"kf-gradient\"\ngroups = {{ size = [2, 3] }}\n"
    );
    let whole = plan(&text, &[]);
    let count = |filter: &str| {
        let filter = Filter::parse(filter).expect("a filter");
        whole.jobs.iter().filter(|job| filter.matches(job)).count()
    };
    assert_eq!(count("group=0-3"), 3);
    assert_eq!(count("group=*3*,method=kf-gradient"), 3 + 3);
    assert_eq!(count("first=2"), 1);
    assert_eq!(count("-g1-2-3"), 3);
    let left = |rest: &str| fusions(&plan(&format!("{text}\n{rest}"), &[])).len();
    assert_eq!(left(""), 2 + 18 + 12);
    assert_eq!(left("[[exclude]]\nfirst = 3\n"), 1 + 18 + 12);
    assert_eq!(left("[[exclude]]\n\"groups.size\" = 2\n"), 2 + 12);
    assert_eq!(
        left("[[exclude]]\n\"groups.size\" = [2, 3]\nmethod = \"ensemble\"\n"),
        2 + 12 + 8
    );
    assert_eq!(
        left("[[include]]\nmethod = \"hf-linear\"\n\"groups.size\" = 2\nparts = 4\n"),
        2 + 18 + 12 + 6
    );
}

#[test]
fn a_resolved_manifest_has_the_same_groups() {
    let text = format!(
        "{SET}\n[[fusion]]\nmethod = \"kf-linear\"\ngroups = {{ size = [2, 3], sample = 2, seed = 7 }}\n\n[[fusion]]\nmethod = \"otfusion\"\nfirst = 3\n"
    );
    let again = toml::to_string(&resolved(&text, &[]).manifest).expect("TOML");
    let keys = |text: &str| {
        plan(text, &[])
            .jobs
            .iter()
            .map(|job| job.key.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(&again), keys(&text), "{again}");
    assert!(!again.contains("parts"), "{again}");
}

#[test]
fn more_models_than_there_are() {
    let text = "\n[split]\nparts = [2, 4]\n\n[[fusion]]\nmethod = \"kf-linear\"\nfirst = [2, 3]\n\n[[fusion]]\nmethod = \"kf-linear\"\ngroups = { size = 5 }\n";
    assert_snapshot!(digits(text), @r#"
    error: `first` is 3, but there are only 2 models here
      --> m.toml:11:13
        |
     11 | first = [2, 3]
        |             ^

    hint: drop the combination with

        [[exclude]]
        parts = 2
        method = "kf-linear"
        first = 3

    error: `groups.size` is 5, but there are only 2 models here
      --> m.toml:15:19
        |
     15 | groups = { size = 5 }
        |                   ^

    hint: drop the combination with

        [[exclude]]
        parts = 2
        method = "kf-linear"
        "groups.size" = 5

    error: `groups.size` is 5, but there are only 4 models here
      --> m.toml:15:19
        |
     15 | groups = { size = 5 }
        |                   ^

    hint: drop the combination with

        [[exclude]]
        parts = 4
        method = "kf-linear"
        "groups.size" = 5
    "#);
}

#[test]
fn fewer_than_two() {
    let text = "\n[[fusion]]\nmethod = \"kf-linear\"\nfirst = [2, 1]\n\n[[fusion]]\nmethod = \"ensemble\"\ngroups = { size = 1 }\n\n[[fusion]]\nmethod = \"otfusion\"\ngroups = { sample = 0, size = 2 }\n";
    assert_snapshot!(digits(text), @r#"
    error: `first` must be a whole number, 2 or more
      --> m.toml:8:13
       |
     8 | first = [2, 1]
       |             ^

    hint: for example `first = 4`, or `first = [2, 4, 8]` for an axis

    error: `fusion.1.groups.size` must be at least 2, not 1
      --> m.toml:12:19
        |
     12 | groups = { size = 1 }
        |                   ^

    error: `fusion.2.groups.sample` must be between 1 and 10000, not 0
      --> m.toml:16:21
        |
     16 | groups = { sample = 0, size = 2 }
        |                     ^
    "#);
}

#[test]
fn pairs_only() {
    let text = "\n[split]\nparts = 4\n\n[[fusion]]\nmethod = \"hf-linear\"\ngroups = { size = [2, 3] }\n\n[[fusion]]\nmethod = \"git-rebasin\"\nfirst = 3\n";
    assert_snapshot!(digits(text), @r#"
    error: `hf-linear` fuses exactly two models, but `groups.size` is 3 here
      --> m.toml:11:23
        |
     11 | groups = { size = [2, 3] }
        |                       ^

    hint: drop the combination with

        [[exclude]]
        parts = 4
        method = "hf-linear"
        "groups.size" = 3

    error: `git-rebasin` fuses exactly two models, but `first` is 3 here
      --> m.toml:15:9
        |
     15 | first = 3
        |         ^

    hint: drop the combination with

        [[exclude]]
        parts = 4
        method = "git-rebasin"
        first = 3
    "#);
}

#[test]
fn keys_and_values_that_groups_do_not_have() {
    let text = "\n[[fusion]]\nmethod = \"kf-linear\"\ngroups = { size = 2, samples = 30 }\n\n[[fusion]]\nmethod = \"otfusion\"\ngroups = { sample = 2 }\n\n\
        [[fusion]]\nmethod = \"kf-gradient\"\ngroups = 2\n\n[[fusion]]\nmethod = \"logit-kd\"\ngroups = { size = 2, with = [\"ensembel\"] }\n\n\
        [[fusion]]\nmethod = \"ensemble\"\ngroups = { size = 2 }\nfirst = 2\n\n[[exclude]]\n\"group.size\" = 2\n\n[[exclude]]\nfirst = \"two\"\n";
    assert_snapshot!(digits(text), @r#"
    error: unknown key `samples`
      --> m.toml:8:22
       |
     8 | groups = { size = 2, samples = 30 }
       |                      ^^^^^^^

    hint: did you mean `sample`?

    error: `fusion.1.groups` lacks the key `size`
      --> m.toml:12:1
        |
     12 | groups = { sample = 2 }
        | ^^^^^^

    hint: add `size = ...`; `runner schema --markdown` explains all keys

    error: `groups` must be a table
      --> m.toml:16:10
        |
     16 | groups = 2
        |          ^

    hint: for example `groups = { size = 2, sample = 30, seed = 0 }`

    error: unknown value `ensembel` for `fusion.3.groups.with.0`
      --> m.toml:20:30
        |
     20 | groups = { size = 2, with = ["ensembel"] }
        |                              ^^^^^^^^^^

    hint: did you mean `ensemble`?

    error: this `[[fusion]]` has both `first` and `groups`
      --> m.toml:24:1
        |
     24 | groups = { size = 2 }
        | ^^^^^^

    hint: keep one of them

    error: unknown key `group.size`
      --> m.toml:28:1
        |
     28 | "group.size" = 2
        | ^^^^^^^^^^^^

    hint: did you mean `groups.size`?

    error: `first` is a number, not text
      --> m.toml:31:9
        |
     31 | first = "two"
        |         ^^^^^
    "#);
}

#[test]
fn too_many_groups() {
    let text = "\n[split]\nparts = [40, 100]\n\n[[fusion]]\nmethod = \"kf-linear\"\ngroups = { size = 20 }\n\n[[fusion]]\nmethod = \"ensemble\"\ngroups = { size = 20, sample = 3 }\n";
    assert_snapshot!(digits(text), @r#"
    error: there are 137846528820 groups of 20 out of 40 models
      --> m.toml:11:19
        |
     11 | groups = { size = 20 }
        |                   ^^

    hint: draw some of them, for example `groups = { size = 2, sample = 30 }`, or take another size

    error: there are too many groups of 20 out of 100 models
      --> m.toml:11:19
        |
     11 | groups = { size = 20 }
        |                   ^^

    hint: draw some of them, for example `groups = { size = 2, sample = 30 }`, or take another size

    error: there are too many groups of 20 out of 100 models
      --> m.toml:15:19
        |
     15 | groups = { size = 20, sample = 3 }
        |                   ^^

    hint: draw some of them, for example `groups = { size = 2, sample = 30 }`, or take another size
    "#);
}

#[test]
fn sets_that_contradict_themselves() {
    let text = "\n[split]\nkind = \"non-iid\"\nparts = 3\n\n[model-set]\nseeds = [1, 2, 1, 4]\n\n[base]\nmodels = \"m/*.pt\"\n";
    assert_snapshot!(digits(text), @r#"
    error: `[model-set]` goes with `split.kind = "full"` only
      --> m.toml:7:8
       |
     7 | kind = "non-iid"
       |        ^^^^^^^^^

    hint: models of other splits differ by their part; `seeds` at the top repeats the split

    error: `split.parts` is 3, but `model-set.seeds` has 4 entries
      --> m.toml:8:9
       |
     8 | parts = 3
       |         ^

    hint: leave `split.parts` out; `first = 4` in a `[[fusion]]` takes the first four models

    error: seed 1 stands twice in `model-set.seeds`
      --> m.toml:11:16
        |
     11 | seeds = [1, 2, 1, 4]
        |                ^

    hint: models of one seed would be the same model

    error: `[model-set]` says how to train models, but `base.models` imports them
      --> m.toml:14:1
        |
     14 | models = "m/*.pt"
        | ^^^^^^

    hint: keep one of them; for imported models `split.parts` is their number
    "#);
    assert_snapshot!(digits("\n[model-set]\nseed = [1, 2]\n"), @r#"
    error: unknown key `seed`
      --> m.toml:7:1
       |
     7 | seed = [1, 2]
       | ^^^^

    hint: did you mean `seeds`?
    "#);
    assert_snapshot!(digits("\n[model-set]\nseeds = []\n"), @r#"
    error: `model-set.seeds` is empty
      --> m.toml:7:9
       |
     7 | seeds = []
       |         ^^

    hint: for example `seeds = [1, 2, 3, 4, 5, 6, 7, 8]`
    "#);
}

#[test]
fn parts_that_agree_with_the_set_are_no_problem() {
    let plan = plan(SET, &["split.parts=4"]);
    assert_eq!(plan.jobs.len(), 4);
    assert_eq!(
        plan.jobs.iter().map(|job| job.key.clone()).collect::<Vec<_>>(),
        self::plan(SET, &[])
            .jobs
            .iter()
            .map(|job| job.key.clone())
            .collect::<Vec<_>>()
    );
}

#[test]
fn the_same_groups_twice() {
    let text = "\n[split]\nparts = 4\n\n[[fusion]]\nmethod = \"kf-linear\"\ngroups = { size = 2, seed = 1 }\n\n[[fusion]]\nmethod = \"kf-linear\"\n\n[[fusion]]\nmethod = \"kf-linear\"\ngroups = { size = 2, with = [] }\n";
    assert_snapshot!(digits(text), @r#"
    error: `kf-linear` is listed twice with the same settings
      --> m.toml:17:10
        |
     17 | method = "kf-linear"
        |          ^^^^^^^^^^^

    hint: drop one of the two
    "#);
}

#[test]
fn fusion_sets_that_the_first_model_of_some_group_cannot_fill() {
    let text = "\n[split]\nkind = \"stratified\"\nparts = 4\n\n[fusion-set]\nsamples = 380\n\n[[fusion]]\nmethod = \"kf-linear\"\ngroups = { size = 2 }\n";
    assert_snapshot!(digits(text), @r#"
    error: `fusion-set.samples` is 380, but model 2 has only 359 training images with seed 1 and 4 parts
      --> m.toml:11:11
        |
     11 | samples = 380
        |           ^^^

    hint: take fewer samples, or drop the combination
    "#);
}
