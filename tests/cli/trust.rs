//! A record says what was computed: inputs are compared with the job's key when they are read, and a results folder
//! depends on nothing but its records.

use std::fs;

use runner::job::inputs::gather;
use runner::manifest::{Layers, resolve};
use runner::plan::{Plan, build};
use safetensors::tensor::{Dtype, TensorView};

use super::*;

/// Images of two classes, imported models and a recorded fusion set, each in a file of its own.
fn imported() -> Bench {
    let bench = Bench::new();
    for version in ["now", "other"] {
        let at = |inside: &str| bench.path(&format!("{version}/{inside}"));
        let shade: u8 = if version == "now" { 40 } else { 90 };
        for (part, count) in [("train", 12), ("test", 4)] {
            for class in ["a", "b"] {
                fs::create_dir_all(at(&format!("set/{part}/{class}"))).expect("folders");
                for i in 0..count {
                    let value = if class == "a" { shade } else { 200 };
                    let pixels: Vec<u8> = (0..36).map(|at| value + (at * (i + 1) % 31) as u8).collect();
                    let path = at(&format!("set/{part}/{class}/{i}.png"));
                    let mut encoder = png::Encoder::new(fs::File::create(path).expect("a file"), 6, 6);
                    encoder.set_color(png::ColorType::Grayscale);
                    let written = encoder
                        .write_header()
                        .and_then(|mut writer| writer.write_image_data(&pixels));
                    written.expect("written");
                }
            }
        }
        let images: Vec<u8> = (0..20 * 36_i32)
            .flat_map(|i| ((i % i32::from(shade)) as f32 / 50.0).to_le_bytes())
            .collect();
        let view = TensorView::new(Dtype::F32, vec![20, 1, 6, 6], &images).expect("a tensor");
        let file = safetensors::serialize([("fusion.images", view)], None).expect("bytes");
        runner::result::write_atomic(&at("fusion.safetensors"), &file).expect("written");
        let (set, out, seed) = (
            bench.path("now/set").display().to_string(),
            at("").display().to_string(),
            shade.to_string(),
        );
        let size = ["--parts", "2", "--epochs", "1", "--set", "model.hidden=[8]"];
        let rest = ["--dataset", &set, "--seed", &seed, "--out", &out];
        bench.run(&[&["train"], &size[..], &rest[..]].concat()).ok();
    }
    let here = bench.path("now").display().to_string();
    bench.write(
        "tiny.toml",
        &format!(
            "name = \"tiny\"\nseeds = [1]\n[dataset]\nname = \"{here}/set\"\n[split]\nparts = 2\n[model]\nhidden = [8]\n\
             [base]\nmodels = \"{here}/model_*.safetensors\"\n[fusion-set]\nfile = \"{here}/fusion.safetensors\"\n\
             [[fusion]]\nmethod = \"hf-linear\"\n"
        ),
    );
    bench
}

fn planned(bench: &Bench) -> Plan {
    let layers = Layers::read(&bench.path("tiny.toml"), Vec::new()).expect("readable");
    let manifest = resolve(&layers).expect("sound");
    let inputs = gather(&layers, &manifest, &runner::data::Sets::default()).expect("inputs");
    build(&manifest, &inputs, "cpu").expect("no name twice")
}

/// Runs the job whose name contains `part` as it was planned.
fn work(bench: &Bench, plan: &Plan, part: &str) -> Run {
    let job = plan
        .jobs
        .iter()
        .find(|job| job.name.contains(part))
        .expect("a job");
    bench.write("job.json", &serde_json::to_string(job).expect("JSON"));
    bench.run(&["worker", "job.json", "--experiment", "tiny", "--device", "cpu"])
}

#[test]
fn an_input_that_changed_since_it_was_planned_fails_the_job() {
    let bench = imported();
    let plan = planned(&bench);
    let swap = |file: &str| {
        let [now, other, aside] =
            ["now", "other", "aside"].map(|folder| bench.path(&format!("{folder}/{file}")));
        fs::create_dir_all(bench.path("aside")).expect("a folder");
        for (from, to) in [(&now, &aside), (&other, &now), (&aside, &other)] {
            fs::rename(from, to).expect("renamed");
        }
    };
    for (file, job, what) in [
        ("set", "model_0", "the data set"),
        ("model_0.safetensors", "model_0", "the model file"),
        ("model_1.safetensors", "model_1", "the model file"),
        ("fusion.safetensors", "hf-linear", "the fusion set"),
    ] {
        swap(file);
        work(&bench, &plan, job).code(100);
        let (_, record) = bench.record(job);
        assert_eq!(
            (&record["status"], &record["metrics"]),
            (&"failed".into(), &Value::Null)
        );
        let error = record["error"]["chain"][0].as_str().expect("a message");
        assert!(
            error.starts_with(what) && error.ends_with("changed since it was planned"),
            "{error}"
        );
        swap(file);
        work(&bench, &plan, job).ok();
        assert_eq!(bench.record(job).1["status"], "ok");
    }
}

