//! The two tables that a program needs (ISO/IEC 13818-1, 2.4.4): where its map
//! is, and what its streams are.

use super::super::section;
use super::super::sync::PACKET;
use super::super::tables::{PAT, PMT};
use super::stream::Stream;

/// Of the program's map. Those of the streams follow [`FIRST_STREAM`].
const MAP_PID: u16 = 0x1000;

/// The PID of the first stream.
pub(super) const FIRST_STREAM: u16 = 0x100;

/// The packets of both tables; their counters are put in when they are written.
#[derive(Debug)]
pub(super) struct Tables {
    pub(super) pat: Vec<u8>,
    pub(super) pmt: Vec<u8>,
}

impl Tables {
    pub(super) fn of(streams: &[Stream], clock: u16) -> Self {
        let [high, low] = MAP_PID.to_be_bytes();
        let pat = section(PAT, &[0, PROGRAM, 0xe0 | high, low]);
        let [high, low] = clock.to_be_bytes();
        let mut body = vec![0xe0 | high, low, 0xf0, 0];
        for stream in streams {
            let [high, low] = stream.pid.to_be_bytes();
            body.extend_from_slice(&[stream.stream_type, 0xe0 | high, low]);
            body.extend_from_slice(&length(0xf0, stream.descriptors.len()));
            body.extend_from_slice(&stream.descriptors);
        }
        let pmt = section(PMT, &body);
        Self {
            pat: packets(0, &pat),
            pmt: packets(MAP_PID, &pmt),
        }
    }

    /// Packets of both.
    pub(super) const fn packets(&self) -> (usize, usize) {
        (self.pat.len() / PACKET, self.pmt.len() / PACKET)
    }
}

/// The number of the only program.
const PROGRAM: u8 = 1;

/// A section (2.4.4.3, 2.4.4.8) with its checksum. Its version comes from what
/// it says: a changed map is a new one to readers that go by the version.
fn section(table: u8, body: &[u8]) -> Vec<u8> {
    let [.., version] = section::crc(body).to_be_bytes();
    let mut section = vec![table];
    section.extend_from_slice(&length(0xb0, body.len() + 9));
    // Both the stream and its only program are number 1.
    section.extend_from_slice(&[0, 1, 0xc1 | (version & 0x1f) << 1, 0, 0]);
    section.extend_from_slice(body);
    let crc = section::crc(&section);
    section.extend_from_slice(&crc.to_be_bytes());
    section
}

/// A length of twelve bits behind four others. What is written here is shorter
/// by far.
fn length(bits: u8, length: usize) -> [u8; 2] {
    let [high, low] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    [bits | high & 0x0f, low]
}

/// The packets of one section, the rest of the last filled with 0xff (2.4.4).
fn packets(pid: u16, section: &[u8]) -> Vec<u8> {
    // The pointer field: the section begins behind it.
    let bytes = [&[0], section].concat();
    let [high, low] = pid.to_be_bytes();
    let mut out = Vec::new();
    for (at, payload) in bytes.chunks(PACKET - 4).enumerate() {
        let start = if at == 0 { 0x40 } else { 0 };
        let end = out.len() + PACKET;
        out.extend_from_slice(&[0x47, start | high, low, 0x10]);
        out.extend_from_slice(payload);
        out.resize(end, 0xff);
    }
    out
}

/// Adds the packets of a table, from this counter on.
pub(super) fn write(packets: &[u8], counter: u8, out: &mut Vec<u8>) {
    for (number, packet) in (counter..).zip(packets.chunks(PACKET)) {
        if let [sync, high, low, control, rest @ ..] = packet {
            out.extend_from_slice(&[*sync, *high, *low, *control | number & 15]);
            out.extend_from_slice(rest);
        }
    }
}
