//! The header of a PES packet (ISO/IEC 13818-1, 2.4.3.6).

/// Bytes of the longest header that is written here: both times.
const LONGEST: usize = 19;

/// The most that a PES packet of audio takes behind its header: its length has
/// to be stated.
pub(super) const MOST: usize = u16::MAX as usize - (LONGEST - 6);

/// A header, and how long it is. Times are in ticks of 90 kHz; that of
/// decoding is written where it differs. A length that does not fit stays open
/// (0), as video may have it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    bytes: [u8; LONGEST],
    size: usize,
}

impl Header {
    pub(super) fn new(stream_id: u8, (dts, pts): (u64, u64), payload: usize) -> Self {
        let both = dts != pts;
        let size = if both { LONGEST } else { LONGEST - 5 };
        let length = u16::try_from(size - 6 + payload).unwrap_or(0);
        let [long, short] = length.to_be_bytes();
        let (flags, fields) = if both { (0xc0, 10) } else { (0x80, 5) };
        // '10', data_alignment_indicator: an access unit begins here.
        let [a, b, c, d, e] = time(if both { 0x30 } else { 0x20 }, pts);
        let [f, g, h, i, j] = time(0x10, dts);
        Self {
            bytes: [
                0, 0, 1, stream_id, long, short, 0x84, flags, fields, //
                a, b, c, d, e, f, g, h, i, j,
            ],
            size,
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.size).unwrap_or_default()
    }
}

/// Four bits, then a time of 33 bits in three parts, a marker behind each.
const fn time(bits: u8, ticks: u64) -> [u8; 5] {
    let field = (ticks >> 30 & 7) << 33
        | (ticks >> 15 & 0x7fff) << 17
        | (ticks & 0x7fff) << 1
        | (1 << 32 | 1 << 16 | 1);
    let [_, _, _, a, b, c, d, e] = field.to_be_bytes();
    [bits | a, b, c, d, e]
}
