//! When each segment begins on the manifest's time line: the Periods.
//!
//! The zero of that line is the session's anchor, which never moves;
//! `availabilityStartTime` is later by what lies before a stream's first frame. A
//! Period lays a run of segments on the line. Another one begins where the media does
//! something that a run cannot say: a discontinuity, another configuration, a track
//! that comes or goes, media time that has drifted from arrival time, a cadence that is
//! found or left (MEDIA.md sections 5 and 6).
//!
//! Periods are decided once, in the order of the segments, and kept until their
//! last segment has left the list: what a manifest has said, the next one does
//! not take back.

mod cadence;
mod drift;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rillcast_media::cmaf::{Segment, Snapshot, TrackWindow};

pub(crate) use self::cadence::Cadence;
use self::cadence::Run;
use self::drift::{Drift, lateness};

/// The Periods of one session.
#[derive(Debug)]
pub(crate) struct Timetable {
    low_latency: bool,
    /// Where the manifest's own time begins, in nanoseconds.
    zero: Option<i64>,
    periods: Vec<Period>,
    /// The number behind the last segment that was taken in, and the stream time
    /// of its end in nanoseconds.
    at: Option<(u64, i64)>,
    run: Run,
    drift: Drift,
    /// The segment that would have followed when the publisher went. If anything comes
    /// of it all the same, it is a frame or two of some of the tracks: no Period is made
    /// of them, and the one before has ended already.
    rest: Option<u64>,
    changes: u64,
}

/// A run of segments of which no more need be said than where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    /// The number of its first segment, which names it too.
    pub(crate) first: u64,
    /// Stream time at which its presentation begins, in nanoseconds.
    pub(crate) begin: i64,
    /// By how much its place on the time line is later than that, in nanoseconds:
    /// as much as arrival was behind stream time.
    pub(crate) offset: i64,
    /// Its tracks that have media, with the configuration of each.
    pub(crate) tracks: Vec<(Arc<str>, u32)>,
    /// How long its segments are, if all are equally long.
    pub(crate) cadence: Option<Cadence>,
    /// Whether media time and the time line go on alike from the Period before it.
    pub(crate) continuous: bool,
    /// The number behind its last segment, and where it ends on the time line in
    /// nanoseconds, once no more will belong to it.
    pub(crate) end: Option<(u64, i64)>,
}

impl Period {
    /// Where it begins on the time line, in nanoseconds.
    pub(crate) const fn start(&self) -> i64 {
        self.begin.saturating_add(self.offset)
    }

    /// Where it ends on the time line if its last segment, the one before `next`,
    /// ends at that stream time.
    ///
    /// Always before what its cadence says: a player counts the segments that begin
    /// before the end, in numbers that round, and would ask for one more.
    fn cut(&self, next: u64, end: i64) -> i64 {
        let nominal = self.cadence.map(|cadence| {
            let count = next.saturating_sub(self.first);
            self.begin.saturating_add(cadence.nanos(count)) - ROUNDING
        });
        let end = nominal.map_or(end, |nominal| end.min(nominal));
        end.saturating_add(self.offset)
    }

    /// Whether no segment belongs to it.
    pub(crate) fn is_empty(&self) -> bool {
        self.end.is_some_and(|(next, _)| next == self.first)
    }

    /// Where it ends on the time line in nanoseconds, once that is known.
    pub(crate) fn finish(&self) -> Option<i64> {
        self.end.map(|(_, end)| end)
    }

    /// The configuration that a track has in it.
    pub(crate) fn config(&self, track: &str) -> Option<u32> {
        let of = |(name, config): &(Arc<str>, u32)| (**name == *track).then_some(*config);
        self.tracks.iter().find_map(of)
    }

    /// Whether the segment of that number belongs to it, as far as one knows.
    pub(crate) fn holds(&self, number: u64) -> bool {
        number >= self.first && self.end.is_none_or(|(next, _)| number < next)
    }

