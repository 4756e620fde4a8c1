//! What is at a path that a command is to write to: nothing of the user's is lost.

use std::os::unix::fs::symlink;

use runner::checkpoint::{self, Format};

use super::*;

/// A model of so many hidden neurons in `folder`, or two.
fn train(bench: &Bench, hidden: &str, parts: &str, more: &[&str]) -> Run {
    let args = [
        "train",
        "--dataset",
        "digits",
        "--epochs",
        "1",
        "--parts",
        parts,
        "--set",
        hidden,
        "--out",
        "t",
    ];
    bench.run(&[&args[..], more].concat())
}

fn read(bench: &Bench, path: &str) -> Vec<u8> {
    std::fs::read(bench.path(path)).expect("readable")
}

/// Runs the command, which is refused for the reason and changes none of the files.
#[track_caller]
fn refused(bench: &Bench, args: &[&str], why: &str) {
    let content = || -> Vec<Vec<u8>> {
        let files = bench.files().into_iter();
        files
            .map(|file| std::fs::read(file).unwrap_or_default())
            .collect()
    };
    let (files, before) = (bench.files(), content());
    bench.run(args).code(2).says(why).says("hint: ");
    assert_eq!(bench.files(), files, "{args:?}");
    assert!(content() == before, "{args:?} changed a file");
}

#[test]
fn models_are_not_written_over_models() {
    let bench = Bench::new();
    train(&bench, "model.hidden=[8]", "2", &[]).ok();
    let fuse = |out| {
        let args = ["fuse", "--method", "vanilla-averaging", "--dataset", "digits"];
        [
            &args[..],
            &[
                "--models",
                "t/model_0.safetensors",
                "t/model_1.safetensors",
                "--out",
                out,
            ],
        ]
        .concat()
    };
    // An input, by whatever name.
    symlink("model_0.safetensors", bench.path("t/link.safetensors")).expect("a link");
    std::fs::hard_link(
        bench.path("t/model_1.safetensors"),
        bench.path("t/hard.safetensors"),
    )
    .expect("a link");
    let reads = "is one of the files that this command reads";
    for out in [
        "t/model_0.safetensors",
        "./t/../t/model_1.safetensors",
        "t/link.safetensors",
        "t/hard.safetensors",
    ] {
        refused(&bench, &fuse(out), reads);
    }
    let finetune = [
        "finetune",
        "--models",
        "t/model_0.safetensors",
        "--dataset",
        "digits",
        "--out",
        "t",
    ];
    refused(&bench, &finetune, reads);
    refused(
        &bench,
        &["export", "t/model_0.safetensors", "t/model_0.safetensors"],
        reads,
    );
    refused(
        &bench,
        &["import", "t/model_0.safetensors", "t/link.safetensors"],
        reads,
    );
    // Another model, or a file of another kind.
    let other = "exists, and holds something else";
    refused(
        &bench,
        &["export", "t/model_0.safetensors", "t/model_1.safetensors"],
        other,
    );
    bench.write("notes.safetensors", "mine");
    refused(&bench, &fuse("notes.safetensors"), other);
    let trained = [
        "train",
        "--dataset",
        "digits",
        "--epochs",
        "1",
        "--out",
        "t",
        "--set",
    ];
    refused(&bench, &[&trained[..], &["model.hidden=[6]"]].concat(), other);
    // Those of a run with more models would be taken for those of this one.
    std::fs::remove_file(bench.path("t/model_0.safetensors")).expect("removed");
    refused(
        &bench,
        &[&trained[..], &["model.hidden=[6]"]].concat(),
        "belongs to another run",
    );

    // The same again is the same.
    train(&bench, "model.hidden=[8]", "2", &[]).ok();
    bench.run(&fuse("fused.safetensors")).ok();
    let before = read(&bench, "fused.safetensors");
    bench.run(&fuse("fused.safetensors")).ok();
    assert!(read(&bench, "fused.safetensors") == before);
    // Who means it says so.
    bench
        .run(&[&fuse("notes.safetensors")[..], &["--force"]].concat())
        .ok();
    assert!(read(&bench, "notes.safetensors") == before);
    train(&bench, "model.hidden=[6]", "2", &["--force"]).ok();
    bench.run(&fuse("fused.safetensors")).code(2).says(other);
}

