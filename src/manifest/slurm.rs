//! How jobs are submitted to Slurm.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Problem;
use super::resolve::Resolver;

/// How jobs are submitted by `exec --executor slurm`; `[resources]` says what each of them needs. Not part of a job's
/// identity.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SlurmSettings {
    /// Partition; Slurm's default one without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// Account that is charged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Quality of service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qos: Option<String>,
    /// Features that nodes must have, such as `"a100|h100"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constraint: Option<String>,
    /// Generic resources of a task, such as `"gpu:a100:1"`. By default one GPU where `resources.gpus` is above 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gres: Option<String>,
    /// Time limit of a task, such as `"4h"`. By default what its jobs may take by `resources.timeout`, or else the
    /// partition's limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// How long before the time limit a task is told, such as `"2m"` (the default, at most a quarter of `time`): it then saves
    /// the state of its training and is queued again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warn: Option<String>,
    /// Jobs per task, which runs them one after the other. By default as many as take about ten minutes by earlier results,
    /// or an hour by `resources.timeout`.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pack: Option<usize>,
    /// Most tasks of an array that run at a time.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_once: Option<usize>,
    /// Further options of `sbatch`, such as `["--exclude=n3", "--reservation=course"]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Lines of shell before the program starts, such as `["module load cuda"]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub setup: Vec<String>,
}

impl SlurmSettings {
    /// Time limit of a task.
    pub fn time(&self) -> Option<Duration> {
        humantime::parse_duration(self.time.as_deref()?).ok()
    }

    /// How long before the time limit a task is told.
    pub fn warn(&self) -> Option<Duration> {
        humantime::parse_duration(self.warn.as_deref()?).ok()
    }

    /// Its texts, by key.
    fn texts(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let single = [
            ("partition", &self.partition),
            ("account", &self.account),
            ("qos", &self.qos),
            ("constraint", &self.constraint),
            ("gres", &self.gres),
        ];
        let single = single
            .into_iter()
            .filter_map(|(key, text)| Some((key, text.as_ref()?)));
        single.chain(self.options.iter().map(|text| ("options", text)))
    }
}

impl Resolver<'_> {
    pub(super) fn check_slurm(&mut self, slurm: &SlurmSettings) {
        let mut add = |key: &str, what: &str, hint: &str| {
            let at = ["slurm".to_string(), key.to_string()];
            let problem = self.layers.problem(&at, false, format!("`slurm.{key}` {what}"));
            self.problems.push(problem.hint(hint));
        };
        for (key, text) in [("time", &slurm.time), ("warn", &slurm.warn)] {
            if let Some(Err(error)) = text.as_deref().map(humantime::parse_duration) {
                add(
                    key,
                    &format!("is not a duration: {error}"),
                    &format!("for example `{key} = \"30m\"` or `\"1h 30m\"`"),
                );
            }
        }
        // They become lines of a script.
        for (key, text) in slurm.texts() {
            if text.trim().is_empty() || text.chars().any(char::is_control) {
                add(
                    key,
                    "must be text on one line",
                    "leave it out for Slurm's default",
                );
            }
        }
        if let Some(option) = slurm.options.iter().find(|option| !option.starts_with('-')) {
            add(
                "options",
                &format!("has `{option}`, which is no option"),
                "options begin with `-`: `options = [\"--exclude=n3\"]`",
            );
        }
    }
}

/// A file of the user's own settings may only say how and where jobs run: what they compute is the manifest's.
pub(super) const USER_KEYS: [&str; 3] = ["resources", "slurm", "notify"];

/// A key of the user's own settings that does not belong there.
pub(super) fn user_problem(key: &str) -> Problem {
    Problem::new(format!("`{key}` cannot stand in the user's own settings")).hint(format!(
        "they hold `{}`; everything that changes results belongs into the manifest",
        USER_KEYS.map(|key| format!("[{key}]")).join("`, `")
    ))
}
