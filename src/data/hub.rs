//! Hub parquet files: a column of compressed images and a column of labels.
//!
//! | column | kind |
//! | --- | --- |
//! | `img`, `image`, or as the user says | a structure with the bytes in its field `bytes`, or the bytes themselves |
//! | as the data set says | whole numbers of 32 or 64 bits, or lists of them, of which the first counts |
//!
//! All other columns are left alone. Snappy is the only compression read; the hub's exports use it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::schema::types::SchemaDescriptor;

use super::rows::Columns;

/// The usual columns of images.
pub(super) const IMAGES: [&str; 4] = ["img.bytes", "image.bytes", "img", "image"];
/// More rows than any file of a known data set; a damaged file may claim any number.
const MOST_ROWS: usize = 1 << 20;

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
pub(super) fn read(bytes: Bytes, columns: &Columns) -> Result<Rows, String> {
    // The library takes some offsets and encodings for granted and panics where they are damaged.
    catch_unwind(AssertUnwindSafe(|| rows(bytes, columns)))
        .unwrap_or_else(|_| Err("it is damaged in a way that its reader cannot name".to_owned()))
}

fn rows(bytes: Bytes, columns: &Columns) -> Result<Rows, String> {
    let file = SerializedFileReader::new(bytes).map_err(text)?;
    let schema = file.metadata().file_metadata().schema_descr();
    let (image, label) = (
        column(schema, columns.images, 0)?,
        column(schema, columns.labels, 1)?,
    );
    let mut rows = Rows {
        images: Vec::new(),
        labels: Vec::new(),
    };
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
            rows.images
                .extend(values(reader, group, image, rows.images.len())?);
        }
        _ => return Err("images are not kept as bytes".to_owned()),
    }
    let first = rows.labels.len();
    match group.get_column_reader(label).map_err(text)? {
        ColumnReader::Int64ColumnReader(reader) => rows.labels.extend(values(reader, group, label, first)?),
        ColumnReader::Int32ColumnReader(reader) => {
            let values = values(reader, group, label, first)?;
            rows.labels.extend(values.into_iter().map(i64::from));
        }
        _ => return Err("labels are not kept as whole numbers".to_owned()),
    }
    Ok(())
}

/// The values of a column in a group that begins with row `first` of the file, one for each row.
fn values<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    group: &dyn RowGroupReader,
    column: usize,
    first: usize,
) -> Result<Vec<T::T>, String> {
    let metadata = group.metadata();
    let count = usize::try_from(metadata.num_rows()).unwrap_or(usize::MAX);
    if count > MOST_ROWS {
        return Err(format!("a group claims {} rows", metadata.num_rows()));
    }
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
        return Ok(values);
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
    let firsts = values.into_iter().enumerate().filter(|(at, _)| starts(*at));
    Ok(firsts.map(|(_, value)| value).collect())
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
