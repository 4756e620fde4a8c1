//! `runner table`: tables from results alone.

use std::io::Write;

use super::CliError;
use super::args::{Global, TableArgs, TableFormat};
use super::setup;
use crate::report::{
    Format, Metric, Results, Table, TableOptions, Templates, load, to_csv, to_json, to_macros,
};
use crate::result::TableRequest;

/// Runs the command.
pub fn run(args: &TableArgs, global: &Global) -> Result<(), CliError> {
    let store = setup::store_of(&args.experiment, global)?;
    let mut results = load(&store)?;
    let mcnemar = |test: Option<&String>| test.is_some_and(|test| test == "mcnemar");
    if mcnemar(args.test.as_ref())
        || results
            .index
            .tables
            .iter()
            .any(|table| mcnemar(table.test.as_ref()))
    {
        results = results.with_predictions(&store);
    }
    let Results { index, summary, .. } = results;
    let templates = Templates::load(Some(&global.templates))?;
    let mut out = std::io::stdout().lock();
    // A manifest need not ask for tables; whoever runs this does.
    let default = [TableRequest {
        template: "methods-by-split".to_string(),
        metrics: vec![Metric::Accuracy.to_string()],
        ..TableRequest::default()
    }];
    let tables = if index.tables.is_empty() {
        &default[..]
    } else {
        &index.tables
    };
    let mut documents: Vec<String> = Vec::new();
    for (i, request) in requests(args, tables).iter().enumerate() {
        let template = &request.template;
        let [metric] = request.metrics.as_slice() else {
            continue;
        };
        let options = TableOptions::requested(request, metric, templates.layout(template)?)?;
        let table = Table::of(&summary, &options)?;
        let text = match args.format {
            TableFormat::Markdown => templates.render(template, Format::Markdown, &table)?,
            TableFormat::Latex => templates.render(template, Format::Latex, &table)?,
            TableFormat::Csv => to_csv(&table),
            TableFormat::Json => to_json(&table)?,
            TableFormat::Macros => to_macros(&table),
        };
        if args.format == TableFormat::Json {
            documents.push(text.trim_end().to_string());
        } else {
            if i > 0 {
                writeln!(out)?;
            }
            writeln!(out, "{}", text.trim_end())?;
        }
        for warning in &table.warnings {
            writeln!(std::io::stderr(), "warning: {warning}")?;
        }
    }
    // Several tables are one document all the same.
    match documents.as_slice() {
        [] => {}
        [one] => writeln!(out, "{one}")?,
        several => writeln!(out, "[\n{}\n]", several.join(",\n"))?,
    }
    Ok(())
}

/// The tables asked for, of one metric each.
fn requests(args: &TableArgs, tables: &[TableRequest]) -> Vec<TableRequest> {
    let mut requests = Vec::new();
    for table in tables {
        let metrics = if args.metric.is_empty() {
            &table.metrics
        } else {
            &args.metric
        };
        for metric in metrics {
            let request = TableRequest {
                template: args.template.clone().unwrap_or_else(|| table.template.clone()),
                metrics: vec![metric.clone()],
                columns: if args.columns.is_empty() {
                    table.columns.clone()
                } else {
                    args.columns.clone()
                },
                precision: args.precision.map(usize::from).or(table.precision),
                baseline: args.baseline.clone().or_else(|| table.baseline.clone()),
                test: args.test.clone().or_else(|| table.test.clone()),
                axis: args.axis.clone().or_else(|| table.axis.clone()),
            };
            if !requests.contains(&request) {
                requests.push(request);
            }
        }
    }
    requests
}
