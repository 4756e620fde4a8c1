//! The zip archive: other formats, damage, and directories that lie.

use std::path::Path;

use runner::checkpoint::torch::{EntryProblem, Limits, TorchError, read};

use super::builder::{archive, checkpoint, floats, load, small_mlp, state_dict};

fn one_tensor() -> Vec<u8> {
    let pickle = state_dict(|p| p.text("t").parameter("0", 4));
    checkpoint(&pickle, &[("0", &floats(4))])
}

fn error(bytes: &[u8]) -> TorchError {
    load(bytes, &Limits::default()).expect_err("it is damaged")
}

fn entry(bytes: &[u8]) -> (String, EntryProblem) {
    match error(bytes) {
        TorchError::Entry { entry, problem, .. } => (entry, problem),
        other => panic!("not a problem of an entry: {other}"),
    }
}

/// Where the archive's directory describes `name`. Fields: method +10, CRC +16, sizes +20 and +24.
fn directory_entry(zip: &[u8], name: &str) -> usize {
    let is_it =
        |&at: &usize| zip[at..].starts_with(b"PK\x01\x02") && zip[at + 46..].starts_with(name.as_bytes());
    (0..zip.len() - 46).find(is_it).expect("the entry")
}

#[test]
fn the_root_folder_has_any_name() {
    let pickle = state_dict(|p| p.text("t").parameter("0", 1));
    let bytes = floats(1);
    let file = archive(&[
        ("x y.z/data.pkl", &pickle),
        ("x y.z/data/0", &bytes),
        ("x y.z/data/data.pkl", b""),
    ]);
    assert_eq!(
        load(&file, &Limits::default())
            .expect("a valid file")
            .tensors
            .len(),
        1,
        "and no byteorder"
    );
}

/// The archive with the two records of large archives between its directory and its end, as PyTorch always writes them.
fn with_large_end(zip: &[u8]) -> Vec<u8> {
    let (entries, end) = zip.split_at(zip.len() - 22);
    let number = |at: usize, count: usize| {
        let mut bytes = [0; 8];
        bytes[..count].copy_from_slice(&end[at..at + count]);
        u64::from_le_bytes(bytes).to_le_bytes()
    };
    let (files, size, start) = (number(10, 2), number(12, 4), number(16, 4));
    let mut bytes = entries.to_vec();
    bytes.extend(b"PK\x06\x06");
    bytes.extend(44u64.to_le_bytes());
    bytes.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend([files, files, size, start].concat());
    bytes.extend(b"PK\x06\x07\0\0\0\0");
    bytes.extend((entries.len() as u64).to_le_bytes());
    bytes.extend([1, 0, 0, 0]);
    bytes.extend(end);
    bytes
}

/// Of 21 characters, the directory's first entry is as long as the two records.
#[test]
fn the_root_folder_has_a_name_of_any_length() {
    let pickle = state_dict(|p| p.text("t").parameter("0", 1));
    let bytes = floats(1);
    for length in 1..=100 {
        let root = "x".repeat(length);
        let (data, order, storage) = (
            format!("{root}/data.pkl"),
            format!("{root}/byteorder"),
            format!("{root}/data/0"),
        );
        let entries = [
            (data.as_str(), pickle.as_slice()),
            (&order, b"little"),
            (&storage, &bytes),
        ];
        for first in 0..3 {
            let mut entries = entries;
            entries.rotate_left(first);
            let file = load(&with_large_end(&archive(&entries)), &Limits::default());
            let file = file.unwrap_or_else(|error| panic!("{length}, {first}: {error}"));
            assert_eq!(file.tensors.len(), 1, "{length}, {first}");
        }
    }
}

#[test]
fn programs_of_pytorch_are_named() {
    for length in 1..=100 {
        let root = "x".repeat(length);
        let names = ["archive_format", "models/model.json", "data/weights/weight_0"];
        let names = names.map(|name| format!("{root}/{name}"));
        let entries = names.each_ref().map(|name| (name.as_str(), b"pt2".as_slice()));
        let error = error(&with_large_end(&archive(&entries))).to_string();
        assert!(
            error.ends_with("it is a program of `torch.export`"),
            "{length}: {error}"
        );
    }
    let script = archive(&[
        ("m/data.pkl", b""),
        ("m/code/m.py", b""),
        ("m/constants.pkl", b""),
    ]);
    assert!(error(&script).to_string().ends_with("a program of TorchScript"));
}

