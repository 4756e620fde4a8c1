//! What was known of the records when they were written or last read: a cache that spares reading them again.
//!
//! `cache/ledger` is text, one line per record as it was written; later lines win:
//!
//! | field | what |
//! | --- | --- |
//! | name | of the job |
//! | key | of the job |
//! | status | `ok`, `failed`, `skipped` |
//! | hash | blake3 of the record's file |
//! | place | [`Place::digest`] |
//! | seconds | that the job took |
//! | size, modified | of the record's file: bytes, nanoseconds since 1970 |
//! | check | first 8 hex digits of the blake3 of the line so far |
//!
//! Nothing here is believed by itself: whoever needs to be sure reads the record's file and compares its hash. That is
//! as good as checking the record's own seal, and much cheaper. A line that is not whole is none.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use rayon::prelude::*;

use super::{Place, Record, Status};
use crate::files::{self, Sink};

const HEAD: &str = "runner-ledger 1\n";

/// What the ledger knows of one record.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// Key of the job.
    pub key: blake3::Hash,
    /// How it ended.
    pub status: Status,
    /// blake3 of the record's file.
    pub hash: blake3::Hash,
    /// [`Place::digest`].
    pub place: u64,
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Size and time of the record's file.
    pub stamp: Stamp,
}

/// Size and time of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    size: u64,
    /// Nanoseconds since 1970; 0 where the system does not say.
    modified: u64,
}

impl Stamp {
    /// Of a file; `None` where there is none.
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        let modified = metadata
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Some(Self {
            size: metadata.len(),
            modified: modified.map_or(0, |since| since.as_nanos() as u64),
        })
    }
}

/// The ledger of a results folder.
#[derive(Debug)]
pub struct Ledger {
    known: HashMap<String, Known>,
    path: PathBuf,
    /// Whether lines may be added.
    open: bool,
    /// Opened at the first line.
    sink: Mutex<Option<Sink>>,
}

impl Ledger {
    /// Reads the file at `path`; what is not there or not whole is not known.
    pub fn read(path: &Path) -> Self {
        Self::parse(path).0
    }

    /// Reads the file, and writes it anew if most of it is out of date or its end is torn. Only for the one who holds the
    /// folder's lock.
    pub fn open(path: &Path) -> Self {
        let (mut ledger, lines, torn) = Self::parse(path);
        ledger.open = true;
        if torn || lines > 2 * ledger.known.len() + 1000 {
            let mut names: Vec<&String> = ledger.known.keys().collect();
            names.sort_unstable();
            let text: String = std::iter::once(HEAD.to_string())
                .chain(names.into_iter().map(|name| line(name, &ledger.known[name])))
                .collect();
            // Without it the next time takes longer, that is all.
            let _ = files::write_soon(path, &[text.as_bytes()]);
        }
        ledger
    }

    /// The ledger, the number of lines, and whether the last one lacks its end.
    fn parse(path: &Path) -> (Self, usize, bool) {
        let text = std::fs::read(path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.strip_prefix(HEAD).unwrap_or_default().lines().collect();
        let entries: Vec<Option<(String, Known)>> = lines.par_iter().map(|line| entry(line)).collect();
        let torn = !text.is_empty() && (!text.starts_with(HEAD) || entries.iter().any(Option::is_none));
        let ledger = Self {
            known: entries.into_iter().flatten().collect(),
            path: path.to_path_buf(),
            open: false,
            sink: Mutex::new(None),
        };
        (
            ledger,
            lines.len(),
            torn || (!text.is_empty() && !text.ends_with('\n')),
        )
    }

    /// What is known of the job's record.
    pub fn get(&self, job: &str) -> Option<&Known> {
        self.known.get(job)
    }

    /// What is known of all, in no order that means anything.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Known)> {
        self.known.iter().map(|(job, known)| (job.as_str(), known))
    }

    /// Adds a record, whose file holds `bytes`, unless the ledger is only read. A ledger that cannot be written is no reason for anything to stop.
    pub fn note(&self, record: &Record, bytes: &[u8], file: &Path) {
        if !self.open {
            return;
        }
        let (Ok(key), Some(stamp)) = (blake3::Hash::from_hex(&record.key), Stamp::of(file)) else {
            return;
        };
        let known = Known {
            key,
            status: record.status,
            hash: blake3::hash(bytes),
            place: Place::from(record).digest(),
            seconds: record.seconds.get("total").copied().unwrap_or_default(),
            stamp,
        };
        let line = line(&record.job, &known);
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        if sink.is_none() {
            *sink = files::append(&self.path).ok();
            let empty = std::fs::metadata(&self.path).is_ok_and(|metadata| metadata.len() == 0);
            if let (true, Some(sink)) = (empty, sink.as_mut()) {
                let _ = sink.write_all(HEAD.as_bytes());
            }
        }
        if let Some(open) = sink.as_mut()
            && open.write_all(line.as_bytes()).is_err()
        {
            // Half a line may be there: nothing must follow it on the same line.
            let _ = open.write_all(b"\n");
        }
    }
}

fn line(job: &str, known: &Known) -> String {
    let mut line = String::with_capacity(320);
    let Stamp { size, modified } = known.stamp;
    let _ = write!(
        line,
        "{job}\t{}\t{}\t{}\t{:016x}\t{}\t{size}\t{modified}",
        known.key.to_hex(),
        known.status.as_str(),
        known.hash.to_hex(),
        known.place,
        known.seconds,
    );
    let check = check(&line);
    line.push('\t');
    line.push_str(&check);
    line.push('\n');
    line
}

fn check(line: &str) -> String {
    blake3::hash(line.as_bytes()).to_hex()[..8].to_string()
}

fn entry(line: &str) -> Option<(String, Known)> {
    let (line, found) = line.rsplit_once('\t')?;
    if found != check(line) {
        return None;
    }
    let mut fields = line.split('\t');
    let mut next = || fields.next();
    let job = next()?.to_string();
    let known = Known {
        key: blake3::Hash::from_hex(next()?).ok()?,
        status: Status::from_name(next()?)?,
        hash: blake3::Hash::from_hex(next()?).ok()?,
        place: u64::from_str_radix(next()?, 16).ok()?,
        seconds: next()?.parse().ok()?,
        stamp: Stamp {
            size: next()?.parse().ok()?,
            modified: next()?.parse().ok()?,
        },
    };
    Some((job, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_written_and_torn_or_changed_ones_are_none() {
        let known = Known {
            key: blake3::hash(b"key"),
            status: Status::Failed,
            hash: blake3::hash(b"file"),
            place: 77,
            seconds: 0.125,
            stamp: Stamp {
                size: 5,
                modified: 1_700_000_000_000_000_001,
            },
        };
        let text = line("fuse-x", &known);
        let text = text.trim_end();
        assert_eq!(entry(text), Some(("fuse-x".to_string(), known)));
        for end in 0..text.len() {
            assert_eq!(entry(&text[..end]), None, "{end}");
        }
        for at in 0..text.len() {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at] ^= 1;
            if let Ok(changed) = std::str::from_utf8(&bytes) {
                assert_eq!(entry(changed), None, "{at}");
            }
        }
    }
}
