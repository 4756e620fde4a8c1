//! From records to tables: aggregate over seeds, lay out, render. Recomputes nothing and reads [`crate::result`] only.
//!
//! | step | file | in -> out |
//! | --- | --- | --- |
//! | aggregate | `aggregate.rs`, `group.rs`, `statistics.rs` | index and records -> [`Summary`] (`summary.json`) |
//! | lay out | `table.rs`, `columns.rs`, `rows.rs`, `labels.rs` | summary and [`Metric`] -> [`Table`] |
//! | render | `templates.rs`, `render.rs`, `filters.rs`, `export.rs` | table and template -> LaTeX, Markdown, CSV, JSON |
//! | write | `write.rs` | all of it for an experiment's folder |
//!
//! A further layout is a function from [`Summary`] to [`Table`]; a further format is a function from [`Table`].

mod aggregate;
mod columns;
mod error;
mod export;
mod filters;
mod group;
mod labels;
mod metric;
mod render;
mod rows;
mod statistics;
mod table;
mod templates;
mod write;

pub use aggregate::{SUMMARY_SCHEMA, Summary};
pub use error::ReportError;
pub use export::{to_csv, to_json};
pub use group::{Counts, Group};
pub use metric::Metric;
pub use statistics::{Observation, Statistics, t_quantile_975};
pub use table::{Cell, Column, Row, Section, Table};
pub use templates::{Format, Templates};
pub use write::{Rendered, render_all, summarise};
