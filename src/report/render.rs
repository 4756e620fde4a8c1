//! What a template is given.
//!
//! | name | what |
//! | --- | --- |
//! | `experiment`, `dataset`, `template` | names |
//! | `command` | what makes the file again |
//! | `label` | for `\label`: `tab:EXPERIMENT-TEMPLATE-METRIC`, with the axis of an ablation behind |
//! | `metric.name`, `metric.title` | `accuracy`, `accuracy (%)` |
//! | `metric.caption`, `metric.headline` | `test accuracy (%)`, `Test accuracy (%)` |
//! | `runs`, `repeated` | `5 runs`, or `3 to 5 runs`; whether there is more than one |
//! | `columns` | each with `title` (`non-iid, 2 models`), `group` (`non-iid`) and `label` (`2 models`) |
//! | `notes` | sentences to stand below the table; may be none |
//! | `individuals` | for each column the cells of its base models, best first; all of them empty where no row is about a base model |
//! | `groups` | columns of one group: `label`, `span`, `first` and `last` (from 1); empty where there is only one |
//! | `rows` | each with `label`, `importance` (or nothing), `section` (`base`, `ensemble`, `network`), `rule` (whether a new part of the table begins) and `cells` |
//! | `cells` | each with `state` (`value`, `missing`, `not-applicable`, `empty`) and for a value `mean` and `std` (text, rounded, in LaTeX for math mode; `std` nothing for one run), `n`, `best`, `second` (best), `significant` (differs from the baseline) and `p` |
//!
//! Nothing is escaped: put `| latex` or `| md` behind every name, `| prose` behind notes.

use serde::Serialize;
use tera::Context;

use super::data::{Cell, Column, Row, Section, Table};
use super::number::math;
use super::significance::is_significant;
use super::{Format, Metric};
use crate::result::safe_name;

#[derive(Serialize)]
struct Spanned {
    label: String,
    span: usize,
    first: usize,
    last: usize,
}

#[derive(Serialize)]
struct Head {
    title: String,
    group: String,
    label: String,
}

#[derive(Serialize)]
struct Line<'a> {
    section: Section,
    rule: bool,
    label: &'a str,
    importance: Option<&'a str>,
    cells: Vec<Text>,
}

#[derive(Default, Serialize)]
struct Text {
    state: &'static str,
    mean: String,
    std: Option<String>,
    n: usize,
    best: bool,
    second: bool,
    significant: bool,
    p: Option<f64>,
}

/// The names a template sees.
pub fn context(template: &str, format: Format, table: &Table) -> Context {
    let metric = table.metric;
    let experiment = &table.experiment;
    let command = format!("{} --format {}", table.command, format.as_str());
    let mut context = Context::new();
    context.insert("experiment", experiment);
    context.insert("dataset", &table.dataset);
    context.insert("template", template);
    context.insert("command", &command);
    context.insert("label", &label(table, template));
    let caption = metric.caption();
    let headline = caption[..1].to_uppercase() + &caption[1..];
    context.insert(
        "metric",
        &serde_json::json!({"name": metric, "title": metric.title(), "caption": caption, "headline": headline}),
    );
    context.insert("runs", &runs(table.runs));
    context.insert("repeated", &(table.runs.1 > 1));
    context.insert("groups", &spans(&table.columns));
    let head = |column: &Column| Head {
        title: column.title(),
        group: column.group.clone(),
        label: column.label.clone(),
    };
    context.insert("columns", &table.columns.iter().map(head).collect::<Vec<_>>());
    context.insert("rows", &lines(table, format));
    context.insert("individuals", &individuals(table, format));
    context.insert("notes", &table.notes);
    context
}

/// Another one for each table of a paper, whatever experiments and templates it shows.
fn label(table: &Table, template: &str) -> String {
    let axis = table.axis.as_ref().map(|axis| format!("-{axis}"));
    let name = format!(
        "{}-{template}-{}{}",
        table.experiment,
        table.metric,
        axis.unwrap_or_default()
    );
    format!("tab:{}", safe_name(&name))
}

