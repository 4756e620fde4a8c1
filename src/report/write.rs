//! The reports of an experiment's folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use rayon::prelude::*;
use serde_json::Value;

use super::{Format, Metric, ReportError, Summary, Table, TableOptions, Templates};
use crate::result::{Index, IndexEntry, Lookup, Record, Store, create_dir, write_atomic};

/// One table as written.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// Name of the template.
    pub template: String,
    /// What it shows.
    pub metric: Metric,
    /// For the terminal; empty where there is no such table.
    pub markdown: String,
    /// What is missing, one line each.
    pub warnings: Vec<String>,
    /// The files written.
    pub files: Vec<PathBuf>,
}

impl Rendered {
    /// Stands for a table that has nothing to show.
    fn none(template: &str, metric: Metric, why: &ReportError) -> Self {
        Self {
            template: template.to_string(),
            metric,
            markdown: String::new(),
            warnings: vec![format!("no table `{template}` of `{metric}`: {why}")],
            files: Vec::new(),
        }
    }
}

/// All that is known of an experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Results {
    /// What there should be.
    pub index: Index,
    /// What there is, in the index's order, each once.
    pub records: Vec<Record>,
    /// The statistics of it.
    pub summary: Summary,
}

/// Reads and checks all records that the index names, and aggregates them. A record that is absent, or of another
/// key than the index wants, counts as missing; one that cannot be trusted is an error.
pub fn load(store: &Store) -> Result<Results, ReportError> {
    load_with(store, |record| record)
}

/// The same, holding of each record only what `keep` keeps.
fn load_with(store: &Store, keep: impl Fn(Record) -> Record + Sync) -> Result<Results, ReportError> {
    let index = store.load_index()?;
    let mut seen = BTreeSet::new();
    let entries: Vec<&IndexEntry> = index
        .jobs
        .iter()
        .filter(|entry| seen.insert(&entry.job))
        .collect();
    let lookups: Vec<Lookup> = entries
        .par_iter()
        .map(|entry| match store.lookup(&entry.job, &entry.key) {
            Lookup::Found(record) => Lookup::Found(Box::new(keep(*record))),
            other => other,
        })
        .collect();
    let records = lookups.into_iter().filter_map(|lookup| match lookup {
        Lookup::Found(record) => Some(Ok(*record)),
        Lookup::Missing => None,
        Lookup::Corrupt(error) => Some(Err(error)),
    });
    let records = records.collect::<Result<Vec<Record>, _>>()?;
    Results::new(index, records)
}

impl Results {
    /// Aggregates records that the index names.
    pub fn new(index: Index, records: Vec<Record>) -> Result<Self, ReportError> {
        let summary = Summary::from_records(&index, &records)?;
        Ok(Self {
            index,
            records,
            summary,
        })
    }

    /// Reads what the jobs answered on the test examples, for tests that need it; what is not in the cache stays unknown.
    #[must_use]
    pub fn with_predictions(mut self, store: &Store) -> Self {
        let jobs: BTreeMap<&str, &str> = self
            .records
            .iter()
            .map(|r| (r.key.as_str(), r.job.as_str()))
            .collect();
        for group in &mut self.summary.groups {
            let correct = |key: &String| Some(store.load_predictions(jobs.get(key.as_str())?)?.correct());
            group.correct = group.keys.iter().map(correct).collect();
        }
        self
    }
}

/// What tables are made of. Records of large sweeps need a gigabyte for the rest.
fn essentials(mut record: Record) -> Record {
    let only = |value: &mut Value, keys: &[&str]| {
        if let Value::Object(fields) = value {
            fields.retain(|key, _| keys.contains(&key.as_str()));
        }
    };
    only(&mut record.settings, &["dataset", "fusion"]);
    only(&mut record.diagnostics, &["fusion-samples"]);
    record.inputs = Vec::new();
    record
}