#[test]
fn a_dependency_is_known_by_its_key_not_by_its_name() {
    let bench = imported();
    let plan = planned(&bench);
    for job in ["model_0", "model_1", "hf-linear"] {
        work(&bench, &plan, job).ok();
    }
    let path = |part: &str| {
        let job = plan
            .jobs
            .iter()
            .find(|job| job.name.contains(part))
            .expect("a job");
        bench.path(&format!("results/tiny/records/{}.json", job.name))
    };
    let own = fs::read(path("model_0")).expect("a record");
    // Of another job, whole and sealed, under the first one's name.
    fs::copy(path("model_1"), path("model_0")).expect("copied");
    work(&bench, &plan, "hf-linear").code(100);
    let (_, record) = bench.record("hf-linear");
    let error = record["error"]["chain"][0].as_str().expect("a message");
    assert!(
        error.contains("evaluate-model_0") && error.ends_with("changed since it was planned"),
        "{error}"
    );
    runner::result::write_atomic(&path("model_0"), &own).expect("written");
    work(&bench, &plan, "hf-linear").ok();
}

/// Path below the results folder, and content, of what is not in the cache.
fn committed(bench: &Bench) -> BTreeMap<String, Vec<u8>> {
    let root = bench.path("results/tiny").display().to_string();
    let files = bench.files().into_iter().filter(|path| path.starts_with(&root));
    let files = files.map(|path| (path[root.len()..].to_string(), fs::read(&path).expect("readable")));
    files.filter(|(path, _)| !path.starts_with("/cache/")).collect()
}

#[test]
fn what_is_derived_from_records_is_made_again() {
    let bench = Bench::with(&format!("{TINY}\n[[report]]\ntemplate = \"methods-by-split\"\n"));
    bench.exec(&[]).ok();
    let all = committed(&bench);
    for file in all.keys().filter(|path| !path.starts_with("/records/")) {
        fs::remove_file(bench.path(&format!("results/tiny{file}"))).expect("removed");
        assert!(bench.to_run(&[]).is_empty());
        bench.exec(&[]).ok();
        assert_eq!(committed(&bench), all, "{file}");
    }
    for folder in [
        "cache/ledger",
        "cache/ledgers",
        "cache/tables.json",
        "cache/logs",
        "cache/claims",
        "cache/.gitignore",
    ] {
        let path = bench.path(&format!("results/tiny/{folder}"));
        let _ = fs::remove_file(&path);
        let _ = fs::remove_dir_all(&path);
        bench.exec(&[]).ok().says("10 up to date, 0 run");
        assert_eq!(committed(&bench), all, "{folder}");
    }
    fs::remove_dir_all(bench.path("results/tiny/cache")).expect("removed");
    bench.exec(&[]).ok().says("10 up to date, 0 run");
    assert_eq!(committed(&bench), all);
}

#[test]
fn a_results_folder_can_be_copied_moved_and_renamed() {
    let bench = Bench::with(&format!("{TINY}\n[[report]]\ntemplate = \"methods-by-split\"\n"));
    let absolute = bench.path("tiny.toml").display().to_string();
    let elsewhere = bench.path("results").display().to_string();
    bench.run(&["exec", &absolute, "--results", &elsewhere]).ok();
    // Nothing in it says where it is; a failure names files of it, too.
    let own = bench.path("results/tiny").display().to_string();
    let says_where =
        |path: &String| String::from_utf8_lossy(&fs::read(path).expect("readable")).contains(&own);
    let inside = bench
        .files()
        .into_iter()
        .filter(|path| path.starts_with(&own) && !path.contains("/logs/"));
    assert_eq!(
        inside.filter(says_where).collect::<Vec<_>>(),
        Vec::<String>::new()
    );

    fs::create_dir_all(bench.path("project")).expect("a folder");
    for name in ["results", "tiny.toml"] {
        let status = std::process::Command::new("cp")
            .args(["-r", name, "project/"])
            .current_dir(bench.folder.path())
            .status();
        assert!(status.expect("cp").success());
    }
    let copy = Bench {
        folder: tempfile::tempdir_in(bench.path("project")).expect("a folder"),
    };
    for name in ["results", "tiny.toml"] {
        fs::rename(bench.path(&format!("project/{name}")), copy.path(name)).expect("moved");
    }
    // With the original still there, and with it gone.
    for _ in 0..2 {
        copy.exec(&[]).ok().says("10 up to date, 0 run");
        for command in [
            ["status", "tiny"],
            ["table", "tiny"],
            ["report", "tiny"],
            ["plot", "tiny"],
            ["gc", "tiny"],
        ] {
            copy.run(&command).ok();
        }
        let _ = fs::remove_dir_all(bench.path("results"));
        let _ = fs::remove_file(bench.path("tiny.toml"));
    }
    fs::rename(copy.path("results/tiny"), copy.path("results/renamed")).expect("renamed");
    copy.run(&["table", "renamed"]).ok();
    copy.run(&["exec", "tiny.toml", "name=renamed"])
        .ok()
        .says("10 up to date, 0 run");
}

