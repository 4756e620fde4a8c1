//! One self-contained HTML page of an experiment: tables, figures, every job.
//!
//! What the template `report.html` is given, besides `experiment` and `dataset`:
//!
//! | name | what |
//! | --- | --- |
//! | `manifest`, `manifest_link` | the manifest's path as it was given, and as a link from the page where there is such a file |
//! | `records_link` | the folder of the records as a link from the page |
//! | `counts` | how many jobs are `ok`, `failed`, `skipped`, `missing`: `name` and `n` |
//! | `warnings` | what is missing, one line each |
//! | `tables` | what a table's template is given, for each table the manifest asks for; and `kind`, what tells it from others of its metric, or nothing |
//! | `figures` | `title`, and `svg` unless that is too large |
//! | `provenance` | `name` and `value` |
//! | `data` | JSON: `jobs`, `settings`, `provenance`; for inside a `script` element |
//!
//! Nothing but `svg` and `data` is escaped: put `| html` behind every name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use super::figure::{FIGURES, FigureOptions, Theme, figures};
use super::{Format, Metric, ReportError, Results, Table, TableOptions, Templates, labels, render};
use crate::result::{Record, Status, Store, canonical_json};

/// Figures whose SVG has more bytes are left out.
const LARGEST_FIGURE: usize = 600_000;
/// So many bytes from the end of a log are shown ...
const LOG: usize = 6_000;
/// ... and with more jobs than this only the logs of those that are not ok.
const MANY: usize = 1_000;

/// The page of the results in `store`, to be written into `folder`.
pub fn page(
    store: &Store,
    results: &Results,
    templates: &Templates,
    folder: &Path,
) -> Result<String, ReportError> {
    let Results {
        index,
        records,
        summary,
    } = results;
    let mut context = tera::Context::new();
    context.insert("experiment", &index.experiment);
    context.insert("dataset", &index.dataset);
    context.insert("manifest", index.manifest.trim_start_matches("../"));
    context.insert("manifest_link", &link(folder, &index.manifest_path(store.root())));
    context.insert("records_link", &link(folder, &store.records()));

    let jobs: BTreeSet<&str> = index.jobs.iter().map(|entry| entry.job.as_str()).collect();
    let with = |status: Status| records.iter().filter(|record| record.status == status).count();
    let counts = [
        ("ok", with(Status::Ok)),
        ("failed", with(Status::Failed)),
        ("skipped", with(Status::Skipped)),
        ("missing", jobs.len() - records.len()),
    ];
    let counts: Vec<Value> = counts
        .iter()
        .filter(|(name, n)| *n > 0 || *name == "ok")
        .map(|(name, n)| json!({"name": name, "n": n}))
        .collect();
    context.insert("counts", &counts);

    if records.is_empty() {
        return Err(ReportError::Empty {
            experiment: index.experiment.clone(),
            what: "record".to_string(),
        });
    }
    let (mut tables, mut warnings) = (Vec::new(), Vec::new());
    let mut made: Vec<Table> = Vec::new();
    for request in &index.tables {
        for metric in &request.metrics {
            let layout = templates.layout(&request.template)?;
            match Table::of(summary, &TableOptions::requested(request, metric, layout)?) {
                // `f1` and `f1_macro` are one metric.
                Ok(table) if made.iter().any(|other| other.command == table.command) => {}
                Ok(table) => made.push(table),
                // A page of failures is what one needs to mend them.
                Err(error @ ReportError::Empty { .. }) => warnings.push(error.to_string()),
                Err(error) => return Err(error),
            }
        }
    }
    for table in &made {
        let mut context = render::context(&table.template, Format::Markdown, table);
        context.insert("kind", &kind(table, &made));
        tables.push(context.into_json());
        warnings.extend(table.warnings.iter().cloned());
    }
    let mut seen = BTreeSet::new();
    warnings.retain(|warning| seen.insert(warning.clone()));
    context.insert("tables", &tables);
    context.insert("warnings", &warnings);
    context.insert("figures", &drawn(results)?);
    context.insert("provenance", &provenance(results));
    context.insert("data", &data(store, records)?);
    templates.render_page(&context)
}

