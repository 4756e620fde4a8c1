//! Checkpoints of all formats: written, recognised, converted, and read by PyTorch itself.

use std::collections::BTreeMap;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor};
use runner::checkpoint::{self, Dtype, Format, Kind, Target, convert, save_tensors};
use runner::result::write_atomic;

use crate::torch::builder::{LEGACY_START, Pickle, floats, legacy, small_mlp, state_dict};

mod real;
mod reference;

/// Tensors of every type, a scalar and an empty one among them, in an order that is no other.
fn tensors() -> Vec<(String, Tensor)> {
    let cpu = &Device::Cpu;
    let numbers = |dtype| {
        let tensor = Tensor::arange(0_f32, 6., cpu).and_then(|t| t.reshape((2, 3)));
        tensor.and_then(|t| t.to_dtype(dtype)).expect("a tensor")
    };
    let mut tensors = vec![("z.count".to_owned(), Tensor::new(7_i64, cpu).expect("a scalar"))];
    let types = [
        DType::U8,
        DType::F32,
        DType::F64,
        DType::F16,
        DType::BF16,
        DType::I16,
        DType::I32,
        DType::I64,
    ];
    for dtype in types {
        tensors.push((format!("m.{dtype:?} \"é\""), numbers(dtype)));
    }
    let transposed = numbers(DType::F32).t().expect("two dimensions");
    tensors.push(("a.transposed".into(), transposed));
    let nan = Tensor::new(&[f32::NAN, -0.0, f32::INFINITY, f32::MIN_POSITIVE / 4.0], cpu);
    tensors.push(("special".into(), nan.expect("a tensor")));
    let empty = Tensor::zeros((0, 3), DType::F32, cpu).expect("a tensor");
    tensors.push(("empty".into(), empty));
    tensors
}

/// Name, type, shape and the very bits.
fn bits(tensors: &[(String, Tensor)]) -> Vec<(String, DType, Vec<usize>, Vec<u8>)> {
    let of = |(name, tensor): &(String, Tensor)| {
        let mut bytes = Vec::new();
        tensor.write_bytes(&mut bytes).expect("bytes");
        (name.clone(), tensor.dtype(), tensor.dims().to_vec(), bytes)
    };
    tensors.iter().map(of).collect()
}

fn file(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    write_atomic(&path, bytes).expect("written");
    path
}

fn open(path: &Path) -> checkpoint::File {
    checkpoint::open(path).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn what_is_written_is_read_bit_by_bit() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let metadata = BTreeMap::from([
        ("b".to_owned(), "1\n\"".to_owned()),
        ("a".to_owned(), "é".to_owned()),
    ]);
    for (target, name, format) in [
        (Target::StateDict, "m.pt", Format::TorchZip),
        (Target::Safetensors, "m.safetensors", Format::Safetensors),
    ] {
        let path = folder.path().join(name);
        assert_eq!(Target::of(&path), Some(target));
        save_tensors(&path, target, &tensors(), &metadata).expect("written");
        let first = std::fs::read(&path).expect("readable");
        save_tensors(&path, target, &tensors(), &metadata).expect("written");
        assert_eq!(
            std::fs::read(&path).expect("readable"),
            first,
            "equal tensors, equal files"
        );
        let file = open(&path);
        assert_eq!((file.format, file.kind), (format, Kind::StateDict));
        let infos = file
            .tensors
            .iter()
            .map(|info| (info.name.clone(), info.shape.clone()));
        let expected = bits(&tensors());
        let names = expected
            .iter()
            .map(|(name, _, shape, _)| (name.clone(), shape.clone()));
        assert!(infos.eq(names), "{name}");
        assert_eq!(file.metadata.is_empty(), target == Target::StateDict);
        assert_eq!(bits(&file.load().expect("readable")), expected, "{name}");
    }
    let names = std::fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(names, 2, "no temporary file is left");
}

