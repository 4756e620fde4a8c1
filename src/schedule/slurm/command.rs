//! Slurm's commands. Their JSON differs between versions; formats given on the command line do not.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::SlurmError;

/// How long an answer may take. A controller that is busy with thousands of jobs answers late, but it does.
const PATIENCE: Duration = Duration::from_mins(2);
/// How long for questions that somebody is waiting for the answer of.
const SHORT: Duration = Duration::from_secs(30);

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
    let answer = call("sbatch", &["--parsable", &script.to_string_lossy()], PATIENCE)?;
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

/// Everything that Slurm knows of jobs with these names; it forgets them some minutes after their end. Where it is known
/// whose they are, the controller sends those of these users only, and not the whole cluster's.
pub fn squeue(names: &[String], users: Option<&BTreeSet<u32>>) -> Result<Vec<Row>, SlurmError> {
    let users = users.map(|users| {
        let users: Vec<String> = users.iter().map(ToString::to_string).collect();
        format!("--user={}", users.join(","))
    });
    let mut rows = Vec::new();
    // As many as go into one command line: of a whole sweep there are a few.
    for names in names.chunks(500) {
        let names = format!("--name={}", names.join(","));
        let mut arguments = vec!["-h", "-r", "-t", "all", &names, "-o", "%F|%K|%T|%j|%r"];
        arguments.extend(users.as_deref());
        let answer = call("squeue", &arguments, SHORT)?;
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

/// The state of one job, `RUNNING` for instance, and the time it has left where that is limited.
pub fn state(id: &str) -> Result<(String, Option<Duration>), SlurmError> {
    let answer = call("squeue", &["-h", "-t", "all", "-j", id, "-o", "%T|%L"], SHORT)?;
    let line = answer.lines().next().unwrap_or_default();
    let (state, left) = line.split_once('|').unwrap_or((line, ""));
    Ok((state.trim().to_string(), duration(left.trim())))
}

/// `1-02:03:04`, `2:03:04` or `3:04`; nothing for `UNLIMITED`, `INVALID` and the like.
fn duration(text: &str) -> Option<Duration> {
    let (days, clock) = text.split_once('-').unwrap_or(("0", text));
    let mut seconds = 0;
    for part in clock.split(':') {
        seconds = seconds * 60 + part.parse::<u64>().ok()?;
    }
    Some(Duration::from_secs(days.parse::<u64>().ok()? * 86_400 + seconds))
}

/// Cancels jobs, arrays as a whole.
pub fn scancel(ids: &[String]) -> Result<(), SlurmError> {
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    call("scancel", &ids, PATIENCE).map(drop)
}

/// Ends a running job and queues it again.
pub fn requeue(id: &str) -> Result<(), SlurmError> {
    call("scontrol", &["requeue", id], PATIENCE).map(drop)
}

/// Most tasks of an array. Slurm's default where it does not say.
pub fn max_array_size() -> usize {
    let config = call("scontrol", &["show", "config"], SHORT).unwrap_or_default();
    let value = config.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "MaxArraySize").then(|| value.trim().parse().ok())?
    });
    value.filter(|&size| size > 0).unwrap_or(1001)
}

fn call(program: &'static str, arguments: &[&str], patience: Duration) -> Result<String, SlurmError> {
    let missing = |source| SlurmError::Missing { program, source };
    let mut process = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(missing)?;
    let (out, err) = match (all_of(process.stdout.take()), all_of(process.stderr.take())) {
        (Ok(out), Ok(err)) => (out, err),
        (Err(error), _) | (_, Err(error)) => {
            let _ = process.kill();
            let _ = process.wait();
            return Err(missing(error));
        }
    };
    let Ok(answer) = out.recv_timeout(patience) else {
        let _ = process.kill();
        let _ = process.wait();
        return Err(SlurmError::Silent {
            program,
            after: patience,
        });
    };
    let status = process.wait().map_err(missing)?;
    if status.success() {
        return Ok(answer);
    }
    let words = err.recv_timeout(patience).unwrap_or_default();
    let lines: Vec<&str> = words
        .lines()
        .map(|line| line.trim_start_matches(&format!("{program}: error: ")).trim())
        .filter(|line| !line.is_empty())
        .collect();
    let message = match lines.is_empty() {
        true => status.to_string(),
        false => lines.join("; "),
    };
    Err(SlurmError::Refused { program, message })
}

/// What comes out of a pipe until its end.
fn all_of(pipe: Option<impl Read + Send + 'static>) -> std::io::Result<Receiver<String>> {
    let (tell, told) = channel();
    std::thread::Builder::new().spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
        // Nobody listens where it took too long.
        let _ = tell.send(String::from_utf8_lossy(&bytes).into_owned());
    })?;
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_rows_as_squeue_writes_them() {
        let seconds = |text| duration(text).map(|time| time.as_secs());
        assert_eq!(seconds("1-02:03:04"), Some(93_784));
        assert_eq!(seconds("2:03:04"), Some(7384));
        assert_eq!(seconds("0:04"), Some(4));
        for text in ["UNLIMITED", "INVALID", "NOT_SET", "", "1-"] {
            assert_eq!(duration(text), None, "{text}");
        }
        let found = row("12|3|PENDING|tiny.ab.0|launch failed requeued held").expect("a row");
        assert_eq!((found.array.as_str(), found.task), ("12", Some(3)));
        assert_eq!(found.reason, "launch failed requeued held");
        assert_eq!(row("12|N/A|RUNNING|other|None").expect("a row").task, None);
        assert_eq!(row("nonsense"), None);
    }

    #[test]
    fn an_answer_is_waited_for_only_so_long() {
        let said = call("sh", &["-c", "echo one; echo two"], SHORT).expect("an answer");
        assert_eq!(said, "one\ntwo\n");
        let refused = call("sh", &["-c", "echo sh: error: no >&2; exit 3"], SHORT);
        assert!(matches!(refused, Err(SlurmError::Refused { message, .. }) if message == "no"));
        let since = std::time::Instant::now();
        let silent = call("sleep", &["60"], Duration::from_millis(50));
        assert!(matches!(silent, Err(SlurmError::Silent { program: "sleep", .. })));
        assert!(since.elapsed() < Duration::from_secs(30));
    }
}