    /// Whether a segment can be its next: keeps its cadence, if it has one, or ends
    /// too early for that. Such a one is its last.
    fn expects(&self, segment: &Segment) -> bool {
        self.cadence.is_none_or(|cadence| {
            let (begin, end) = self.nominal(segment.number, cadence);
            let slack = cadence.half_frame();
            begin.abs_diff(segment.time) <= slack
                && end_of(segment) <= end.saturating_add_unsigned(slack)
        })
    }

    /// Whether a segment ends before its cadence says: nothing can follow it in this
    /// Period.
    ///
    /// It belongs to it all the same. Who reads it while it is cut has it as part of
    /// this Period; in another one dash.js 5.2 would look for it in vain, and stay.
    fn ends_with(&self, segment: &Segment) -> bool {
        self.cadence.is_some_and(|cadence| {
            let (_, end) = self.nominal(segment.number, cadence);
            end_of(segment).saturating_add_unsigned(cadence.half_frame()) < end
        })
    }

    /// When the segment of that number begins and ends by `cadence`.
    fn nominal(&self, number: u64, cadence: Cadence) -> (i64, i64) {
        let count = number.saturating_sub(self.first);
        let begin = self.begin.saturating_add(cadence.nanos(count));
        (begin, begin.saturating_add(cadence.nanos(1)))
    }
}

impl Timetable {
    /// An empty one; with `low_latency`, segments of one length are announced by
    /// that, before they are there.
    pub(crate) fn new(low_latency: bool) -> Self {
        Self {
            low_latency,
            zero: None,
            periods: Vec::new(),
            at: None,
            run: Run::default(),
            drift: Drift::default(),
            rest: None,
            changes: 0,
        }
    }

    /// The Periods to write, oldest first: those that have something listed.
    ///
    /// In low latency, those that list segments by their times go for good once the
    /// Period after them has lasted for as long as players stay behind without it:
    /// shaka 5.2 takes the last time that is listed for the live edge, wherever it is,
    /// and dates all segments by it.
    pub(crate) fn periods(&self) -> &[Period] {
        &self.periods
    }

    /// Whether segments of one length may be announced before they are there.
    pub(crate) const fn is_low_latency(&self) -> bool {
        self.low_latency
    }

    /// Where the manifest's own time begins on the time line, in nanoseconds: shortly
    /// before any stream does. It never moves.
    ///
    /// GStreamer's demuxers (1.22) fetch each segment later by as much as its Period
    /// begins there.
    pub(crate) fn zero(&self) -> i64 {
        self.zero.unwrap_or(0)
    }

    /// Counts what has changed about them.
    pub(crate) const fn changes(&self) -> u64 {
        self.changes
    }

    /// Takes in what is new in `snapshot`. `left` says that nobody publishes, and
    /// `now` is the wall clock: what should be there by then and is not, does not
    /// come as announced.
    pub(crate) fn take_in(&mut self, snapshot: &Snapshot, left: bool, now: SystemTime) {
        let Some(primary) = snapshot.primary() else {
            return;
        };
        let Some(first) = primary.listed().first() else {
            return;
        };
        let mut number = self.at.map_or(first.number, |(next, _)| next);
        if number < first.number {
            // Nobody asked for so long that some came and went.
            self.close();
            number = first.number;
        }
        while is_complete(snapshot, number) {
            self.add(snapshot, number);
            number += 1;
        }
        // What the primary track has and others have not yet.
        let ahead = (number..=primary.next.0).map_while(|number| primary.segment(number));
        let stranger = ahead.clone().find(|segment| !self.goes_on(segment));
        let stranger = stranger.map(|stranger| stranger.number);
        let broken = (number..=primary.next.0).find(|number| is_broken(snapshot, *number));
        let broken =
            broken.filter(|number| self.periods.last().is_some_and(|it| it.first < *number));
        if let Some(stranger) = stranger.into_iter().chain(broken).min() {
            self.close_before(primary, stranger);
        } else if snapshot.is_ended() {
            self.close();
        } else if primary.open.is_none() {
            let end = ahead.last().map(|last| end_of(last));
            if left {
                self.close_before(primary, primary.next.0);
                self.rest = Some(primary.next.0);
            } else if self.is_overdue(end, snapshot, now) {
                self.close_before(primary, primary.next.0);
            }
        }
        self.periods
            .retain(|period| period.end.is_none_or(|(next, _)| next > first.number));
        self.retire(primary, snapshot.target_duration * 3);
    }

