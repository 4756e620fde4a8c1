//! `[notify]`: a command that hears how an `exec` ended.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::CliError;
use super::output;
use super::summary::Summary;
use crate::manifest::NotifySettings;

/// The longest that a command may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long its last lines may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

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
        output::warning(format!("the command of `[notify]` {problem}"));
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
        // A line of text among objects would spoil them.
        .stderr(if output::is_json() {
            Stdio::piped()
        } else {
            Stdio::inherit()
        })
        .spawn()
        .map_err(cannot)?;
    let (heard, said) = channel();
    if let Some(stderr) = process.stderr.take() {
        std::thread::spawn(move || {
            let lines = BufReader::new(stderr).split(b'\n').map_while(Result::ok);
            lines.for_each(|line| output::info(String::from_utf8_lossy(&line)));
            let _ = heard.send(());
        });
    }
    if let Some(mut stdin) = process.stdin.take() {
        // A command need not read it.
        let _ = writeln!(stdin, "{document}");
    }
    let ended = wait(&mut process).map_err(cannot)?;
    // What it left running may hold its standard error open.
    let _ = said.recv_timeout(LAST_WORDS);
    match ended {
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
