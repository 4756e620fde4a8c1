//! Around a run: who watches it, who hears of its end, what is cleared away after many.

use super::*;

#[test]
fn watching_without_a_terminal_tells_failures_and_ends_with_the_run() {
    let bench = Bench::with(&TINY.replace(
        "batch-size = 64",
        "batch-size = 64\noptimizer = { lr = [1e-3, 1e30] }\nwarmup-epochs = 0",
    ));
    bench
        .run(&["watch", "tiny"])
        .code(2)
        .says("there are no results of `tiny`");
    let exec = bench.start(&["-j", "1"]);
    until("it has begun", || bench.path("results/tiny/index.json").exists());
    let watch = bench.run(&["watch", "tiny"]).code(100);
    Run::of(exec.wait_with_output().expect("ends")).code(100);
    assert!(
        watch.stderr.contains("failed: train-model_0-lr="),
        "{}",
        watch.stderr
    );
    let last = watch.stderr.lines().last().expect("a line");
    assert_eq!(
        last, "tiny: train 8/8 (4 failed), fuse 12/12 (6 skipped)",
        "{}",
        watch.stderr
    );
    assert_eq!(watch.stdout, "");
    // All is over: it says so at once.
    let since = Instant::now();
    let status = bench.run(&["status", "-f", "tiny"]).code(100);
    assert_eq!(status.stderr.lines().last(), Some(last));
    assert!(since.elapsed() < Duration::from_secs(2));
}

#[test]
fn watching_follows_jobs_that_run_again() {
    let bench = Bench::with(&TINY.replace("epochs = 3", "epochs = 300"));
    bench.exec(&[]).ok();
    let exec = bench.start(&["--force", "-j", "1"]);
    let replaced = bench.path("results/tiny/cache/replaced.json");
    until("it has begun", || replaced.exists());
    let watch = bench.run(&["watch", "tiny"]).ok();
    Run::of(exec.wait_with_output().expect("ends")).ok();
    let mut lines = watch.stderr.lines();
    let first = lines.next().expect("a line");
    assert!(
        first.starts_with("tiny: train ") && !first.contains("fuse 6/6"),
        "{first}"
    );
    assert_eq!(
        lines.next_back(),
        Some("tiny: train 4/4, fuse 6/6"),
        "{}",
        watch.stderr
    );
    assert!(!replaced.exists());
}

#[test]
fn a_command_hears_of_the_end() {
    let command =
        r#"notify.command="cat >heard.json; printf '%s|%s' \"$NOTIFY_STATUS\" \"$NOTIFY_MESSAGE\" >heard""#;
    let bench = Bench::new();
    let heard = || std::fs::read_to_string(bench.path("heard")).expect("it was told");
    bench.exec(&[command]).ok();
    assert_eq!(
        heard(),
        "ok|tiny: ok, 10 jobs, 0 up to date, 10 run, 0 failed, 0 skipped"
    );
    let document: Value =
        serde_json::from_str(&std::fs::read_to_string(bench.path("heard.json")).expect("document"))
            .expect("JSON");
    assert_eq!(document["experiment"], "tiny");
    assert_eq!(document["status"], "ok");
    assert_eq!(document["ok"], 10);
    bench.exec(&[command, "-f", "resources.timeout=1ns"]).code(100);
    assert!(
        heard().starts_with("failed|tiny: failed, 10 jobs, 0 up to date, 0 run, 4 failed"),
        "{}",
        heard()
    );
    bench
        .exec(&["notify.command=exit 3"])
        .ok()
        .says("warning: the command of `[notify]` failed: exit status: 3");
    bench
        .exec(&["notify.comand=true"])
        .code(2)
        .says("did you mean `command`?");
}

#[test]
fn what_belongs_to_no_job_is_cleared_away_and_nothing_else() {
    let bench = Bench::new();
    bench.exec(&[]).ok();
    let before = bench.records();
    let files = bench.files();
    bench.run(&["gc", "tiny"]).ok();
    assert_eq!(bench.files(), files, "all of it is in use");
    bench.exec(&["base.epochs=2"]).ok();
    let all = bench.files();
    let dry = bench
        .run(&["gc", "tiny", "--dry-run", "--format", "json"])
        .ok()
        .json();
    assert_eq!(bench.files(), all, "a dry run removes nothing");
    let listed = dry["files"].as_array().expect("a list").len();
    // Ten records, predictions and logs; eight checkpoints: an ensemble has none.
    assert_eq!(listed, 38, "{dry}");
    // With the manifest, what it needs stays as well.
    let run = bench.run(&["gc", "tiny.toml"]).ok();
    assert!(run.stdout.starts_with("0 files"), "{}", run.stdout);
    let run = bench.run(&["gc"]).ok();
    assert!(
        run.stdout
            .lines()
            .last()
            .expect("a line")
            .starts_with("38 files, "),
        "{}",
        run.stdout
    );
    let after = bench.records();
    assert_eq!(after.len(), 10);
    assert!(after.keys().all(|name| !before.contains_key(name)));
    bench.exec(&["base.epochs=2"]).ok().says("10 up to date");
    bench.run(&["gc", "nothing"]).code(2);
}

#[test]
fn what_a_killed_run_claimed_is_cleared_away_and_what_a_living_one_claims_is_not() {
    let bench = Bench::with(&TINY.replace("epochs = 3", "epochs = 10000000"));
    let claims = || {
        let files = bench.files().into_iter();
        files.filter(|file| file.contains("/claims/")).count()
    };
    let exec = bench.start(&["-j", "2"]);
    until("two jobs run", || claims() == 3);
    for args in [&["gc", "tiny"][..], &["gc", "tiny", "--dry-run"]] {
        let run = bench.run(args).code(2);
        assert!(
            run.stderr.contains("is working on `results/tiny` (process"),
            "{}",
            run.stderr
        );
    }
    signal(&exec, "-KILL");
    exec.wait_with_output().expect("ends");
    let dry = bench.run(&["gc", "tiny", "-n"]).ok().stdout;
    assert_eq!(dry.matches("/claims/").count(), 3, "{dry}");
    assert_eq!(claims(), 3);
    let gone = bench.run(&["gc", "tiny"]).ok().stdout;
    assert_eq!(gone.replace("removed", "would be removed"), dry);
    assert_eq!(claims(), 0);
}

#[test]
fn a_wrong_clock_is_told_and_changes_no_number() {
    let right = Bench::new();
    right.exec(&[]).ok();
    for (clock, word) in [("clock=300", "is 5m ahead of"), ("clock=-300", "is 5m behind")] {
        let bench = Bench::new();
        let mut command = bench.std(&["exec", "tiny.toml", "--partition", "slice:1/1"]);
        command.env("RUNNER_FAULTS", clock);
        let run = Run::of(command.output().expect("starts")).ok();
        assert!(run.stderr.contains(word), "{}", run.stderr);
        assert!(
            run.stderr.contains("no claim is judged by a clock"),
            "{}",
            run.stderr
        );
        assert_eq!(bench.records(), right.records());
    }
    assert!(!right.exec(&["--force"]).ok().stderr.contains("the clock of"));
}
