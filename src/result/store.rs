//! The results folder of one experiment.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::ledger::Paths as LedgerPaths;
use super::{
    Index, Known, Ledger, OLDEST_SCHEMA, Predictions, Record, SCHEMA, Stamp, StoreError, create_dir,
    write_atomic, write_soon,
};
use crate::files;

/// More bytes than any record or index.
const LARGEST: u64 = 1 << 28;

/// Paths of one experiment's results, and the reading and writing of them.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    /// Kept by the one who holds the lock.
    ledger: Option<Arc<Ledger>>,
}

/// What is known about a job from the disk.
#[derive(Debug)]
pub enum Lookup {
    /// No record.
    Missing,
    /// A sound record of the same key.
    Found(Box<Record>),
    /// A file that cannot be trusted, and why.
    Corrupt(StoreError),
}

impl Store {
    /// The store at `root`; touches nothing.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            ledger: None,
        }
    }

    /// The store at `root`, its folders made and the leftovers of killed processes removed; for the one who holds the
    /// folder's claim.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let mut store = Self::prepared(root)?;
        store.ledger = Some(Arc::new(Ledger::open(&store.ledger_paths())));
        Ok(store)
    }

    /// Likewise, for one of several who work on it at once.
    pub fn open_beside(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let mut store = Self::prepared(root)?;
        store.ledger = Some(Arc::new(Ledger::beside(&store.ledger_paths())));
        Ok(store)
    }

    /// The store at `root`, for one of several who work on it at once, on a few jobs; its folders are made.
    pub fn open_for_task(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let mut store = Self::at(root);
        store.create()?;
        store.ledger = Some(Arc::new(Ledger::blank(&store.ledger_paths())));
        Ok(store)
    }

    fn prepared(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let store = Self::at(root);
        store.create()?;
        for folder in [
            store.records(),
            store.tables(),
            store.checkpoints(),
            store.logs(),
            store.predictions(),
            store.earlier(),
            store.cache(),
        ] {
            sweep(&folder);
        }
        sweep(&store.root);
        Ok(store)
    }

    /// The same store, with what its ledger says, for those who only read.
    #[must_use]
    pub fn with_ledger(mut self) -> Self {
        self.ledger = Some(Arc::new(Ledger::read(&self.ledger_paths())));
        self
    }

    /// Has all that was written for jobs so far put on the disk.
    pub fn settle(&self) -> Result<(), StoreError> {
        crate::files::settle(&self.root).map_err(|source| StoreError::io("write", &self.root, source))
    }

    /// Makes the folders.
    pub fn create(&self) -> Result<(), StoreError> {
        let store = self;
        for folder in [store.records(), store.tables(), store.checkpoints(), store.logs()] {
            create_dir(&folder)?;
        }
        let ignore = store.cache().join(".gitignore");
        if !ignore.exists() {
            write_atomic(&ignore, b"*\n")?;
        }
        Ok(())
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }
    /// Where records are.
    pub fn records(&self) -> PathBuf {
        self.root.join("records")
    }
    /// Records of earlier settings: see [`Store::retire`].
    pub fn earlier(&self) -> PathBuf {
        self.root.join("earlier")
    }
    /// Where rendered tables are.
    pub fn tables(&self) -> PathBuf {
        self.root.join("tables")
    }
    /// Where figures are.
    pub fn plots(&self) -> PathBuf {
        self.root.join("plots")
    }
    /// What is not committed.
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }
    /// Trained and fused models.
    pub fn checkpoints(&self) -> PathBuf {
        self.cache().join("checkpoints")
    }
    /// One log per job.
    pub fn logs(&self) -> PathBuf {
        self.cache().join("logs")
    }
    /// Who works on what, see [`super::Claims`].
    pub fn claims(&self) -> PathBuf {
        self.cache().join("claims")
    }
    /// Submissions to Slurm, a folder each.
    pub fn submissions(&self) -> PathBuf {
        self.cache().join("slurm")
    }
    /// What is known of the records.
    fn ledger_paths(&self) -> LedgerPaths {
        LedgerPaths {
            main: self.cache().join("ledger"),
            others: self.cache().join("ledgers"),
        }
    }
    /// The jobs of which there are records. One listing: asking for each file takes an answer of the server each, where the
    /// folder is on one.
    pub fn recorded(&self) -> HashSet<String> {
        names(&self.records())
    }
    /// The jobs of which there are records in [`Store::earlier`].
    pub fn retired(&self) -> HashSet<String> {
        names(&self.earlier())
    }
    /// The record of `job`.
    pub fn record_path(&self, job: &str) -> PathBuf {
        self.records().join(format!("{job}.json"))
    }
    fn retired_path(&self, job: &str) -> PathBuf {
        self.earlier().join(format!("{job}.json"))
    }
    /// The checkpoint of `job`.
    pub fn checkpoint_path(&self, job: &str) -> PathBuf {
        self.checkpoints().join(format!("{job}.safetensors"))
    }
    /// What jobs answered on each test example.
    pub fn predictions(&self) -> PathBuf {
        self.cache().join("predictions")
    }
    /// What `job` answered on each test example.
    pub fn predictions_path(&self, job: &str) -> PathBuf {
        self.predictions().join(format!("{job}.safetensors"))
    }
    /// The log of `job`.
    pub fn log_path(&self, job: &str) -> PathBuf {
        self.logs().join(format!("{job}.log"))
    }

    /// Seals and writes a record.
    pub fn save(&self, mut record: Record) -> Result<Record, StoreError> {
        if let Some(error) = &mut record.error {
            error.without_root(&self.root);
        }
        let record = record.seal();
        let path = self.record_path(&record.job);
        let bytes = pretty("record", &path, &record)?;
        write_soon(&path, &bytes)?;
        if let Some(ledger) = &self.ledger {
            ledger.note(&record, &bytes, &path);
        }
        Ok(self.located(record))
    }

    /// The record with the paths in its messages as they are now.
    fn located(&self, mut record: Record) -> Record {
        if let Some(error) = &mut record.error {
            error.with_root(&self.root);
        }
        record
    }

    /// What the ledger says of the record of a job, if it has this key and its file is the one that the ledger means.
    pub fn recall(&self, job: &str, key: &str) -> Option<&Known> {
        let known = self.ledger.as_ref()?.get(job)?;
        let same = blake3::Hash::from_hex(key).is_ok_and(|key| key == known.key)
            && files::read(&self.record_path(job)).is_ok_and(|bytes| blake3::hash(&bytes) == known.hash);
        same.then_some(known)
    }

    /// Likewise, by the size and the time of the file alone: for looking, not for deciding.
    pub fn glance(&self, job: &str, key: &str) -> Option<&Known> {
        let known = self.ledger.as_ref()?.get(job)?;
        let same = blake3::Hash::from_hex(key).is_ok_and(|key| key == known.key)
            && Stamp::of(&self.record_path(job)) == Some(known.stamp);
        same.then_some(known)
    }

    /// What the ledger says of all records.
    pub fn known(&self) -> impl Iterator<Item = (&str, &Known)> {
        self.ledger.iter().flat_map(|ledger| ledger.all())
    }

    /// Writes what a job answered on each test example.
    pub fn save_predictions(
        &self,
        job: &str,
        key: &str,
        predictions: &Predictions,
    ) -> Result<(), StoreError> {
        let path = self.predictions_path(job);
        create_dir(&self.predictions())?;
        let bytes = predictions.to_bytes(key).map_err(|error| {
            let source = std::io::Error::other(error);
            StoreError::io("write", &path, source)
        })?;
        write_soon(&path, &bytes)
    }

    /// What a job answered on each test example; nothing where that is not kept, or not of the job's record.
    pub fn load_predictions(&self, job: &str) -> Option<Predictions> {
        let bytes = files::read(&self.predictions_path(job)).ok()?;
        Predictions::from_bytes(&bytes, &self.load(job).ok()?.key)
    }

    /// Gives the job that was called `old` the name and the content of `record`, its checkpoint, predictions and log with
    /// it. The old record goes last: interrupted, it is found again.
    pub fn rename(&self, old: &str, record: Record) -> Result<Record, StoreError> {
        let new = record.job.clone();
        if new != old {
            for (from, to) in [
                (self.checkpoint_path(old), self.checkpoint_path(&new)),
                (self.predictions_path(old), self.predictions_path(&new)),
                (self.log_path(old), self.log_path(&new)),
            ] {
                match fs::rename(&from, to) {
                    // None needs to be there: all live in the cache.
                    Err(error) if error.kind() != ErrorKind::NotFound => {
                        return Err(StoreError::io("rename", &from, error));
                    }
                    _ => {}
                }
            }
        }
        let record = self.save(record)?;
        for path in [self.record_path(old), self.retired_path(old)] {
            if path != self.record_path(&new) {
                remove_if_there(&path)?;
            }
        }
        Ok(record)
    }

    /// Moves the records of all jobs but these out of `records/`, so that who reads that folder finds the current ones
    /// alone. They are found again where they went when their settings come back.
    pub fn retire(&self, current: &HashSet<&str>) -> Result<(), StoreError> {
        let stale = self.recorded().into_iter();
        let mut stale: Vec<String> = stale
            .filter(|name| !current.contains(name.as_str()) && is_job_name(name))
            .collect();
        if stale.is_empty() {
            return Ok(());
        }
        stale.sort_unstable();
        create_dir(&self.earlier())?;
        for name in stale {
            let (from, to) = (self.record_path(&name), self.retired_path(&name));
            fs::rename(&from, to).map_err(|source| StoreError::io("rename", &from, source))?;
        }
        Ok(())
    }

    /// The record of `job` as it lies there, and where: among those of now, or of earlier settings.
    pub fn bytes(&self, job: &str) -> Result<(PathBuf, Vec<u8>), StoreError> {
        let (path, retired) = (self.record_path(job), self.retired_path(job));
        match files::read_at_most(&path, LARGEST) {
            Ok(bytes) => Ok((path, bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => files::read_at_most(&retired, LARGEST)
                .map(|bytes| (retired, bytes))
                .map_err(|_| StoreError::io("read", &path, error)),
            Err(error) => Err(StoreError::io("read", &path, error)),
        }
    }

    /// Reads one record and checks its schema and its seal.
    pub fn load(&self, job: &str) -> Result<Record, StoreError> {
        let (path, bytes) = self.bytes(job)?;
        // Not a byte has changed since it was last checked.
        let known = self.ledger.as_ref().and_then(|ledger| ledger.get(job));
        if known.is_some_and(|known| known.hash == blake3::hash(&bytes))
            && let Ok(record) = serde_json::from_slice(&bytes)
        {
            return Ok(self.located(record));
        }
        let parsed = Record::parse(&bytes);
        let schema = parsed
            .as_ref()
            .ok()
            .and_then(Option::as_ref)
            .map(|record| record.schema);
        check_schema(&path, schema, &bytes)?;
        let record = parsed.map_err(|source| StoreError::Json {
            what: "record",
            path: path.clone(),
            source,
        })?;
        let record = record.ok_or_else(|| StoreError::Checksum { path: path.clone() })?;
        if let Some(ledger) = &self.ledger {
            ledger.note(&record, &bytes, &path);
        }
        Ok(self.located(record))
    }

    /// What the disk knows of a job; a record of another key under the same name counts as missing.
    pub fn lookup(&self, job: &str, key: &str) -> Lookup {
        match self.load(job) {
            Ok(record) if record.key == key => Lookup::Found(Box::new(record)),
            Ok(_) => Lookup::Missing,
            Err(StoreError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Lookup::Missing,
            Err(error) => Lookup::Corrupt(error),
        }
    }

    /// Writes the index.
    pub fn save_index(&self, index: &Index) -> Result<(), StoreError> {
        let path = self.root.join("index.json");
        let bytes = index.to_bytes().map_err(|source| StoreError::Json {
            what: "index",
            path: path.clone(),
            source,
        })?;
        // The same again is not worth a flush; jobs by the thousand make it large.
        match files::read(&path) {
            Ok(old) if old == bytes => Ok(()),
            _ => write_atomic(&path, &bytes),
        }
    }

    /// Says which records are there, but are replaced by the run at work: job and hash of its record's file. Who follows the
    /// run does not take them for its results.
    pub fn save_replaced(&self, records: &BTreeMap<String, String>) -> Result<(), StoreError> {
        let path = self.replaced_path();
        if records.is_empty() {
            return match fs::remove_file(&path) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                    Err(StoreError::io("remove", &path, source))
                }
                _ => Ok(()),
            };
        }
        write_atomic(&path, &pretty("list of records", &path, records)?)
    }

    /// What [`Store::save_replaced`] said; nothing where that cannot be read.
    pub fn replaced(&self) -> BTreeMap<String, String> {
        let bytes = fs::read(self.replaced_path()).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    fn replaced_path(&self) -> PathBuf {
        self.cache().join("replaced.json")
    }

    /// Reads the index and checks its schema and its checksum.
    pub fn load_index(&self) -> Result<Index, StoreError> {
        let path = self.root.join("index.json");
        let bytes =
            files::read_at_most(&path, LARGEST).map_err(|source| StoreError::io("read", &path, source))?;
        let parsed = serde_json::from_slice::<Index>(&bytes);
        check_schema(&path, parsed.as_ref().ok().map(|index| index.schema), &bytes)?;
        let index = parsed.map_err(|source| StoreError::Json {
            what: "index",
            path: path.clone(),
            source,
        })?;
        match index.schema == OLDEST_SCHEMA || Index::is_sound(&bytes) {
            true => Ok(index),
            false => Err(StoreError::Checksum { path }),
        }
    }
}

/// A name that is a file's name on every system: letters, digits, `.`, `_`, `-`, `+`, `=`; the rest becomes `-`.
pub fn safe_name(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "._-+=".contains(c) {
                c
            } else {
                '-'
            }
        })
        .collect()
}

