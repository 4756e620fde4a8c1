//! Jobs that fail, results that cannot be written.

use super::*;

/// One of the two learning rates diverges.
fn diverging() -> Bench {
    Bench::with(&TINY.replace(
        "batch-size = 64",
        "batch-size = 64\noptimizer = { lr = [1e-3, 1e30] }\nwarmup-epochs = 0",
    ))
}

#[test]
fn a_failed_job_is_a_record_its_dependents_are_skipped_the_rest_finishes() {
    let bench = diverging();
    let run = bench.exec(&["-j", "2"]).code(100);
    assert!(
        run.stderr.contains("failed: train-model_0-lr=1e+30-seed=1")
            || run.stderr.contains("failed: train-model_0-lr="),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr.contains(
            "training: the training has diverged: its loss, weights or logits are not finite in epoch"
        ),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr
            .contains("20 jobs, 0 up to date, 10 run, 4 failed, 6 skipped"),
        "{}",
        run.stderr
    );
    assert!(!run.stdout.is_empty(), "the table of the rest");
    let records = bench.records();
    assert_eq!(records.len(), 20);
    for record in records.values() {
        match record["status"].as_str() {
            Some("ok") => assert!(record["error"].is_null() && record["metrics"]["accuracy"].is_number()),
            Some("failed") => {
                let chain = record["error"]["chain"].as_array().expect("a chain");
                assert!(chain.len() == 2 && chain[0] == "training", "{chain:?}");
            }
            Some("skipped") => {
                let text = record["error"]["chain"][0].as_str().expect("text");
                assert!(text.starts_with("it needs `train-model_"), "{text}");
            }
            other => panic!("{other:?}"),
        }
    }
    // Failed jobs run again by default, and alone with `--rerun failed`.
    let again = bench.to_run(&[]);
    assert_eq!(again.len(), 10);
    assert_eq!(
        again
            .iter()
            .filter(|line| line.ends_with("failed before"))
            .count(),
        4
    );
    assert_eq!(
        again
            .iter()
            .filter(|line| line.ends_with("skipped before"))
            .count(),
        6
    );
    bench
        .exec(&["-n", "--rerun", "failed", "base.batch-size=32"])
        .code(4);
    bench
        .exec(&["--rerun", "failed"])
        .code(100)
        .says("4 failed, 6 skipped");
    let status = bench.run(&["status", "tiny"]).ok().stdout;
    assert!(status.contains("4 failed, 10 ok, 6 skipped"), "{status}");
}

#[test]
fn fail_fast_and_max_fail_start_nothing_new() {
    let bench = diverging();
    bench
        .exec(&["-j", "1", "--fail-fast", "-E", "lr=1e*30|1e30,kind=train"])
        .code(100)
        .says("1 failed");
    let bench = diverging();
    let run = bench
        .exec(&["-j", "1", "--max-fail", "2", "--retries", "1", "-E", "kind=train"])
        .code(100);
    // All four have failed once when two have failed twice: nobody tries the others again.
    assert!(run.stderr.contains(" 4 failed, 0 skipped"), "{}", run.stderr);
    let failed = bench
        .records()
        .into_values()
        .filter(|record| record["status"] == "failed");
    assert_eq!(failed.count(), 4);
}

#[test]
fn a_fusion_set_larger_than_model_0_is_refused_before_anything_is_trained() {
    let bench = Bench::with(&TINY.replace("samples = 50", "samples = 700"));
    bench.exec(&[]).code(2).says(
        "`fusion-set.samples` is 700, but model 0 has only 365 training images with seed 1 and 2 parts",
    );
    assert!(bench.records().is_empty());
}

