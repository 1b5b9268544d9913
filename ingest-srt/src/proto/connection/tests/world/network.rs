//! A network that is as bad as it is asked to be, and the same for the same seed.

/// How a datagram fares, in microseconds and shares.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Network {
    pub(super) delay: u64,
    pub(super) jitter: u64,
    pub(super) loss: f64,
    pub(super) duplicates: f64,
}

impl Network {
    pub(in super::super) const fn clean(delay: u64) -> Self {
        Self {
            delay,
            jitter: 0,
            loss: 0.0,
            duplicates: 0.0,
        }
    }

    pub(in super::super) const fn with_loss(self, loss: f64) -> Self {
        Self { loss, ..self }
    }

    /// Up to so much more delay for each datagram: they overtake each other.
    pub(in super::super) const fn with_jitter(self, jitter: u64) -> Self {
        Self { jitter, ..self }
    }

    pub(in super::super) const fn with_duplicates(self, duplicates: f64) -> Self {
        Self { duplicates, ..self }
    }
}

/// xorshift64*: the same everywhere for the same seed.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(super) fn share(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let top = (self.roll() >> 11) as f64;
        top / (1_u64 << 53) as f64
    }
}
