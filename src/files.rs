//! The only writer of files: a reader sees the old content or the new, never a part. And the way to open files for reading,
//! which refuses at once whatever is no file.
//!
//! Being whole and being on the disk are two things. [`write_atomic`] does both before it returns. [`write_soon`] leaves
//! the second to [`settle`], which does it for many files at once: on a disk that takes milliseconds for a flush, that is
//! the difference between a hundred small files a second and thousands. A process that is killed loses nothing either
//! way; after a power failure a file that was not settled may be missing or torn, so what is written this way carries a
//! checksum.

mod names;
mod stamp;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

pub use names::{brackets, has_own_braces, matching, natural, natural_paths};

use crate::process::Process;

pub use stamp::Stamp;

static SEQUENCE: AtomicU64 = AtomicU64::new(0);
static PENDING: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
/// Seconds by which [`now`] is wrong.
static CLOCK: AtomicI64 = AtomicI64::new(0);
static FAULTS: OnceLock<Box<Faults>> = OnceLock::new();

/// Files that are flushed one by one.
const FEW: usize = 256;

/// Beginning of the names of temporary files; the process that writes them follows, then a number and the target's name.
pub const TEMPORARY: &str = ".tmp-";

/// Whether a file of this name was left by a process of this machine that has ended. What processes of other machines
/// write may still be written.
pub fn is_abandoned(name: &str) -> bool {
    let tag = name
        .strip_prefix(TEMPORARY)
        .and_then(|rest| rest.split('-').next());
    tag.is_some_and(Process::tagged_is_gone)
}

/// A step of writing, at which tests can have it fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Making the temporary file, or opening one to append to.
    Create,
    /// Writing some bytes.
    Write,
    /// Flushing to the disk.
    Sync,
    /// The same for all files that were written by [`write_soon`].
    Settle,
    /// Giving the file its name.
    Rename,
}

/// What goes wrong at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The system refuses, with this error number.
    Refused(i32),
    /// Half of the bytes are written, then the system refuses.
    Torn(i32),
    /// Fewer bytes are written than asked for, which is no error.
    Short,
    /// The process dies.
    Death,
}

/// Decides at each step whether something goes wrong.
pub type Faults = dyn Fn(Step) -> Option<Fault> + Send + Sync;

/// Has writing fail from now on, for tests of what comes after. Only the first call counts.
pub fn inject(faults: Box<Faults>) {
    let _ = FAULTS.set(faults);
}

/// The step's fault, if it has one; `Refused` and `Death` are dealt with here.
fn meet(step: Step) -> io::Result<Option<Fault>> {
    match FAULTS.get().and_then(|faults| faults(step)) {
        Some(Fault::Refused(number)) => Err(io::Error::from_raw_os_error(number)),
        Some(Fault::Death) => die(),
        fault => Ok(fault),
    }
}

/// Ends this process as `kill -9` does.
fn die() -> ! {
    #[cfg(unix)]
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort()
}

/// A file that is being written.
#[derive(Debug)]
pub struct Sink {
    file: File,
}