#[test]
fn records_of_earlier_settings_are_not_among_the_current_ones() {
    let bench = Bench::new();
    bench.exec(&[]).ok();
    let all = bench.records();
    bench.exec(&["seeds=[1]"]).ok().says("5 up to date, 0 run");
    let current = bench.records();
    assert_eq!(current.len(), 5);
    assert!(current.values().all(|record| record["seed"] == 1));
    bench.write("results/tiny/records/notes.json", "{}");
    assert!(bench.to_run(&[]).is_empty(), "they are found again");
    bench.exec(&[]).ok().says("10 up to date, 0 run");
    assert!(
        bench.path("results/tiny/records/notes.json").exists(),
        "not a job's"
    );
    fs::remove_file(bench.path("results/tiny/records/notes.json")).expect("there");
    assert_eq!(bench.records(), all);
    // Their checkpoints are where they were.
    bench.exec(&["seeds=[1]"]).ok();
    bench
        .exec(&["--force=*hf-linear*seed=2*"])
        .ok()
        .says("9 up to date, 1 run");
}

#[test]
fn a_checkpoint_that_cannot_be_renamed_is_not_pointed_to() {
    let bench = Bench::new();
    bench.exec(&["seeds=[1]"]).ok();
    let (name, _) = bench.record("hf-linear");
    // The name of the axis is in the job's name.
    let variant = ["seeds=[1]", "fusion-set.samples=[50,40]"];
    let renamed = bench.plan(&variant);
    let new = renamed
        .keys()
        .find(|job| job.contains("hf-linear") && job.contains("samples=50"))
        .expect("planned");
    let blocked = bench.path(&format!("results/tiny/cache/checkpoints/{new}.safetensors"));
    fs::create_dir_all(blocked.join("in the way")).expect("a folder");
    bench.exec(&variant).code(2).says("cannot rename");
    assert_eq!(bench.record("hf-linear").0, name, "the record is as it was");
    fs::remove_dir_all(blocked).expect("removed");
    bench.exec(&variant).ok();
}

#[test]
fn long_names_keep_their_seeds() {
    let sizes: Vec<String> = (0..60).map(|i| (100 + i % 2).to_string()).collect();
    let manifest = TINY.replace("hidden = [8]", &format!("hidden = [[8], [{}]]", sizes.join(", ")));
    let bench = Bench::with(&manifest);
    let jobs = bench.plan(&[]);
    assert_eq!(jobs.len(), 20);
    for name in jobs.keys() {
        let (rest, digits) = name.rsplit_once('-').expect("digits of the key");
        assert_eq!(digits.len(), 16, "{name}");
        assert!(rest.ends_with("-seed=1") || rest.ends_with("-seed=2"), "{name}");
        assert!(name.len() <= 167, "{name}");
    }
    assert!(jobs.keys().any(|name| name.len() == 167), "some were cut");
}

#[test]
fn records_name_the_program() {
    let bench = Bench::new();
    bench.exec(&["seeds=[1]"]).ok();
    let (name, _) = bench.record("hf-linear");
    let text = fs::read_to_string(bench.path(&format!("results/tiny/records/{name}"))).expect("readable");
    let record: Value = serde_json::from_str(&text).expect("JSON");
    let provenance = &record["provenance"];
    assert_eq!(provenance["runner"], env!("CARGO_PKG_VERSION"));
    let cpu = provenance["cpu"].as_str().expect("a kind of CPU");
    assert!(cpu.starts_with(std::env::consts::ARCH), "{cpu}");
    if std::path::Path::new(".git").exists() {
        let commit = provenance["commit"].as_str().expect("the program's commit");
        assert!(
            commit.len() == 40 && provenance["dirty"].is_boolean(),
            "{provenance}"
        );
    }
    assert_eq!(
        provenance["manifest-commit"],
        Value::Null,
        "the manifest is in no repository"
    );
}
