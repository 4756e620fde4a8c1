//! Every manifest in `experiments/`: read, checked and planned, with its data and without.

use std::collections::BTreeSet;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use runner::data::Sets;
use runner::fusion::Method;
use runner::manifest::{Layers, Resolved, resolve_partly};
use runner::plan::{Inputs, Plan, Task, build};
use serde_json::{Value, json};

use crate::shared::{say_skipped, shared};

/// Those whose networks the repository does not hold.
const FOREIGN: [&str; 3] = ["command-vgg-non-iid", "command-vit-full", "command-vit-sharded"];

fn names() -> Vec<String> {
    let folder = std::fs::read_dir("experiments").expect("the folder");
    let manifests = folder.flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        Some(name.strip_suffix(".toml")?.to_string())
    });
    let mut names: Vec<String> = manifests.collect();
    names.sort();
    names
}

/// As far as it goes without a look at data.
fn resolved(name: &str) -> Resolved {
    let path = PathBuf::from(format!("experiments/{name}.toml"));
    let layers = Layers::read(&path, Vec::new()).unwrap_or_else(|error| panic!("{error}"));
    let (resolved, problems) = resolve_partly(&layers, &Sets::unseen());
    assert!(problems.is_empty(), "{name}: {problems:?}");
    resolved.expect("no problems")
}

fn planned(name: &str) -> Plan {
    build(&resolved(name), &Inputs::default(), "cpu").expect("no name twice")
}

#[test]
fn every_manifest_is_planned_without_its_data() {
    let names = names();
    assert!(names.len() > 50, "{}", names.len());
    for name in &names {
        assert_eq!(&resolved(name).name, name);
        assert!(!planned(name).jobs.is_empty(), "{name}");
    }
}

#[test]
fn every_experiment_has_a_small_version() {
    let all: BTreeSet<String> = names().into_iter().collect();
    for name in &all {
        let is_small = name.ends_with("-small") || name.ends_with("-reference") || name == "quickstart";
        assert!(
            is_small || all.contains(&format!("{name}-small")),
            "{name} has no small version"
        );
    }
}

#[test]
fn numbers_of_jobs() {
    let count = |name: &str| {
        let plan = planned(name);
        let of = |kind: &str| plan.jobs.iter().filter(|job| job.kind().as_str() == kind).count();
        [of("train"), of("fuse"), of("finetune")]
    };
    // Baselines 4, methods for all 9, for pairs 6; 2, 4 and 8 models; 5 seeds.
    assert_eq!(count("mnist-mlp-non-iid"), [70, 5 * (3 * 13 + 6), 0]);
    assert_eq!(count("cifar10-vgg11-sharded"), [70, 5 * (3 * 13 + 6), 0]);
    // Baselines 4, KF gradient 3; 2, 4 and 6 models.
    assert_eq!(count("cifar100-vit-non-iid"), [60, 5 * 3 * 7, 0]);
    assert_eq!(count("bloodmnist-vgg11-sharded"), [10, 5 * 19, 0]);
    // 28 pairs with everything, 30 groups of 4 and one of 8 without methods for pairs; average and ensemble come along.
    let fusions = 28 * (3 + 15) + 31 * (3 + 9);
    // All but the ensembles are trained further, the base models, too; of those averages and ensembles.
    assert_eq!(count("mnist-mlp-full"), [8, fusions, fusions - 59 + 8 + 2 * 59]);
    assert_eq!(count("command-vgg-non-iid-small"), [4, 6, 0]);
    assert_eq!(count("ablation-layers"), [50, 25 * 10, 0]);
    assert_eq!(count("ablation-widths"), [5 + 25, 25 * 6, 0]);
}

/// The epochs of base models by number of parts.
fn epochs(name: &str) -> Vec<(usize, usize)> {
    let points = resolved(name).points.into_iter();
    points
        .map(|point| (point.settings.split.parts, point.settings.base.epochs))
        .collect()
}