#[test]
fn another_reader_reads_our_safetensors() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("m.safetensors");
    let metadata = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
    save_tensors(&path, Target::Safetensors, &tensors(), &metadata).expect("written");
    let bytes = std::fs::read(&path).expect("readable");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("valid");
    assert_eq!(file.len(), tensors().len());
    for (name, _, shape, expected) in bits(&tensors()) {
        let view = file.tensor(&name).expect("it is there");
        assert_eq!(
            (view.shape(), view.data()),
            (shape.as_slice(), expected.as_slice()),
            "{name}"
        );
        // Aligned in the file, as those who map it into memory need it.
        let offset = view.data().as_ptr() as usize - bytes.as_ptr() as usize;
        let width = view.dtype().bitsize() / 8;
        assert_eq!(offset % width, 0, "{name}");
    }
}

#[test]
fn storages_are_aligned_as_pytorch_does() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("m.pt");
    save_tensors(&path, Target::StateDict, &tensors(), &BTreeMap::new()).expect("written");
    let bytes = std::fs::read(&path).expect("readable");
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(&bytes)).expect("an archive");
    assert_eq!(archive.len(), tensors().len() + 3);
    for index in 0..archive.len() {
        let entry = archive.by_index(index).expect("an entry");
        assert_eq!(entry.compression(), zip::CompressionMethod::Stored);
        let start = entry.data_start().expect("known");
        assert_eq!(start % 64, 0, "entry {index} at {start}");
    }
}

/// A module, a state dict with views and small types in the old format, and a safetensors file, under misleading names.
#[test]
fn the_content_tells_the_format() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let object = state_dict(|p| {
        let p = p
            .text("t")
            .legacy_tensor(("FloatStorage", "0", 6), None, 0, &[3, 2], &[1, 3]);
        let p = p
            .text("flags")
            .legacy_tensor(("BoolStorage", "1", 3), None, 0, &[3], &[1]);
        p.text("small")
            .legacy_tensor(("CharStorage", "2", 2), Some((1, 1)), 0, &[1], &[1])
    });
    let storages: [(&str, u64, &[u8]); 3] =
        [("0", 6, &floats(6)), ("1", 3, &[0, 1, 1]), ("2", 2, &[1, 0xfe])];
    let old = file(folder.path(), "old.safetensors", &legacy(&object, &storages));
    let module = file(folder.path(), "module.bin", &small_mlp());

    let opened = open(&old);
    assert_eq!(
        (opened.format, opened.kind),
        (Format::TorchLegacy, Kind::StateDict)
    );
    let types: Vec<_> = opened.tensors.iter().map(|info| info.dtype).collect();
    assert_eq!(types, [Dtype::F32, Dtype::Bool, Dtype::I8]);
    // Old format to state dict to safetensors to state dict: nothing is lost, small types neither.
    let [first, plain, last] = ["1.pt", "2.safetensors", "3.pt"].map(|name| folder.path().join(name));
    convert(opened, &first, Target::StateDict).expect("written");
    convert(open(&first), &plain, Target::Safetensors).expect("written");
    convert(open(&plain), &last, Target::StateDict).expect("written");
    assert_eq!(
        std::fs::read(&first).expect("readable"),
        std::fs::read(&last).expect("readable")
    );
    assert_eq!(open(&last).tensors, open(&old).tensors);
    let [from, to] = [&old, &last].map(|path| bits(&open(path).load().expect("readable")));
    assert_eq!(from, to);

    let opened = open(&module);
    assert_eq!((opened.format, opened.kind), (Format::TorchZip, Kind::Module));
    assert_eq!(opened.indices(true).map(<[u64]>::len), Some(300));
    let attributes = opened.attributes.clone();
    let imported = folder.path().join("module.safetensors");
    convert(opened, &imported, Target::Safetensors).expect("written");
    let imported = open(&imported);
    assert_eq!(imported.class.as_deref(), Some("models.mlp.MLPNet"));
    assert_eq!(imported.attributes, attributes);
    let origin = imported.origin.as_ref().expect("an origin");
    assert_eq!(origin.file, "module.bin");
    assert_eq!(origin.blake3, blake3::hash(&small_mlp()).to_hex().as_str());
    // A second conversion keeps what is known.
    let again = folder.path().join("again.safetensors");
    convert(
        open(&folder.path().join("module.safetensors")),
        &again,
        Target::Safetensors,
    )
    .expect("written");
    assert_eq!(open(&again).origin, imported.origin);
}

