//! The header of a transport packet (ISO/IEC 13818-1, 2.4.3.2 to 2.4.3.5),
//! and what its continuity counter says.

use super::sync::PACKET;

/// A packet as far as the demuxer needs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    pub(super) pid: u16,
    /// `payload_unit_start_indicator`.
    pub(super) starts: bool,
    pub(super) scrambled: bool,
    /// `continuity_counter`, 0 to 15.
    pub(super) counter: u8,
    /// `discontinuity_indicator`.
    pub(super) discontinuity: bool,
    /// The adaptation field is longer than what it says: the payload was too
    /// short to fill the packet.
    pub(super) stuffed: bool,
    /// `None` if the packet has only an adaptation field.
    pub(super) payload: Option<&'a [u8]>,
}

/// Why a packet is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// `transport_error_indicator`: a demodulator says that it is damaged.
    TransportError,
    /// Its fields contradict each other.
    Malformed,
}

impl<'a> Packet<'a> {
    pub(super) fn parse(bytes: &'a [u8; PACKET]) -> Result<Self, Fault> {
        let [_sync, a, b, control, rest @ ..] = bytes;
        if a & 0x80 != 0 {
            return Err(Fault::TransportError);
        }
        let mut packet = Packet {
            pid: u16::from(a & 0x1f) << 8 | u16::from(*b),
            starts: a & 0x40 != 0,
            scrambled: control & 0xc0 != 0,
            counter: control & 0x0f,
            discontinuity: false,
            stuffed: false,
            payload: Some(rest),
        };
        match control >> 4 & 3 {
            1 => return Ok(packet),
            0 => return Err(Fault::Malformed),
            kind => {
                let (length, field) = rest.split_first().ok_or(Fault::Malformed)?;
                let length = usize::from(*length);
                let (field, payload) = field.split_at_checked(length).ok_or(Fault::Malformed)?;
                packet.payload = (kind == 3).then_some(payload);
                if kind == 3 && payload.is_empty() {
                    return Err(Fault::Malformed);
                }
                packet.discontinuity = field.first().is_some_and(|flags| flags & 0x80 != 0);
                packet.stuffed = stuffing(field).ok_or(Fault::Malformed)?;
            }
        }
        Ok(packet)
    }
}

/// Whether an adaptation field has stuffing bytes; `None` if it is shorter
/// than what its flags say. An empty one is a stuffing byte itself.
fn stuffing(field: &[u8]) -> Option<bool> {
    let Some((flags, rest)) = field.split_first() else {
        return Some(true);
    };
    if flags & 0x1f == 0 {
        // One that says nothing at all only fills.
        return Some(*flags == 0 || !rest.is_empty());
    }
    let mut at = 0;
    for (flag, size) in [(0x10, 6), (0x08, 6), (0x04, 1)] {
        at += if flags & flag == 0 { 0 } else { size };
    }
    for flag in [0x02, 0x01] {
        // Private data and the extension begin with their length.
        if flags & flag != 0 {
            at += 1 + usize::from(*rest.get(at)?);
        }
    }
    (at <= rest.len()).then_some(at < rest.len())
}

/// What is known of the order of one PID's packets.
#[derive(Debug, Default)]
pub(super) struct Continuity {
    last: Option<u8>,
    /// Two ends of the last payload, to tell a repeated packet from one that
    /// is sixteen further.
    print: u64,
    /// The counters of packets that are missing, one bit each, of the last
    /// [`LATE`].
    missing: u16,
    /// So much was lost that the counter may have gone round.
    doubtful: bool,
    /// What the counter should have been where the last packet had another.
    expected: Option<u8>,
}

/// How a packet follows the one before it on its PID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// As it should.
    Next,
    /// It is the one before once more (2.4.3.3 allows that).
    Repeat,
    /// It was missing and has been given up.
    Late,
    /// So many are missing before it, to the multiple of sixteen.
    Gap(u8),
    /// None is missing: the last one was another stream's, or its counter was
    /// damaged.
    Return,
    /// The counter starts anew here, as `discontinuity_indicator` says.
    Restart,
}

/// How many packets behind one is taken for late; farther ones are taken for
/// such as come after a long gap.
const LATE: u8 = 8;

impl Continuity {
    /// Packets are missing here, and none of them will come late. If `many`,
    /// so many that the counter may not show it.
    pub(super) const fn lost(&mut self, many: bool) {
        self.missing = 0;
        self.doubtful |= many && self.last.is_some();
    }

    pub(super) fn check(&mut self, packet: &Packet<'_>) -> Arrival {
        let Some(payload) = packet.payload else {
            // Counters stand still without payload (2.4.3.3).
            if packet.discontinuity {
                self.last = Some(packet.counter);
                self.missing = 0;
                self.print = 0;
            }
            return Arrival::Next;
        };
        let print = print(payload);
        let repeated = std::mem::replace(&mut self.print, print) == print;
        let doubtful = std::mem::take(&mut self.doubtful);
        let expected = self.expected.take();
        let Some(last) = self.last else {
            self.last = Some(packet.counter);
            return Arrival::Next;
        };
        let step = packet.counter.wrapping_sub(last) & 0x0f;
        let arrival = match step {
            1 if !doubtful => Arrival::Next,
            0 if repeated && !doubtful => return Arrival::Repeat,
            _ if packet.discontinuity => Arrival::Restart,
            _ if !doubtful && expected.is_some_and(|next| returns(next, packet.counter)) => {
                self.last = Some(packet.counter);
                self.missing = 0;
                return Arrival::Return;
            }
            _ if 16 - step <= LATE && self.missing >> packet.counter & 1 == 1 => {
                self.missing &= !(1 << packet.counter);
                return Arrival::Late;
            }
            _ => {
                // One packet that stands behind its successor is late.
                self.expected = (step > 2).then_some((last + 1) & 0x0f);
                Arrival::Gap(step.wrapping_sub(1) & 0x0f)
            }
        };
        self.last = Some(packet.counter);
        if arrival == Arrival::Restart {
            self.missing = 0;
            return arrival;
        }
        for back in 1..step {
            self.missing |= 1 << ((last + back) & 0x0f);
        }
        for far in LATE..16 {
            self.missing &= !(1 << (packet.counter.wrapping_sub(far) & 0x0f));
        }
        arrival
    }
}

/// Whether a counter goes on where `next` was expected: behind another
/// stream's packet, or behind one whose own counter was damaged.
const fn returns(next: u8, counter: u8) -> bool {
    counter.wrapping_sub(next) & 0x0f < 2
}

fn print(payload: &[u8]) -> u64 {
    match (payload.first_chunk(), payload.last_chunk()) {
        (Some(first), Some(last)) => {
            u64::from_le_bytes(*first).rotate_left(17) ^ u64::from_le_bytes(*last)
        }
        _ => payload
            .iter()
            .fold(1, |print, byte| print << 8 | u64::from(*byte)),
    }
}
