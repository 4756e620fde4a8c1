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
//!
//! Adding to the end of a file is no single step everywhere: two nodes that do it over NFS at once write over each other.
//! So no two of them have the same file. `cache/ledger` belongs to the one who holds the folder's claim. Whoever works
//! beside it (slices, tasks on Slurm) has a file of its own in `cache/ledgers/`, called by its process; the next holder of
//! the claim takes those over and removes them. A line that is written just then is lost, and with it some time.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::{Place, Record, Status};
use crate::files::{self, Sink, Stamp};
use crate::process::Process;

const HEAD: &str = "runner-ledger 2\n";

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
    /// The record's file as it was.
    pub stamp: Stamp,
}

/// Where a ledger lies.
#[derive(Debug, Clone)]
pub struct Paths {
    /// The file of the one who holds the folder's claim.
    pub main: PathBuf,
    /// The folder of the files of those who work beside it.
    pub others: PathBuf,
}

impl Paths {
    /// The file of this process, if it works beside the holder of the claim.
    fn own(&self) -> PathBuf {
        self.others.join(Process::current().tag())
    }

    /// Those that there are of others and of this process.
    fn others(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.others).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.sort_unstable();
        paths
    }
}

/// The ledger of a results folder.
#[derive(Debug)]
pub struct Ledger {
    known: HashMap<String, Known>,
    adds: Adds,
}

/// Where lines are added.
#[derive(Debug)]
enum Adds {
    Nowhere,
    /// To a file that nobody else writes to; opened at the first line.
    Main(PathBuf, Mutex<Option<Sink>>),
    /// To a file that may be taken over between any two lines.
    Own(PathBuf),
}

impl Ledger {
    /// Reads all that is there; what is not there or not whole is not known.
    pub fn read(paths: &Paths) -> Self {
        Self {
            known: Found::read(paths).known,
            adds: Adds::Nowhere,
        }
    }

    /// Reads all that is there, and writes the main file anew if there are others, if most of it is out of date, or if its
    /// end is torn. Only for the one who holds the folder's claim.
    pub fn open(paths: &Paths) -> Self {
        let found = Found::read(paths);
        if found.torn || !found.others.is_empty() || found.lines > 2 * found.known.len() + 1000 {
            let mut names: Vec<&String> = found.known.keys().collect();
            names.sort_unstable();
            let text: String = std::iter::once(HEAD.to_string())
                .chain(names.into_iter().map(|name| line(name, &found.known[name])))
                .collect();
            // Without it the next time takes longer, that is all.
            if files::write_soon(&paths.main, &[text.as_bytes()]).is_ok() {
                for path in &found.others {
                    let _ = fs::remove_file(path);
                }
            }
        }
        Self {
            known: found.known,
            adds: Adds::Main(paths.main.clone(), Mutex::default()),
        }
    }

    /// Reads all that is there, for one who works beside others.
    pub fn beside(paths: &Paths) -> Self {
        Self {
            adds: Adds::Own(paths.own()),
            ..Self::read(paths)
        }
    }

    /// For one who works beside others, on a few jobs: reads nothing.
    pub fn blank(paths: &Paths) -> Self {
        Self {
            known: HashMap::new(),
            adds: Adds::Own(paths.own()),
        }
    }

    /// What is known of the job's record.
    pub fn get(&self, job: &str) -> Option<&Known> {
        self.known.get(job)
    }

    /// What is known of all, in no order that means anything.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Known)> {
        self.known.iter().map(|(job, known)| (job.as_str(), known))
    }

    /// Adds a record, whose file holds `bytes`, unless the ledger is only read. A ledger that cannot be written is no reason
    /// for anything to stop.
    pub fn note(&self, record: &Record, bytes: &[u8], file: &Path) {
        if matches!(self.adds, Adds::Nowhere) {
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
        match &self.adds {
            Adds::Nowhere => {}
            Adds::Main(path, sink) => {
                let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
                if sink.is_none() {
                    *sink = files::append(path).ok();
                    begin(path, sink.as_mut());
                }
                add(sink.as_mut(), &line);
            }
            Adds::Own(path) => {
                let _ = path.parent().map(fs::create_dir_all);
                let mut sink = files::append(path).ok();
                begin(path, sink.as_mut());
                add(sink.as_mut(), &line);
            }
        }
    }
}

/// Writes the first line of a file that has none.
fn begin(path: &Path, sink: Option<&mut Sink>) {
    let empty = fs::metadata(path).is_ok_and(|metadata| metadata.len() == 0);
    if let (true, Some(sink)) = (empty, sink) {
        let _ = sink.write_all(HEAD.as_bytes());
    }
}

fn add(sink: Option<&mut Sink>, line: &str) {
    if let Some(sink) = sink
        && sink.write_all(line.as_bytes()).is_err()
    {
        // Half a line may be there: nothing must follow it on the same line.
        let _ = sink.write_all(b"\n");
    }
}

