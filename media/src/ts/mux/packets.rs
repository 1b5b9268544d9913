//! Transport packets (ISO/IEC 13818-1, 2.4.3.2 to 2.4.3.5), as a PES packet
//! fills them.

use super::super::sync::PACKET;

/// Bytes of a packet behind its header.
const ROOM: usize = PACKET - 4;

/// A reading of the program clock that is to be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pcr {
    /// In ticks of 90 kHz; written modulo 2^33.
    pub(super) ticks: u64,
    /// The clock has nothing to do with what it was (2.4.3.5,
    /// `discontinuity_indicator`).
    pub(super) jumped: bool,
}

/// What the adaptation field of a PES packet's first packet says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Adaptation {
    pub(super) pcr: Option<Pcr>,
    pub(super) random_access: bool,
}

impl Adaptation {
    /// The field behind its length, in the first of these bytes.
    fn bytes(self) -> ([u8; 7], usize) {
        let random_access = u8::from(self.random_access) << 6;
        match self.pcr {
            Some(pcr) => {
                let jumped = u8::from(pcr.jumped) << 7;
                let [a, b, c, d, e, f] = clock(pcr.ticks);
                ([0x10 | random_access | jumped, a, b, c, d, e, f], 7)
            }
            None if self.random_access => ([random_access, 0, 0, 0, 0, 0, 0], 1),
            None => ([0; 7], 0),
        }
    }

    /// Bytes that the field takes in its packet.
    const fn size(self) -> usize {
        match (self.pcr, self.random_access) {
            (Some(_), _) => 8,
            (None, true) => 2,
            (None, false) => 0,
        }
    }
}

/// `program_clock_reference_base`, and an extension of 0.
const fn clock(ticks: u64) -> [u8; 6] {
    // 33 bits, then six reserved ones and nine of the extension.
    let field = (ticks & 0x1_ffff_ffff) << 15 | 0x7e00;
    let [_, _, a, b, c, d, e, f] = field.to_be_bytes();
    [a, b, c, d, e, f]
}

/// How many packets a PES packet of so many bytes takes.
pub(super) const fn count(bytes: usize, adaptation: Adaptation) -> usize {
    1 + bytes
        .saturating_sub(ROOM - adaptation.size())
        .div_ceil(ROOM)
}

/// A packet with nothing but the clock. `last` is the counter of the packet of
/// its PID before it: packets without payload do not count (2.4.3.3).
pub(super) fn clock_only(pid: u16, last: u8, pcr: Pcr, out: &mut Vec<u8>) {
    let [high, low] = pid.to_be_bytes();
    let (field, _) = Adaptation {
        pcr: Some(pcr),
        random_access: false,
    }
    .bytes();
    let end = out.len() + PACKET;
    out.extend_from_slice(&[0x47, high, low, 0x20 | last, STUFFED]);
    out.extend_from_slice(&field);
    out.resize(end, 0xff);
}

/// The length of an adaptation field that fills its packet.
const STUFFED: u8 = 183;

/// The packets of one PES packet, which is put in piece by piece.
#[derive(Debug)]
pub(super) struct Packets<'a> {
    out: &'a mut Vec<u8>,
    pid: u16,
    counter: u8,
    /// Bytes that the packet in progress still takes.
    room: usize,
    /// Bytes of the PES packet that are still to come.
    left: usize,
}

impl<'a> Packets<'a> {
    /// Begins a PES packet of so many bytes; `counter` is that of its first
    /// packet.
    pub(super) fn begin(
        out: &'a mut Vec<u8>,
        pid: u16,
        counter: u8,
        bytes: usize,
        adaptation: Adaptation,
    ) -> Self {
        let mut packets = Self {
            out,
            pid,
            counter,
            room: 0,
            left: bytes,
        };
        let (field, length) = adaptation.bytes();
        packets.open(0x40, field.get(..length).unwrap_or_default());
        packets
    }

    /// The next bytes. No more are taken than [`Packets::begin`] was told.
    pub(super) fn put(&mut self, mut bytes: &[u8]) {
        loop {
            let taken = bytes.len().min(self.room);
            let (now, rest) = bytes.split_at_checked(taken).unwrap_or_default();
            self.out.extend_from_slice(now);
            self.room -= taken;
            self.left -= taken;
            if rest.is_empty() || self.left == 0 {
                return;
            }
            bytes = rest;
            self.open(0, &[]);
        }
    }

    /// Writes what comes before the payload of a packet. What the payload
    /// will not fill, stuffing does, in the adaptation field (2.4.3.5).
    fn open(&mut self, start: u8, field: &[u8]) {
        let fixed = if field.is_empty() { 0 } else { 1 + field.len() };
        let stuffing = (ROOM - fixed).saturating_sub(self.left);
        let control = if fixed + stuffing == 0 { 0x10 } else { 0x30 };
        let [high, low] = self.pid.to_be_bytes();
        self.out
            .extend_from_slice(&[0x47, start | high, low, control | self.counter]);
        if let Some(length) = (fixed + stuffing).checked_sub(1) {
            let end = self.out.len() + 1 + length;
            self.out.push(u8::try_from(length).unwrap_or(STUFFED));
            // A field that has a length of its own begins with flags.
            self.out
                .extend_from_slice(if field.is_empty() && length > 0 {
                    &[0]
                } else {
                    field
                });
            self.out.resize(end, 0xff);
        }
        self.counter = (self.counter + 1) & 15;
        self.room = ROOM - fixed - stuffing;
    }
}
