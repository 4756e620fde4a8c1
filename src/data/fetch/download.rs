//! One file: continued where it broke off, verified, put into its place in one step.

use std::fmt::Write as _;
use std::fs::{self, File as Disk, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use md5::Md5;
use sha2::{Digest, Sha256};

use super::http::{Client, is_slow};
use super::places::{Checksum, File};
use super::sums::Sums;
use super::{FetchError, Progress};
use crate::files;

/// Bytes that are read at a time.
const PIECE: usize = 1 << 16;
/// How often a transfer that breaks off is continued.
const TRIES: u32 = 4;
/// Before the second try; doubles from try to try.
const PAUSE: Duration = Duration::from_millis(250);

/// A file on its way into a folder.
pub(super) struct Download<'a> {
    pub client: &'a Client,
    pub file: &'a File,
    pub folder: &'a Path,
}

/// Both checksums that servers publish.
#[derive(Clone, Default)]
struct Hashes {
    sha256: Sha256,
    md5: Md5,
    length: u64,
}

impl Hashes {
    fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.md5.update(bytes);
        self.length += bytes.len() as u64;
    }

    /// Of all that is left of a file.
    fn read(mut reader: impl Read) -> std::io::Result<Self> {
        let mut hashes = Self::default();
        let mut piece = vec![0; PIECE];
        loop {
            match reader.read(&mut piece)? {
                0 => return Ok(hashes),
                n => hashes.update(&piece[..n]),
            }
        }
    }

    fn sha256(&self) -> String {
        hex(&self.sha256.clone().finalize())
    }

    /// What is expected and what was found, where they differ.
    fn differs(&self, checksum: &Checksum) -> Option<(String, String)> {
        let (expected, found) = match checksum {
            Checksum::Sha256(expected) => (expected, self.sha256()),
            Checksum::Md5(expected) => (expected, hex(&self.md5.clone().finalize())),
        };
        (*expected != found).then(|| (expected.clone(), found))
    }
}

/// Two digits for each byte.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

