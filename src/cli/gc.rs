//! `runner gc`: what belongs to no job any more, nor to anything that is queued or runs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::args::{GcArgs, Global, ManifestArgs, StepFormat};
use super::{CliError, output, setup};
use crate::files::{self, TEMPORARY};
use crate::result::{Claims, Owner, Store, StoreError, Survey, Timing};
use crate::schedule::slurm::Queue;

/// Runs the command.
pub fn run(args: &GcArgs, global: &Global) -> Result<(), CliError> {
    let mut stale = Vec::new();
    if let Some(experiment) = &args.experiment {
        stale.extend(one(experiment, args, global)?);
    } else {
        for name in setup::with_results(global) {
            stale.extend(one(&name, args, global)?);
        }
    }
    show(&stale, args)
}

/// What belongs to nothing any more: a file, or a folder with all that is in it.
struct Stale {
    path: PathBuf,
    files: usize,
    bytes: u64,
    what: What,
}

enum What {
    File,
    Folder,
    /// The last file of a claim, by its name; it goes with those before it.
    Claim(String),
}

impl Stale {
    fn file(path: PathBuf, what: What) -> Self {
        Self {
            bytes: path.metadata().map_or(0, |metadata| metadata.len()),
            files: 1,
            path,
            what,
        }
    }

    fn folder(path: PathBuf) -> Self {
        let (files, bytes) = size_of(&path);
        Self {
            path,
            files,
            bytes,
            what: What::Folder,
        }
    }
}

fn size_of(folder: &Path) -> (usize, u64) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.fold((0, 0), |(files, bytes), entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => {
            let inside = size_of(&entry.path());
            (files + inside.0, bytes + inside.1)
        }
        Ok(metadata) => (files + 1, bytes + metadata.len()),
        Err(_) => (files, bytes),
    })
}

/// Removes what is stale of one experiment, unless it is a dry run.
fn one(experiment: &str, args: &GcArgs, global: &Global) -> Result<Vec<Stale>, CliError> {
    let is_manifest = Path::new(experiment).extension().is_some_and(|ext| ext == "toml");
    let store = setup::store_of(experiment, global)?;
    // Whoever works here has files that are not yet anybody's.
    let claims = match store.claims().is_dir() {
        true => Some(Arc::new(Claims::open(&store.claims(), None, Timing::default())?)),
        false => None,
    };
    let survey = claims
        .as_ref()
        .map_or_else(Survey::default, |claims| survey(claims, &store));
    if let Some(owner) = survey.held.values().next() {
        return Err(held(&store, owner.as_ref()).into());
    }
    // From here on no `exec`, and no slice of one, begins.
    let _working = match &claims {
        Some(claims) if !args.dry_run => {
            let both = (
                claims.guard("exec", false, &mut |_| ())?,
                claims.guard("exec-prepares", false, &mut |_| ())?,
            );
            let began = |(name, _): &(String, Owner)| {
                !survey.stale.contains_key(name) && name != "exec" && name != "exec-prepares"
            };
            if let Some((_, owner)) = Claims::owners(&store.claims()).into_iter().find(began) {
                return Err(held(&store, Some(&owner)).into());
            }
            Some(both)
        }
        _ => None,
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
    let mut stale = submissions(&store, &mut living)?;
    for (name, files) in &survey.stale {
        let claim = |path: &PathBuf| Stale::file(path.clone(), What::Claim(name.clone()));
        stale.extend(files.iter().map(claim));
    }
    let folders = [
        store.records(),
        store.checkpoints(),
        store.predictions(),
        store.logs(),
    ];
    stale.extend(folders.iter().flat_map(|folder| stale_in(folder, &living)));
    stale.sort_by(|a, b| a.path.cmp(&b.path));
    if !args.dry_run {
        for found in &stale {
            remove(found, claims.as_deref())?;
        }
    }
    Ok(stale)
}

fn survey(claims: &Claims, store: &Store) -> Survey {
    claims.survey(&mut |owner| {
        output::info(format!(
            "{owner} may be working on `{}`: waiting up to {} s for a sign of it",
            store.root().display(),
            Timing::default().lease.as_secs()
        ));
    })
}

/// What was submitted to Slurm and has ended. The jobs of what has not, and those they need, are living.
fn submissions(store: &Store, living: &mut Living) -> Result<Vec<Stale>, CliError> {
    let mut queue = Queue::read(store)?;
    if let Some(error) = queue.silent.take() {
        output::warning(format!(
            "what was submitted to Slurm stays, as nobody says what of it has ended: {error}"
        ));
        for known in &queue.submissions {
            known.needed().for_each(|job| living.add(job));
        }
        return Ok(Vec::new());
    }
    let mut stale = Vec::new();
    let mut described = BTreeSet::new();
    for known in &queue.submissions {
        described.insert(known.folder.path().to_path_buf());
        if known.is_live() {
            known.needed().for_each(|job| living.add(job));
        } else {
            stale.push(Stale::folder(known.folder.path().to_path_buf()));
        }
    }
    // Of one who ended before anything could be submitted: whoever submits holds the claim that we do.
    for entry in std::fs::read_dir(store.submissions())
        .into_iter()
        .flatten()
        .flatten()
    {
        if !described.contains(&entry.path()) && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            stale.push(Stale::folder(entry.path()));
        }
    }
    Ok(stale)
}

