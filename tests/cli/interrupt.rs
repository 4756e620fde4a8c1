//! Runs that are stopped, killed, or meet another.

use super::*;

/// The models of the first point are done at once, those of the second never; fusions come after both.
fn endless() -> Bench {
    Bench::with(
        &TINY
            .replace("epochs = 3", "epochs = [1, 10000000]")
            .replace("seeds = [1, 2]", "seeds = [1]"),
    )
}

fn wait_for_first_point(bench: &Bench) {
    until(
        "the models of the first point are done and the second's have begun",
        || {
            let logs = std::fs::read_dir(bench.path("results/tiny/cache/logs"))
                .into_iter()
                .flatten()
                .flatten();
            bench.records().len() >= 2
                && logs
                    .filter(|log| log.file_name().to_string_lossy().contains("10000000"))
                    .count()
                    > 0
        },
    );
}

#[test]
fn control_c_stops_says_how_to_go_on_and_loses_nothing() {
    for name in ["-INT", "-TERM"] {
        let bench = endless();
        let child = bench.start(&["-j", "2"]);
        wait_for_first_point(&bench);
        let since = Instant::now();
        signal(&child, name);
        let run = Run::of(child.wait_with_output().expect("ends")).code(130);
        assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
        assert!(
            run.stderr.contains("Run the same command again to go on."),
            "{}",
            run.stderr
        );
        assert_eq!(run.stdout, "");
        assert_eq!(bench.records().len(), 2);
        assert!(bench.files().iter().all(|file| !file.contains(".tmp-")));
        let plan = bench.plan(&[]);
        assert_eq!(plan.values().filter(|(run, _)| !run).count(), 2);
        bench.exec(&["base.epochs=1"]).ok().says("2 up to date, 3 run");
    }
}

#[test]
fn of_two_runs_at_once_the_second_refuses_or_waits() {
    let bench = endless();
    let first = bench.start(&["-j", "1"]);
    wait_for_first_point(&bench);
    let status = bench.run(&["status", "tiny"]).ok().stdout;
    assert!(status.contains("an exec is running"), "{status}");
    let second = bench.exec(&["base.epochs=1"]).code(2);
    let text = format!(
        "another `runner exec` is working on `results/tiny` (process {})",
        first.id()
    );
    assert!(second.stderr.contains(&text), "{}", second.stderr);
    assert!(
        second
            .stderr
            .contains("hint: wait for it to finish, or use `--wait`"),
        "{}",
        second.stderr
    );
    let mut waiting = bench.start(&["--wait", "base.epochs=1"]);
    std::thread::sleep(Duration::from_millis(500));
    assert!(waiting.try_wait().expect("status").is_none(), "it waits");
    signal(&first, "-KILL");
    first.wait_with_output().expect("ends");
    Run::of(waiting.wait_with_output().expect("ends"))
        .ok()
        .says("; waiting")
        .says("2 up to date, 3 run");
    // Looking at the status leaves everything as it is.
    let before = bench.files();
    let status = bench.run(&["status", "tiny"]).ok().stdout;
    assert!(!status.contains("running"), "{status}");
    assert_eq!(before, bench.files());
}
