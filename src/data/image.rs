//! PNG and JPEG, told apart by their first bytes, to planes of bytes.
//!
//! PNG is exact. JPEG is not: decoders differ in how they round the inverse cosine transform, the upsampling of colour
//! and the conversion to RGB. Published models and recorded values were made with Pillow, which is libjpeg-turbo; of
//! the decoders in Rust, only `libjpeg-turbo-rs` gives the same bytes (see `tests/data/cifar.rs`).

use std::io::Cursor;

use libjpeg_turbo_rs::{Decoder, PixelFormat};
use png::{BitDepth, ColorType, Limits};

/// The most bytes the PNG decoder may allocate.
const PNG_LIMIT: usize = 1 << 24;
const RGB: usize = 3;

/// Decodes an RGB image of `height x width` pixels into `planes`: `[3, H, W]`, row-major.
///
/// On an error, says what is wrong; `planes` is then of no use. Sizes are compared before pixels are decoded, so that
/// nothing is allocated on a header's word.
pub(super) fn decode(bytes: &[u8], [height, width]: [usize; 2], planes: &mut [u8]) -> Result<(), String> {
    let mut pixels = vec![0; height * width * RGB];
    if planes.len() != pixels.len() {
        return Err(format!("{} bytes do not hold its planes", planes.len()));
    }
    if bytes.starts_with(&[0x89, b'P', b'N', b'G']) {
        png(bytes, [height, width], &mut pixels).map_err(|problem| format!("PNG: {problem}"))?;
    } else if bytes.starts_with(&[0xff, 0xd8]) {
        jpeg(bytes, [height, width], &mut pixels).map_err(|problem| format!("JPEG: {problem}"))?;
    } else {
        let start = &bytes[..bytes.len().min(4)];
        return Err(format!("neither PNG nor JPEG: it starts with {start:02x?}"));
    }
    let plane = height * width;
    for (position, pixel) in pixels.chunks_exact(RGB).enumerate() {
        for (channel, &value) in pixel.iter().enumerate() {
            planes[channel * plane + position] = value;
        }
    }
    Ok(())
}

fn png(bytes: &[u8], size: [usize; 2], pixels: &mut [u8]) -> Result<(), String> {
    let limits = Limits { bytes: PNG_LIMIT };
    let mut reader = png::Decoder::new_with_limits(Cursor::new(bytes), limits)
        .read_info()
        .map_err(|error| error.to_string())?;
    let info = reader.info();
    same_size(size, [info.height as usize, info.width as usize])?;
    if (info.color_type, info.bit_depth) != (ColorType::Rgb, BitDepth::Eight) {
        return Err(format!(
            "its pixels are {:?} of {} bits instead of Rgb of 8",
            info.color_type, info.bit_depth as u8
        ));
    }
    reader.next_frame(pixels).map_err(|error| error.to_string())?;
    Ok(())
}

fn jpeg(bytes: &[u8], size: [usize; 2], pixels: &mut [u8]) -> Result<(), String> {
    let mut decoder = Decoder::new(bytes).map_err(|error| error.to_string())?;
    let header = decoder.header();
    same_size(size, [header.height(), header.width()])?;
    let (channels, bits) = (header.components.len(), header.precision);
    if (channels, bits) != (RGB, 8) {
        return Err(format!(
            "it has {channels} channels of {bits} bits instead of 3 of 8"
        ));
    }
    decoder.set_output_format(PixelFormat::Rgb);
    decoder.set_max_pixels(size[0] * size[1]);
    let decoded = decoder
        .decode_image_into(pixels)
        .map_err(|error| error.to_string())?;
    // What the decoder made up for damaged data is no image of the set.
    match decoded.warnings.first() {
        Some(warning) => Err(format!("damaged: {warning:?}")),
        None => Ok(()),
    }
}

fn same_size(expected: [usize; 2], found: [usize; 2]) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    let [height, width] = found;
    Err(format!(
        "it has {height} x {width} pixels instead of {} x {}",
        expected[0], expected[1]
    ))
}

#[cfg(test)]
mod tests;
