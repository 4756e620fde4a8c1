//! Layers of configuration.

use super::*;

const LAYERED: &str =
    "extends = \"base.toml\"\nname = \"child\"\n[dataset]\nname = \"digits\"\n[base]\nepochs = 3\n";

fn layered() -> TempDir {
    let folder = folder(LAYERED);
    write(
        folder.path(),
        "base.toml",
        "name = \"parent\"\nseeds = [1, 2]\n[base]\nepochs = 9\nbatch-size = 7\noptimizer = { name = \"sgd\", lr = 0.5 }\n",
    );
    folder
}

fn read(folder: &Path, overrides: Vec<Override>) -> Resolved {
    resolve(&Layers::read(&folder.join("m.toml"), overrides).expect("readable")).expect("no problems")
}

#[test]
fn a_manifest_wins_over_what_it_extends_key_by_key() {
    let manifest = read(layered().path(), Vec::new());
    let base = &manifest.points[0].settings.base;
    assert_eq!(
        (manifest.name.as_str(), manifest.seeds.as_slice()),
        ("child", [1, 2].as_slice())
    );
    assert_eq!((base.epochs, base.batch_size), (3, 7));
    assert_eq!(base.optimizer.lr.to_string(), "0.5");
    assert_eq!(base.optimizer.weight_decay.to_string(), "0.00005");
}

#[test]
fn later_layers_win() {
    let folder = layered();
    let environment =
        |value: &str| Override::from_environment("RUNNER__BASE__EPOCHS", value).expect("prefix");
    let epochs = |overrides| read(folder.path(), overrides).points[0].settings.base.epochs;
    assert_eq!(epochs(vec![]), 3);
    assert_eq!(epochs(vec![environment("4")]), 4);
    assert_eq!(epochs(vec![environment("4"), set("base.epochs=5")]), 5);
    assert_eq!(
        epochs(vec![environment("4"), set("base.epochs=5"), set("base.epochs=6")]),
        6
    );
}

#[test]
fn extended_paths_are_relative_to_the_manifest_that_names_them() {
    let folder = folder("extends = \"sub/middle.toml\"\nname = \"t\"\n");
    std::fs::create_dir(folder.path().join("sub")).expect("folder");
    write(
        folder.path(),
        "sub/middle.toml",
        "extends = \"bottom.toml\"\n[split]\nparts = 5\n",
    );
    write(
        folder.path(),
        "sub/bottom.toml",
        "[dataset]\nname = \"digits\"\n[split]\nparts = 9\nkind = \"random\"\n",
    );
    let split = read(folder.path(), Vec::new()).points[0].settings.split.clone();
    assert_eq!((split.parts, split.kind), (5, runner::data::SplitKind::Random));
}

#[test]
fn values_of_overrides_are_toml_or_plain_text_and_commas_make_an_axis() {
    let parts = |text: &str| -> Vec<usize> {
        resolved(DIGITS, &[text])
            .points
            .iter()
            .map(|point| point.settings.split.parts)
            .collect()
    };
    assert_eq!(parts("split.parts=3"), [3]);
    assert_eq!(parts("split.parts=2,4"), [2, 4]);
    assert_eq!(parts("split.parts=[2, 4]"), [2, 4]);
    let kinds = resolved(DIGITS, &["split.kind=full,random"]).points.len();
    assert_eq!(kinds, 2);
    let optimizer = resolved(DIGITS, &["base.optimizer={ name = \"sgd\", lr = 1 }"]);
    assert_eq!(optimizer.points[0].settings.base.optimizer.lr.to_string(), "1");
    assert_eq!(resolved(DIGITS, &["name=other"]).name, "other");
}

#[test]
fn a_number_in_a_path_is_a_position_in_a_list() {
    let text = format!("seeds = [1, 2]\n{DIGITS}[[fusion]]\nmethod = \"ensemble\"\n");
    let manifest = resolved(&text, &["seeds.1=9", "fusion.0.head-weights=true"]);
    assert_eq!(manifest.seeds, [1, 9]);
    let settings = serde_json::to_value(&manifest.points[0].fusions[0].method).expect("JSON");
    assert_eq!(settings["head-weights"], true);
}

#[test]
fn the_environment_spells_keys_with_underscores() {
    let item = Override::from_environment("RUNNER__FUSION_SET__SAMPLES", "7").expect("prefix");
    assert_eq!(
        (item.path, item.value),
        (vec!["fusion-set".to_string(), "samples".into()], "7".to_string())
    );
    assert_eq!(Override::from_environment("PATH", "x"), None);
}

#[test]
fn a_resolved_manifest_is_a_manifest_that_plans_the_same_jobs() {
    let quickstart = std::fs::read_to_string("experiments/quickstart.toml").expect("quickstart");
    let odd = format!(
        "description = \"d\"\nmethod-seeds = [0, 3]\n{DIGITS}[split]\nparts = [2, 3]\nkind = \"random\"\n[model]\nhidden = [[64], []]\n\
         [[fusion]]\nmethod = \"ensemble\"\nhead-weights = [true, false]\n[[exclude]]\nparts = 3\nseed = 1\n\
         [[include]]\nparts = 2\nseed = 4\nmethod = \"hf-linear\"\n[resources]\ntimeout = \"1h\"\n"
    );
    for text in [quickstart, odd] {
        let full = toml::to_string(&resolved(&text, &[]).manifest).expect("TOML");
        let (before, after) = (plan(&text, &[]), plan(&full, &[]));
        assert_eq!(before.jobs, after.jobs, "{full}");
    }
}
