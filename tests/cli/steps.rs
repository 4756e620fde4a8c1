//! `train`, `fuse`, `finetune`, `evaluate` and `importance`: one step without a manifest, against the jobs of `exec`.

use super::*;

const MODELS: &str = "results/tiny/cache/checkpoints/train-model_*-seed=1-*.safetensors";

/// The options that say what `tiny.toml` says of seed 1.
fn same<'a>(command: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let data = [
        "--models",
        MODELS,
        "--dataset",
        "digits",
        "--samples",
        "50",
        "--set",
        "model.hidden=[8]",
    ];
    [&[command], &data[..], more].concat()
}

#[test]
fn a_fusion_is_the_one_of_exec_and_its_model_is_written() {
    let bench = Bench::new();
    bench.exec(&[]).ok();
    let before = bench.files();
    for method in ["hf-linear", "vanilla-averaging", "ensemble"] {
        let fused = bench
            .run(&same(
                "fuse",
                &["--method", method, "--seed", "1", "--format", "json"],
            ))
            .ok()
            .json();
        let (_, record) = bench.record(&format!(
            "fuse-{method}-{}seed=1",
            if method == "hf-linear" { "uniform-" } else { "" }
        ));
        for key in ["metrics", "importance", "method"] {
            assert_eq!(fused[key], record[key], "{method} {key}");
        }
        let (_, base) = bench.record("train-model_1-seed=1");
        assert_eq!(fused["models"][1]["metrics"], base["metrics"]);
    }
    assert_eq!(bench.files(), before, "nothing is left behind");
    let run = bench
        .run(&same(
            "fuse",
            &[
                "--method",
                "kf-linear",
                "--param",
                "importance=conductance",
                "--out",
                "fused.safetensors",
            ],
        ))
        .ok();
    assert_eq!(run.stdout.lines().count(), 4, "{}", run.stdout);
    assert!(run.stdout.contains("kf-linear, conductance"), "{}", run.stdout);
    // The file is a model like any other.
    let again = bench
        .run(&[
            "importance",
            "--models",
            "fused.safetensors",
            "--dataset",
            "digits",
            "--kind",
            "uniform",
            "--set",
            "model.hidden=[8]",
            "--set",
            "fusion-set.indices=[0, 1, 2]",
        ])
        .ok();
    assert!(
        again
            .stdout
            .lines()
            .nth(1)
            .is_some_and(|line| line.contains("1.000000")),
        "{}",
        again.stdout
    );
}

