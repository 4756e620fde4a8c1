//! Bounds on time that users notice. Unoptimised builds get ten times as much.

use super::*;

fn bound(seconds: f64) -> Duration {
    Duration::from_secs_f64(if cfg!(debug_assertions) {
        10.0 * seconds
    } else {
        seconds
    })
}

/// Ten thousand jobs: by seeds, and by points.
fn sweeps() -> [String; 2] {
    let seeds = TINY.replace(
        "seeds = [1, 2]",
        &format!("seeds = {:?}", (1..=2000).collect::<Vec<_>>()),
    );
    let rates: Vec<f64> = (1..=1000).map(|i| f64::from(i) * 1e-5).collect();
    let points = TINY.replace("batch-size = 64", &format!("optimizer = {{ lr = {rates:?} }}"));
    [seeds, points]
}

#[test]
fn planning_ten_thousand_jobs_takes_a_second() {
    for manifest in sweeps() {
        let bench = Bench::with(&manifest);
        let since = Instant::now();
        let jobs = bench.run(&["list", "tiny.toml"]).ok().stdout.lines().count();
        let took = since.elapsed();
        assert!((9_900..10_100).contains(&jobs), "{jobs}");
        assert!(took < bound(1.0), "{took:?}");
    }
}

#[test]
fn a_cached_run_and_help_are_quick() {
    let bench = Bench::new();
    bench.exec(&[]).ok();
    let time = |args: &[&str]| {
        let since = Instant::now();
        bench.run(args).ok();
        since.elapsed()
    };
    let fastest = |args: &[&str]| (0..5).map(|_| time(args)).min().expect("five runs");
    let (cached, help) = (fastest(&["exec", "tiny.toml"]), fastest(&["--help"]));
    assert!(cached < bound(0.3), "{cached:?}");
    assert!(help < bound(0.02), "{help:?}");
}
