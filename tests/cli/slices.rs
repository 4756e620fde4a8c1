//! Several processes on one results folder.

use super::*;

/// Jobs that reported phases, that is, were run and not taken from another.
fn ran(stdout: &str) -> Vec<String> {
    let mut jobs: Vec<String> = stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|event| event["event"] == "job" && event["what"]["event"] == "phase")
        .map(|event| event["job"].as_str().expect("a name").to_string())
        .collect();
    jobs.dedup();
    jobs.sort();
    jobs.dedup();
    jobs
}

#[test]
fn slices_at_once_run_each_job_once_and_give_the_same_records() {
    let whole = Bench::new();
    whole.exec(&["-j", "1"]).ok();
    for _ in 0..3 {
        let bench = Bench::new();
        let children: Vec<Child> = (1..=4)
            .map(|part| {
                let slice = format!("slice:{part}/4");
                bench.start(&["-j", "2", "--partition", &slice, "--format", "jsonl"])
            })
            .collect();
        let mut jobs = Vec::new();
        for child in children {
            let run = Run::of(child.wait_with_output().expect("ends")).ok();
            jobs.extend(ran(&run.stdout));
        }
        jobs.sort();
        let expected: Vec<String> = whole
            .records()
            .into_keys()
            .map(|name| name.trim_end_matches(".json").to_string())
            .collect();
        assert_eq!(jobs, expected, "each once");
        assert_eq!(bench.records(), whole.records());
        bench.exec(&[]).ok().says("10 up to date, 0 run");
        let left: Vec<String> = bench
            .files()
            .into_iter()
            .filter(|file| file.contains("/claims/") || file.contains(".tmp-"))
            .collect();
        assert_eq!(left, Vec::<String>::new());
    }
}

#[test]
fn a_slice_is_run_by_one_and_what_a_killed_one_left_by_another() {
    let manifest = TINY
        .replace("epochs = 3", "epochs = [1, 10000000]")
        .replace("seeds = [1, 2]", "seeds = [1]");
    let bench = Bench::with(&manifest);
    let endless = bench.start(&["-j", "2", "--partition", "slice:1/2"]);
    let claimed = || {
        let files = bench.files().into_iter();
        files
            .filter(|file| file.contains("/claims/train-") && file.contains("10000000"))
            .count()
    };
    until("the endless jobs run", || claimed() > 0);
    bench
        .exec(&["--partition", "slice:1/2"])
        .code(2)
        .says("another `runner exec` is working on `results/tiny` (process");
    let status = bench.run(&["status", "tiny"]).ok().stdout;
    assert!(status.contains("running  train-model_"), "{status}");
    assert!(status.contains("an exec is running"), "{status}");
    signal(&endless, "-KILL");
    endless.wait_with_output().expect("ends");
    assert!(claimed() > 0, "what it claimed is still there");
    // The endless jobs are not part of this plan; the others are done, whoever began them.
    bench.exec(&["base.epochs=1"]).ok();
    let status = bench.run(&["status", "tiny"]).ok().stdout;
    assert!(status.contains("5 ok") && !status.contains("running"), "{status}");
}
