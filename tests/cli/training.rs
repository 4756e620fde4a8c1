//! Trainings that are interrupted, varied images, and fine-tuning.

use super::*;

/// One model whose training takes some seconds and saves its state after every step.
const LONG: &str = r#"name = "tiny"

[dataset]
name = "digits"

[split]
kind = "full"
parts = 1

[model]
hidden = [64, 64]

[base]
epochs = 60
batch-size = 32
accumulate = 2
clip-norm = 1.0
label-smoothing = 0.1
augment = ["random-crop", "flip", "auto-augment", "random-crop-paste", { name = "mixup", alpha = 0.4 }]
optimizer = { name = "adamw", lr = 3e-3, weight-decay = 0.01 }

[resources]
checkpoint = "0s"
"#;

fn states(bench: &Bench) -> Vec<String> {
    let mut files = bench.files();
    files.retain(|file| file.contains(".training-") && !file.contains(".tmp-"));
    files
}

#[test]
fn killed_in_the_middle_of_training_it_goes_on_with_the_same_bits() {
    let undisturbed = Bench::with(LONG);
    undisturbed.exec(&["resources.checkpoint=1h"]).ok();
    let expected = undisturbed.record("train-model_0");
    let epochs = expected.1["diagnostics"]["epochs"]
        .as_array()
        .expect("a list")
        .len();
    assert_eq!(epochs, 60);
    assert_eq!(expected.1["diagnostics"]["selected-on"], "validation accuracy");

    let bench = Bench::with(LONG);
    for (signal_name, state) in [("-KILL", 1), ("-KILL", 2), ("-INT", 3)] {
        let child = bench.start(&["-j", "1"]);
        let started = Instant::now();
        until("a state is saved", || !states(&bench).is_empty());
        // Somewhere else each time, and not at the end of an epoch.
        std::thread::sleep(Duration::from_millis(137 * state));
        signal(&child, signal_name);
        child.wait_with_output().expect("ends");
        assert!(started.elapsed() < Duration::from_mins(1));
        assert!(bench.records().is_empty(), "it was not done");
    }
    bench.exec(&["-j", "1"]).ok();
    assert_eq!(bench.record("train-model_0"), expected);
    let log = bench
        .files()
        .into_iter()
        .find(|file| file.contains("/logs/"))
        .expect("log");
    let log = std::fs::read_to_string(log).expect("readable");
    assert!(log.contains("going on with the saved training"), "{log}");
    assert_eq!(states(&bench), Vec::<String>::new());
}

#[test]
fn a_damaged_state_is_as_good_as_none() {
    let undisturbed = Bench::with(LONG);
    undisturbed.exec(&["resources.checkpoint=1h"]).ok();
    let expected = undisturbed.record("train-model_0");
    let bench = Bench::with(LONG);
    let child = bench.start(&["-j", "1"]);
    until("a state is saved", || !states(&bench).is_empty());
    signal(&child, "-KILL");
    child.wait_with_output().expect("ends");
    let state = states(&bench).pop().expect("saved");
    let mut bytes = std::fs::read(&state).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    runner::result::write_atomic(Path::new(&state), &bytes).expect("written");
    bench.exec(&[]).ok();
    assert_eq!(bench.record("train-model_0"), expected);
}

#[test]
fn varied_images_are_the_same_from_any_number_of_threads() {
    let manifest = LONG.replace("epochs = 60", "epochs = 3");
    let of = |threads: &str| {
        let bench = Bench::with(&manifest);
        let mut command = bench.std(&["exec", "tiny.toml", "resources.checkpoint=1h"]);
        command.env("RAYON_NUM_THREADS", threads);
        Run::of(command.output().expect("starts")).ok();
        bench.record("train-model_0")
    };
    let one = of("1");
    assert_eq!(one, of("4"));
    assert_eq!(one, of("9"));
}

/// The learning rate explodes after six epochs.
const DIVERGES: &str = r#"name = "tiny"

[dataset]
name = "digits"

[split]
kind = "full"
parts = 1

[model]
hidden = [16]

[base]
epochs = 12
warmup-epochs = 0
optimizer = { name = "sgd", lr = 0.1 }
schedule = { name = "step", every = 6, gamma = 1e38 }
"#;

#[test]
fn the_network_before_a_divergence_is_kept_and_can_be_used() {
    let bench = Bench::with(DIVERGES);
    bench.exec(&[]).code(100);
    let (_, record) = bench.record("train-model_0");
    let cause = record["error"]["chain"][1].as_str().expect("a cause");
    assert!(cause.contains("not finite in epoch 6, step "), "{cause}");
    let hint = record["error"]["hint"].as_str().expect("a hint");
    let path = hint
        .split('`')
        .nth(1)
        .expect("a path")
        .replace("{results}", "results/tiny");
    assert!(hint.starts_with("the network after the last epoch that was good is kept in"));
    let shown = bench.run(&[
        "evaluate",
        "--models",
        &path,
        "--dataset",
        "digits",
        "--format",
        "json",
    ]);
    let shown = shown.ok().json().to_string();
    let six = Bench::with(&DIVERGES.replace("epochs = 12", "epochs = 6\nselect = \"last\""));
    six.exec(&[]).ok();
    let (_, six) = six.record("train-model_0");
    let accuracy = &six["metrics"]["accuracy"];
    assert!(
        shown.contains(&format!("\"accuracy\":{accuracy}")),
        "{shown} {accuracy}"
    );
    assert!(
        bench
            .run(&["gc", "tiny.toml", "--dry-run"])
            .ok()
            .stdout
            .starts_with("0 files"),
        "it is the job's"
    );
}

