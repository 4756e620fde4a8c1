//! `runner gc`: what belongs to no job any more, nor to anything that is queued or runs.
//!
//! Only what the experiment's own index and ledger name is removed: a file that somebody else has put there stays, however
//! it is called. Links are not followed. What stays for such a reason is listed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::args::{GcArgs, Global, ManifestArgs, StepFormat};
use super::{CliError, output, setup};
use crate::files::{self, TEMPORARY, natural_paths};
use crate::result::{Claims, Owner, Store, StoreError, Survey, Timing};
use crate::schedule::slurm::{Folder, Queue};

/// Runs the command.
pub fn run(args: &GcArgs, global: &Global) -> Result<(), CliError> {
    let mut found = Found::default();
    if let Some(experiment) = &args.experiment {
        one(experiment, args, global, &mut found)?;
    } else {
        for name in setup::with_results(global) {
            let folder = global.results.join(&name);
            match folder.is_symlink() {
                true => found.leave(folder, LINK),
                false => one(&name, args, global, &mut found)?,
            }
        }
    }
    show(&found, args)
}

/// What was found that is nobody's.
#[derive(Default)]
struct Found {
    stale: Vec<Stale>,
    left: Vec<Left>,
}

impl Found {
    fn leave(&mut self, path: PathBuf, why: &'static str) {
        self.left.push(Left { path, why });
    }
}

/// Something that stays, as this experiment may not have made it.
struct Left {
    path: PathBuf,
    why: &'static str,
}

const LINK: &str = "is a link";
const FOREIGN: &str = "neither the index nor the ledger names it";

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
fn one(experiment: &str, args: &GcArgs, global: &Global, found: &mut Found) -> Result<(), CliError> {
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
            unset: Vec::new(),
            device: "cpu".into(),
        };
        for job in setup::experiment(&manifest, global)?.plan.jobs {
            living.add(job.name.clone());
        }
    }
    let mut here = Found::default();
    if is_inside(&store.submissions(), &store, &mut here) {
        submissions(&store, &mut living, &mut here)?;
    }
    if is_inside(&store.claims(), &store, &mut here) {
        for (name, files) in &survey.stale {
            let claim = |path: &PathBuf| Stale::file(path.clone(), What::Claim(name.clone()));
            here.stale.extend(files.iter().map(claim));
        }
    }
    let made: BTreeSet<&str> = store.known().map(|(job, _)| job).collect();
    for folder in [
        store.records(),
        store.earlier(),
        store.checkpoints(),
        store.predictions(),
        store.logs(),
    ] {
        if is_inside(&folder, &store, &mut here) {
            sort_out(&folder, &living, &made, &mut here);
        }
    }
    here.stale.sort_by(|a, b| natural_paths(&a.path, &b.path));
    here.left.sort_by(|a, b| natural_paths(&a.path, &b.path));
    here.left.dedup_by(|a, b| a.path == b.path);
    if !args.dry_run {
        for stale in &here.stale {
            remove(stale, claims.as_deref())?;
        }
    }
    found.stale.append(&mut here.stale);
    found.left.append(&mut here.left);
    Ok(())
}

/// Whether a folder of the store is in it, and not somewhere else by a link.
fn is_inside(folder: &Path, store: &Store, found: &mut Found) -> bool {
    let below = folder.ancestors().take_while(|path| *path != store.root());
    match below.filter(|path| path.is_symlink()).last() {
        None => true,
        Some(link) => {
            found.leave(link.to_path_buf(), LINK);
            false
        }
    }
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
fn submissions(store: &Store, living: &mut Living, found: &mut Found) -> Result<(), CliError> {
    let mut queue = Queue::read(store)?;
    if let Some(error) = queue.silent.take() {
        output::warning(format!(
            "what was submitted to Slurm stays, as nobody says what of it has ended: {error}"
        ));
        for known in &queue.submissions {
            known.needed().for_each(|job| living.add(job));
        }
        return Ok(());
    }
    let mut described = BTreeSet::new();
    for known in &queue.submissions {
        described.insert(known.folder.path().to_path_buf());
        if known.is_live() {
            known.needed().for_each(|job| living.add(job));
        } else if known.folder.path().is_symlink() {
            found.leave(known.folder.path().to_path_buf(), LINK);
        } else {
            found.stale.push(Stale::folder(known.folder.path().to_path_buf()));
        }
    }
    // Of one who ended before anything could be submitted: whoever submits holds the claim that we do.
    for entry in std::fs::read_dir(store.submissions())
        .into_iter()
        .flatten()
        .flatten()
    {
        let path = entry.path();
        if described.contains(&path) {
            continue;
        }
        match entry.file_type() {
            Ok(kind) if kind.is_symlink() => found.leave(path, LINK),
            Ok(kind) if kind.is_dir() && Folder::at(&path).is_begun() => {
                found.stale.push(Stale::folder(path));
            }
            _ => found.leave(path, "is no submission"),
        }
    }
    Ok(())
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
        if let Some(hash) = digits(&job) {
            self.hashes.insert(hash.to_string());
        }
        self.names.insert(job);
    }

    fn has(&self, job: &str) -> bool {
        self.names.contains(job) || digits(job).is_some_and(|hash| self.hashes.contains(hash))
    }
}

