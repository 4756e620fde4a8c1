//! `runner fetch`, data sets by path, and disks that are full.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

use sha2::{Digest, Sha256};

use super::*;
use crate::shared::shared;

fn sha256(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Serves the files of one repository of the hub, by name, with their checksums.
fn hub(repository: &str, files: Vec<(String, Vec<u8>)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let repository = repository.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = answer(stream, &repository, &files);
        }
    });
    url
}

fn answer(mut stream: TcpStream, repository: &str, files: &[(String, Vec<u8>)]) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().unwrap_or(Ok(String::new()))?;
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut start = 0;
    for line in lines {
        let line = line?.to_ascii_lowercase();
        if let Some(bytes) = line.strip_prefix("range: bytes=") {
            start = bytes.trim_end_matches('-').parse().unwrap_or(0);
        }
        if line.is_empty() {
            break;
        }
    }
    let body = if path == format!("/api/datasets/{repository}/tree/main?recursive=true") {
        let entry = |(name, bytes): &(String, Vec<u8>)| serde_json::json!({"type": "file", "path": name, "size": bytes.len(), "lfs": {"oid": sha256(bytes)}});
        Some(
            files
                .iter()
                .map(entry)
                .collect::<Value>()
                .to_string()
                .into_bytes(),
        )
    } else {
        let file = files
            .iter()
            .find(|(name, _)| path == format!("/datasets/{repository}/resolve/main/{name}"));
        file.map(|(_, bytes)| bytes.clone())
    };
    let (status, body) = match body {
        Some(body) if start > 0 => {
            let range = format!(
                "206 Partial Content\r\nContent-Range: bytes {start}-{}/{}",
                body.len() - 1,
                body.len()
            );
            (range, body[start..].to_vec())
        }
        Some(body) => ("200 OK".to_owned(), body),
        None => ("404 Not Found".to_owned(), Vec::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body)
}

/// The program with files of at most so many bytes, as on a disk that is full; the signal that would end it is ignored.
fn limited(bench: &Bench, kilobytes: usize, args: &[&str]) -> Run {
    let program = bench.std(args);
    let mut command = std::process::Command::new("bash");
    let script = format!("trap '' XFSZ; ulimit -f {kilobytes}; exec \"$0\" \"$@\"");
    command
        .arg("-c")
        .arg(script)
        .arg(program.get_program())
        .args(program.get_args());
    command.current_dir(bench.folder.path());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Run::of(command.output().expect("bash starts"))
}

