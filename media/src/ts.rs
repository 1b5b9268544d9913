//! MPEG transport streams (ISO/IEC 13818-1): from bytes to tracks and access
//! units.
//!
//! The way of a byte: `ts/sync.rs` finds packets, `ts/packet.rs` reads their
//! headers and watches their order, `ts/program.rs` follows the tables
//! (`ts/section.rs`, `ts/tables.rs`), and each elementary stream (`ts/stream.rs`)
//! takes its PES packets (`ts/pes.rs`) apart into pictures (`ts/video.rs`) or
//! audio frames (`ts/audio.rs`).

mod audio;
mod counts;
mod language;
mod mux;
mod packet;
mod pes;
mod program;
mod section;
mod stream;
mod sync;
mod tables;
#[cfg(test)]
mod tests;
mod times;
mod video;

use std::collections::VecDeque;
use std::time::Instant;

use crate::SourceItem;
use packet::Packet;
use program::Program;
use stream::Context;
use sync::{PACKET, Sync};

pub use counts::Counts;
pub use mux::{Continuity, Mux, MuxError, Unit};
pub use program::Service;
#[cfg(any(test, fuzzing))]
pub(crate) use section::crc as section_checksum;

/// Turns a transport stream into [`SourceItem`]s.
///
/// Give it bytes by [`Demuxer::push`], in any pieces, and then take all that
/// [`Demuxer::next_item`] has. It never fails: what cannot be read is dropped
/// and counted ([`Demuxer::counts`]), and what a user should know of is said
/// once ([`Demuxer::take_complaint`]).
///
/// **Programs.** The first program whose map names audio or video is taken.
/// Tracks keep their ids when the map changes.
///
/// **Damage.** A picture or audio frame of which bytes are missing is dropped,
/// and no other: pictures that refer to it go on, since decoders conceal that
/// for a moment, where to wait for the next keyframe would freeze the picture
/// for seconds. A picture with a hole would be worse than none: decoders show
/// garbage for it, or give up.
///
/// **Latency.** The length of a video PES packet is mostly left open, so that
/// a picture's end is known for sure only when the next one begins: one
/// picture's time later. Where a stream shows that each of its pictures ends
/// with a PES packet, and packets end visibly (by their length, or by the
/// stuffing behind them), a picture is handed on with its last byte. Sixteen
/// pictures in a row have to show it; one that goes on behind such an end is
/// cut there, and the stream is not believed again for long. A frame of audio
/// is handed on with its last byte.
///
/// **Memory.** Of each video track (four at most) an access unit is held, of at
/// most 8 MiB for all of them together, and of each audio track (sixteen at
/// most) a frame. Where a time is not believed at once, 2 MiB of a track wait
/// for the next one. What [`Demuxer::next_item`] has not been asked for is held
/// besides, in the size of what was pushed.
#[derive(Debug, Default)]
pub struct Demuxer {
    sync: Sync,
    program: Program,
    items: VecDeque<SourceItem>,
    counts: Counts,
}

impl Demuxer {
    /// A demuxer that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the stream. `received` is when they arrived, on
    /// this machine's monotonic clock: frames that end in them carry it.
    pub fn push(&mut self, bytes: &[u8], received: Instant) {
        let Self {
            sync,
            program,
            items,
            counts,
        } = self;
        sync.push(bytes, |packet| {
            take(
                packet,
                program,
                &mut Context {
                    received,
                    counts,
                    items,
                },
            );
        });
    }

    /// The next track or access unit of what was pushed. Order is that of the
    /// stream: a track comes before its first frame, and frames of one track
    /// come in decoding order.
    pub fn next_item(&mut self) -> Option<SourceItem> {
        self.items.pop_front()
    }

    /// So many payloads of a transport (UDP or SRT, of seven packets at most)
    /// are missing between what was pushed and what comes next.
    ///
    /// Continuity counters show losses of up to fifteen packets of a track by
    /// themselves. After longer ones they can stand as if nothing were missing.
    pub fn packets_lost(&mut self, payloads: u32) {
        if payloads > 0 {
            self.sync.broken();
            let many = payloads.saturating_mul(PACKETS_IN_PAYLOAD) >= COUNTER_CYCLE;
            self.program.lost(many);
        }
    }

    /// The stream ends here: the access units in progress are whole. Not to be
    /// called where it breaks off. More may be pushed afterwards.
    pub fn flush(&mut self, received: Instant) {
        let Self {
            sync,
            program,
            items,
            counts,
        } = self;
        let mut cx = Context {
            received,
            counts,
            items,
        };
        sync.flush(|packet| take(packet, program, &mut cx));
        program.finish(&mut cx);
    }

    /// What was met so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            sync_losses: self.sync.losses,
            skipped_bytes: self.sync.skipped,
            ..self.counts
        }
    }

    /// What the user should know of the stream: one sentence, in which the
    /// stream is "it". Each comes once.
    pub fn take_complaint(&mut self) -> Option<String> {
        self.program.take_complaint()
    }

    /// What the stream says of the program that was taken, if it says it.
    #[must_use]
    pub const fn service(&self) -> Option<&Service> {
        self.program.service()
    }
}

fn take(bytes: &[u8; PACKET], program: &mut Program, cx: &mut Context<'_>) {
    cx.counts.packets += 1;
    match Packet::parse(bytes) {
        Ok(packet) => program.packet(&packet, cx),
        // Whose it was is not to be trusted either: the counter of its PID
        // will show that it is missing.
        Err(_) => cx.counts.bad_packets += 1,
    }
}

/// How many packets a payload of SRT or UDP holds where it must fit into an
/// Ethernet frame.
const PACKETS_IN_PAYLOAD: u32 = 7;

/// After so many packets the counter of a track is where it was.
const COUNTER_CYCLE: u32 = 16;
