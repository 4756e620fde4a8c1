//! Whatever happens while files are written, at any moment: nothing that is there is wrong, and the next run ends with
//! the records of a run that nothing happened to.

use super::*;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use runner::seed::generator;

/// Every kind of job and of file in a few hundredths of a second: base models with the state of their training, fusions,
/// fine-tuning.
const SMALL: &str = r#"name = "tiny"

[dataset]
name = "digits"

[split]
kind = "non-iid"
parts = 2

[model]
hidden = [4]

[base]
epochs = 2
batch-size = 128

[fusion-set]
samples = 20

[[fusion]]
method = "vanilla-averaging"

[[fusion]]
method = "hf-linear"

[finetune]
epochs = 1
batch-size = 256

[resources]
checkpoint = "0s"
"#;

/// What a run that nothing happens to leaves, and how long it takes.
struct Expected {
    records: BTreeMap<String, Value>,
    summary: String,
    seconds: f64,
}

impl Expected {
    fn new(args: &[&str]) -> Self {
        let bench = Bench::with(SMALL);
        let since = Instant::now();
        bench.exec(args).ok().says("0 failed");
        Self {
            records: bench.records(),
            summary: summary(&bench),
            seconds: since.elapsed().as_secs_f64(),
        }
    }

    /// What is there is whole (`records` fails on a torn file) and as it should be.
    #[track_caller]
    fn holds_for(&self, bench: &Bench) {
        for (name, record) in bench.records() {
            // A worker that was killed is a failure on record; the next run tries again.
            if record["status"] == "ok" {
                assert_eq!(Some(&record), self.records.get(&name), "{name}");
            }
        }
    }

    #[track_caller]
    fn recovers(&self, bench: &Bench, args: &[&str]) {
        bench.exec(args).ok().says("0 failed");
        assert_eq!(bench.records(), self.records);
        assert_eq!(summary(bench), self.summary);
        let left: Vec<_> = bench
            .files()
            .into_iter()
            .filter(|file| file.contains(".tmp-"))
            .collect();
        assert_eq!(left, Vec::<String>::new());
    }
}

fn summary(bench: &Bench) -> String {
    std::fs::read_to_string(bench.path("results/tiny/summary.json")).expect("summary")
}

/// Takes away some of what is there, so that the next run has something to do.
fn forget(bench: &Bench, rng: &mut ChaCha8Rng) {
    for folder in ["records", "cache/checkpoints"] {
        let entries = std::fs::read_dir(bench.path("results/tiny").join(folder));
        let mut paths: Vec<PathBuf> = entries
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.path())
            .collect();
        paths.sort();
        for path in paths {
            if rng.random::<f64>() < 0.4 {
                std::fs::remove_file(path).expect("removed");
            }
        }
    }
}

/// The worker processes of a run.
fn children(parent: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{parent}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let numbers = |list: String| {
        list.split_whitespace()
            .filter_map(|n| n.parse().ok())
            .collect::<Vec<u32>>()
    };
    lists.flat_map(numbers).collect()
}

fn kill(process: u32) {
    // It may have ended by itself in the meantime.
    let _ = std::process::Command::new("kill")
        .args(["-KILL", &process.to_string()])
        .stderr(Stdio::null())
        .status();
}

/// Kills a run, or one of its workers, `times` times, each at a random moment; after each kill what is there is looked
/// at, and the next run goes to the end.
fn killed(name: &str, times: usize, args: &[&str], workers_too: bool) {
    let expected = Expected::new(args);
    let mut rng = generator(1, name, &[]);
    let bench = Bench::with(SMALL);
    let mut kills = 0;
    // How long a run takes now: what else this machine does comes and goes.
    let mut seconds = expected.seconds;
    for round in 0.. {
        let mut child = bench.start(args);
        std::thread::sleep(Duration::from_secs_f64(seconds * rng.random::<f64>()));
        let running = child.try_wait().expect("status").is_none();
        let victims = if workers_too && rng.random::<bool>() {
            children(child.id())
        } else {
            Vec::new()
        };
        let worker = (!victims.is_empty()).then(|| victims[rng.random_range(0..victims.len())]);
        kill(worker.unwrap_or(child.id()));
        child.wait_with_output().expect("ends");
        kills += usize::from(running);
        seconds *= if running { 1.1 } else { 0.9 };
        expected.holds_for(&bench);
        if round % 2 == 1 {
            expected.recovers(&bench, args);
            forget(&bench, &mut rng);
        }
        if kills == times {
            break;
        }
        assert!(round < 4 * times, "{kills} kills in {round} rounds");
    }
    expected.recovers(&bench, args);
}

#[test]
fn the_runner_is_killed_at_a_hundred_moments() {
    killed("kill-threads", 100, &["-j", "2"], false);
}

