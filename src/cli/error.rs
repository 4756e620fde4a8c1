//! Errors of commands: how they look, and their exit codes.

use super::output::{self, Level};
use crate::checkpoint::CheckpointError;
use crate::data::DataError;
use crate::manifest::{ManifestError, Problem};
use crate::report::ReportError;
use crate::result::{StoreError, THREADS_HINT};
use crate::schedule::slurm::SlurmError;

/// A command did not do what it was asked for.
#[derive(Debug)]
pub enum CliError {
    /// Usage, manifest, data, results: something the user can mend.
    User(ManifestError),
    /// No job passes the filters.
    NothingSelected,
    /// Jobs failed; they have been reported.
    JobsFailed,
    /// Stopped by the user; it has been reported.
    Interrupted,
    /// Standard output was closed: the reader has seen enough.
    ClosedPipe,
    /// A bug.
    Internal(String),
}

impl CliError {
    /// A problem of usage.
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::User(Problem::new(message).hint(hint).into())
    }

    /// The process' exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Internal(_) => 1,
            Self::User(_) => 2,
            Self::NothingSelected => 4,
            Self::JobsFailed => 100,
            Self::Interrupted => 130,
            Self::ClosedPipe => 0,
        }
    }

    /// Tells the user, on standard error.
    pub fn print(&self) {
        match self {
            Self::User(error) => output::problems(Level::Error, &error.problems),
            Self::NothingSelected => output::problems(
                Level::Error,
                &[Problem::new("no job is selected")
                    .hint("`runner list MANIFEST` shows the names that filters are compared with")],
            ),
            Self::Internal(message) => output::complaint(&format!("internal error: {message}")),
            Self::JobsFailed | Self::Interrupted | Self::ClosedPipe => {}
        }
    }
}

impl From<ManifestError> for CliError {
    fn from(error: ManifestError) -> Self {
        Self::User(error)
    }
}

impl From<Problem> for CliError {
    fn from(problem: Problem) -> Self {
        Self::User(problem.into())
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        let mut problem = Problem::new(chain(&error));
        problem.hint = error.hint().map(String::from);
        problem.into()
    }
}

impl From<SlurmError> for CliError {
    fn from(error: SlurmError) -> Self {
        let mut problem = Problem::new(chain(&error));
        problem.hint = error.hint().map(String::from);
        problem.into()
    }
}

impl From<ReportError> for CliError {
    fn from(error: ReportError) -> Self {
        let mut problem = Problem::new(chain(&error));
        problem.hint = error.hint();
        problem.into()
    }
}

impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::ClosedPipe,
            std::io::ErrorKind::WouldBlock => no_threads(&error),
            std::io::ErrorKind::StorageFull => Self::usage(
                format!("cannot write: {error}"),
                "free some space, or write elsewhere",
            ),
            _ => Problem::new(error.to_string()).into(),
        }
    }
}

impl From<ctrlc::Error> for CliError {
    fn from(error: ctrlc::Error) -> Self {
        match error {
            ctrlc::Error::System(error) => no_threads(&error),
            other => Self::Internal(other.to_string()),
        }
    }
}

/// The system gives no thread.
pub fn no_threads(error: &std::io::Error) -> CliError {
    CliError::usage(
        format!("the system refuses another thread or process: {error}"),
        THREADS_HINT,
    )
}

/// A checkpoint that cannot be read or written.
pub fn checkpoint_problem(error: &CheckpointError) -> Problem {
    let mut problem = Problem::new(chain(error));
    problem.hint = error.hint().map(String::from);
    problem
}

/// A data set that cannot be had.
pub fn data_problem(error: &DataError, name: &str) -> Problem {
    let mut problem = Problem::new(chain(error));
    problem.hint = match error {
        DataError::NoFolder { .. } => Some(format!(
            "give the folder that holds the files of `{name}` with `--data-dir DIR` or the environment variable RUNNER_DATA"
        )),
        error => error.hint(),
    };
    problem
}

/// An error and its causes on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let next = cause.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        source = cause.source();
    }
    text
}