fn remove(stale: &Stale, claims: Option<&Claims>) -> Result<(), CliError> {
    let removed = match &stale.what {
        What::File => std::fs::remove_file(&stale.path),
        What::Folder => std::fs::remove_dir_all(&stale.path),
        What::Claim(name) => {
            // Whoever has taken it meanwhile keeps it.
            claims.map(|claims| claims.clear(name)).transpose()?;
            return Ok(());
        }
    };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::Io {
            action: "remove",
            path: stale.path.clone(),
            source: error,
        }
        .into()),
        _ => Ok(()),
    }
}

fn held(store: &Store, owner: Option<&Owner>) -> StoreError {
    StoreError::Locked {
        path: store.root().to_path_buf(),
        owner: owner.map_or("its files are in use".to_string(), Owner::to_string),
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
            true => entry
                .metadata()
                .is_ok_and(|metadata| age(&metadata, folder) > ABANDONED),
            false => job.is_some_and(|job| !living.has(job)),
        };
        stale.then(|| Stale::file(entry.path(), What::File))
    });
    stale.collect()
}

/// By the clock of the file system, which gave the file its time; one from the future is new.
fn age(metadata: &std::fs::Metadata, folder: &Path) -> Duration {
    let now = files::time_there(folder).ok();
    let age = metadata.modified().ok().zip(now);
    let age = age.and_then(|(modified, now)| now.duration_since(modified).ok());
    age.unwrap_or_default()
}

fn show(stale: &[Stale], args: &GcArgs) -> Result<(), CliError> {
    let mut out = output::out();
    let total: u64 = stale.iter().map(|file| file.bytes).sum();
    match args.format {
        StepFormat::Json => {
            let files: Vec<_> = stale
                .iter()
                .map(|file| json!({ "path": file.path, "bytes": file.bytes }))
                .collect();
            let document = json!({ "removed": !args.dry_run, "bytes": total, "files": files });
            out.json(&document)?;
        }
        StepFormat::Human => {
            for file in stale {
                let folder = if matches!(file.what, What::Folder) {
                    "/"
                } else {
                    ""
                };
                writeln!(out, "{:>12}  {}{folder}", file.bytes, file.path.display())?;
            }
            let verb = if args.dry_run {
                "would be removed"
            } else {
                "removed"
            };
            let files: usize = stale.iter().map(|file| file.files).sum();
            writeln!(out, "{files} files, {total} bytes {verb}")?;
        }
    }
    Ok(())
}
