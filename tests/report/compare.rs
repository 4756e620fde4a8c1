//! Two sets of results.

use runner::report::{Results, compare};

use super::*;

fn results(records: Vec<Record>) -> Results {
    Results::new(index(&records), records).expect("results")
}

#[test]
fn places_are_matched_whatever_the_settings() {
    let fuse = |seed: u64, accuracy: f64, lr: f64| {
        with(record(Kind::Fuse, 2, seed, "kf-linear", accuracy), |record| {
            record.settings = json!({"fusion": {"lr": lr, "old": true}, "dataset": {"name": "digits"}});
        })
    };
    let first = results(vec![fuse(1, 0.5, 0.1), fuse(2, 0.5, 0.1), fuse(3, 0.5, 0.1)]);
    let mut changed = fuse(2, 0.6, 0.01);
    changed.settings["fusion"]["new"] = json!("x");
    changed.settings["fusion"]
        .as_object_mut()
        .expect("object")
        .remove("old");
    let second = results(vec![fuse(1, 0.5, 0.1), changed, fuse(4, 0.5, 0.1)]);
    let comparison = compare(&first, &second);
    assert_eq!(comparison.equal, 1);
    let [difference] = comparison.differing.as_slice() else {
        panic!("{comparison:?}")
    };
    assert_eq!(
        difference.changed,
        [
            "fusion.lr: 0.1 -> 0.01",
            "fusion.old: true -> none",
            "fusion.new: none -> \"x\""
        ]
    );
    assert_eq!(difference.metrics[&Metric::Accuracy], (Some(0.5), Some(0.6)));
    assert!(
        !difference.metrics.contains_key(&Metric::RocAuc),
        "undefined in both"
    );
    assert_eq!(
        (comparison.only_first.len(), comparison.only_second.len()),
        (1, 1)
    );
    assert!(compare(&first, &first).differing.is_empty());

    let mut newer = fuse(1, 0.55, 0.1);
    newer.key = "of another version".to_string();
    let comparison = compare(&results(vec![fuse(1, 0.5, 0.1)]), &results(vec![newer]));
    assert_eq!(
        comparison.differing[0].changed,
        ["version of the method's arithmetic"]
    );
}
