//! Tables for programs.

use std::fmt::Write;

use super::table::{Cell, Table};
use super::{ReportError, Section};

/// Tables as CSV (RFC 4180): a line per cell, below one head; where there are several tables, their experiments and templates
/// stand first. An empty cell has no line.
pub fn to_csv(tables: &[Table]) -> String {
    let several = tables.len() > 1;
    let origin = if several { "experiment,template," } else { "" };
    let mut text = format!("{origin}section,row,importance,column,state,metric,mean,std,n,best,second,p\r\n");
    for table in tables {
        let origin = match several {
            true => format!("{},{},", field(&table.experiment), field(&table.template)),
            false => String::new(),
        };
        for line in lines(table) {
            // Writing to a string cannot fail.
            let _ = write!(text, "{origin}{line}\r\n");
        }
    }
    text
}

/// A line per cell.
fn lines(table: &Table) -> Vec<String> {
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
                    let mean = if *n == 1 { mean.to_string() } else { rounded(*mean) };
                    let text = |number: &Option<f64>| number.map(rounded).unwrap_or_default();
                    let marks = [best.to_string(), second.to_string(), text(p)];
                    let numbers = [mean, text(std), n.to_string()];
                    ("value", [numbers, marks].concat())
                }
                Cell::Missing => ("missing", vec![String::new(); 6]),
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
            .map(field);
            lines.push([words.as_slice(), numbers.as_slice()].concat().join(","));
        }
    }
    lines
}

/// What was computed, without the noise of its last digits.
fn rounded(number: f64) -> String {
    format!("{number:.8e}")
        .parse::<f64>()
        .unwrap_or(number)
        .to_string()
}

/// The table as JSON, as [`Table`] has it.
pub fn to_json(table: &Table) -> Result<String, ReportError> {
    let text = serde_json::to_string_pretty(table).map_err(|source| ReportError::Json {
        what: "the table",
        source,
    })?;
    Ok(text + "\n")
}

fn field(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_string()
    }
}
