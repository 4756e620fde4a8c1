//! What `exec` shows while jobs run: a bar on a terminal, lines for a program, failures for everybody.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::args::Format;
use super::output;
use crate::event::{Event, JobEvent};
use crate::report::fixed;
use crate::result::Status;

/// Shows events.
pub struct Progress {
    bar: Option<ProgressBar>,
    lines: bool,
    running: BTreeSet<String>,
}

impl Progress {
    /// A bar over `total` jobs on standard error, if that is a terminal.
    pub fn new(total: usize, format: Format) -> Self {
        let bar = (std::io::stderr().is_terminal() && !output::is_json()).then(|| {
            let bar = ProgressBar::new(total as u64);
            let style = ProgressStyle::with_template("{bar:24} {pos}/{len} jobs, {elapsed}  {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self {
            bar,
            lines: format == Format::Jsonl,
            running: BTreeSet::new(),
        }
    }

    /// Shows one event.
    pub fn show(&mut self, event: &Event) {
        let worth_a_line = !matches!(
            event,
            Event::Job {
                what: JobEvent::Tick,
                ..
            }
        );
        if self.lines
            && worth_a_line
            && let Ok(line) = serde_json::to_string(event)
        {
            let _ = output::out().source(&line);
        }
        match event {
            Event::Started { job } => {
                self.running.insert(job.clone());
            }
            Event::Job { what, job } => {
                if let (Some(bar), JobEvent::Epoch { epoch, of, loss }) = (&self.bar, what) {
                    let loss = fixed(*loss, 4);
                    bar.set_message(format!("{job}: epoch {epoch}/{of}, loss {loss}"));
                }
                return;
            }
            Event::Finished {
                job, status, error, ..
            } => {
                self.running.remove(job);
                if *status == Status::Failed {
                    let tell = || output::failed(job, error.as_deref().unwrap_or("unknown error"), None);
                    match &self.bar {
                        Some(bar) => bar.suspend(tell),
                        None => tell(),
                    }
                }
                if let Some(bar) = &self.bar {
                    bar.inc(1);
                }
            }
        }
        if let Some(bar) = &self.bar {
            bar.set_message(self.running.iter().cloned().collect::<Vec<_>>().join(", "));
        }
    }

    /// Takes the bar away.
    pub fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
