//! What the system refuses: threads, memory, outputs; and time limits. A message and an exit code, never a panic or a signal.

use super::*;
use std::os::unix::fs::PermissionsExt;

/// A manifest that runs in a second.
const SMALL: &str = r#"name = "tiny"

[dataset]
name = "digits"

[split]
parts = 2

[model]
hidden = [8]

[base]
epochs = 1

[fusion-set]
samples = 100

[[fusion]]
method = "vanilla-averaging"
"#;

/// The program ended by itself, with a code that is documented.
#[track_caller]
fn ended_well(run: &Run, what: &str) {
    assert!(
        matches!(run.code, Some(0 | 2 | 100)),
        "{what}: {:?}\n{}",
        run.code,
        run.stderr
    );
    assert!(!run.stderr.contains("panicked"), "{what}: {}", run.stderr);
    if run.code == Some(2) {
        let told = run.stderr.contains("error: ") || run.stderr.contains("memory allocation of");
        assert!(told, "{what}: {}", run.stderr);
    }
}

#[test]
fn no_more_threads() {
    // A user that runs nothing else: the limit is on all processes of a user.
    let user = (61_000 + std::process::id() % 1000).to_string();
    let open = |path: &Path| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).expect("permissions");
    };
    open(PROGRAM.0.path());
    let mut seen = 0;
    for processes in [1, 2, 3, 4, 6, 8] {
        for (kind, jobs) in [("threads", "2"), ("processes", "2"), ("threads", "1")] {
            let bench = Bench::with(SMALL);
            open(bench.folder.path());
            let mut command = std::process::Command::new("setpriv");
            command
                .args(["--reuid", &user, "--clear-groups", "prlimit"])
                .arg(format!("--nproc={processes}"))
                .arg(&PROGRAM.1)
                .args(["exec", "tiny.toml", "--workers", kind, "-j", jobs])
                .current_dir(bench.folder.path());
            let output = match command.output() {
                Ok(output) if output.status.code() != Some(127) => output,
                _ => return crate::shared::say_skipped("no more threads", "there is no `setpriv`"),
            };
            let run = Run::of(output);
            if run.stderr.contains("setpriv: ") {
                return crate::shared::say_skipped("no more threads", "only root may become another user");
            }
            ended_well(&run, &format!("{processes} processes, {kind}"));
            seen += usize::from(run.stderr.contains("the system refuses another thread"));
        }
    }
    assert!(seen > 0, "no limit was met");
}

#[test]
fn no_more_memory() {
    for kilobytes in [50_000, 100_000, 150_000, 200_000, 300_000, 400_000, 800_000] {
        let bench = Bench::with(SMALL);
        let limit = format!("ulimit -v {kilobytes}");
        let run = limited(&bench, &limit, "exec tiny.toml -j 1 resources.cores=1");
        ended_well(&run, &limit);
        // Addresses that are never used count, too; a tenth of this is used.
        if kilobytes == 800_000 {
            run.ok();
        }
    }
}

#[test]
fn no_larger_files() {
    for blocks in [0, 1, 4, 16] {
        let bench = Bench::with(SMALL);
        let limit = format!("ulimit -f {blocks}");
        let run = limited(&bench, &limit, "exec tiny.toml");
        ended_well(&run, &limit);
        run.code(2).says("File too large");
    }
}

/// The program under a limit of the shell's.
fn limited(bench: &Bench, limit: &str, arguments: &str) -> Run {
    let mut shell = std::process::Command::new("sh");
    shell
        .arg("-c")
        .arg(format!("{limit}; exec \"$0\" {arguments}"))
        .arg(&PROGRAM.1)
        .current_dir(bench.folder.path());
    Run::of(shell.output().expect("starts"))
}

#[test]
fn outputs_that_are_full_or_closed() {
    let bench = Bench::with(SMALL);
    let shell = |line: &str| {
        let mut command = std::process::Command::new("sh");
        command
            .args(["-c", line])
            .arg(&PROGRAM.1)
            .current_dir(bench.folder.path());
        Run::of(command.output().expect("starts"))
    };
    let commands = [
        "exec tiny.toml",
        "exec tiny.toml --dry-run",
        "exec tiny.toml --force --format jsonl",
        "check tiny.toml",
        "config tiny.toml",
        "list tiny.toml",
        "methods",
        "schema",
        "status tiny",
        "table tiny",
        "verify tiny.toml --allow-dirty",
        "--help",
    ];
    for command in commands {
        let full = shell(&format!("\"$0\" {command} > /dev/full"));
        ended_well(&full, command);
        // `check` has nothing to say there.
        if !command.starts_with("check") {
            assert_eq!(full.code, Some(2), "{command}: {}", full.stderr);
            assert!(
                full.stderr.contains("No space left on device"),
                "{command}: {}",
                full.stderr
            );
        }
        for redirection in [
            ">&-",
            "2>&-",
            ">&- 2>&- <&-",
            "2>/dev/full",
            "-v 2>/dev/full",
            "| head -1",
        ] {
            let run = shell(&format!("\"$0\" {command} {redirection}"));
            assert_eq!(run.code, Some(0), "{command} {redirection}: {}", run.stderr);
            assert!(
                !run.stderr.contains("panicked"),
                "{command} {redirection}: {}",
                run.stderr
            );
        }
    }
}

