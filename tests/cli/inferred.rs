//! Architectures that nobody gives: `inspect`, `import`, `fuse` and `importance` on files alone, manifests that are wrong
//! about them.

use candle_core::Device;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use runner::arch::{Architecture, Mlp, Network};
use runner::checkpoint::{Target, save_tensors};

use super::*;
use crate::shared::shared;

fn export(bench: &Bench, folder: &str) {
    bench.exec(&["-E", "kind=train"]).ok();
    std::fs::create_dir(bench.path(folder)).expect("a folder");
    for model in 0..2 {
        let part = format!("/train-model_{model}-");
        let files = bench.files();
        let file = files
            .iter()
            .find(|f| f.contains(&part) && f.contains("seed=1-") && f.ends_with(".safetensors"));
        let out = format!("{folder}/model_{model}.pt");
        bench.run(&["export", file.expect("a checkpoint"), &out]).ok();
    }
}

#[test]
fn state_dicts_imports_and_checkpoints_fuse_alike() {
    let bench = Bench::new();
    export(&bench, "dicts");
    let shown = bench
        .run(&["inspect", "dicts/model_0.pt", "--format", "jsonl"])
        .ok()
        .json();
    assert_eq!(shown["architecture"]["hidden"], serde_json::json!([8]));
    assert_eq!(
        (&shown["inferred"], &shown["kind"]),
        (&true.into(), &"state-dict".into())
    );
    assert_eq!(
        (&shown["image"], &shown["classes"]),
        (&serde_json::json!([1, 8, 8]), &10.into())
    );
    let widths = serde_json::json!([{"name": "fc1", "width": 8}, {"name": "fc2", "width": 10}]);
    assert_eq!(shown["levels"], widths);
    let text = bench.run(&["inspect", "dicts/model_0.pt"]).ok().stdout;
    assert!(
        text.contains("\"mlp\"") && text.contains("} (inferred)\n"),
        "{text}"
    );
    assert!(text.contains("  2: fc1 (8), fc2 (10)\n"), "{text}");

    std::fs::create_dir(bench.path("own")).expect("a folder");
    for model in 0..2 {
        let (from, to) = (
            format!("dicts/model_{model}.pt"),
            format!("own/model_{model}.safetensors"),
        );
        let said = bench.run(&["import", &from, &to]).ok().stdout;
        let expected = format!("{to}: 4 tensors, a checkpoint with architecture = \"mlp\", hidden = [8]\n");
        assert_eq!(said, expected);
    }
    let own = bench
        .run(&["inspect", "own/model_1.safetensors", "--format", "jsonl"])
        .ok()
        .json();
    assert_eq!(
        (&own["kind"], &own["inferred"]),
        (&"native".into(), &false.into())
    );
    assert_eq!(own["origin"]["file"], "model_1.pt");

    let fuse = |models: &str, more: &[&str]| {
        let args = ["fuse", "--method", "vanilla-averaging", "--models", models];
        bench
            .run(&[&args[..], &["--dataset", "digits", "--format", "json"], more].concat())
            .ok()
            .json()
    };
    let trained = fuse(
        "results/tiny/cache/checkpoints/train-model_*-seed=1-*.safetensors",
        &["--set", "model.hidden=[8]"],
    );
    for models in ["dicts/*.pt", "own/*.safetensors"] {
        let fused = fuse(models, &[]);
        assert_eq!(fused["metrics"], trained["metrics"], "{models}");
        assert_eq!(
            fused["settings"]["model"], trained["settings"]["model"],
            "{models}"
        );
    }
    // What is there by content, not by name.
    std::fs::create_dir(bench.path("odd")).expect("a folder");
    for model in 0..2 {
        let to = bench.path(&format!("odd/{model}.bin"));
        std::fs::copy(bench.path(&format!("own/model_{model}.safetensors")), to).expect("copied");
    }
    assert_eq!(fuse("odd/*.bin", &[])["metrics"], trained["metrics"]);
    let scores = [
        "importance",
        "--kind",
        "uniform",
        "--models",
        "dicts/*.pt",
        "--dataset",
        "digits",
    ];
    bench
        .run(&[&scores[..], &["--set", "fusion-set.indices=[0, 1]"]].concat())
        .ok();

    let manifest = |models: &str, hidden: &str| {
        let base = format!("[base]\nmodels = \"{models}\"\n");
        let text = TINY.replace("[base]\nepochs = 3\nbatch-size = 64\n", &base);
        let text = text.replace("hidden = [8]", &format!("hidden = {hidden}"));
        bench.write("tiny.toml", &text.replace("seeds = [1, 2]", "seeds = [1]"));
    };
    manifest("own/*.safetensors", "[8]");
    bench.exec(&["-E", "method=vanilla-averaging"]).ok();
    let (_, record) = bench.record("fuse-vanilla-averaging-seed=1");
    assert_eq!(record["metrics"], trained["metrics"]);
    manifest("dicts/*.pt", "[9]");
    bench
        .run(&["check", "tiny.toml"])
        .code(2)
        .says("`dicts/model_0.pt` does not fit `[model]`")
        .says("hint: the file seems to be of `[model]` with architecture = \"mlp\", hidden = [8]");
    std::fs::create_dir(bench.path("five")).expect("a folder");
    let mlp = Architecture::Mlp(Mlp {
        hidden: vec![8],
        ..Mlp::default()
    });
    for model in 0..2 {
        let mut rng = ChaCha8Rng::from_seed([model; 32]);
        let network = Network::initialise(&mlp, &[1, 8, 8], 5, &mut rng, &Device::Cpu).expect("a network");
        let path = bench.path(&format!("five/{model}.pt"));
        save_tensors(&path, Target::StateDict, &network.state(), &BTreeMap::new()).expect("written");
    }
    manifest("five/*.pt", "[8]");
    bench
        .run(&["check", "tiny.toml"])
        .code(2)
        .says("[1, 8, 8] and 5 classes, `digits` has [1, 8, 8] and 10\n");
}

