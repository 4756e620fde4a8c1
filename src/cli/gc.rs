//! `runner gc`: what belongs to no job any more.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::args::{GcArgs, Global, ManifestArgs, StepFormat};
use super::{CliError, setup};
use crate::files::TEMPORARY;
use crate::result::{Claims, Store, StoreError, Timing};

/// Runs the command.
pub fn run(args: &GcArgs, global: &Global) -> Result<(), CliError> {
    let mut stale = Vec::new();
    if let Some(experiment) = &args.experiment {
        stale.extend(one(experiment, args, global)?);
    } else {
        let mut names: Vec<String> = std::fs::read_dir(&global.results)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.path().join("index.json").is_file())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        for name in names {
            stale.extend(one(&name, args, global)?);
        }
    }
    show(&stale, args)
}

/// A file that belongs to no job.
struct Stale {
    path: PathBuf,
    bytes: u64,
}

/// Removes what is stale of one experiment, unless it is a dry run.
fn one(experiment: &str, args: &GcArgs, global: &Global) -> Result<Vec<Stale>, CliError> {
    let is_manifest = Path::new(experiment).extension().is_some_and(|ext| ext == "toml");
    let store = setup::store_of(experiment, global)?;
    // A running exec has files that are not yet anybody's.
    let _lock = match args.dry_run {
        _ if Claims::owners(&store.claims()).keys().any(|name| name != "exec") => {
            return Err(held(&store).into());
        }
        true if Claims::is_worked_on(&store.claims()) => return Err(held(&store).into()),
        true => None,
        false => {
            let claims = Arc::new(Claims::open(&store.claims(), None, Timing::default())?);
            Some(claims.guard("exec", false, &mut |_| ())?)
        }
    };
    let mut living = Living::default();
    // An index that cannot be read says nothing, and then everything might be in use.
    for entry in store.load_index()?.jobs {
        living.add(entry.job);
    }
    if is_manifest {
        let manifest = ManifestArgs {
            manifest: PathBuf::from(experiment),
            overrides: Vec::new(),
            set: Vec::new(),
            device: "cpu".into(),
        };
        for job in setup::experiment(&manifest, global)?.plan.jobs {
            living.add(job.name.clone());
        }
    }
    let folders = [
        store.records(),
        store.checkpoints(),
        store.predictions(),
        store.logs(),
    ];
    let mut stale: Vec<Stale> = folders
        .iter()
        .flat_map(|folder| stale_in(folder, &living))
        .collect();
    stale.sort_by(|a, b| a.path.cmp(&b.path));
    if !args.dry_run {
        for file in &stale {
            std::fs::remove_file(&file.path).map_err(|source| StoreError::Io {
                action: "remove",
                path: file.path.clone(),
                source,
            })?;
        }
    }
    Ok(stale)
}

fn held(store: &Store) -> StoreError {
    StoreError::Locked {
        path: store.root().to_path_buf(),
        owner: "its files are in use".to_string(),
    }
}

/// Jobs whose files stay.
#[derive(Default)]
struct Living {
    names: BTreeSet<String>,
    /// The short hashes at the end of the names: a record of the same job under another name is taken over by the next
    /// `exec`.
    hashes: BTreeSet<String>,
}

impl Living {
    fn add(&mut self, job: String) {
        if let Some((_, hash)) = job.rsplit_once('-') {
            self.hashes.insert(hash.to_string());
        }
        self.names.insert(job);
    }

    fn has(&self, job: &str) -> bool {
        let hash = job.rsplit_once('-').map(|(_, hash)| hash);
        self.names.contains(job) || hash.is_some_and(|hash| self.hashes.contains(hash))
    }
}

/// A temporary file this old has no writer any more.
const ABANDONED: Duration = Duration::from_hours(1);
/// The endings of the files that jobs leave.
const ENDINGS: [&str; 4] = [".json", ".diverged.safetensors", ".safetensors", ".log"];

fn stale_in(folder: &Path, living: &Living) -> Vec<Stale> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let stale = files.filter_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let job = ENDINGS
            .iter()
            .find_map(|ending| name.strip_suffix(ending))
            // The state of a job's n-th training.
            .or_else(|| name.rsplit_once(".training-").map(|(job, _)| job));
        // Files of other kinds are not ours.
        let stale = match name.starts_with(TEMPORARY) {
            // Another machine may be at it.
            true => entry.metadata().is_ok_and(|metadata| age(&metadata) > ABANDONED),
            false => job.is_some_and(|job| !living.has(job)),
        };
        stale.then(|| Stale {
            path: entry.path(),
            bytes: entry.metadata().map_or(0, |metadata| metadata.len()),
        })
    });
    stale.collect()
}

/// By the clocks as they are: a file from the future is new.
fn age(metadata: &std::fs::Metadata) -> Duration {
    let elapsed = metadata.modified().ok().and_then(|time| time.elapsed().ok());
    elapsed.unwrap_or_default()
}

fn show(stale: &[Stale], args: &GcArgs) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    let total: u64 = stale.iter().map(|file| file.bytes).sum();
    match args.format {
        StepFormat::Json => {
            let files: Vec<_> = stale
                .iter()
                .map(|file| json!({ "path": file.path, "bytes": file.bytes }))
                .collect();
            let document = json!({ "removed": !args.dry_run, "bytes": total, "files": files });
            writeln!(out, "{document:#}")?;
        }
        StepFormat::Human => {
            for file in stale {
                writeln!(out, "{:>12}  {}", file.bytes, file.path.display())?;
            }
            let verb = if args.dry_run {
                "would be removed"
            } else {
                "removed"
            };
            writeln!(out, "{} files, {total} bytes {verb}", stale.len())?;
        }
    }
    Ok(())
}
