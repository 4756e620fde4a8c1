//! Layouts besides that of methods by split.

use super::*;

fn table_of(summary: &Summary, layout: &str, axis: Option<&str>) -> Result<Table, ReportError> {
    let options = TableOptions {
        template: layout.to_string(),
        layout: layout.to_string(),
        axis: axis.map(str::to_string),
        ..TableOptions::new(Metric::Accuracy)
    };
    Table::of(summary, &options)
}

fn text(layout: &str, table: &Table) -> String {
    let templates = Templates::load(None).expect("templates");
    templates
        .render(layout, Format::Markdown, table)
        .expect("rendered")
}

#[test]
fn averaging_ensembles_and_kf_gradient_only() {
    let (index, records) = experiment();
    let summary = Summary::from_records(&index, &records).expect("summary");
    let table = table_of(&summary, "kf-gradient-only", None).expect("table");
    insta::assert_snapshot!(text("kf-gradient-only", &table), @r"
    **quick\_start**: test accuracy (%) on digits, mean (±standard deviation) over 2 to 3 runs

    | Method                  | Importance |                     2 models |                                                   4 models |
    | ----------------------- | ---------- | ---------------------------: | ---------------------------------------------------------: |
    | Individual models       | --         | 88.33 (±1.53), 78.33 (±1.53) | 88.33 (±1.53), 78.33 (±1.53), 68.33 (±1.53), 58.33 (±1.53) |
    | Vanilla averaging       | --         |              _80.33 (±1.53)_ |                                            _80.33 (±1.53)_ |
    | Ensemble                | --         |                96.33 (±1.53) |                                              96.33 (±1.53) |
    | Ensemble, head-weighted | --         |                97.03 (±1.53) |                                              97.03 (±1.53) |
    | KF gradient             | Uniform    |            **93.33 (±1.53)** |                                                         -- |
    | KF gradient             | DeepLIFT   |            **93.33 (±1.53)** |                                          **92.50 (±0.71)** |
    ");
}

/// Models that saw everything, fused in sampled pairs and groups of four, before and after fine-tuning.
pub fn full_data() -> Vec<Record> {
    let mut records = Vec::new();
    for tuned in [false, true] {
        let gain = if tuned { 0.02 } else { 0.0 };
        let mut add = |mut record: Record| {
            if tuned {
                record.kind = Kind::Finetune;
                record.job += "-tuned";
                record.key += "-tuned";
            }
            records.push(record);
        };
        for model in 0..4 {
            let name = format!("model_{model}");
            add(record(
                Kind::Train,
                1,
                1,
                &name,
                0.9 + f64::from(model) / 100.0 + gain,
            ));
        }
        for (size, groups) in [(2, [[0, 1], [2, 3]]), (4, [[0, 3], [1, 2]])] {
            for (number, group) in groups.iter().enumerate() {
                for (method, accuracy) in [
                    ("vanilla-averaging", 0.5),
                    ("ensemble", 0.96),
                    ("kf-gradient", 0.93),
                ] {
                    let value = accuracy + number as f64 / 100.0 + gain;
                    add(with(record(Kind::Fuse, 1, 1, method, value), |record| {
                        let fused = if size == 2 {
                            group.to_vec()
                        } else {
                            vec![0, 1, 2, group[1]]
                        };
                        record.models = fused.iter().map(|model| format!("model_{model}")).collect();
                        let groups = json!({"size": size, "sample": 2, "seed": 0});
                        record.axes.insert("fusion.groups".to_string(), groups);
                        record.settings = json!({"number": number});
                    }));
                }
            }
        }
    }
    records
}

#[test]
fn pairs_and_groups_before_and_after_fine_tuning() {
    let table = table_of(&summary(&full_data()), "full-data", None).expect("table");
    insta::assert_snapshot!(text("full-data", &table), @r"
    **quick\_start**: test accuracy (%) on digits, mean (±standard deviation) over 1 to 2 runs

    | Method            | Importance | before fine-tuning, single | before fine-tuning, pairs | before fine-tuning, groups of 4 | after fine-tuning, single | after fine-tuning, pairs | after fine-tuning, groups of 4 |
    | ----------------- | ---------- | -------------------------: | ------------------------: | ------------------------------: | ------------------------: | -----------------------: | -----------------------------: |
    | Model 0           | --         |                      90.00 |                           |                                 |                     92.00 |                          |                                |
    | Model 1           | --         |                      91.00 |                           |                                 |                     93.00 |                          |                                |
    | Model 2           | --         |                      92.00 |                           |                                 |                     94.00 |                          |                                |
    | Model 3           | --         |                      93.00 |                           |                                 |                     95.00 |                          |                                |
    | Vanilla averaging | --         |                        N/A |           _50.50 (±0.71)_ |                 _50.50 (±0.71)_ |                       N/A |          _52.50 (±0.71)_ |                _52.50 (±0.71)_ |
    | Ensemble          | --         |                        N/A |             96.50 (±0.71) |                   96.50 (±0.71) |                       N/A |            98.50 (±0.71) |                  98.50 (±0.71) |
    | KF gradient       | --         |                        N/A |         **93.50 (±0.71)** |               **93.50 (±0.71)** |                       N/A |        **95.50 (±0.71)** |              **95.50 (±0.71)** |

    Some groups have models in common; n counts them as independent.
    ");
}

/// Models of a `[model-set]` have seeds of their own: what is fused of them is held to the best of these models.
#[test]
fn accuracies_of_a_model_set_are_relative_to_the_fused_models() {
    let mut records = full_data();
    for record in &mut records {
        if let [model] = record.models.as_slice() {
            record.seed = 1 + model
                .trim_start_matches("model_")
                .parse::<u64>()
                .expect("a number");
        }
    }
    let options = TableOptions {
        layout: "full-data".to_string(),
        precision: Some(1),
        ..TableOptions::new(Metric::NormalisedAccuracy)
    };
    let table = Table::of(&summary(&records), &options).expect("table");
    let shown = text("full-data", &table);
    let cells = |row: &str| -> Vec<String> {
        let line = shown
            .lines()
            .find(|line| line.starts_with(&format!("| {row} ")))
            .expect("a row");
        line.split('|')
            .skip(3)
            .map(|cell| cell.trim().to_string())
            .collect()
    };
    // .92 of .93; pairs of models 0 and 1 (.93 / .91), of 2 and 3 (.94 / .93).
    assert_eq!(cells("Model 2")[0], "98.9", "{shown}");
    assert_eq!(cells("KF gradient")[1], "**101.6 (±0.8)**", "{shown}");
}

/// The plan labels what is fine-tuned; the column says it, too.
#[test]
fn labels_of_fine_tuned_networks_share_a_row() {
    let named = |kind: Kind, label: &str, accuracy: f64| {
        with(record(Kind::Fuse, 1, 1, "kf-linear", accuracy), |record| {
            record.kind = kind;
            record.label = Some(label.to_string());
            record.models = vec!["model_0".to_string(), "model_1".to_string()];
            record
                .axes
                .insert("finetune".to_string(), json!(kind == Kind::Finetune));
            record.settings = json!({"label": label});
        })
    };
    let records = [
        named(Kind::Fuse, "mine", 0.5),
        named(Kind::Finetune, "mine, fine-tuned", 0.6),
        named(Kind::Finetune, "Ensemble of fine-tuned models, groups of 2", 0.7),
    ];
    let table = table_of(&summary(&records), "full-data", None).expect("table");
    insta::assert_snapshot!(text("full-data", &table), @r"
    **quick\_start**: test accuracy (%) on digits, 1 run

    | Method                        | Importance | before fine-tuning, pairs | after fine-tuning, pairs |
    | ----------------------------- | ---------- | ------------------------: | -----------------------: |
    | mine                          | --         |                     50.00 |                  _60.00_ |
    | Ensemble of fine-tuned models | --         |                       N/A |                **70.00** |
    ");
}

/// Hidden widths from left to right.
pub fn ablation() -> Vec<Record> {
    let mut records = Vec::new();
    for seed in [1, 2, 3] {
        for width in [8, 16, 32] {
            for (method, importance) in [("vanilla-averaging", None), ("kf-gradient", Some("uniform"))] {
                let better = if method == "kf-gradient" { 0.2 } else { 0.0 };
                let value = 0.4 + f64::from(width) / 100.0 + better + (seed as f64 - 2.0) / 100.0;
                records.push(with(
                    record(Kind::Fuse, 2, seed, method, value.min(1.0)),
                    |record| {
                        record.axes.insert("model.hidden".to_string(), json!([width]));
                        record.importance = importance.map(str::to_string);
                    },
                ));
            }
        }
    }
    records
}

#[test]
fn one_axis_from_left_to_right() {
    let records = ablation();
    let summary = summary(&records);
    let table = table_of(&summary, "ablation", None).expect("table");
    assert_eq!(
        table,
        table_of(&summary, "ablation", Some("hidden")).expect("by its last name")
    );
    insta::assert_snapshot!(text("ablation", &table), @r"
    **quick\_start**: test accuracy (%) on digits, mean (±standard deviation) over 3 runs

    | Method            | Importance |      hidden \[8\] |     hidden \[16\] |     hidden \[32\] |
    | ----------------- | ---------- | ----------------: | ----------------: | ----------------: |
    | Vanilla averaging | --         |   _48.00 (±1.00)_ |   _56.00 (±1.00)_ |   _72.00 (±1.00)_ |
    | KF gradient       | Uniform    | **68.00 (±1.00)** | **76.00 (±1.00)** | **92.00 (±1.00)** |
    ");
    let error = table_of(&summary, "ablation", Some("model.hiden")).expect_err("unknown");
    assert_eq!(
        error.to_string(),
        "there is no axis `model.hiden` in these results"
    );
    assert!(
        error
            .hint()
            .expect("hint")
            .starts_with("did you mean `model.hidden`?"),
        "{:?}",
        error.hint()
    );

    let (index, records) = experiment();
    let plain = Summary::from_records(&index, &records).expect("summary");
    let error = table_of(&plain, "ablation", None).expect_err("nothing varies");
    assert_eq!(
        error.to_string(),
        "an ablation is along one axis, and none varies here"
    );
    let mut two = ablation();
    for record in &mut two {
        record
            .axes
            .insert("fusion.rescale".to_string(), json!(record.seed));
    }
    let error = table_of(&super::summary(&two), "ablation", None).expect_err("two vary");
    assert_eq!(
        error.to_string(),
        "an ablation is along one axis, and `fusion.rescale`, `model.hidden` vary here"
    );
}

/// The number of models is said once, where it is the axis.
#[test]
fn an_ablation_along_the_number_of_models() {
    let (index, records) = experiment();
    let summary = Summary::from_records(&index, &records).expect("summary");
    let table = table_of(&summary, "ablation", Some("split.parts")).expect("table");
    let titles: Vec<String> = table.columns.iter().map(runner::report::Column::title).collect();
    assert_eq!(titles, ["2 models", "4 models"]);
    let error = table_of(&summary, "full-data", Some("split.parts")).expect_err("no ablation");
    assert_eq!(
        error.to_string(),
        "the axis `split.parts` is for ablations, and this is a table of the layout `full-data`"
    );
}

/// What a manifest names is looked for before anything runs, by the plan alone.
#[test]
fn baselines_and_axes_are_checked_without_results() {
    let (index, _) = experiment();
    let planned = Summary::from_records(&index, &[]).expect("summary");
    let checked = |baseline: &str, layout: &str| {
        let options = TableOptions {
            template: layout.to_string(),
            layout: layout.to_string(),
            baseline: Some(baseline.to_string()),
            ..TableOptions::new(Metric::Accuracy)
        };
        runner::report::check_request(&planned, &options).map_err(|error| error.to_string())
    };
    for baseline in [
        "hf-linear",
        "kf-gradient/deeplift",
        "Vanilla averaging",
        "KF gradient, head lr 0.1",
    ] {
        assert_eq!(checked(baseline, "methods-by-split"), Ok(()), "{baseline}");
    }
    assert_eq!(
        checked("kf-linear", "methods-by-split"),
        Err("the table has no row `kf-linear` to compare with".to_string())
    );
    assert!(
        checked("hf-linear", "kf-gradient-only").is_err(),
        "it has no such row"
    );
    assert_eq!(
        checked("hf-linear", "ablation"),
        Err("an ablation is along one axis, and none varies here".to_string())
    );
}

#[test]
fn data_sets_are_not_mixed_unless_they_are_an_axis() {
    let of = |set: &str, seed: u64| {
        with(record(Kind::Fuse, 2, seed, "hf-linear", 0.5), |record| {
            record.settings = json!({"dataset": {"name": set}});
        })
    };
    let mut records = vec![of("digits", 1), of("mnist", 2)];
    let error = Summary::from_records(&index(&records), &records).expect_err("mixed");
    assert!(
        error
            .to_string()
            .ends_with("is about the data set `mnist`, the other results are about `digits`"),
        "{error}"
    );
    for record in &mut records {
        let name = record.settings["dataset"]["name"].clone();
        record.axes.insert("dataset.name".to_string(), name);
    }
    let table = by_split(&summary(&records), Metric::Accuracy).expect("table");
    let titles: Vec<String> = table.columns.iter().map(runner::report::Column::title).collect();
    assert_eq!(titles, ["digits, 2 models", "mnist, 2 models"]);
}
