//! Grouping, and what is missing.

use super::*;
use runner::report::Cell;

#[test]
fn statistics_over_seeds_are_in_the_summary() {
    let (index, records) = experiment();
    let summary = Summary::from_records(&index, &records).expect("summary");
    let mut group = serde_json::to_value(&summary.groups[0]).expect("JSON");
    let metrics = group["metrics"].as_object_mut().expect("an object");
    assert_eq!(
        metrics.keys().collect::<Vec<_>>(),
        ["accuracy", "f1_macro", "loss"]
    );
    metrics.retain(|name, _| name == "accuracy");
    insta::assert_snapshot!(serde_json::to_string_pretty(&group).expect("JSON"), @r#"
    {
      "axes": {
        "split.parts": 2
      },
      "jobs": {
        "failed": 0,
        "missing": 0,
        "ok": 3,
        "skipped": 0
      },
      "kind": "train",
      "metrics": {
        "accuracy": {
          "ci95-half-width": 0.03794583007360204,
          "max": 0.9,
          "mean": 0.8833333333333333,
          "min": 0.87,
          "n": 3,
          "std": 0.01527525231651948,
          "values": [
            {
              "seed": 1,
              "value": 0.87
            },
            {
              "seed": 2,
              "value": 0.88
            },
            {
              "seed": 3,
              "value": 0.9
            }
          ]
        }
      },
      "model": "model_0",
      "parts": 2,
      "size": 1,
      "undefined": {
        "roc_auc": "it was not computed"
      }
    }
    "#);
    let mut reversed = records.clone();
    reversed.reverse();
    assert_eq!(
        Summary::from_records(&index, &reversed).expect("summary"),
        summary
    );
}

#[test]
fn jobs_without_a_record_are_missing_and_stale_records_ignored() {
    let (index, mut records) = experiment();
    let wanted = |record: &Record| record.parts == 4 && record.method.as_deref() == Some("vanilla-averaging");
    records.retain(|record| !wanted(record));
    let stale = with(record(Kind::Fuse, 8, 1, "otfusion", 0.99), |record| {
        record.key = "old".to_string();
    });
    records.push(stale);
    let mut unplaced = index.clone();
    unplaced.jobs.iter_mut().for_each(|entry| entry.place = None);

    let table = |index: &Index| {
        let summary = Summary::from_records(index, &records).expect("summary");
        by_split(&summary, Metric::Accuracy).expect("table")
    };
    let known = table(&index);
    let row = known
        .rows
        .iter()
        .find(|row| row.label == "Vanilla averaging")
        .expect("row");
    assert_eq!(row.cells[1], Cell::Missing);
    assert_eq!(known.columns.len(), 2);
    assert!(known.rows.iter().all(|row| row.label != "OTFusion"));
    assert!(
        known
            .warnings
            .contains(&"Vanilla averaging, 4 models: 0 of 3 results (3 missing)".to_string())
    );

    let unknown = table(&unplaced);
    let row = unknown
        .rows
        .iter()
        .find(|row| row.label == "Vanilla averaging")
        .expect("row");
    assert_eq!(row.cells[1], Cell::NotApplicable);
    assert!(
        unknown
            .warnings
            .contains(&"`vanilla-averaging-4-1` has no record".to_string())
    );
}

#[test]
fn nothing_to_show_is_an_error() {
    let records = [failed(record(Kind::Train, 2, 1, "model_0", 0.5), Status::Failed)];
    let summary = Summary::from_records(&index(&records), &records).expect("summary");
    let error = by_split(&summary, Metric::Accuracy).expect_err("empty");
    insta::assert_snapshot!(error, @"`quick_start` has no finished record, so there is nothing to show");
}

/// Classes 1 and 2 have no test example in the runs of one seed: the cells that have no value say why below, in all forms.
#[test]
fn a_metric_that_cannot_be_computed_has_a_reason() {
    let lacking = |name: &str, seed: u64| {
        with(record(Kind::Fuse, 2, seed, name, 0.5), |record| {
            record.metrics.as_mut().expect("metrics").confusion_matrix =
                vec![vec![2, 0, 1], vec![0; 3], vec![0; 3]];
        })
    };
    let whole = |name: &str, seed: u64| {
        with(record(Kind::Fuse, 2, seed, name, 0.5), |record| {
            record.metrics.as_mut().expect("metrics").roc_auc = Some(0.75);
        })
    };
    let records = [
        lacking("vanilla-averaging", 1),
        lacking("vanilla-averaging", 2),
        lacking("hf-linear", 1),
        whole("hf-linear", 2),
    ];
    let summary = Summary::from_records(&index(&records), &records).expect("summary");
    let json = serde_json::to_value(&summary).expect("JSON");
    let why = "the test set has no example of the classes 1, 2";
    assert_eq!(json["groups"][0]["undefined"], json!({ "roc_auc": why }));
    let options = TableOptions {
        baseline: Some("vanilla-averaging".to_string()),
        columns: vec![Metric::Samples],
        ..TableOptions::new(Metric::RocAuc)
    };
    let table = Table::of(&summary, &options).expect("table");
    let note = format!("--: the ROC AUC cannot be computed, as {why}.");
    assert_eq!(
        table.notes[1..],
        [note.clone(), "N/A: no row has fusion samples.".to_string()]
    );
    assert!(
        table
            .warnings
            .iter()
            .any(|warning| warning.ends_with(&format!("`roc_auc` is undefined in 1 of 2 results: {why}"))),
        "{:?}",
        table.warnings
    );
    insta::assert_snapshot!(render(Format::Markdown, &table).replace(&note, "(the note)"), @r"
    **quick\_start**: test ROC AUC (%) on digits, 1 run

    | Method            | Importance | 2 models, AUC (%) | 2 models, samples |
    | ----------------- | ---------- | ----------------: | ----------------: |
    | Vanilla averaging | --         |                -- |               N/A |
    | HF linear         | --         |             75.00 |               N/A |

    No difference from Vanilla averaging can be tested: the paired t-test needs three pairs of runs.

    (the note)

    N/A: no row has fusion samples.
    ");
    assert!(render(Format::Latex, &table).contains(&note));
    let macros = runner::report::to_macros(std::slice::from_ref(&table));
    assert!(macros.contains(&format!("% {note}")), "{macros}");
    let csv = runner::report::to_csv(std::slice::from_ref(&table), false);
    assert!(csv.contains(",undefined,roc_auc,"), "{csv}");
    let json = serde_json::to_value(&table).expect("JSON");
    assert_eq!(json["notes"][1], note);
}

#[test]
fn two_results_of_one_seed_are_not_averaged() {
    let first = record(Kind::Fuse, 2, 1, "hf-linear", 0.5);
    let second = with(first.clone(), |record| {
        record.settings = json!({"base": {"epochs": 3}});
    });
    let records = [first, second];
    let error = Summary::from_records(&index(&records), &records).expect_err("duplicate");
    assert!(matches!(error, ReportError::Duplicate { seed: 1, .. }), "{error}");
    insta::assert_snapshot!(error.to_string().split(" are ").last().unwrap_or_default(), @"both the result of HF linear, 2 models for seed 1");
}

/// Sampled pairs of one seed's models are repetitions; each says which models it fused.
#[test]
fn pairs_of_one_seed_are_a_group() {
    let pair = |first: usize| {
        with(record(Kind::Fuse, 1, 1, "hf-linear", 0.5), |record| {
            record.models = vec![format!("model_{first}"), "model_7".to_string()];
            record.settings = json!({"inputs": first});
        })
    };
    let records = [pair(0), pair(1)];
    let summary = Summary::from_records(&index(&records), &records).expect("summary");
    let statistics = &summary.groups[0].metrics[&Metric::Accuracy];
    assert_eq!((summary.groups.len(), statistics.n), (1, 2));
    assert_eq!(
        statistics.values[1].models.as_deref(),
        Some(&["model_1".to_string(), "model_7".to_string()][..])
    );
}

/// A method listed twice with other parameters is two rows; an absent record of it has no sure place.
#[test]
fn variants_of_a_method_stay_apart() {
    let variant = |seed: u64, epochs: u64| {
        with(record(Kind::Fuse, 2, seed, "kf-gradient", 0.5), |record| {
            record.settings =
                json!({"fusion": {"method": {"name": "kf-gradient", "head": {"epochs": epochs}}}});
        })
    };
    let mut records = vec![variant(1, 10), variant(1, 20), variant(2, 10), variant(2, 20)];
    let index = index(&records);
    let absent = records.pop().expect("four").job;
    let summary = Summary::from_records(&index, &records).expect("summary");
    assert_eq!(summary.unplaced, [absent]);
    let table = by_split(&summary, Metric::Accuracy).expect("table");
    let labels: Vec<_> = table.rows.iter().map(|row| row.label.as_str()).collect();
    assert_eq!(
        labels,
        ["KF gradient, head epochs 10", "KF gradient, head epochs 20"]
    );
}
