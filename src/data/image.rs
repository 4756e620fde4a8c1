//! PNG and JPEG, told apart by their first bytes, to planes of bytes.
//!
//! PNG is exact. JPEG is not: decoders differ in how they round the inverse cosine transform, the upsampling of colour
//! and the conversion to RGB. Published models and recorded values were made with Pillow, which is libjpeg-turbo; of
//! the decoders in Rust, only `libjpeg-turbo-rs` gives the same bytes (see `tests/data/cifar.rs`).
//!
//! Grey images among coloured ones, of which Tiny-ImageNet has some, get three equal channels, as by Pillow's
//! `convert("RGB")`. An alpha channel is dropped where it is opaque everywhere, and an error elsewhere.

use std::io::Cursor;

use libjpeg_turbo_rs::common::types::DecodeLimits;
use libjpeg_turbo_rs::{Decoder, PixelFormat};
use png::{BitDepth, ColorType, Limits, Transformations};

/// The most bytes the PNG decoder may allocate beside the pixels.
const PNG_LIMIT: usize = 1 << 24;
/// More pixels than any image that a network is trained on: 2048 x 2048.
const MOST_PIXELS: usize = 1 << 22;

/// Passes over a progressive JPEG; encoders write about ten, and each goes over all pixels.
const MOST_SCANS: usize = 100;

/// Samples of an image, interleaved.
struct Samples {
    /// 1: grey, 2: grey and alpha, 3: RGB, 4: RGB and alpha.
    channels: usize,
    values: Vec<u8>,
}

/// `[C, H, W]` of an image as its header has it: one channel for grey, three for colour.
pub(super) fn header(bytes: &[u8]) -> Result<[usize; 3], String> {
    match format(bytes)? {
        Format::Png => {
            let reader = png_reader(bytes)?;
            let info = reader.info();
            let (color, _) = reader.output_color_type();
            let channels = if color.samples() < 3 { 1 } else { 3 };
            Ok([channels, info.height as usize, info.width as usize])
        }
        Format::Jpeg => {
            let decoder = jpeg_decoder(bytes).map_err(|problem| format!("JPEG: {problem}"))?;
            let header = decoder.header();
            let channels = if header.components.len() < 3 { 1 } else { 3 };
            Ok([channels, header.height(), header.width()])
        }
    }
}

/// Decodes an image into `planes`: `[C, H, W]`, row-major, with C 1 or 3.
///
/// On an error, says what is wrong; `planes` is then of no use. Sizes are compared before pixels are decoded, so that
/// nothing is allocated on a header's word.
pub(super) fn decode(
    bytes: &[u8],
    [channels, height, width]: [usize; 3],
    planes: &mut [u8],
) -> Result<(), String> {
    if planes.len() != channels * height * width {
        return Err(format!("{} bytes do not hold its planes", planes.len()));
    }
    let samples = match format(bytes)? {
        Format::Png => png(bytes, [height, width]).map_err(|problem| format!("PNG: {problem}"))?,
        Format::Jpeg => jpeg(bytes, [height, width]).map_err(|problem| format!("JPEG: {problem}"))?,
    };
    let colours = if samples.channels < 3 { 1 } else { 3 };
    if colours > channels {
        return Err("it has colours, but images of this set are grey".to_owned());
    }
    let plane = height * width;
    for (position, pixel) in samples.values.chunks_exact(samples.channels).enumerate() {
        if pixel.len() > colours && pixel[colours] != u8::MAX {
            return Err("it is transparent in places: save it without an alpha channel".to_owned());
        }
        for channel in 0..channels {
            planes[channel * plane + position] = pixel[channel % colours];
        }
    }
    Ok(())
}

enum Format {
    Png,
    Jpeg,
}

fn format(bytes: &[u8]) -> Result<Format, String> {
    if bytes.starts_with(&[0x89, b'P', b'N', b'G']) {
        Ok(Format::Png)
    } else if bytes.starts_with(&[0xff, 0xd8]) {
        Ok(Format::Jpeg)
    } else {
        Err(format!("neither PNG nor JPEG but {}", other(bytes)))
    }
}

