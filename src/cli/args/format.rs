//! Forms of output.

use clap::ValueEnum;

/// Form of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Human,
    /// One JSON document.
    Json,
    /// One JSON object a line, as things happen.
    Jsonl,
}

/// Form of a single result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StepFormat {
    /// For people.
    Human,
    /// One JSON document.
    Json,
}
