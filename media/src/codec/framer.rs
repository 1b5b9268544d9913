//! Framers: an elementary stream of audio cut into access units.
//!
//! MPEG-TS carries audio as a run of frames that begin and end anywhere in its
//! packets. A [`Framer`] takes the bytes in pieces of any size and gives back
//! one access unit at a time, in the canonical form of its codec.
//!
//! Call [`Framer::push`] with what came, then [`Framer::next_unit`] until it
//! gives `None`; [`Framer::lost`] where bytes are missing. An access unit comes
//! out with its last byte, except where the framer must first see that it is at
//! the start of a frame: when it joins, behind damage, and where the stream's
//! format changes it waits for the next frame's header.
//!
//! What is specific to a format is its `Syntax`; `aac/adts.rs` is the
//! simplest one.

use std::collections::VecDeque;
use std::fmt;

use bytes::{Buf, Bytes, BytesMut};
use rillcast_core::{Track, TrackId};

use super::{aac, ac3, mpeg_audio, opus};

/// Cuts one elementary stream of audio into access units.
pub struct Framer {
    syntax: Box<dyn Syntax>,
    buffer: BytesMut,
    /// How many of all bytes pushed lie before the buffer.
    begin: u64,
    /// The kind of frame that ended where the buffer begins; `None` where no
    /// frame is known to have ended.
    locked: Option<u64>,
    /// The kind of the last frame, whatever happened since.
    known: Option<u64>,
    /// Behind damage, no frame of that kind begins before this place: so none is
    /// looked for there again.
    barren: u64,
    /// The length of the last frame.
    last_len: usize,
    ready: VecDeque<AudioUnit>,
    dropped: u64,
}

/// One access unit of audio.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AudioUnit {
    /// The access unit in the canonical form of its codec, in an allocation of
    /// its own.
    pub payload: Bytes,
    /// How long it is, in the timescale of [`Framer::track`].
    pub samples: u32,
    /// Where it begins, its header included: an offset in all bytes that were
    /// ever pushed. Grows from one access unit to the next.
    pub at: u64,
    /// Whether [`Framer::track`] is not what it was with the access unit
    /// before; `true` for the first one.
    pub changed: bool,
}

impl Framer {
    /// AAC in ADTS frames (ISO/IEC 14496-3, section 1.A.2.2).
    #[must_use]
    pub fn adts() -> Self {
        Self::new(aac::adts::Adts::default())
    }

    /// AAC in LATM, in frames of LOAS (ISO/IEC 14496-3, section 1.7.2).
    #[must_use]
    pub fn latm() -> Self {
        Self::new(aac::latm::Latm::default())
    }

    /// AC-3 and Enhanced AC-3 (ETSI TS 102 366): what it is, the frames say.
    #[must_use]
    pub fn ac3() -> Self {
        Self::new(ac3::Ac3::default())
    }

    /// MPEG-1 and MPEG-2 audio, layers II and III: what it is, the frames say.
    #[must_use]
    pub fn mpeg_audio() -> Self {
        Self::new(mpeg_audio::MpegAudio::default())
    }

    /// Opus behind control headers, with the `channel_config_code` of its
    /// descriptor if there is one. `None` for a code that is not known here.
    #[must_use]
    pub fn opus(channel_config_code: Option<u8>) -> Option<Self> {
        let config = opus::Config::of_channel_code(channel_config_code)?;
        Some(Self::new(opus::Opus::new(config)))
    }

    fn new(syntax: impl Syntax + 'static) -> Self {
        Self {
            syntax: Box::new(syntax),
            buffer: BytesMut::new(),
            begin: 0,
            locked: None,
            known: None,
            barren: 0,
            last_len: 0,
            ready: VecDeque::new(),
            dropped: 0,
        }
    }