/// What a file is instead, by its first bytes.
fn other(bytes: &[u8]) -> String {
    const KNOWN: [(usize, &[u8], &str); 13] = [
        (8, b"WEBP", "WebP"),
        (0, b"GIF8", "GIF"),
        (0, b"BM", "BMP"),
        (0, b"II*\0", "TIFF"),
        (0, b"MM\0*", "TIFF"),
        (8, b"avif", "AVIF"),
        (4, b"ftyp", "HEIF or a video"),
        (0, b"%PDF", "PDF"),
        (0, b"<svg", "SVG"),
        (0, b"PK", "a zip archive"),
        (0, &[0x1f, 0x8b], "gzip"),
        (0, b"\x93NUMPY", "an array of NumPy"),
        (
            0,
            b"version https://git-lfs",
            "a pointer of Git LFS (`git lfs pull` fetches the file)",
        ),
    ];
    if bytes.is_empty() {
        return "an empty file".to_owned();
    }
    let is =
        |(at, magic, _): &&(usize, &[u8], &str)| bytes.get(*at..).is_some_and(|rest| rest.starts_with(magic));
    if let Some((_, _, name)) = KNOWN.iter().find(is) {
        return (*name).to_owned();
    }
    let start = &bytes[..bytes.len().min(4)];
    if start.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
        return format!("a file that begins with {:?}", String::from_utf8_lossy(start));
    }
    let hex: Vec<String> = start.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "a file that begins with the bytes {} (hexadecimal)",
        hex.join(" ")
    )
}

/// Palettes and fewer than 8 bits are expanded.
fn png_reader(bytes: &[u8]) -> Result<png::Reader<Cursor<&[u8]>>, String> {
    let limits = Limits { bytes: PNG_LIMIT };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(Transformations::EXPAND);
    decoder.read_info().map_err(|error| error.to_string())
}

fn png(bytes: &[u8], size: [usize; 2]) -> Result<Samples, String> {
    let mut reader = png_reader(bytes)?;
    let info = reader.info();
    same_size(size, [info.height as usize, info.width as usize])?;
    let (color, depth) = reader.output_color_type();
    if depth != BitDepth::Eight || color == ColorType::Indexed {
        return Err(format!(
            "its pixels are {color:?} of {} bits instead of 8",
            depth as u8
        ));
    }
    let channels = color.samples();
    let mut values = vec![0; size[0] * size[1] * channels];
    reader
        .next_frame(&mut values)
        .map_err(|error| error.to_string())?;
    Ok(Samples { channels, values })
}

fn jpeg_decoder(bytes: &[u8]) -> Result<Decoder<'_>, String> {
    let limits = DecodeLimits {
        max_pixels: MOST_PIXELS as u64,
        max_scans: MOST_SCANS,
        ..DecodeLimits::default()
    };
    Decoder::new_with_limits(bytes, limits).map_err(|error| error.to_string())
}

fn jpeg(bytes: &[u8], size: [usize; 2]) -> Result<Samples, String> {
    let mut decoder = jpeg_decoder(bytes)?;
    let header = decoder.header();
    same_size(size, [header.height(), header.width()])?;
    let (channels, bits) = (header.components.len(), header.precision);
    let format = match (channels, bits) {
        (1, 8) => PixelFormat::Grayscale,
        (3, 8) => PixelFormat::Rgb,
        _ => {
            return Err(format!(
                "it has {channels} channels of {bits} bits instead of 1 or 3 of 8"
            ));
        }
    };
    let mut values = vec![0; size[0] * size[1] * channels];
    decoder.set_output_format(format);
    decoder.set_max_pixels(size[0] * size[1]);
    let decoded = decoder
        .decode_image_into(&mut values)
        .map_err(|error| error.to_string())?;
    // What the decoder made up for damaged data is no image of the set.
    match decoded.warnings.first() {
        Some(warning) => Err(format!("damaged: {warning:?}")),
        None => Ok(Samples { channels, values }),
    }
}

fn same_size(expected: [usize; 2], found: [usize; 2]) -> Result<(), String> {
    let [height, width] = found;
    if found != expected {
        return Err(format!(
            "it has {height} x {width} pixels instead of {} x {}",
            expected[0], expected[1]
        ));
    }
    match height.checked_mul(width) {
        Some(1..=MOST_PIXELS) => Ok(()),
        _ => Err(format!("{height} x {width} pixels are no image to train on")),
    }
}

#[cfg(test)]
mod tests;
