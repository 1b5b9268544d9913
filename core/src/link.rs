//! What an ingest knows of the line to its publisher: [`Link`].
//!
//! Protocols that repair losses themselves (SRT, and those to come) count what a
//! viewer's trouble begins with. The figures lie in a slot of the stream, so that
//! whoever shows streams finds them whatever the protocol is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The line to a stream's publisher, while there is one that counts.
///
/// A stream's own is in `handle.slot(Link::default)`.
#[derive(Debug, Default)]
pub struct Link(Mutex<Shown>);

/// What is shown, and the number of the line that shows it.
#[derive(Debug, Default)]
struct Shown {
    line: u64,
    stats: Option<(Instant, LinkStats)>,
}

/// One publisher's line, for as long as it holds it: [`Link::begin`].
///
/// Dropped, its figures go with it, unless another one has begun meanwhile: who takes a
/// stream over is there before the one before is gone.
#[derive(Debug)]
pub struct Line {
    link: Arc<Link>,
    number: u64,
}

/// The figures of a line, since the publisher's connection began if nothing else is
/// said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// The round trip, smoothed; zero until it was measured.
    pub rtt: Duration,
    /// Its mean deviation.
    pub rtt_variance: Duration,
    /// From sending to delivery, as it was agreed on.
    pub latency: Duration,
    /// Packets of media that arrived.
    pub received: u64,
    /// Bytes that they carried.
    pub received_bytes: u64,
    /// Packets that were found missing, whether they came later or not.
    pub lost: u64,
    /// Packets that were sent again.
    pub retransmitted: u64,
    /// Packets that were there already.
    pub duplicates: u64,
    /// Packets that came after their time.
    pub belated: u64,
    /// Packets that are missing in what was delivered.
    pub dropped: u64,
    /// Packets for which there was no room.
    pub overflowed: u64,
    /// Packets that could not be decrypted.
    pub undecrypted: u64,
    /// How often the publisher went over to another key.
    pub key_changes: u64,
    /// Packets that wait for their time now.
    pub buffered: u64,
    /// Bytes that they carry.
    pub buffered_bytes: u64,
    /// How much time they span.
    pub buffered_time: Duration,
}

/// Figures that nobody has renewed for so long are of a connection that is over.
const FRESH: Duration = Duration::from_secs(10);

impl Link {
    /// A publisher's connection begins: from now on only its figures count.
    #[must_use]
    pub fn begin(self: &Arc<Self>) -> Line {
        let mut shown = self.lock();
        shown.line += 1;
        shown.stats = None;
        Line {
            link: Arc::clone(self),
            number: shown.line,
        }
    }

    /// The figures, if there is a connection that counts.
    #[must_use]
    pub fn load(&self, now: Instant) -> Option<LinkStats> {
        let (at, stats) = self.lock().stats?;
        (now.saturating_duration_since(at) < FRESH).then_some(stats)
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// Shows `stats` from now on. To be called about once a second.
    pub fn report(&self, stats: LinkStats, now: Instant) {
        self.show(Some((now, stats)));
    }

    fn show(&self, stats: Option<(Instant, LinkStats)>) {
        let mut shown = self.link.lock();
        if shown.line == self.number {
            shown.stats = stats;
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.show(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_shown_while_they_are_fresh() {
        let link = Arc::new(Link::default());
        let now = Instant::now();
        let line = link.begin();
        assert_eq!(link.load(now), None);
        let stats = LinkStats {
            lost: 3,
            ..LinkStats::default()
        };
        line.report(stats, now);
        assert_eq!(link.load(now), Some(stats));
        assert_eq!(link.load(now + FRESH), None);
        line.report(stats, now);
        drop(line);
        assert_eq!(link.load(now), None);
    }

    #[test]
    fn a_line_that_was_taken_over_shows_nothing_and_takes_nothing_away() {
        let link = Arc::new(Link::default());
        let now = Instant::now();
        let old = link.begin();
        let new = link.begin();
        let stats = LinkStats {
            received: 7,
            ..LinkStats::default()
        };
        new.report(stats, now);
        old.report(LinkStats::default(), now);
        assert_eq!(link.load(now), Some(stats));
        drop(old);
        assert_eq!(link.load(now), Some(stats));
    }
}
