//! What a job may use, and how that is written.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Problem;
use super::resolve::Resolver;

/// Bounds on what a job may use. Not part of a job's identity.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ResourceSettings {
    /// Longest time a job may take, such as `"30m"`; then it fails and the rest goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// How often a training saves its state, such as `"5m"` (the default) or `"0s"` for after every step: interrupted, it
    /// goes on from there with the same numbers as without interruption.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// Cores of a job: it computes on so many threads, and only so many jobs run at a time as the machine has cores for.
    /// By default the machine's cores, divided among the jobs of `-j`.
    #[schemars(range(min = 1, max = 4096))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<usize>,
    /// Most memory of a job, such as `"4G"` or `"512M"` (1K = 1024 bytes): each job then runs in a process of its own, which
    /// is ended when it holds more, and fails; the rest goes on. Only so many jobs run at a time as the machine has memory
    /// for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// A job's share of a GPU, such as `0.5` for two jobs at a time; 0 for none. Without a GPU it means nothing. By default
    /// one job runs at a time there, or as many as `-j` says.
    #[schemars(range(min = 0.0, max = 1.0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpus: Option<f64>,
}

/// A command that hears how an `exec` ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct NotifySettings {
    /// Run by `sh` at the end of every `exec`, or of all that it submitted to Slurm, whatever the end, such as
    /// `"mail -s \"$NOTIFY_MESSAGE\" me@example.org"`. The variables are `NOTIFY_EXPERIMENT`, `NOTIFY_STATUS` (`ok`, `failed`,
    /// `interrupted`, `error`) and `NOTIFY_MESSAGE`, one line; standard input is a JSON object with the counts of jobs. A
    /// command that fails, or takes longer than a minute, is a warning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

impl ResourceSettings {
    /// Longest time of a job.
    pub fn timeout(&self) -> Option<Duration> {
        humantime::parse_duration(self.timeout.as_deref()?).ok()
    }

    /// How often a training saves its state, where the manifest says.
    pub fn checkpoint(&self) -> Option<Duration> {
        humantime::parse_duration(self.checkpoint.as_deref()?).ok()
    }

    /// How many jobs share a GPU.
    pub fn per_gpu(&self) -> usize {
        let share = self.gpus.filter(|share| *share > 0.0).unwrap_or(1.0);
        ((1.0 / share + 1e-9) as usize).max(1)
    }

    /// Most memory of a job, in bytes.
    pub fn memory(&self) -> Option<u64> {
        bytes(self.memory.as_deref()?)
    }
}

/// `4G`, `1.5 GiB`, `512MB`: in binary units all of them, as Slurm has it.
fn bytes(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_uppercase();
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic())?);
    let unit = unit
        .strip_suffix("IB")
        .or_else(|| unit.strip_suffix('B'))
        .unwrap_or(unit);
    let units = [("K", 10), ("M", 20), ("G", 30), ("T", 40)];
    let (_, power) = units.into_iter().find(|(known, _)| *known == unit)?;
    let number: f64 = number.trim().parse().ok()?;
    let bytes = number * 2_f64.powi(power);
    (bytes >= 1.0 && bytes < 2_f64.powi(60)).then_some(bytes as u64)
}

impl Resolver<'_> {
    pub(super) fn check_resources(&mut self, resources: &ResourceSettings) {
        for (key, text) in [
            ("timeout", &resources.timeout),
            ("checkpoint", &resources.checkpoint),
        ] {
            if let Some(Err(error)) = text.as_deref().map(humantime::parse_duration) {
                let problem = self.at(key, &format!("is not a duration: {error}"));
                self.problems
                    .push(problem.hint(format!("for example `{key} = \"30m\"` or `\"1h 30m\"`")));
            }
        }
        if resources.memory.is_some() && resources.memory().is_none() {
            let problem = self.at("memory", "is not an amount of memory");
            let hint = "a number and one of K, M, G, T: for example `memory = \"4G\"` or `\"512M\"`";
            self.problems.push(problem.hint(hint));
        }
    }

    fn at(&self, key: &str, what: &str) -> Problem {
        let at = ["resources".to_string(), key.to_string()];
        self.layers
            .problem(&at, false, format!("`resources.{key}` {what}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_memory() {
        for (text, expected) in [
            ("1K", Some(1024)),
            ("512M", Some(512 << 20)),
            (" 4 g ", Some(4 << 30)),
            ("1.5GiB", Some(3 << 29)),
            ("2TB", Some(2 << 40)),
            ("0.5K", Some(512)),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
        for text in [
            "", "4", "G", "-1G", "0M", "nanG", "infT", "1e30G", "4X", "4GG", "4 G x",
        ] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