    /// Lets go what stands before a Period that has a cadence and has lasted for so long.
    fn retire(&mut self, primary: &TrackWindow, enough: Duration) {
        let listed = |period: &Period| period.cadence.is_none();
        let Some(index) = self.periods.iter().rposition(listed) else {
            return;
        };
        let begin = self.periods.get(index + 1).map(|next| next.begin);
        let lasted = primary.listed().last().zip(begin).map(|(last, begin)| {
            let nanos = end_of(last).saturating_sub(begin);
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
        });
        if lasted.is_some_and(|lasted| lasted >= enough) {
            self.periods.drain(..=index);
            self.changes += 1;
        }
    }

    /// Adds a segment that is complete in all tracks.
    fn add(&mut self, snapshot: &Snapshot, number: u64) {
        let tracks = tracks_of(snapshot, number);
        let Some(segment) = leader(snapshot, number) else {
            // No track has any media there.
            self.close();
            self.at = self.at.map(|(_, end)| (number + 1, end));
            return;
        };
        if self.rest == Some(number) && !is_broken(snapshot, number) {
            self.at = Some((number + 1, end_of(segment)));
            return;
        }
        let late = lateness(snapshot, segment);
        let rate = snapshot.primary().and_then(|primary| primary.frame_rate);
        let open = self.periods.last().filter(|period| period.holds(number));
        let drifted = self.drift.offset();
        let found = self.run.found(segment, rate).filter(|_| self.low_latency);
        let goes_on = open.is_some_and(|period| {
            period.tracks == tracks
                && !segment.discontinuity
                && period.expects(segment)
                && drifted.is_none()
                && (found.is_none() || period.cadence.is_some())
        });
        if !goes_on {
            if let Some(period) = self.periods.last_mut()
                && period.holds(number)
            {
                period.end = None;
            }
            self.close();
            let before = self.periods.last();
            let adjoins = before
                .and_then(|before| before.end)
                .is_some_and(|(next, _)| next == number && !segment.discontinuity);
            let offset = match (before, drifted) {
                (Some(before), None) if adjoins => before.offset,
                (_, drifted) => drifted.unwrap_or(late),
            };
            let offset = self.make_room(segment.time, offset, drifted.is_some());
            let before = self.periods.last();
            let continuous = adjoins && before.is_some_and(|before| before.offset == offset);
            self.changes += 1;
            let start = segment.time.saturating_add(offset);
            self.zero.get_or_insert(BEFORE_ALL.min(start).max(0));
            self.periods.push(Period {
                first: number,
                begin: segment.time,
                offset,
                tracks,
                cadence: found,
                continuous,
                end: None,
            });
            self.drift = Drift::around(offset);
        }
        self.run.add(segment);
        self.drift.add(late);
        self.at = Some((number + 1, end_of(segment)));
        let period = self.periods.last();
        if period.is_some_and(|period| period.holds(number) && period.ends_with(segment)) {
            self.close();
        }
    }

    /// Periods do not overlap, however the clocks went: how far behind stream time
    /// one can stand that begins at `time`. Where it is to follow a drift, the one
    /// before loses its end to it.
    fn make_room(&mut self, time: i64, offset: i64, drifted: bool) -> i64 {
        let start = time.saturating_add(offset);
        let Some(before) = self.periods.last_mut() else {
            return offset;
        };
        let begun = before.start();
        match &mut before.end {
            Some((_, end)) if drifted && (begun..*end).contains(&start) => {
                *end = start;
                offset
            }
            Some((_, end)) => offset.max(end.saturating_sub(time)),
            None => offset,
        }
    }

