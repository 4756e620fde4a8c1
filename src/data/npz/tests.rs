use proptest::prelude::*;

use super::*;

/// `numpy.savez` of version 2: `a` [[0, 1, 2], [3, 4, 5]] of bytes, `b` of doubles, `c` column-major, `d` [7].
const STORED: &[u8] = include_bytes!("stored.npz");
/// `numpy.savez_compressed`.
const DEFLATED: &[u8] = include_bytes!("../sources/medmnist/numpy.npz");

fn array(bytes: &[u8], name: &str) -> Result<Array, String> {
    Npz::open(bytes)?.array(name, 1 << 20)
}

#[test]
fn arrays_of_bytes_are_read_from_numpys_files() {
    let a = array(STORED, "a").expect("bytes");
    assert_eq!((a.shape, a.values), (vec![2, 3], vec![0, 1, 2, 3, 4, 5]));
    assert_eq!(array(STORED, "d").expect("one value").shape, [1]);
    let labels = array(DEFLATED, "val_labels").expect("deflated");
    assert_eq!((labels.shape, labels.values), (vec![2, 1], vec![0, 1]));
}

#[test]
fn what_is_no_array_of_bytes_says_so() {
    let problem = |name| array(STORED, name).expect_err("unsound");
    assert!(problem("b").starts_with("`b`: its values are of type `<f8`, and images are unsigned bytes"));
    assert_eq!(problem("c"), "`c`: its values are in column-major order");
    assert_eq!(
        problem("x"),
        "it has no `x.npy`, only `a.npy`, `b.npy`, `c.npy`, `d.npy`"
    );
    let small = Npz::open(STORED).and_then(|mut file| file.array("a", 100));
    assert!(
        small
            .expect_err("too long")
            .contains("more than the 100 of any such file")
    );
    assert!(array(b"text", "a").is_err());
}

#[test]
fn whole_numbers_of_every_size_and_byte_order_are_read() {
    let file = |kind: &str, values: &[u8]| {
        let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': (2,), }}");
        [
            b"\x93NUMPY\x01\x00",
            &(header.len() as u16).to_le_bytes()[..],
            header.as_bytes(),
            values,
        ]
        .concat()
    };
    for (kind, values, expected) in [
        ("|u1", vec![200, 7], [200, 7]),
        ("|i1", vec![255, 7], [-1, 7]),
        ("|b1", vec![0, 1], [0, 1]),
        ("<u2", vec![1, 2, 3, 0], [513, 3]),
        (">u2", vec![1, 2, 3, 0], [258, 768]),
        ("<i4", [3_i32, -2].map(i32::to_le_bytes).concat(), [3, -2]),
        (">i4", [3_i32, -2].map(i32::to_be_bytes).concat(), [3, -2]),
        (
            "<i8",
            [9_i64, i64::MIN].map(i64::to_le_bytes).concat(),
            [9, i64::MIN],
        ),
        (">i8", [9_i64, -9].map(i64::to_be_bytes).concat(), [9, -9]),
    ] {
        let found = numbers(&file(kind, &values)).expect(kind);
        assert_eq!(
            (found.shape, found.values),
            (vec![2], expected.to_vec()),
            "{kind}"
        );
    }
    for kind in ["<f8", "<U3", "|O", ">f4", "i8x", ""] {
        let problem = numbers(&file(kind, &[0; 16])).expect_err(kind);
        assert!(problem.contains("labels are whole numbers"), "{problem}");
    }
    assert!(numbers(&file("<i8", &[0; 15])).is_err());
}

#[test]
fn a_damaged_value_is_noticed() {
    // The six values stand in the file as they are.
    let at = STORED
        .windows(6)
        .position(|six| six == [0, 1, 2, 3, 4, 5])
        .expect("stored");
    let mut bytes = STORED.to_vec();
    bytes[at] ^= 1;
    let problem = array(&bytes, "a").expect_err("damaged");
    assert!(problem.starts_with("`a.npy`: its checksum is "), "{problem}");
}

proptest! {
    #[test]
    fn no_bytes_panic(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut: prop::sample::Index) {
        for file in [STORED, DEFLATED] {
            let mut bytes = file.to_vec();
            for (at, value) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *value;
            }
            let _ = array(&bytes, "a");
            let _ = array(&bytes, "test_images");
            let _ = Npz::open(&bytes).and_then(|mut file| file.numbers("test_labels", 1 << 20));
            let _ = array(&file[..cut.index(file.len())], "a");
        }
        let _ = parse(changes.iter().map(|(_, value)| *value).collect());
    }
}