/// What is in the files of a ledger.
struct Found {
    known: HashMap<String, Known>,
    others: Vec<PathBuf>,
    /// Lines of the main file.
    lines: usize,
    /// Whether one of them is not whole.
    torn: bool,
}

impl Found {
    fn read(paths: &Paths) -> Self {
        let text = files::read(&paths.main).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let entries = entries(&text);
        let torn = !text.is_empty()
            && (!text.starts_with(HEAD) || !text.ends_with('\n') || entries.iter().any(Option::is_none));
        let lines = entries.len();
        let others = paths.others();
        let texts: Vec<Vec<u8>> = others
            .par_iter()
            .map(|path| files::read(path).unwrap_or_default())
            .collect();
        let mut known: HashMap<String, Known> = entries.into_iter().flatten().collect();
        for text in &texts {
            known.extend(
                self::entries(&String::from_utf8_lossy(text))
                    .into_iter()
                    .flatten(),
            );
        }
        Self {
            known,
            others,
            lines,
            torn,
        }
    }
}

/// One for each line; `None` where it is not whole.
fn entries(text: &str) -> Vec<Option<(String, Known)>> {
    let lines: Vec<&str> = text.strip_prefix(HEAD).unwrap_or_default().lines().collect();
    lines.par_iter().map(|line| entry(line)).collect()
}

fn line(job: &str, known: &Known) -> String {
    let mut line = String::with_capacity(320);
    let Stamp {
        size,
        modified,
        changed,
        inode,
    } = known.stamp;
    let _ = write!(
        line,
        "{job}\t{}\t{}\t{}\t{:016x}\t{}\t{size}\t{modified}\t{changed}\t{inode}",
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
            changed: next()?.parse().ok()?,
            inode: next()?.parse().ok()?,
        },
    };
    Some((job, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_works_beside_others_has_a_file_of_its_own_that_the_next_one_takes_over() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let at = |name: &str| folder.path().join(name);
        let paths = Paths {
            main: at("ledger"),
            others: at("ledgers"),
        };
        fs::create_dir(&paths.others).expect("a folder");
        let known = |size| Known {
            key: blake3::hash(b"key"),
            status: Status::Ok,
            hash: blake3::hash(b"file"),
            place: 0,
            seconds: 1.0,
            stamp: Stamp {
                size,
                modified: 0,
                changed: 0,
                inode: 0,
            },
        };
        let write = |path: &Path, lines: &[String]| {
            let text = format!("{HEAD}{}", lines.concat());
            files::write_atomic(path, &[text.as_bytes()]).expect("written");
        };
        let size = |ledger: &Ledger, job| ledger.get(job).map(|known| known.stamp.size);
        write(&paths.main, &[line("a", &known(1)), line("b", &known(2))]);
        write(&paths.others.join("n1"), &[line("c", &known(3))]);
        // Two nodes wrote over each other all the same.
        let torn = line("d", &known(4));
        write(
            &paths.others.join("n2"),
            &[torn[9..].to_string(), line("b", &known(5))],
        );
        for ledger in [
            Ledger::read(&paths),
            Ledger::beside(&paths),
            Ledger::open(&paths),
            Ledger::read(&paths),
        ] {
            let found = ["a", "b", "c", "d"].map(|job| size(&ledger, job));
            assert_eq!(found, [Some(1), Some(5), Some(3), None]);
        }
        assert_eq!(paths.others(), Vec::<PathBuf>::new(), "taken over");

        // Taken over between two lines.
        let own = Ledger::blank(&paths);
        assert_eq!(size(&own, "a"), None);
        let record = |job: &str| {
            let text = serde_json::json!({
                "schema": 2, "key": blake3::hash(b"key").to_hex().as_str(), "job": job, "kind": "train", "status": "ok",
                "axes": {}, "seed": 1, "parts": 2, "models": [], "settings": {}, "inputs": [], "seconds": {},
                "provenance": { "runner": "", "started": "", "device": "cpu", "manifest-hash": "" }, "checksum": "",
            });
            serde_json::from_value::<Record>(text).expect("a record")
        };
        let file = at("record.json");
        files::write_atomic(&file, &[b"file"]).expect("written");
        own.note(&record("e"), b"file", &file);
        assert_eq!(paths.others(), [paths.own()]);
        let main = Ledger::open(&paths);
        own.note(&record("f"), b"file", &file);
        main.note(&record("g"), b"file", &file);
        let now = Ledger::read(&paths);
        assert_eq!(
            ["a", "e", "f", "g"].map(|job| size(&now, job)),
            [Some(1), Some(4), Some(4), Some(4)]
        );
    }

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
                changed: 1_700_000_000_000_000_002,
                inode: 7,
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
