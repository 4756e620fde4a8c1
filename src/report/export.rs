//! Tables for programs.

use super::table::{Cell, Table};
use super::{ReportError, Section};

/// The table as CSV (RFC 4180): a line per cell, with all digits. An empty cell has no line.
pub fn to_csv(table: &Table) -> String {
    let mut lines = vec!["section,row,importance,column,state,metric,mean,std,n,best,second,p".to_string()];
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
                    let text =
                        |number: &Option<f64>| number.map(|number| number.to_string()).unwrap_or_default();
                    let marks = [best.to_string(), second.to_string(), text(p)];
                    let numbers = [mean.to_string(), text(std), n.to_string()];
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
    lines.join("\r\n") + "\r\n"
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
