//! Model files as other programs' training loops write them: wrapped, among other values, without training samples.

use runner::arch::State;
use runner::checkpoint;

use super::*;
use crate::torch::builder::{Pickle, checkpoint as archive};

/// Two models of `tiny.toml`, as checkpoints of this program in `own/`.
fn models(bench: &Bench) -> [State; 2] {
    let args = ["train", "--dataset", "digits", "--parts", "2", "--epochs", "1"];
    bench
        .run(&[&args[..], &["--set", "model.hidden=[8]", "--out", "own"]].concat())
        .ok();
    [0, 1].map(|model| {
        let path = bench.path(&format!("own/model_{model}.safetensors"));
        checkpoint::open(&path)
            .and_then(checkpoint::File::load)
            .expect("a model")
    })
}

/// A state dict whose names begin with `prefix`.
fn state_dict(p: Pickle, state: &State, prefix: &str) -> Pickle {
    // Safetensors list tensors by the alphabet, PyTorch has the weight first.
    p.ordered(|p| {
        let tensors = state.iter().enumerate();
        tensors.fold(p, |p, (key, (name, tensor))| {
            let size: Vec<i64> = tensor.dims().iter().map(|n| n.cast_signed() as i64).collect();
            let stride: Vec<i64> = tensor.stride().iter().map(|n| n.cast_signed() as i64).collect();
            let elements = tensor.elem_count().cast_signed() as i64;
            p.text(&format!("{prefix}{name}")).tensor(
                ("FloatStorage", &key.to_string(), elements),
                0,
                &size,
                &stride,
            )
        })
    })
}

fn save(bench: &Bench, name: &str, state: &State, body: impl FnOnce(Pickle) -> Pickle) {
    let bytes = |tensor: &candle_core::Tensor| -> Vec<u8> {
        let values = tensor
            .flatten_all()
            .and_then(|t| t.to_vec1::<f32>())
            .expect("numbers");
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    };
    let storages: Vec<(String, Vec<u8>)> = state
        .iter()
        .enumerate()
        .map(|(key, (_, tensor))| (key.to_string(), bytes(tensor)))
        .collect();
    let storages: Vec<(&str, &[u8])> = storages
        .iter()
        .map(|(key, bytes)| (key.as_str(), bytes.as_slice()))
        .collect();
    let file = archive(&body(Pickle::new()).stop(), &storages);
    runner::result::write_atomic(&bench.path(name), &file).expect("written");
}

/// The two models as five programs write them: `plain_0.pt` and so on.
fn five_pairs(bench: &Bench) -> [&'static str; 5] {
    for (model, state) in models(bench).iter().enumerate() {
        let save = |kind: &str, body: &dyn Fn(Pickle) -> Pickle| {
            save(bench, &format!("{kind}_{model}.pt"), state, body);
        };
        save("plain", &|p| state_dict(p, state, ""));
        save("parallel", &|p| state_dict(p, state, "module."));
        save("compiled", &|p| state_dict(p, state, "_orig_mod."));
        save("loop", &|p| {
            p.dict(|p| {
                state_dict(
                    p.text("epoch")
                        .int(3)
                        .text("loss")
                        .raw(b"N")
                        .text("model_state_dict"),
                    state,
                    "",
                )
            })
        });
        save("nested", &|p| {
            p.dict(|p| state_dict(p.text("epoch").int(3).text("state_dict"), state, "net.model."))
        });
    }
    ["plain", "parallel", "compiled", "loop", "nested"]
}

#[test]
fn one_network_however_it_is_wrapped() {
    let bench = Bench::with(
        &TINY
            .replace("[base]", "[base]\nmodels = \"plain_*.pt\"")
            .replace("samples = 50", "samples = 50\nfrom = \"training-set\""),
    );
    let pairs = five_pairs(&bench);
    let metrics = |run: &Run| -> Value {
        run.json()["models"]
            .as_array()
            .expect("models")
            .iter()
            .map(|model| model["metrics"].clone())
            .collect()
    };
    let evaluate = |models: &str| {
        metrics(
            &bench
                .run(&[
                    "evaluate",
                    "--models",
                    models,
                    "--dataset",
                    "digits",
                    "--format",
                    "json",
                ])
                .ok(),
        )
    };
    let expected = evaluate("own/model_*");
    let fused = |models: &str| {
        let args = [
            "fuse",
            "--method",
            "vanilla-averaging",
            "--dataset",
            "digits",
            "--format",
            "json",
            "--models",
        ];
        bench.run(&[&args[..], &[models]].concat()).ok().json()["metrics"].clone()
    };
    for kind in pairs {
        let files = format!("{kind}_*.pt");
        assert_eq!(evaluate(&files), expected, "{kind}");
        assert_eq!(fused(&files), fused("own/model_*"), "{kind}");
        let file = format!("{kind}_0.pt");
        let shown = bench.run(&["inspect", &file, "--format", "jsonl"]).ok().json();
        assert_eq!(shown["architecture"]["hidden"], serde_json::json!([8]), "{kind}");
        // What comes of it is a checkpoint like any other, with the names of the architecture.
        for out in [format!("{kind}.safetensors"), format!("{kind}.pt")] {
            let command = if out.ends_with("pt") { "export" } else { "import" };
            bench.run(&[command, &file, &out]).ok();
            let opened = checkpoint::open(&bench.path(&out)).expect("a model");
            let mut names: Vec<&str> = opened.tensors.iter().map(|info| info.name.as_str()).collect();
            names.sort_unstable();
            assert_eq!(
                names,
                [
                    "level1.1.bias",
                    "level1.1.weight",
                    "level2.1.bias",
                    "level2.1.weight"
                ],
                "{out}"
            );
            assert_eq!(opened.meta.is_some(), command == "import", "{out}");
        }
        bench.exec(&[&format!("base.models={files}")]).ok();
        let (_, record) = bench.record("evaluate-model_1-seed=1");
        assert_eq!(record["metrics"], expected[1], "{kind}");
        std::fs::remove_dir_all(bench.path("results")).expect("removed");
    }
    let under = bench.run(&["inspect", "loop_0.pt"]).ok().stdout;
    assert!(
        under.contains("`model_state_dict` of a training loop's dictionary"),
        "{under}"
    );
}

