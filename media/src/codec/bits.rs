//! Reading and writing fields of single bits, most significant first: parameter
//! sets, AudioSpecificConfig. The byte-wise neighbour is `cursor.rs`.

use bytes::Bytes;

/// A position, in bits, in a byte slice. A read past the end gives `None`.
#[derive(Clone, Debug)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn remaining(&self) -> usize {
        (self.bytes.len() * 8).saturating_sub(self.at)
    }

    /// How many bits were read and skipped.
    pub(crate) const fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn bit(&mut self) -> Option<bool> {
        let byte = *self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// The next `count` bits, at most 32, as a number.
    pub(crate) fn read(&mut self, count: u32) -> Option<u32> {
        debug_assert!(count <= 32);
        let mut value = 0_u32;
        for _ in 0..count {
            value = value << 1 | u32::from(self.bit()?);
        }
        Some(value)
    }

    /// The same for at most 8 bits.
    pub(crate) fn read_u8(&mut self, count: u32) -> Option<u8> {
        u8::try_from(self.read(count.min(8))?).ok()
    }

    pub(crate) fn skip(&mut self, count: usize) -> Option<()> {
        if count > self.remaining() {
            return None;
        }
        self.at += count;
        Some(())
    }

    /// Goes on to the next byte boundary.
    pub(crate) fn align(&mut self) {
        self.at = self.at.div_ceil(8) * 8;
    }

    /// An unsigned Exp-Golomb number, `ue(v)` of ISO/IEC 14496-10 section 9.1;
    /// `None` also for one of more than 32 bits.
    pub(crate) fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let suffix = self.read(zeros)?;
        Some((1_u32 << zeros) - 1 + suffix)
    }

    /// A signed Exp-Golomb number, `se(v)` of section 9.1.1.
    pub(crate) fn se(&mut self) -> Option<i64> {
        let code = i64::from(self.ue()?);
        let half = (code + 1) / 2;
        Some(if code % 2 == 1 { half } else { -half })
    }
}

/// Bits put one behind the other; zeros fill the last byte.
#[derive(Clone, Debug, Default)]
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    /// How many bits of the last byte are not yet written.
    free: u32,
}

impl BitWriter {
    /// Puts the lowest `count` bits of `value`, at most 32.
    pub(crate) fn put(&mut self, value: u32, count: u32) {
        debug_assert!(count <= 32);
        for at in (0..count).rev() {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            self.free -= 1;
            if let Some(last) = self.bytes.last_mut() {
                *last |= u8::from(value >> at & 1 == 1) << self.free;
            }
        }
    }

    /// Goes on to the next byte boundary.
    pub(crate) const fn align(&mut self) {
        self.free = 0;
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        self.bytes.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_golomb_numbers_of_the_specifications_table() {
        // Table 9-2: 1, 010, 011, 00100, 00101.
        let mut bits = BitReader::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        for want in 0..5 {
            assert_eq!(bits.ue(), Some(want));
        }
        let mut bits = BitReader::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        for want in [0, 1, -1, 2, -2] {
            assert_eq!(bits.se(), Some(want));
        }
    }

    #[test]
    fn the_largest_exp_golomb_number_is_read_and_a_larger_one_refused() {
        let mut bytes = [0_u8; 8];
        bytes[3] = 1;
        bytes[4..8].fill(0xff);
        // 31 zeros, a one, 31 ones.
        assert_eq!(BitReader::new(&bytes).ue(), Some(u32::MAX - 1));
        assert_eq!(BitReader::new(&[0; 16]).ue(), None);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut writer = BitWriter::default();
        for (value, count) in [(5, 3), (0, 1), (0x1ff, 9), (u32::MAX, 32), (1, 2)] {
            writer.put(value, count);
        }
        writer.align();
        writer.put(0x1a5, 8);
        let bytes = writer.into_bytes();
        let mut bits = BitReader::new(&bytes);
        for (value, count) in [(5, 3), (0, 1), (0x1ff, 9), (u32::MAX, 32), (1, 2)] {
            assert_eq!(bits.read(count), Some(value));
        }
        assert_eq!(bits.position(), 47);
        bits.align();
        assert_eq!((bits.read(8), bits.bit()), (Some(0xa5), None));
    }

    #[test]
    fn reads_end_with_the_bytes() {
        let mut bits = BitReader::new(&[0xa5]);
        assert_eq!(bits.read(4), Some(0xa));
        bits.align();
        assert_eq!((bits.remaining(), bits.bit()), (0, None));
        assert_eq!(BitReader::new(&[1]).read(9), None);
        assert_eq!(BitReader::new(&[1]).skip(9), None);
    }
}