/// Writes `summary.json` and every table the index asks for, as `tables/<template>-<metric>.tex` and `.md`; a further table of
/// the same template and metric, with other columns, another baseline or axis, has a number behind its name.
///
/// All tables are made before the first is written, so an error leaves the former ones as they were. A template that cannot be
/// filled in costs its own tables alone; the first such error comes after all else is written. A template that
/// exists in one format is written in that one; the terminal then gets the Markdown of `methods-by-split`.
pub fn render_all(store: &Store, templates: &Templates) -> Result<Vec<Rendered>, ReportError> {
    let mut results = load_with(store, essentials)?;
    if results
        .index
        .tables
        .iter()
        .any(|table| table.test.as_deref() == Some("mcnemar"))
    {
        results = results.with_predictions(store);
    }
    let Results { index, summary, .. } = results;
    let mut made: Vec<Rendered> = Vec::new();
    let mut contents: Vec<(PathBuf, String)> = Vec::new();
    let mut commands: BTreeSet<String> = BTreeSet::new();
    let mut failed: Option<ReportError> = None;
    let mut empty = None;
    for request in &index.tables {
        if let Err(error) = templates.check(&request.template) {
            failed.get_or_insert(error);
            continue;
        }
        for name in &request.metrics {
            let metric: Metric = name.parse()?;
            let layout = templates.layout(&request.template)?;
            let table = match Table::of(&summary, &TableOptions::requested(request, name, layout)?) {
                Ok(table) => table,
                // The other tables are made all the same.
                Err(error @ ReportError::Empty { .. }) => {
                    made.push(Rendered::none(&request.template, metric, &error));
                    empty = Some(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            // `f1` and `f1_macro` are one metric.
            if !commands.insert(table.command.clone()) {
                continue;
            }
            let alike = made
                .iter()
                .filter(|other| other.template == request.template && other.metric == metric)
                .filter(|other| !other.markdown.is_empty());
            let number = match alike.count() {
                0 => String::new(),
                n => format!("-{}", n + 1),
            };
            match filled(templates, &request.template, &table) {
                Ok((markdown, texts)) => {
                    let path = |format: Format| {
                        let file = format!("{}-{metric}{number}.{}", request.template, format.extension());
                        store.tables().join(file)
                    };
                    made.push(Rendered {
                        template: request.template.clone(),
                        metric,
                        markdown,
                        warnings: table.warnings,
                        files: texts.iter().map(|(format, _)| path(*format)).collect(),
                    });
                    contents.extend(texts.into_iter().map(|(format, text)| (path(format), text)));
                }
                Err(error) => {
                    failed.get_or_insert(error);
                }
            }
        }
    }
    let text = serde_json::to_string_pretty(&summary);
    let text = text.map_err(|source| ReportError::Json {
        what: "the summary",
        source,
    })?;
    write_atomic(&store.root().join("summary.json"), (text + "\n").as_bytes())?;
    if let Some(error) = empty.filter(|_| contents.is_empty()) {
        return Err(error);
    }
    create_dir(&store.tables())?;
    for (path, text) in contents {
        write_atomic(&path, text.as_bytes())?;
    }
    failed.map_or(Ok(made), Err)
}

/// A table for the terminal, and in each format of its template.
fn filled(
    templates: &Templates,
    name: &str,
    table: &Table,
) -> Result<(String, Vec<(Format, String)>), ReportError> {
    let formats = Format::ALL
        .into_iter()
        .filter(|format| templates.has(name, *format));
    let texts = formats
        .map(|format| Ok((format, templates.render(name, format, table)?)))
        .collect::<Result<Vec<_>, ReportError>>()?;
    let own = texts.iter().find(|(format, _)| *format == Format::Markdown);
    let markdown = match own {
        Some((_, text)) => text.clone(),
        None => templates.render(FALLBACK, Format::Markdown, table)?,
    };
    Ok((markdown, texts))
}

const FALLBACK: &str = "methods-by-split";
