//! Who works on what, in a folder that several machines share.
//!
//! Locks of the file system are not trusted to reach across machines; creating a file that must not exist is. A claim
//! on `NAME` is the file `claims/NAME`, made by its owner. The owner rewrites it every few seconds, and whoever wants
//! the claim looks whether the content changes *while it looks*: clocks of different machines are never compared. A
//! claim whose content stays the same for a [`Timing::lease`], or whose owner is seen to have ended, is stale.
//!
//! A stale claim is not removed, as somebody else may be doing the same and remove its successor's. It is succeeded:
//! the next owner makes `claims/NAME~ID`, where `ID` is the identifier of the stale claim, random and never used again.
//! Only one can make that file, and the owner is always the last of the chain. The last owner removes the chain from
//! its beginning.
//!
//! A claim keeps work from being done twice; it is not what makes results right. An owner that stood still for longer
//! than the lease may go on beside its successor. Both then write the same record, each as a whole.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{StoreError, create_dir};
use crate::files;
use crate::process::Process;

mod survey;

pub use survey::Survey;

/// Separates a claim's name from the identifier of the one it succeeds; no job's name has it.
const SUCCEEDS: char = '~';

/// How often claims are renewed, and when they count as stale.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// An owner rewrites its claims so often.
    pub beat: Duration,
    /// A claim that has not changed for so long, by the observer's clock, is stale.
    pub lease: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            beat: Duration::from_secs(5),
            lease: Duration::from_mins(1),
        }
    }
}

/// Who has a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Which process.
    #[serde(flatten)]
    pub process: Process,
    /// The Slurm job it runs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slurm: Option<String>,
    /// The claim's own identifier.
    pub id: String,
    /// How often it was renewed, in ten digits: the file's length never changes.
    pub beat: String,
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {}", self.process.pid)?;
        if !self.process.is_local() {
            write!(f, " on {}", self.process.host)?;
        }
        match &self.slurm {
            Some(job) => write!(f, ", Slurm job {job}"),
            None => Ok(()),
        }
    }
}

/// What came of asking for a claim.
#[derive(Debug)]
pub enum Claim {
    /// It is ours until it is released, or this process ends.
    Ours,
    /// Somebody has it.
    Theirs {
        /// Who; unknown where the claim is still being written.
        owner: Option<Owner>,
        /// Whether the owner has been seen alive; one of another machine is known to be only once it renews the claim.
        alive: bool,
    },
}

/// The claims of one folder: those this process has, and what it has seen of those of others.
#[derive(Debug)]
pub struct Claims {
    folder: PathBuf,
    timing: Timing,
    slurm: Option<String>,
    held: Arc<Mutex<BTreeMap<String, Held>>>,
    seen: Mutex<BTreeMap<PathBuf, Seen>>,
    /// Hanging up ends the thread that renews.
    _renewing: Sender<()>,
}

/// One of ours.
#[derive(Debug)]
struct Held {
    file: File,
    owner: Owner,
    /// Stale claims it succeeds, oldest first, then itself.
    chain: Vec<PathBuf>,
}

/// One of somebody else's.
#[derive(Debug)]
struct Seen {
    content: Vec<u8>,
    since: Instant,
    changed: bool,
}

/// Releases a claim when dropped.
#[derive(Debug)]
pub struct Guard {
    claims: Arc<Claims>,
    name: String,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.claims.release(&self.name);
    }
}

impl Claims {
    /// The claims in `folder`, which is made. `slurm` is the Slurm job this process is part of.
    pub fn open(folder: &Path, slurm: Option<String>, timing: Timing) -> Result<Self, StoreError> {
        create_dir(folder)?;
        let held: Arc<Mutex<BTreeMap<String, Held>>> = Arc::default();
        let (renewing, ended) = channel();
        let ours = held.clone();
        std::thread::Builder::new()
            .name("claims".into())
            .spawn(move || {
                while matches!(ended.recv_timeout(timing.beat), Err(RecvTimeoutError::Timeout)) {
                    lock(&ours).values_mut().for_each(Held::renew);
                }
            })
            .map_err(|source| StoreError::io("start a thread for", folder, source))?;
        Ok(Self {
            folder: folder.to_path_buf(),
            timing,
            slurm,
            held,
            seen: Mutex::default(),
            _renewing: renewing,
        })
    }

