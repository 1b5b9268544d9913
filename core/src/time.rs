//! Timescales and the one rounding rule for conversions between them.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// Ticks per second of a track's timestamps; never zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timescale(NonZeroU32);

impl Timescale {
    /// Milliseconds, the clock of RTMP and FLV.
    pub const MILLIS: Self = Self(match NonZeroU32::new(1_000) {
        Some(hz) => hz,
        None => NonZeroU32::MIN,
    });
    /// 90 kHz, the clock of MPEG-TS, which rillcast uses for every video track.
    pub const VIDEO: Self = Self(match NonZeroU32::new(90_000) {
        Some(hz) => hz,
        None => NonZeroU32::MIN,
    });
    /// Nanoseconds, for conversions from and to [`Duration`].
    pub const NANOS: Self = Self(match NonZeroU32::new(1_000_000_000) {
        Some(hz) => hz,
        None => NonZeroU32::MIN,
    });

    /// A timescale of `hz` ticks per second, `None` for zero.
    #[must_use]
    pub const fn new(hz: u32) -> Option<Self> {
        match NonZeroU32::new(hz) {
            Some(hz) => Some(Self(hz)),
            None => None,
        }
    }

    /// Ticks per second.
    #[must_use]
    pub const fn hz(self) -> u32 {
        self.0.get()
    }

    /// `ticks` of this timescale as nanoseconds, rounded by [`rescale`]'s rule.
    #[must_use]
    pub fn to_nanos(self, ticks: i64) -> i64 {
        rescale(ticks, self, Self::NANOS)
    }

    /// Nanoseconds as ticks of this timescale, rounded by [`rescale`]'s rule.
    #[must_use]
    pub fn from_nanos(self, nanos: i64) -> i64 {
        rescale(nanos, Self::NANOS, self)
    }

    /// A non-negative number of ticks as a [`Duration`]; negative ones give zero.
    #[must_use]
    pub fn to_duration(self, ticks: i64) -> Duration {
        Duration::from_nanos(u64::try_from(self.to_nanos(ticks)).unwrap_or(0))
    }

    /// A [`Duration`] in ticks, rounded by [`rescale`]'s rule and saturating.
    #[must_use]
    pub fn from_duration(self, duration: Duration) -> i64 {
        self.from_nanos(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
    }
}

impl fmt::Debug for Timescale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Hz", self.0)
    }
}

/// Converts `ticks` from one timescale to another, exactly where the result is
/// a whole number and else rounded to the nearest tick, halves upwards
/// (towards positive infinity). Saturates at the ends of `i64`.
///
/// Rounding halves in one direction, and not away from zero, keeps the rule
/// the same for every translation of a timeline: `rescale(a + d) - rescale(a)`
/// never depends on the sign of `a`.
#[must_use]
pub fn rescale(ticks: i64, from: Timescale, to: Timescale) -> i64 {
    if from == to {
        return ticks;
    }
    rescale_short(ticks, from.hz(), to.hz()).unwrap_or_else(|| rescale_long(ticks, from, to))
}

/// The same in 64 bits, where they are enough: frames are converted a dozen
/// times each, and a division of 128 bits takes ten times as long.
#[inline]
fn rescale_short(ticks: i64, from: u32, to: u32) -> Option<i64> {
    let (from, to) = (i64::from(from), i64::from(to));
    let (whole, rest) = (ticks.div_euclid(from), ticks.rem_euclid(from));
    // As `rest` is below `from`, this is the rounded rest: floor(x + 1/2).
    let rest = rest.checked_mul(2 * to)?.checked_add(from)? / (2 * from);
    whole.checked_mul(to)?.checked_add(rest)
}

fn rescale_long(ticks: i64, from: Timescale, to: Timescale) -> i64 {
    let from = i128::from(from.hz());
    let product = i128::from(ticks) * i128::from(to.hz());
    // floor(product / from + 1/2), in integers.
    let rounded = (2 * product + from).div_euclid(2 * from);
    i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hz(hz: u32) -> Timescale {
        Timescale::new(hz).unwrap()
    }

    #[test]
    fn rescale_is_exact_or_rounds_halves_upwards() {
        for (ticks, from, to, want) in [
            (0, 1_000, 90_000, 0),
            (1, 1_000, 90_000, 90),
            (-1, 1_000, 90_000, -90),
            (1, 2, 1, 1),
            (-1, 2, 1, 0),
            (1, 3, 1, 0),
            (2, 3, 1, 1),
            (-2, 3, 1, -1),
            (1_024, 44_100, 48_000, 1_115),
            (i64::MAX, 1, 90_000, i64::MAX),
            (i64::MIN, 1, 90_000, i64::MIN),
        ] {
            assert_eq!(
                rescale(ticks, hz(from), hz(to)),
                want,
                "{ticks} {from}->{to}"
            );
        }
    }

    #[test]
    fn rescale_does_not_depend_on_the_origin() {
        for origin in [-90_000_i64, 0, 90_000 * 3_600] {
            let moved = rescale(origin + 45, hz(90_000), hz(1_000));
            assert_eq!(moved - rescale(origin, hz(90_000), hz(1_000)), 1);
        }
    }

    proptest! {
        #[test]
        fn the_short_way_leads_to_the_same(
            ticks in prop_oneof![any::<i64>(), -1_000_000_000_000_i64..1_000_000_000_000],
            from in prop_oneof![1..=u32::MAX, Just(1_000), Just(90_000), Just(1_000_000_000)],
            to in prop_oneof![1..=u32::MAX, Just(1_000), Just(90_000), Just(1_000_000_000)],
        ) {
            let long = rescale_long(ticks, hz(from), hz(to));
            prop_assert_eq!(rescale(ticks, hz(from), hz(to)), long);
            if let Some(short) = rescale_short(ticks, from, to) {
                prop_assert_eq!(short, long);
            }
        }
    }

    #[test]
    fn zero_is_no_timescale() {
        assert_eq!(Timescale::new(0), None);
    }
}
