//! What a submission leaves on disk, for its tasks and for whoever asks about it later.
//!
//! `cache/slurm/<id>/` of the results folder:
//!
//! | path | what |
//! | --- | --- |
//! | `submission.json` | the arrays, their tasks and jobs, what jobs run with; written before anything is submitted |
//! | `token` | the submission's id; a node that does not see it does not share the folder |
//! | `N.sh` | the script of array N |
//! | `N.id` | its job id, once Slurm has given it one |
//! | `tasks/N-K.json` | the jobs of its K-th task |
//! | `started/N-K` | that task has begun, and saw the folder |
//! | `out/N-K.txt` | what it printed |
//! | `ended.sh`, `out/ended.txt` | of the job that tells of the end, for `[notify]` |
//! | `cancelled` | the user has cancelled it |

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::SlurmError;
use crate::files;
use crate::plan::JobSpec;
use crate::result::{Provenance, Store, StoreError, create_dir, write_atomic, write_soon};

/// Version of these files.
const SCHEMA: u32 = 1;

/// One `exec --executor slurm`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Submission {
    /// Version of the format.
    pub schema: u32,
    /// Its identifier, in the names of its arrays.
    pub id: String,
    /// Where it was submitted from, for people.
    pub host: String,
    /// The number of the user who submitted it; older submissions do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<u32>,
    /// When, for people.
    pub submitted: String,
    /// What its jobs run with.
    pub setting: Setting,
    /// Its arrays, in the order of their submission.
    pub arrays: Vec<Array>,
}

/// What the jobs of a submission run with.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Setting {
    /// The device's name.
    pub device: String,
    /// Folder of data sets; wins over the manifest's.
    pub data_dir: Option<PathBuf>,
    /// Longest time a job may take.
    pub timeout: Option<Duration>,
    /// How many jobs a task runs at a time; older submissions do not say.
    #[serde(default = "one")]
    pub workers: usize,
    /// Bytes that a task asks for; older submissions do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// How often a training saves its state.
    pub checkpoint: Duration,
    /// How long before the time limit a task is told.
    pub warn: Duration,
    /// How often a failed job is tried again.
    pub retries: usize,
    /// Whether a failed job ends what comes after it.
    pub fail_fast: bool,
    /// The command that hears of the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<String>,
    /// What all records say about where they come from.
    pub provenance: Provenance,
}

fn one() -> usize {
    1
}

/// One job array.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Array {
    /// Its name in Slurm, which no other array has: found by it even where its id was not written down.
    pub name: String,
    /// Its tasks.
    pub tasks: Vec<Task>,
    /// What it waits for.
    pub after: After,
}

/// What an array waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct After {
    /// Arrays of this submission, by position.
    pub arrays: Vec<usize>,
    /// Whether each task waits for the task of the same number only.
    pub corresponding: bool,
    /// Arrays of earlier submissions, by job id.
    pub others: Vec<String>,
}

/// One task of an array.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Task {
    /// Its number in the array.
    pub number: usize,
    /// Its jobs, in the plan's order.
    pub jobs: Vec<Member>,
}

/// One job of a task.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Member {
    /// Its name.
    pub job: String,
    /// Hash of the record there was when it was submitted: that one does not make the job unnecessary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
}

impl Submission {
    /// A submission of nothing yet.
    pub fn new(id: String, host: String, submitted: String, setting: Setting) -> Self {
        Self {
            schema: SCHEMA,
            id,
            host,
            user: own_user(),
            submitted,
            setting,
            arrays: Vec::new(),
        }
    }
}