    /// Asks for a claim, once. A claim that is ours already is not given a second time.
    pub fn take(&self, name: &str) -> Result<Claim, StoreError> {
        let mut chain: Vec<(PathBuf, Vec<u8>)> = Vec::new();
        let mut path = self.folder.join(name);
        loop {
            match self.make(&path) {
                Ok((file, owner)) => {
                    // A chain that was removed meanwhile has no end to be.
                    let unchanged = |(path, content): &(PathBuf, Vec<u8>)| {
                        files::read(path).is_ok_and(|now| now == *content)
                    };
                    if !chain.iter().all(unchanged) {
                        remove(&path);
                        path = self.folder.join(name);
                        chain.clear();
                        continue;
                    }
                    let mut paths: Vec<PathBuf> = chain.into_iter().map(|(path, _)| path).collect();
                    let mut seen = lock(&self.seen);
                    for path in &paths {
                        seen.remove(path);
                    }
                    paths.push(path);
                    let held = Held {
                        file,
                        owner,
                        chain: paths,
                    };
                    lock(&self.held).insert(name.to_string(), held);
                    return Ok(Claim::Ours);
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(StoreError::io("claim", &path, error)),
            }
            let content = match files::read(&path) {
                Ok(content) => content,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    path = self.folder.join(name);
                    chain.clear();
                    continue;
                }
                Err(error) => return Err(StoreError::io("read", &path, error)),
            };
            let owner: Option<Owner> = serde_json::from_slice(&content).ok();
            let next = self.successor(name, owner.as_ref(), &content);
            let gone = owner.as_ref().is_some_and(|owner| owner.process.is_gone());
            let seen = self.watch(&path, &content);
            if !next.exists() && !gone && seen.unchanged < self.timing.lease {
                let local = owner.as_ref().is_some_and(|owner| owner.process.is_local());
                return Ok(Claim::Theirs {
                    owner,
                    alive: local || seen.changed,
                });
            }
            chain.push((path, content));
            path = next;
        }
    }

    /// Asks for a claim until it is clear whether somebody alive has it, for a lease at most; with `wait`, until it is
    /// ours. `waiting` is called once if that takes more than a moment.
    pub fn guard(
        self: &Arc<Self>,
        name: &str,
        wait: bool,
        waiting: &mut dyn FnMut(&str),
    ) -> Result<Guard, StoreError> {
        let mut told = false;
        loop {
            let (owner, alive) = match self.take(name)? {
                Claim::Ours => {
                    return Ok(Guard {
                        claims: self.clone(),
                        name: name.to_string(),
                    });
                }
                Claim::Theirs { owner, alive } => (owner, alive),
            };
            let owner = owner.map_or("somebody".to_string(), |owner| owner.to_string());
            if alive && !wait {
                return Err(StoreError::Locked {
                    path: self.root(),
                    owner,
                });
            }
            if !std::mem::replace(&mut told, true) {
                waiting(&owner);
            }
            std::thread::sleep(self.timing.beat.min(Duration::from_millis(200)));
        }
    }

    /// Gives a claim of ours back.
    pub fn release(&self, name: &str) {
        let held = lock(&self.held).remove(name);
        if let Some(held) = held {
            held.chain.iter().for_each(|path| remove(path));
        }
    }

    /// Gives all claims of ours back.
    pub fn release_all(&self) {
        let held = std::mem::take(&mut *lock(&self.held));
        for path in held.values().flat_map(|held| &held.chain) {
            remove(path);
        }
    }

