//! A transport stream that plays in a circle without end: each round goes on in
//! the clock and in the counters of the one before.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rillcast_bench::{Error, Result};

/// A packet (ISO/IEC 13818-1, 2.4.3.2).
type Packet = [u8; 188];

/// One round, cut where the clock is told.
#[derive(Debug)]
pub(crate) struct Circle {
    pieces: Vec<Piece>,
    /// How long a round lasts, in ticks of 90 kHz.
    length: u64,
}

#[derive(Debug, Default)]
struct Piece {
    /// When it has to be sent, in ticks since the first.
    due: u64,
    packets: Vec<Packet>,
}

/// One who plays it.
#[derive(Debug)]
pub(super) struct Player {
    circle: Arc<Circle>,
    at: usize,
    rounds: u64,
    /// By PID: the counter of the last packet with a payload.
    counters: BTreeMap<u16, u8>,
}

/// A round holds whole groups of pictures and whole AAC frames, so that the next
/// one begins where it ends, to the tick.
const SECONDS: u32 = 8;
/// The encoder puts a frame before the first sample.
const SAMPLES: u32 = (SECONDS * 48_000 / 1_024 - 1) * 1_024;

/// Ticks of a second.
const CLOCK: u64 = 90_000;

impl Circle {
    /// A round of `kilobits` per second; from `folder` if it was made before.
    pub(crate) fn make(folder: &Path, kilobits: u32) -> Result<Self> {
        let path = folder.join(format!("circle-{kilobits}.ts"));
        if !path.exists() {
            encode(&path, kilobits)?;
        }
        let bytes = fs::read(&path).map_err(Error::of(path.display()))?;
        Self::read(&bytes).ok_or_else(|| Error::new(format!("{} cannot be read", path.display())))
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (packets, rest) = bytes.as_chunks::<188>();
        let begin = packets.iter().find_map(clock)?;
        let mut pieces = vec![Piece::default()];
        for packet in packets {
            if let Some(clock) = clock(packet) {
                pieces.push(Piece {
                    due: clock.wrapping_sub(begin) & MASK,
                    packets: Vec::new(),
                });
            }
            pieces.last_mut()?.packets.push(*packet);
        }
        let length = u64::from(SECONDS) * CLOCK;
        let whole = rest.is_empty() && pieces.iter().all(|piece| piece.due < length);
        whole.then_some(Self { pieces, length })
    }
}

impl Player {
    pub(super) fn new(circle: Arc<Circle>) -> Self {
        Self {
            circle,
            at: 0,
            rounds: 0,
            counters: BTreeMap::new(),
        }
    }

    /// The next piece, and when it has to be sent, since the begin.
    pub(super) fn next(&mut self) -> Option<(Duration, Vec<u8>)> {
        if self.at >= self.circle.pieces.len() {
            (self.at, self.rounds) = (0, self.rounds + 1);
        }
        let piece = self.circle.pieces.get(self.at)?;
        self.at += 1;
        let offset = self.rounds * self.circle.length;
        let mut bytes = Vec::with_capacity(piece.packets.len() * 188);
        for packet in &piece.packets {
            let mut packet = *packet;
            shift(&mut packet, offset);
            count(&mut packet, &mut self.counters);
            bytes.extend_from_slice(&packet);
        }
        let due = Duration::from_micros((piece.due + offset) * 100 / 9);
        Some((due, bytes))
    }
}

/// Where the payload begins; `None` without one.
fn payload(packet: &Packet) -> Option<usize> {
    let [_, _, _, control, length, ..] = *packet;
    match control >> 4 & 3 {
        1 => Some(4),
        3 => Some(5 + usize::from(length)),
        _ => None,
    }
}

/// The base of the program clock reference, if the packet has one.
fn clock(packet: &Packet) -> Option<u64> {
    let [_, _, _, control, length, flags, a, b, c, d, e, ..] = *packet;
    let has = control & 0x20 != 0 && length >= 7 && flags & 0x10 != 0;
    let base = u64::from(u32::from_be_bytes([a, b, c, d])) << 1 | u64::from(e >> 7);
    has.then_some(base)
}

/// Moves the clock and the time stamps.
fn shift(packet: &mut Packet, offset: u64) {
    if let Some(base) = clock(packet) {
        let base = (base + offset) & MASK;
        let [.., a, b, c, d] = (base >> 1).to_be_bytes();
        if let Some([to_a, to_b, to_c, to_d, to_e]) =
            packet.get_mut(6..).and_then(<[u8]>::first_chunk_mut)
        {
            (*to_a, *to_b, *to_c, *to_d) = (a, b, c, d);
            *to_e = *to_e & 0x7F | if base & 1 == 1 { 0x80 } else { 0 };
        }
    }
    let begins = packet.get(1).is_some_and(|byte| byte & 0x40 != 0);
    let Some(pes) = payload(packet)
        .filter(|_| begins)
        .and_then(|at| packet.get_mut(at..))
    else {
        return;
    };
    // Tables begin otherwise.
    if !pes.starts_with(&[0, 0, 1]) {
        return;
    }
    let stamps = match pes.get(7).map(|flags| flags >> 6) {
        Some(2) => 1,
        Some(3) => 2,
        _ => 0,
    };
    for stamp in 0..stamps {
        let field = pes
            .get_mut(9 + 5 * stamp..)
            .and_then(<[u8]>::first_chunk_mut);
        if let Some(field) = field {
            shift_stamp(field, offset);
        }
    }
}

