//! The pages of a parquet file's columns, from their headers: how much they unpack to, before anything is unpacked.
//!
//! The library takes memory by a page's own word, and some of its decompressors go on to whatever end. A header is a structure
//! of Thrift's compact protocol:
//!
//! | field | what |
//! | --- | --- |
//! | 1 | kind |
//! | 2, 3 | bytes, unpacked and packed |
//! | 5, 7, 8 | header of a data page, a dictionary, a data page of version 2: field 1 is the number of values, field 2 (of version 2: 4) their encoding |

use std::io::Read;

use flate2::read::MultiGzDecoder;
use parquet::basic::Compression;
use parquet::file::metadata::ColumnChunkMetaData;

/// What columns may unpack to, beside a multiple of the file: images are compressed already.
const LEAST: u64 = 64 << 20;
const MULTIPLE: u64 = 16;
/// Values of one column, beside as many as the file has bytes.
const MOST_VALUES: u64 = 1 << 24;
/// Bytes that LZ4 makes of one at most.
const LZ4: u64 = 255;
/// Prefixes are shared: such a page unpacks to far more than it says.
const DELTA_BYTE_ARRAY: i64 = 7;
/// Structures in structures.
const DEEPEST: usize = 8;

/// What all pages seen so far unpack to.
pub(super) struct Unpacked<'a> {
    file: &'a [u8],
    bytes: u64,
    values: u64,
}

impl<'a> Unpacked<'a> {
    pub(super) fn of(file: &'a [u8]) -> Self {
        Self {
            file,
            bytes: 0,
            values: 0,
        }
    }

    /// Adds the pages of a chunk; says what is wrong where they are too much.
    pub(super) fn add(&mut self, chunk: &ColumnChunkMetaData) -> Result<(), String> {
        let damaged = || "a page's header is damaged".to_owned();
        let (start, length) = chunk.byte_range();
        let range = usize::try_from(start).ok().zip(usize::try_from(length).ok());
        let pages = range.and_then(|(start, length)| self.file.get(start..start.checked_add(length)?));
        let mut rest = pages.ok_or_else(damaged)?;
        while !rest.is_empty() {
            let mut reader = Thrift(rest);
            let page = reader.page().ok_or_else(damaged)?;
            rest = reader.0;
            let packed = usize::try_from(page.packed).ok();
            let (packed, after) = packed
                .and_then(|packed| rest.split_at_checked(packed))
                .ok_or_else(damaged)?;
            rest = after;
            self.page(&page, packed, chunk.compression())?;
        }
        Ok(())
    }

    fn page(&mut self, page: &Page, packed: &[u8], by: Compression) -> Result<(), String> {
        let length = self.file.len() as u64;
        let claimed = u64::try_from(page.unpacked).map_err(|_| "a page claims a negative size")?;
        self.bytes = self.bytes.saturating_add(claimed);
        self.values = self.values.saturating_add(page.values.unsigned_abs());
        let most = LEAST.saturating_add(MULTIPLE.saturating_mul(length));
        if self.bytes > most {
            let bytes = self.bytes;
            return Err(format!(
                "it unpacks to {bytes} bytes and more, of which at most {most} are read from a file of {length}"
            ));
        }
        if self.values > MOST_VALUES.saturating_add(length) {
            return Err(format!("its pages claim {} values and more", self.values));
        }
        if page.encoding == DELTA_BYTE_ARRAY {
            return Err(
                "images or labels are encoded as DELTA_BYTE_ARRAY, which is not supported".to_owned(),
            );
        }
        let more = match by {
            Compression::GZIP(_) => is_longer(MultiGzDecoder::new(packed), claimed),
            Compression::BROTLI(_) => {
                is_longer(brotli_decompressor::Decompressor::new(packed, 4096), claimed)
            }
            // One of the forms that go by this name does not say how long it is.
            Compression::LZ4 => LZ4 * packed.len() as u64 > most,
            // The others stop at what is claimed.
            _ => false,
        };
        match more {
            true => Err(format!(
                "a page unpacks to more than the {claimed} bytes it claims"
            )),
            false => Ok(()),
        }
    }
}

/// Whether there is a byte after `length`. What cannot be decompressed is for the library to tell.
fn is_longer(reader: impl Read, length: u64) -> bool {
    let mut limited = reader.take(length.saturating_add(1));
    std::io::copy(&mut limited, &mut std::io::sink()).is_ok_and(|read| read > length)
}

/// What a page's header says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Page {
    unpacked: i64,
    packed: i64,
    values: i64,
    encoding: i64,
}