impl Download<'_> {
    /// Whether the file had to be downloaded.
    pub(super) fn run(
        &self,
        sums: &mut Sums,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<bool, FetchError> {
        let target = self.folder.join(&self.file.name);
        if self.is_there(&target, sums) {
            return Ok(false);
        }
        let path = self.part();
        let mut part = Disk::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
            .open(&path)
            .map_err(|error| FetchError::write(&path, error))?;
        if !part.metadata().is_ok_and(|metadata| metadata.is_file()) {
            let error = std::io::Error::other("it is no file");
            return Err(FetchError::write(&path, error));
        }
        match part.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(FetchError::Busy { path: target }),
            // On a file system without locks, checksums tell what two writers make of it.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        let hashes = self.transfer(&mut part, &path, on_progress)?;
        let refuse = |expected, found| {
            let _ = fs::remove_file(&path);
            Err(FetchError::Checksum {
                url: self.file.url.clone(),
                expected,
                found,
            })
        };
        if let Some(size) = self.file.size.filter(|&size| size != hashes.length) {
            return refuse(format!("{size} bytes"), format!("{} bytes", hashes.length));
        }
        if let Some((expected, found)) = self.file.checksum.as_ref().and_then(|sum| hashes.differs(sum)) {
            return refuse(expected, found);
        }
        // Another content, and nothing says that a download has left it: somebody has put it there. The download stays
        // beside it until there is room.
        if target.symlink_metadata().is_ok() && sums.get(&self.file.name).is_none() {
            return Err(FetchError::Foreign { path: target });
        }
        let kept = part.sync_all().and_then(|()| fs::rename(&path, &target));
        kept.map_err(|error| FetchError::write(&target, error))?;
        let recorded = sums.set(&self.file.name, &hashes.sha256());
        recorded.map_err(|error| FetchError::write(&target, error))?;
        Ok(true)
    }

    /// Whether the folder has the file: with the published content, or, where that is not known, as it was recorded.
    fn is_there(&self, target: &Path, sums: &Sums) -> bool {
        let Ok(hashes) = files::open(target).and_then(Hashes::read) else {
            return false;
        };
        match (&self.file.checksum, sums.get(&self.file.name)) {
            (Some(checksum), _) => hashes.differs(checksum).is_none(),
            (None, Some(recorded)) => hashes.sha256() == recorded,
            (None, None) => false,
        }
    }

    /// The file until it is whole. It has the checksum in its name, so that no other content is ever appended to it.
    fn part(&self) -> PathBuf {
        let of = match &self.file.checksum {
            Some(Checksum::Sha256(sum) | Checksum::Md5(sum)) => sum.get(..16).unwrap_or(sum),
            None => "unknown",
        };
        self.folder.join(format!(".{}.{of}.part", self.file.name))
    }

    /// Receives all that is not there yet; the hashes are those of the whole file.
    fn transfer(
        &self,
        part: &mut Disk,
        path: &Path,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<Hashes, FetchError> {
        let mut hashes = Hashes::default();
        // What cannot be verified is not continued.
        if self.file.checksum.is_some() {
            hashes = Hashes::read(&mut *part).map_err(|error| FetchError::write(path, error))?;
        }
        let mut tries = 1;
        loop {
            let before = hashes.length;
            let problem = match self.receive(part, path, &mut hashes, on_progress) {
                Ok(None) => return Ok(hashes),
                Ok(Some(problem)) => FetchError::Broken {
                    url: self.file.url.clone(),
                    received: hashes.length,
                    problem,
                },
                Err(error @ FetchError::Unreachable { .. }) => error,
                Err(error @ FetchError::TooLong { .. }) => {
                    let _ = fs::remove_file(path);
                    return Err(error);
                }
                Err(error) => return Err(error),
            };
            // A server that is not there is not asked again; one that was is.
            let begun = hashes.length > before || matches!(problem, FetchError::Broken { .. });
            if tries == TRIES || !(begun || tries > 1) {
                return Err(problem);
            }
            sleep(PAUSE * 2_u32.pow(tries - 1));
            tries += 1;
        }
    }

    /// One request; says why it broke off, if it did.
    fn receive(
        &self,
        part: &mut Disk,
        path: &Path,
        hashes: &mut Hashes,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<Option<String>, FetchError> {
        let whole = self.file.size.is_some_and(|size| size == hashes.length);
        if whole && hashes.length > 0 {
            return Ok(None);
        }
        let mut reply = self.client.file(&self.file.url, hashes.length)?;
        let failed = |error| FetchError::write(path, error);
        if reply.start == 0 {
            *hashes = Hashes::default();
            part.set_len(0).map_err(failed)?;
        }
        part.seek(SeekFrom::Start(hashes.length)).map_err(failed)?;
        let total = self.file.size.or(reply.total);
        let limit = self.file.limit();
        let too_long = || FetchError::TooLong {
            url: self.file.url.clone(),
            limit,
        };
        if reply.total.is_some_and(|total| total > limit) {
            return Err(too_long());
        }
        let mut piece = vec![0; PIECE];
        loop {
            on_progress(Progress {
                file: &self.file.name,
                done: hashes.length,
                total,
            });
            match reply.body.read(&mut piece) {
                Ok(0) => break,
                Ok(n) if hashes.length + n as u64 > limit => return Err(too_long()),
                Ok(n) => {
                    part.write_all(&piece[..n]).map_err(failed)?;
                    hashes.update(&piece[..n]);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                // The next try would take as long.
                Err(error) if is_slow(&error) => {
                    return Err(FetchError::Broken {
                        url: self.file.url.clone(),
                        received: hashes.length,
                        problem: error.to_string(),
                    });
                }
                Err(error) => return Ok(Some(error.to_string())),
            }
        }
        match reply.total {
            Some(total) if hashes.length < total => Ok(Some(format!("{total} were announced"))),
            _ => Ok(None),
        }
    }
}
