//! Commands that only look, and the form of all output.

use super::*;

#[test]
fn output_for_programs_is_json_and_nothing_else() {
    let bench = Bench::new();
    for command in [["list", "json"], ["exec", "json"]] {
        let mut args = vec![command[0], "tiny.toml", "--format", command[1]];
        if command[0] == "exec" {
            args.push("-n");
        }
        assert_eq!(bench.run(&args).ok().json().as_array().map(Vec::len), Some(10));
    }
    let lines = bench.exec(&["--format", "jsonl"]).ok().stdout;
    let events: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let count = |name: &str| events.iter().filter(|event| event["event"] == name).count();
    assert_eq!(
        (count("started"), count("finished"), count("summary")),
        (10, 10, 1)
    );
    assert_eq!(events.last().expect("summary")["summary"]["ok"], 10);
    let again = bench.exec(&["--format", "json"]).ok().json();
    assert_eq!((&again["up-to-date"], &again["jobs"]), (&10.into(), &10.into()));
    let status = bench
        .run(&["status", "tiny.toml", "--format", "json"])
        .ok()
        .json();
    assert_eq!(
        (&status["counts"]["ok"], &status["running"]),
        (&10.into(), &false.into())
    );
    let jobs = bench.run(&["status", "tiny", "--format", "jsonl"]).ok().stdout;
    assert!(
        jobs.lines()
            .all(|line| serde_json::from_str::<Value>(line).is_ok_and(|job| job["status"] == "ok"))
    );
}

