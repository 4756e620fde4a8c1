//! Small inputs stay small: files of kilobytes that claim, or unpack to, gigabytes; and what is no file at all.

use std::io::{Read, Write};
use std::sync::Arc;

use flate2::Compression as Level;
use flate2::write::{DeflateEncoder, GzEncoder};
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::*;

/// Most memory to read or refuse anything small, in KiB.
const MOST: u64 = 500_000;
/// Longest time for it, on a busy machine.
const LONGEST: Duration = Duration::from_mins(1);

/// What a command wrote, its exit code, and the most memory it held at a time, in KiB.
fn measured(bench: &Bench, args: &[&str]) -> (String, Option<i32>, u64) {
    let mut command = bench.std(args);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let status = format!("/proc/{}/status", child.id());
    let (begun, mut peak) = (Instant::now(), 0);
    let code = loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let found = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        peak = peak.max(found.unwrap_or(0));
        if let Some(status) = child.try_wait().expect("a child") {
            break status.code();
        }
        if begun.elapsed() > LONGEST {
            child.kill().expect("a child");
            panic!("{args:?} does not end");
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    let mut text = String::new();
    let outputs = (
        child.stdout.take().expect("piped"),
        child.stderr.take().expect("piped"),
    );
    outputs
        .0
        .chain(outputs.1)
        .read_to_string(&mut text)
        .expect("text");
    (text, code, peak)
}

fn put(bench: &Bench, name: &str, bytes: &[u8]) {
    let path = bench.path(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    runner::result::write_atomic(&path, bytes).expect("written");
}

fn zeros(count: u64, out: &mut impl Write) {
    std::io::copy(&mut std::io::repeat(0).take(count), out).expect("in memory");
}

/// Images of so many zeros.
fn parquet(rows: usize, bytes: usize) -> Vec<u8> {
    let schema = "message s { required binary image; required int64 label; }";
    let schema = Arc::new(parse_message_type(schema).expect("a schema"));
    let by = Compression::ZSTD(ZstdLevel::default());
    let properties = WriterProperties::builder()
        .set_compression(by)
        .set_dictionary_enabled(false);
    let mut file = Vec::new();
    let mut writer =
        SerializedFileWriter::new(&mut file, schema, Arc::new(properties.build())).expect("a writer");
    let mut group = writer.next_row_group().expect("a group");
    let mut column = group.next_column().expect("a column").expect("one more");
    let image = ByteArray::from(vec![0; bytes]);
    for _ in 0..rows {
        let written = column
            .typed::<ByteArrayType>()
            .write_batch(std::slice::from_ref(&image), None, None);
        written.expect("written");
    }
    column.close().expect("closed");
    let mut column = group.next_column().expect("a column").expect("one more");
    let labels: Vec<i64> = (0..).take(rows).collect();
    column
        .typed::<Int64Type>()
        .write_batch(&labels, None, None)
        .expect("written");
    column.close().expect("closed");
    group.close().expect("closed");
    writer.close().expect("closed");
    file
}

/// A `.npz` archive of images without content, deflated.
fn npz(images: u64, side: u64) -> Vec<u8> {
    let mut archive: Vec<u8> = Vec::new();
    let mut directory: Vec<u8> = Vec::new();
    let mut entries: u16 = 0;
    for (part, count) in [("train", images), ("val", 1), ("test", 1)] {
        for (name, shape, values) in [
            (
                format!("{part}_images.npy"),
                format!("({count}, {side}, {side})"),
                count * side * side,
            ),
            (format!("{part}_labels.npy"), format!("({count}, 1)"), count),
        ] {
            let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}");
            let start = [
                b"\x93NUMPY\x01\x00",
                &(header.len() as u16).to_le_bytes()[..],
                header.as_bytes(),
            ]
            .concat();
            let mut encoder = DeflateEncoder::new(Vec::new(), Level::fast());
            encoder.write_all(&start).expect("in memory");
            zeros(values, &mut encoder);
            let packed = encoder.finish().expect("in memory");
            let size = start.len() as u64 + values;
            // The large one is refused before its checksum is looked at.
            let mut crc = flate2::Crc::new();
            if values < 1 << 20 {
                crc.update(&start);
                crc.update(&vec![0; values as usize]);
            }
            let mut common: Vec<u8> = vec![20, 0, 0, 0, 8, 0, 0, 0, 0, 0];
            for field in [crc.sum(), packed.len() as u32, size as u32] {
                common.extend(field.to_le_bytes());
            }
            common.extend((name.len() as u16).to_le_bytes());
            common.extend([0, 0]);
            let at = archive.len() as u32;
            archive.extend([&b"PK\x03\x04"[..], &common, name.as_bytes(), &packed].concat());
            directory.extend(
                [
                    &b"PK\x01\x02\x14\x00"[..],
                    &common,
                    &[0; 10],
                    &at.to_le_bytes(),
                    name.as_bytes(),
                ]
                .concat(),
            );
            entries += 1;
        }
    }
    let (at, length) = (archive.len() as u32, directory.len() as u32);
    archive.extend(directory);
    archive.extend(b"PK\x05\x06\0\0\0\0");
    archive.extend([entries.to_le_bytes(), entries.to_le_bytes()].concat());
    archive.extend([length.to_le_bytes(), at.to_le_bytes()].concat());
    archive.extend([0, 0]);
    archive
}

/// A PNG whose header claims so many pixels.
fn png(side: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side, side);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().expect("in memory");
    let nothing = [0x78, 0x9c, 0x03, 0, 0, 0, 0, 1];
    writer.write_chunk(png::chunk::IDAT, &nothing).expect("in memory");
    drop(writer);
    bytes
}