#[test]
fn the_runner_or_a_worker_process_is_killed_at_forty_moments() {
    killed("kill-processes", 40, &["-j", "2", "--workers", "processes"], true);
}

/// Every step of writing a file is a moment of its own, however short.
#[test]
fn the_runner_dies_at_sixty_steps_of_writing() {
    let expected = Expected::new(&["-j", "2"]);
    let mut rng = generator(1, "death", &[]);
    let bench = Bench::with(SMALL);
    let mut deaths = 0;
    for round in 0..200 {
        let mut command = bench.std(&["exec", "tiny.toml", "-j", "2"]);
        let at = rng.random_range(0..300);
        command.env("RUNNER_FAULTS", format!("at={at},kinds=death"));
        let output = command.output().expect("starts");
        // Past the last step it ends well.
        deaths += usize::from(output.status.code().is_none());
        expected.holds_for(&bench);
        if round % 2 == 1 {
            expected.recovers(&bench, &["-j", "2"]);
            forget(&bench, &mut rng);
        }
        if deaths == 60 {
            break;
        }
    }
    assert_eq!(deaths, 60);
    expected.recovers(&bench, &["-j", "2"]);
}

#[test]
fn writing_fails_now_and_then() {
    let expected = Expected::new(&["-j", "2"]);
    let mut broken = 0;
    for seed in 0..40 {
        let bench = Bench::with(SMALL);
        // Whole runs are hundreds of steps; some are to come far.
        let rate = [0.3, 0.03, 0.01, 0.003][seed % 4];
        for workers in ["threads", "processes"] {
            let mut command = bench.std(&["exec", "tiny.toml", "-j", "2", "--workers", workers]);
            let faults = format!("seed={seed},rate={rate},kinds=enospc+eio+torn+short");
            command.env("RUNNER_FAULTS", &faults);
            let run = Run::of(command.output().expect("starts"));
            match run.code {
                Some(0) => {}
                Some(2) => {
                    broken += 1;
                    let known = ["No space left on device", "Input/output error"];
                    assert!(
                        known.iter().any(|text| run.stderr.contains(text)),
                        "{faults}: {}",
                        run.stderr
                    );
                }
                _ => panic!("{faults}: {run:?}"),
            }
            expected.holds_for(&bench);
            assert!(
                bench.records().values().all(|record| record["status"] == "ok"),
                "{faults}"
            );
        }
        expected.recovers(&bench, &["-j", "2"]);
    }
    assert!(broken > 20, "{broken}");
}

#[test]
fn short_writes_are_no_failures() {
    let expected = Expected::new(&[]);
    let bench = Bench::with(SMALL);
    let mut command = bench.std(&["exec", "tiny.toml"]);
    command.env("RUNNER_FAULTS", "rate=1,kinds=short");
    Run::of(command.output().expect("starts")).ok();
    assert_eq!(bench.records(), expected.records);
}

/// Flips one bit of a file.
fn flip(path: &Path, rng: &mut ChaCha8Rng) -> Vec<u8> {
    let whole = std::fs::read(path).expect("readable");
    let mut bytes = whole.clone();
    let at = rng.random_range(0..bytes.len());
    bytes[at] ^= 1 << rng.random_range(0..8);
    runner::result::write_atomic(path, &bytes).expect("written");
    whole
}

fn only(bench: &Bench, folder: &str, part: &str) -> PathBuf {
    let entries = std::fs::read_dir(bench.path("results/tiny").join(folder)).expect("folder");
    let mut found = entries.flatten().map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        name.contains(part)
    });
    found.next().unwrap_or_else(|| panic!("no {part} in {folder}"))
}

#[test]
fn a_flipped_bit_in_a_record_is_seen_and_the_job_run_again() {
    let expected = Expected::new(&[]);
    let bench = Bench::with(SMALL);
    bench.exec(&[]).ok();
    let mut rng = generator(1, "flip-record", &[]);
    for round in 0..40 {
        let part = ["train-model_0", "fuse-vanilla", "finetune-hf"][round % 3];
        let record = only(&bench, "records", part);
        let meant: Value = serde_json::from_slice(&flip(&record, &mut rng)).expect("JSON");
        let changed = std::fs::read(&record).expect("readable");
        // `1E-5` is `1e-5`.
        let same = serde_json::from_slice::<Value>(&changed).is_ok_and(|value| value == meant);
        if round % 2 == 0 {
            // Nothing else is needed to see it.
            let _ = std::fs::remove_file(bench.path("results/tiny/cache/ledger"));
        }
        let run = bench.exec(&[]).ok();
        assert!(same || run.stderr.contains(", 1 run, "), "{part}: {}", run.stderr);
        assert_eq!(bench.records(), expected.records);
    }
}