#[test]
fn pointers_of_git_lfs_are_named() {
    let bench = Bench::new();
    bench.write(
        "pointer.pt",
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n",
    );
    for args in [
        &["inspect", "pointer.pt"][..],
        &["import", "pointer.pt", "x.safetensors"],
        &["exec", "tiny.toml", "base.models=pointer.pt", "split.parts=1"],
    ] {
        bench
            .run(args)
            .code(2)
            .says("is a pointer of Git LFS")
            .says("`git lfs pull`");
    }
}

#[test]
fn without_training_samples_the_fusion_set_is_of_the_whole_training_set() {
    let manifest = TINY.replace("[base]", "[base]\nmodels = \"plain_*.pt\"");
    let bench = Bench::with(&manifest);
    five_pairs(&bench);
    let why = "warning: `plain_0.pt` does not list the samples that it was trained on";
    let models = [
        "--models",
        "plain_0.pt",
        "plain_1.pt",
        "--dataset",
        "digits",
        "--samples",
        "50",
    ];
    let line = [
        "interpolate",
        "plain_0.pt",
        "plain_1.pt",
        "--dataset",
        "digits",
        "--points",
        "3",
    ];
    let commands = [
        vec!["check", "tiny.toml"],
        vec!["exec", "tiny.toml"],
        [
            &["fuse", "--method", "hf-linear", "--format", "json"],
            &models[..],
        ]
        .concat(),
        [
            &["importance", "--kind", "conductance", "--format", "json"],
            &models[..],
        ]
        .concat(),
        [&line[..], &["--samples", "50", "--format", "json"]].concat(),
    ];
    for command in &commands {
        let run = bench.run(command).ok();
        assert_eq!(run.stderr.matches(why).count(), 1, "{}", run.stderr);
        // Who says so gets the same, without a word.
        let said = match command[0] {
            "check" | "exec" => "fusion-set.from=training-set",
            _ => "--set=fusion-set.from=training-set",
        };
        let meant = bench.run(&[&command[..], &[said]].concat()).ok();
        assert!(
            !meant.stderr.contains("warning: `plain_0.pt`"),
            "{}",
            meant.stderr
        );
        match command[0] {
            "fuse" => assert_eq!(run.json()["metrics"], meant.json()["metrics"]),
            "importance" => assert_eq!(run.json()["models"], meant.json()["models"]),
            "interpolate" => assert_eq!(run.json()["found"], meant.json()["found"]),
            _ => {}
        }
    }
    // Those of the first manifest are set aside.
    let earlier = std::fs::read_dir(bench.path("results/tiny/earlier"))
        .expect("a folder")
        .flatten();
    let earlier = earlier.map(|entry| {
        let text = std::fs::read_to_string(entry.path()).expect("readable");
        serde_json::from_str::<Value>(&text).expect("JSON")
    });
    let records: Vec<Value> = earlier
        .chain(bench.records().into_values())
        .filter(|record| record["method"] == "hf-linear")
        .collect();
    assert_eq!(records.len(), 4);
    for seed in [1, 2] {
        let own: Vec<&Value> = records.iter().filter(|record| record["seed"] == seed).collect();
        let (a, b) = (&own[0]["diagnostics"], &own[1]["diagnostics"]);
        assert_eq!(a["fusion-indices"], b["fusion-indices"]);
        let said = [&a["fusion-set-from"], &b["fusion-set-from"]];
        assert_eq!(
            said.iter().filter(|from| **from == "training-set").count(),
            1,
            "{said:?}"
        );
    }
    // A fusion without a fusion set needs no samples.
    let run = bench
        .run(&[&["fuse", "--method", "vanilla-averaging"], &models[..]].concat())
        .ok();
    assert!(!run.stderr.contains("warning"), "{}", run.stderr);
}

#[test]
fn head_weights_of_models_without_training_samples_are_refused_before_anything_runs() {
    let manifest = TINY.replace("[base]", "[base]\nmodels = \"plain_*.pt\"");
    let bench = Bench::with(&manifest.replace("\"ensemble\"", "\"ensemble\"\nhead-weights = true"));
    five_pairs(&bench);
    let files = bench.files();
    let fuse = |models: &str| {
        let args = [
            "fuse",
            "--method",
            "ensemble",
            "--param",
            "head-weights=true",
            "--dataset",
            "digits",
        ];
        bench.run(&[&args[..], &["--models", models]].concat())
    };
    for run in [
        bench.run(&["check", "tiny.toml"]),
        bench.exec(&[]),
        fuse("plain_*.pt"),
    ] {
        run.code(2)
            .says("`head-weights` need the samples")
            .says("leave `head-weights` out");
    }
    assert_eq!(bench.files(), files);
    fuse("own/model_*").ok();
}