    /// Takes the next bytes of the stream. What nobody asks for by
    /// [`Framer::next_unit`] is bounded: the oldest of it goes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        let excess = self.buffer.len().saturating_sub(MAX_BUFFER);
        if excess > 0 {
            self.skip(excess);
        }
    }

    /// Says that bytes are missing between what was pushed and what will be:
    /// the frame that they cut short is dropped.
    pub fn lost(&mut self) {
        while self.cut(End::Here) {}
        // What looked like the start of a frame and was not hides none behind it.
        while self.locked.is_none() && !self.buffer.is_empty() {
            self.skip(1);
            while self.cut(End::Here) {}
        }
        if self.syntax.lost() || !self.buffer.is_empty() {
            self.skip(self.buffer.len());
        }
        self.locked = None;
    }

    /// The next access unit; `None` if more bytes are needed for it.
    pub fn next_unit(&mut self) -> Option<AudioUnit> {
        while self.ready.is_empty() && self.cut(End::Open) {}
        self.ready.pop_front()
    }

    /// The track as the last access unit that was returned has it; `None`
    /// before the first one.
    #[must_use]
    pub fn track(&self, id: TrackId) -> Option<Track> {
        self.syntax.track(id)
    }

    /// How many frames were dropped because they were broken, or cut short by
    /// a loss. What lies before the first frame does not count.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Takes one frame off the buffer, or some bytes that are none. `false` if
    /// more bytes are needed to go on.
    ///
    /// It makes no difference in which pieces the bytes came: before a frame is whole,
    /// or nothing more will come, nothing is judged that more bytes could change.
    fn cut(&mut self, end: End) -> bool {
        let (len, kind) = match self.syntax.probe(&self.buffer) {
            Probe::Frame { len, kind } => (len.max(1), kind),
            Probe::More => return false,
            Probe::No => {
                self.skip(1);
                return !self.buffer.is_empty();
            }
        };
        if let Some(at) = self.known_within(len, kind) {
            self.skip(at);
            return true;
        }
        if len > self.buffer.len() && end == End::Open {
            return false;
        }
        if let Some(at) = self.hidden(len, kind) {
            self.skip(at);
            return true;
        }
        let Some((frame, rest)) = self.buffer.split_at_checked(len) else {
            return false;
        };
        let expected = self.locked == Some(kind)
            || (self.syntax.is_telling() && self.locked.or(self.known) == Some(kind));
        if !expected {
            match self.syntax.probe(rest) {
                Probe::Frame { kind: next, .. } if next == kind => {}
                Probe::More => return false,
                _ => {
                    self.skip(1);
                    return true;
                }
            }
        }
        if self
            .syntax
            .unit(frame, self.begin, &mut self.ready)
            .is_err()
        {
            self.dropped += 1;
        }
        self.locked = Some(kind);
        if self.known.replace(kind) != Some(kind) {
            self.barren = 0;
        }
        self.last_len = len;
        self.advance(len);
        true
    }

    /// Where frames of the known kind stand within one that claims to be much
    /// longer than the last: its length is damaged. Two in a row are believed.
    fn hidden(&self, len: usize, kind: u64) -> Option<usize> {
        if self.locked != Some(kind) || !self.syntax.is_telling() || len <= 2 * self.last_len {
            return None;
        }
        let frame = self.buffer.get(..len).unwrap_or(&self.buffer);
        let known = |at: usize| match self.syntax.probe(frame.get(at..)?) {
            Probe::Frame { len, kind: found } if found == kind => Some(at + len),
            _ => None,
        };
        (1..frame.len()).find(|at| known(*at).and_then(known).is_some())
    }

    /// Behind damage, where a frame of the known kind begins within what looks like a
    /// frame of another kind: that is none. The first such place is no other when more
    /// bytes come, and what claims to be long is not waited for.
    fn known_within(&mut self, len: usize, kind: u64) -> Option<usize> {
        let known = self.known.filter(|known| *known != kind)?;
        if self.locked.is_some() || !self.syntax.is_telling() {
            return None;
        }
        let frame = self.buffer.get(..len).unwrap_or(&self.buffer);
        let is_known = |at: &usize| {
            let rest = frame.get(*at..).unwrap_or_default();
            matches!(self.syntax.probe(rest), Probe::Frame { kind, .. } if kind == known)
        };
        let seen = usize::try_from(self.barren.saturating_sub(self.begin));
        let from = seen.unwrap_or(usize::MAX).max(1);
        if let Some(at) = (from..frame.len()).find(is_known) {
            return Some(at);
        }
        // The last bytes may be a header that is not whole.
        let sure = frame.len().saturating_sub(LONGEST_HEADER);
        self.barren = self.barren.max(self.begin + sure as u64);
        None
    }

    /// Leaves bytes out that are no frame. They count as one, however many.
    fn skip(&mut self, count: usize) {
        if self.locked.take().is_some() {
            self.dropped += 1;
        }
        self.syntax.lost();
        self.advance(count);
    }

    fn advance(&mut self, count: usize) {
        self.buffer.advance(count);
        self.begin += count as u64;
    }
}

/// Whether more bytes will follow those that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    /// What comes next does not belong to them.
    Here,
}

/// What a framer must know of a format.
pub(super) trait Syntax: Send + Sync + fmt::Debug {
    /// What stands at the beginning of `bytes`.
    fn probe(&self, bytes: &[u8]) -> Probe;

    /// Takes a whole frame that begins at `at` in the stream, and puts the
    /// access units that it completes into `out`.
    fn unit(&mut self, frame: &[u8], at: u64, out: &mut VecDeque<AudioUnit>) -> Result<(), Broken>;

    /// The track as the last unit had it.
    fn track(&self, id: TrackId) -> Option<Track>;

    /// Whether a header of a kind that is known is enough to tell a frame's
    /// start from other bytes: it fixes some 24 bits or more.
    fn is_telling(&self) -> bool {
        false
    }

    /// Drops what is kept of an access unit of several frames; says whether
    /// there was any.
    fn lost(&mut self) -> bool {
        false
    }
}

/// What stands at a place of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    /// Too few bytes to tell.
    More,
    /// No frame.
    No,
    /// Perhaps a frame.
    Frame {
        /// Its bytes, the header included.
        len: usize,
        /// What all frames of a stream have in common, as the header says it.
        kind: u64,
    },
}

/// A frame that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// No format needs more bytes to tell that a frame begins.
const LONGEST_HEADER: usize = 16;

/// What is kept of a stream whose access units nobody asks for: more than any
/// format's longest frame and what a packet of the transport may add.
const MAX_BUFFER: usize = 256 << 10;

impl fmt::Debug for Framer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Framer")
            .field("syntax", &self.syntax)
            .field("buffered", &self.buffer.len())
            .field("begin", &self.begin)
            .field("locked", &self.locked.is_some())
            .field("dropped", &self.dropped)
            .finish_non_exhaustive()
    }
}

/// Prints sizes, never the payload.
impl fmt::Debug for AudioUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AudioUnit")
            .field("bytes", &self.payload.len())
            .field("samples", &self.samples)
            .field("at", &self.at)
            .field("changed", &self.changed)
            .finish()
    }
}

#[cfg(test)]
pub(super) mod tests;