#[test]
fn the_ending_says_the_format() {
    let bench = Bench::new();
    train(&bench, "model.hidden=[8]", "2", &[]).ok();
    let fuse = |out| {
        let args = ["fuse", "--method", "vanilla-averaging", "--dataset", "digits"];
        [&args[..], &["--models", "t/model_*", "--out", out]].concat()
    };
    let formats = [
        ("x.pt", Format::TorchZip),
        ("x.pth", Format::TorchZip),
        ("x.safetensors", Format::Safetensors),
    ];
    let tensors = |path| {
        checkpoint::open(&bench.path(path))
            .and_then(checkpoint::File::load)
            .expect("a model")
    };
    for (out, format) in formats {
        bench.run(&fuse(out)).ok();
        assert_eq!(
            checkpoint::open(&bench.path(out)).expect("a model").format,
            format,
            "{out}"
        );
        for ((name, tensor), (own, expected)) in tensors(out).iter().zip(tensors("x.pt")) {
            let same = (tensor - &expected).and_then(|d| d.abs()?.sum_all()?.to_scalar::<f32>());
            assert_eq!((name, same.expect("a number")), (&own, 0.0), "{out}");
        }
    }
    // A state dict does not say whose it is.
    refused(&bench, &fuse("x.pt"), "does not say which model it holds");
    for out in ["x.bin", "x", "x.onnx", "/dev/null", "/dev/stdout"] {
        refused(&bench, &fuse(out), "name it `.pt` or `.pth`");
    }
    refused(
        &bench,
        &["export", "t/model_0.safetensors", "x.onnx"],
        ".safetensors",
    );
    refused(
        &bench,
        &["train", "--dataset", "digits", "--out", "model.pt"],
        "`--out` is a folder",
    );
    let line = [
        "interpolate",
        "t/model_0.safetensors",
        "t/model_1.safetensors",
        "--dataset",
        "digits",
    ];
    refused(&bench, &[&line[..], &["--out", "line.txt"]].concat(), ".json");
    refused(
        &bench,
        &[&line[..], &["--plot", "line.json"]].concat(),
        ".svg, .png or .tex",
    );
}

#[test]
fn figures_and_pages_replace_figures_and_pages_only() {
    let bench = Bench::new();
    bench.exec(&[]).ok();
    let page = ["report", "tiny", "--out", "page.html"];
    let plot = ["plot", "tiny", "--figure", "bars", "--out", "plots"];
    for _ in 0..2 {
        bench.run(&page).ok();
        bench.run(&plot).ok();
        bench.run(&["report", "tiny"]).ok();
        bench.run(&["plot", "tiny"]).ok();
    }
    for ending in ["svg", "png", "tex"] {
        let name = format!("plots/bars-2-models.{ending}");
        let own = read(&bench, &name);
        bench.write(&name, "mine");
        refused(&bench, &plot, "is no figure that this program has drawn");
        bench.run(&[&plot[..], &["--force"]].concat()).ok();
        assert!(read(&bench, &name) == own);
    }
    bench.write("mine.html", "<!doctype html>");
    refused(
        &bench,
        &["report", "tiny", "--out", "mine.html"],
        "is no page that this program has written",
    );
    refused(
        &bench,
        &["report", "tiny", "--out", "results/tiny/index.json"],
        ".html",
    );
    std::fs::create_dir(bench.path("folder.html")).expect("a folder");
    refused(&bench, &["report", "tiny", "--out", "folder.html"], "is a folder");
    refused(
        &bench,
        &["report", "tiny", "--out", "folder.html", "--force"],
        "is a folder",
    );
    let pipe = std::process::Command::new("mkfifo")
        .arg(bench.path("pipe.html"))
        .status();
    assert!(pipe.expect("mkfifo").success());
    bench
        .run(&["report", "tiny", "--out", "pipe.html", "-f"])
        .code(2)
        .says("a pipe or a device");
    std::fs::remove_file(bench.path("pipe.html")).expect("removed");

    // A link stays one, and what it leads to is written.
    std::fs::create_dir(bench.path("elsewhere")).expect("a folder");
    std::fs::rename(bench.path("page.html"), bench.path("elsewhere/page.html")).expect("moved");
    symlink("elsewhere/page.html", bench.path("page.html")).expect("a link");
    let torn = String::from_utf8_lossy(&read(&bench, "page.html")[..2000]).into_owned();
    bench.write("elsewhere/page.html", &torn);
    bench.run(&page).ok();
    assert!(bench.path("page.html").is_symlink());
    assert!(read(&bench, "elsewhere/page.html").len() > 2000);
    bench.write("elsewhere/page.html", "mine");
    refused(&bench, &page, "is no page that this program has written");
    std::fs::remove_file(bench.path("elsewhere/page.html")).expect("removed");
    refused(&bench, &page, "is a link to a file that does not exist");
}

