//! The IDX format of MNIST and its kin: a big-endian header, then unsigned bytes.
//!
//! | bytes | images | labels |
//! | --- | --- | --- |
//! | 0..4 | `00 00 08 03` (unsigned bytes, three dimensions) | `00 00 08 01` |
//! | 4.. | count, rows, columns: u32 each | count: u32 |
//! | rest | `count * rows * columns` bytes | `count` bytes |
//!
//! Nothing is allocated on a header's word: the content is in memory when the header is read, and must have exactly
//! the length that the header says.

use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::data::DataError;
use crate::files;

const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Reads at most `limit` bytes of a file as it lies.
pub(super) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, DataError> {
    let file = files::open(path).map_err(|source| DataError::read(path, source))?;
    drain(path, file, limit)
}

/// Decompresses `bytes` where they are gzip (by content, not by name), to at most `limit` bytes.
pub(super) fn decompress(path: &Path, bytes: Vec<u8>, limit: u64) -> Result<Vec<u8>, DataError> {
    if bytes.starts_with(&GZIP) {
        drain(path, MultiGzDecoder::new(bytes.as_slice()), limit)
    } else {
        Ok(bytes)
    }
}

/// The vector grows with what really arrives.
fn drain(path: &Path, reader: impl Read, limit: u64) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    let read = reader.take(limit.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|source| DataError::read(path, source))?;
    if bytes.len() as u64 > limit {
        return Err(DataError::TooLong {
            path: path.to_path_buf(),
            limit,
        });
    }
    Ok(bytes)
}

/// The dimensions and the data of IDX bytes with `D` dimensions.
///
/// On an error, says what is wrong, for [`DataError::Format`].
pub(super) fn parse<const D: usize>(bytes: &[u8]) -> Result<([usize; D], &[u8]), String> {
    let (magic, mut rest) = bytes.split_first_chunk::<4>().ok_or("it has no header")?;
    let expected = [0, 0, 8, D as u8];
    if *magic != expected {
        return Err(format!("it starts with {magic:02x?} instead of {expected:02x?}"));
    }
    let mut sizes = [0; D];
    let mut length = 1_usize;
    for size in &mut sizes {
        let (digits, tail) = rest.split_first_chunk::<4>().ok_or("its header is cut short")?;
        *size = u32::from_be_bytes(*digits) as usize;
        length = length.saturating_mul(*size);
        rest = tail;
    }
    if rest.len() == length {
        Ok((sizes, rest))
    } else {
        Err(format!(
            "its header {sizes:?} says {length} bytes, but {} follow",
            rest.len()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file<const D: usize>(sizes: [u32; D], data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, D as u8];
        bytes.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
        bytes.extend(data);
        bytes
    }

    #[test]
    fn reads_what_the_header_says() {
        let bytes = file([2, 1, 3], &[1, 2, 3, 4, 5, 6]);
        assert_eq!(parse::<3>(&bytes), Ok(([2, 1, 3], [1, 2, 3, 4, 5, 6].as_slice())));
    }

    #[test]
    fn a_lying_header_is_an_error() {
        for bytes in [
            file([u32::MAX; 3], &[0; 16]),
            file([3, 1, 2], &[0; 5]),
            file([3, 1, 2], &[0; 7]),
            file([6], &[0; 6]),
            vec![0, 0, 8, 3, 0],
            vec![0, 0],
            Vec::new(),
        ] {
            assert!(parse::<3>(&bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_compressed_bomb_stops_at_the_limit() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::copy(&mut std::io::repeat(0).take(1 << 20), &mut encoder).expect("in memory");
        let bytes = encoder.finish().expect("in memory");
        let limited = decompress(Path::new("bomb"), bytes.clone(), 1000);
        assert!(matches!(limited, Err(DataError::TooLong { limit: 1000, .. })));
        assert_eq!(
            decompress(Path::new("x"), bytes, 1 << 20).map(|b| b.len()).ok(),
            Some(1 << 20)
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..64), honest: bool) {
            if honest && bytes.len() >= 4 {
                bytes[..4].copy_from_slice(&[0, 0, 8, 3]);
            }
            if let Ok((sizes, data)) = parse::<3>(&bytes) {
                prop_assert_eq!(sizes.iter().product::<usize>(), data.len());
            }
            let _ = parse::<1>(&bytes);
            let _ = decompress(Path::new("x"), bytes, 1000);
        }
    }
}
