//! The script of an array.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::submission::{Array, Folder};
use crate::manifest::{ResourceSettings, SlurmSettings};

/// What the job that tells of the end may take: more than the command it runs.
const END: Duration = Duration::from_mins(5);

/// What a script is made of, besides its array.
#[derive(Debug)]
pub struct Script<'a> {
    /// Options of `sbatch`.
    pub slurm: &'a SlurmSettings,
    /// What a job needs.
    pub resources: &'a ResourceSettings,
    /// Time limit of a task.
    pub time: Option<Duration>,
    /// How long before it a task is told.
    pub warn: Duration,
    /// The submission's folder.
    pub folder: &'a Folder,
    /// The submission's token.
    pub token: &'a str,
    /// Name of the experiment, for people.
    pub experiment: &'a str,
    /// This program.
    pub program: &'a Path,
    /// Whether it logs JSON.
    pub json_logs: bool,
    /// Where it runs.
    pub directory: &'a Path,
}

impl Script<'_> {
    /// The script of the array at position `number`, which waits for `dependency`.
    pub fn text(&self, number: usize, array: &Array, dependency: Option<&str>) -> String {
        let mut text = self.head(&array.name, dependency, &format!("out/{number}-%a.txt"));
        let mut option = |name: &str, value: &str| text.push_str(&line(name, value));
        let numbers: Vec<usize> = array.tasks.iter().map(|task| task.number).collect();
        let at_once = self.slurm.at_once.map(|n| format!("%{n}")).unwrap_or_default();
        option("array", &format!("{}{at_once}", ranges(&numbers)));
        if dependency.is_some() {
            option("kill-on-invalid-dep", "yes");
        }
        option("requeue", "");
        option("nodes", "1");
        option("ntasks", "1");
        let workers = self.resources.per_gpu();
        option(
            "cpus-per-task",
            &(self.resources.cores.unwrap_or(1) * workers).to_string(),
        );
        if let Some(memory) = self.resources.memory() {
            option("mem", &format!("{}K", memory.div_ceil(1024) * workers as u64));
        }
        let gpus = self.resources.gpus.unwrap_or_default() > 0.0;
        if let Some(gres) = self.slurm.gres.as_deref().or(gpus.then_some("gpu:1")) {
            option("gres", gres);
        }
        if let Some(time) = self.time {
            option("time", &duration(time));
        }
        option("signal", &format!("B:TERM@{}", self.warn.as_secs().max(1)));
        if let Some(constraint) = &self.slurm.constraint {
            option("constraint", constraint);
        }
        for extra in &self.slurm.options {
            let _ = writeln!(text, "#SBATCH {extra}");
        }
        let command = format!("task {} {number}", word(self.folder.path()));
        text + &self.tail(&command)
    }

    /// The script of the job called `name`, which comes after all arrays and tells how they ended.
    pub fn end(&self, name: &str, dependency: &str) -> String {
        let mut text = self.head(name, Some(dependency), "out/ended.txt");
        text.push_str(&line("ntasks", "1"));
        text.push_str(&line("time", &duration(END)));
        text + &self.tail(&format!("ended {}", word(self.folder.path())))
    }

    /// What all scripts begin with.
    fn head(&self, name: &str, dependency: Option<&str>, output: &str) -> String {
        let mut text = String::from("#!/bin/bash\n");
        let mut option = |name: &str, value: &str| text.push_str(&line(name, value));
        option("job-name", name);
        option("comment", &format!("runner {}", self.experiment));
        if let Some(dependency) = dependency {
            option("dependency", dependency);
        }
        for (name, value) in [
            ("partition", &self.slurm.partition),
            ("account", &self.slurm.account),
            ("qos", &self.slurm.qos),
        ] {
            if let Some(value) = value {
                option(name, value);
            }
        }
        option("chdir", &self.directory.to_string_lossy());
        option("output", &self.folder.path().join(output).to_string_lossy());
        option("open-mode", "append");
        text
    }

    /// What they end with: a look whether the folder is there, and this program.
    fn tail(&self, command: &str) -> String {
        let mut text = String::new();
        for line in &self.slurm.setup {
            let _ = writeln!(text, "{line}");
        }
        let json_logs = if self.json_logs {
            "export RUNNER_LOG_FORMAT=json\n"
        } else {
            ""
        };
        let _ = write!(
            text,
            "if [ \"$(cat {token} 2>/dev/null)\" != {id} ]; then\n\
             \x20   echo \"error: $(hostname) does not see the results folder of the submission:\" {token} >&2\n\
             \x20   exit 66\n\
             fi\n\
             export RAYON_NUM_THREADS=\"${{SLURM_CPUS_PER_TASK:-1}}\"\n\
             {json_logs}exec {program} {command}\n",
            token = word(&self.folder.token()),
            id = self.token,
            program = word(self.program),
        );
        text
    }
}

/// A line with an option; one without a value where that is empty.
fn line(name: &str, value: &str) -> String {
    match value {
        "" => format!("#SBATCH --{name}\n"),
        value => format!("#SBATCH --{name}={}\n", quoted(value)),
    }
}

/// `0-3,5`: what Slurm calls the numbers of an array.
fn ranges(numbers: &[usize]) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let runs: Vec<String> = runs
        .into_iter()
        .map(|(first, last)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        })
        .collect();
    runs.join(",")
}

/// `1-02:03:04`, in the form of days, hours, minutes, seconds.
fn duration(time: Duration) -> String {
    let seconds = time.as_secs().max(60);
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    format!("{days}-{hours:02}:{:02}:{:02}", seconds / 60 % 60, seconds % 60)
}

/// An option's value as `sbatch` reads it from a script.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('"', "\\\""))
}

/// A word of the shell.
fn word(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_ranges_and_durations_days() {
        assert_eq!(ranges(&[0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
        assert_eq!(ranges(&[4]), "4");
        assert_eq!(duration(Duration::from_secs(1)), "0-00:01:00");
        assert_eq!(duration(Duration::from_secs(93_784)), "1-02:03:04");
        assert_eq!(word(Path::new("a 'b'")), r"'a '\''b'\'''");
    }
}