/// Reads Thrift's compact protocol from the front of these bytes. Nothing where it is not that.
struct Thrift<'a>(&'a [u8]);

impl Thrift<'_> {
    fn page(&mut self) -> Option<Page> {
        let mut page = Page {
            unpacked: -1,
            packed: -1,
            ..Page::default()
        };
        let mut id = 0;
        while let kind @ 1.. = self.field(&mut id)? {
            match (id, kind) {
                (2, 5) => page.unpacked = self.whole()?,
                (3, 5) => page.packed = self.whole()?,
                (5 | 8, 12) => self.data(&mut page, if id == 8 { 4 } else { 2 })?,
                (7, 12) => self.data(&mut page, 2)?,
                _ => self.skip(kind, DEEPEST)?,
            }
        }
        Some(page)
    }

    fn data(&mut self, page: &mut Page, encoding: i64) -> Option<()> {
        let mut id = 0;
        while let kind @ 1.. = self.field(&mut id)? {
            match kind {
                5 if id == 1 => page.values = self.whole()?,
                5 if id == encoding => page.encoding = self.whole()?,
                _ => self.skip(kind, DEEPEST)?,
            }
        }
        Some(())
    }

    /// The kind of the next field, 0 at the end of a structure; `id` is that of the field before.
    fn field(&mut self, id: &mut i64) -> Option<u8> {
        let byte = self.byte()?;
        let kind = byte & 15;
        if kind > 0 {
            *id = match byte >> 4 {
                0 => self.whole()?,
                step => id.checked_add(i64::from(step))?,
            };
        }
        Some(kind)
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        match kind {
            1 | 2 => {}
            3 => drop(self.byte()?),
            4..=6 => drop(self.number()?),
            7 => drop(self.take(8)?),
            8 => {
                let length = self.number()?;
                self.take(length)?;
            }
            9 | 10 => {
                let byte = self.byte()?;
                let (count, kind) = match byte >> 4 {
                    15 => (self.number()?, byte & 15),
                    count => (u64::from(count), byte & 15),
                };
                for _ in 0..count {
                    // Flags in lists take a byte each.
                    let kind = if matches!(kind, 1 | 2) { 3 } else { kind };
                    self.skip(kind, depth.checked_sub(1)?)?;
                }
            }
            12 => {
                let mut id = 0;
                while let kind @ 1.. = self.field(&mut id)? {
                    self.skip(kind, depth.checked_sub(1)?)?;
                }
            }
            _ => return None,
        }
        Some(())
    }

    fn whole(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1).cast_signed() ^ -((number & 1).cast_signed()))
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Some(number);
            }
        }
        None
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn take(&mut self, count: u64) -> Option<&[u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(count).ok()?)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn headers_are_read_to_their_end() {
        // A data page: kind 0, 300 bytes of 2, statistics to be skipped, 7 values as dictionary positions (8).
        let header = [
            0x15, 0x00, 0x15, 0xd8, 0x04, 0x15, 0x04, 0x2c, 0x15, 0x0e, 0x15, 0x10, 0x15, 0x06, 0x15, 0x06,
            0x1c, 0x18, 0x01, 0x61, 0x00, 0x00, 0x00, 0xaa,
        ];
        let mut reader = Thrift(&header);
        let page = Page {
            unpacked: 300,
            packed: 2,
            values: 7,
            encoding: 8,
        };
        assert_eq!(reader.page(), Some(page));
        assert_eq!(reader.0, [0xaa]);
    }

    #[test]
    fn a_page_that_unpacks_to_more_than_it_claims_is_refused() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::copy(&mut std::io::repeat(0).take(1 << 20), &mut encoder).expect("in memory");
        let packed = encoder.finish().expect("in memory");
        let said = |unpacked: i64, encoding: i64| {
            let page = Page {
                unpacked,
                encoding,
                ..Page::default()
            };
            Unpacked::of(&packed).page(
                &page,
                &packed,
                Compression::GZIP(parquet::basic::GzipLevel::default()),
            )
        };
        assert_eq!(said(1 << 20, 0), Ok(()));
        assert!(
            said((1 << 20) - 1, 0)
                .expect_err("more")
                .starts_with("a page unpacks to more")
        );
        assert!(
            said(1 << 40, 0)
                .expect_err("too much")
                .starts_with("it unpacks to")
        );
        assert!(said(1 << 20, DELTA_BYTE_ARRAY).is_err());
        assert!(said(-1, 0).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Thrift(&bytes).page();
        }
    }
}