#[test]
fn what_cannot_be_told_is_asked_for() {
    let Some(shared) = shared("a transformer's heads") else {
        return;
    };
    let bench = Bench::new();
    let folder = shared.join("reference-models/full-dataset/ViTs/CIFAR-10/seeds-1-2");
    let module = folder.join("model_0.pt").display().to_string();
    // A state dict knows less than the module.
    bench.run(&["export", &module, "model_0.pt"]).ok();
    let text = bench.run(&["inspect", "model_0.pt"]).ok().stdout;
    assert!(text.contains("the number of heads is not in the file"), "{text}");
    let said = bench.run(&["import", "model_0.pt", "a.safetensors"]).ok().stdout;
    assert!(said.contains("give it with `--heads N`"), "{said}");
    bench
        .run(&["import", "model_0.pt", "b.safetensors", "--heads", "4"])
        .ok();
    bench.run(&["import", &module, "c.safetensors"]).ok();
    let meta = |name: &str| {
        let shown = bench.run(&["inspect", name, "--format", "jsonl"]).ok().json();
        (shown["architecture"].clone(), shown["assumed"].clone())
    };
    assert_eq!(meta("b.safetensors"), meta("c.safetensors"));
    assert_eq!(meta("c.safetensors").0["heads"], 4);
    assert_eq!(meta("a.safetensors").1, serde_json::json!(["heads"]));
    let fuse = |models: &str, more: &[&str]| {
        let data = shared.join("data").display().to_string();
        let args = ["fuse", "--method", "vanilla-averaging", "--models", models];
        let args = [&args[..], &["--dataset", "cifar10", "--data-dir", &data], more].concat();
        bench.run(&args).code(2)
    };
    fuse("model_0.pt", &[]).says("hint: give it with `--set model.heads=N`");
    fuse(&module, &["--set", "model.heads=3"])
        .says("the file's network has 4 heads")
        .says("hint: write `heads = 4` in `[model]`");

    bench.write("broken.py", "");
    let dataset = ["--dataset", "digits", "--models", "broken.py"];
    bench
        .run(&[&["fuse", "--method", "ensemble"][..], &dataset].concat())
        .code(2)
        .says("`broken.py` is neither a PyTorch checkpoint nor a safetensors file");
}

/// The published models of two classes, as they are and imported, without a word about their architecture.
#[test]
fn reference_models_fuse_without_settings() {
    let Some(shared) = shared("fusing reference models") else {
        return;
    };
    let bench = Bench::new();
    let data = shared.join("data").display().to_string();
    let fuse = |models: &str, dataset: &str, method: &str| {
        let args = [
            "fuse",
            "--method",
            method,
            "--models",
            models,
            "--dataset",
            dataset,
        ];
        let args = [&args[..], &["--data-dir", &data, "--format", "json"]].concat();
        bench.run(&args).ok().json()
    };
    let accuracy = |value: &Value| value["metrics"]["accuracy"].as_f64().expect("a number");
    for (folder, dataset, method, architecture) in [
        ("MLPs/MNIST", "mnist", "hf-linear", "mlp"),
        ("VGGs/CIFAR-10", "cifar10", "vanilla-averaging", "vgg11-half"),
    ] {
        let folder = shared
            .join("reference-models/non-iid")
            .join(folder)
            .join("split-by-2/seed1");
        std::fs::create_dir(bench.path(architecture)).expect("a folder");
        for model in 0..2 {
            let from = folder.join(format!("model_{model}.pt")).display().to_string();
            let to = format!("{architecture}/model_{model}.safetensors");
            bench.run(&["import", &from, &to]).ok();
        }
        let imported = fuse(&format!("{architecture}/*.safetensors"), dataset, method);
        assert_eq!(imported["settings"]["model"]["architecture"], architecture);
        if architecture == "mlp" {
            let pattern = folder.join("*.pt").display().to_string();
            let module = fuse(&pattern, dataset, method);
            assert_eq!(imported["metrics"], module["metrics"]);
            assert!(accuracy(&imported) > 0.8, "{}", imported["metrics"]);
        } else {
            // Recorded with another decoder of the same JPEG images.
            let own: Vec<f64> = imported["models"]
                .as_array()
                .expect("models")
                .iter()
                .map(accuracy)
                .collect();
            assert!(
                (own[0] - 0.4661).abs() < 0.002 && (own[1] - 0.5692).abs() < 0.002,
                "{own:?}"
            );
        }
    }
}
