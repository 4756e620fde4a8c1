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
        "--lr",
        "-1",
    ]);
    unknown.code(2).says("--lr");
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