fn noise(length: usize) -> Vec<u8> {
    (0..length as u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

#[test]
fn what_cannot_be_fetched_says_why() {
    let bench = Bench::new();
    bench
        .run(&["fetch", "digits", "--data-dir", "data"])
        .code(2)
        .says("there is nothing to fetch");
    bench
        .run(&["fetch", "mnits", "--data-dir", "data"])
        .code(2)
        .says("did you mean `mnist`?");
    bench
        .run(&["fetch", "mnist"])
        .code(2)
        .says("with `--data-dir DIR`");
    let url = hub("nobody/nothing", Vec::new());
    let run = bench
        .run(&["fetch", "cifar10", "--data-dir", "data", "--from", &url])
        .code(2);
    run.says("answers with status 404")
        .says("hint: the files may have moved");
    bench
        .exec(&["dataset.name=mnist"])
        .code(2)
        .says("give the folder that holds the files of `mnist`");
    bench
        .exec(&["dataset.name=mnist", "--data-dir", "data"])
        .code(2)
        .says("cannot find `train-images-idx3-ubyte`")
        .says("download it with `runner fetch mnist --data-dir DIR`");
}

#[test]
fn a_full_disk_keeps_what_was_received_and_the_next_fetch_goes_on() {
    let bench = Bench::new();
    let body = noise(200_000);
    let name = "data/train-00000-of-00001.parquet".to_owned();
    let url = hub("slegroux/tiny-imagenet-200-clean", vec![(name, body.clone())]);
    let args = ["fetch", "tiny-imagenet", "--data-dir", "d", "--from", &url];
    let run = limited(&bench, 100, &args).code(2);
    run.says("cannot write `d/tiny-imagenet/.train-00000-of-00001.parquet.")
        .says("hint: make room");
    let target = bench.path("d/tiny-imagenet/train-00000-of-00001.parquet");
    assert!(!target.exists());
    // Then the file comes through, and is found to be none.
    bench
        .run(&args)
        .code(2)
        .says("cannot find `test-*.parquet` or `valid-*.parquet`");
    assert_eq!(std::fs::read(target).expect("there"), body);
}

/// Real files, all the way to a decoded and kept data set, which is then loaded in little time.
#[test]
fn cifar10_is_fetched_decoded_and_ready() {
    let Some(shared) = shared("a fetch of CIFAR-10") else {
        return;
    };
    let file = |part: &str| {
        let name = format!("{part}-00000-of-00001.parquet");
        let bytes = std::fs::read(shared.join("data/cifar10").join(&name)).expect("readable");
        (format!("plain_text/{name}"), bytes)
    };
    let bench = Bench::new();
    let url = hub("uoft-cs/cifar10", vec![file("train"), file("test")]);
    let args = ["fetch", "cifar10", "--data-dir", "d", "--from", &url];
    let run = bench.run(&args).ok();
    assert_eq!(
        run.stdout,
        "cifar10: 50000 training and 10000 test images of 3 x 32 x 32 in 10 classes; 2 files fetched, 0 up to date, in \
         d/cifar10\n"
    );
    assert!(
        run.stderr.is_empty(),
        "no progress unless on a terminal: {}",
        run.stderr
    );
    assert!(bench.path("d/cifar10/cifar10.runner-cache").is_file());
    let again = bench.run(&args).ok().stdout;
    assert!(again.contains("0 files fetched, 2 up to date"), "{again}");
}

/// A folder of images: three classes of 40 training and 4 test images of 16 x 16 pixels, each class of a colour.
fn animals(bench: &Bench) {
    for (class, name) in ["ape", "bee", "cow"].iter().enumerate() {
        for index in 0..44_usize {
            let part = if index < 40 { "train" } else { "test" };
            let path = bench.path(&format!("pictures/{part}/{name}/{index:02}.png"));
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
            let pixels: Vec<u8> = noise(16 * 16 * 3 + index)[index..]
                .iter()
                .enumerate()
                .map(|(k, &value)| {
                    if k % 3 == class {
                        128 + value / 2
                    } else {
                        value / 2
                    }
                })
                .collect();
            let mut bytes = Vec::new();
            let mut encoder = png::Encoder::new(&mut bytes, 16, 16);
            encoder.set_color(png::ColorType::Rgb);
            let mut writer = encoder.write_header().expect("in memory");
            writer.write_image_data(&pixels).expect("in memory");
            writer.finish().expect("in memory");
            runner::result::write_atomic(&path, &bytes).expect("written");
        }
    }
}

#[test]
fn images_that_find_no_room_in_the_cache_are_used_all_the_same_and_said_to_be_kept_nowhere() {
    let bench = Bench::with(&TINY.replace("name = \"digits\"", "name = \"./pictures\""));
    animals(&bench);
    // 132 images of 768 bytes do not fit into 60 KB.
    let run = limited(&bench, 60, &["exec", "tiny.toml", "-n", "fusion-set.samples=20"]).ok();
    let said = run
        .stderr
        .matches("decoded images are kept nowhere, and decoded again each time");
    assert_eq!(said.count(), 1, "{}", run.stderr);
    let whole = std::fs::read_dir(bench.path("pictures")).expect("the folder");
    let names: Vec<String> = whole
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| name.contains("runner-cache"))
        .collect();
    assert!(names.is_empty(), "{names:?}");
    let again = bench.exec(&["-n", "fusion-set.samples=20"]).ok();
    assert!(!again.stderr.contains("decoded"), "{}", again.stderr);
}

#[test]
fn an_experiment_runs_on_a_folder_of_images() {
    let bench = Bench::with(&TINY.replace("name = \"digits\"", "name = \"./pictures\""));
    bench.exec(&[]).code(2).says("cannot find the folder `pictures`");
    animals(&bench);
    bench
        .exec(&["split.parts=121"])
        .code(2)
        .says("121 parts, but only 120 samples");
    bench
        .exec(&["split.kind=sharded", "split.parts=4"])
        .code(2)
        .says("4 parts, but only 3 classes");
    bench
        .exec(&["fusion-set.samples=121"])
        .code(2)
        .says("but `./pictures` has only 120 training images");
    bench.exec(&["fusion-set.samples=20"]).ok();
    let (_, record) = bench.record("train-model_0-seed=1");
    let counts = record["diagnostics"]["class-counts"].as_array().expect("counts");
    assert_eq!(counts.len(), 3);
    assert_eq!(record["settings"]["dataset"]["name"], "path");
    let normalisation = &record["diagnostics"]["normalisation"];
    assert_eq!(
        normalisation["mean"].as_array().map(Vec::len),
        Some(3),
        "{normalisation}"
    );
    // Paths are no part of a job's identity.
    std::fs::rename(bench.path("pictures"), bench.path("photos")).expect("renamed");
    let again = bench
        .exec(&["fusion-set.samples=20", "dataset.name=./photos"])
        .ok();
    assert!(again.stderr.contains("0 run"), "{}", again.stderr);
    // Another normalisation is another job.
    let given = [
        "fusion-set.samples=20",
        "dataset.name=./photos",
        "dataset.mean=[0.5, 0.5, 0.5]",
    ];
    bench
        .exec(&given)
        .code(2)
        .says("`dataset.mean` is given without `dataset.std`");
    let both = [&given[..], &["dataset.std=[0.5, 0.5, 0.5]", "-n"]].concat();
    assert!(bench.exec(&both).ok().stdout.contains("10 of 10 jobs would run"));
    // `inspect` counts classes.
    let file = std::fs::read_dir(bench.path("results/tiny/cache/checkpoints"))
        .expect("checkpoints")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.to_string_lossy().contains("train-model_0-seed=1"))
        .expect("a checkpoint");
    let file = file.display().to_string();
    let shown = bench
        .run(&["inspect", &file, "--dataset", "./photos", "--format", "json"])
        .ok()
        .stdout;
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown[0]["class-counts"].as_array(), Some(counts));
    let text = bench
        .run(&["inspect", &file, "--dataset", "./photos"])
        .ok()
        .stdout;
    assert!(
        text.contains(&format!(
            "classes       0: {}, 1: {}, 2: {}",
            counts[0], counts[1], counts[2]
        )),
        "{text}"
    );
    bench
        .run(&["inspect", &file, "--dataset", "./none"])
        .code(2)
        .says("cannot find the folder `none`");
}

