//! Reading big-endian fields from bytes that a peer sent: every read is
//! checked, none can panic. The bit-wise neighbour is `codec/bits.rs`.

/// A position in a byte slice. A read past the end gives `None` and moves nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The bytes that are still to be read.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) const fn len(&self) -> usize {
        self.rest.len()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*head)
    }

    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn i16(&mut self) -> Option<i16> {
        self.array().map(i16::from_be_bytes)
    }

    /// A 24-bit two's complement number.
    pub(crate) fn i24(&mut self) -> Option<i32> {
        self.array()
            .map(|[a, b, c]| i32::from_be_bytes([a, b, c, 0]) >> 8)
    }

    pub(crate) fn f64(&mut self) -> Option<f64> {
        self.array().map(f64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_big_endian_and_signed_where_said() {
        let bytes = [0xff, 0xff, 0xff, 0x80, 0, 0, 0x7f, 0xff, 0xff];
        let mut cursor = Cursor::new(&bytes);
        assert_eq!(cursor.i24(), Some(-1));
        assert_eq!(cursor.i24(), Some(-8_388_608));
        assert_eq!(cursor.i24(), Some(8_388_607));
        assert!(cursor.is_empty());
    }

    #[test]
    fn a_read_past_the_end_moves_nothing() {
        let mut cursor = Cursor::new(&[1, 2, 3]);
        assert_eq!(cursor.u32(), None);
        assert_eq!(cursor.take(4), None);
        assert_eq!(cursor.len(), 3);
        assert_eq!(cursor.u16(), Some(0x0102));
        assert_eq!(cursor.rest(), [3]);
    }
}
