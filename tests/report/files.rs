//! Tables of a results folder.

use std::fs;
use std::time::Instant;

use runner::report::{load, page, render_all};
use runner::result::{Store, StoreError, TableRequest};

use super::*;

pub fn save(folder: &std::path::Path, mut index: Index, records: Vec<Record>) -> Store {
    let store = Store::open(folder).expect("store");
    for (number, mut record) in records.into_iter().enumerate() {
        record.job = format!("job-{number}");
        index.jobs[number].job.clone_from(&record.job);
        store.save(record).expect("saved");
    }
    index.tables = vec![TableRequest {
        template: "methods-by-split".to_string(),
        metrics: ["accuracy", "f1", "f1_macro"].map(str::to_string).to_vec(),
        ..TableRequest::default()
    }];
    store.save_index(&index).expect("saved");
    store
}

#[test]
fn an_experiments_tables_are_written() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (index, records) = experiment();
    let store = save(folder.path(), index, records);
    let templates = Templates::load(None).expect("templates");
    let rendered = render_all(&store, &templates).expect("tables");
    assert_eq!(
        rendered.iter().map(|table| table.metric).collect::<Vec<_>>(),
        [Metric::Accuracy, Metric::F1Macro]
    );
    assert_eq!(
        rendered[0].markdown,
        render(Format::Markdown, &table(Metric::Accuracy))
    );
    assert_eq!(rendered[0].warnings.len(), 2);
    let files = [
        "summary.json",
        "tables/methods-by-split-accuracy.tex",
        "tables/methods-by-split-f1_macro.md",
    ];
    let read = || files.map(|file| fs::read(folder.path().join(file)).expect(file));
    let before = read();
    render_all(&store, &templates).expect("again");
    assert_eq!(read(), before);

    let path = store.record_path("job-0");
    let text = fs::read_to_string(&path).expect("record").replace("0.87", "0.97");
    runner::result::write_atomic(&path, text.as_bytes()).expect("write");
    let error = render_all(&store, &templates).expect_err("tampered");
    assert!(
        matches!(error, ReportError::Store(StoreError::Checksum { .. })),
        "{error}"
    );
}

/// Two tables of one metric have two titles, and methods the names they have in tables. A page of nothing is none.
#[test]
fn a_page_tells_its_tables_apart() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (index, records) = experiment();
    let store = save(folder.path(), index, records);
    let templates = Templates::load(None).expect("templates");
    let mut results = load(&store).expect("results");
    let request = |template: &str| TableRequest {
        template: template.to_string(),
        metrics: vec!["accuracy".to_string()],
        ..TableRequest::default()
    };
    results.index.tables = ["methods-by-split", "kf-gradient-only"].map(request).to_vec();
    let html = page(&store, &results, &templates, store.root()).expect("a page");
    for title in ["methods by split", "kf gradient only"] {
        assert_eq!(
            html.matches(&format!("<summary>Test accuracy (%), {title}, "))
                .count(),
            1,
            "{title}"
        );
    }
    assert!(html.contains("\"KF gradient\",\"DeepLIFT\""), "display names");
    results.records.clear();
    let error = page(&store, &results, &templates, store.root()).expect_err("nothing");
    assert_eq!(
        error.to_string(),
        "`quick_start` has no record, so there is nothing to show"
    );
}

/// `cargo test --release -- --ignored ten_thousand`: a table over 10,000 records of 5 kB in less than 2 s.
#[test]
#[ignore = "a measurement"]
#[expect(clippy::print_stderr, reason = "the figures")]
fn ten_thousand_records() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut records = Vec::new();
    for seed in 0..50 {
        for method in 0..200 {
            records.push(with(
                record(Kind::Fuse, 4, seed, &format!("method-{method}"), 0.9),
                |record| {
                    record.settings =
                        json!({"values": (0..100).map(|i| f64::from(i) * 1.37).collect::<Vec<_>>()});
                },
            ));
        }
    }
    let store = save(folder.path(), index(&records), records);
    let size = fs::metadata(store.record_path("job-0")).expect("record").len();
    let mut start = Instant::now();
    let summary = load(&store).expect("results").summary;
    by_split(&summary, Metric::Accuracy).expect("table");
    let read = start.elapsed();
    start = Instant::now();
    let rendered = render_all(&store, &Templates::load(None).expect("templates")).expect("tables");
    assert_eq!(rendered.len(), 2);
    eprintln!(
        "{size} bytes each: a table in {read:?}, all tables written in {:?}",
        start.elapsed()
    );
    assert!(read.as_secs_f64() < 2.0);
}
