//! Reading fields of single bits, most significant first: SPS of H.264,
//! AudioSpecificConfig. The byte-wise neighbour is `cursor.rs`.

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
    fn reads_end_with_the_bytes() {
        let mut bits = BitReader::new(&[0xa5]);
        assert_eq!(bits.read(4), Some(0xa));
        bits.align();
        assert_eq!((bits.remaining(), bits.bit()), (0, None));
        assert_eq!(BitReader::new(&[1]).read(9), None);
        assert_eq!(BitReader::new(&[1]).skip(9), None);
    }
}
