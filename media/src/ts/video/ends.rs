//! Whether the end of a PES packet is the end of an access unit.
//!
//! Where nothing else tells, an access unit ends where the next one begins,
//! which is a picture later. But nearly all encoders give each access unit a
//! PES packet of its own, and its end is seen at once: by its length, or by
//! the stuffing that fills its last transport packet. No specification says
//! that this holds, so it is learned from each stream, and given up when it
//! fails.

/// What is known of the ends in one stream.
#[derive(Debug)]
pub(super) struct Ends {
    /// Ends in a row behind which an access unit began.
    confirmed: u32,
    /// How many of them are believed.
    enough: u32,
    /// An end was seen, and nothing has come since.
    at_end: bool,
    /// Behind an end a PES packet has begun here; an access unit should too.
    expected: Option<u64>,
}

impl Default for Ends {
    fn default() -> Self {
        Self {
            confirmed: 0,
            enough: ENOUGH,
            at_end: false,
            expected: None,
        }
    }
}

/// Not by chance, where access units begin anywhere.
const LIKELY: u32 = 3;

/// Two thirds of a second of pictures.
const ENOUGH: u32 = 16;

/// After each failure it takes so many times longer to believe it again.
const DOUBT: u32 = 16;

impl Ends {
    /// An end is seen. Whether to believe it.
    pub(super) const fn ended(&mut self) -> bool {
        self.at_end = true;
        self.confirmed >= self.enough
    }

    /// Whether nothing has come since an end that is likely to be one.
    pub(super) const fn complete(&self) -> bool {
        self.at_end && self.confirmed >= LIKELY
    }

    /// A PES packet begins.
    pub(super) fn began(&mut self, position: u64) {
        if self.expected.is_some() {
            self.failed();
        }
        self.expected = self.at_end.then_some(position);
        self.at_end = false;
    }

    /// More bytes have come.
    pub(super) const fn went_on(&mut self) {
        if self.at_end {
            self.failed();
        }
    }

    /// An access unit begins.
    pub(super) fn unit_began(&mut self, position: u64) {
        if let Some(expected) = self.expected.take() {
            // The start code may have zeros before it.
            if (expected..=expected + MAX_ZEROS).contains(&position) {
                self.confirmed = self.confirmed.saturating_add(1);
            } else {
                self.failed();
            }
        }
    }

    /// Bytes are missing: what comes tells nothing of what was.
    pub(super) const fn lost(&mut self) {
        self.at_end = false;
        self.expected = None;
    }

    const fn failed(&mut self) {
        self.confirmed = 0;
        self.enough = self.enough.saturating_mul(DOUBT);
        self.at_end = false;
        self.expected = None;
    }
}

/// Zeros that may stand between the PES header and the start code.
const MAX_ZEROS: u64 = 4;