#[test]
fn without_a_terminal_there_is_no_colour_and_no_progress() {
    let bench = Bench::new();
    let run = bench.run(&["-v", "exec", "tiny.toml"]).ok();
    for text in [&run.stdout, &run.stderr] {
        assert!(!text.contains('\u{1b}') && !text.contains('\r'), "{text:?}");
    }
    assert!(run.stderr.contains("started"), "{}", run.stderr);
    let quiet = bench.exec(&["--force"]).ok();
    assert!(!quiet.stderr.contains("started"), "{}", quiet.stderr);
    let mut json = bench.std(&["-v", "--log-format", "json", "exec", "tiny.toml", "-f"]);
    let run = Run::of(json.output().expect("starts")).ok();
    assert!(
        run.stderr
            .lines()
            .any(|line| serde_json::from_str::<Value>(line).is_ok()),
        "{}",
        run.stderr
    );
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let bench = Bench::with(&TINY.replace(
        "seeds = [1, 2]",
        &format!("seeds = {:?}", (1..600).collect::<Vec<_>>()),
    ));
    for args in [
        &["list", "tiny.toml", "--format", "json"][..],
        &["schema"],
        &["exec", "tiny.toml", "-n"],
    ] {
        let mut child = bench
            .std(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        drop(child.stdout.take());
        let run = Run::of(child.wait_with_output().expect("ends")).ok();
        assert_eq!(run.stderr, "");
    }
}

#[test]
fn tables_in_all_forms_from_results_alone() {
    let bench = Bench::new();
    bench.exec(&[]).ok();
    std::fs::remove_file(bench.path("tiny.toml")).expect("removed");
    std::fs::remove_dir_all(bench.path("results/tiny/cache")).expect("removed");
    let table = |args: &[&str]| bench.run(&[&["table", "tiny"], args].concat()).ok().stdout;
    assert!(table(&[]).contains("| "));
    assert!(table(&["--format", "latex"]).contains("\\toprule"));
    assert!(table(&["--format", "csv"]).lines().count() > 3);
    assert!(serde_json::from_str::<Value>(&table(&["--format", "json"])).is_ok());
    assert_ne!(table(&["--metric", "loss"]), table(&[]));
    bench
        .run(&["table", "tiny", "--metric", "acuracy"])
        .code(2)
        .says("unknown metric `acuracy`");
    bench
        .run(&["table", "tiyn"])
        .code(2)
        .says("hint: did you mean `tiny`?");
    bench
        .run(&["status", "nothing"])
        .code(2)
        .says("there are no results of `nothing`");
}

#[test]
fn logs_are_found_by_a_part_of_the_name() {
    let bench = Bench::new();
    bench.exec(&[]).ok();
    let log = bench.run(&["logs", "train-model_0-seed=1"]).ok().stdout;
    assert!(log.contains("epoch") && log.contains("finished"), "{log}");
    // Of two jobs of that name the one that the last plan has.
    bench.exec(&["base.epochs=2"]).ok();
    let log = bench.run(&["logs", "train-model_0-seed=1"]).ok().stdout;
    assert_eq!(log.matches("val_accuracy").count(), 2, "{log}");
    bench
        .run(&["logs", "train"])
        .code(2)
        .says("hint: give more of the name");
    bench
        .run(&["logs", "nothing"])
        .code(2)
        .says("no job has a log named like `nothing`");
}

#[test]
fn what_config_prints_is_a_manifest_of_the_same_jobs() {
    let bench = Bench::new();
    let keys = |file: &str, args: &[&str]| -> Vec<Value> {
        let list = bench
            .run(&[&["list", file, "--format", "json"], args].concat())
            .ok()
            .json();
        list.as_array()
            .expect("a list")
            .iter()
            .map(|job| job["key"].clone())
            .collect()
    };
    for (flags, extra) in [
        (&["--resolve"][..], &[][..]),
        (&[], &[]),
        (&["--resolve"], &["base.epochs=7,8", "split.kind=full"]),
    ] {
        let text = bench
            .run(&[&["config", "tiny.toml"], flags, extra].concat())
            .ok()
            .stdout;
        std::fs::create_dir_all(bench.path("other")).expect("folder");
        bench.write("other/full.toml", &text);
        assert_eq!(keys("other/full.toml", &[]), keys("tiny.toml", extra), "{text}");
    }
    let schema = bench.run(&["schema"]).ok().json();
    assert!(schema["properties"]["base"]["properties"]["epochs"].is_object());
    assert_eq!(schema["additionalProperties"], false);
    let page = bench.run(&["schema", "--markdown"]).ok().stdout;
    assert!(page.contains("| `epochs` |"), "{page}");
}

#[test]
fn the_environment_sets_keys_but_not_those_of_github() {
    let bench = Bench::new();
    let with = |variables: &[(&str, &str)]| {
        let mut command = bench.std(&["exec", "tiny.toml", "-n"]);
        command.envs(variables.iter().copied());
        Run::of(command.output().expect("starts"))
    };
    assert!(
        with(&[("RUNNER__SEEDS", "[1, 2, 3]")])
            .ok()
            .stdout
            .contains("15 of 15 jobs")
    );
    with(&[("RUNNER__BASE__EPOCHS", "x")])
        .code(2)
        .says("--> environment variable RUNNER__BASE__EPOCHS");
    with(&[("RUNNER__OS", "Linux")])
        .code(2)
        .says("--> environment variable RUNNER__OS");
    // What GitHub's machines set, on GitHub or copied from there.
    let theirs = [
        ("RUNNER_ARCH", "X64"),
        ("RUNNER_DEBUG", "1"),
        ("RUNNER_ENVIRONMENT", "github-hosted"),
        ("RUNNER_NAME", "x y"),
        ("RUNNER_OS", "Linux"),
        ("RUNNER_TEMP", "/home/runner/work/_temp"),
        ("RUNNER_TOOL_CACHE", "/opt/hostedtoolcache"),
        ("RUNNER_TRACKING_ID", "github_1"),
        ("RUNNER_WORKSPACE", "/home/runner/work/x"),
        ("RUNNER_SOMETHING_NEW", "1"),
    ];
    let run = with(&theirs).ok();
    assert!(!run.stderr.contains("RUNNER_"), "{}", run.stderr);
    // The form of version 0.1.
    let old = with(&[("RUNNER_SEEDS", "[1, 2, 3]")]).ok();
    let old = old.says("begin with two underscores: write RUNNER__SEEDS for RUNNER_SEEDS");
    assert!(old.stdout.contains("15 of 15 jobs"));
}

#[test]
fn devices_that_are_not_there() {
    let bench = Bench::new();
    bench.run(&["check", "tiny.toml"]).ok();
    bench
        .run(&["check", "tiny.toml", "--device", "gpu"])
        .code(2)
        .says("unknown device `gpu`");
    if !cfg!(feature = "cuda") {
        bench
            .run(&["check", "tiny.toml", "--device", "cuda:0"])
            .code(2)
            .says("hint: build with `--features cuda`");
    }
    bench
        .run(&["check", "tiny.toml", "--device", "cpu", "base.precision=\"bf16\""])
        .code(2)
        .says("`base.precision` other than \"f32\" is for GPUs, and this runs on the CPU")
        .says("hint: use `--device cuda`");
}
