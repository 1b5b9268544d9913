//! AAC in ADTS (ISO/IEC 14496-3, 1.A.2.2).

use bytes::Bytes;
use rillcast_core::{Track, TrackId};

use crate::codec::aac::Config;

#[derive(Debug)]
pub(super) struct AudioUnit {
    pub(super) payload: Bytes,
    pub(super) samples: u32,
    pub(super) at: u64,
    pub(super) changed: bool,
}

#[derive(Debug, Default)]
pub(in crate::ts) struct Framer {
    held: Vec<u8>,
    /// Where `held` begins in the stream.
    position: u64,
    /// The fixed part of the last header.
    fixed: Option<[u8; 4]>,
    synced: bool,
    config: Option<Config>,
    changed: bool,
}

impl Framer {
    pub(in crate::ts) fn adts() -> Self {
        Self::default()
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    pub(super) fn lost(&mut self) {
        self.position += self.held.len() as u64;
        self.held.clear();
        self.synced = false;
    }

    fn samples(&self) -> u32 {
        self.config.as_ref().map_or(0, Config::frame_duration)
    }

    pub(super) fn track(&self, id: TrackId) -> Option<Track> {
        Some(self.config.as_ref()?.track(id))
    }

    pub(super) fn next_unit(&mut self) -> Option<AudioUnit> {
        let mut at = 0;
        let found = loop {
            let rest = self.held.get(at..)?;
            let Some([a, b, c, d, e, f, _]) = rest.first_chunk::<7>() else {
                break None;
            };
            let fixed = [*a, *b & 0xfe, *c, *d & 0xf0];
            let length = usize::from(*d & 3) << 11 | usize::from(*e) << 3 | usize::from(*f >> 5);
            let header = if b & 1 == 1 { 7 } else { 9 };
            let sync = *a == 0xff && b & 0xf6 == 0xf0 && length > header;
            let known = self.fixed == Some(fixed);
            if sync && (known || self.synced) {
                if rest.len() < length {
                    break None;
                }
                break Some((fixed, header, length));
            }
            if sync {
                let Some(next) = rest.get(length..length + 2) else {
                    break None;
                };
                if let [0xff, b] = next
                    && b & 0xf6 == 0xf0
                {
                    break Some((fixed, header, length));
                }
            }
            self.synced = false;
            at += 1;
        };
        self.held.drain(..at);
        self.position += at as u64;
        let (fixed, header, length) = found?;
        let position = self.position;
        if self.fixed != Some(fixed) {
            let [_, _, c, d] = fixed;
            let object = (c >> 6) + 1;
            let rate = c >> 2 & 0x0f;
            let channels = (c & 1) << 2 | d >> 6;
            let config = [object << 3 | rate >> 1, rate << 7 | channels << 3];
            let config = Config::parse(&config).ok();
            self.changed |= config != self.config;
            self.config = config;
            self.fixed = Some(fixed);
        }
        self.synced = true;
        let payload = Bytes::copy_from_slice(self.held.get(header..length)?);
        self.held.drain(..length);
        self.position += length as u64;
        self.config.as_ref()?;
        Some(AudioUnit {
            payload,
            samples: self.samples(),
            at: position,
            changed: std::mem::take(&mut self.changed),
        })
    }
}