#[test]
fn tied_tensors_stay_tied_in_memory_and_are_written_twice() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let object = state_dict(|p| p.text("a").parameter("0", 2).put(1).text("b").get(1));
    let path = file(folder.path(), "m.pt", &legacy(&object, &[("0", 2, &floats(2))]));
    let loaded = open(&path).load().expect("readable");
    assert_eq!(loaded[0].1.id(), loaded[1].1.id());
    let out = folder.path().join("out.pt");
    convert(open(&path), &out, Target::StateDict).expect("written");
    assert_eq!(bits(&open(&out).load().expect("readable")), bits(&loaded));
}

#[test]
fn errors_name_the_file_and_the_entry() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let check = |bytes: &[u8], expected: &str| {
        let path = file(folder.path(), "m.bin", bytes);
        let result = checkpoint::open(&path).and_then(checkpoint::File::load);
        let error = result.expect_err(expected);
        let text = error.to_string();
        assert!(
            text.contains("m.bin`") && text.contains(expected) && error.hint().is_some(),
            "{text}"
        );
    };
    check(b"", "neither a PyTorch checkpoint nor a safetensors file");
    check(b"\x93NUMPY", "neither");
    check(b"\x05\0\0\0\0\0\0\0{}", "neither");
    check(b"\x02\0\0\0\0\0\0\0{]", "header: ");
    check(
        b"\x02\0\0\0\0\0\0\0{}x",
        "data: has 1 bytes, the header tells of 0",
    );
    check(LEGACY_START, "object, byte ");
    check(b"PK\x03\x04", "zip archive");
    let missing = checkpoint::open(Path::new("/nonexistent/m.pt"))
        .err()
        .expect("no such file");
    assert_eq!(
        missing.to_string(),
        "cannot read the checkpoint `/nonexistent/m.pt`"
    );
    let metadata = r#"{"__metadata__":{"runner":"{}"}}"#;
    let bytes = [&(metadata.len() as u64).to_le_bytes(), metadata.as_bytes()].concat();
    check(&bytes, "metadata `runner`: missing field");
    let double = [tensors()[0].clone(), tensors()[0].clone()];
    let error = save_tensors(
        &folder.path().join("d.pt"),
        Target::StateDict,
        &double,
        &BTreeMap::new(),
    );
    assert!(
        error
            .expect_err("twice")
            .to_string()
            .contains("tensor `z.count`: is there twice")
    );
}

/// The time of the fastest of five.
fn seconds(mut work: impl FnMut()) -> Duration {
    let times = (0..5).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed()
    });
    times.min().unwrap_or_default()
}

#[test]
fn a_gigabyte_is_opened_at_once() {
    // Files with holes: only what is read takes place on the disk.
    const BYTES: u64 = 1 << 30;
    let folder = tempfile::tempdir().expect("temporary folder");
    let object = state_dict(|p| {
        p.text("w").legacy_tensor(
            ("FloatStorage", "0", 1 << 28),
            None,
            0,
            &[1 << 14, 1 << 14],
            &[1 << 14, 1],
        )
    });
    let keys = Pickle::new().list(|p| p.text("0")).stop();
    let json = format!(r#"{{"w":{{"dtype":"F32","shape":[16384,16384],"data_offsets":[0,{BYTES}]}}}}"#);
    let headers = [
        (
            "old.pt",
            [LEGACY_START, &object, &keys, &(1_u64 << 28).to_le_bytes()].concat(),
        ),
        (
            "new.safetensors",
            [&(json.len() as u64).to_le_bytes(), json.as_bytes()].concat(),
        ),
    ];
    for (name, header) in headers {
        let path = file(folder.path(), name, &header);
        let sparse = std::fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .expect("a file");
        sparse.set_len(header.len() as u64 + BYTES).expect("a hole");
        (&sparse)
            .seek(SeekFrom::End(-1))
            .and_then(|_| (&sparse).write_all(&[0]))
            .expect("an end");
        let time = seconds(|| assert_eq!(open(&path).tensors[0].elements(), 1 << 28));
        assert!(time < Duration::from_millis(100), "{name}: {time:?}");
    }
}
