//! From records to tables: aggregate over seeds, lay out, render. Recomputes nothing and reads [`crate::result`] only.
//!
//! | step | file | in -> out |
//! | --- | --- | --- |
//! | aggregate | `aggregate.rs`, `group.rs`, `normalise.rs`, `statistics/` | index and records -> [`Summary`] (`summary.json`) |
//! | lay out | `layout.rs`, `table.rs`, `columns.rs`, `rows.rs`, `labels.rs`, `marks.rs`, `significance.rs` | summary and [`Metric`] -> [`Table`] |
//! | render | `templates.rs`, `metered.rs`, `budget.rs`, `tags.rs`, `render.rs`, `filters.rs`, `symbols.rs`, `number.rs`, `export.rs`, `macros.rs` | table and template -> LaTeX, Markdown, CSV, JSON |
//! | draw | `figure/` | results -> SVG, PNG, pgfplots |
//! | show | `page.rs` | all of it -> one HTML page |
//! | compare | `compare.rs` | two sets of results -> what differs |
//! | write | `write.rs` | all of it for an experiment's folder |
//!
//! A further layout is a variant of [`Layout`]; a further format is a function from [`Table`].

mod aggregate;
mod budget;
mod columns;
mod compare;
mod data;
mod error;
mod escape;
mod export;
mod figure;
mod filters;
mod format;
mod group;
mod labels;
mod layout;
mod macros;
mod marks;
mod metered;
mod metric;
mod normalise;
mod number;
mod options;
mod page;
mod render;
mod rows;
mod significance;
mod statistics;
mod symbols;
mod table;
mod tags;
mod templates;
mod write;

pub use aggregate::{SUMMARY_SCHEMA, Summary};
pub use compare::{Comparison, Difference, compare};
pub use data::{Cell, Column, Row, Section, Table};
pub use error::ReportError;
pub use escape::{escaped, is_hidden};
pub use export::{to_csv, to_json};
pub use figure::{Chart, Curve, FIGURES, Figure, FigureOptions, Style, Theme, Ticks, figures, study_figure};
pub use format::Format;
pub use group::{Counts, Group};
pub use layout::{LAYOUTS, Layout};
pub use macros::to_macros;
pub use metric::{Metric, lacking};
pub use number::{exact, fixed};
pub use options::{TableOptions, Test};
pub use page::page;
pub use statistics::{
    Bootstrap, McNemar, Observation, PairedT, Statistics, Wilcoxon, bootstrap, holm, mcnemar, paired_t,
    smallest_wilcoxon_p, t_quantile_975, wilcoxon,
};
pub use table::check_request;
pub use templates::Templates;
pub use write::{Rendered, Results, load, render_all};
