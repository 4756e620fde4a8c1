//! Runs that are stopped, killed, or meet another.

use super::*;
use rand::RngExt;

/// The models of the first point are done at once, those of the second never.
fn endless() -> Bench {
    Bench::with(
        &TINY
            .replace("epochs = 3", "epochs = [1, 10000000]")
            .replace("seeds = [1, 2]", "seeds = [1]"),
    )
}

fn wait_for_first_point(bench: &Bench) {
    until("the first point is done and the second has begun", || {
        let logs = std::fs::read_dir(bench.path("results/tiny/cache/logs"))
            .into_iter()
            .flatten()
            .flatten();
        bench.records().len() >= 5
            && logs
                .filter(|log| log.file_name().to_string_lossy().contains("10000000"))
                .count()
                > 0
    });
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
        assert_eq!(bench.records().len(), 5);
        assert!(bench.files().iter().all(|file| !file.contains(".tmp-")));
        let plan = bench.plan(&[]);
        assert_eq!(plan.values().filter(|(run, _)| !run).count(), 5);
        bench.exec(&["base.epochs=1"]).ok().says("5 up to date, 0 run");
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
        .says("5 up to date, 0 run");
    // Looking at the status leaves everything as it is.
    let before = bench.files();
    let status = bench.run(&["status", "tiny"]).ok().stdout;
    assert!(!status.contains("running"), "{status}");
    assert_eq!(before, bench.files());
}

#[test]
fn killed_at_any_moment_the_next_run_finishes_as_if_nothing_had_happened() {
    let undisturbed = Bench::new();
    let since = Instant::now();
    undisturbed.exec(&["-j", "2"]).ok();
    let duration = since.elapsed().as_secs_f64();
    let expected = undisturbed.records();
    let tables =
        |bench: &Bench| std::fs::read_to_string(bench.path("results/tiny/summary.json")).expect("summary");
    let mut rng = runner::seed::generator(1, "kill", &[]);
    for _ in 0..4 {
        let bench = Bench::new();
        for _ in 0..3 {
            let child = bench.start(&["-j", "2"]);
            std::thread::sleep(Duration::from_secs_f64(duration * rng.random::<f64>() * 0.7));
            signal(&child, "-KILL");
            child.wait_with_output().expect("ends");
            // Whatever is there is whole: `records` fails on a torn file.
            for (name, record) in bench.records() {
                assert_eq!(record, expected[&name]);
            }
        }
        bench.exec(&["-j", "2"]).ok();
        assert_eq!(bench.records(), expected);
        assert_eq!(tables(&bench), tables(&undisturbed));
        let left: Vec<_> = bench
            .files()
            .into_iter()
            .filter(|file| file.contains(".tmp-"))
            .collect();
        assert_eq!(left, Vec::<String>::new());
    }
}
