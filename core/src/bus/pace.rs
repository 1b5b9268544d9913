//! How fast a publisher may send: [`Bitrates`], held against what arrives.

use std::time::Duration;

use super::qos::nanos;
use crate::BitRate;

/// What a publisher may send, in payload bits per second.
///
/// Five seconds' worth may come at once: a keyframe, what an encoder saved up
/// while the network stood still, or the beginning of a publish trips nothing.
/// Twice the rate trips it after five seconds, ten times the rate after half a
/// second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bitrates {
    /// Above this the log has a line, once per publish; 0 is no bound.
    pub warn: BitRate,
    /// Above this the stream ends; 0 is no bound.
    pub cut: BitRate,
}

impl Bitrates {
    /// These two; 0 is no bound.
    #[must_use]
    pub const fn new(warn: BitRate, cut: BitRate) -> Self {
        Self { warn, cut }
    }
}

/// The pace of one publish.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    warn: Option<Bucket>,
    cut: Option<Bucket>,
}

/// What has to be done about a pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Fine,
    /// Said once.
    Warn,
    Cut,
}

impl Pace {
    pub(crate) fn new(bitrates: Bitrates) -> Self {
        Self {
            warn: Bucket::new(bitrates.warn),
            cut: Bucket::new(bitrates.cut),
        }
    }

    /// Counts `bytes` that came at `at`, in nanoseconds from any origin.
    pub(crate) fn arrive(&mut self, bytes: usize, at: u64) -> Verdict {
        if let Some(cut) = &mut self.cut
            && cut.overflows(bytes, at)
        {
            return Verdict::Cut;
        }
        if let Some(warn) = &mut self.warn
            && warn.overflows(bytes, at)
        {
            self.warn = None;
            return Verdict::Warn;
        }
        Verdict::Fine
    }
}

/// A leaky bucket, kept as one time: when it would be empty if nothing more came.
#[derive(Debug)]
struct Bucket {
    nanos_per_byte: f64,
    empty_at: u64,
}

impl Bucket {
    /// None if there is no bound.
    #[expect(clippy::cast_precision_loss, reason = "a rate, not a count")]
    fn new(rate: BitRate) -> Option<Self> {
        (rate.0 > 0).then(|| Self {
            nanos_per_byte: 8e9 / rate.0 as f64,
            empty_at: 0,
        })
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the conversion saturates, and no message is so large that it would matter"
    )]
    fn overflows(&mut self, bytes: usize, at: u64) -> bool {
        let takes = (bytes as f64 * self.nanos_per_byte) as u64;
        self.empty_at = self.empty_at.max(at).saturating_add(takes);
        self.empty_at - at > nanos(TOLERANCE)
    }
}

/// How long a publisher may take to make up for what it sent at once.
const TOLERANCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Limits of 8 and 16 Mb/s: 1 and 2 MB a second.
    fn pace() -> Pace {
        Pace::new(Bitrates::new(BitRate(8_000_000), BitRate(16_000_000)))
    }

    /// Sends `bytes` 25 times a second, for at most `seconds`; when what
    /// happened, in whole seconds.
    fn send(pace: &mut Pace, from: u64, seconds: u64, bytes: usize) -> Vec<(u64, Verdict)> {
        let mut happened = Vec::new();
        for frame in 0..seconds * 25 {
            let at = from + frame * SECOND / 25;
            let verdict = pace.arrive(bytes, at);
            if verdict != Verdict::Fine {
                happened.push(((at - from) / SECOND, verdict));
            }
            if verdict == Verdict::Cut {
                break;
            }
        }
        happened
    }

    #[test]
    fn a_pace_at_the_bound_is_fine_for_ever() {
        assert_eq!(send(&mut pace(), 7, 3_600, 40_000), []);
    }

    #[test]
    fn a_pace_above_it_is_told_once_and_cut_above_the_other() {
        // A tenth too much takes fifty seconds to show.
        let mut slightly = pace();
        assert_eq!(send(&mut slightly, 0, 600, 44_000), [(49, Verdict::Warn)]);
        let twice = send(&mut pace(), 0, 600, 79_999);
        assert_eq!(twice, [(4, Verdict::Warn)]);
        let tenfold = send(&mut pace(), 0, 600, 400_000);
        assert_eq!(tenfold, [(0, Verdict::Warn), (1, Verdict::Cut)]);
    }

    #[test]
    fn bursts_are_no_pace() {
        // Keyframes of half a second's worth.
        let mut bursts = pace();
        for second in 0..600 {
            assert_eq!(bursts.arrive(500_000, second * SECOND), Verdict::Fine);
            assert_eq!(
                send(&mut bursts, second * SECOND + 1, 1, 19_000),
                [],
                "{second}"
            );
        }
        // What was saved up in nearly five seconds of silence.
        let mut back = pace();
        assert_eq!(send(&mut back, 0, 60, 38_000), []);
        assert_eq!(back.arrive(4_700_000, 65 * SECOND), Verdict::Fine);
        assert_eq!(send(&mut back, 65 * SECOND, 60, 38_000), []);
    }

    #[test]
    fn no_bound_and_no_clock_do_no_harm() {
        let mut free = Pace::new(Bitrates::default());
        assert_eq!(free.arrive(usize::MAX, 0), Verdict::Fine);
        let mut slow = Pace::new(Bitrates::new(BitRate(0), BitRate(1)));
        assert_eq!(slow.arrive(usize::MAX, 1), Verdict::Cut);
        // A clock that goes back counts as one that stands.
        let mut pace = pace();
        assert_eq!(pace.arrive(1_000, 10 * SECOND), Verdict::Fine);
        assert_eq!(pace.arrive(1_000, 9 * SECOND), Verdict::Fine);
    }
}
