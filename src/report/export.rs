//! Tables for programs.

use std::fmt::Write;

use super::data::{Cell, Table};
use super::escape::escaped;
use super::number::exact;
use super::{ReportError, Section};

/// What formulas begin with; the wide forms are those of East Asian keyboards.
const FORMULA: [char; 8] = ['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];

/// Tables as CSV (RFC 4180): a line per cell, below one head; where there are several tables, their experiments and templates
/// stand first. An empty cell has no line.
///
/// Text that a spreadsheet would take for a formula begins with an apostrophe, and characters that are not seen are written
/// out; `raw` text is as it is.
pub fn to_csv(tables: &[Table], raw: bool) -> String {
    let several = tables.len() > 1;
    let origin = if several { "experiment,template," } else { "" };
    let mut text = format!("{origin}section,row,importance,column,state,metric,mean,std,n,best,second,p\r\n");
    for table in tables {
        let origin = match several {
            true => format!(
                "{},{},",
                field(&table.experiment, raw),
                field(&table.template, raw)
            ),
            false => String::new(),
        };
        for line in lines(table, raw) {
            // Writing to a string cannot fail.
            let _ = write!(text, "{origin}{line}\r\n");
        }
    }
    text
}

/// A line per cell.
fn lines(table: &Table, raw: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for row in &table.rows {
        let section = match row.section {
            Section::Base => "base",
            Section::Ensemble => "ensemble",
            Section::Network => "network",
        };
        for (cell, column) in row.cells.iter().zip(&table.columns) {
            let (state, numbers) = match cell {
                Cell::Value {
                    mean,
                    std,
                    n,
                    best,
                    second,
                    p,
                } => {
                    // That of a single run is the record's.
                    let mean = if *n == 1 { exact(*mean) } else { rounded(*mean) };
                    let text = |number: &Option<f64>| number.map(rounded).unwrap_or_default();
                    let marks = [best.to_string(), second.to_string(), text(p)];
                    let numbers = [mean, text(std), n.to_string()];
                    ("value", [numbers, marks].concat())
                }
                Cell::Missing => ("missing", vec![String::new(); 6]),
                Cell::Undefined => ("undefined", vec![String::new(); 6]),
                Cell::NotApplicable => ("not-applicable", vec![String::new(); 6]),
                Cell::Empty => continue,
            };
            let importance = row.importance.as_deref().unwrap_or_default();
            let words = [
                section,
                &row.label,
                importance,
                &column.title(),
                state,
                column.metric.as_str(),
            ]
            .map(|word| field(word, raw));
            lines.push([words.as_slice(), numbers.as_slice()].concat().join(","));
        }
    }
    lines
}

/// What was computed, without the noise of its last digits.
fn rounded(number: f64) -> String {
    exact(format!("{number:.8e}").parse().unwrap_or(number))
}

/// The table as JSON, as [`Table`] has it.
pub fn to_json(table: &Table) -> Result<String, ReportError> {
    let text = serde_json::to_string_pretty(table).map_err(|source| ReportError::Json {
        what: "the table",
        source,
    })?;
    Ok(text + "\n")
}

fn field(text: &str, raw: bool) -> String {
    if raw {
        return quoted(text);
    }
    let text = escaped(text);
    match text.trim_start().starts_with(FORMULA) {
        true => quoted(&format!("'{text}")),
        false => quoted(&text),
    }
}

fn quoted(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_string()
    }
}