#[test]
fn other_formats_are_named() {
    assert!(matches!(error(b""), TorchError::Unknown { .. }));
    assert!(matches!(error(b"\x93NUMPY"), TorchError::Unknown { .. }));
    assert!(matches!(error(b"PK\x03\x04"), TorchError::Zip { .. }));
    assert!(matches!(error(&archive(&[])), TorchError::NotTorch { .. }));
    assert!(matches!(
        error(&archive(&[("data.pkl", b"")])),
        TorchError::NotTorch { .. }
    ));
    assert!(matches!(
        error(&archive(&[("a/data.pkl", b""), ("b/data.pkl", b"")])),
        TorchError::NotTorch { .. }
    ));
    let missing = read(Path::new("/nonexistent/model.pt")).expect_err("no such file");
    assert_eq!(missing.to_string(), "cannot read `/nonexistent/model.pt`");
    assert!(read(&std::env::temp_dir()).is_err(), "a folder");
}

#[test]
fn the_byte_order_must_be_little() {
    let with = |order: &[u8]| archive(&[("m/data.pkl", &state_dict(|p| p)), ("m/byteorder", order)]);
    assert!(load(&with(b"little"), &Limits::default()).is_ok());
    let (name, problem) = entry(&with(b"big"));
    assert!(name == "m/byteorder" && matches!(problem, EntryProblem::BigEndian));
    assert!(matches!(entry(&with(b"middle")).1, EntryProblem::ByteOrder));
}

#[test]
fn damaged_bytes_are_found() {
    let mut zip = one_tensor();
    let values = floats(4);
    let at = zip
        .windows(values.len())
        .position(|w| w == values)
        .expect("the storage");
    zip[at + 9] ^= 1;
    let (name, problem) = entry(&zip);
    assert!(
        name == "model_0/data/0" && matches!(problem, EntryProblem::Damaged),
        "{problem}"
    );
}

#[test]
fn compressed_or_encrypted_entries_are_refused() {
    let mut zip = one_tensor();
    let at = directory_entry(&zip, "model_0/data/0");
    zip[at + 10] = 8;
    assert!(matches!(entry(&zip).1, EntryProblem::Compressed));
    let mut zip = one_tensor();
    let at = directory_entry(&zip, "model_0/data.pkl");
    zip[at + 8] |= 1;
    assert!(matches!(entry(&zip).1, EntryProblem::Compressed));
}

#[test]
fn sizes_that_lie_allocate_nothing() {
    let mut zip = one_tensor();
    let at = directory_entry(&zip, "model_0/data/0");
    zip[at + 20..at + 28].copy_from_slice(&[0xf0, 0xff, 0xff, 0xff, 0xf0, 0xff, 0xff, 0xff]);
    let claimed = 0xffff_fff0;
    let available = zip.len() as u64;
    let (_, problem) = entry(&zip);
    let EntryProblem::Size {
        claimed: found,
        available: length,
    } = problem
    else {
        panic!("{problem}");
    };
    assert_eq!((found, length), (claimed, available));

    let mut zip = one_tensor();
    let at = directory_entry(&zip, "model_0/data/0");
    zip[at + 24] -= 4;
    assert!(
        matches!(entry(&zip).1, EntryProblem::Damaged),
        "stored, yet of two sizes"
    );
}

#[test]
fn entries_that_share_bytes_are_refused() {
    // Two storages, both described as the first one's bytes: as large as the file when taken together.
    let pickle = state_dict(|p| p.text("a").parameter("0", 1000).text("b").parameter("1", 1000));
    let mut zip = checkpoint(&pickle, &[("0", &floats(1000)), ("1", &[])]);
    let (from, to) = (
        directory_entry(&zip, "model_0/data/0"),
        directory_entry(&zip, "model_0/data/1"),
    );
    let (sums, place) = (
        zip[from + 16..from + 28].to_vec(),
        zip[from + 42..from + 46].to_vec(),
    );
    zip[to + 16..to + 28].copy_from_slice(&sums);
    zip[to + 42..to + 46].copy_from_slice(&place);
    assert!(matches!(entry(&zip).1, EntryProblem::Overlap));
}

#[test]
fn truncated_files_are_refused() {
    for zip in [small_mlp(), one_tensor()] {
        for length in (0..zip.len()).step_by(997).chain(zip.len() - 30..zip.len()) {
            assert!(
                load(&zip[..length], &Limits::default()).is_err(),
                "{length} of {}",
                zip.len()
            );
        }
    }
}
