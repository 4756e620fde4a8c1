//! `runner table`: tables from results alone.

use std::io::Write;

use super::CliError;
use super::args::{Global, TableArgs, TableFormat};
use super::setup;
use crate::report::{Format, Metric, Table, Templates, summarise, to_csv, to_json};
use crate::result::TableRequest;

/// Runs the command.
pub fn run(args: &TableArgs, global: &Global) -> Result<(), CliError> {
    let store = setup::store_of(&args.experiment, global)?;
    let index = store.load_index()?;
    let summary = summarise(&store, &index)?;
    let templates = Templates::load(Some(&global.templates))?;
    let mut out = std::io::stdout().lock();
    for (i, (template, metric)) in requests(args, &index.tables).iter().enumerate() {
        let metric: Metric = metric.parse()?;
        let table = Table::methods_by_split(&summary, metric)?;
        let text = match args.format {
            TableFormat::Markdown => templates.render(template, Format::Markdown, &table)?,
            TableFormat::Latex => templates.render(template, Format::Latex, &table)?,
            TableFormat::Csv => to_csv(&table),
            TableFormat::Json => to_json(&table)?,
        };
        if i > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{}", text.trim_end())?;
        for warning in &table.warnings {
            writeln!(std::io::stderr(), "warning: {warning}")?;
        }
    }
    Ok(())
}

/// Template and metric of each table asked for.
fn requests(args: &TableArgs, tables: &[TableRequest]) -> Vec<(String, String)> {
    let mut requests = Vec::new();
    for table in tables {
        let template = args.template.as_ref().unwrap_or(&table.template);
        let metrics = if args.metric.is_empty() {
            &table.metrics
        } else {
            &args.metric
        };
        for metric in metrics {
            let request = (template.clone(), metric.clone());
            if !requests.contains(&request) {
                requests.push(request);
            }
        }
    }
    requests
}
