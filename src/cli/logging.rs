//! `tracing` to standard error and to the logs of jobs.

use std::fmt::Debug;
use std::io::{self, IsTerminal, Write};

use tracing::field::Field;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::prelude::*;

use super::args::{Global, LogFormat};
use super::output::numbered;
use crate::report::escaped;
use crate::schedule::JobLog;

/// Makes writers of one kind.
#[derive(Clone, Copy)]
struct Always<W>(W);

impl<W: Write + Copy> MakeWriter<'_> for Always<W> {
    type Writer = W;

    fn make_writer(&self) -> W {
        self.0
    }
}

/// Writes JSON lines without hidden characters, which JSON allows in its strings. Lines come whole.
#[derive(Clone, Copy)]
struct Numbered<W>(W);

impl<W: Write> Write for Numbered<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0
            .write_all(numbered(&String::from_utf8_lossy(line)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[derive(Clone, Copy)]
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stderr().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The message, then `name=value`; what comes from files neither controls a terminal nor begins a line.
fn field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> std::fmt::Result {
    let value = format!("{value:?}");
    match field.name() {
        "message" => write!(writer, "{}", escaped(&value)),
        name => write!(writer, "{name}={}", escaped(&value)),
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
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let job_level = EnvFilter::new("runner=debug");
    let layers = match global.log_format {
        LogFormat::Human => {
            let layer = || {
                tracing_subscriber::fmt::layer()
                    .with_target(false)
                    .fmt_fields(debug_fn(field).delimited(" "))
            };
            let stderr = layer().with_ansi(colour).with_writer(Always(Stderr));
            let jobs = layer().with_ansi(false).with_writer(Always(JobLog));
            vec![
                stderr.with_filter(terminal).boxed(),
                jobs.with_filter(job_level).boxed(),
            ]
        }
        LogFormat::Json => {
            let layer = || tracing_subscriber::fmt::layer().json();
            let stderr = layer().with_writer(Always(Numbered(Stderr)));
            let jobs = layer().with_writer(Always(Numbered(JobLog)));
            vec![
                stderr.with_filter(terminal).boxed(),
                jobs.with_filter(job_level).boxed(),
            ]
        }
    };
    tracing_subscriber::registry().with(layers).init();
}