/// Moves a time stamp (2.4.3.7): 33 bits, with a marker behind each part.
fn shift_stamp(field: &mut [u8; 5], offset: u64) {
    let [a, b, c, d, e] = field.map(u64::from);
    let stamp = (a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1;
    let stamp = (stamp + offset) & MASK;
    let byte = |bits: u64| {
        let [.., low] = bits.to_be_bytes();
        low
    };
    *field = [
        byte(a & 0xF1 | (stamp >> 30) << 1),
        byte(stamp >> 22),
        byte(stamp >> 14 | 1),
        byte(stamp >> 7),
        byte(stamp << 1 | 1),
    ];
}

/// The clock and time stamps have 33 bits.
const MASK: u64 = (1 << 33) - 1;

/// Numbers a packet behind those of its PID that went before.
fn count(packet: &mut Packet, counters: &mut BTreeMap<u16, u8>) {
    let has_payload = payload(packet).is_some();
    let [_, high, low, control, ..] = packet;
    let pid = u16::from_be_bytes([*high & 0x1F, *low]);
    let last = counters.entry(pid).or_insert(15);
    if has_payload {
        *last = (*last + 1) % 16;
    }
    *control = *control & 0xF0 | *last;
}

fn encode(path: &Path, kilobits: u32) -> Result {
    let picture = "testsrc2=size=640x360:rate=25,noise=alls=20:allf=t";
    let sound = "sine=frequency=440:sample_rate=48000";
    let rate = format!("{}k", kilobits.saturating_sub(96).max(64));
    let half = format!("{}k", kilobits / 2);
    let partial = path.with_extension("part");
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y"])
        .args(["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound])
        .args(["-t", &SECONDS.to_string()])
        .args(["-af", &format!("atrim=end_sample={SAMPLES}")])
        .args(["-c:v", "libx264", "-preset", "veryfast", "-threads", "1"])
        .args(["-profile:v", "high", "-pix_fmt", "yuv420p"])
        .args(["-b:v", &rate, "-minrate", &rate, "-maxrate", &rate])
        .args(["-bufsize", &half, "-bf", "2"])
        .args([
            "-x264-params",
            "keyint=50:min-keyint=50:scenecut=0:nal-hrd=cbr",
        ])
        .args(["-c:a", "aac", "-b:a", "96k", "-f", "mpegts"])
        .arg(&partial)
        .stdin(Stdio::null())
        .output()
        .map_err(Error::of("ffmpeg"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Error::new(format!("ffmpeg: {}\n{said}", output.status)));
    }
    // A round that is there is whole.
    fs::rename(&partial, path).map_err(Error::of(path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet of `pid` that begins a PES packet with both stamps, and the clock.
    fn packet(pid: u8, base: u64, stamps: u64) -> Packet {
        let mut packet = [0xFF; 188];
        let [.., a, b, c, d] = (base >> 1).to_be_bytes();
        let last = u8::try_from((base & 1) << 7).unwrap();
        let head = [0x47, 0x40, pid, 0x30, 7, 0x10, a, b, c, d, last | 0x7E, 0];
        packet[..12].copy_from_slice(&head);
        packet[12..21].copy_from_slice(&[0, 0, 1, 0xE0, 0, 0, 0x80, 0xC0, 10]);
        for (at, prefix) in [(21, 0x31), (26, 0x11)] {
            let mut field = [prefix, 0, 1, 0, 1];
            shift_stamp(&mut field, stamps);
            packet[at..at + 5].copy_from_slice(&field);
        }
        packet
    }

    fn stamp(packet: &Packet, at: usize) -> u64 {
        let [a, b, c, d, e] = *packet[at..].first_chunk::<5>().unwrap();
        assert_eq!((a & 1, c & 1, e & 1), (1, 1, 1), "the markers");
        let [a, b, c, d, e] = [a, b, c, d, e].map(u64::from);
        (a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1
    }

    #[test]
    fn a_round_goes_on_where_the_one_before_ended() {
        let begin = MASK - 5 * CLOCK;
        let bytes = [
            packet(9, begin, begin + 7),
            packet(9, begin + CLOCK, begin + CLOCK + 7),
        ];
        let circle = Circle::read(bytes.as_flattened()).unwrap();
        let mut player = Player::new(Arc::new(circle));
        for round in 0..3 {
            // Nothing is before the first clock.
            assert!(player.next().unwrap().1.is_empty());
            for half in 0..2 {
                let since = round * 8 * CLOCK + half * CLOCK;
                let (due, bytes) = player.next().unwrap();
                assert_eq!(due, Duration::from_secs(round * 8 + half));
                let packet: &Packet = bytes.as_slice().try_into().unwrap();
                assert_eq!(clock(packet), Some((begin + since) & MASK));
                for at in [21, 26] {
                    assert_eq!(stamp(packet, at), (begin + since + 7) & MASK);
                }
                assert_eq!(packet[21] >> 4, 3);
                assert_eq!(u64::from(packet[3] & 15), round * 2 + half);
            }
        }
    }

    #[test]
    fn what_comes_before_the_clock_goes_with_it() {
        let mut table = [0xFF; 188];
        table[..4].copy_from_slice(&[0x47, 0x40, 0, 0x10]);
        let bytes = [table, packet(9, 500, 500), table, packet(9, 600, 600)];
        let circle = Circle::read(bytes.as_flattened()).unwrap();
        let pieces: Vec<(u64, usize)> = circle
            .pieces
            .iter()
            .map(|piece| (piece.due, piece.packets.len()))
            .collect();
        assert_eq!(pieces, [(0, 1), (0, 2), (100, 1)]);
        assert!(Circle::read(&bytes.as_flattened()[1..]).is_none());
    }
}
