//! `tracing` to standard error and to the logs of jobs.

use std::io::IsTerminal;

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;

use super::args::{Global, LogFormat};
use crate::schedule::JobLog;

struct JobLogs;

impl MakeWriter<'_> for JobLogs {
    type Writer = JobLog;

    fn make_writer(&self) -> JobLog {
        JobLog
    }
}

/// Installs the subscriber. Without `-v` only some warnings are shown; `RUNNER_LOG` wins over it, in the syntax of
/// `tracing_subscriber::EnvFilter`.
pub fn init(global: &Global) {
    let level = match global.verbose {
        // What nobody else says: failures of jobs are shown as they happen.
        0 => "runner::data=warn,runner::job::progress=warn",
        1 => "runner=info",
        _ => "runner=debug",
    };
    let terminal = EnvFilter::try_from_env("RUNNER_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let stderr = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        // It would be told on standard error, which may be what failed.
        .log_internal_errors(false)
        .with_ansi(colour);
    let jobs = tracing_subscriber::fmt::layer()
        .with_writer(JobLogs)
        .log_internal_errors(false)
        .with_ansi(false);
    let job_level = EnvFilter::new("runner=debug");
    let layers = match global.log_format {
        LogFormat::Human => vec![
            stderr.with_target(false).with_filter(terminal).boxed(),
            jobs.with_target(false).with_filter(job_level).boxed(),
        ],
        LogFormat::Json => vec![
            stderr.json().with_filter(terminal).boxed(),
            jobs.json().with_filter(job_level).boxed(),
        ],
    };
    tracing_subscriber::registry().with(layers).init();
}
