//! Hub parquet files: a column of compressed images and a column of labels.
//!
//! | column | kind |
//! | --- | --- |
//! | `img`, `image`, or as the user says | a structure with the bytes in its field `bytes`, or the bytes themselves |
//! | as the data set says | numbers, whole in value, or flags; or lists of one of them, or of one for each class, all 0 but for a 1 |
//!
//! All other columns are left alone. What the pages of the two unpack to is known and bounded before they are unpacked.

use bytes::Bytes;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::schema::types::SchemaDescriptor;

use super::labels::class_of;
use super::pages::Unpacked;
use crate::guard;

/// The usual stack of a thread.
const STACK: usize = 8 << 20;

/// The usual columns of images.
pub(super) const IMAGES: [&str; 4] = ["img.bytes", "image.bytes", "img", "image"];
/// Names that the columns may have, the preferred first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns<'a> {
    pub images: &'a [&'a str],
    pub labels: &'a [&'a str],
}

impl Default for Columns<'_> {
    fn default() -> Self {
        Self {
            images: &IMAGES,
            labels: &["label", "labels", "fine_label"],
        }
    }
}

/// More rows than any file of a known data set; a damaged file may claim any number.
const MOST_ROWS: u64 = 1 << 20;

/// Rows in the order of the file.
pub(super) struct Rows {
    /// PNG or JPEG, as they lie.
    pub images: Vec<ByteArray>,
    /// As they lie, in range or not.
    pub labels: Vec<i64>,
}

/// Reads all rows of the columns with these names.
///
/// On an error, says what is wrong.
pub(super) fn read(bytes: &Bytes, columns: &Columns) -> Result<Rows, String> {
    // The library takes some offsets and encodings for granted and panics where they are damaged.
    guard::run(STACK, || rows(bytes, columns)).unwrap_or_else(|error| Err(error.to_string()))
}

fn rows(bytes: &Bytes, columns: &Columns) -> Result<Rows, String> {
    let file = SerializedFileReader::new(bytes.clone()).map_err(text)?;
    let schema = file.metadata().file_metadata().schema_descr();
    let (image, label) = (
        column(schema, columns.images, 0)?,
        column(schema, columns.labels, 1)?,
    );
    let mut rows = Rows {
        images: Vec::new(),
        labels: Vec::new(),
    };
    let mut unpacked = Unpacked::of(bytes);
    let claimed = file.metadata().row_groups().iter();
    let claimed = claimed.fold(0_u64, |sum, group| {
        sum.saturating_add(group.num_rows().unsigned_abs())
    });
    if claimed > MOST_ROWS {
        return Err(format!(
            "it claims {claimed} rows, at most {MOST_ROWS} are read from a file"
        ));
    }
    for group in file.metadata().row_groups() {
        for column in [image, label] {
            unpacked.add(group.column(column))?;
        }
    }
    for index in 0..file.num_row_groups() {
        let first = rows.labels.len();
        let group = file.get_row_group(index).map_err(text);
        group
            .and_then(|group| group_rows(&*group, image, label, &mut rows))
            .map_err(|problem| format!("rows from {first} on: {problem}"))?;
    }
    Ok(rows)
}

/// Appends the rows of one group.
fn group_rows(group: &dyn RowGroupReader, image: usize, label: usize, rows: &mut Rows) -> Result<(), String> {
    match group.get_column_reader(image).map_err(text)? {
        ColumnReader::ByteArrayColumnReader(reader) => {
            let found = values(reader, group, image, rows.images.len())?;
            rows.images.extend(found.into_iter().flatten());
        }
        _ => return Err("images are not kept as bytes".to_owned()),
    }
    let first = rows.labels.len();
    let found = match group.get_column_reader(label).map_err(text)? {
        ColumnReader::Int64ColumnReader(reader) => values(reader, group, label, first)?,
        ColumnReader::Int32ColumnReader(reader) => {
            whole(values(reader, group, label, first)?, |n| Some(n.into()))
        }
        ColumnReader::BoolColumnReader(reader) => {
            whole(values(reader, group, label, first)?, |n| Some(n.into()))
        }
        ColumnReader::FloatColumnReader(reader) => {
            whole(values(reader, group, label, first)?, |n| integer(n.into()))
        }
        ColumnReader::DoubleColumnReader(reader) => whole(values(reader, group, label, first)?, integer),
        _ => return Err("labels are not kept as whole numbers".to_owned()),
    };
    let name = group.metadata().column(label).column_path().string();
    for (row, values) in (first..).zip(found) {
        let label = class_of(&values).map_err(|problem| format!("row {row}: `{name}` {problem}"))?;
        rows.labels.push(label);
    }
    Ok(())
}

