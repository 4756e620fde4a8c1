//! The bytes of a pickle, read from the front.

use super::error::PickleProblem;

/// A cursor. Every length is checked against what is left before anything is taken or allocated.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub(super) const fn position(&self) -> usize {
        self.position
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: u64) -> Result<&'a [u8], PickleProblem> {
        let rest = &self.bytes[self.position..];
        let taken = usize::try_from(count).ok().and_then(|count| rest.get(..count));
        let taken = taken.ok_or(PickleProblem::Length {
            needed: count,
            left: rest.len() as u64,
        })?;
        self.position += taken.len();
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleProblem> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, PickleProblem> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(super) fn u16(&mut self) -> Result<u16, PickleProblem> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, PickleProblem> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn i32(&mut self) -> Result<i32, PickleProblem> {
        Ok(i32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, PickleProblem> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Big-endian, unlike all the rest.
    pub(super) fn f64(&mut self) -> Result<f64, PickleProblem> {
        Ok(f64::from_be_bytes(self.array()?))
    }

    pub(super) fn text(&mut self, count: u64) -> Result<&'a str, PickleProblem> {
        std::str::from_utf8(self.take(count)?).map_err(|_| PickleProblem::Utf8)
    }

    /// Up to the next line feed, which is left out.
    pub(super) fn line(&mut self) -> Result<&'a str, PickleProblem> {
        let rest = &self.bytes[self.position..];
        let end = rest.iter().position(|&byte| byte == b'\n');
        let end = end.ok_or(PickleProblem::Length {
            needed: rest.len() as u64 + 1,
            left: rest.len() as u64,
        })?;
        let line = self.text(end as u64)?;
        self.position += 1;
        Ok(line)
    }

    /// A little-endian integer in two's complement; `None` beyond 64 bits.
    pub(super) fn long(&mut self, count: u64) -> Result<Option<i64>, PickleProblem> {
        let bytes = self.take(count)?;
        if bytes.len() > 8 {
            return Ok(None);
        }
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut array = [if negative { 0xff } else { 0 }; 8];
        array[..bytes.len()].copy_from_slice(bytes);
        Ok(Some(i64::from_le_bytes(array)))
    }
}
