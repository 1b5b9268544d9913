//! Seeded chance: the same seed, the same attack.

/// SplitMix64 (Steele, Lea and Flood, 2014): small, and good enough to be wild.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.next() % bound).unwrap_or_default()
    }

    /// The low 32 bits.
    pub(crate) fn word(&mut self) -> u32 {
        let [.., a, b, c, d] = self.next().to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let [.., low] = self.next().to_be_bytes();
        low
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        std::iter::repeat_with(|| self.byte())
            .take(length)
            .collect()
    }

    /// One of `list`.
    pub(crate) fn of<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        list.get(self.below(list.len()))
    }
}
