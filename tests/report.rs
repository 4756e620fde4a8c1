//! Tables from hand-built records: layout, formats, what is missing, what is wrong.

use runner::report::{Format, Metric, ReportError, Summary, Table, TableOptions, Templates};
use runner::result::{Failure, Index, IndexEntry, Kind, Metrics, Place, Provenance, Record, SCHEMA, Status};
use serde_json::{Value, json};

mod browser;
mod compare;
mod figures;
mod files;
mod latex;
mod layouts;
mod marks;
mod studies;
mod summary;
mod tables;
mod templates;

/// A finished record; `accuracy` decides the other metrics.
fn record(kind: Kind, parts: usize, seed: u64, name: &str, accuracy: f64) -> Record {
    let is_base = matches!(kind, Kind::Train | Kind::Evaluate);
    let models = if is_base {
        vec![name.to_string()]
    } else {
        (0..parts).map(|i| format!("model_{i}")).collect()
    };
    let job = format!("{name}-{parts}-{seed}");
    Record {
        schema: SCHEMA,
        key: format!("key of {job}"),
        job,
        kind,
        status: Status::Ok,
        axes: [
            ("split.parts".to_string(), json!(parts)),
            ("seed".to_string(), json!(seed)),
        ]
        .into(),
        seed,
        method_seed: None,
        parts,
        models,
        method: (!is_base).then(|| name.to_string()),
        importance: None,
        label: None,
        settings: Value::Null,
        inputs: Vec::new(),
        metrics: Some(Metrics {
            loss: 1.0 - accuracy,
            accuracy,
            f1_macro: accuracy - 0.01,
            roc_auc: None,
            confusion_matrix: vec![vec![1, 0], vec![0, 1]],
        }),
        diagnostics: Value::Null,
        error: None,
        seconds: [("total".to_string(), 1.5)].into(),
        provenance: Provenance::default(),
        checksum: String::new(),
        seal: String::new(),
    }
}

fn failed(mut record: Record, status: Status) -> Record {
    record.status = status;
    record.metrics = None;
    record.error = Some(Failure {
        chain: vec!["it broke".to_string()],
        hint: None,
    });
    record
}

fn with(mut record: Record, change: impl FnOnce(&mut Record)) -> Record {
    let before = record.job.clone();
    change(&mut record);
    if record.job == before {
        let Record {
            importance,
            settings,
            axes,
            ..
        } = &record;
        record.job = format!("{before}-{importance:?}-{settings}-{axes:?}").replace(['/', '"', ' '], "");
        record.key = format!("key of {}", record.job);
    }
    record
}

fn index(records: &[Record]) -> Index {
    let entry = |record: &Record| IndexEntry {
        job: record.job.clone(),
        key: record.key.clone(),
        kind: record.kind,
        place: Some(Place::from(record)),
    };
    Index {
        schema: SCHEMA,
        experiment: "quick_start".to_string(),
        dataset: "digits".to_string(),
        manifest: String::new(),
        manifest_hash: String::new(),
        tables: Vec::new(),
        jobs: records.iter().map(entry).collect(),
    }
}

/// Two and four models, three seeds; HF linear for pairs only; KF gradient fails for four, partly.
fn experiment() -> (Index, Vec<Record>) {
    let mut records = Vec::new();
    for parts in [2, 4] {
        for seed in [1, 2, 3] {
            let noise = [-0.01, 0.0, 0.02][usize::try_from(seed - 1).expect("small")];
            let fuse = |name, accuracy: f64| record(Kind::Fuse, parts, seed, name, accuracy + noise);
            let importance =
                |name: &'static str| move |record: &mut Record| record.importance = Some(name.to_string());
            for model in 0..parts {
                let lower = model as f64 / 10.0;
                records.push(record(
                    Kind::Train,
                    parts,
                    seed,
                    &format!("model_{model}"),
                    0.88 - lower + noise,
                ));
            }
            records.push(fuse("vanilla-averaging", 0.80));
            records.push(fuse("ensemble", 0.96));
            records.push(with(fuse("ensemble", 0.967), |record| {
                record.settings = json!({"fusion": {"method": {"name": "ensemble", "head-weights": true}}});
            }));
            if parts == 2 {
                records.push(with(fuse("hf-linear", 0.92), importance("uniform")));
            }
            for name in ["uniform", "deeplift"] {
                let kf = with(fuse("kf-gradient", 0.93), importance(name));
                records.push(match (parts, name, seed) {
                    (4, "uniform", _) => failed(kf, Status::Skipped),
                    (4, "deeplift", 3) => failed(kf, Status::Failed),
                    _ => kf,
                });
            }
        }
    }
    (index(&records), records)
}

fn table(metric: Metric) -> Table {
    let (index, records) = experiment();
    let summary = Summary::from_records(&index, &records).expect("summary");
    by_split(&summary, metric).expect("table")
}

/// One metric by numbers of models.
fn by_split(summary: &Summary, metric: Metric) -> Result<Table, ReportError> {
    Table::of(summary, &TableOptions::new(metric))
}

fn render(format: Format, table: &Table) -> String {
    let templates = Templates::load(None).expect("templates");
    templates
        .render("methods-by-split", format, table)
        .expect("rendered")
}

fn summary(records: &[Record]) -> Summary {
    Summary::from_records(&index(records), records).expect("summary")
}
