//! Tables of a run that changed nothing: kept in the cache, so that they need not be made from all records again.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::provenance::manifest_hash;
use super::setup::Experiment;
use crate::report::Rendered;
use crate::result::{Stamp, Store, write_soon};
use crate::schedule::Decision;

/// What was made of the records, and of which.
#[derive(Debug, Serialize, Deserialize)]
pub struct Kept {
    schema: u32,
    /// Of all that went into it.
    fingerprint: String,
    /// The files, as seen from the results folder, and blake3 of their content.
    files: Vec<(PathBuf, String)>,
    /// The tables.
    pub tables: Vec<Shown>,
    /// blake3 of the tables.
    checksum: String,
}

/// One table as it is shown.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Shown {
    /// For the terminal.
    pub markdown: String,
    /// What is missing, one line each.
    pub warnings: Vec<String>,
    /// The files written, as seen from the results folder.
    pub files: Vec<PathBuf>,
}

impl Shown {
    /// A table in the results folder `root`.
    pub fn of(rendered: Rendered, root: &Path) -> Self {
        let inside = |file: PathBuf| file.strip_prefix(root).map(Path::to_path_buf).unwrap_or(file);
        Self {
            markdown: rendered.markdown,
            warnings: rendered.warnings,
            files: rendered.files.into_iter().map(inside).collect(),
        }
    }
}

const SCHEMA: u32 = 2;

/// Everything that index and tables are made of; nothing where a job's record was not found as it was last time, or where
/// tables are made of more than records.
pub fn fingerprint(experiment: &Experiment, path: &Path, decisions: &[Decision]) -> Option<String> {
    let reports = &experiment.manifest.reports;
    if reports
        .iter()
        .any(|report| report.test.as_deref() == Some("mcnemar"))
    {
        return None;
    }
    let mut hasher = blake3::Hasher::new();
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    add(env!("CARGO_PKG_VERSION").as_bytes());
    // Another build may make other tables of the same.
    let program = std::env::current_exe().ok();
    if let Some(stamp) = program.as_deref().and_then(Stamp::of) {
        add(format!("{stamp:?}").as_bytes());
    }
    add(manifest_hash(&experiment.manifest).as_bytes());
    add(path.as_os_str().as_encoded_bytes());
    add(experiment.templates.digest().as_bytes());
    for (job, decision) in experiment.plan.jobs.iter().zip(decisions) {
        let known = decision.known.as_ref()?;
        add(job.name.as_bytes());
        add(job.key.as_bytes());
        add(known.hash.as_bytes());
        add(&known.place.to_le_bytes());
        if !job.also.is_empty() {
            add(&serde_json::to_vec(&job.also).ok()?);
        }
    }
    Some(hasher.finalize().to_hex().to_string())
}

/// The tables made of the same, whose files are still there as they were made.
pub fn recall(store: &Store, fingerprint: &str) -> Option<Kept> {
    let bytes = crate::files::read(&path(store)).ok()?;
    let kept: Kept = serde_json::from_slice(&bytes).ok()?;
    if kept.checksum != checksum(&kept.tables) {
        return None;
    }
    let same =
        |(file, hash): &(PathBuf, String)| content_hash(&store.root().join(file)).as_ref() == Some(hash);
    (kept.schema == SCHEMA && kept.fingerprint == fingerprint && kept.files.iter().all(same)).then_some(kept)
}

/// Keeps the tables. Without them the next time takes longer, that is all.
pub fn keep(store: &Store, fingerprint: String, tables: &[Shown]) {
    let written = tables.iter().flat_map(|table| table.files.clone());
    let others = ["index.json", "summary.json"].map(PathBuf::from);
    let files: Option<Vec<_>> = written
        .chain(others)
        .map(|file| content_hash(&store.root().join(&file)).map(|hash| (file, hash)))
        .collect();
    let Some(files) = files else { return };
    let kept = Kept {
        schema: SCHEMA,
        fingerprint,
        files,
        tables: tables.to_vec(),
        checksum: checksum(tables),
    };
    if let Ok(bytes) = serde_json::to_vec(&kept) {
        let _ = write_soon(&path(store), &bytes);
    }
}

fn checksum(tables: &[Shown]) -> String {
    let bytes = serde_json::to_vec(tables).unwrap_or_default();
    blake3::hash(&bytes).to_hex().to_string()
}

fn path(store: &Store) -> PathBuf {
    store.cache().join("tables.json")
}

fn content_hash(file: &std::path::Path) -> Option<String> {
    let bytes = crate::files::read(file).ok()?;
    Some(blake3::hash(&bytes).to_hex().to_string())
}