fn runs((least, most): (usize, usize)) -> String {
    match (least, most) {
        (1, 1) => "1 run".to_string(),
        (least, most) if least == most => format!("{most} runs"),
        (least, most) => format!("{least} to {most} runs"),
    }
}

fn spans(columns: &[Column]) -> Vec<Spanned> {
    let mut spans: Vec<Spanned> = Vec::new();
    for (position, column) in columns.iter().enumerate() {
        match spans.last_mut().filter(|last| last.label == column.group) {
            Some(last) => {
                last.span += 1;
                last.last += 1;
            }
            None => spans.push(Spanned {
                label: column.group.clone(),
                span: 1,
                first: position + 1,
                last: position + 1,
            }),
        }
    }
    if spans.len() == 1 {
        spans.clear();
    }
    spans
}

fn lines(table: &Table, format: Format) -> Vec<Line<'_>> {
    let rows: &[Row] = &table.rows;
    let above = std::iter::once(None).chain(rows.iter().map(|row| Some(row.section)));
    let is_base = |section: Section| section == Section::Base;
    let lines = rows.iter().zip(above).map(|(row, above)| Line {
        section: row.section,
        rule: above.is_some_and(|above| is_base(above) != is_base(row.section)),
        label: &row.label,
        importance: row.importance.as_deref(),
        cells: texts(row, table, format).collect(),
    });
    lines.collect()
}

fn texts(row: &Row, table: &Table, format: Format) -> impl Iterator<Item = Text> {
    let cells = row.cells.iter().zip(&table.columns);
    cells.map(move |(cell, column)| text(cell, column.metric, table.precision, format))
}

/// The cells of base models, by column, best first by the table's own metric: further numbers beside it are in the same
/// order. Models without a result stand last.
fn individuals(table: &Table, format: Format) -> Vec<Vec<Text>> {
    let bases = || table.rows.iter().filter(|row| row.section == Section::Base);
    let is_own = |column: &usize| table.columns[*column].metric == table.metric;
    let column = |(position, head): (usize, &Column)| {
        let own = (0..=position).rev().find(is_own).unwrap_or(position);
        let mean = |row: &Row| match row.cells[own] {
            Cell::Value { mean, .. } => Some(Some(mean)),
            Cell::Missing | Cell::Undefined => Some(None),
            Cell::NotApplicable | Cell::Empty => None,
        };
        let mut found: Vec<(Option<f64>, &Cell)> = bases()
            .filter_map(|row| Some((mean(row)?, &row.cells[position])))
            .collect();
        found.sort_by(|a, b| match (a.0, b.0) {
            (Some(a), Some(b)) if table.metric.lower_is_better() => a.total_cmp(&b),
            (Some(a), Some(b)) => b.total_cmp(&a),
            (a, b) => b.is_some().cmp(&a.is_some()),
        });
        let cells = found
            .into_iter()
            .map(|(_, cell)| text(cell, head.metric, table.precision, format));
        cells.collect()
    };
    table.columns.iter().enumerate().map(column).collect()
}

fn text(cell: &Cell, metric: Metric, precision: Option<usize>, format: Format) -> Text {
    let state = |state| Text {
        state,
        ..Text::default()
    };
    // The star of a difference is an exponent itself, and does not go behind another.
    let written = |text: String, starred: bool| match (format, math(&text)) {
        (Format::Markdown, _) => text,
        (Format::Latex, formula) if starred && formula.ends_with('}') => format!("{{{formula}}}"),
        (Format::Latex, formula) => formula,
    };
    match cell {
        Cell::Value {
            mean,
            std,
            n,
            best,
            second,
            p,
        } => Text {
            state: "value",
            mean: written(
                metric.format(*mean, precision),
                std.is_none() && is_significant(*p),
            ),
            // The spread of a cost is that of the machine.
            std: std
                .filter(|_| metric != Metric::Samples && metric != Metric::PeakMemory)
                .map(|std| written(metric.format_spread(std, *mean, precision), is_significant(*p))),
            n: *n,
            best: *best,
            second: *second,
            significant: is_significant(*p),
            p: *p,
        },
        Cell::Missing | Cell::Undefined => state("missing"),
        Cell::NotApplicable => state("not-applicable"),
        Cell::Empty => state("empty"),
    }
}
