//! The header of a PES packet (ISO/IEC 13818-1, 2.4.3.6 and 2.4.3.7).

/// What a PES packet's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) stream_id: u8,
    /// Bytes of the header itself.
    pub(super) size: usize,
    /// Bytes of payload; `None` if the header leaves it open, as video may.
    pub(super) payload: Option<usize>,
    pub(super) scrambled: bool,
    pub(super) stamp: Option<Stamp>,
}

/// The times of the first access unit that begins in a PES packet: 33 bits of
/// 90 kHz.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) pts: i64,
    pub(super) dts: i64,
}

impl Stamp {
    /// Whether a decoder could hold the picture for so long. One of the times is damaged
    /// if not, and nothing says which.
    fn is_possible(&self) -> bool {
        (-LONGEST_HELD..=LONGEST_HELD).contains(&between(self.dts, self.pts))
    }
}

/// No decoder holds a picture for more than ten seconds (2.14.1, 2.17.1). Some muxers
/// write times the wrong way round.
const LONGEST_HELD: i64 = 10 * 90_000;

/// What the beginning of a PES packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    Header(Header),
    /// The header goes on in the next transport packet.
    More,
    /// A PES packet that has neither audio nor video.
    Other,
    /// No PES packet.
    Broken,
}

/// No header is longer: nine bytes and what one byte can count.
pub(super) const MAX_HEADER: usize = 9 + 255;

impl Header {
    pub(super) fn parse(bytes: &[u8]) -> Parsed {
        const CODE: [u8; 3] = [0, 0, 1];
        let begin = bytes.get(..CODE.len()).unwrap_or(bytes);
        if !CODE.starts_with(begin) {
            return Parsed::Broken;
        }
        let Some((fixed, rest)) = bytes.split_first_chunk::<9>() else {
            return Parsed::More;
        };
        let [_, _, _, stream_id, length_a, length_b, flags, times, size] = *fixed;
        if !carries(stream_id) {
            return Parsed::Other;
        }
        if flags & 0xc0 != 0x80 {
            return Parsed::Broken;
        }
        let size = usize::from(size);
        let Some(fields) = rest.get(..size) else {
            return Parsed::More;
        };
        let length = usize::from(u16::from_be_bytes([length_a, length_b]));
        let payload = match length {
            0 => None,
            _ => match length.checked_sub(3 + size) {
                None => return Parsed::Broken,
                some => some,
            },
        };
        Parsed::Header(Self {
            stream_id,
            size: 9 + size,
            payload,
            scrambled: flags & 0x30 != 0,
            stamp: stamp(times >> 6, fields),
        })
    }
}

/// Whether PES packets of this `stream_id` have the header that is read here
/// (table 2-21), and may carry audio or video.
pub(super) const fn carries(stream_id: u8) -> bool {
    matches!(stream_id, 0xbd | 0xc0..=0xef | 0xfd)
}

/// The times, if they are there and their marker bits stand.
fn stamp(flags: u8, fields: &[u8]) -> Option<Stamp> {
    let read = |at: usize| {
        let [a, b, c, d, e] = *fields.get(at..)?.first_chunk::<5>()?;
        // The four bits before are not looked at: some muxers write others.
        if a & c & e & 1 == 0 {
            return None;
        }
        Some(
            i64::from(a >> 1 & 7) << 30
                | i64::from(b) << 22
                | i64::from(c >> 1) << 15
                | i64::from(d) << 7
                | i64::from(e >> 1),
        )
    };
    match flags {
        2 => {
            let pts = read(0)?;
            Some(Stamp { pts, dts: pts })
        }
        3 => Some(Stamp {
            pts: read(0)?,
            dts: read(5)?,
        })
        .filter(Stamp::is_possible),
        _ => None,
    }
}

/// How many ticks the clock has before it wraps.
pub(super) const CYCLE: i64 = 1 << 33;

/// The shortest way from one reading to another, over the wrap if need be.
pub(super) const fn between(from: i64, to: i64) -> i64 {
    let ahead = (to - from).rem_euclid(CYCLE);
    if ahead < CYCLE / 2 {
        ahead
    } else {
        ahead - CYCLE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The five bytes of a time.
    fn time(ticks: i64) -> [u8; 5] {
        let byte = |shift: u32, mask: i64| u8::try_from(ticks >> shift & mask).unwrap();
        [
            0x31 | byte(30, 7) << 1,
            byte(22, 255),
            byte(15, 127) << 1 | 1,
            byte(7, 255),
            byte(0, 127) << 1 | 1,
        ]
    }

    #[test]
    fn times_that_no_decoder_could_keep_are_none() {
        let last = CYCLE - 1;
        for (pts, dts, possible) in [
            (3_600, 0, true),
            (900_000, 0, true),
            (3_599, last, true),
            (0, 3_600, true),
            (900_001, 0, false),
            // One bit of the time is damaged.
            (3_600 | 1 << 31, 0, false),
            (3_600, 1 << 32, false),
        ] {
            let fields = [time(pts), time(dts)].concat();
            let read = stamp(3, &fields);
            assert_eq!(read, possible.then_some(Stamp { pts, dts }), "{pts} {dts}");
        }
    }
}