fn safetensors(metadata: &str) -> Vec<u8> {
    let header =
        format!(r#"{{"__metadata__":{metadata},"w":{{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}}}"#);
    [
        &(header.len() as u64).to_le_bytes()[..],
        header.as_bytes(),
        &[0; 8],
    ]
    .concat()
}

/// A checkpoint that says it is of this architecture.
fn checkpoint(architecture: &str) -> Vec<u8> {
    let meta = format!(
        r#"{{"architecture":{architecture},"image":[1,8,8],"classes":10,"train-indices":[],"val-indices":[],"job":"x","key":"0"}}"#
    );
    safetensors(&serde_json::json!({ "runner": meta }).to_string())
}

#[test]
fn files_that_unpack_to_gigabytes_are_refused_within_little_memory() {
    let bench = Bench::with(&TINY.replace("name = \"digits\"", "name = \"./set\""));
    let mut gzip = GzEncoder::new(Vec::new(), Level::fast());
    zeros(1 << 30, &mut gzip);
    let gzip = gzip.finish().expect("in memory");
    let hidden = format!(
        r#"{{"architecture":"mlp","hidden":[{}16]}}"#,
        "16,".repeat(1_000_000)
    );
    let entries: Vec<String> = (0..200_000).map(|i| format!("\"{i}\":\"\"")).collect();
    for (name, bytes) in [
        ("bomb/train.parquet", parquet(4, 300 << 20)),
        ("bomb/test.parquet", parquet(1, 10)),
        ("bomb.npz", npz(1_000, 1_024)),
        ("mnist/train-images-idx3-ubyte.gz", gzip.clone()),
        ("mnist/train-labels-idx1-ubyte.gz", gzip.clone()),
        ("mnist/t10k-images-idx3-ubyte.gz", gzip.clone()),
        ("mnist/t10k-labels-idx1-ubyte.gz", gzip),
        ("huge/train/a/0.png", png(60_000)),
        ("huge/train/b/0.png", png(60_000)),
        ("huge/test/a/0.png", png(60_000)),
        ("many.safetensors", checkpoint(&hidden)),
        (
            "deep.safetensors",
            checkpoint(r#"{"architecture":"vit","depth":1000000000}"#),
        ),
        (
            "texts.safetensors",
            safetensors(&format!("{{{}}}", entries.join(","))),
        ),
        ("long.safetensors", [&[0xff_u8; 7][..], &[0], b"{}"].concat()),
    ] {
        put(&bench, name, &bytes);
    }
    for (args, code, said) in [
        (["check", "tiny.toml", "dataset.name=./bomb"], 2, "it unpacks to"),
        (
            ["check", "tiny.toml", "dataset.name=./bomb.npz"],
            2,
            "more than an archive of this size",
        ),
        (["check", "tiny.toml", "dataset.name=mnist"], 2, "more than"),
        (["check", "tiny.toml", "dataset.name=./huge"], 2, "60000"),
        (
            ["inspect", "many.safetensors", "--color=never"],
            0,
            "1 tensors are too few for 1000001",
        ),
        (
            ["inspect", "deep.safetensors", "--color=never"],
            0,
            "1 tensors are too few for 1000000000",
        ),
        (
            ["inspect", "texts.safetensors", "--color=never"],
            2,
            "more than 65536 texts",
        ),
        (["inspect", "long.safetensors", "--color=never"], 2, ""),
    ] {
        let args: Vec<&str> = args
            .into_iter()
            .filter(|arg| !arg.starts_with("--color"))
            .collect();
        let args = [&["--data-dir", "."], args.as_slice()].concat();
        let (text, found, peak) = measured(&bench, &args);
        assert_eq!(found, Some(code), "{args:?}: {text}");
        assert!(text.contains(said), "{args:?}: {text}");
        assert!(
            !args.contains(&"check") || args.contains(&"dataset.name=mnist") || !text.contains("download"),
            "{text}"
        );
        assert!(peak < MOST, "{args:?} took {peak} KiB");
    }
}

#[test]
fn pipes_and_devices_are_refused_or_passed_over_at_once() {
    let bench = Bench::new();
    let pipe = |name: &str| {
        let path = bench.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::RWXU).expect("a pipe");
    };
    bench.exec(&[]).ok();
    for name in [
        "pipe.toml",
        "neighbour/pipe.toml",
        "templates/mine.md",
        "model.pt",
        "model2.pt",
        "pipe.npz",
        "set/train/a/0.png",
        "set/test/a/0.png",
        "results/tiny/records/pipe.json",
        "results/tiny/cache/ledgers/pipe",
    ] {
        pipe(name);
    }
    bench.write("neighbour/tiny.toml", TINY);
    bench.write("above.toml", "extends = \"pipe.toml\"\n");
    let model = format!("{TINY}\n[base]\nmodels = \"model*.pt\"\n")
        .replace("[base]\nepochs = 3\nbatch-size = 64\n", "");
    bench.write(
        "models.toml",
        &model.replace("name = \"tiny\"", "name = \"models\""),
    );
    let job = std::fs::read_dir(bench.path("results/tiny/records"))
        .expect("records")
        .flatten()
        .map(|entry| entry.path())
        .find(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("fuse"))
        })
        .expect("a record");
    for (args, code, said) in [
        (vec!["check", "pipe.toml"], 2, "named pipe"),
        (vec!["check", "/dev/zero"], 2, "a device"),
        (vec!["check", "."], 2, "folder"),
        (vec!["check", "above.toml"], 2, "named pipe"),
        (vec!["check", "tiny.toml"], 0, ""),
        (vec!["check", "neighbour/tiny.toml"], 0, ""),
        (vec!["check", "models.toml"], 2, "named pipe"),
        (
            vec!["check", "tiny.toml", "dataset.name=./pipe.npz"],
            2,
            "pipe.npz",
        ),
        (vec!["check", "tiny.toml", "dataset.name=./set"], 2, "named pipe"),
        (vec!["inspect", "model.pt"], 2, "named pipe"),
        (vec!["table", "tiny"], 0, ""),
        (vec!["gc", "tiny.toml"], 0, ""),
    ] {
        let (text, found, _) = measured(&bench, &args);
        assert_eq!(found, Some(code), "{args:?}: {text}");
        assert!(text.contains(said), "{args:?}: {text}");
    }
    // In the place of a record.
    std::fs::remove_file(&job).expect("removed");
    let name = job
        .strip_prefix(bench.path(""))
        .expect("inside")
        .to_string_lossy()
        .into_owned();
    pipe(&name);
    let (text, _, _) = measured(&bench, &["status", "tiny.toml"]);
    assert!(!text.is_empty());
    let (text, found, _) = measured(&bench, &["table", "tiny"]);
    assert!(found == Some(2) && text.contains("named pipe"), "{text}");
}