#[test]
fn weights_that_are_finite_while_logits_are_not_are_a_divergence_and_no_choice() {
    let bench = Bench::with(&format!(
        "{DIVERGES}\n[finetune]\nof = \"base\"\nlr = [1e30, 1e-3]\nepochs = 1\noptimizer.name = \"sgd\"\n"
    ));
    bench.exec(&["base.schedule={name=\"constant\"}"]).ok();
    let (_, tuned) = bench.record("finetune-model_0");
    assert_eq!(tuned["diagnostics"]["lr"], 1e-3);
    let tried = tuned["diagnostics"]["grid"][0]["error"]
        .as_str()
        .expect("an error");
    assert!(tried.contains("not finite in epoch 0"), "{tried}");
    assert_eq!(
        bench
            .files()
            .iter()
            .filter(|file| file.contains("diverged"))
            .count(),
        0
    );
}

#[test]
fn fine_tuned_models_and_what_is_made_of_them() {
    let finetune =
        "\n[finetune]\nlr = [1e-2, 1e-9]\nepochs = [1, 10]\nbatch-size = 64\naugment = [\"flip\"]\n";
    let bench = Bench::with(&format!("{TINY}{finetune}").replace("seeds = [1, 2]", "seeds = [1]"));
    bench.exec(&["-j", "2"]).ok().says("0 failed");
    let (_, base) = bench.record("finetune-model_0");
    assert_eq!(base["kind"], "finetune");
    assert_eq!(base["models"][0], "model_0");
    let tried = base["diagnostics"]["grid"].as_array().expect("a list");
    assert_eq!(tried.len(), 4);
    let best = tried
        .iter()
        .map(|one| one["accuracy"].as_f64().expect("accuracy"))
        .fold(0.0, f64::max);
    assert_eq!(
        base["diagnostics"]["lr"], 0.01,
        "the other learning rate learns nothing"
    );
    let chosen = |one: &&Value| one["lr"] == 0.01 && one["epochs"] == base["diagnostics"]["selected-epochs"];
    assert_eq!(tried.iter().find(chosen).expect("chosen")["accuracy"], best);
    assert_eq!(base["diagnostics"]["train-samples"], 1295);
    assert_eq!(base["diagnostics"]["val-samples"], 143);
    let accuracy = |record: &Value| record["metrics"]["accuracy"].as_f64().expect("accuracy");
    let (_, fused) = bench.record("finetune-hf-linear");
    assert_eq!(fused["method"], "hf-linear");
    let (_, plain) = bench.record("fuse-hf-linear");
    assert!(
        accuracy(&fused) > accuracy(&plain),
        "{} {}",
        accuracy(&fused),
        accuracy(&plain)
    );
    assert_eq!(
        fused["diagnostics"]["of"]["accuracy"],
        plain["metrics"]["accuracy"]
    );
    let (_, ensemble) = bench.record("finetune-of-ensemble");
    assert_eq!(ensemble["label"], "Ensemble of fine-tuned models");
    assert!(accuracy(&ensemble) > 0.5, "{}", accuracy(&ensemble));
    let table = bench.run(&["table", "tiny"]).ok().stdout;
    for row in [
        "| Model 0, fine-tuned ",
        "| HF linear, fine-tuned ",
        "| Vanilla averaging, fine-tuned ",
        "| Vanilla averaging of fine-tuned models ",
    ] {
        assert!(table.contains(row), "{row} is not in {table}");
    }
    // The jobs that were there are there still.
    let before = bench.records();
    bench.write("tiny.toml", &TINY.replace("seeds = [1, 2]", "seeds = [1]"));
    assert_eq!(bench.to_run(&[]), Vec::<String>::new());
    assert_eq!(bench.records(), before);
}

#[test]
fn a_pair_that_diverges_is_out_and_the_others_count() {
    let finetune = "\n[finetune]\nof = \"base\"\nlr = [1e30, 1e-2]\nepochs = 1\nlabel-smoothing = 0.0\n";
    let bench = Bench::with(&format!("{TINY}{finetune}").replace("seeds = [1, 2]", "seeds = [1]"));
    bench.exec(&["-j", "2"]).ok();
    let (_, record) = bench.record("finetune-model_1");
    let tried = &record["diagnostics"]["grid"];
    assert!(
        tried[0]["error"]
            .as_str()
            .is_some_and(|error| error.contains("not finite")),
        "{tried}"
    );
    assert_eq!(record["diagnostics"]["lr"], 0.01);
    let failed = bench.exec(&["finetune.lr=1e30"]).code(100);
    assert!(failed.stderr.contains("not finite"), "{}", failed.stderr);
}

#[test]
fn heads_of_transformers_are_distilled() {
    let bench = Bench::with(
        r#"name = "tiny"

[dataset]
name = "digits"

[model]
architecture = "vit"
depth = 1
hidden = 8
mlp-hidden = 8
heads = 2
patches = 2

[base]
epochs = 1
warmup-epochs = 0

[fusion-set]
samples = 50

[[fusion]]
method = "logit-kd"
"#,
    );
    bench.exec(&[]).ok();
    let (_, record) = bench.record("fuse-logit-kd");
    let losses: Vec<f64> = record["diagnostics"]["fusion"]["levels"][0]["training"]["train-loss"]
        .as_array()
        .expect("losses")
        .iter()
        .filter_map(Value::as_f64)
        .collect();
    assert!(losses.last() < losses.first(), "{losses:?}");
}
