//! Damaged checkpoints: an error that names the file, or tensors within the limits, but soon and without a panic.
//!
//! Each case is a valid file of one of the formats with some damage. `RUNNER_FUZZ=100000 cargo test fuzz -- --nocapture`
//! runs that many cases, says how long they took, and then also checks how much memory they took at most.

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use runner::checkpoint::{self, Target, convert};
use runner::result::write_atomic;

use crate::shared::{say_skipped, shared};
use crate::torch::builder::{checkpoint, floats, legacy, small_mlp, small_mlp_pickle, state_dict};

/// Cases without `RUNNER_FUZZ`.
const CASES: u64 = 20_000;
/// What one case may take; the slowest take milliseconds, but the machine may be busy.
const LONGEST: Duration = Duration::from_secs(5);
/// What all cases may add to the process' memory: the files are small, and nothing may depend on what they claim.
const MEMORY: u64 = 64 << 20;
/// Bytes that mean something in pickles, JSON or lengths.
const TELLING: &[u8] =
    b"\0\x01\x7f\x80\xff(.0124NQRabceghjqrstuX]})\x81\x85\x86\x87\x88\x8a\x8b\x8c\x8d\x94\x95\"{}[]:,-9PK";

fn views() -> Vec<u8> {
    state_dict(|p| {
        let p = p.text("a").parameter("0", 4).put(1).text("b").get(1);
        let p = p.text("c").tensor(("HalfStorage", "1", 8), 1, &[2, 3], &[1, 2]);
        p.text("d")
            .legacy_tensor(("LongStorage", "2", 2), Some((1, 1)), 0, &[], &[])
    })
}

/// Small files of all formats, with the pickle where there is one to be damaged under valid checksums.
struct Corpus {
    files: Vec<Vec<u8>>,
    pickles: Vec<Vec<u8>>,
}

impl Corpus {
    fn new(folder: &Path) -> Self {
        let storages = [floats(6), floats(2), floats(6), floats(2)];
        let counted: Vec<(String, u64, &[u8])> = (0..4)
            .map(|i| {
                (
                    i.to_string(),
                    storages[i].len() as u64 / 4,
                    storages[i].as_slice(),
                )
            })
            .collect();
        let counted: Vec<(&str, u64, &[u8])> = counted.iter().map(|(k, n, b)| (k.as_str(), *n, *b)).collect();
        let views_of: [(&str, u64, &[u8]); 3] =
            [("0", 4, &floats(4)), ("1", 8, &floats(4)), ("2", 2, &floats(4))];
        let mut files = vec![
            small_mlp(),
            legacy(&small_mlp_pickle(), &counted),
            legacy(&views(), &views_of),
            include_bytes!("torch/files/legacy.pt").to_vec(),
        ];
        for (index, target) in [
            (0, Target::Safetensors),
            (3, Target::Safetensors),
            (3, Target::StateDict),
        ] {
            let (from, to) = (folder.join("from"), folder.join("to"));
            write_atomic(&from, &files[index]).expect("written");
            convert(checkpoint::open(&from).expect("valid"), &to, target).expect("converted");
            files.push(std::fs::read(&to).expect("readable"));
        }
        Self {
            files,
            pickles: vec![views(), small_mlp_pickle()],
        }
    }

    fn damaged(&self, random: &mut ChaCha8Rng) -> Vec<u8> {
        // A third of the cases is a damaged pickle in an archive whose checksums fit.
        if random.random_range(0..3) == 0 {
            let mut pickle = self.pickles[random.random_range(0..self.pickles.len())].clone();
            self.damage(&mut pickle, random);
            let storages = [floats(6), floats(4), floats(4), floats(2)];
            let storages: Vec<(&str, &[u8])> = ["0", "1", "2", "3"]
                .into_iter()
                .zip(storages.iter().map(Vec::as_slice))
                .collect();
            return checkpoint(&pickle, &storages);
        }
        let mut file = self.files[random.random_range(0..self.files.len())].clone();
        self.damage(&mut file, random);
        file
    }

    /// One to four changes, most of them near the beginning, where the headers of all formats but zip are.
    fn damage(&self, bytes: &mut Vec<u8>, random: &mut ChaCha8Rng) {
        for _ in 0..random.random_range(1..5) {
            if bytes.is_empty() {
                return;
            }
            let at = position(bytes.len(), random);
            let end = (at + random.random_range(1..40)).min(bytes.len());
            match random.random_range(0..8) {
                0 => bytes[at] ^= 1 << random.random_range(0..8),
                1 => bytes[at] = random.random(),
                2 | 3 => bytes[at] = TELLING[random.random_range(0..TELLING.len())],
                4 => {
                    let value: u64 =
                        [0, 1, u64::MAX, i64::MAX as u64, 1 << 31, 1 << 40][random.random_range(0..6)];
                    let width = 1 << random.random_range(0..4);
                    for (byte, new) in bytes[at..].iter_mut().zip(&value.to_le_bytes()[..width]) {
                        *byte = *new;
                    }
                }
                5 => drop(bytes.drain(at..end)),
                6 => {
                    let part = bytes[at..end].to_vec();
                    let to = position(bytes.len(), random);
                    bytes.splice(to..to, part);
                }
                _ if random.random_range(0..4) == 0 => bytes.truncate(at),
                _ => {
                    let other = &self.files[random.random_range(0..self.files.len())];
                    let from = random.random_range(0..other.len());
                    let part = other[from..(from + 40).min(other.len())].to_vec();
                    bytes.splice(at..end, part);
                }
            }
        }
    }
}

