use proptest::prelude::*;

use super::*;
use crate::data::fixtures::{HUB, Row, packed, parquet};
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};

fn row(image: &[u8], label: i64) -> Row {
    (Some(image.to_vec()), Some(label))
}

fn found(file: Vec<u8>, labels: &[&str]) -> Result<(Vec<Vec<u8>>, Vec<i64>), String> {
    let rows = read(
        Bytes::from(file),
        &Columns {
            labels,
            ..Columns::default()
        },
    )?;
    Ok((
        rows.images.iter().map(|image| image.data().to_vec()).collect(),
        rows.labels,
    ))
}

#[test]
fn rows_are_read_in_order_from_every_form_of_the_columns() {
    let rows = [
        row(b"ab", 3),
        row(b"", -1),
        row(b"cde", 7),
        row(b"f", 0),
        row(b"ab", 1),
    ];
    let expected = (
        vec![
            b"ab".to_vec(),
            Vec::new(),
            b"cde".to_vec(),
            b"f".to_vec(),
            b"ab".to_vec(),
        ],
        vec![3, -1, 7, 0, 1],
    );
    let image = "message s { optional int32 label; optional binary image; }";
    let both = "message s { optional group image { optional binary path; optional binary bytes; } optional int64 fine_label; optional int64 label; }";
    for (schema, labels) in [
        (HUB, ["label"].as_slice()),
        (image, &["label"]),
        (both, &["fine_label", "label"]),
    ] {
        for group in [2, 5] {
            assert_eq!(
                found(parquet(schema, &rows, group), labels).as_ref(),
                Ok(&expected),
                "{schema}"
            );
        }
    }
}

#[test]
fn files_may_be_packed_in_every_way_that_writers_offer() {
    let rows = [row(b"ab", 3), row(&[7; 5000], 1)];
    let expected = found(parquet(HUB, &rows, 2), &["label"]);
    for by in [
        Compression::UNCOMPRESSED,
        Compression::GZIP(GzipLevel::default()),
        Compression::ZSTD(ZstdLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
    ] {
        assert_eq!(found(packed(HUB, &rows, 2, by), &["label"]), expected, "{by}");
    }
}

#[test]
fn what_is_missing_is_named() {
    let sound = row(b"x", 1);
    let problem =
        |schema: &str, rows: &[Row]| found(parquet(schema, rows, 2), &["label"]).expect_err("unsound");
    let unlabelled = [sound.clone(), sound.clone(), sound.clone(), (Some(vec![1]), None)];
    assert_eq!(problem(HUB, &unlabelled), "rows from 2 on: row 3 has no `label`");
    let blank = [sound.clone(), (None, Some(1))];
    assert_eq!(problem(HUB, &blank), "rows from 0 on: row 1 has no `img.bytes`");
    let none = "message s { optional int64 label; optional binary picture; }";
    assert_eq!(
        problem(none, std::slice::from_ref(&sound)),
        "it has no column `img.bytes` or `image.bytes` or `img` or `image`, only `label`, `picture`"
    );
    let swapped = "message s { optional binary label; optional int64 img; }";
    assert_eq!(
        problem(swapped, std::slice::from_ref(&sound)),
        "rows from 0 on: images are not kept as bytes"
    );
    let texts = "message s { optional binary label; optional binary img; }";
    assert_eq!(
        problem(texts, std::slice::from_ref(&sound)),
        "rows from 0 on: labels are not kept as whole numbers"
    );
}

#[test]
fn a_cut_file_is_an_error() {
    let file = parquet(HUB, &[row(b"abc", 3), row(b"d", 1)], 1);
    for length in 0..file.len() {
        assert!(
            found(file[..length].to_vec(), &["label"]).is_err(),
            "{length} bytes"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn no_bytes_panic(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut file = parquet(HUB, &[row(b"abcabcabc", 3), row(b"d", 1), row(b"e", 2)], 2);
        for (at, value) in changes {
            let at = at.index(file.len());
            file[at] = value;
        }
        let _ = found(file, &["label"]);
    }
}