/// Numbers that are no whole ones are no label: -1 is none either.
fn whole<T>(rows: Vec<Vec<T>>, integer: impl Fn(T) -> Option<i64>) -> Vec<Vec<i64>> {
    let row = |row: Vec<T>| row.into_iter().map(|n| integer(n).unwrap_or(-1)).collect();
    rows.into_iter().map(row).collect()
}

fn integer(number: f64) -> Option<i64> {
    (number.trunc() == number && number.abs() < f64::from(i32::MAX)).then_some(number as i64)
}

/// The values of a column in a group that begins with row `first` of the file, for each row one, or those of its list.
fn values<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    group: &dyn RowGroupReader,
    column: usize,
    first: usize,
) -> Result<Vec<Vec<T::T>>, String> {
    let metadata = group.metadata();
    let count = usize::try_from(metadata.num_rows()).unwrap_or_default();
    let (mut levels, mut repeated, mut values) = (Vec::new(), Vec::new(), Vec::new());
    let (records, found, _) = reader
        .read_records(count, Some(&mut levels), Some(&mut repeated), &mut values)
        .map_err(text)?;
    let descriptor = metadata.column(column).column_descr();
    let name = descriptor.path().string();
    if records != count {
        return Err(format!("only {records} of {count} rows have `{name}`"));
    }
    if found == count && values.len() == count {
        return Ok(values.into_iter().map(|value| vec![value]).collect());
    }
    // The levels say how much of the path to a value is there, and whether it goes on with the list of the value before.
    let there = |at: usize| {
        levels
            .get(at)
            .is_none_or(|&level| level == descriptor.max_def_level())
    };
    let starts = |at: usize| repeated.get(at).is_none_or(|&level| level == 0);
    let places = levels.len().max(repeated.len());
    let missing = (0..places).filter(|&at| starts(at)).position(|at| !there(at));
    if missing.is_some() || places < count || !(0..places).all(there) {
        return Err(format!(
            "row {} has no `{name}`",
            first + missing.unwrap_or(count)
        ));
    }
    let mut lists: Vec<Vec<T::T>> = Vec::with_capacity(count);
    for (at, value) in values.into_iter().enumerate() {
        match lists.last_mut() {
            Some(list) if !starts(at) => list.push(value),
            _ => lists.push(vec![value]),
        }
    }
    Ok(lists)
}

/// Position of the first of the columns `names` that the file has; in lists up to `depth` deep, under any of the names
/// that writers give to elements.
fn column(schema: &SchemaDescriptor, names: &[&str], depth: i16) -> Result<usize, String> {
    let has = |name: &&str| {
        schema.columns().iter().position(|column| {
            let path = column.path().string();
            match column.max_rep_level() {
                0 => path == **name,
                deep => {
                    deep <= depth
                        && path
                            .strip_prefix(*name)
                            .is_some_and(|rest| rest.starts_with(".list."))
                }
            }
        })
    };
    names.iter().find_map(has).ok_or_else(|| {
        let found: Vec<_> = schema
            .columns()
            .iter()
            .map(|column| format!("`{}`", column.path().string()))
            .collect();
        let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
        format!(
            "it has no column {}, only {}",
            names.join(" or "),
            found.join(", ")
        )
    })
}

#[allow(clippy::needless_pass_by_value, reason = "the argument of `map_err`")]
fn text(error: ParquetError) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests;