#[test]
fn a_flipped_bit_in_a_checkpoint_is_seen_and_the_job_run_again() {
    let expected = Expected::new(&[]);
    let bench = Bench::with(SMALL);
    bench.exec(&[]).ok();
    let mut rng = generator(1, "flip-checkpoint", &[]);
    for _ in 0..20 {
        flip(&only(&bench, "cache/checkpoints", "train-model_1"), &mut rng);
        std::fs::remove_file(only(&bench, "records", "fuse-hf")).expect("removed");
        bench.exec(&[]).ok().says(", 2 run, ");
        assert_eq!(bench.records(), expected.records);
    }
    // Nobody needs this one; `verify` looks at all.
    let path = only(&bench, "cache/checkpoints", "fuse-vanilla");
    flip(&path, &mut rng);
    bench.exec(&[]).ok().says(" 0 run, ");
    let verify = bench.run(&["verify", "tiny.toml", "--allow-dirty"]).code(100);
    assert!(
        verify.stdout.contains("has a damaged checkpoint"),
        "{}",
        verify.stdout
    );
    let job = path.file_stem().expect("a name").to_string_lossy().into_owned();
    bench.exec(&[&format!("--force={job}")]).ok().says(", 1 run, ");
    bench.run(&["verify", "tiny.toml", "--allow-dirty"]).ok();
}

#[test]
fn a_flipped_bit_in_the_state_of_a_training_is_seen() {
    let expected = Expected::new(&[]);
    let mut rng = generator(1, "flip-state", &[]);
    let mut seen = 0;
    for at in 0..60 {
        let bench = Bench::with(SMALL);
        let mut command = bench.std(&["exec", "tiny.toml", "-j", "1"]);
        command.env("RUNNER_FAULTS", format!("at={},kinds=death", 12 + at));
        command.output().expect("starts");
        let mut states = bench
            .files()
            .into_iter()
            .filter(|file| file.contains(".training-") && !file.contains(".tmp-"));
        let Some(state) = states.next_back() else { continue };
        flip(Path::new(&state), &mut rng);
        seen += 1;
        expected.recovers(&bench, &[]);
        if seen == 15 {
            return;
        }
    }
    panic!("{seen} states");
}

#[test]
fn a_flipped_bit_in_predictions_is_seen_and_the_job_run_again() {
    let bench = Bench::with(&format!(
        "{SMALL}\n[[report]]\nbaseline = \"vanilla-averaging\"\ntest = \"mcnemar\"\n"
    ));
    let first = bench.exec(&[]).ok().stdout;
    let records = bench.records();
    let mut rng = generator(1, "flip-predictions", &[]);
    for _ in 0..20 {
        let path = only(&bench, "cache/predictions", "fuse-hf");
        let whole = flip(&path, &mut rng);
        let run = bench.exec(&[]).ok();
        // White space after the header says nothing.
        let padding = run.stderr.contains(" 0 run, ");
        assert!(padding || run.stderr.contains(", 1 run, "), "{}", run.stderr);
        assert_eq!(run.stdout, first);
        assert_eq!(bench.records(), records);
        if !padding {
            assert_eq!(std::fs::read(&path).expect("readable"), whole);
        }
    }
}

#[test]
fn flipped_bits_in_index_ledger_and_kept_tables_change_nothing() {
    let expected = Expected::new(&[]);
    let bench = Bench::with(SMALL);
    let first = bench.exec(&[]).ok().stdout;
    let index = std::fs::read(bench.path("results/tiny/index.json")).expect("index");
    let mut rng = generator(1, "flip-others", &[]);
    for _ in 0..20 {
        for file in ["index.json", "cache/ledger", "cache/tables.json", "summary.json"] {
            flip(&bench.path("results/tiny").join(file), &mut rng);
            if file == "index.json" {
                let status = bench.run(&["status", "tiny"]);
                assert_eq!(status.code, Some(2), "{}", status.stdout);
            }
            let run = bench.exec(&[]).ok().says(" 0 run, ");
            assert_eq!(run.stdout, first, "{file}");
            assert_eq!(bench.records(), expected.records);
            assert_eq!(summary(&bench), expected.summary);
            assert!(std::fs::read(bench.path("results/tiny/index.json")).expect("index") == index);
        }
    }
}

#[test]
fn several_at_once_on_one_folder_run_each_job_once() {
    let bench = Bench::with(SMALL);
    let children: Vec<Child> = (0..4).map(|_| bench.start(&["--wait", "-j", "1"])).collect();
    let mut ran = 0;
    for child in children {
        let run = Run::of(child.wait_with_output().expect("ends")).ok();
        let counts = run.stderr.lines().last().expect("a line").to_string();
        let number = counts
            .split(" up to date, ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next());
        ran += number
            .and_then(|number| number.parse::<usize>().ok())
            .expect("a number");
    }
    assert_eq!(ran, bench.records().len());
}