pub(super) fn pretty<T: serde::Serialize>(
    what: &'static str,
    path: &Path,
    value: &T,
) -> Result<Vec<u8>, StoreError> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|source| StoreError::Json {
        what,
        path: path.to_path_buf(),
        source,
    })?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Has a file of a schema version that this program does not read named as such, whether or not it has today's shape.
pub(super) fn check_schema(path: &Path, found: Option<u32>, bytes: &[u8]) -> Result<(), StoreError> {
    let found = found.map(u64::from).or_else(|| {
        let value = serde_json::from_slice::<Value>(bytes).ok()?;
        value.get("schema").and_then(Value::as_u64)
    });
    match found {
        Some(found) if !(u64::from(OLDEST_SCHEMA)..=u64::from(SCHEMA)).contains(&found) => {
            Err(StoreError::Schema {
                path: path.to_path_buf(),
                found,
                expected: SCHEMA,
            })
        }
        _ => Ok(()),
    }
}

/// Names of the records in a folder.
fn names(folder: &Path) -> HashSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".json")?.to_string()))
        .collect()
}

/// Whether a name ends as those of jobs do, in digits of a key: what else lies among the records is the user's.
fn is_job_name(name: &str) -> bool {
    let digits = name.rsplit_once('-').map_or("", |(_, digits)| digits);
    matches!(digits.len(), 8 | 16) && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
}

