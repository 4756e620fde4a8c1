//! Paths as users give them, and warnings as they read them.

use super::*;

/// A bench with trained models in `run[1]`.
fn trained() -> Bench {
    let bench = Bench::new();
    let args = [
        "train",
        "--dataset",
        "digits",
        "--parts",
        "2",
        "--split",
        "non-iid",
        "--epochs",
        "2",
    ];
    bench
        .run(&[&args[..], &["--set", "model.hidden=[8]", "--out", "run[1]"]].concat())
        .ok();
    bench
}

#[test]
fn a_path_with_brackets_is_a_path() {
    let bench = trained();
    for models in [
        "run[1]/model_0.safetensors",
        "run[1]/model_*.safetensors",
        "run[[]1]/model_0.safetensors",
    ] {
        bench
            .run(&["evaluate", "--models", models, "--dataset", "digits"])
            .ok();
    }
    let check = |pattern: &str| {
        let models = format!("base.models={pattern}");
        bench.run(&["check", "tiny.toml", &models, "fusion-set.from=training-set"])
    };
    check("run[1]/model_*.safetensors").ok();
    check("\"run[1]/model_*.safetensors\"").ok();
    std::fs::rename(bench.path("run[1]"), bench.path("{seed}")).expect("renamed");
    check("{seed}/model_*.safetensors").ok();
    for run in [
        check("{seed}/[ab]*.pt"),
        bench.run(&["evaluate", "--models", "run[1]/model_0.pt", "--dataset", "digits"]),
    ] {
        let text = run.code(2).stderr;
        assert!(
            text.contains("`[` begins a list of characters") && text.contains("[[]"),
            "{text}"
        );
    }
}

#[test]
fn a_folder_of_images_with_brackets_is_one() {
    let bench = Bench::new();
    for name in ["train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b/1.png"] {
        let path = bench.path("pics[1]").join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 4, 4);
        encoder.set_color(png::ColorType::Grayscale);
        let mut writer = encoder.write_header().expect("a header");
        writer.write_image_data(&[7; 16]).expect("pixels");
        drop(writer);
        runner::result::write_atomic(&path, &bytes).expect("written");
    }
    let args = [
        "check",
        "tiny.toml",
        "split.kind=full",
        "split.parts=1",
        "split.val-ratio=0",
        "base.select=last",
    ];
    bench
        .run(
            &[
                &args[..],
                &[
                    "dataset.name=./pics[1]",
                    "fusion-set.samples=2",
                    "--unset",
                    "fusion",
                ],
            ]
            .concat(),
        )
        .ok();
}

#[test]
fn imported_models_are_in_natural_order() {
    let bench = trained();
    for (folder, names) in [
        ("a", ["part2-mnist5", "part10-mnist5"]),
        ("b", ["m_2_of_10", "m_10_of_10"]),
        ("c", ["s2/m", "s10/m"]),
        ("d", ["model_2_epoch30", "model_10_epoch30"]),
    ] {
        for (model, name) in names.into_iter().enumerate() {
            let path = bench.path(folder).join(format!("{name}.safetensors"));
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::copy(
                bench.path("run[1]").join(format!("model_{model}.safetensors")),
                path,
            )
            .expect("copied");
        }
        let pattern = format!("base.models={folder}/**/*.safetensors");
        let keys = |pattern: &str| {
            let jobs = bench
                .run(&["list", "tiny.toml", pattern, "--format", "json"])
                .ok()
                .json();
            jobs.as_array()
                .expect("a list")
                .iter()
                .map(|job| job["key"].clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            keys(&pattern),
            keys("base.models=run[1]/model_*.safetensors"),
            "{folder}"
        );
    }
}

#[test]
fn warnings_are_told_by_check_and_exec_and_stand_in_their_documents() {
    let bench = Bench::with(&format!("{TINY}\n[[exclude]]\nparts = 8\n"));
    let run = bench.run(&["check", "tiny.toml", "base.warmup-epochs=3"]).ok();
    assert!(
        run.stderr
            .contains("warning: this `[[exclude]]` drops nothing\n  --> tiny.toml:"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr.contains("  --> command line: base.warmup-epochs=3"),
        "{}",
        run.stderr
    );
    assert!(run.stdout.contains("no problems, 2 warnings"), "{}", run.stdout);
    let document = bench.run(&["check", "tiny.toml", "--format", "json"]).ok().json();
    assert_eq!(document["jobs"], 10);
    let warning = &document["warnings"][0];
    assert_eq!(
        (&warning["file"], &warning["column"]),
        (&"tiny.toml".into(), &1.into())
    );
    assert_eq!(warning["line"], TINY.lines().count() + 2);
    let run = bench.exec(&["--format", "json"]).ok();
    assert!(
        run.stderr.contains("warning: this `[[exclude]]` drops nothing"),
        "{}",
        run.stderr
    );
    assert_eq!(run.json()["warnings"][0], *warning);
    let wrong = bench
        .run(&["check", "tiny.toml", "--format", "json", "base.epoch=3"])
        .code(2);
    assert_eq!(
        wrong.json()["problems"][0]["origin"],
        "command line: base.epoch=3"
    );
}

#[test]
fn what_config_prints_check_accepts() {
    let bench = Bench::new();
    let bad = bench
        .run(&["config", "--resolve", "tiny.toml", "seeds=18446744073709551615"])
        .code(2);
    assert!(bad.stderr.contains("9223372036854775807"), "{}", bad.stderr);
    let keys = |bench: &Bench| {
        let jobs = bench.run(&["list", "tiny.toml", "--format", "json"]).ok().json();
        jobs.as_array()
            .expect("a list")
            .iter()
            .map(|job| job["key"].clone())
            .collect::<Vec<_>>()
    };
    for args in [
        &["config", "--resolve", "tiny.toml"][..],
        &["config", "tiny.toml"],
    ] {
        let printed = bench.run(args).ok().stdout;
        let again = Bench::with(&printed);
        again.run(&["check", "tiny.toml"]).ok();
        assert_eq!(keys(&again), keys(&bench), "{printed}");
    }
    // Beside the manifest that it was printed from: two of one name are a mistake only where both run.
    let printed = bench.run(&["config", "tiny.toml"]).ok().stdout;
    bench.write("again.toml", &printed);
    bench
        .run(&["check", "again.toml"])
        .ok()
        .says("warning: `tiny.toml` has the same name");
    bench
        .run(&["exec", "again.toml"])
        .code(2)
        .says("error: `tiny.toml` has the same name");
}