/// What tells a table from others of its metric; nothing where there is no other.
fn kind(table: &Table, all: &[Table]) -> Option<String> {
    let alike = || all.iter().filter(|other| other.metric == table.metric);
    if alike().count() < 2 {
        return None;
    }
    let own = alike().filter(|other| other.template == table.template).count();
    let rest = [
        table.axis.clone(),
        table.baseline.as_ref().map(|name| format!("against {name}")),
    ];
    let rest = rest.into_iter().flatten().filter(|_| own > 1);
    let words = std::iter::once(table.template.replace('-', " ")).chain(rest);
    Some(words.collect::<Vec<_>>().join(", "))
}

/// A file or folder as a link from the folder of the page; nothing where there is no such file.
fn link(folder: &Path, to: &Path) -> Option<String> {
    // The folder of the page may still have to be made.
    let from = folder
        .canonicalize()
        .or_else(|_| std::path::absolute(folder))
        .ok()?;
    let to = to.canonicalize().ok()?;
    let shared = from
        .components()
        .zip(to.components())
        .take_while(|(a, b)| a == b)
        .count();
    let up = from.components().skip(shared).map(|_| "..".to_string());
    let down = to.components().skip(shared);
    let down = down.map(|part| percent(part.as_os_str().as_encoded_bytes()));
    Some(up.chain(down).collect::<Vec<_>>().join("/"))
}

