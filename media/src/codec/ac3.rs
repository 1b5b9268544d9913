//! AC-3 and Enhanced AC-3 (ETSI TS 102 366): frames, and the `dac3` and `dec3`
//! records of annex F.
//!
//! An access unit of AC-3 is one frame. One of Enhanced AC-3 is all frames that
//! sound together, for six blocks of 256 samples: the first independent
//! substream's, those that depend on it, and those of further programs.
//!
//! Checksums are left to decoders: they verify them, and conceal a damaged frame better
//! than a gap can be. What is lost on the way shows in the transport's own counters.

use std::collections::VecDeque;
use std::mem;

use bytes::Bytes;
use rillcast_core::{Track, TrackId};

use super::framer::{AudioUnit, Broken, Probe, Syntax};

mod config;
mod frame;

pub use config::Config;
use frame::{Frame, Role};

/// Samples of an access unit: six blocks of 256.
pub(crate) const FRAME_DURATION: u32 = 1_536;

/// The format as a [`super::framer::Framer`] needs it: both kinds, told apart
/// by what each frame says.
#[derive(Debug, Default)]
pub(super) struct Ac3 {
    config: Option<Config>,
    /// Frames of the access unit in progress (Enhanced AC-3).
    gathered: Gathered,
    /// The roles of the frames that the last access unit had: with as many of
    /// them again, the next is whole, and need not wait for what follows.
    expected: Vec<Role>,
}

#[derive(Debug, Default)]
struct Gathered {
    bytes: Vec<u8>,
    at: u64,
    frames: Vec<Frame>,
    /// Of the first substream.
    blocks: u32,
}

impl Syntax for Ac3 {
    fn probe(&self, bytes: &[u8]) -> Probe {
        match bytes {
            [] | [0x0b] => return Probe::More,
            [0x0b, 0x77, ..] => {}
            _ => return Probe::No,
        }
        let Some(header) = bytes.first_chunk() else {
            return Probe::More;
        };
        Frame::probe(header).map_or(Probe::No, |(len, kind)| Probe::Frame { len, kind })
    }

    fn unit(&mut self, frame: &[u8], at: u64, out: &mut VecDeque<AudioUnit>) -> Result<(), Broken> {
        let parsed = Frame::parse(frame).ok_or(Broken)?;
        match parsed.role {
            Role::Ac3 => {
                let before = self.complete(out);
                self.emit(&[parsed], Bytes::copy_from_slice(frame), at, out);
                return before;
            }
            Role::Independent(0) if self.gathered.blocks >= BLOCKS => self.complete(out)?,
            // What extends a stream of AC-3, or one that was joined in between:
            // nothing that can be decoded alone.
            Role::Independent(1..) | Role::Dependent(_) if self.gathered.frames.is_empty() => {
                return Ok(());
            }
            _ => {}
        }
        let gathered = &mut self.gathered;
        if gathered.bytes.len() + frame.len() > MAX_UNIT {
            *gathered = Gathered::default();
            return Err(Broken);
        }
        if gathered.frames.is_empty() {
            gathered.at = at;
        }
        if parsed.role == Role::Independent(0) {
            gathered.blocks += parsed.blocks;
        }
        gathered.bytes.extend_from_slice(frame);
        gathered.frames.push(parsed);
        let roles = gathered.frames.iter().map(|frame| frame.role);
        if gathered.blocks >= BLOCKS && roles.eq(self.expected.iter().copied()) {
            return self.complete(out);
        }
        Ok(())
    }

    fn track(&self, id: TrackId) -> Option<Track> {
        self.config.as_ref().map(|config| config.track(id))
    }

    fn is_telling(&self) -> bool {
        // Syncword, rate and version, in AC-3 also the channels.
        true
    }

    fn lost(&mut self) -> bool {
        !mem::take(&mut self.gathered).frames.is_empty()
    }
}

impl Ac3 {
    /// Emits what was gathered. Fewer blocks than an access unit has are broken.
    fn complete(&mut self, out: &mut VecDeque<AudioUnit>) -> Result<(), Broken> {
        let gathered = mem::take(&mut self.gathered);
        if gathered.frames.is_empty() {
            return Ok(());
        }
        if gathered.blocks < BLOCKS {
            return Err(Broken);
        }
        self.expected = gathered.frames.iter().map(|frame| frame.role).collect();
        self.emit(&gathered.frames, gathered.bytes.into(), gathered.at, out);
        Ok(())
    }

    fn emit(&mut self, frames: &[Frame], payload: Bytes, at: u64, out: &mut VecDeque<AudioUnit>) {
        let blocks: u32 = frames
            .iter()
            .filter(|frame| matches!(frame.role, Role::Ac3 | Role::Independent(0)))
            .map(|frame| frame.blocks)
            .sum();
        let config = Config::of_frames(frames, payload.len());
        let changed = match (&self.config, &config) {
            (Some(known), Some(config)) => !known.is_like(config),
            (known, config) => config.is_some() && known.is_none(),
        };
        if changed {
            self.config = config;
        }
        out.push_back(AudioUnit {
            payload,
            samples: blocks * 256,
            at,
            changed,
        });
    }
}

/// Blocks of an access unit.
const BLOCKS: u32 = 6;

/// What an access unit of Enhanced AC-3 may take: each frame takes 4 KiB at
/// most, real ones have up to three of six blocks.
const MAX_UNIT: usize = 64 << 10;

#[cfg(test)]
mod tests;
