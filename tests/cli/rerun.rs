//! What runs again, and why.

use super::*;

#[test]
fn a_second_run_computes_nothing_and_gives_the_same_tables() {
    let bench = Bench::new();
    let first = bench
        .exec(&[])
        .ok()
        .says("10 jobs, 0 up to date, 10 run, 0 failed, 0 skipped");
    let records = bench.records();
    let written =
        std::fs::read(bench.path("results/tiny/tables/methods-by-split-accuracy.tex")).expect("a table");
    let second = bench.exec(&[]).ok().says("10 jobs, 10 up to date, 0 run");
    assert_eq!(first.stdout, second.stdout);
    assert!(
        first.stdout.contains("| Vanilla Averaging") || first.stdout.to_lowercase().contains("vanilla"),
        "{}",
        first.stdout
    );
    assert_eq!(records, bench.records());
    assert_eq!(
        written,
        std::fs::read(bench.path("results/tiny/tables/methods-by-split-accuracy.tex")).expect("a table")
    );
    // Comments, order of keys and white space are no reason.
    bench.write(
        "tiny.toml",
        &format!("# new\n{}", TINY.replace("epochs = 3", "epochs   = 3 # three")),
    );
    assert_eq!(bench.to_run(&[]), Vec::<String>::new());
}

#[test]
fn a_changed_setting_is_named_and_reruns_what_depends_on_it() {
    let bench = Bench::new();
    assert!(
        bench
            .plan(&[])
            .values()
            .all(|(run, reason)| *run && reason == "no record yet")
    );
    bench.exec(&[]).ok();
    let plan = bench.plan(&["base.epochs=5"]);
    assert_eq!(plan.len(), 10);
    for (job, (run, reason)) in plan {
        assert!(run && reason == "changed: base.epochs: 3 -> 5", "{job}: {reason}");
    }
    let samples = bench.to_run(&["fusion-set.samples=60"]);
    assert_eq!(samples.len(), 2, "{samples:?}");
    assert!(
        samples.iter().all(|line| line.starts_with("fuse-hf-linear")
            && line.ends_with("changed: fusion-set.samples: 50 -> 60"))
    );
}

#[test]
fn a_job_that_is_only_called_otherwise_keeps_its_result() {
    let bench = Bench::new();
    bench.exec(&[]).ok();
    let before = bench.records();
    // A second value on an axis puts the axis into all names; a label goes into the record.
    bench.write(
        "tiny.toml",
        &TINY
            .replace("parts = 2", "parts = [2, 3]")
            .replace("method = \"ensemble\"", "method = \"ensemble\"\nlabel = \"Mine\"")
            .replace(
                "method = \"hf-linear\"\n",
                "method = \"hf-linear\"\n[[exclude]]\nparts = 3\nmethod = \"hf-linear\"\n",
            ),
    );
    assert!(
        bench.to_run(&[]).iter().all(|line| line.contains("parts=3")),
        "{:?}",
        bench.to_run(&[])
    );
    bench.exec(&[]).ok().says("20 jobs, 10 up to date, 10 run");
    let after = bench.records();
    assert_eq!(after.len(), 20);
    for record in before.values() {
        let same = after
            .values()
            .find(|other| other["key"] == record["key"])
            .expect("kept");
        assert_eq!(
            (&same["metrics"], &same["diagnostics"]),
            (&record["metrics"], &record["diagnostics"])
        );
    }
    let table = bench.run(&["table", "tiny"]).ok().stdout;
    assert!(table.contains("Mine"), "{table}");
    // Fresh results are no different from those that were kept.
    let fresh = Bench::with(&std::fs::read_to_string(bench.path("tiny.toml")).expect("manifest"));
    fresh.exec(&[]).ok();
    assert_eq!(fresh.records(), after);
    assert_eq!(bench.to_run(&["--force", "-E", "kind=fuse"]).len(), 10);
    bench.exec(&["-f=kind=fuse"]).ok();
    assert_eq!(bench.records(), after);
}