fn remove_if_there(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(StoreError::io("remove", path, error)),
        _ => Ok(()),
    }
}

/// Removes the temporary files of writers that were killed. Those of living ones, and of other machines, stay.
fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if crate::files::is_abandoned(&entry.file_name().to_string_lossy()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_schema_version_is_named_even_where_the_rest_parses() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let store = Store::open(folder.path()).expect("store");
        let index = r#"{"schema": 4, "experiment": "e", "dataset": "d", "manifest-hash": "", "tables": [], "jobs": []}"#;
        let record = r#"{"schema": 4, "key": "k", "job": "j", "kind": "train", "status": "ok", "axes": {}, "seed": 1,
            "parts": 2, "models": [], "settings": {}, "inputs": [], "seconds": {},
            "provenance": {"runner": "", "started": "", "device": "cpu", "manifest-hash": ""}, "checksum": ""}"#;
        write_atomic(&folder.path().join("index.json"), index.as_bytes()).expect("write");
        write_atomic(&store.record_path("j"), record.as_bytes()).expect("write");
        write_atomic(&store.record_path("other"), br#"{"schema": 3, "new": true}"#).expect("write");
        assert!(matches!(
            store.load_index(),
            Err(StoreError::Schema { found: 4, .. })
        ));
        assert!(matches!(
            store.load("j"),
            Err(StoreError::Schema { found: 4, .. })
        ));
        assert!(matches!(
            store.load("other"),
            Err(StoreError::Schema { found: 3, .. })
        ));
        assert!(matches!(
            store.lookup("j", "k"),
            Lookup::Corrupt(StoreError::Schema { found: 4, .. })
        ));
    }
}