#[test]
fn findings_replace_findings_only() {
    let bench = Bench::new();
    train(&bench, "model.hidden=[8]", "2", &[]).ok();
    let line = [
        "interpolate",
        "t/model_0.safetensors",
        "t/model_1.safetensors",
        "--dataset",
        "digits",
        "--align",
        "none",
        "--points",
        "3",
        "--out",
        "line.json",
    ];
    bench.run(&line).ok();
    bench.run(&line).ok();
    bench.write("line.json", "{\"mine\": 1}");
    refused(&bench, &line, "holds no findings of this program");
    bench.run(&[&line[..], &["-f"]].concat()).ok();
    // The figure of a study goes beside it.
    bench.write("line.svg", "<svg/>");
    refused(
        &bench,
        &["plot", "line.json"],
        "is no figure that this program has drawn",
    );
}

#[test]
fn only_what_index_and_ledger_name_is_cleared_away() {
    let bench = Bench::new();
    bench.exec(&[]).ok();
    bench.exec(&["base.epochs=2"]).ok();
    let cache = bench.path("results/tiny/cache");
    let mine = [
        "results/tiny/records/mine.json",
        "results/tiny/records/notes.txt",
        "results/tiny/cache/checkpoints/best.safetensors",
        "results/tiny/cache/logs/.tmp-mine",
        "results/tiny/cache/logs/mine.log",
        "results/tiny/cache/predictions/mine.safetensors",
        "outside.safetensors",
    ];
    for name in mine {
        bench.write(name, "mine");
    }
    std::fs::create_dir_all(cache.join("slurm/mine")).expect("a folder");
    bench.write("results/tiny/cache/slurm/mine/file", "mine");
    // A link by the name of an earlier job, to a file and to a folder elsewhere.
    let old = bench.run(&["gc", "tiny", "-n", "--format", "json"]).ok().json();
    let path = |file: &Value| file["path"].as_str().expect("a path").to_string();
    let old: Vec<String> = old["files"].as_array().expect("files").iter().map(path).collect();
    let linked = old
        .iter()
        .find(|path| path.contains("checkpoints/train-"))
        .expect("a checkpoint");
    std::fs::remove_file(bench.path(linked)).expect("removed");
    symlink(bench.path("outside.safetensors"), bench.path(linked)).expect("a link");
    let away = bench.path("away");
    std::fs::rename(cache.join("predictions"), &away).expect("moved");
    symlink(&away, cache.join("predictions")).expect("a link");
    let predictions = std::fs::read_dir(&away).expect("a folder").count();

    let run = bench.run(&["gc", "tiny", "--format", "json"]).ok().json();
    let left: Vec<String> = run["left"].as_array().expect("a list").iter().map(path).collect();
    for name in mine
        .iter()
        .filter(|name| name.contains("cache") && !name.contains("predictions"))
    {
        assert!(left.iter().any(|path| path == name), "{name}: {left:?}");
        assert!(bench.path(name).exists(), "{name}");
    }
    for name in [
        linked.as_str(),
        "results/tiny/cache/predictions",
        "results/tiny/cache/slurm/mine",
    ] {
        assert!(left.iter().any(|path| path == name), "{name}: {left:?}");
        assert!(bench.path(name).exists(), "{name}");
    }
    assert!(bench.path("outside.safetensors").exists());
    assert_eq!(std::fs::read_dir(&away).expect("a folder").count(), predictions);
    // Ten records and logs, seven checkpoints.
    assert_eq!(
        run["files"].as_array().expect("a list").len(),
        10 + 10 + 7,
        "{run}"
    );
    let text = bench.run(&["gc", "tiny"]).ok().stdout;
    assert!(
        text.contains("left  results/tiny/records/notes.txt: neither the index nor the ledger names it"),
        "{text}"
    );
    bench.exec(&["base.epochs=2"]).ok().says("10 up to date");
}