    /// Whether the segment belongs to the Period that is open, as far as one sees.
    fn goes_on(&self, segment: &Segment) -> bool {
        let period = self.periods.last().filter(|period| period.end.is_none());
        period.is_none_or(|period| !segment.discontinuity && period.expects(segment))
    }

    /// Whether the segment that comes next, behind `end` or what was taken in last,
    /// should have begun long ago.
    fn is_overdue(&self, end: Option<i64>, snapshot: &Snapshot, now: SystemTime) -> bool {
        let end = end.or(self.at.map(|(_, end)| end));
        let (Some(end), Some(anchor)) = (end, snapshot.anchor) else {
            return false;
        };
        let offset = self.periods.last().map_or(0, |period| period.offset);
        let due = u64::try_from(end.saturating_add(offset)).unwrap_or(0);
        let due = Duration::from_nanos(due) + snapshot.target_duration;
        anchor.checked_add(due).is_some_and(|due| due < now)
    }

    /// Ends the Period that is open before the segment of that number, though other
    /// tracks may still be at the one before it.
    fn close_before(&mut self, primary: &TrackWindow, number: u64) {
        let last = number.checked_sub(1).and_then(|last| primary.segment(last));
        match last {
            Some(last) => self.close_at(Some((number, end_of(last)))),
            None => self.close(),
        }
    }

    /// Ends the Period that is open behind the last segment.
    fn close(&mut self) {
        self.close_at(self.at);
    }

    fn close_at(&mut self, at: Option<(u64, i64)>) {
        if let Some(period) = self.periods.last_mut()
            && period.end.is_none()
        {
            period.end = at.map(|(next, end)| (next, period.cut(next, end)));
            self.changes += 1;
            self.run.pause();
        }
    }
}

/// Whether every track has come to the end of the segment of that number.
fn is_complete(snapshot: &Snapshot, number: u64) -> bool {
    let has_passed = |track: &Arc<TrackWindow>| {
        let has_begun = !track.segments.is_empty() || track.open.is_some();
        !has_begun || track.next.0 > number
    };
    let is_there = |track: &Arc<TrackWindow>| {
        let segment = track.segment(number);
        segment.is_some_and(|segment| segment.complete)
    };
    snapshot.tracks.iter().any(is_there)
        && (snapshot.is_ended() || snapshot.tracks.iter().all(has_passed))
}

/// Whether a discontinuity stands before the segment of that number in any track:
/// sound may be back before the picture is.
fn is_broken(snapshot: &Snapshot, number: u64) -> bool {
    let segments = snapshot.tracks.iter().map(|track| track.segment(number));
    segments.flatten().any(|segment| segment.discontinuity)
}

/// The tracks that have media in the segment of that number.
fn tracks_of(snapshot: &Snapshot, number: u64) -> Vec<(Arc<str>, u32)> {
    let with_media = snapshot.tracks.iter().filter_map(|track| {
        let segment = track.segment(number)?;
        (segment.complete && !segment.gap).then(|| (Arc::clone(&track.name), segment.config))
    });
    with_media.collect()
}

/// That segment of the track that leads: the primary one, or the first that has
/// media there.
fn leader(snapshot: &Snapshot, number: u64) -> Option<&Arc<Segment>> {
    let mut tracks: Vec<_> = snapshot.tracks.iter().collect();
    tracks.sort_by_key(|track| !track.primary);
    let segments = tracks.into_iter().filter_map(|track| track.segment(number));
    segments
        .into_iter()
        .find(|segment| segment.complete && !segment.gap)
}

/// The stream time at which a segment's presentation ends, in nanoseconds.
pub(crate) fn end_of(segment: &Segment) -> i64 {
    let length = i64::try_from(segment.duration).unwrap_or(i64::MAX);
    segment
        .time
        .saturating_add(segment.timescale.to_nanos(length))
}

/// What a player's quotient of two durations may be off by in any Period, in nanoseconds.
const ROUNDING: i64 = 1_000;

/// Streams begin at ten seconds of stream time (`Timeline::ORIGIN`), but for a track
/// whose clock is behind.
const BEFORE_ALL: i64 = 9_900_000_000;