#[test]
fn epochs_of_base_models() {
    let known = [
        ("mnist-mlp", [25; 4], [2, 4, 8]),
        ("cifar10-vgg11", [300, 200, 150, 125], [2, 4, 8]),
        ("cifar100-vgg11", [300, 250, 225, 200], [2, 4, 8]),
        ("cifar10-vit", [350, 200, 150, 125], [2, 4, 6]),
        ("cifar100-vit", [350, 250, 225, 200], [2, 4, 6]),
        ("tiny-imagenet-vit", [300; 4], [2, 4, 6]),
    ];
    for (name, expected, parts) in known {
        assert_eq!(epochs(&format!("{name}-full")), [(8, expected[0])], "{name}");
        for kind in ["non-iid", "sharded"] {
            let split: Vec<_> = parts.into_iter().zip(expected[1..].iter().copied()).collect();
            assert_eq!(epochs(&format!("{name}-{kind}")), split, "{name}-{kind}");
        }
    }
    for kind in ["full", "non-iid", "sharded"] {
        assert!(
            epochs(&format!("bloodmnist-vgg11-{kind}"))
                .iter()
                .all(|(_, epochs)| *epochs == 100)
        );
    }
}

/// Optimiser, learning rate and epochs of levels and head, for so many models.
fn kf_gradient(name: &str, models: usize) -> [Value; 2] {
    let plan = planned(name);
    let mut found: Vec<[Value; 2]> = Vec::new();
    for job in &plan.jobs {
        let Task::Fuse(fuse) = &job.task else { continue };
        if fuse.models.len() != models {
            continue;
        }
        if let Method::KfGradient(method) = &fuse.method {
            let head = method.head.as_ref().unwrap_or(&method.level);
            let of = |level| {
                let level = serde_json::to_value(level).expect("serialisable");
                json!([level["optimizer"], level["lr"], level["epochs"]])
            };
            let settings = [of(&method.level), of(head)];
            if !found.contains(&settings) {
                found.push(settings);
            }
        }
    }
    assert_eq!(found.len(), 1, "{name} {models}: {found:?}");
    found.remove(0)
}

#[test]
fn settings_of_kf_gradient() {
    let adam = |lr: f64, epochs: usize| json!(["adam", lr, epochs]);
    let sgd = |lr: f64, epochs: usize| json!(["sgd", lr, epochs]);
    for models in [2, 4, 8] {
        for kind in ["full", "non-iid", "sharded"] {
            let settings = kf_gradient(&format!("mnist-mlp-{kind}"), models);
            assert_eq!(settings, [adam(1e-4, 25), adam(1e-4, 150)]);
            let few = models == 2 || kind == "sharded";
            let settings = kf_gradient(&format!("cifar10-vgg11-{kind}"), models);
            let expected = match few {
                true => [adam(1e-3, 100), adam(1e-3, 150)],
                false => [sgd(1e-4, 50), adam(1e-4, 150)],
            };
            assert_eq!(settings, expected, "CIFAR-10 {kind} {models}");
            let settings = kf_gradient(&format!("cifar100-vgg11-{kind}"), models);
            let expected = match few {
                true => [adam(1e-4, 100), adam(1e-4, 100)],
                false => [sgd(1e-3, 50), sgd(1e-3, 100)],
            };
            assert_eq!(settings, expected, "CIFAR-100 {kind} {models}");
        }
    }
    for kind in ["full", "non-iid", "sharded"] {
        let blood = kf_gradient(&format!("bloodmnist-vgg11-{kind}"), 2);
        assert_eq!(blood, [adam(1e-3, 100), adam(1e-3, 100)]);
        for name in ["cifar10-vit", "cifar100-vit", "tiny-imagenet-vit"] {
            let vit = kf_gradient(&format!("{name}-{kind}"), 4);
            assert_eq!(vit, [adam(1e-3, 100), adam(1e-3, 100)]);
        }
    }
    let command = kf_gradient("command-vgg-non-iid", 4);
    assert_eq!(command, [sgd(1e-4, 100), adam(1e-3, 100)]);
}

/// A data folder with everything: MNIST and CIFAR-10 of `shared`, small or empty images in the true forms of the others.
fn data(shared: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("temporary folder");
    for name in ["mnist", "cifar10"] {
        let theirs = shared.join("data").join(name).canonicalize().expect("data");
        std::os::unix::fs::symlink(theirs, folder.path().join(name)).expect("linked");
    }
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        runner::result::write_atomic(&path, bytes).expect("written");
    };
    for (file, images) in [("train", 50_000), ("test", 10_000)] {
        let mut records = vec![0u8; images * 3074];
        for (i, record) in records.chunks_mut(3074).enumerate() {
            record[1] = (i % 100) as u8;
        }
        write(&format!("cifar100/cifar-100-binary/{file}.bin"), &records);
    }
    write("bloodmnist/bloodmnist_64.npz", &blood());
    let image = picture();
    let mut annotations = String::new();
    for class in 0..200 {
        for i in 0..3 {
            write(
                &format!("tiny-imagenet-200/train/n{class:03}/images/n{class:03}_{i}.JPEG"),
                &image,
            );
        }
        write(&format!("tiny-imagenet-200/val/images/val_{class}.JPEG"), &image);
        let line = format!("val_{class}.JPEG\tn{class:03}\t0\t0\t63\t63\n");
        annotations.push_str(&line);
    }
    write(
        "tiny-imagenet-200/val/val_annotations.txt",
        annotations.as_bytes(),
    );
    folder
}