impl Sink {
    fn sync(&self) -> io::Result<()> {
        meet(Step::Sync)?;
        self.file.sync_all()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match meet(Step::Write)? {
            Some(Fault::Short) => self.file.write(&bytes[..bytes.len().div_ceil(2)]),
            Some(Fault::Torn(number)) => {
                self.file.write_all(&bytes[..bytes.len() / 2])?;
                Err(io::Error::from_raw_os_error(number))
            }
            _ => self.file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Sink {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// Writes `parts`, one after the other, to `path`: temporary file in the same folder, fsync, rename, fsync of the
/// folder.
///
/// On an error nothing of `path` has changed and the temporary file is gone. A process killed in between leaves a
/// file whose name begins with [`TEMPORARY`] and ends with that of `path`.
pub fn write_atomic(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    write_atomic_with(
        path,
        |error| error,
        |sink| parts.iter().try_for_each(|part| sink.write_all(part)),
    )
}

/// Like [`write_atomic`], for content that does not fit into memory: `write` gets the temporary file, `failed` makes
/// an error of what the system says. Where `path` is a link, the file that it leads to is written.
pub fn write_atomic_with<E>(
    path: &Path,
    failed: impl Fn(io::Error) -> E,
    write: impl FnOnce(&mut Sink) -> Result<(), E>,
) -> Result<(), E> {
    let target = match path.is_symlink() {
        true => Cow::Owned(fs::canonicalize(path).map_err(&failed)?),
        false => Cow::Borrowed(path),
    };
    let path: &Path = &target;
    replace(path, &failed, |sink| {
        write(sink)?;
        sink.sync().map_err(&failed)
    })?;
    // The rename itself lasts only once the folder is on disk; not every file system can sync a folder.
    if let Ok(folder) = File::open(path.parent().unwrap_or(Path::new("."))) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// Writes `parts` to `path`, whole or not at all for every reader. It is on the disk after this process' next [`settle`].
pub fn write_soon(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    replace(
        path,
        |error| error,
        |sink| parts.iter().try_for_each(|part| sink.write_all(part)),
    )?;
    let mut pending = PENDING.lock().unwrap_or_else(PoisonError::into_inner);
    pending.push(path.to_path_buf());
    Ok(())
}

/// Has everything that this process wrote by [`write_soon`] put on the disk. A few files are flushed one by one; for many,
/// all in `folder`, its whole file system is, which takes no longer for thousands of them, but waits for what others have
/// written as well. Where that fails nothing counts as flushed: all of it is tried again the next time.
pub fn settle(folder: &Path) -> io::Result<()> {
    settle_all(&PENDING, folder)
}

fn settle_all(pending: &Mutex<Vec<PathBuf>>, folder: &Path) -> io::Result<()> {
    let lock = || pending.lock().unwrap_or_else(PoisonError::into_inner);
    let mut now = std::mem::take(&mut *lock());
    if now.is_empty() {
        return Ok(());
    }
    let flushed = flush(&now, folder);
    if flushed.is_err() {
        lock().append(&mut now);
    }
    flushed
}

fn flush(pending: &[PathBuf], folder: &Path) -> io::Result<()> {
    meet(Step::Settle)?;
    #[cfg(target_os = "linux")]
    if pending.len() > FEW {
        rustix::fs::syncfs(File::open(folder)?)?;
        return Ok(());
    }
    let mut folders: BTreeSet<&Path> = BTreeSet::from([folder]);
    for path in pending {
        folders.extend(path.parent());
        match File::open(path) {
            Ok(file) => file.sync_all()?,
            // Renamed or removed since: not ours to keep.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    for folder in folders {
        // Not every file system can sync a folder.
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
    Ok(())
}

fn replace<E>(
    path: &Path,
    failed: impl Fn(io::Error) -> E,
    write: impl FnOnce(&mut Sink) -> Result<(), E>,
) -> Result<(), E> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let sequence = SEQUENCE.fetch_add(1, Ordering::Relaxed);
    let temporary = folder.join(format!(
        "{TEMPORARY}{}-{sequence}-{name}",
        Process::current().tag()
    ));
    let written = meet(Step::Create)
        .and_then(|_| File::create_new(&temporary))
        .map_err(&failed)
        .and_then(|file| write(&mut Sink { file }))
        .and_then(|()| meet(Step::Rename).map_err(&failed))
        .and_then(|_| fs::rename(&temporary, path).map_err(&failed));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Opens a file to add lines to its end. Each write goes to the end, whoever else writes; a process that dies leaves at
/// most the beginning of a line.
pub fn append(path: &Path) -> io::Result<Sink> {
    meet(Step::Create)?;
    // Not waiting for a reader, where someone put a pipe there.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut options = OpenOptions::new();
    let file = options.create(true).append(true).custom_flags(flags).open(path)?;
    Ok(Sink { file })
}

/// Opens a file for reading. A folder, a named pipe, a device or a socket is an error at once: opening a pipe would wait for a
/// writer, and a device may have no end.
pub fn open(path: &Path) -> io::Result<File> {
    opened(path).map(|(file, _)| file)
}

/// The content of a file that [`open`] opens.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_at_most(path, u64::MAX)
}

/// The content of a file that [`open`] opens; an error where it has more than `limit` bytes, before any is read.
pub fn read_at_most(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let (file, size) = opened(path)?;
    let mut bytes = Vec::new();
    if size <= limit {
        bytes.try_reserve_exact(size as usize)?;
        // It may grow meanwhile, and files of `/proc` claim to be empty.
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    }
    let size = size.max(bytes.len() as u64);
    if size > limit {
        let message = format!("it has {size} bytes, and at most {limit} are read");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

/// Like [`read_at_most`], of text.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    String::from_utf8(read_at_most(path, limit)?)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
}

/// A file and its size. Looks at what was opened, not at the path again, which may be another by then.
fn opened(path: &Path) -> io::Result<(File, u64)> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path);
    let (file, metadata) = match opened {
        Ok(file) => {
            let metadata = file.metadata()?;
            (Ok(file), metadata)
        }
        // A socket cannot even be opened.
        Err(error) => match fs::metadata(path) {
            Ok(metadata) => (Err(error), metadata),
            Err(_) => return Err(error),
        },
    };
    let kind = metadata.file_type();
    let what = match () {
        () if kind.is_file() => return file.map(|file| (file, metadata.len())),
        () if kind.is_dir() => "a folder",
        () if kind.is_fifo() => "a named pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    let kind = match kind.is_dir() {
        true => io::ErrorKind::IsADirectory,
        false => io::ErrorKind::InvalidInput,
    };
    Err(io::Error::new(kind, format!("it is {what}, not a file")))
}

/// How far this machine's clock is from that of the file system `folder` is on, in seconds; positive if it is ahead. As
/// much as a write takes goes unnoticed.
pub fn skew(folder: &Path) -> io::Result<f64> {
    Ok(skew_from(time_of(folder, &now)?))
}

/// The time by the clock of the file system that `folder` is on: that of a server, where it is on one.
pub fn time_there(folder: &Path) -> io::Result<SystemTime> {
    Ok(time_of(folder, &now)?.1)
}

/// Before, there and after: writes a file and looks at its time.
fn time_of(folder: &Path, now: &dyn Fn() -> SystemTime) -> io::Result<(SystemTime, SystemTime, SystemTime)> {
    let sequence = SEQUENCE.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!(
        "{TEMPORARY}{}-{sequence}-clock",
        Process::current().tag()
    ));
    let before = now();
    let written = File::create_new(&path).and_then(|mut file| {
        file.write_all(b"?")?;
        // A client's own guess is not the server's word.
        file.sync_all()?;
        file.metadata()?.modified()
    });
    let after = now();
    let _ = fs::remove_file(&path);
    Ok((before, written?, after))
}

fn skew_from((before, there, after): (SystemTime, SystemTime, SystemTime)) -> f64 {
    let seconds = |later: SystemTime, earlier: SystemTime| {
        let span = later.duration_since(earlier);
        span.map_or_else(|error| -error.duration().as_secs_f64(), |span| span.as_secs_f64())
    };
    match (seconds(before, there), seconds(after, there)) {
        (before, _) if before > 0.0 => before,
        (_, after) if after < 0.0 => after,
        _ => 0.0,
    }
}

/// The time by this machine's clock.
pub fn now() -> SystemTime {
    let wrong = CLOCK.load(Ordering::Relaxed);
    let by = Duration::from_secs(wrong.unsigned_abs());
    if wrong < 0 {
        SystemTime::now() - by
    } else {
        SystemTime::now() + by
    }
}

/// Has [`now`] be wrong by so many seconds, for tests.
pub fn inject_clock(seconds: i64) {
    CLOCK.store(seconds, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other_and_replace_what_was_there() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let target = folder.path().join("file");
        for write in [write_atomic, write_soon] {
            write(&target, &[b"a long first content"]).expect("written");
            write(&target, &[b"ab", b"", b"c"]).expect("written");
            assert_eq!(fs::read(&target).expect("readable"), b"abc");
        }
        settle(folder.path()).expect("settled");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_and_what_it_leads_to_is_written() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        std::os::unix::fs::symlink("target", &link).expect("a link");
        assert!(write_atomic(&link, &[b"x"]).is_err(), "it leads nowhere");
        write_atomic(&target, &[b"old"]).expect("written");
        write_atomic(&link, &[b"new"]).expect("written");
        assert!(link.is_symlink());
        assert_eq!(fs::read(&target).expect("readable"), b"new");
    }

    #[test]
    fn a_failed_write_leaves_neither_file_nor_trace() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let target = folder.path().join("occupied");
        fs::create_dir(&target).expect("folder");
        for write in [write_atomic, write_soon] {
            assert!(write(&target, &[b"x"]).is_err());
            let left: Vec<_> = fs::read_dir(folder.path()).expect("list").collect();
            assert_eq!(left.len(), 1);
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_could_not_be_flushed_is_flushed_later() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (target, link) = (folder.path().join("file"), folder.path().join("link"));
        write_atomic(&target, &[b"x"]).expect("written");
        // It is there, but cannot be opened.
        std::os::unix::fs::symlink("link", &link).expect("a link to itself");
        let pending = Mutex::new(vec![target, link.clone()]);
        assert!(settle_all(&pending, folder.path()).is_err());
        assert_eq!(pending.lock().expect("no panic").len(), 2);
        fs::remove_file(&link).expect("removed");
        settle_all(&pending, folder.path()).expect("settled");
        assert!(pending.lock().expect("no panic").is_empty());
    }

    #[test]
    fn a_clock_that_is_minutes_off_is_noticed_and_one_that_is_right_is_not() {
        let folder = tempfile::tempdir().expect("temporary folder");
        for minutes in [0i64, 3, -4] {
            let by = Duration::from_secs(60 * minutes.unsigned_abs());
            let wrong = || match minutes < 0 {
                true => SystemTime::now() - by,
                false => SystemTime::now() + by,
            };
            let found = skew_from(time_of(folder.path(), &wrong).expect("written"));
            assert!((found - 60.0 * minutes as f64).abs() < 10.0, "{minutes}: {found}");
        }
        assert_eq!(fs::read_dir(folder.path()).expect("list").count(), 0);
        assert!(skew(&folder.path().join("nowhere")).is_err());
    }

    #[test]
    fn what_is_no_file_is_refused_without_waiting() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = |name: &str| folder.path().join(name);
        rustix::fs::mkfifoat(rustix::fs::CWD, path("pipe"), rustix::fs::Mode::RWXU).expect("a pipe");
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).expect("a socket");
        std::os::unix::fs::symlink(path("pipe"), path("link")).expect("a link");
        for (what, path) in [
            ("a named pipe", path("pipe")),
            ("a named pipe", path("link")),
            ("a socket", path("socket")),
            ("a folder", folder.path().to_path_buf()),
            ("a device", PathBuf::from("/dev/zero")),
        ] {
            let error = read(&path).expect_err(what).to_string();
            assert_eq!(error, format!("it is {what}, not a file"));
        }
        let missing = read(&path("nothing")).expect_err("missing");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_file_beyond_the_limit_is_refused_before_it_is_read() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("sparse");
        let file = File::create(&path).expect("a file");
        file.set_len(1 << 40).expect("a hole");
        let error = read_at_most(&path, 100).expect_err("too large");
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        write_atomic(&path, &[b"text"]).expect("written");
        assert_eq!(read_text(&path, 4).expect("short enough"), "text");
        assert!(read_text(&path, 3).is_err());
        write_atomic(&path, &[b"\xff"]).expect("written");
        assert!(read_text(&path, 4).is_err());
    }

    #[test]
    fn what_is_appended_goes_to_the_end() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let target = folder.path().join("lines");
        let (mut one, mut two) = (append(&target).expect("open"), append(&target).expect("open"));
        one.write_all(b"a\n").expect("written");
        two.write_all(b"b\n").expect("written");
        one.write_all(b"c\n").expect("written");
        assert_eq!(fs::read(&target).expect("readable"), b"a\nb\nc\n");
    }
}
