//! `runner table`: tables from results alone.

use std::collections::BTreeSet;

use super::CliError;
use super::args::{Global, TableArgs, TableFormat};
use super::{output, setup};
use crate::report::{
    Format, Metric, ReportError, Results, Table, TableOptions, Templates, load, to_csv, to_json, to_macros,
};
use crate::result::{Store, TableRequest};

/// Runs the command.
pub fn run(args: &TableArgs, global: &Global) -> Result<(), CliError> {
    let store = setup::store_of(&args.experiment, global)?;
    let results = chosen(load(&store)?, args)?;
    let requests = requests(args, &results.index.tables);
    if args.raw && args.format != TableFormat::Csv {
        return Err(CliError::usage(
            "`--raw` is about the text of CSV files",
            "add `--format csv`, or leave it out",
        ));
    }
    if args.test.is_some() && requests.iter().all(|request| request.baseline.is_none()) {
        return Err(CliError::usage(
            "a test compares rows with a baseline, and there is none",
            "name one with `--baseline ROW`",
        ));
    }
    let Results { summary, .. } = with_answers(results, &requests, &store);
    let templates = Templates::load(Some(&global.templates))?;
    let mut tables: Vec<Table> = Vec::new();
    let (mut gaps, mut empty) = (Vec::new(), None);
    for request in &requests {
        for metric in &request.metrics {
            let layout = templates.layout(&request.template)?;
            let mut options = TableOptions::requested(request, metric, layout)?;
            options.filters.clone_from(&args.filters);
            let table = match Table::of(&summary, &options) {
                Ok(table) => table,
                // The other tables are shown all the same.
                Err(error @ ReportError::Empty { .. }) => {
                    gaps.push(format!("no table `{}` of `{metric}`: {error}", request.template));
                    empty = Some(error);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            // `f1` and `f1_macro` are one metric.
            if tables.iter().all(|other| other.command != table.command) {
                tables.push(table);
            }
        }
    }
    if let Some(error) = empty.filter(|_| tables.is_empty()) {
        return Err(error.into());
    }
    let render = |table: &Table, format| templates.render(&table.template, format, table);
    let texts: Result<Vec<String>, _> = match args.format {
        TableFormat::Markdown => tables
            .iter()
            .map(|table| render(table, Format::Markdown))
            .collect(),
        TableFormat::Latex => tables.iter().map(|table| render(table, Format::Latex)).collect(),
        // Names of macros are unique in all of them.
        TableFormat::Macros => Ok(vec![to_macros(&tables)]),
        TableFormat::Json => tables.iter().map(to_json).collect(),
        // Several tables are one file all the same.
        TableFormat::Csv => Ok(vec![to_csv(&tables, args.raw)]),
    };
    let texts = texts?;
    let texts: Vec<&str> = texts.iter().map(|text| text.trim_end()).collect();
    let text = match (args.format, texts.as_slice()) {
        (TableFormat::Json, several) if several.len() > 1 => format!("[\n{}\n]", several.join(",\n")),
        (_, texts) => texts.join("\n\n"),
    };
    let mut out = output::out();
    match args.format {
        TableFormat::Csv => out.verbatim((text + "\n").as_bytes())?,
        TableFormat::Json => out.source(&text)?,
        _ => out.text(&(text + "\n"))?,
    }
    let mut said = BTreeSet::new();
    for warning in tables.iter().flat_map(|table| &table.warnings).chain(&gaps) {
        if said.insert(warning) {
            output::warning(warning);
        }
    }
    Ok(())
}

/// The results of the jobs that pass the filters.
fn chosen(results: Results, args: &TableArgs) -> Result<Results, CliError> {
    if args.filters.is_empty() {
        return Ok(results);
    }
    let filters = args.filters.iter().map(|text| setup::filter(text));
    let filters = filters.collect::<Result<Vec<_>, _>>()?;
    let Results {
        mut index, records, ..
    } = results;
    index
        .jobs
        .retain(|entry| filters.iter().any(|filter| filter.matches_entry(entry)));
    if index.jobs.is_empty() {
        return Err(CliError::NothingSelected);
    }
    Ok(Results::new(index, records)?)
}

/// With the answers to the test examples, where a test needs them.
pub fn with_answers(results: Results, requests: &[TableRequest], store: &Store) -> Results {
    let mcnemar = |request: &TableRequest| request.test.as_deref() == Some("mcnemar");
    match requests.iter().any(mcnemar) {
        true => results.with_predictions(store),
        false => results,
    }
}

/// The tables asked for: those of the manifest, or those of its tables that have the template asked for, each with what the
/// command line says in place of what the manifest says.
fn requests(args: &TableArgs, tables: &[TableRequest]) -> Vec<TableRequest> {
    let wanted = |table: &&TableRequest| args.template.as_ref().is_none_or(|name| *name == table.template);
    let mut found: Vec<TableRequest> = tables.iter().filter(wanted).cloned().collect();
    // A manifest need not ask for tables; whoever runs this does.
    if found.is_empty() {
        let metrics = tables.first().map(|table| table.metrics.clone());
        found.push(TableRequest {
            template: args
                .template
                .clone()
                .unwrap_or_else(|| "methods-by-split".to_string()),
            metrics: metrics.unwrap_or_else(|| vec![Metric::Accuracy.to_string()]),
            ..TableRequest::default()
        });
    }
    let given = |own: &[String], theirs: Vec<String>| match own {
        [] => theirs,
        own => own.to_vec(),
    };
    let mut requests: Vec<TableRequest> = Vec::new();
    for table in found {
        let request = TableRequest {
            template: table.template,
            metrics: given(&args.metric, table.metrics),
            columns: given(&args.columns, table.columns),
            precision: args.precision.map(usize::from).or(table.precision),
            baseline: args.baseline.clone().or(table.baseline),
            test: args.test.clone().or(table.test),
            axis: args.axis.clone().or(table.axis),
        };
        if !requests.contains(&request) {
            requests.push(request);
        }
    }
    requests
}