#[test]
fn scores_of_neurons() {
    let bench = Bench::new();
    bench.exec(&["-E", "kind=train"]).ok();
    let scores = |more: &[&str]| {
        bench
            .run(&same("importance", &[&["--format", "json"], more].concat()))
            .ok()
            .json()
    };
    let conductance = scores(&["--kind", "conductance", "--place", "layer"]);
    let models = conductance["models"].as_array().expect("models");
    assert_eq!(models.len(), 2);
    for model in models {
        let layers: Vec<usize> = model["scores"]
            .as_object()
            .expect("layers")
            .values()
            .map(|scores| scores.as_array().expect("scores").len())
            .collect();
        assert_eq!(layers, [8, 10]);
        assert!(
            model["file"]
                .as_str()
                .is_some_and(|file| file.ends_with(".safetensors"))
        );
    }
    // The last layer's pre-activations and outputs are the same logits.
    let level = scores(&["--kind", "conductance", "--place", "level"]);
    let last = |scores: &Value| {
        scores["models"][0]["scores"]
            .as_object()
            .expect("layers")
            .values()
            .next_back()
            .cloned()
    };
    assert_eq!(last(&conductance), last(&level));
    assert_ne!(
        conductance["models"],
        scores(&["--kind", "deeplift", "--place", "layer"])["models"]
    );
    // Prepared as a method would.
    let prepared = scores(&["--kind", "deeplift", "--normalize", "--rescale", "0.5"]);
    for layer in prepared["models"][0]["scores"]
        .as_object()
        .expect("layers")
        .values()
    {
        let scores: Vec<f64> = serde_json::from_value(layer.clone()).expect("numbers");
        let (least, most) = (
            scores.iter().copied().fold(f64::INFINITY, f64::min),
            scores.iter().copied().fold(0.0, f64::max),
        );
        assert!((scores.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{scores:?}");
        assert!((least / most - 0.5).abs() < 1e-12, "{scores:?}");
    }
    let table = bench
        .run(&same("importance", &["--kind", "feature-ablation"]))
        .ok()
        .stdout;
    assert_eq!(table.lines().count(), 1 + 2 * 2, "{table}");
}

#[test]
fn what_cannot_be_done_is_said_before_anything_runs() {
    let bench = Bench::new();
    let fuse = |args: &[&str]| {
        bench
            .run(&[&["fuse", "--dataset", "digits"], args].concat())
            .code(2)
    };
    fuse(&["--method", "hf-linear", "--models", "no/*.pt"]).says("no file matches `no/*.pt`");
    bench.exec(&["-E", "kind=train"]).ok();
    let step = |more: &[&str]| bench.run(&same("fuse", more)).code(2);
    step(&["--method", "hf-liner"]).says("did you mean `hf-linear`?");
    step(&["--method", "hf-linear", "--param", "importence=uniform"]).says("did you mean `importance`?");
    step(&["--method", "hf-linear", "--param", "cutoff=0.1,0.2"]).says("these settings are several fusions");
    step(&["--method", "hf-linear", "--set", "model.hidden=[9]"]).says("does not fit `[model]`");
    step(&["--method", "ensemble", "--out", "x.safetensors"]).says("an ensemble is several networks");
    step(&["--method", "hf-linear", "--out", "no/x.safetensors"]).says("does not exist");
    bench
        .run(&same("importance", &["--kind", "condutance"]))
        .code(2)
        .says("did you mean `conductance`?");
    bench
        .run(&same("importance", &["--kind", "uniform", "--rescale", "1.5"]))
        .code(2)
        .says("--rescale");
    let three = "results/tiny/cache/checkpoints/train-model_*.safetensors";
    fuse(&[
        "--method",
        "git-rebasin",
        "--models",
        three,
        "--set",
        "model.hidden=[8]",
        "--samples",
        "50",
    ])
    .says("fuses exactly two models, but `split.parts` is 4");
}

/// Checkpoints of seed 1, model by model.
fn checkpoint(bench: &Bench, model: usize) -> String {
    let name = format!("train-model_{model}-seed=1-");
    let found = bench
        .files()
        .into_iter()
        .find(|file| file.contains(&name) && file.ends_with(".safetensors"));
    found.expect("a checkpoint")
}

/// Without `--samples` the fusion set is as large as what the first model was trained on, where that is less than usual;
/// hints name nothing that only a manifest has.
#[test]
fn a_line_between_two_models_needs_no_settings() {
    let bench = Bench::new();
    bench.exec(&["-E", "kind=train"]).ok();
    let (first, second) = (checkpoint(&bench, 0), checkpoint(&bench, 1));
    let line = |a: &str, b: &str, more: &[&str]| {
        let args = ["interpolate", a, b, "--dataset", "digits", "--points", "3"];
        bench.run(&[&args[..], more].concat())
    };
    line(&first, &second, &[])
        .ok()
        .says("note: the fusion set has ")
        .says("all that model 0 was trained on, and not 400; `--samples N` takes less");
    let itself = line(&first, &first, &["--samples", "50"]).ok();
    assert!(
        itself.stdout.contains("no loss barrier on digits, not aligned\n"),
        "{}",
        itself.stdout
    );
    bench
        .run(&[
            "--results",
            "wide",
            "exec",
            "tiny.toml",
            "model.hidden=[12]",
            "-E",
            "kind=train",
        ])
        .ok();
    let other = bench
        .files()
        .into_iter()
        .find(|file| file.contains("/wide/") && file.ends_with(".safetensors"));
    let run = line(&first, &other.expect("a checkpoint"), &[]).code(2);
    assert!(!run.stderr.contains("exclude"), "{}", run.stderr);
}

#[test]
fn a_line_between_two_models_goes_from_the_one_to_the_other() {
    let bench = Bench::new();
    bench.exec(&["-E", "kind=train"]).ok();
    let (first, second) = (checkpoint(&bench, 0), checkpoint(&bench, 1));
    let line = |a: &str, b: &str, more: &[&str]| {
        let args = [
            "interpolate",
            a,
            b,
            "--dataset",
            "digits",
            "--samples",
            "50",
            "--points",
            "5",
        ];
        bench.run(&[&args[..], more].concat())
    };
    let run = line(&first, &second, &["--out", "line.json", "--plot", "line.svg"]).ok();
    assert_eq!(run.stdout.lines().count(), 1 + 5 + 2 + 1, "{}", run.stdout);
    assert!(
        run.stdout
            .contains("loss barrier on digits, aligned (git-rebasin)"),
        "{}",
        run.stdout
    );
    let study: Value =
        serde_json::from_slice(&std::fs::read(bench.path("line.json")).expect("written")).expect("JSON");
    let lines = study["found"]["interpolation"]["lines"]
        .as_array()
        .expect("lines");
    // The ends are the models, whatever the order of their neurons.
    for (at, model) in [(0, "train-model_0-seed=1"), (4, "train-model_1-seed=1")] {
        let (_, record) = bench.record(model);
        for line in lines {
            let (found, base) = (&line["metrics"][at], &record["metrics"]);
            assert_eq!(found["accuracy"], base["accuracy"]);
            let (found, base) = (
                found["loss"].as_f64().expect("a loss"),
                base["loss"].as_f64().expect("a loss"),
            );
            assert!((found - base).abs() < 1e-5, "{found} {base}");
        }
    }
    // The middle of the line is the average.
    let averaged = bench
        .run(&same(
            "fuse",
            &["--method", "vanilla-averaging", "--format", "json"],
        ))
        .ok()
        .json();
    assert_eq!(lines[0]["metrics"][2], averaged["metrics"]);

    let svg = std::fs::read_to_string(bench.path("line.svg")).expect("drawn");
    let run = bench
        .run(&["plot", "line.json", "--format", "svg", "--out", "plots"])
        .ok();
    assert_eq!(run.stdout, "plots/line.svg\n");
    assert_eq!(
        std::fs::read_to_string(bench.path("plots/line.svg")).expect("drawn"),
        svg
    );
    line(&first, &first, &["--align", "none"]).ok();

    line("no.pt", &second, &[])
        .code(2)
        .says("there is no file `no.pt`");
    line(&first, &second, &["--plot", "x.pdf"])
        .code(2)
        .says("end its name in .svg, .png or .tex");
    line(&first, &second, &["--out", "no/x.json"])
        .code(2)
        .says("the folder of `--out no/x.json` does not exist");
    bench
        .run(&["plot", "line.json", "--figure", "bars"])
        .code(2)
        .says("holds the figure `interpolation`, not `bars`");
    bench.write("line.json", "{}");
    bench
        .run(&["plot", "line.json"])
        .code(2)
        .says("is not a valid study");
    bench
        .run(&["plot", "none.json"])
        .code(2)
        .says("cannot read `none.json`");
}

#[test]
fn neurons_are_drawn_in_the_plane_of_two_images() {
    let bench = Bench::new();
    bench.exec(&["-E", "kind=train"]).ok();
    let draw = |more: &[&str]| {
        let kinds = [
            "--kind",
            "uniform,conductance",
            "--out",
            "neurons.json",
            "--plot",
            "neurons.png",
        ];
        bench.run(&same("importance", &[&kinds[..], more].concat()))
    };
    let run = draw(&["--images", "3,7"]).ok();
    assert_eq!(
        run.stdout.lines().count(),
        2 * 5 + 1,
        "a table for each score: {}",
        run.stdout
    );
    let study: Value =
        serde_json::from_slice(&std::fs::read(bench.path("neurons.json")).expect("written")).expect("JSON");
    let found = &study["found"]["neurons"];
    assert_eq!(found["images"], serde_json::json!([3, 7]));
    assert_eq!(found["activations"][1].as_array().map(Vec::len), Some(8));
    let scored = found["scored"].as_array().expect("scores");
    assert_eq!(scored.len(), 2);
    assert_ne!(scored[0]["scores"], scored[1]["scores"]);
    assert!(bench.path("neurons.png").is_file());
    let run = bench.run(&["plot", "neurons.json", "--format", "tex"]).ok();
    assert_eq!(run.stdout, "neurons.tex\n");
    draw(&["--images", "3,360"])
        .code(2)
        .says("there is no test image 360");
    draw(&["--level", "2"])
        .code(2)
        .says("there is no level 2: they go from 0 to 1");

    bench
        .run(&same("fuse", &["--method", "hf-linear", "--plot", "bars.svg"]))
        .ok();
    let svg = std::fs::read_to_string(bench.path("bars.svg")).expect("drawn");
    assert!(
        svg.contains(">HF linear, Uniform</text>") && svg.contains(">Model 1</text>"),
        "{svg}"
    );
}

#[test]
fn single_trainings_are_those_of_exec() {
    let bench = Bench::new();
    bench.exec(&["-E", "kind=train,seed=1"]).ok();
    let options = [
        "train",
        "--dataset",
        "digits",
        "--split",
        "non-iid",
        "--parts",
        "2",
        "--seed",
        "1",
        "--epochs",
        "3",
        "--set",
        "base.batch-size=64",
        "--set",
        "model.hidden=[8]",
        "--out",
        "models",
    ];
    let trained = bench
        .run(&[&options[..], &["--format", "json"]].concat())
        .ok()
        .json();
    for model in 0..2 {
        let (name, record) = bench.record(&format!("train-model_{model}-seed=1"));
        assert_eq!(trained["models"][model]["metrics"], record["metrics"]);
        let name = name.strip_suffix(".json").expect("a record");
        let theirs = bench.path(&format!("results/tiny/cache/checkpoints/{name}.safetensors"));
        let ours = bench.path(&format!("models/model_{model}.safetensors"));
        assert_eq!(
            std::fs::read(ours).expect("written"),
            std::fs::read(theirs).expect("there")
        );
    }
    // A second time, the table.
    let table = bench.run(&options).ok().stdout;
    assert_eq!(table.lines().count(), 3, "{table}");
    let evaluate = ["evaluate", "--models", "models/model_*", "--dataset", "digits"];
    let evaluated = bench
        .run(&[&evaluate[..], &["--format", "json"]].concat())
        .ok()
        .json();
    for model in 0..2 {
        assert_eq!(
            evaluated["models"][model]["metrics"],
            trained["models"][model]["metrics"]
        );
    }
    assert_eq!(bench.run(&evaluate).ok().stdout, table);
}

#[test]
fn single_models_are_trained_further() {
    let bench = Bench::new();
    bench.exec(&["-E", "kind=train,seed=1"]).ok();
    let options = [
        "finetune",
        "--models",
        MODELS,
        "--dataset",
        "digits",
        "--lr",
        "1e-3,1e-2",
        "--epochs",
        "2,3",
        "--out",
        "tuned",
        "--format",
        "json",
    ];
    let tuned = bench.run(&options).ok().json();
    for model in tuned["models"].as_array().expect("models") {
        assert_eq!(model["diagnostics"]["grid"].as_array().expect("pairs").len(), 4);
        let accuracy = |of: &Value| of["metrics"]["accuracy"].as_f64().expect("a number");
        assert!(accuracy(model) > accuracy(&model["of"]), "{model}");
        assert!(bench.path(model["file"].as_str().expect("a file")).is_file());
    }
    let unknown = bench.run(&[
        "finetune",
        "--models",
        MODELS,
        "--dataset",
        "digits",
        "--out",
        "tuned",
        "--lr=1,-1",
    ]);
    unknown.code(2).says("must be at least 0");
    let nothing = bench.run(&["evaluate", "--models", "nothing/*", "--dataset", "digits"]);
    nothing.code(2).says("no file matches `nothing/*`");
    let typo = bench.run(&[
        "train",
        "--dataset",
        "digits",
        "--split",
        "non-iidd",
        "--out",
        "x",
    ]);
    typo.code(2).says("did you mean `non-iid`?");
    assert!(!bench.path("x").exists());
}

#[test]
fn models_of_two_widths_fuse_without_being_told_so() {
    let bench = Bench::new();
    let train = |hidden: &str, out: &str| {
        let args = [
            "train",
            "--dataset",
            "digits",
            "--set",
            "base.epochs=2",
            "--set",
            hidden,
        ];
        bench.run(&[&args[..], &["--out", out]].concat()).ok();
    };
    train("model.hidden=[8]", "a");
    train("model.hidden=[6]", "b");
    train("model.hidden=[5]", "c");
    let file = |folder: &str| {
        let mut files = std::fs::read_dir(bench.path(folder)).expect("folder").flatten();
        files.next().expect("a file").path()
    };
    for (at, folder) in ["a", "b", "b", "c"].iter().enumerate() {
        std::fs::copy(file(folder), bench.path(&format!("m_{at}.safetensors"))).expect("copied");
    }
    let fuse = |models: &str, method: &str| {
        let args = [
            "fuse",
            "--models",
            models,
            "--dataset",
            "digits",
            "--samples",
            "50",
        ];
        bench.run(
            &[
                &args[..],
                &["--method", method, "--param", "rescale-importance=0"],
            ]
            .concat(),
        )
    };
    for method in ["kf-linear", "otfusion", "kf-gradient"] {
        fuse("m_[012].safetensors", method).ok();
    }
    fuse("m_[01].safetensors", "hf-linear")
        .code(2)
        .says("layer `fc1` is [8, 64] in `[model]` and [6, 64] in `[other-models]`");
    fuse("m_?.safetensors", "kf-linear")
        .code(2)
        .says("are of two architectures");
}
