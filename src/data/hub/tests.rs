use proptest::prelude::*;

use super::*;
use crate::data::fixtures::{HUB, Row, packed, parquet};
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::data_type::{ByteArrayType, Int64Type};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::sync::Arc;

fn row(image: &[u8], label: i64) -> Row {
    (Some(image.to_vec()), Some(label))
}

fn found(file: Vec<u8>, labels: &[&str]) -> Result<(Vec<Vec<u8>>, Vec<i64>), String> {
    let rows = read(
        &Bytes::from(file),
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

/// Rows of one image with these lists of labels.
fn listed(rows: &[&[i64]]) -> Vec<u8> {
    let schema = "message s { required binary image; optional group label (LIST) { repeated group list { optional int64 element; } } }";
    let schema = Arc::new(parse_message_type(schema).expect("a schema"));
    let mut bytes = Vec::new();
    let mut file = SerializedFileWriter::new(&mut bytes, schema, Arc::default()).expect("a writer");
    let mut group = file.next_row_group().expect("a group");
    let mut column = group.next_column().expect("a column").expect("one more");
    let images = vec![ByteArray::from("x"); rows.len()];
    let written = column.typed::<ByteArrayType>().write_batch(&images, None, None);
    written.expect("written");
    column.close().expect("closed");
    let mut column = group.next_column().expect("a column").expect("one more");
    let starts = |row: &&[i64]| (0..row.len()).map(|at| i16::from(at > 0)).collect::<Vec<_>>();
    let starts: Vec<i16> = rows.iter().flat_map(starts).collect();
    let levels = vec![column.typed::<Int64Type>().get_descriptor().max_def_level(); starts.len()];
    let written = column
        .typed::<Int64Type>()
        .write_batch(&rows.concat(), Some(&levels), Some(&starts));
    written.expect("written");
    column.close().expect("closed");
    group.close().expect("closed");
    file.close().expect("closed");
    bytes
}

#[test]
fn lists_are_one_label_or_a_one_among_zeros_and_nothing_else() {
    let labels = |rows: &[&[i64]]| found(listed(rows), &["label"]).map(|(_, labels)| labels);
    assert_eq!(labels(&[&[3], &[0], &[7]]), Ok(vec![3, 0, 7]));
    assert_eq!(labels(&[&[0, 0, 1], &[1, 0, 0], &[0, 1, 0]]), Ok(vec![2, 0, 1]));
    for rows in [[[0, 1], [1, 1]], [[0, 1], [2, 5]], [[0, 1], [0, 0]]] {
        let problem = labels(&rows.each_ref().map(<[i64; 2]>::as_slice)).expect_err("no label");
        assert_eq!(
            problem,
            "rows from 0 on: row 1: `label.list.element` is a list of 2 numbers, neither one label nor a 1 among zeros: one \
             label for each image is needed"
        );
    }
}

#[test]
fn flags_and_numbers_that_are_whole_are_labels() {
    assert_eq!(
        [0.0, 3.0, -1.0, 0.5, f64::NAN, 1e300].map(integer),
        [Some(0), Some(3), Some(-1), None, None, None]
    );
    assert_eq!(whole(vec![vec![0.5, 2.0]], integer), [[-1, 2]]);
}

#[test]
fn a_file_that_unpacks_to_far_more_is_refused_before_it_is_unpacked() {
    let zeros = vec![0; 30 << 20];
    let rows = [row(&zeros, 0), row(&zeros, 1), row(&zeros, 2)];
    for by in [
        Compression::GZIP(GzipLevel::default()),
        Compression::ZSTD(ZstdLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
    ] {
        let problem = found(packed(HUB, &rows, 1, by), &["label"]).expect_err("too much");
        assert!(problem.starts_with("it unpacks to 9"), "{by}: {problem}");
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