/// The folder of one submission.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder at `path`; touches nothing.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The results it belongs to: it is their `cache/slurm/ID`.
    pub fn results(&self) -> &Path {
        self.path.ancestors().nth(3).unwrap_or(&self.path)
    }

    /// Makes the folder of a submission: its description first, without which it is none.
    pub fn create(store: &Store, submission: &Submission) -> Result<Self, StoreError> {
        let folder = Self::at(store.submissions().join(&submission.id));
        for inner in ["tasks", "started", "out"] {
            create_dir(&folder.path.join(inner))?;
        }
        write_atomic(&folder.token(), submission.id.as_bytes())?;
        write_atomic(&folder.description(), &json(submission))?;
        Ok(folder)
    }

    /// Whether it is the folder of a submission, described or not: its first file is there.
    pub fn is_begun(&self) -> bool {
        fs::symlink_metadata(self.token()).is_ok_and(|token| token.is_file())
    }

    /// All submissions of a results folder. A folder without a description was never submitted from.
    pub fn all(store: &Store) -> Result<Vec<(Self, Submission)>, SlurmError> {
        let mut all = Vec::new();
        for entry in fs::read_dir(store.submissions()).into_iter().flatten().flatten() {
            let folder = Self::at(entry.path());
            if folder.description().is_file() {
                let submission = folder.load()?;
                all.push((folder, submission));
            }
        }
        all.sort_by(|(_, a), (_, b)| (&a.submitted, &a.id).cmp(&(&b.submitted, &b.id)));
        Ok(all)
    }

    /// Reads the description.
    pub fn load(&self) -> Result<Submission, SlurmError> {
        let path = self.description();
        let failed = |problem: String| SlurmError::Submission {
            path: path.clone(),
            problem,
        };
        let bytes = files::read(&path).map_err(|error| failed(error.to_string()))?;
        let value: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))?;
        if value["schema"] != SCHEMA {
            return Err(failed(format!(
                "it has schema version {}, this program reads version {SCHEMA}",
                value["schema"]
            )));
        }
        serde_json::from_value(value).map_err(|error| failed(error.to_string()))
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }
    fn description(&self) -> PathBuf {
        self.path.join("submission.json")
    }
    /// The file that a node must see.
    pub fn token(&self) -> PathBuf {
        self.path.join("token")
    }
    /// The script of an array.
    pub fn script(&self, array: usize) -> PathBuf {
        self.path.join(format!("{array}.sh"))
    }
    /// The script of the job that tells of the end.
    pub fn end_script(&self) -> PathBuf {
        self.path.join("ended.sh")
    }
    /// What a task printed.
    pub fn output(&self, array: usize, task: usize) -> PathBuf {
        self.path.join(format!("out/{array}-{task}.txt"))
    }
    fn id_file(&self, array: usize) -> PathBuf {
        self.path.join(format!("{array}.id"))
    }
    fn task_file(&self, array: usize, task: usize) -> PathBuf {
        self.path.join(format!("tasks/{array}-{task}.json"))
    }
    fn started_file(&self, array: usize, task: usize) -> PathBuf {
        self.path.join(format!("started/{array}-{task}"))
    }
    fn cancelled_file(&self) -> PathBuf {
        self.path.join("cancelled")
    }

    /// Writes down the id Slurm gave to an array.
    pub fn save_id(&self, array: usize, id: &str) -> Result<(), StoreError> {
        write_atomic(&self.id_file(array), id.as_bytes())
    }

    /// The id of an array, where it was written down.
    pub fn id(&self, array: usize) -> Option<String> {
        files::read_text(&self.id_file(array), 1 << 10).ok()
    }

    /// Writes the jobs of a task; they are on the disk after the store's next [`Store::settle`].
    pub fn save_jobs(&self, array: usize, task: usize, jobs: &[&JobSpec]) -> Result<(), StoreError> {
        write_soon(&self.task_file(array, task), &json(&jobs))
    }

    /// Reads the jobs of a task.
    pub fn jobs(&self, array: usize, task: usize) -> Result<Vec<JobSpec>, SlurmError> {
        let path = self.task_file(array, task);
        let failed = |problem: String| SlurmError::Submission {
            path: path.clone(),
            problem,
        };
        let bytes = files::read(&path).map_err(|error| failed(error.to_string()))?;
        serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))
    }

    /// Notes that a task has begun.
    pub fn save_started(&self, array: usize, task: usize, by: &str) -> Result<(), StoreError> {
        write_atomic(&self.started_file(array, task), by.as_bytes())
    }

    /// The tasks that ever began, by array and number.
    pub fn started(&self) -> BTreeSet<(usize, usize)> {
        let entries = fs::read_dir(self.path.join("started"))
            .into_iter()
            .flatten()
            .flatten();
        entries
            .filter_map(|entry| {
                let name = entry.file_name();
                let (array, task) = name.to_str()?.split_once('-')?;
                Some((array.parse().ok()?, task.parse().ok()?))
            })
            .collect()
    }

    /// Notes that the user has cancelled all of it.
    pub fn save_cancelled(&self) -> Result<(), StoreError> {
        write_atomic(&self.cancelled_file(), b"")
    }

    /// Whether the user has cancelled it.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled_file().exists()
    }

    /// Removes all of it. What cannot be removed is found, and tried again, next time.
    pub fn remove(&self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The number of the user this process runs as.
fn own_user() -> Option<u32> {
    #[cfg(unix)]
    {
        let own = fs::metadata("/proc/self").ok()?;
        Some(std::os::unix::fs::MetadataExt::uid(&own))
    }
    #[cfg(not(unix))]
    None
}

/// These types have no keys that JSON lacks.
fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
