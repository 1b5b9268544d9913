//! Tables come in sections, sections in packets (ISO/IEC 13818-1, 2.4.4).

/// Puts the sections of one PID together and checks them.
#[derive(Debug, Default)]
pub(super) struct Sections {
    /// The section that is being put together, its header first.
    held: Vec<u8>,
    /// Whether `held` goes on with the next packet.
    open: bool,
}

/// No section that is read here is longer (2.4.4.3, 2.4.4.8; the service
/// description of EN 300 468, 5.1.1).
const MAX_SECTION: usize = 3 + 1021;

/// What came of the sections in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checked<'a> {
    /// The whole section, its checksum left out.
    Section(&'a [u8]),
    /// A section whose checksum is wrong, or whose length is impossible.
    Broken,
}

impl Sections {
    /// Packets of this PID are missing.
    pub(super) fn lost(&mut self) {
        self.open = false;
        self.held.clear();
    }

    /// Takes a packet's payload and gives what is complete to `sink`.
    pub(super) fn push(&mut self, starts: bool, payload: &[u8], mut sink: impl FnMut(Checked<'_>)) {
        if !starts {
            if self.open {
                self.fill(payload, &mut sink);
            }
            return;
        }
        // The pointer field counts what is left of the section before.
        let Some((pointer, payload)) = payload.split_first() else {
            return;
        };
        let Some((before, mut rest)) = payload.split_at_checked(usize::from(*pointer)) else {
            sink(Checked::Broken);
            return self.lost();
        };
        if self.open {
            self.fill(before, &mut sink);
        }
        // 0xff fills what sections leave.
        while rest.first().is_some_and(|table| *table != 0xff) {
            self.held.clear();
            self.open = true;
            rest = self.fill(rest, &mut sink);
        }
    }

    /// Adds to the section what belongs to it; returns the rest.
    fn fill<'a>(&mut self, bytes: &'a [u8], sink: &mut impl FnMut(Checked<'_>)) -> &'a [u8] {
        let header = 3_usize.saturating_sub(self.held.len()).min(bytes.len());
        let (head, bytes) = bytes.split_at(header);
        self.held.extend_from_slice(head);
        let [_, a, b, ..] = *self.held else {
            return bytes;
        };
        let size = 3 + usize::from(u16::from_be_bytes([a & 0x0f, b]));
        if size > MAX_SECTION {
            sink(Checked::Broken);
            self.lost();
            return &[];
        }
        let wanted = size.saturating_sub(self.held.len()).min(bytes.len());
        let (body, rest) = bytes.split_at(wanted);
        self.held.extend_from_slice(body);
        if self.held.len() == size {
            self.open = false;
            sink(checked(&self.held));
        }
        rest
    }
}

fn checked(section: &[u8]) -> Checked<'_> {
    // `section_syntax_indicator`: only those have a checksum.
    let long = section.get(1).is_some_and(|flags| flags & 0x80 != 0);
    match section.split_last_chunk::<4>() {
        Some((body, _)) if long && crc(section) == 0 => Checked::Section(body),
        _ => Checked::Broken,
    }
}

/// The checksum of annex A; over a section with its own it is 0.
pub(crate) fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        let [top, ..] = crc.to_be_bytes();
        let index = usize::from(top ^ byte);
        crc << 8 ^ TABLE.get(index).copied().unwrap_or(0)
    })
}

const TABLE: [u32; 256] = table();

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "computed by the compiler, which would refuse a wrong index"
)]
const fn table() -> [u32; 256] {
    let mut table = [0_u32; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = (index as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            let carry = crc >> 31 == 1;
            crc <<= 1;
            if carry {
                crc ^= 0x04c1_1db7;
            }
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A section of a table, with so many bytes behind its header.
    fn section(id: u8, body: &[u8]) -> Vec<u8> {
        let [high, low] = u16::try_from(body.len() + 4).unwrap().to_be_bytes();
        let mut section = [&[id, 0xb0 | high, low], body].concat();
        section.extend_from_slice(&crc(&section).to_be_bytes());
        section
    }

    /// A payload, and whether a section begins in it.
    type Payload = (bool, Vec<u8>);

    /// The payloads that carry sections one behind the other, and of each section which
    /// ones it lies in.
    fn payloads(sections: &[Vec<u8>]) -> (Vec<Payload>, Vec<(usize, usize)>) {
        let stream = sections.concat();
        let mut begins = Vec::new();
        let mut at = 0;
        for section in sections {
            begins.push(at);
            at += section.len();
        }
        let mut out: Vec<Payload> = Vec::new();
        let mut lies = vec![(usize::MAX, 0); sections.len()];
        let mut at = 0;
        while at < stream.len() {
            // With a pointer field if one begins here.
            let begin = begins.iter().find(|begin| (at..at + 183).contains(*begin));
            // One may not begin with the last byte of a payload that has no such field:
            // that one is a byte shorter.
            let short = begin.is_some() || begins.contains(&(at + 183));
            let room = if short { 183 } else { 184 };
            let end = stream.len().min(at + room);
            let mut payload = Vec::new();
            payload.extend(begin.map(|begin| u8::try_from(begin - at).unwrap()));
            payload.extend_from_slice(&stream[at..end]);
            if begin.is_some() {
                payload.resize(184, 0xff);
            }
            for ((first, last), (begin, section)) in
                lies.iter_mut().zip(begins.iter().zip(sections))
            {
                if *begin < end && begin + section.len() > at {
                    *first = (*first).min(out.len());
                    *last = out.len();
                }
            }
            out.push((begin.is_some(), payload));
            at = end;
        }
        (out, lies)
    }

    proptest! {
        #[test]
        fn sections_come_out_whole_wherever_they_are_cut_and_lost_ones_alone_are_missing(
            sizes in prop::collection::vec(5_usize..1_000, 1..8),
            lost in prop::collection::vec(0_usize..40, 0..3),
        ) {
            let made: Vec<_> = sizes
                .iter()
                .zip(0_u8..)
                .map(|(size, id)| section(id, &vec![id ^ 0x55; *size]))
                .collect();
            let (payloads, lies) = payloads(&made);
            let mut sections = Sections::default();
            let mut found = Vec::new();
            for (at, (starts, payload)) in payloads.iter().enumerate() {
                if lost.contains(&at) {
                    sections.lost();
                    continue;
                }
                sections.push(*starts, payload, |checked| match checked {
                    Checked::Section(section) => found.push(section.to_vec()),
                    Checked::Broken => panic!("none is broken"),
                });
            }
            let want: Vec<_> = made
                .iter()
                .zip(lies)
                .filter(|(_, (first, last))| !lost.iter().any(|at| (first..=last).contains(&at)))
                .map(|(section, _)| section[..section.len() - 4].to_vec())
                .collect();
            prop_assert_eq!(found, want);
        }
    }
}