#[test]
fn a_template_that_fails_costs_its_own_tables_alone() {
    let bench = Bench::with(&format!(
        "{TINY}\n[[report]]\ntemplate = \"bad\"\n\n[[report]]\ntemplate = \"methods-by-split\"\n"
    ));
    let recursion = |condition: &str, end: &str| {
        format!(
            "{{% macro f(n) %}}{condition}{{{{ self::f(n=n) }}}}{end}{{% endmacro %}}{{{{ self::f(n=1) }}}}"
        )
    };
    put(&bench, "templates/bad.md", recursion("", "").as_bytes());
    // What can be known is known before any job runs.
    let refused = bench.exec(&[]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("bad.md:1:1"), "{}", refused.stderr);
    assert!(!bench.path("results/tiny/records").exists());
    put(
        &bench,
        "templates/bad.md",
        recursion("{% if n %}", "{% endif %}").as_bytes(),
    );
    bench.run(&["check", "tiny.toml"]).ok();
    let ran = bench.exec(&[]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("bad.md:1:1: more than 64 macros"),
        "{}",
        ran.stderr
    );
    assert!(bench.path("results/tiny/summary.json").is_file());
    assert!(
        bench
            .path("results/tiny/tables/methods-by-split-accuracy.md")
            .is_file()
    );
}
