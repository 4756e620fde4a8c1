//! Whatever runs the jobs, the records are the same.

use super::*;
use runner::job::inputs::gather;
use runner::manifest::{Layers, resolve};
use runner::plan::build;

#[test]
fn records_do_not_depend_on_workers_threads_or_cores() {
    let expected = {
        let bench = Bench::new();
        bench.exec(&["-j", "1"]).ok();
        bench.records()
    };
    assert_eq!(expected.len(), 10);
    let four = Bench::new();
    four.exec(&["-j", "4"]).ok();
    assert_eq!(four.records(), expected);
    for jobs in ["1", "2"] {
        let bench = Bench::new();
        bench.exec(&["-j", jobs, "--workers", "processes"]).ok();
        assert_eq!(bench.records(), expected, "{jobs} processes");
    }
    let bench = Bench::new();
    bench.exec(&["resources.cores=2", "resources.memory=1G"]).ok();
    assert_eq!(bench.records(), expected, "bounded processes");
    for threads in ["1", "2", "5"] {
        let bench = Bench::new();
        let mut command = bench.std(&["exec", "tiny.toml"]);
        command.env("RAYON_NUM_THREADS", threads);
        Run::of(command.output().expect("starts")).ok();
        assert_eq!(bench.records(), expected, "{threads} threads");
    }
    // One core: the pools of all workers have one thread.
    let bench = Bench::new();
    let mut pinned = std::process::Command::new("taskset");
    pinned
        .args(["-c", "0"])
        .arg(&PROGRAM.1)
        .args(["exec", "tiny.toml"])
        .current_dir(bench.folder.path());
    match pinned.output() {
        Ok(output) => {
            Run::of(output).ok();
            assert_eq!(bench.records(), expected, "one core");
        }
        Err(_) => crate::shared::say_skipped("records made on one core", "there is no `taskset`"),
    }
}

/// A CPU with AVX2 and without AVX-512, which QEMU does not emulate, against this machine's.
#[cfg(target_arch = "x86_64")]
#[test]
fn an_emulated_cpu_gives_the_same_records() {
    let manifest = format!(
        "{TINY}\n[[fusion]]\nmethod = \"kf-linear\"\n\n[[fusion]]\nmethod = \"otfusion\"\nimportance = \"conductance\"\n\n\
         [[fusion]]\nmethod = \"kf-gradient\"\n"
    );
    let bench = Bench::with(&manifest);
    let mut emulated = std::process::Command::new("qemu-x86_64");
    emulated
        .args(["-cpu", "max"])
        .arg(&PROGRAM.1)
        .args(["exec", "tiny.toml", "-j", "1", "-E", "seed=1"])
        // The program would start itself over, outside of the emulator.
        .env("RAYON_NUM_THREADS", "1")
        .current_dir(bench.folder.path());
    let Ok(output) = emulated.output() else {
        return crate::shared::say_skipped("records made on an emulated CPU", "there is no `qemu-x86_64`");
    };
    Run::of(output).ok();
    let expected = bench.records();
    let (name, _) = bench.record("kf-linear");
    let path = bench.path("results/tiny/records").join(name);
    let text = std::fs::read_to_string(path).expect("readable");
    let record: Value = serde_json::from_str(&text).expect("JSON");
    let cpu = record["provenance"]["cpu"].as_str().expect("a kind of CPU");
    assert!(!cpu.contains("avx512"), "{cpu}");
    if !cpu.contains("avx2") {
        return crate::shared::say_skipped("records made on an emulated CPU", "this QEMU has no AVX2");
    }
    let here = Bench::with(&manifest);
    here.exec(&["-E", "seed=1"]).ok();
    assert_eq!(here.records(), expected);
}

#[test]
fn a_worker_writes_the_record_that_exec_writes() {
    let bench = Bench::new();
    bench.exec(&["-j", "2"]).ok();
    let expected = bench.records();
    let layers = Layers::read(&bench.path("tiny.toml"), Vec::new()).expect("readable");
    let manifest = resolve(&layers).expect("sound");
    let plan = build(
        &manifest,
        &gather(&layers, &manifest, &runner::data::Sets::default()).expect("inputs"),
        "cpu",
    )
    .expect("no name twice");
    std::fs::remove_dir_all(bench.path("results")).expect("removed");
    for job in plan.jobs.iter().take(5) {
        bench.write("job.json", &serde_json::to_string(job).expect("JSON"));
        let run = bench
            .run(&["worker", "job.json", "--experiment", "tiny", "--device", "cpu"])
            .ok();
        for line in run.stdout.lines() {
            let event: Value = serde_json::from_str(line).expect("an event a line");
            assert!(event["event"].is_string());
        }
    }
    let records = bench.records();
    assert_eq!(records.len(), 5);
    for (name, record) in records {
        assert_eq!(record, expected[&name]);
    }
    bench.write("job.json", "{}");
    bench
        .run(&["worker", "job.json", "--experiment", "tiny"])
        .code(2)
        .says("`job.json` is not a job");
}
