//! Looking at all claims of a folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Claim, Claims, Owner, SUCCEEDS, lock};
use crate::files;
use crate::result::StoreError;

/// What a look at all claims found out.
#[derive(Debug, Default)]
pub struct Survey {
    /// The claims that others have, and who that is where it is written down.
    pub held: BTreeMap<String, Option<Owner>>,
    /// The files of those that nobody has any more.
    pub stale: BTreeMap<String, Vec<PathBuf>>,
}

/// The files of one claim, and what is in them.
type Chain = Vec<(PathBuf, Vec<u8>)>;

/// What one look at a claim tells.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Held,
    Stale,
    /// Nothing yet: an owner on another machine may be about to renew it.
    Open,
}

impl Claims {
    /// Looks at all claims of others until it is clear which of them are held. Owners on this machine are seen to live; of
    /// others it is known once they renew their claims, or have not for a lease. `waiting` is called once if that takes more
    /// than a moment. Changes nothing.
    pub fn survey(&self, waiting: &mut dyn FnMut(&str)) -> Survey {
        let mut told = false;
        loop {
            let mut survey = Survey::default();
            let mut open = None;
            for (name, chain) in chains(&self.folder) {
                if lock(&self.held).contains_key(&name) {
                    continue;
                }
                let (verdict, owner) = self.judge(&name, &chain);
                match verdict {
                    Verdict::Held => {
                        survey.held.insert(name, owner);
                    }
                    Verdict::Stale => {
                        let files = chain.into_iter().map(|(path, _)| path).collect();
                        survey.stale.insert(name, files);
                    }
                    Verdict::Open => open = Some(owner.map_or("somebody".into(), |owner| owner.to_string())),
                }
            }
            let Some(owner) = open else { return survey };
            if !std::mem::replace(&mut told, true) {
                waiting(&owner);
            }
            std::thread::sleep(self.timing.beat.min(Duration::from_millis(200)));
        }
    }

    /// Removes a claim that a [`survey`](Self::survey) of these claims found stale, the way a successor does: of several
    /// who try, one. Returns whether it was stale still.
    pub fn clear(&self, name: &str) -> Result<bool, StoreError> {
        let ours = matches!(self.take(name)?, Claim::Ours);
        if ours {
            self.release(name);
        }
        Ok(ours)
    }

    /// The claims that Slurm jobs made, whether or not these still run: the claims of each, by its number.
    pub fn of_slurm_jobs(folder: &Path) -> BTreeMap<String, Vec<String>> {
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, chain) in chains(folder) {
            for (_, content) in &chain {
                if let Some(job) = owner_of(content).and_then(|owner| owner.slurm) {
                    found.entry(job).or_default().push(name.clone());
                }
            }
        }
        found
    }

    /// Judges the end of a chain; there are several only where somebody has meddled with the files.
    fn judge(&self, name: &str, chain: &Chain) -> (Verdict, Option<Owner>) {
        let mut found = (Verdict::Stale, None);
        for (path, content) in chain {
            let owner = owner_of(content);
            let next = self.successor(name, owner.as_ref(), content);
            if chain.iter().any(|(path, _)| *path == next) {
                continue;
            }
            let seen = self.watch(path, content);
            let is_local = owner.as_ref().is_some_and(|owner| owner.process.is_local());
            let verdict = match &owner {
                Some(owner) if owner.process.is_gone() => Verdict::Stale,
                _ if is_local => Verdict::Held,
                _ if seen.unchanged >= self.timing.lease => Verdict::Stale,
                _ if seen.changed => Verdict::Held,
                _ => Verdict::Open,
            };
            if verdict == Verdict::Held || (verdict == Verdict::Open && found.0 == Verdict::Stale) {
                found = (verdict, owner);
            }
        }
        found
    }
}

fn owner_of(content: &[u8]) -> Option<Owner> {
    serde_json::from_slice(content).ok()
}

/// All claims of a folder.
fn chains(folder: &Path) -> BTreeMap<String, Chain> {
    let mut chains: BTreeMap<String, Chain> = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        let name = file.split(SUCCEEDS).next().unwrap_or_default();
        // What is gone by now is none.
        if let Ok(content) = files::read(&entry.path()) {
            chains
                .entry(name.to_string())
                .or_default()
                .push((entry.path(), content));
        }
    }
    for chain in chains.values_mut() {
        chain.sort();
    }
    chains
}
