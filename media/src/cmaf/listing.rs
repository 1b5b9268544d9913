//! What playlists list, and what is held beyond it for those who are late.
//!
//! Listed is the window, or three target durations if that is longer. What
//! leaves the listing is held for as long again and for its own duration (RFC
//! 8216 section 6.2.2). If that does not fit into the stream's memory, the
//! listing becomes shorter, but never below three target durations. The same
//! holds if a stream breaks so often that its segments become too many.

use std::time::Duration;

use super::config::CmafConfig;
use super::snapshot::Refusal;
use super::track::TrackCutter;

/// Decides which segments are listed and which are held.
#[derive(Debug)]
pub(super) struct Listing {
    /// The number of the first segment that is listed. Never goes back.
    pub(super) first: u64,
    window: Duration,
    segment: Duration,
}

impl Listing {
    pub(super) const fn new(config: &CmafConfig) -> Self {
        Self {
            first: 0,
            window: config.window.0,
            segment: config.segment_duration.0,
        }
    }

    /// Moves the listing on and lets go of what need not be held, and of what
    /// `memory` has no room for.
    ///
    /// # Errors
    /// If not even three target durations can be held.
    pub(super) fn update(
        &mut self,
        tracks: &mut [TrackCutter],
        target: Duration,
        memory: u64,
    ) -> Result<(), Refusal> {
        let least = target * 3;
        let longest_listing = self.window.max(least);
        let wanted = affordable(tracks, least, memory).min(longest_listing);
        self.first = self.first.max(tracks.iter().map(begin).min().unwrap_or(0));
        while may_go(tracks, self.first, wanted) {
            self.first += 1;
        }
        let listed = longest(tracks, self.first);
        while let Some(number) = oldest(tracks)
            && number < self.first
        {
            let own = length_of(tracks, number);
            if longest(tracks, number + 1) < listed * 2 + own {
                break;
            }
            drop_number(tracks, number);
        }
        // The estimate above keeps to the bound as long as the bit rate is
        // even; this keeps to it always.
        let most = most_segments(longest_listing, self.segment);
        while let Some(refusal) = excess(tracks, most, memory) {
            let number = oldest(tracks).ok_or(refusal)?;
            if number >= self.first {
                if !may_go(tracks, number, least) {
                    return Err(refusal);
                }
                self.first = number + 1;
            }
            drop_number(tracks, number);
        }
        Ok(())
    }
}

/// What is held too much of.
fn excess(tracks: &[TrackCutter], most: usize, bound: u64) -> Option<Refusal> {
    if memory(tracks) > bound {
        return Some(Refusal::Memory);
    }
    let longest = tracks.iter().map(|track| track.segments.len()).max();
    longest
        .filter(|count| *count > most)
        .map(|_| Refusal::Breaks)
}

/// How long a listing fits into `bound` bytes, together with what is held for
/// each segment after it has left.
fn affordable(tracks: &[TrackCutter], least: Duration, bound: u64) -> Duration {
    let used = u128::from(memory(tracks));
    let held = longest(tracks, 0);
    // Before there is enough to judge by, nothing needs to be shortened.
    if held < least || used * 4 < u128::from(bound) {
        return Duration::MAX;
    }
    let fits = held.as_nanos() * u128::from(bound) * 9 / 10 / used.max(1);
    let fits = Duration::from_nanos(u64::try_from(fits).unwrap_or(u64::MAX));
    (fits / 2).max(least)
}

/// Whether the listing may begin after `number`: enough is left in each track
/// that had begun by then, also in one that is behind the others.
fn may_go(tracks: &[TrackCutter], number: u64, wanted: Duration) -> bool {
    let mut lists = tracks
        .iter()
        .filter(|track| begin(track) <= number)
        .peekable();
    lists.peek().is_some() && lists.all(|track| length_from(track, number + 1) >= wanted)
}

/// The number of a track's first segment that is held, or will be.
fn begin(track: &TrackCutter) -> u64 {
    let first = track.segments.front().map(|segment| segment.number);
    first.unwrap_or(track.cut.number)
}

/// The number of the oldest segment that is held.
fn oldest(tracks: &[TrackCutter]) -> Option<u64> {
    let firsts = tracks.iter().filter_map(|track| track.segments.front());
    firsts.map(|segment| segment.number).min()
}

/// The duration of a track's segments from `number` on.
fn length_from(track: &TrackCutter, number: u64) -> Duration {
    let from = track.segments.iter().rev();
    from.take_while(|segment| segment.number >= number)
        .map(|segment| segment.length())
        .sum()
}

fn longest(tracks: &[TrackCutter], number: u64) -> Duration {
    let lengths = tracks.iter().map(|track| length_from(track, number));
    lengths.max().unwrap_or_default()
}

fn length_of(tracks: &[TrackCutter], number: u64) -> Duration {
    let firsts = tracks.iter().filter_map(|track| track.segments.front());
    let firsts = firsts.filter(|segment| segment.number == number);
    firsts
        .map(|segment| segment.length())
        .max()
        .unwrap_or_default()
}

fn drop_number(tracks: &mut [TrackCutter], number: u64) {
    for track in tracks {
        if track
            .segments
            .front()
            .is_some_and(|first| first.number == number)
        {
            track.drop_oldest();
        }
    }
}

fn memory(tracks: &[TrackCutter]) -> u64 {
    tracks.iter().map(TrackCutter::memory).sum()
}

/// How many segments of one track are held at most, if `listing` is listed:
/// as many as fit, and many times more for those that end early.
fn most_segments(listing: Duration, segment: Duration) -> usize {
    let even = listing.as_nanos() * 2 / segment.as_nanos().max(1);
    let most = even.saturating_mul(EARLY).saturating_add(64);
    usize::try_from(most).unwrap_or(usize::MAX)
}

/// Segments may be so many times shorter than they should be, on average.
const EARLY: u128 = 16;