/// `.npz` as numpy writes it: arrays of bytes, stored.
fn blood() -> Vec<u8> {
    let mut file = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (part, count) in [("train", 80usize), ("val", 8), ("test", 8)] {
        let labels: Vec<u8> = (0..count).map(|i| (i % 8) as u8).collect();
        let images = vec![7u8; count * 64 * 64 * 3];
        let arrays = [
            (format!("{part}_images"), format!("({count}, 64, 64, 3)"), images),
            (format!("{part}_labels"), format!("({count}, 1)"), labels),
        ];
        for (name, shape, values) in arrays {
            let stored =
                zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
            file.start_file(format!("{name}.npy"), stored).expect("a file");
            let mut header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}");
            while !(10 + header.len() + 1).is_multiple_of(64) {
                header.push(' ');
            }
            header.push('\n');
            let length = u16::try_from(header.len()).expect("short").to_le_bytes();
            for bytes in [
                b"\x93NUMPY\x01\x00".as_slice(),
                &length,
                header.as_bytes(),
                &values,
            ] {
                file.write_all(bytes).expect("written");
            }
        }
    }
    file.finish().expect("finished").into_inner()
}

/// A PNG of 64 x 64 pixels.
fn picture() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 64, 64);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().expect("in memory");
    writer.write_image_data(&[90; 64 * 64 * 3]).expect("in memory");
    writer.finish().expect("in memory");
    bytes
}

/// Runs the program in the folder of the project.
fn run(args: &[&str], results: &Path) -> (Option<i32>, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_runner"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RUNNER_") {
            command.env_remove(name);
        }
    }
    let output = command
        .args(["--results".as_ref(), results.as_os_str()])
        .args(args)
        .output()
        .expect("the program starts");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).expect("UTF-8"))
}

#[test]
fn every_manifest_is_checked_and_planned_by_the_program() {
    let Some(shared) = shared("checks of all experiments on their data") else {
        return;
    };
    let beside = Path::new("../shared/golden").is_dir();
    if !beside {
        say_skipped("experiments named -reference", "there is no `../shared`");
    }
    let data = data(&shared);
    let results = tempfile::tempdir().expect("temporary folder");
    let data_dir = data.path().display().to_string();
    for name in names() {
        let path = format!("experiments/{name}.toml");
        if FOREIGN.contains(&name.as_str()) || (name.ends_with("-reference") && !beside) {
            continue;
        }
        // The fixtures have fewer images than the paper's fusion sets.
        let small = ["bloodmnist", "tiny-imagenet"]
            .iter()
            .any(|set| name.starts_with(set));
        let samples = if small {
            "fusion-set.samples=8"
        } else {
            "resources.timeout=1d"
        };
        for command in [&["check"][..], &["exec", "-n"]] {
            let args = [command, &["--data-dir", &data_dir, &path, samples]].concat();
            let (code, text) = run(&args, results.path());
            assert_eq!(code, Some(0), "{name}: {text}");
        }
    }
    assert!(std::fs::read_dir(results.path()).expect("there").next().is_none());
}

#[test]
fn what_is_not_there_is_said_with_the_way_to_get_it() {
    let empty = tempfile::tempdir().expect("temporary folder");
    let folder = empty.path().display().to_string();
    for (name, set) in [
        ("mnist-mlp-full", "mnist"),
        ("cifar100-vgg11-non-iid", "cifar100"),
        ("bloodmnist-vgg11-sharded", "bloodmnist"),
        ("tiny-imagenet-vit-full", "tiny-imagenet"),
    ] {
        let path = format!("experiments/{name}.toml");
        let (code, text) = run(&["check", "--data-dir", &folder, &path], empty.path());
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains(&format!("runner fetch {set}")), "{text}");
    }
    for name in FOREIGN {
        let path = format!("experiments/{name}.toml");
        let (code, text) = run(&["check", "--data-dir", &folder, &path], empty.path());
        assert_eq!(code, Some(2), "{text}");
        assert!(
            text.contains("runner fetch cifar10")
                || text.contains("or drop `models`, and they are trained here"),
            "{text}"
        );
    }
}