/// A part of a path as a link has it: everything else could be read as something else.
fn percent(part: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let encoded = part.iter().map(|&byte| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    encoded.collect()
}

fn drawn(results: &Results) -> Result<Vec<Value>, ReportError> {
    let options = FigureOptions::default();
    let mut drawn = Vec::new();
    for name in FIGURES {
        let made = match figures(results, name, &options) {
            Ok(made) => made,
            Err(ReportError::NoFigure { .. } | ReportError::NoAxis { .. }) => continue,
            Err(error) => return Err(error),
        };
        for figure in made {
            let svg = figure.to_svg(Theme::Page);
            let svg = (svg.len() <= LARGEST_FIGURE).then_some(svg);
            drawn.push(json!({"title": figure.title, "svg": svg}));
        }
    }
    Ok(drawn)
}

/// Every value there is, once.
fn provenance(results: &Results) -> Vec<Value> {
    let records = || results.records.iter().map(|record| &record.provenance);
    let distinct = |values: Vec<String>| {
        values
            .into_iter()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
            .join(", ")
    };
    let started: BTreeSet<&str> = records()
        .map(|p| p.started.as_str())
        .filter(|text| !text.is_empty())
        .collect();
    let committed = |state: &Option<bool>| match state {
        Some(true) => "yes".to_string(),
        Some(false) => "no".to_string(),
        None => "unknown".to_string(),
    };
    let period = match (started.first(), started.last()) {
        (Some(first), Some(last)) if first != last => format!("{first} to {last}"),
        (Some(first), _) => (*first).to_string(),
        _ => String::new(),
    };
    let lines = [
        ("Started", period),
        (
            "Program",
            distinct(records().map(|p| format!("runner {}", p.runner)).collect()),
        ),
        (
            "Git commit",
            distinct(records().filter_map(|p| p.manifest_commit.clone()).collect()),
        ),
        (
            "Manifest committed as it was run",
            distinct(records().map(|p| committed(&p.manifest_committed)).collect()),
        ),
        ("Manifest (blake3, resolved)", results.index.manifest_hash.clone()),
        ("Device", distinct(records().map(|p| p.device.clone()).collect())),
        (
            "Host",
            distinct(records().filter_map(|p| p.host.clone()).collect()),
        ),
    ];
    let told = lines.into_iter().filter(|(_, value)| !value.is_empty());
    told.map(|(name, value)| json!({"name": name, "value": value}))
        .collect()
}

/// The jobs as arrays, in the order of the template's columns; settings and provenance once each.
fn data(store: &Store, records: &[Record]) -> Result<String, ReportError> {
    let (mut settings, mut origins) = (Pool::default(), Pool::default());
    let all_logs = records.len() <= MANY;
    let jobs: Vec<Value> = records
        .iter()
        .map(|record| {
            let number = |metric: Metric| metric.of(record);
            let mut origin = serde_json::to_value(&record.provenance).unwrap_or_default();
            if let Value::Object(fields) = &mut origin {
                // Each job has its own.
                fields.retain(|key, _| key != "started" && key != "peak-memory");
            }
            let axes = record.axes.iter().map(|(key, value)| format!("{key}={value}"));
            let error = record.error.as_ref().map(|error| {
                let hint = error.hint.iter().map(|hint| format!("\nhint: {hint}"));
                error.chain.join("\n") + &hint.collect::<String>()
            });
            let log = (all_logs || record.status != Status::Ok).then(|| tail(&store.log_path(&record.job)));
            json!([
                record.job,
                record.kind,
                record.status,
                record.parts,
                record.seed,
                record.method.as_deref().map(labels::method),
                record.importance.as_deref().map(labels::importance),
                number(Metric::Loss),
                number(Metric::Accuracy),
                number(Metric::F1Macro),
                number(Metric::RocAuc),
                record.seconds.get("total"),
                number(Metric::PeakMemory).map(|bytes| bytes * Metric::PeakMemory.scale()),
                axes.collect::<Vec<_>>().join(" "),
                record.key,
                settings.position(&record.settings),
                origins.position(&origin),
                error,
                log.flatten(),
                record.provenance.started,
            ])
        })
        .collect();
    let all = json!({"jobs": jobs, "settings": settings.values, "provenance": origins.values});
    let text = serde_json::to_string(&all).map_err(|source| ReportError::Json {
        what: "the page's data",
        source,
    })?;
    // So that no text of a record can end the script element.
    Ok(text.replace('<', "\\u003c"))
}

/// Equal values once.
#[derive(Default)]
struct Pool {
    positions: BTreeMap<String, usize>,
    values: Vec<Value>,
}

impl Pool {
    fn position(&mut self, value: &Value) -> usize {
        let next = self.values.len();
        let position = *self.positions.entry(canonical_json(value)).or_insert(next);
        if position == next {
            self.values.push(value.clone());
        }
        position
    }
}

/// The end of a log, from the beginning of a line; nothing where there is none.
fn tail(path: &Path) -> Option<String> {
    let bytes = crate::files::read(path).ok()?;
    let from = bytes.len().saturating_sub(LOG);
    let text = String::from_utf8_lossy(&bytes[from..]).into_owned();
    Some(match text.split_once('\n') {
        Some((_, rest)) if from > 0 => format!("...\n{rest}"),
        _ => text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_open_whatever_files_are_called() {
        let folder = tempfile::tempdir().expect("folder");
        let path = |name: &str| folder.path().join(name);
        for name in ["a#1/100% [x]/m é.toml", "results/q/records/r.json"] {
            std::fs::create_dir_all(path(name).parent().expect("parent")).expect("folder");
            crate::result::write_atomic(&path(name), b"").expect("file");
        }
        assert_eq!(
            link(&path("results/q"), &path("a#1/100% [x]/m é.toml")).as_deref(),
            Some("../../a%231/100%25%20%5Bx%5D/m%20%C3%A9.toml")
        );
        assert_eq!(
            link(&path("a#1"), &path("results/q/records")).as_deref(),
            Some("../results/q/records")
        );
        assert_eq!(
            link(&path("results/q"), &path("results/q/records")).as_deref(),
            Some("records")
        );
        assert_eq!(link(&path("results"), &path("gone.toml")), None);
    }
}
