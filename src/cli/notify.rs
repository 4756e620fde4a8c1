//! `[notify]`: a command that hears how an `exec` ended.

use std::io::Write;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::CliError;
use super::exec::Summary;
use crate::manifest::NotifySettings;

/// The longest that a command may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// Runs the command, if there is one. Whatever comes of it changes nothing about the `exec`: it is a warning at most.
pub fn notify(settings: &NotifySettings, experiment: &str, summary: &Summary, end: &Result<(), CliError>) {
    let Some(command) = &settings.command else { return };
    let status = match end {
        Ok(()) | Err(CliError::ClosedPipe) => "ok",
        Err(CliError::JobsFailed) => "failed",
        Err(CliError::Interrupted) => "interrupted",
        Err(_) => "error",
    };
    let message = match end {
        Err(CliError::User(error)) => format!("{experiment}: {}", first_line(&error.to_string())),
        _ => format!(
            "{experiment}: {status}, {} jobs, {} up to date, {} run, {} failed, {} skipped",
            summary.jobs, summary.cached, summary.ok, summary.failed, summary.skipped
        ),
    };
    let document = json!({
        "experiment": experiment,
        "status": status,
        "message": message,
        "jobs": summary.jobs,
        "up-to-date": summary.cached,
        "ok": summary.ok,
        "failed": summary.failed,
        "skipped": summary.skipped,
        "not-started": summary.not_started,
        "seconds": summary.since.elapsed().as_secs_f64(),
    });
    if let Err(problem) = run(command, experiment, status, &message, &document) {
        let _ = writeln!(std::io::stderr(), "warning: the command of `[notify]` {problem}");
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn run(command: &str, experiment: &str, status: &str, message: &str, document: &Value) -> Result<(), String> {
    let cannot = |error: std::io::Error| format!("cannot be run: {error}");
    let mut process = Command::new("sh")
        .args(["-c", command])
        .env("NOTIFY_EXPERIMENT", experiment)
        .env("NOTIFY_STATUS", status)
        .env("NOTIFY_MESSAGE", message)
        .stdin(Stdio::piped())
        // Standard output is for results.
        .stdout(Stdio::null())
        .spawn()
        .map_err(cannot)?;
    if let Some(mut stdin) = process.stdin.take() {
        // A command need not read it.
        let _ = writeln!(stdin, "{document}");
    }
    match wait(&mut process).map_err(cannot)? {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(format!("failed: {status}")),
        None => Err(format!("took longer than {} s and was ended", PATIENCE.as_secs())),
    }
}

fn wait(process: &mut Child) -> std::io::Result<Option<ExitStatus>> {
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        if let Some(status) = process.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    process.kill()?;
    process.wait()?;
    Ok(None)
}
