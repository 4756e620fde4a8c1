//! `[adjust.NAME]`, `[other-models]`, several manifests extended at once.

use insta::assert_snapshot;
use runner::fusion::Method;
use runner::plan::Task;

use super::*;

const SWEEP: &str = r#"name = "t"

[dataset]
name = "digits"

[split]
kind = "non-iid"
parts = [2, 4]

[base]
epochs = 3

[[fusion]]
method = "kf-gradient"
level = { lr = 0.5, epochs = 7 }

[adjust.a]
kf-gradient.start = "second"

[adjust.b]
when = { parts = 4 }
base.epochs = 2
kf-gradient.level = { optimizer = "sgd" }
"#;

/// Parts, epochs, and the settings of KF gradient, by point.
fn settings(resolved: &Resolved) -> Vec<String> {
    let points = resolved.points.iter().map(|point| {
        let fusions = point.fusions.iter().map(|fusion| {
            let Method::KfGradient(method) = &fusion.method else {
                return String::new();
            };
            let level = &method.level;
            format!(
                "{:?} {:?} {} {} {:?}",
                method.start,
                level.optimizer,
                level.lr,
                level.epochs,
                fusion.axes.keys().collect::<Vec<_>>()
            )
        });
        let fusions: Vec<String> = fusions.collect();
        let settings = &point.settings;
        format!(
            "{} parts, {} epochs: {}",
            settings.split.parts,
            settings.base.epochs,
            fusions.join("; ")
        )
    });
    points.collect()
}

