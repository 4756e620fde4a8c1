//! Small files in the forms of published ones, for tests.

use std::sync::Arc;

use parquet::basic::{Compression, Type};
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::SchemaDescriptor;

/// The hub's columns of CIFAR-10.
pub(super) const HUB: &str = "message schema { optional group img { optional binary bytes; optional binary path (UTF8); } optional int64 label; }";

/// Planes `[3, side, side]` that differ with `seed` and from pixel to pixel.
pub(super) fn planes(side: usize, seed: u8) -> Vec<u8> {
    (0..3 * side * side)
        .map(|i| (i as u8).wrapping_mul(31) ^ seed.wrapping_mul(57))
        .collect()
}

/// A PNG of these planes, in the given colour type: grey keeps the first plane only.
pub(super) fn png(planes: &[u8], side: usize, color: png::ColorType) -> Vec<u8> {
    let plane = side * side;
    let channels = color.samples();
    let pixels: Vec<u8> = (0..plane)
        .flat_map(|at| (0..channels).map(move |channel| planes[(channel % 3) * plane + at]))
        .collect();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side as u32, side as u32);
    encoder.set_color(color);
    let mut writer = encoder.write_header().expect("in memory");
    writer.write_image_data(&pixels).expect("in memory");
    writer.finish().expect("in memory");
    bytes
}

/// One row: an image, where it is not null, and a label, where it is not null.
pub(super) type Row = (Option<Vec<u8>>, Option<i64>);

/// A parquet file with columns as `schema` says, Snappy, `group` rows in each group. All columns are optional; columns
/// of bytes but for `path` hold the image, whole numbers the label.
pub(super) fn parquet(schema: &str, rows: &[Row], group: usize) -> Vec<u8> {
    packed(schema, rows, group, Compression::SNAPPY)
}

/// The same, packed otherwise.
pub(super) fn packed(schema: &str, rows: &[Row], group: usize, by: Compression) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(schema).expect("a schema"));
    let columns = SchemaDescriptor::new(schema.clone());
    let properties = WriterProperties::builder().set_compression(by);
    let mut bytes = Vec::new();
    let mut file =
        SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties.build())).expect("a writer");
    for rows in rows.chunks(group) {
        let mut writer = file.next_row_group().expect("a group");
        for column in columns.columns() {
            let image = |row: &Row| {
                row.0
                    .clone()
                    .filter(|_| column.name() != "path")
                    .map(ByteArray::from)
            };
            let level = |there: bool| if there { column.max_def_level() } else { 0 };
            let labelled: Vec<i16> = rows.iter().map(|row| level(row.1.is_some())).collect();
            let labels = rows.iter().filter_map(|row| row.1);
            let mut writer = writer.next_column().expect("a column").expect("one more");
            let written = match column.physical_type() {
                Type::BYTE_ARRAY => {
                    let images: Vec<ByteArray> = rows.iter().filter_map(image).collect();
                    let levels: Vec<i16> = rows.iter().map(|row| level(image(row).is_some())).collect();
                    let writer = writer.typed::<ByteArrayType>();
                    writer.write_batch(&images, Some(&levels), None)
                }
                Type::INT32 => {
                    let labels: Vec<i32> = labels.map(|label| label as i32).collect();
                    let writer = writer.typed::<Int32Type>();
                    writer.write_batch(&labels, Some(&labelled), None)
                }
                _ => {
                    let labels: Vec<i64> = labels.collect();
                    let writer = writer.typed::<Int64Type>();
                    writer.write_batch(&labels, Some(&labelled), None)
                }
            };
            written.expect("written");
            writer.close().expect("closed");
        }
        writer.close().expect("closed");
    }
    file.close().expect("closed");
    bytes
}