fn position(length: usize, random: &mut ChaCha8Rng) -> usize {
    let end = if random.random() { length } else { length.min(400) };
    random.random_range(0..end)
}

/// Opens and loads; what succeeds is no larger than the limit, what fails names the file.
fn finishes(path: &Path, length: u64, case: u64) -> bool {
    let start = Instant::now();
    let loaded = checkpoint::open(path).and_then(checkpoint::File::load);
    let is_valid = loaded.is_ok();
    match loaded {
        Ok(tensors) => {
            let bytes = tensors
                .iter()
                .map(|(_, t)| (t.elem_count() * t.dtype().size_in_bytes()) as u64);
            // Tied tensors are one, but count once for each name here.
            let names = tensors.len().max(1) as u64;
            assert!(
                bytes.sum::<u64>() <= (16 * length + (1 << 20)) * names,
                "case {case}"
            );
        }
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("case.bin"), "case {case}: {text}");
        }
    }
    assert!(start.elapsed() < LONGEST, "case {case}: {:?}", start.elapsed());
    is_valid
}

/// Most memory this process ever had, in bytes; Linux only.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

fn cases() -> (u64, bool) {
    let asked = std::env::var("RUNNER_FUZZ").ok();
    let asked = asked.map(|text| text.parse().expect("RUNNER_FUZZ is a number"));
    (asked.unwrap_or(CASES), asked.is_some())
}

#[test]
fn damaged_files_of_all_formats() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let corpus = Corpus::new(folder.path());
    let path = folder.path().join("case.bin");
    for file in &corpus.files {
        write_atomic(&path, file).expect("written");
        assert!(finishes(&path, file.len() as u64, 0), "the corpus is valid");
    }
    let (cases, is_long) = cases();
    let (start, before) = (Instant::now(), peak());
    let mut valid = 0;
    let mut target = std::fs::File::create(&path).expect("a file");
    for case in 0..cases {
        // Each case by itself: a failure is run again by its number.
        let mut random = ChaCha8Rng::seed_from_u64(case);
        let file = corpus.damaged(&mut random);
        // Not truncated first: file systems take that for a reason to write to the disk.
        let written = target
            .seek(SeekFrom::Start(0))
            .and_then(|_| target.write_all(&file));
        written
            .and_then(|()| target.set_len(file.len() as u64))
            .expect("written");
        valid += u64::from(finishes(&path, file.len() as u64, case));
    }
    assert!(valid > 0 && valid < cases, "{valid} of {cases} are valid");
    if is_long {
        let grown = peak().zip(before).map(|(after, before)| after - before);
        report(&format!(
            "{cases} damaged files in {:.1} s, {valid} of them valid; {grown:?} bytes more at the peak",
            start.elapsed().as_secs_f64()
        ));
        assert!(grown.is_none_or(|grown| grown < MEMORY), "{grown:?}");
    }
}

/// The reference's own files, damaged in place and mended again: writing them anew for each case is too slow.
#[test]
fn damaged_reference_models() {
    let Some(shared) = shared("damaged reference models") else {
        return;
    };
    let folder = tempfile::tempdir().expect("temporary folder");
    let models = [
        "non-iid/MLPs/MNIST/split-by-2/seed1/model_0.pt",
        "full-dataset/ViTs/CIFAR-10/seeds-1-2/model_0.pt",
    ];
    let models: Vec<PathBuf> = models
        .map(|name| shared.join("reference-models").join(name))
        .into();
    if models.iter().any(|model| !model.is_file()) {
        say_skipped("damaged reference models", "they are not there");
        return;
    }
    let (cases, start) = (cases().0 / 20, Instant::now());
    for (seed, model) in models.iter().enumerate() {
        let bytes = std::fs::read(model).expect("readable");
        let path = folder.path().join("case.bin");
        write_atomic(&path, &bytes).expect("written");
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .expect("a file");
        let mut put = |at: usize, part: &[u8]| {
            file.seek(SeekFrom::Start(at as u64))
                .and_then(|_| file.write_all(part))
                .expect("written");
        };
        let mut random = ChaCha8Rng::seed_from_u64(seed as u64);
        for case in 0..cases {
            let at = match random.random_range(0..3) {
                0 => random.random_range(0..bytes.len()),
                1 => random.random_range(0..4000),
                // The archive's directory.
                _ => bytes.len() - random.random_range(8..4000),
            };
            let mut part = vec![0; random.random_range(1..8)];
            random.fill_bytes(&mut part);
            put(at, &part);
            finishes(&path, bytes.len() as u64, case);
            let end = (at + part.len()).min(bytes.len());
            put(at, &bytes[at..end]);
        }
    }
    if std::env::var_os("RUNNER_FUZZ").is_some() {
        report(&format!(
            "{} damaged reference models in {:.1} s",
            2 * cases,
            start.elapsed().as_secs_f64()
        ));
    }
}

fn report(text: &str) {
    let _ = writeln!(std::io::stderr(), "\n{text}");
}
