//! Finding packets in bytes that come in any pieces.
//!
//! A transport stream has no header: its packets begin with 0x47 each 188
//! bytes, or each 192 (a time stamp of four bytes stands before each packet,
//! as Blu-ray has it) or 204 (sixteen bytes of parity behind each, as
//! modulators have it).

/// A packet without what some formats put around it.
pub(super) const PACKET: usize = 188;

/// The first byte of every packet.
pub(super) const SYNC: u8 = 0x47;

/// The distances between packets that are looked for, the commonest first.
const STRIDES: [usize; 3] = [PACKET, 192, 204];

/// How many sync bytes at one distance are believed. A search over 4 KiB of
/// noise finds three by chance once in a thousand times, four practically
/// never; an SRT payload has seven.
const CONFIRM: usize = 4;

/// What a search needs to hold at least: `CONFIRM` packets of the longest kind.
const SPAN: usize = 204 * (CONFIRM - 1) + 1;

/// What is held at most while no packets are found. A search that fails drops
/// all but `SPAN`, so each byte is looked at by few searches.
const WINDOW: usize = 4 * SPAN;

/// Cuts bytes into packets. Holds less than [`WINDOW`] bytes.
#[derive(Debug, Default)]
pub(super) struct Sync {
    /// The distance between packets, once it is known.
    stride: Option<usize>,
    /// Bytes between this packet and the next that are still to come.
    skip: usize,
    /// A packet that is not whole yet; while the distance is unknown, all that
    /// may hold packets.
    held: Vec<u8>,
    /// How much must be held before the next search.
    enough: usize,
    /// Times that packets were not where they belonged.
    pub(super) losses: u64,
    /// Bytes that were no part of any packet.
    pub(super) skipped: u64,
}

impl Sync {
    /// Takes the next bytes and gives each whole packet to `sink`.
    pub(super) fn push(&mut self, mut bytes: &[u8], mut sink: impl FnMut(&[u8; PACKET])) {
        while !bytes.is_empty() {
            match self.stride {
                Some(stride) if self.held.is_empty() => {
                    bytes = self.run(bytes, stride, &mut sink);
                }
                Some(stride) => {
                    let wanted = PACKET.saturating_sub(self.held.len()).min(bytes.len());
                    let (now, later) = bytes.split_at(wanted);
                    self.held.extend_from_slice(now);
                    bytes = later;
                    if let Some(packet) = self.held.first_chunk() {
                        sink(packet);
                        self.held.clear();
                        self.skip = stride - PACKET;
                    }
                }
                None => {
                    let wanted = WINDOW.saturating_sub(self.held.len()).min(bytes.len());
                    let (now, later) = bytes.split_at(wanted);
                    self.held.extend_from_slice(now);
                    bytes = later;
                    // Bytes that come one by one are not searched one by one.
                    if self.held.len() >= self.enough {
                        self.search(CONFIRM, &mut sink);
                    }
                }
            }
        }
    }

    /// The bytes before and after this point do not belong together.
    pub(super) fn broken(&mut self) {
        if self.stride.is_some() {
            self.skipped += len(&self.held);
            self.held.clear();
            self.skip = 0;
        }
    }

    /// No more bytes come: what is held is searched with fewer packets to
    /// confirm each other.
    pub(super) fn flush(&mut self, mut sink: impl FnMut(&[u8; PACKET])) {
        for confirm in (1..CONFIRM).rev() {
            if self.stride.is_none() && self.held.len() >= PACKET {
                self.search(confirm, &mut sink);
            }
        }
        self.skipped += len(&self.held);
        *self = Self {
            losses: self.losses,
            skipped: self.skipped,
            ..Self::default()
        };
    }

    /// Packets straight from `bytes`; returns what is left when they end or
    /// are not where they belong.
    fn run<'a>(
        &mut self,
        mut bytes: &'a [u8],
        stride: usize,
        sink: &mut impl FnMut(&[u8; PACKET]),
    ) -> &'a [u8] {
        loop {
            let skip = self.skip.min(bytes.len());
            self.skip -= skip;
            bytes = bytes.get(skip..).unwrap_or_default();
            let Some(first) = bytes.first() else {
                return bytes;
            };
            if *first != SYNC {
                self.losses += 1;
                self.stride = None;
                return self.next_but_one(bytes, stride);
            }
            let Some((packet, rest)) = bytes.split_first_chunk() else {
                self.held.extend_from_slice(bytes);
                return &[];
            };
            sink(packet);
            self.skip = stride - PACKET;
            bytes = rest;
        }
    }

    /// One damaged sync byte costs its packet and not the search's delay, if
    /// the packets behind it stand where they should.
    fn next_but_one<'a>(&mut self, bytes: &'a [u8], stride: usize) -> &'a [u8] {
        let stands = |at: usize| bytes.get(at * stride) == Some(&SYNC);
        if stands(1) && (stands(2) || bytes.len() <= 2 * stride) {
            self.stride = Some(stride);
            self.skipped += stride as u64;
            return bytes.get(stride..).unwrap_or_default();
        }
        bytes
    }

    /// Looks for packets in what is held, and gives those that are whole to
    /// `sink`.
    fn search(&mut self, confirm: usize, sink: &mut impl FnMut(&[u8; PACKET])) {
        let span = |stride: usize| stride * (confirm - 1);
        let found = STRIDES.iter().find_map(|stride| {
            let last = self.held.len().checked_sub(span(*stride) + 1)?;
            let phase = memchr::memchr_iter(SYNC, self.held.get(..=last)?)
                .find(|at| (1..confirm).all(|k| self.held.get(at + k * stride) == Some(&SYNC)))?;
            Some((phase, *stride))
        });
        let Some((phase, stride)) = found else {
            if self.held.len() >= WINDOW {
                let drop = self.held.len() - SPAN;
                self.skipped += drop as u64;
                self.held.drain(..drop);
            }
            // Never more than can be held.
            self.enough = (self.held.len() + PACKET).min(WINDOW);
            return;
        };
        self.skipped += phase as u64;
        self.stride = Some(stride);
        self.skip = 0;
        self.enough = 0;
        let held = std::mem::take(&mut self.held);
        let mut rest = held.get(phase..).unwrap_or_default();
        while self.stride.is_some() && !rest.is_empty() {
            rest = self.run(rest, stride, sink);
        }
        // Only if packets ended again within what was held.
        self.held.extend_from_slice(rest);
    }
}

fn len(bytes: &[u8]) -> u64 {
    bytes.len() as u64
}
