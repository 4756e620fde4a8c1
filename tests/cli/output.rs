//! What terminals, spreadsheets and log collectors are given.

use super::*;

/// Control sequences, a forged line, and characters that turn the direction of writing.
const HOSTILE: &str = "w\u{1b}[31m\nINJECT\u{9b}5m\u{202e}";

fn is_safe(text: &str) -> bool {
    let turns = |c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !text.chars().any(|c| c.is_control() && c != '\n' || turns(c))
        && !text.lines().any(|line| line.starts_with("INJECT"))
}

/// A safetensors file with one tensor of that name.
fn checkpoint(bench: &Bench, file: &str, tensor: &str) {
    let header = serde_json::json!({ tensor: { "dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16] } })
        .to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend([0; 16]);
    runner::result::write_atomic(&bench.path(file), &bytes).expect("written");
}

#[test]
fn names_in_files_control_no_terminal() {
    let bench = Bench::new();
    checkpoint(&bench, "esc.safetensors", HOSTILE);
    let run = bench.run(&["inspect", "esc.safetensors"]).ok();
    assert!(is_safe(&run.stdout), "{:?}", run.stdout);
    assert!(
        run.stdout
            .contains("w\\u{1b}[31m\\nINJECT\\u{9b}5m\\u{202e}  f32 "),
        "{}",
        run.stdout
    );
    let run = bench
        .run(&["inspect", "esc.safetensors", "--format", "json"])
        .ok();
    assert!(is_safe(&run.stdout), "{:?}", run.stdout);
    assert_eq!(run.json()[0]["tensors"][0]["name"], HOSTILE);
    for args in [
        &["import", "esc.safetensors", "o.safetensors"][..],
        &["inspect", HOSTILE],
        &[
            "fuse",
            "--method",
            HOSTILE,
            "--models",
            HOSTILE,
            "--dataset",
            HOSTILE,
        ],
        &["table", HOSTILE],
        &["exec", "tiny.toml", HOSTILE],
        &["exec", "tiny.toml", "--results", HOSTILE, "-n", "-E", HOSTILE],
        &["logs", HOSTILE],
        &["compare", HOSTILE, "HEAD:x"],
    ] {
        let run = bench.run(args);
        assert!(
            is_safe(&run.stdout) && is_safe(&run.stderr),
            "{args:?}: {:?}{:?}",
            run.stdout,
            run.stderr
        );
    }
}

#[test]
fn manifests_and_data_control_no_terminal() {
    let bench = Bench::new();
    let named = bench
        .run(&["config", "tiny.toml", "dataset.dir=\"\u{9b}\\u001b\""])
        .ok()
        .stdout;
    assert!(is_safe(&named) && named.contains("\\u009b\\u001B"), "{named:?}");
    bench.write(
        "bad.toml",
        "name = \"x\"\n\u{9b}\u{202e}[split\u{9b}]\nkid = \"\\u001b[31m\\nINJECT\"\n",
    );
    let run = bench.run(&["check", "bad.toml"]);
    assert!(run.code == Some(2) && is_safe(&run.stderr), "{:?}", run.stderr);
    let image = format!("set/train/a/{}X.png", HOSTILE.replace('/', ""));
    for file in [image.as_str(), "set/train/b/0.png", "set/test/a/0.png"] {
        std::fs::create_dir_all(bench.path(file).parent().expect("parent")).expect("folder");
        bench.write(file, "bad");
    }
    let run = bench.run(&["check", "tiny.toml", "dataset.name=./set"]);
    assert!(run.code == Some(2) && is_safe(&run.stderr), "{:?}", run.stderr);
    assert!(run.stderr.contains("\\u{1b}[31m\\nINJECT"), "{}", run.stderr);
}

#[test]
fn labels_control_neither_terminals_nor_spreadsheets() {
    let label = format!(
        "label = {}\nmethod = \"hf-linear\"",
        serde_json::json!(format!("={}", HOSTILE.replace('\u{9b}', "")))
    );
    let bench = Bench::with(&TINY.replace("method = \"hf-linear\"", &label));
    let results = "out\u{1b}[31m\n";
    let run = bench.exec(&["--results", results]).ok();
    assert!(
        is_safe(&run.stdout) && is_safe(&run.stderr),
        "{:?}{:?}",
        run.stdout,
        run.stderr
    );
    assert!(
        run.stderr.ends_with("results in out\\u{1b}[31m\\n/tiny\n"),
        "{:?}",
        run.stderr
    );
    for format in ["markdown", "latex", "csv", "json", "macros"] {
        let run = bench
            .run(&["table", "tiny", "--results", results, "--format", format])
            .ok();
        assert!(
            is_safe(&run.stdout.replace("\r\n", "\n")),
            "{format}: {:?}",
            run.stdout
        );
    }
    let csv = |args: &[&str]| {
        let all = [&["table", "tiny", "--results", results, "--format", "csv"], args].concat();
        bench.run(&all).ok().stdout
    };
    assert!(
        csv(&[]).contains("network,'=w\\u{1b}[31m\\nINJECT"),
        "{}",
        csv(&[])
    );
    assert!(
        csv(&["--raw"]).contains("network,\"=w\u{1b}[31m\nINJECT"),
        "{}",
        csv(&["--raw"])
    );
    let run = bench.run(&["table", "tiny", "--results", results, "--raw"]);
    assert_eq!(run.code, Some(2));
    for args in [
        &["status", "tiny"][..],
        &["list", "tiny.toml"],
        &["logs", "hf-linear-2-1"],
        &["plot", "tiny", "--figure", "bars"],
        &["report", "tiny"],
    ] {
        let run = bench.run(&[args, &["--results", results]].concat());
        assert!(
            is_safe(&run.stdout) && is_safe(&run.stderr),
            "{args:?}: {:?}{:?}",
            run.stdout,
            run.stderr
        );
    }
}

/// The log of a job may have been written by anybody.
#[test]
fn logs_are_shown_not_played() {
    let bench = Bench::new();
    bench.exec(&[]).ok();
    let name = bench
        .records()
        .into_keys()
        .find(|name| name.contains("hf-linear"))
        .expect("a record");
    let log = format!("results/tiny/cache/logs/{}.log", name.trim_end_matches(".json"));
    bench.write(&log, "a\u{1b}[2Jb\n{\"message\":\"\u{9b}\"}\n");
    let run = bench.run(&["logs", name.trim_end_matches(".json")]).ok();
    assert_eq!(run.stdout, "a\\u{1b}[2Jb\n{\"message\":\"\\u009b\"}\n");
}

/// The objects on standard error, all of it.
fn objects(run: &Run) -> Vec<Value> {
    let lines = run.stderr.lines();
    let object = |line: &str| {
        let value: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?} in {}", run.stderr));
        assert!(
            value["level"].is_string() && value["fields"]["message"].is_string(),
            "{value}"
        );
        value
    };
    lines.map(object).collect()
}

#[test]
fn json_logs_are_json_to_the_last_line() {
    // Diverges at once.
    let diverging = TINY
        .replace("batch-size = 64", "batch-size = 64\noptimizer.lr = 1e30")
        .replace(
            "[split]",
            "[notify]\ncommand = \"echo one >&2; echo two >&2\"\n\n[split]",
        );
    let bench = Bench::with(&diverging);
    for verbose in [&[][..], &["-v"], &["-vv"]] {
        let run = bench.run(&[verbose, &["exec", "tiny.toml", "--log-format", "json", "--force"]].concat());
        assert_eq!(run.code, Some(100), "{}", run.stderr);
        let said = objects(&run);
        let with = |level: &str, text: &str| {
            said.iter().any(|object| {
                object["level"] == level
                    && object["fields"]["message"]
                        .as_str()
                        .is_some_and(|message| message.contains(text))
            })
        };
        assert!(with("WARN", "the manifest is not committed"), "{}", run.stderr);
        assert!(with("WARN", "no table"), "{}", run.stderr);
        assert!(with("ERROR", "failed: "), "{}", run.stderr);
        assert!(with("INFO", "results in results/tiny"), "{}", run.stderr);
        assert!(with("INFO", "two"), "{}", run.stderr);
        let failure = said
            .iter()
            .find(|object| object["fields"]["job"].is_string() && object["fields"]["error"].is_string());
        assert!(failure.is_some(), "{}", run.stderr);
    }
    let logs = std::fs::read_dir(bench.path("results/tiny/cache/logs")).expect("logs");
    for log in logs.flatten() {
        let text = std::fs::read_to_string(log.path()).expect("readable");
        assert!(
            text.lines()
                .all(|line| serde_json::from_str::<Value>(line).is_ok()),
            "{text}"
        );
    }
}

#[test]
fn errors_are_json_where_logs_are() {
    let bench = Bench::new();
    bench.write("bad.toml", "name = \"x\"\n[split]\nkid = \"sharded\"\n");
    let json = |args: &[&str]| bench.run(&[args, &["--log-format", "json"]].concat());
    let run = json(&["exec", "bad.toml", "--format", "json"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    let said = objects(&run);
    let fields = &said
        .iter()
        .find(|object| object["fields"]["line"] == 3)
        .unwrap_or_else(|| panic!("{}", run.stderr))["fields"];
    assert_eq!(
        (&fields["file"], &fields["column"]),
        (&"bad.toml".into(), &1.into())
    );
    assert!(fields["hint"].is_string(), "{fields}");
    for args in [
        &["exec", "missing.toml"][..],
        &["exec", "tiny.toml", "-E", "nothing=1"],
        &["exec", "tiny.toml", "--frmat", "x"],
        &["nonsense"],
        &["table", "nothing"],
        &["inspect", "missing.pt"],
        &["logs", "nothing"],
    ] {
        let run = json(args);
        assert!(matches!(run.code, Some(2 | 4)), "{args:?}: {:?}", run.code);
        assert!(
            objects(&run).iter().any(|object| object["level"] == "ERROR"),
            "{args:?}: {}",
            run.stderr
        );
    }
    let mut command = bench.std(&["nonsense"]);
    command.env("RUNNER_LOG_FORMAT", "json");
    let run = Run::of(command.output().expect("starts"));
    assert_eq!(objects(&run).len(), 1);
    let help = json(&["exec", "--help"]).ok();
    assert!(help.stdout.contains("Usage:") && help.stderr.is_empty());
}

/// A class without test example: no ROC AUC, and everything else as usual; `check` says so before.
#[test]
fn a_metric_that_cannot_be_computed_costs_nothing_else() {
    let manifest = TINY
        .replace("name = \"digits\"", "name = \"./set\"")
        .replace("samples = 50", "samples = 8")
        + "\n[[report]]\nmetric = [\"roc_auc\", \"accuracy\"]\n\n[[report]]\ntemplate = \"full-data\"\nmetric = [\"roc_auc\"]\n";
    let bench = Bench::with(&manifest);
    for (part, classes, count) in [("train", 3, 12), ("test", 2, 4)] {
        for class in 0..classes {
            for number in 0..count {
                let file = format!("set/{part}/c{class}/{number}.png");
                std::fs::create_dir_all(bench.path(&file).parent().expect("parent")).expect("folder");
                runner::result::write_atomic(&bench.path(&file), &image(class * 80 + number))
                    .expect("written");
            }
        }
    }
    let why = "the test set has no example of class 2";
    let run = bench.run(&["check", "tiny.toml"]).ok();
    assert!(run.stderr.contains(why), "{}", run.stderr);
    let run = bench.exec(&[]).ok();
    assert!(
        run.stdout.contains(&format!("cannot be computed, as {why}")),
        "{}",
        run.stdout
    );
    for table in [
        "methods-by-split-roc_auc",
        "methods-by-split-accuracy",
        "full-data-roc_auc",
    ] {
        for ending in ["md", "tex"] {
            assert!(
                bench
                    .path(&format!("results/tiny/tables/{table}.{ending}"))
                    .is_file(),
                "{table}"
            );
        }
    }
    let summary = std::fs::read_to_string(bench.path("results/tiny/summary.json")).expect("summary");
    assert!(summary.contains(why));
    for args in [
        &["table", "tiny", "--metric", "auc"][..],
        &["report", "tiny"],
        &["plot", "tiny"],
        &["compare", "tiny", "tiny"],
    ] {
        bench.run(args).ok();
    }
    bench
        .run(&["verify", "tiny.toml", "--allow-dirty", "--sample", "1"])
        .ok();
}

/// A grey image of 4 x 4 pixels.
fn image(level: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 4, 4);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().expect("header");
    let pixels: Vec<u8> = (0..16).map(|at| level.wrapping_add(at)).collect();
    writer.write_image_data(&pixels).expect("pixels");
    writer.finish().expect("whole");
    bytes
}
