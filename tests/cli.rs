//! The program from end to end, on a manifest that takes a second.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

mod checkpoints;
mod failures;
mod fetch;
mod given;
mod groups;
mod inferred;
mod interrupt;
mod limits;
mod living;
mod loops;
mod output;
mod outputs;
mod reports;
mod rerun;
mod same;
mod sequential;
mod slices;
mod slurm;
mod small;
mod speed;
mod steps;
mod survival;
mod training;
mod trust;
mod views;

/// Two models, two seeds, three fusions each.
const TINY: &str = r#"name = "tiny"
seeds = [1, 2]

[dataset]
name = "digits"

[split]
kind = "non-iid"
parts = 2

[model]
hidden = [8]

[base]
epochs = 3
batch-size = 64

[fusion-set]
samples = 50

[[fusion]]
method = "vanilla-averaging"

[[fusion]]
method = "ensemble"

[[fusion]]
method = "hf-linear"
"#;

/// A copy of the program for the life of these tests: another build may replace the original while they run.
static PROGRAM: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("runner");
    std::fs::copy(env!("CARGO_BIN_EXE_runner"), &path).expect("copied");
    (folder, path)
});

/// A folder with `tiny.toml`, in which the program is run.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::with(TINY)
    }

    fn with(manifest: &str) -> Self {
        let bench = Self {
            folder: tempfile::tempdir().expect("temporary folder"),
        };
        bench.write("tiny.toml", manifest);
        bench
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join(inside)
    }

    fn write(&self, name: &str, text: &str) {
        runner::result::write_atomic(&self.path(name), text.as_bytes()).expect("written");
    }

    fn std(&self, args: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(&PROGRAM.1);
        command
            .current_dir(self.folder.path())
            .args(args)
            .stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RUNNER_") {
                command.env_remove(name);
            }
        }
        command
    }

    fn run(&self, args: &[&str]) -> Run {
        Run::of(
            Command::from_std(self.std(args))
                .output()
                .expect("the program starts"),
        )
    }

    /// `exec tiny.toml` with these arguments.
    fn exec(&self, args: &[&str]) -> Run {
        self.run(&[&["exec", "tiny.toml"], args].concat())
    }

    fn start(&self, args: &[&str]) -> Child {
        let mut command = self.std(&[&["exec", "tiny.toml"], args].concat());
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts")
    }

    /// All records, without what two runs may differ in.
    fn records(&self) -> BTreeMap<String, Value> {
        let folder = self.path("results/tiny/records");
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        // What a killed process had not finished; the next run sweeps it.
        let entries = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with(".tmp-"));
        let read = |entry: std::fs::DirEntry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(entry.path()).expect("readable");
            let mut record: Value =
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name} is torn: {error}"));
            let fields = record.as_object_mut().expect("an object");
            // The seal is over these, too.
            for key in ["seconds", "provenance", "seal"] {
                assert!(fields.remove(key).is_some(), "{name} has no {key}");
            }
            (name, record)
        };
        entries.map(read).collect()
    }

    /// The only record whose name contains `part`.
    fn record(&self, part: &str) -> (String, Value) {
        let mut found: Vec<_> = self
            .records()
            .into_iter()
            .filter(|(name, _)| name.contains(part))
            .collect();
        assert_eq!(found.len(), 1, "{part}: {:?}", self.records().keys());
        found.remove(0)
    }

    /// Every file below the folder.
    fn files(&self) -> Vec<String> {
        fn walk(folder: &Path, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    walk(&entry.path(), found);
                } else {
                    found.push(entry.path().display().to_string());
                }
            }
        }
        let mut found = Vec::new();
        walk(self.folder.path(), &mut found);
        found.sort();
        found
    }

    /// `(run, reason)` of a dry run, by job.
    fn plan(&self, args: &[&str]) -> BTreeMap<String, (bool, String)> {
        let before = self.files();
        let jobs = self
            .exec(&[args, &["-n", "--format", "json"]].concat())
            .ok()
            .json();
        assert_eq!(self.files(), before, "a dry run writes nothing");
        let jobs = jobs.as_array().expect("a list").iter().map(|job| {
            let text = |key: &str| job[key].as_str().expect("text").to_string();
            (text("job"), (job["run"].as_bool().expect("flag"), text("reason")))
        });
        jobs.collect()
    }

    fn to_run(&self, args: &[&str]) -> Vec<String> {
        self.plan(args)
            .into_iter()
            .filter(|(_, (run, _))| *run)
            .map(|(job, (_, reason))| format!("{job}: {reason}"))
            .collect()
    }
}

/// What a run of the program gave.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Run {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    #[track_caller]
    fn code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    fn ok(self) -> Self {
        self.code(0)
    }

    #[track_caller]
    fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "{text:?} is not in {}", self.stderr);
        self
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

/// Waits for something that happens within seconds, or minutes where other work keeps the machine busy.
#[track_caller]
fn until(what: &str, happened: impl FnMut() -> bool) {
    until_or(what, happened, String::new);
}

/// The same, and `tell` says how things stand if it does not happen.
#[track_caller]
fn until_or(what: &str, mut happened: impl FnMut() -> bool, tell: impl Fn() -> String) {
    let since = Instant::now();
    while !happened() {
        assert!(
            since.elapsed() < Duration::from_mins(5),
            "{what}: not within five minutes\n{}",
            tell()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn signal(child: &Child, signal: &str) {
    let status = std::process::Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status();
    assert!(status.expect("kill").success());
}