/// The images of a running job are its own: whatever becomes of the kept file, the numbers are the same.
#[test]
fn a_cache_that_is_cut_while_it_is_used() {
    let manifest = SMALL
        .replace("\"digits\"", "\"./set\"")
        .replace("epochs = 1", "epochs = 2000");
    let bench = Bench::with(&manifest);
    for part in ["train", "test"] {
        for class in ["a", "b"] {
            let folder = bench.path(&format!("set/{part}/{class}"));
            std::fs::create_dir_all(&folder).expect("folder");
            for index in 0..20u8 {
                let mut bytes = Vec::new();
                let mut encoder = png::Encoder::new(&mut bytes, 16, 16);
                encoder.set_color(png::ColorType::Rgb);
                let pixels: Vec<u8> = (0..=255)
                    .flat_map(|i: u8| [i, index, class.as_bytes()[0]])
                    .collect();
                let mut writer = encoder.write_header().expect("header");
                writer.write_image_data(&pixels).expect("image");
                writer.finish().expect("end");
                let path = folder.join(format!("{index}.png"));
                runner::result::write_atomic(&path, &bytes).expect("written");
            }
        }
    }
    bench.run(&["check", "tiny.toml"]).ok();
    let kept = bench.path("set/images.runner-cache");
    assert!(kept.exists(), "{:?}", bench.files());
    let exec = bench.start(&["-j", "1"]);
    let log = bench.path("results/tiny/cache/logs");
    let begun = || {
        let logs = std::fs::read_dir(&log).into_iter().flatten().flatten();
        logs.filter_map(|entry| std::fs::read_to_string(entry.path()).ok())
            .any(|text| text.contains("epoch"))
    };
    until("a training has begun", begun);
    std::fs::File::options()
        .write(true)
        .truncate(true)
        .open(&kept)
        .expect("cut");
    Run::of(exec.wait_with_output().expect("ends")).ok();
    let records = bench.records();
    let again = bench.exec(&["--force"]).ok();
    assert_eq!(bench.records(), records, "{}", again.stderr);
}

/// Each of these takes seconds at least: conductances and a transport, k-means and the decomposition of a wide layer.
#[test]
fn methods_hear_their_time_limit() {
    let wide = SMALL
        .replace("hidden = [8]", "hidden = [2500, 2500]")
        .replace("samples = 100", "samples = 400")
        .replace("vanilla-averaging", "otfusion");
    let bench = Bench::with(&format!(
        "{wide}importance = \"conductance\"\n\n[[fusion]]\nmethod = \"kf-linear\"\n"
    ));
    bench.exec(&["-E", "kind=train"]).ok();
    let run = bench.exec(&["-j", "1", "resources.timeout=300ms"]);
    run.code(100).says("2 failed");
    for (name, record) in times(&bench) {
        assert!(record < 3.0, "{name}: {record} s");
    }
    let files = "results/tiny/cache/checkpoints/*.safetensors";
    let fuse = [
        "fuse",
        "--method",
        "kf-linear",
        "--models",
        files,
        "--dataset",
        "digits",
    ];
    let limit = ["--set", "resources.timeout=300ms", "--out", "fused.safetensors"];
    let since = Instant::now();
    let run = bench.run(&[fuse.as_slice(), &limit].concat()).code(2);
    run.says("the job took longer than 300ms");
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
}

/// Seconds of the fusions, by name.
fn times(bench: &Bench) -> BTreeMap<String, f64> {
    let entries = std::fs::read_dir(bench.path("results/tiny/records")).expect("records");
    let records = entries.flatten().map(|entry| {
        let text = std::fs::read_to_string(entry.path()).expect("readable");
        serde_json::from_str::<Value>(&text).expect("JSON")
    });
    let fusions = records.filter(|record| record["kind"] == "fuse");
    fusions
        .map(|record| {
            let name = record["job"].as_str().expect("a name").to_string();
            (name, record["seconds"]["total"].as_f64().expect("a number"))
        })
        .collect()
}
