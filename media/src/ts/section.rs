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
