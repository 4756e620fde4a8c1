//! Warnings: what can be done, and surely is not meant.

use insta::assert_snapshot;

use super::*;

fn warnings(text: &str, overrides: &[&str]) -> Vec<String> {
    let folder = folder(text);
    let overrides = overrides.iter().map(|text| set(text)).collect();
    let layers = Layers::read(&folder.path().join("m.toml"), overrides).expect("readable");
    let resolved = resolve(&layers).unwrap_or_else(|error| panic!("{error}"));
    let path = format!("{}/", folder.path().display());
    resolved
        .warnings
        .iter()
        .map(|warning| warning.to_string().replace(&path, ""))
        .collect()
}

/// Whether there is a warning of each text and place, and no other.
fn assert_warns(text: &str, overrides: &[&str], expected: &[[&str; 2]]) {
    let found = warnings(text, overrides);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, [message, place]) in found.iter().zip(expected) {
        assert!(found.contains(message) && found.contains(place), "{found}");
    }
}

const SWEEP: &str = r#"name = "t"
[dataset]
name = "digits"
[split]
kind = "non-iid"
parts = [2, 4]
[[fusion]]
method = "vanilla-averaging"
[[fusion]]
method = "kf-gradient"
kmeans-runs = [1, 2]
"#;

#[test]
fn excludes_includes_and_adjusts_that_have_no_effect() {
    let text = format!(
        "{SWEEP}[[exclude]]\nparts = 8\nmethod = \"vanilla-averaging\"\n\n[adjust.large]\nwhen = {{ parts = 16 }}\nbase.epochs = 50\n\n\
         [adjust.clusters]\nkf-linear.tries = 3\n\n[adjust.runs]\nwhen = {{ kmeans-runs = 3 }}\nkf-gradient.patience = 2\n\n\
         [[include]]\nparts = 2\n"
    );
    assert_snapshot!(warnings(&text, &[]).join("\n\n"), @r#"
    this `[[exclude]]` drops nothing
      --> m.toml:12:1
        |
     12 | [[exclude]]
        | ^^^^^^^^^^^

    hint: no combination has all these values: leave it out, or correct them

    this `when` never holds
      --> m.toml:17:8
        |
     17 | when = { parts = 16 }
        |        ^^^^^^^^^^^^^^

    hint: no combination has all these values: leave the adjustment out, or correct them

    no `[[fusion]]` has the method `kf-linear`
      --> m.toml:21:1
        |
     21 | kf-linear.tries = 3
        | ^^^^^^^^^

    hint: leave the adjustment out, or correct it

    this `when` fits no fusion by `kf-gradient`
      --> m.toml:24:8
        |
     24 | when = { kmeans-runs = 3 }
        |        ^^^^^^^^^^^^^^^^^^^

    hint: leave the adjustment out, or correct it

    this `[[include]]` adds nothing
      --> m.toml:27:1
        |
     27 | [[include]]
        | ^^^^^^^^^^^

    hint: the manifest has these combinations anyway: leave it out, or correct its values
    "#);
}

#[test]
fn what_has_an_effect_is_not_warned_of() {
    for text in [
        "[[exclude]]\nparts = [4, 8]\nmethod = \"kf-gradient\"\n",
        // Both drop the same; each would alone.
        "[[exclude]]\nparts = 4\n[[exclude]]\nparts = 4\nmethod = \"kf-gradient\"\n",
        "[[exclude]]\nkmeans-runs = 2\n",
        "[[include]]\nparts = 3\n",
        "[[include]]\nseed = 7\nparts = 2\n",
        "[[include]]\nmethod = \"ensemble\"\nparts = 2\n",
        // It brings back what was dropped.
        "[[exclude]]\nparts = 2\n[[include]]\nparts = 2\n",
        "[adjust.a]\nwhen = { parts = 4, kmeans-runs = 2 }\nkf-gradient.patience = 3\n",
        "[adjust.a]\nkf-gradient.patience = 3\n",
    ] {
        assert_eq!(
            warnings(&format!("{SWEEP}{text}"), &[]),
            Vec::<String>::new(),
            "{text}"
        );
    }
}

#[test]
fn an_axis_with_a_value_twice() {
    let text = SWEEP.replace("[2, 4]", "[2, 4, 2]");
    assert_warns(
        &text,
        &[],
        &[["`split.parts` has the value 2 twice", "m.toml:6:16"]],
    );
    assert_warns(
        SWEEP,
        &["split.parts=[2,2]", "base.optimizer.lr=[1e-3,0.001,1e-2]"],
        &[
            ["`base.optimizer.lr` has the value 0.001 twice", "--set base"],
            ["`split.parts`", "--set split.parts=[2,2]"],
        ],
    );
    let hidden = format!("{SWEEP}[model]\nhidden = [[8], [16], [8]]\n");
    assert_warns(
        &hidden,
        &[],
        &[["`model.hidden` has the value [8] twice", "m.toml:13:"]],
    );
    let finetune = format!("{SWEEP}[finetune]\nlr = [1e-3, 1e-4, 0.001]\nepochs = 3\n");
    assert_warns(
        &finetune,
        &[],
        &[["`finetune.lr` has the value 0.001 twice", "m.toml:13:19"]],
    );
}

#[test]
fn trainings_that_teach_nothing() {
    let warm = format!("{SWEEP}[base]\nepochs = [1, 3, 9]\nwarmup-epochs = 3\n");
    assert_warns(
        &warm,
        &[],
        &[
            [
                "`base.epochs` is 1: the only epoch has learning rate 0",
                "m.toml:14:17",
            ],
            [
                "`base.epochs` is 3: the learning rate never reaches `lr`",
                "m.toml:14:17",
            ],
        ],
    );
    assert_warns(
        SWEEP,
        &["base.clip-norm=0"],
        &[["`base.clip-norm` is 0", "--set base.clip-norm=0"]],
    );
    assert_warns(
        SWEEP,
        &["base.optimizer.lr=0"],
        &[["`base.optimizer.lr` is 0", "--set"]],
    );
    let finetune =
        format!("{SWEEP}[finetune]\nlr = 1e-3\nepochs = [2, 8]\nwarmup-epochs = 2\nclip-norm = 0.0\n");
    assert_warns(
        &finetune,
        &[],
        &[
            [
                "`finetune.warmup-epochs` is 2 and `finetune.epochs` is 2",
                "m.toml:15:",
            ],
            ["`finetune.clip-norm` is 0", "m.toml:16:"],
        ],
    );
    // Nothing is trained.
    assert_warns(
        SWEEP,
        &[
            "base.models=nowhere/*.pt",
            "base.epochs=1",
            "base.warmup-epochs=5",
        ],
        &[],
    );
    // An adjustment mends it.
    let mended = format!("{SWEEP}[base]\nepochs = 2\nwarmup-epochs = 3\n[adjust.a]\nbase.epochs = 9\n");
    assert_warns(&mended, &[], &[]);
}

#[test]
fn the_warm_up_is_a_tenth_of_the_training_by_default_and_at_most_5() {
    for (epochs, warmup) in [(1, 0), (9, 0), (10, 1), (25, 2), (49, 4), (50, 5), (1000, 5)] {
        let settings = |text: &str| resolved(SWEEP, &[text]).points[0].settings.base.warmup_epochs;
        assert_eq!(settings(&format!("base.epochs={epochs}")), warmup, "{epochs}");
    }
    assert_eq!(resolved(SWEEP, &[]).points[0].settings.base.warmup_epochs, 2);
    assert_eq!(
        resolved(SWEEP, &["base.warmup-epochs=5"]).points[0]
            .settings
            .base
            .warmup_epochs,
        5
    );
    // What a point's own epochs are, by an axis or by `[adjust]`.
    let both =
        format!("{SWEEP}[base]\nepochs = [10, 30]\n[adjust.a]\nwhen = {{ parts = 4 }}\nbase.epochs = 60\n");
    let of = |text: &str| -> Vec<usize> {
        resolved(text, &[])
            .points
            .iter()
            .map(|point| point.settings.base.warmup_epochs)
            .collect()
    };
    assert_eq!(of(&both), [1, 5, 3, 5]);
    let full = toml::to_string(&resolved(&both, &[]).manifest).expect("TOML");
    assert_eq!(of(&full), [1, 5, 3, 5], "{full}");
}

/// What is shared may be for other manifests.
#[test]
fn what_stands_in_an_extended_manifest_is_not_warned_of() {
    let folder = folder("extends = \"common.toml\"\nname = \"t\"\n[split]\nparts = 2\n");
    let common =
        format!("{SWEEP}[[exclude]]\nparts = 8\n[adjust.a]\nwhen = {{ parts = 4 }}\nbase.epochs = 3\n");
    write(folder.path(), "common.toml", common);
    let read = |overrides| {
        resolve(&Layers::read(&folder.path().join("m.toml"), overrides).expect("readable")).expect("sound")
    };
    assert_eq!(read(Vec::new()).warnings, []);
    assert_eq!(read(vec![set("exclude.0.parts=16")]).warnings.len(), 1);
}

/// The manifests of the project mean what they say.
#[test]
fn committed_manifests_have_no_warnings() {
    for entry in std::fs::read_dir("experiments").expect("the folder").flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            let layers = Layers::read(&path, Vec::new()).expect("readable");
            let manifest = resolve(&layers).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(manifest.warnings, [], "{}", path.display());
        }
    }
}

/// Settings leave a key out where it has its default; selectors ask for it all the same.
#[test]
fn defaults_that_settings_leave_out_are_selected() {
    let text = format!("{SWEEP}[base]\naccumulate = [1, 2]\n[[exclude]]\naccumulate = 1\n");
    let all = resolved(&text, &[]);
    assert_eq!(all.warnings, []);
    assert!(all.points.iter().all(|point| point.settings.base.accumulate == 2));
    let text = format!("{SWEEP}[base]\naccumulate = [2, 1]\n[[exclude]]\n\"base.accumulate\" = [2, 3]\n");
    let all = resolved(&text, &[]);
    assert!(all.points.iter().all(|point| point.settings.base.accumulate == 1));
    let text = format!(
        "{SWEEP}[base]\naccumulate = [2, 1]\n[adjust.a]\nwhen = {{ accumulate = 1 }}\nbase.epochs = 7\n"
    );
    let adjusted = resolved(&text, &[]);
    for point in &adjusted.points {
        let base = &point.settings.base;
        assert_eq!(base.epochs == 7, base.accumulate == 1);
    }
}