#[test]
fn a_fusion_that_diverges_fails_alone() {
    let diverging = "\n[[fusion]]\nmethod = \"kf-gradient\"\nlevel = { optimizer = \"sgd\", lr = 1e30 }\n";
    let bench = Bench::with(&format!("{TINY}{diverging}"));
    let run = bench.exec(&[]).code(100);
    let records = bench.records().into_values();
    let failed: Vec<_> = records.filter(|record| record["status"] == "failed").collect();
    assert_eq!(failed.len(), 2, "{}", run.stderr);
    for record in failed {
        assert_eq!(record["method"], "kf-gradient");
        let cause = record["error"]["chain"][1].as_str().expect("a cause");
        assert!(cause.contains("of level `fc1` is not finite in epoch"), "{cause}");
    }
    assert!(run.stderr.contains("0 skipped"), "{}", run.stderr);
}

#[test]
fn a_job_that_takes_too_long_fails() {
    let bench = Bench::new();
    bench
        .exec(&["resources.timeout=1ms"])
        .code(100)
        .says("the job took longer than 1ms");
    let (_, record) = bench.record("train-model_0-seed=1");
    assert_eq!(record["error"]["hint"], "raise `resources.timeout`");
    bench.exec(&["resources.timeout=10m"]).ok().says("10 run");
}

/// One of two networks is far larger than the other.
#[test]
fn a_job_that_takes_too_much_memory_is_ended_and_the_rest_goes_on() {
    let bench = Bench::with(
        &TINY
            .replace("epochs = 3", "epochs = 1")
            .replace("hidden = [8]", "hidden = [[8], [4000, 2000]]"),
    );
    let run = bench.exec(&["-j", "2", "resources.memory=100M", "-E", "kind=train,seed=1"]);
    let run = run.code(100).says(" 2 run, 2 failed, ");
    assert!(
        run.stderr
            .contains("of memory, more than the 100 MiB of `resources.memory`"),
        "{}",
        run.stderr
    );
    for record in bench.records().values() {
        let large = record["job"].as_str().expect("a name").contains("4000");
        assert_eq!(record["status"], if large { "failed" } else { "ok" }, "{record}");
    }
    let again = bench.exec(&["-j", "1", "resources.memory=4G", "-E", "kind=train,seed=1"]);
    again.ok().says("2 up to date, 2 run");
}

#[test]
fn a_process_that_takes_too_long_fails_alone() {
    let bench = Bench::with(&TINY.replace("epochs = 3", "epochs = [1, 10000000]"));
    let run = bench.exec(&[
        "--workers",
        "processes",
        "resources.timeout=1s",
        "-E",
        "kind=train,seed=1",
    ]);
    run.code(100).says("the job took longer than 1s").says("2 failed");
    let bench = Bench::new();
    let run = bench.exec(&["--workers", "threads", "resources.memory=4G", "-E", "kind=train"]);
    run.ok().says("warning: threads share their memory");
}

#[test]
fn a_failed_job_waits_before_it_is_tried_again() {
    let bench = diverging();
    let since = Instant::now();
    bench
        .exec(&["--retries", "2", "-E", "lr=1e*30|1e30,kind=train,seed=1"])
        .code(100)
        .says("2 failed");
    // A second, then two.
    assert!(since.elapsed() >= Duration::from_secs(3), "{:?}", since.elapsed());
}

#[test]
fn problems_of_a_manifest_are_all_reported_and_nothing_is_written() {
    let bench = Bench::with(&TINY.replace("epochs = 3", "epochs = 0").replace(
        "\"hf-linear\"\n",
        "\"hf-lineal\"\n[[report]]\ntemplate = \"nope\"\nmetric = [\"accuracy\", \"acuracy\"]\n",
    ));
    bench.write("other.toml", "name = \"tiny\"\n");
    let before = bench.files();
    for command in ["exec", "check", "list"] {
        let run = bench.run(&[command, "tiny.toml"]).code(2);
        let at = |text: &str| {
            run.stderr
                .find(text)
                .unwrap_or_else(|| panic!("{text} is not in {}", run.stderr))
        };
        let order = [
            at("`other.toml` has the same name"),
            at("`base.epochs` must be between 1 and"),
            at("unknown method `hf-lineal`"),
            at("unknown template `nope`"),
            at("unknown metric `acuracy`"),
        ];
        assert!(order.is_sorted(), "{}", run.stderr);
        assert_eq!(run.stdout, "");
    }
    assert_eq!(bench.files(), before);
}