    /// The claims that others have, as far as one look tells: owners that are known to have ended are left out.
    pub fn owners(folder: &Path) -> BTreeMap<String, Owner> {
        let mut all: BTreeMap<String, Owner> = BTreeMap::new();
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let file = entry.file_name().to_string_lossy().into_owned();
            let owner = files::read(&entry.path())
                .ok()
                .and_then(|content| serde_json::from_slice::<Owner>(&content).ok());
            if let Some(owner) = owner {
                all.insert(file, owner);
            }
        }
        let succeeded =
            |name: &str, owner: &Owner| all.contains_key(&format!("{name}{SUCCEEDS}{}", owner.id));
        let name = |file: &str| file.split(SUCCEEDS).next().unwrap_or_default().to_string();
        all.iter()
            .filter(|(file, owner)| !owner.process.is_gone() && !succeeded(&name(file), owner))
            .map(|(file, owner)| (name(file), owner.clone()))
            .collect()
    }

    /// Whether an `exec`, or a slice of one, is working on the results of these claims, as far as one look tells.
    pub fn is_worked_on(folder: &Path) -> bool {
        let owners = Self::owners(folder);
        owners
            .keys()
            .any(|name| name == "exec" || name.starts_with("exec-slice-"))
    }

    /// Whether a living process of this machine is.
    pub fn is_worked_on_here(folder: &Path) -> bool {
        let owners = Self::owners(folder);
        owners.iter().any(|(name, owner)| {
            (name == "exec" || name.starts_with("exec-slice-")) && owner.process.is_local()
        })
    }

    /// The results folder: two above that of the claims.
    fn root(&self) -> PathBuf {
        let root = self.folder.parent().and_then(Path::parent);
        root.unwrap_or(&self.folder).to_path_buf()
    }

    /// Makes the file of a claim, which must not be there.
    fn make(&self, path: &Path) -> std::io::Result<(File, Owner)> {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).open(path)?;
        let owner = Owner {
            process: Process::current().clone(),
            slurm: self.slurm.clone(),
            id: Process::unique(),
            beat: format!("{:010}", 0),
        };
        let written = file.write_all(&serde_json::to_vec(&owner)?);
        if let Err(error) = written {
            remove(path);
            return Err(error);
        }
        Ok((file, owner))
    }

    /// Where the claim after this one is made.
    fn successor(&self, name: &str, owner: Option<&Owner>, content: &[u8]) -> PathBuf {
        let id = match owner {
            Some(owner) => owner.id.clone(),
            // Its owner ended before it had written itself down.
            None => blake3::hash(content).to_hex()[..16].to_string(),
        };
        self.folder.join(format!("{name}{SUCCEEDS}{id}"))
    }

    fn watch(&self, path: &Path, content: &[u8]) -> Watched {
        let mut seen = lock(&self.seen);
        let entry = seen.entry(path.to_path_buf()).or_insert_with(|| Seen {
            content: content.to_vec(),
            since: Instant::now(),
            changed: false,
        });
        if entry.content != content {
            *entry = Seen {
                content: content.to_vec(),
                since: Instant::now(),
                changed: true,
            };
        }
        Watched {
            unchanged: entry.since.elapsed(),
            changed: entry.changed,
        }
    }
}

struct Watched {
    unchanged: Duration,
    changed: bool,
}

impl Held {
    /// Rewrites the file in place, through the handle it was made with: should somebody have succeeded this claim, it
    /// is not theirs that is written to. A beat that fails is made up for by the next.
    fn renew(&mut self) {
        let beat: u64 = self.owner.beat.parse().unwrap_or_default();
        self.owner.beat = format!("{:010}", beat + 1);
        if let Ok(content) = serde_json::to_vec(&self.owner) {
            let _ = self
                .file
                .rewind()
                .and_then(|()| self.file.write_all(&content))
                .and_then(|()| self.file.sync_data());
        }
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        self.release_all();
    }
}

/// What is not there any more need not be removed, and what cannot be removed becomes stale.
fn remove(path: &Path) {
    let _ = fs::remove_file(path);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