/// The first eight digits of the key at the end of a job's name: earlier versions had no more.
fn digits(job: &str) -> Option<&str> {
    let (_, hash) = job.rsplit_once('-')?;
    Some(hash.get(..8).unwrap_or(hash))
}

/// A temporary file this old has no writer any more.
const ABANDONED: Duration = Duration::from_hours(1);
/// The endings of the files that jobs leave.
const ENDINGS: [&str; 4] = [".json", ".diverged.safetensors", ".safetensors", ".log"];

/// The job that a file of this name is of.
fn job_of(name: &str) -> Option<&str> {
    let job = ENDINGS.iter().find_map(|ending| name.strip_suffix(ending));
    // The state of a job's n-th training.
    job.or_else(|| name.rsplit_once(".training-").map(|(job, _)| job))
}

/// The name that a temporary file was to get.
fn intended(name: &str) -> Option<&str> {
    name.strip_prefix(TEMPORARY)?.splitn(3, '-').nth(2)
}

/// What of a folder is of no job any more, and what never was.
fn sort_out(folder: &Path, living: &Living, made: &BTreeSet<&str>, found: &mut Found) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let kind = entry.file_type();
        let temporary = intended(&name);
        let job = job_of(temporary.unwrap_or(&name));
        let lives = job.is_some_and(|job| living.has(job));
        let is_ours = lives || job.is_some_and(|job| made.contains(job)) || temporary == Some("clock");
        let is_old = || {
            entry
                .metadata()
                .is_ok_and(|metadata| age(&metadata, folder) > ABANDONED)
        };
        match kind {
            Ok(kind) if kind.is_symlink() && !lives => found.leave(path, LINK),
            Ok(kind) if kind.is_file() && !is_ours => found.leave(path, FOREIGN),
            Ok(kind) if kind.is_dir() => found.leave(path, "is a folder"),
            Ok(kind) if !kind.is_file() => {}
            // Another machine may be at it.
            Ok(_) if temporary.is_some() && !is_old() => {}
            Ok(_) if temporary.is_some() || !lives => found.stale.push(Stale::file(path, What::File)),
            _ => {}
        }
    }
}

/// By the clock of the file system, which gave the file its time; one from the future is new.
fn age(metadata: &std::fs::Metadata, folder: &Path) -> Duration {
    let now = files::time_there(folder).ok();
    let age = metadata.modified().ok().zip(now);
    let age = age.and_then(|(modified, now)| now.duration_since(modified).ok());
    age.unwrap_or_default()
}

/// How many files that stay are named one by one.
const NAMED: usize = 20;

fn show(found: &Found, args: &GcArgs) -> Result<(), CliError> {
    let mut out = output::out();
    let total: u64 = found.stale.iter().map(|file| file.bytes).sum();
    match args.format {
        StepFormat::Json => {
            let files = found.stale.iter();
            let files: Vec<_> = files
                .map(|file| json!({ "path": file.path, "bytes": file.bytes }))
                .collect();
            let left = found.left.iter();
            let left: Vec<_> = left
                .map(|left| json!({ "path": left.path, "why": left.why }))
                .collect();
            let document = json!({ "removed": !args.dry_run, "bytes": total, "files": files, "left": left });
            out.json(&document)?;
        }
        StepFormat::Human => {
            for file in &found.stale {
                let folder = if matches!(file.what, What::Folder) {
                    "/"
                } else {
                    ""
                };
                writeln!(out, "{:>12}  {}{folder}", file.bytes, file.path.display())?;
            }
            for left in found.left.iter().take(NAMED) {
                writeln!(out, "{:>12}  {}: {}", "left", left.path.display(), left.why)?;
            }
            if let Some(more) = found.left.len().checked_sub(NAMED).filter(|more| *more > 0) {
                writeln!(out, "{:>12}  {more} more; `--format json` lists all", "left")?;
            }
            let verb = if args.dry_run {
                "would be removed"
            } else {
                "removed"
            };
            let files: usize = found.stale.iter().map(|file| file.files).sum();
            writeln!(out, "{files} files, {total} bytes {verb}")?;
        }
    }
    Ok(())
}