#[test]
fn results_that_cannot_be_written() {
    let bench = Bench::new();
    bench.write("results", "a file in the way");
    bench.exec(&[]).code(2).says("hint: a file is in the way");
    bench
        .exec(&["--results", "/proc/nowhere"])
        .code(2)
        .says("cannot create `/proc/nowhere/tiny");
}

#[test]
fn a_full_disk_ends_the_run_and_keeps_what_is_done() {
    let bench = Bench::new();
    let disk = bench.path("results");
    std::fs::create_dir(&disk).expect("folder");
    let mount = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=72k", "tmpfs"])
        .arg(&disk)
        .output();
    if !mount.is_ok_and(|output| output.status.success()) {
        crate::shared::say_skipped("a full disk", "only root may mount");
        return;
    }
    let full = bench.exec(&["-j", "1"]);
    let records = bench.records();
    let files = bench.files();
    let grown = std::process::Command::new("mount")
        .args(["-o", "remount,size=8m"])
        .arg(&disk)
        .status();
    let rest = bench.exec(&["-j", "1"]);
    let all = bench.records();
    let gone = std::process::Command::new("umount").arg(&disk).status();
    assert!(grown.is_ok_and(|status| status.success()) && gone.is_ok_and(|status| status.success()));
    let full = full.code(2).says("No space left on device");
    assert!(
        full.stderr
            .contains("hint: free some space, then run the same command again"),
        "{}",
        full.stderr
    );
    assert!(files.iter().all(|file| !file.contains(".tmp-")), "{files:?}");
    assert!(
        records.values().all(|record| record["status"] == "ok"),
        "a full disk is no failure of a job"
    );
    rest.ok();
    assert_eq!(all.len(), 10);
}

/// One of two trainings is endless: only the flush after the other can end the run.
#[test]
fn a_flush_that_fails_ends_the_run_at_once() {
    let bench = Bench::with(&TINY.replace("epochs = 3", "epochs = [1, 10000000]"));
    let mut command = bench.std(&["exec", "tiny.toml", "-j", "2"]);
    command.env("RUNNER_FAULTS", "only=settle,rate=1,kinds=eio");
    let run = Run::of(command.output().expect("starts")).code(2);
    run.says("cannot write `results/tiny`").says("Input/output error");
}

#[test]
fn after_so_many_failures_the_summary_says_what_was_not_started() {
    let bench = diverging();
    let run = bench.exec(&["-j", "1", "--fail-fast", "--format", "json"]);
    let run = run.code(100).says(" not started");
    let summary = run.json();
    let count = |key: &str| summary[key].as_u64().expect("a number");
    assert_eq!(
        count("ok") + count("failed") + count("skipped") + count("not-started"),
        count("jobs"),
        "{summary}"
    );
}

#[test]
fn results_of_another_manifest_of_the_same_name_are_left_alone() {
    let bench = Bench::new();
    let run = bench.exec(&["-E", "kind=train"]).ok();
    let about_tables = |line: &&str| line.starts_with("warning") && !line.contains("manifest");
    let said: Vec<&str> = run.stderr.lines().filter(about_tables).collect();
    assert_eq!(said.len(), 1, "one line for all that was not selected: {said:?}");
    run.says("jobs were not selected");
    let before = bench.records();
    std::fs::create_dir(bench.path("other")).expect("folder");
    bench.write(
        "other/tiny.toml",
        &super::TINY.replace("epochs = 3", "epochs = 2"),
    );
    let refused = bench.run(&["exec", "other/tiny.toml"]).code(2);
    refused.says("`results/tiny` holds the results of `tiny.toml`, which has the same name");
    assert_eq!(bench.records(), before);
    // A manifest that was moved is no other manifest.
    std::fs::rename(bench.path("tiny.toml"), bench.path("moved.toml")).expect("moved");
    bench
        .run(&["exec", "moved.toml", "-E", "kind=train"])
        .ok()
        .says("0 run");
}