#[test]
fn a_record_that_cannot_be_trusted_is_made_anew() {
    let bench = Bench::new();
    bench.exec(&[]).ok();
    let records = bench.records();
    let (edited, _) = bench.record("fuse-ensemble-seed=1");
    let (torn, _) = bench.record("train-model_1-seed=2");
    let path = |name: &str| bench.path("results/tiny/records").join(name);
    let text = std::fs::read_to_string(path(&edited)).expect("record");
    bench.write(
        &format!("results/tiny/records/{edited}"),
        &text.replacen("\"accuracy\": 0.", "\"accuracy\": 0.9", 1),
    );
    bench.write(
        &format!("results/tiny/records/{torn}"),
        &std::fs::read_to_string(path(&torn)).expect("record")[..100],
    );
    let to_run = bench.to_run(&[]);
    assert_eq!(to_run.len(), 2, "{to_run:?}");
    assert!(
        to_run.iter().all(|line| line.contains("record unusable")),
        "{to_run:?}"
    );
    assert!(to_run[0].contains("changed after it was written"), "{to_run:?}");
    let status = bench.run(&["status", "tiny"]).ok().stdout;
    assert!(status.contains("2 corrupt"), "{status}");
    bench
        .run(&["table", "tiny"])
        .code(2)
        .says("hint: restore the file from version control");
    bench.exec(&[]).ok();
    assert_eq!(bench.records(), records);
}

#[test]
fn a_lost_checkpoint_is_made_anew_only_where_it_is_needed() {
    let bench = Bench::new();
    bench.exec(&[]).ok();
    let records = bench.records();
    let checkpoint = |part: &str| {
        let (name, _) = bench.record(part);
        bench
            .path("results/tiny/cache/checkpoints")
            .join(name.replace(".json", ".safetensors"))
    };
    std::fs::remove_file(checkpoint("train-model_0-seed=1")).expect("there");
    let damaged = checkpoint("train-model_1-seed=2");
    let mut bytes = std::fs::read(&damaged).expect("there");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    runner::result::write_atomic(&damaged, &bytes).expect("written");
    assert_eq!(bench.to_run(&[]), Vec::<String>::new());
    let to_run = bench.to_run(&["--force=fuse-ensemble-seed=1"]);
    assert_eq!(to_run.len(), 2, "{to_run:?}");
    assert!(
        to_run[1].starts_with("train-model_0-seed=1")
            && to_run[1].ends_with("its checkpoint is needed and missing or damaged")
    );
    bench.exec(&["--force=fuse-ensemble"]).ok().says("4 run");
    assert_eq!(bench.records(), records);
}

#[test]
fn filters_and_partitions_choose_and_nothing_chosen_is_an_error() {
    let bench = Bench::new();
    bench
        .exec(&["-E", "method=nothing"])
        .code(4)
        .says("error: no job is selected");
    assert!(!bench.path("results").join("tiny/records").exists() || bench.records().is_empty());
    // A fusion brings the models it needs.
    assert_eq!(bench.to_run(&["-E", "method=ensemble,seed=2"]).len(), 3);
    let all = bench.to_run(&[]).len();
    let shares: Vec<usize> = (1..=3)
        .map(|i| {
            bench
                .run(&["list", "tiny.toml", "--partition", &format!("slice:{i}/3")])
                .ok()
                .stdout
                .lines()
                .count()
        })
        .collect();
    assert_eq!(shares.iter().sum::<usize>(), all);
    bench
        .exec(&["--partition", "1/3"])
        .code(2)
        .says("`1/3` is not a partition");
    bench
        .exec(&["-n", "--force=method=nothing"])
        .code(4)
        .says("error: no job is selected");
    bench.exec(&["-E", "method=["]).code(2).says("is not a pattern");
    bench.exec(&["-E", "kind=train,seed=1"]).ok().says("2 run");
    assert_eq!(bench.records().len(), 2);
    // Results that are there already do not make up for it.
    bench
        .exec(&["-E", "method=nothing"])
        .code(4)
        .says("error: no job is selected");
    assert_eq!(
        bench
            .plan(&["-E", "*seed=2*"])
            .values()
            .filter(|(run, _)| *run)
            .count(),
        5
    );
}

#[test]
fn a_record_of_a_newer_version_is_not_overwritten_unless_told_to() {
    let bench = Bench::new();
    bench.exec(&[]).ok();
    let store = runner::result::Store::at(bench.path("results/tiny"));
    let job = store.load_index().expect("index").jobs[9].job.clone();
    let path = store.record_path(&job);
    let text = std::fs::read_to_string(&path).expect("record");
    let newer = text.replace("\"schema\": 2", "\"schema\": 99");
    assert_ne!(newer, text);
    runner::result::write_atomic(&path, newer.as_bytes()).expect("written");
    bench
        .exec(&[])
        .code(2)
        .says("has schema version 99, this program reads versions 1 to 2")
        .says("hint: a newer version of this program wrote it");
    assert_eq!(std::fs::read_to_string(&path).expect("record"), newer);
    bench.exec(&["--force"]).ok();
    let again = std::fs::read_to_string(&path).expect("record");
    assert!(again.contains("\"schema\": 2"), "{again}");
}