#[test]
fn a_full_disk_while_images_are_kept_changes_nothing_but_time() {
    let bench = Bench::with(
        &TINY
            .replace("name = \"digits\"", "name = \"./pictures\"")
            .replace("50", "20"),
    );
    animals(&bench);
    let kept = bench.path("pictures/images.runner-cache");
    // 132 images of 768 bytes do not fit into 50 kB. The file is left out, in the folder and in the cache folder.
    let run = limited(&bench, 50, &["check", "tiny.toml", "-v"]).ok();
    assert!(
        run.stderr.contains("decoded images are kept nowhere"),
        "{}",
        run.stderr
    );
    assert!(!kept.exists());
    let left: Vec<_> = std::fs::read_dir(bench.path("pictures"))
        .expect("list")
        .flatten()
        .collect();
    assert_eq!(left.len(), 2, "nothing half-written is left: {left:?}");
    bench.run(&["check", "tiny.toml"]).ok();
    assert!(kept.is_file());
    // A writer that is killed in the middle leaves a file that is never taken for a whole one.
    let whole = std::fs::read(&kept).expect("readable");
    for cut in [whole.len() - 1, whole.len() / 2, 40] {
        runner::result::write_atomic(&kept, &whole[..cut]).expect("written");
        bench.run(&["check", "tiny.toml"]).ok();
        assert_eq!(std::fs::read(&kept).expect("kept again"), whole, "{cut} bytes");
    }
}
