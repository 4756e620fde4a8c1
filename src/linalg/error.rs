//! Errors of the linear algebra.

use crate::tick::Stopped;

/// Input that has no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LinalgError {
    /// Sizes that do not fit each other, or a matrix without entries.
    #[error("{what} must have {expected}, not {found}")]
    Shape {
        /// Which operand.
        what: &'static str,
        /// What would fit.
        expected: String,
        /// What was given.
        found: String,
    },
    /// NaN or an infinity.
    #[error("entry ({row}, {column}) of {what} is {value}")]
    NonFinite {
        /// Which operand.
        what: &'static str,
        /// Row of the first such entry.
        row: usize,
        /// Its column.
        column: usize,
        /// The value.
        value: f64,
    },
    /// Finite entries whose squares or sums are too large for f64.
    #[error("the entries of {what} are too large")]
    Overflow {
        /// Which operand.
        what: &'static str,
    },
    /// A parameter out of range.
    #[error(
        "the cutoff must be at least 0 and below 1, not {value}; where none is given it is 2^-23 times the number of rows, \
         and for so many rows one has to be given"
    )]
    Cutoff {
        /// The value given.
        value: f64,
    },
    /// What runs on a GPU failed there.
    #[error("{problem}")]
    Device {
        /// What candle or the driver said.
        problem: String,
    },
    /// The caller said so.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// An iteration that should always end did not.
    #[error("the decomposition of a {rows} x {columns} matrix did not converge")]
    NoConvergence {
        /// Rows.
        rows: usize,
        /// Columns.
        columns: usize,
    },
}
