//! The plan of the quickstart, filters, partitions.

use insta::assert_snapshot;
use runner::plan::Filter;

use super::*;

fn quickstart() -> Plan {
    let text = std::fs::read_to_string("experiments/quickstart.toml").expect("quickstart");
    plan(&text, &["seeds=1,2"])
}

#[test]
fn plan_of_the_quickstart() {
    let plan = quickstart();
    let line = |(job, needs): (&std::sync::Arc<JobSpec>, &Vec<usize>)| format!("{} <- {needs:?}", stem(job));
    let lines: Vec<String> = plan.jobs.iter().zip(&plan.needs).map(line).collect();
    assert_snapshot!(lines.join("\n"), @r#"
    train-model_0-parts=2-seed=1 <- []
    train-model_1-parts=2-seed=1 <- []
    fuse-vanilla-averaging-parts=2-seed=1 <- [0, 1]
    fuse-ensemble-head-weights=false-parts=2-seed=1 <- [0, 1]
    fuse-ensemble-head-weights=true-parts=2-seed=1 <- [0, 1]
    fuse-hf-linear-uniform-parts=2-seed=1 <- [0, 1]
    train-model_0-parts=2-seed=2 <- []
    train-model_1-parts=2-seed=2 <- []
    fuse-vanilla-averaging-parts=2-seed=2 <- [6, 7]
    fuse-ensemble-head-weights=false-parts=2-seed=2 <- [6, 7]
    fuse-ensemble-head-weights=true-parts=2-seed=2 <- [6, 7]
    fuse-hf-linear-uniform-parts=2-seed=2 <- [6, 7]
    train-model_0-parts=4-seed=1 <- []
    train-model_1-parts=4-seed=1 <- []
    train-model_2-parts=4-seed=1 <- []
    train-model_3-parts=4-seed=1 <- []
    fuse-vanilla-averaging-parts=4-seed=1 <- [12, 13, 14, 15]
    fuse-ensemble-head-weights=false-parts=4-seed=1 <- [12, 13, 14, 15]
    fuse-ensemble-head-weights=true-parts=4-seed=1 <- [12, 13, 14, 15]
    train-model_0-parts=4-seed=2 <- []
    train-model_1-parts=4-seed=2 <- []
    train-model_2-parts=4-seed=2 <- []
    train-model_3-parts=4-seed=2 <- []
    fuse-vanilla-averaging-parts=4-seed=2 <- [19, 20, 21, 22]
    fuse-ensemble-head-weights=false-parts=4-seed=2 <- [19, 20, 21, 22]
    fuse-ensemble-head-weights=true-parts=4-seed=2 <- [19, 20, 21, 22]
    "#);
}

#[test]
fn jobs_come_after_those_they_need_and_know_who_needs_them() {
    let plan = quickstart();
    for (job, needs) in plan.needs.iter().enumerate() {
        assert!(needs.iter().all(|&need| need < job));
    }
    let dependents = plan.dependents();
    assert_eq!(dependents[0].len(), 4);
    for (need, dependents) in dependents.iter().enumerate() {
        assert!(dependents.iter().all(|&job| plan.needs[job].contains(&need)));
    }
}

#[test]
fn filters() {
    let plan = quickstart();
    let count = |text: &str| {
        let filter = Filter::parse(text).expect("a filter");
        plan.jobs.iter().filter(|job| filter.matches(job)).count()
    };
    assert_eq!(count("kind=train"), 12);
    assert_eq!(count("kind=fuse"), 14);
    assert_eq!(count("kind=fuse,parts=2"), 8);
    assert_eq!(count("parts=2,!kind=train"), 8);
    assert_eq!(count("method=hf-*"), 2);
    assert_eq!(count("method=ensemble|vanilla-*,seed=2"), 6);
    assert_eq!(count("importance=uniform"), 2);
    assert_eq!(count("model=3"), 2);
    assert_eq!(count("split.parts=4"), 14);
    assert_eq!(count("fusion.head-weights=true"), 4);
    assert_eq!(count("head-weights=true"), 4);
    assert_eq!(count("vanilla"), 4);
    assert_eq!(count("*parts=2-seed=1*"), 6);
    // What looks like a key and is none is a part of the name.
    assert_eq!(count("train-model_0-parts=2-seed=1"), 1);
    assert_eq!(count("method=kf-gradient"), 0);
    for text in ["", "kind=", "parts=2,,", "method=[", "!"] {
        assert!(Filter::parse(text).is_err(), "{text}");
    }
}