#[test]
fn values_depend_on_others() {
    assert_snapshot!(settings(&resolved(SWEEP, &[])).join("\n"), @r#"
    2 parts, 3 epochs: Second Adam 0.5 7 []
    4 parts, 2 epochs: Second Sgd 0.5 7 []
    "#);
    // They are no axes: names of jobs do not tell them.
    let names = plan(SWEEP, &[]);
    assert_eq!(stems(&names)[7], "fuse-kf-gradient-uniform-parts=4-seed=1");
}

#[test]
fn an_adjustment_can_be_told_from_the_command_line_and_by_a_manifest_that_extends() {
    let changed = resolved(
        SWEEP,
        &["adjust.b.base.epochs=1", "adjust.c.kf-gradient.level.lr=2.0"],
    );
    assert_snapshot!(settings(&changed).join("\n"), @r#"
    2 parts, 3 epochs: Second Adam 2 7 []
    4 parts, 1 epochs: Second Sgd 2 7 []
    "#);
    let folder = folder("extends = \"base.toml\"\nname = \"child\"\n[adjust.c]\nbase.epochs = 9\n");
    write(folder.path(), "base.toml", SWEEP);
    let layers = Layers::read(&folder.path().join("m.toml"), Vec::new()).expect("readable");
    assert_snapshot!(settings(&resolve(&layers).expect("no problems")).join("\n"), @r#"
    2 parts, 9 epochs: Second Adam 0.5 7 []
    4 parts, 9 epochs: Second Sgd 0.5 7 []
    "#);
}

#[test]
fn the_complete_manifest_is_the_same_experiment() {
    let first = resolved(SWEEP, &[]);
    let text = toml::to_string(&first.manifest).expect("TOML");
    assert_eq!(settings(&resolved(&text, &[])), settings(&first));
}

#[test]
fn some_fusions_of_a_method_are_adjusted() {
    let text = "name = \"t\"\n[dataset]\nname = \"digits\"\n[split]\nparts = 4\n[[fusion]]\nmethod = \"kf-linear\"\ngroups = [{ size = 2 }, { size = 3 }]\n\
                [adjust.pairs]\nwhen = { \"groups.size\" = 2 }\nkf-linear.tries = 1\n";
    let plan = plan(text, &[]);
    for job in &plan.jobs {
        let Task::Fuse(fuse) = &job.task else { continue };
        if let Method::KfLinear(method) = &fuse.method {
            assert_eq!(method.tries, if fuse.models.len() == 2 { 1 } else { 10 });
        }
    }
}

#[test]
fn what_cannot_be_adjusted_says_why() {
    assert_snapshot!(
        digits("[adjust]\nepochs = 3\n"),
        @r#"
        error: `adjust.epochs` must be a table
          --> m.toml:6:1
           |
         6 | epochs = 3
           | ^^^^^^

        hint: adjustments have names: `[adjust.four-parts]` with `when = { parts = 4 }` and `base.epochs = 150`
        "#
    );
    assert_snapshot!(
        digits("[adjust.a]\nbase.epochs = [1, 2]\n"),
        @r#"
        error: `base.epochs` must be a single value here
          --> m.toml:6:15
           |
         6 | base.epochs = [1, 2]
           |               ^^^^^^

        hint: a list is an axis, and axes stand in the sections themselves; several adjustments with different `when` set different values
        "#
    );
    assert_snapshot!(
        digits("[adjust.a]\nbase.epoch = 1\n"),
        @r#"
        error: unknown key `epoch`
          --> m.toml:6:6
           |
         6 | base.epoch = 1
           |      ^^^^^

        hint: did you mean `epochs`?
        "#
    );
    assert_snapshot!(
        digits("[adjust.a]\nbases.epochs = 1\n"),
        @r#"
        error: unknown key `bases`
          --> m.toml:6:1
           |
         6 | bases.epochs = 1
           | ^^^^^

        hint: did you mean `base`?
        "#
    );
    assert_snapshot!(
        digits("[adjust.a]\nwhen = { part = 2 }\nbase.epochs = 1\n"),
        @r#"
        error: unknown key `part`
          --> m.toml:6:10
           |
         6 | when = { part = 2 }
           |          ^^^^

        hint: did you mean `parts`?
        "#
    );
    assert_snapshot!(
        digits("[adjust.a]\nwhen = { seed = 2 }\nbase.epochs = 1\n"),
        @r#"
        error: `when` cannot speak of seeds: all seeds are treated alike
          --> m.toml:6:8
           |
         6 | when = { seed = 2 }
           |        ^^^^^^^^^^^^
        "#
    );
    assert_snapshot!(
        digits("[adjust.a]\nwhen = { method = \"kf-linear\" }\nbase.epochs = 1\n"),
        @r#"
        error: `when` speaks of fusions, but this is set for models, too
          --> m.toml:7:1
           |
         7 | base.epochs = 1
           | ^^^^

        hint: make two adjustments of it, one of them for methods alone
        "#
    );
    assert_snapshot!(
        digits("[adjust.a]\nbase.epochs = \"many\"\n"),
        @r#"
        error: `base.epochs` must be a whole number, 0 or more, not "many"
          --> m.toml:6:15
           |
         6 | base.epochs = "many"
           |               ^^^^^^
        "#
    );
    assert_snapshot!(
        digits("[[fusion]]\nmethod = \"kf-gradient\"\n[adjust.a]\nkf-gradient.level.epochs = -1\n"),
        @r#"
        error: `fusion.0.level.epochs` must be a whole number, 0 or more, not -1
          --> m.toml:8:28
           |
         8 | kf-gradient.level.epochs = -1
           |                            ^^
        "#
    );
}

#[test]
fn the_other_models_are_others() {
    let text = "name = \"t\"\n[dataset]\nname = \"digits\"\n[model]\nhidden = [8]\n[other-models]\nhidden = [[4], [16]]\n[[fusion]]\nmethod = \"kf-linear\"\n";
    let plan = plan(text, &[]);
    // The first model is the same at both points.
    assert_snapshot!(stems(&plan).join("\n"), @r"
    train-model_0-hidden=-4--seed=1
    train-model_1-hidden=-4--seed=1
    fuse-kf-linear-uniform-hidden=-4--seed=1
    train-model_1-hidden=-16--seed=1
    fuse-kf-linear-uniform-hidden=-16--seed=1
    ");
    let hidden = |job: usize| plan.jobs[job].identity_settings()["model"]["hidden"].to_string();
    assert_eq!([hidden(0), hidden(1), hidden(3)], ["[8]", "[4]", "[16]"]);
}

#[test]
fn methods_that_need_equal_networks_are_refused() {
    let text = "[model]\nhidden = [8]\n[other-models]\nhidden = [4]\n[[fusion]]\nmethod = \"hf-linear\"\n[[fusion]]\nmethod = \"kf-gradient\"\nstart = \"second\"\n";
    assert_snapshot!(digits(text), @r#"
    error: `hf-linear` needs models of one architecture, but layer `fc1` is [8, 64] in `[model]` and [4, 64] in `[other-models]`
      --> m.toml:10:10
        |
     10 | method = "hf-linear"
        |          ^^^^^^^^^^^

    hint: `[other-models]` differ from `[model]`: leave the method out, or drop the combination by `[[exclude]]`

    error: `kf-gradient` with `start = "second"` needs a second model as wide as the first, but level `fc1` has 8 neurons in `[model]` and 4 in `[other-models]`
      --> m.toml:12:10
        |
     12 | method = "kf-gradient"
        |          ^^^^^^^^^^^^^

    hint: `[other-models]` differ from `[model]`: leave the method out, or drop the combination by `[[exclude]]`
    "#);
    let deeper =
        "[model]\nhidden = [8]\n[other-models]\nhidden = [8, 8]\n[[fusion]]\nmethod = \"otfusion\"\n";
    assert_snapshot!(digits(deeper), @r#"
    error: `otfusion` needs models whose layers differ in nothing but their widths, but the number of layers is 2 in `[model]` and 3 in `[other-models]`
      --> m.toml:10:10
        |
     10 | method = "otfusion"
        |          ^^^^^^^^^^

    hint: `[other-models]` differ from `[model]`: leave the method out, or drop the combination by `[[exclude]]`
    "#);
}

#[test]
fn of_several_manifests_the_last_one_wins() {
    let folder = folder("extends = [\"a.toml\", \"sub/b.toml\"]\nname = \"t\"\n");
    write(
        folder.path(),
        "a.toml",
        "[dataset]\nname = \"digits\"\n[base]\nepochs = 3\nbatch-size = 7\n",
    );
    std::fs::create_dir(folder.path().join("sub")).expect("made");
    write(
        folder.path(),
        "sub/b.toml",
        "extends = \"c.toml\"\n[base]\nepochs = 4\n",
    );
    write(
        folder.path(),
        "sub/c.toml",
        "[base]\nepochs = 5\nbatch-size = 9\n[split]\nparts = 3\n",
    );
    let layers = Layers::read(&folder.path().join("m.toml"), Vec::new()).expect("readable");
    let resolved = resolve(&layers).expect("no problems");
    let settings = &resolved.points[0].settings;
    assert_eq!(
        (
            settings.base.epochs,
            settings.base.batch_size,
            settings.split.parts
        ),
        (4, 9, 3)
    );
    // One that is extended twice is no circle.
    write(
        folder.path(),
        "a.toml",
        "extends = \"sub/c.toml\"\n[dataset]\nname = \"digits\"\n",
    );
    assert!(Layers::read(&folder.path().join("m.toml"), Vec::new()).is_ok());
    write(
        folder.path(),
        "sub/b.toml",
        "extends = [\"c.toml\", \"d.toml\"]\n",
    );
    assert_snapshot!(report_in(folder.path(), Vec::new(), None), @r#"
    error: cannot read the manifest `sub/d.toml`: No such file or directory (os error 2)
      --> sub/b.toml:1:22
       |
     1 | extends = ["c.toml", "d.toml"]
       |                      ^^^^^^^^

    hint: paths of `extends` start from the folder of the manifest that has them
    "#);
}
