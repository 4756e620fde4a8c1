//! Slurm's commands. Their JSON differs between versions; formats given on the command line do not.

use std::path::Path;
use std::process::{Command, Stdio};

use super::SlurmError;

/// One task of an array as `squeue` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The array's job id.
    pub array: String,
    /// The task's number; `None` for a job that is no array.
    pub task: Option<usize>,
    /// `PENDING`, `RUNNING`, ...
    pub state: String,
    /// Why it is in that state.
    pub reason: String,
    /// The array's name.
    pub name: String,
}

/// Submits a script; returns the job's id.
pub fn sbatch(script: &Path) -> Result<String, SlurmError> {
    let answer = call("sbatch", &["--parsable", &script.to_string_lossy()])?;
    // `ID`, or `ID;CLUSTER`.
    let id = answer.trim().split(';').next().unwrap_or_default();
    if id.is_empty() || !id.chars().all(|c| c.is_ascii_digit()) {
        return Err(SlurmError::Answer {
            program: "sbatch",
            answer,
        });
    }
    Ok(id.to_string())
}

/// Everything that Slurm knows of jobs with these names; it forgets them some minutes after their end.
pub fn squeue(names: &[String]) -> Result<Vec<Row>, SlurmError> {
    let mut rows = Vec::new();
    for names in names.chunks(100) {
        let names = format!("--name={}", names.join(","));
        let answer = call("squeue", &["-h", "-r", "-t", "all", &names, "-o", "%F|%K|%T|%j|%r"])?;
        rows.extend(answer.lines().filter_map(row));
    }
    Ok(rows)
}

fn row(line: &str) -> Option<Row> {
    let mut fields = line.splitn(5, '|').map(str::trim);
    Some(Row {
        array: fields.next()?.to_string(),
        task: fields.next()?.parse().ok(),
        state: fields.next()?.to_string(),
        name: fields.next()?.to_string(),
        reason: fields.next()?.to_string(),
    })
}

/// The state of one job, `RUNNING` for instance.
pub fn state(id: &str) -> Result<String, SlurmError> {
    let answer = call("squeue", &["-h", "-t", "all", "-j", id, "-o", "%T"])?;
    Ok(answer.lines().next().unwrap_or_default().trim().to_string())
}

/// Cancels jobs, arrays as a whole.
pub fn scancel(ids: &[String]) -> Result<(), SlurmError> {
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    call("scancel", &ids).map(drop)
}

/// Ends a running job and queues it again.
pub fn requeue(id: &str) -> Result<(), SlurmError> {
    call("scontrol", &["requeue", id]).map(drop)
}

/// Most tasks of an array. Slurm's default where it does not say.
pub fn max_array_size() -> usize {
    let config = call("scontrol", &["show", "config"]).unwrap_or_default();
    let value = config.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "MaxArraySize").then(|| value.trim().parse().ok())?
    });
    value.filter(|&size| size > 0).unwrap_or(1001)
}

fn call(program: &'static str, arguments: &[&str]) -> Result<String, SlurmError> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| SlurmError::Missing { program, source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = words
        .lines()
        .map(|line| line.trim_start_matches(&format!("{program}: error: ")).trim())
        .filter(|line| !line.is_empty())
        .collect();
    let message = match lines.is_empty() {
        true => output.status.to_string(),
        false => lines.join("; "),
    };
    Err(SlurmError::Refused { program, message })
}
