//! Media playlists over random histories of windows: every one is read back by
//! m3u8-rs and by the law checker, and checked against the one before it.

use std::time::{Duration, SystemTime};

use m3u8_rs::{Playlist, parse_playlist_res};
use proptest::prelude::*;

mod windows;

use super::law::Parsed;
use super::media::{Entry, MediaPlaylist};

const BASE: &str = "../../../../cmaf/live/cam/s1/v0/";

fn epoch(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_767_225_600_000 + millis)
}

fn entry(number: u64, duration: u64) -> Entry {
    Entry {
        number,
        duration,
        timescale: 90_000,
        discontinuity: false,
        config: 0,
        gap: false,
        date: None,
        parts: Vec::new(),
        complete: true,
    }
}

#[test]
fn a_playlist_reads_as_the_specification_orders_it() {
    let first = Entry {
        date: Some(epoch(0)),
        ..entry(41, 180_000)
    };
    let second = Entry {
        discontinuity: true,
        config: 1,
        date: Some(epoch(5_250)),
        ..entry(42, 90_090)
    };
    let playlist = MediaPlaylist {
        target_duration: 2,
        discontinuity_sequence: 3,
        base: BASE.to_owned(),
        entries: vec![first, second],
        skipped: 0,
        low_latency: None,
        ended: true,
        transport: false,
    };
    let want = "#EXTM3U\n\
        #EXT-X-VERSION:6\n\
        #EXT-X-TARGETDURATION:2\n\
        #EXT-X-MEDIA-SEQUENCE:41\n\
        #EXT-X-DISCONTINUITY-SEQUENCE:3\n\
        #EXT-X-MAP:URI=\"../../../../cmaf/live/cam/s1/v0/0.init.mp4\"\n\
        #EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00.000Z\n\
        #EXTINF:2.000000,\n\
        ../../../../cmaf/live/cam/s1/v0/41.m4s\n\
        #EXT-X-DISCONTINUITY\n\
        #EXT-X-MAP:URI=\"../../../../cmaf/live/cam/s1/v0/1.init.mp4\"\n\
        #EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:05.250Z\n\
        #EXTINF:1.001000,\n\
        ../../../../cmaf/live/cam/s1/v0/42.m4s\n\
        #EXT-X-ENDLIST\n";
    assert_eq!(playlist.to_string(), want);
}

#[test]
fn a_gap_is_said_and_raises_the_version() {
    let mut silent = entry(1, 180_000);
    silent.gap = true;
    let playlist = MediaPlaylist {
        target_duration: 2,
        discontinuity_sequence: 0,
        base: BASE.to_owned(),
        entries: vec![entry(0, 180_000), silent, entry(2, 180_000)],
        skipped: 0,
        low_latency: None,
        ended: false,
        transport: false,
    };
    let parsed = Parsed::read(&playlist.to_string()).unwrap();
    let gaps: Vec<bool> = parsed.segments.iter().map(|segment| segment.gap).collect();
    assert_eq!((parsed.version, gaps), (8, vec![false, true, false]));
}

/// One thing that happens to a window.
#[derive(Clone, Debug)]
enum Step {
    /// A segment of so many ticks closes; a break before it, and perhaps
    /// another configuration with it.
    Cut {
        ticks: u64,
        broken: bool,
        changed: bool,
        gap: bool,
    },
    /// So many segments leave the list, but never the last one.
    Shrink(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let cut = (
        1..=3 * 90_000_u64,
        prop::bool::weighted(0.2),
        any::<bool>(),
        prop::bool::weighted(0.1),
    );
    prop_oneof![
        3 => cut.prop_map(|(ticks, broken, changed, gap)| Step::Cut { ticks, broken, changed, gap }),
        1 => (0..5_usize).prop_map(Step::Shrink),
    ]
}

/// The playlists that a window with this history shows, one after each step.
fn history(first: u64, timescale: u32, steps: &[Step]) -> Vec<MediaPlaylist> {
    let mut shown = Vec::new();
    let mut playlist = MediaPlaylist {
        target_duration: 3,
        discontinuity_sequence: 0,
        base: BASE.to_owned(),
        entries: Vec::new(),
        skipped: 0,
        low_latency: None,
        ended: false,
        transport: false,
    };
    let (mut number, mut config, mut nanos) = (first, 0, 0_u64);
    for step in steps {
        match *step {
            Step::Cut {
                ticks,
                broken,
                changed,
                gap,
            } => {
                let broken = broken && number > first;
                if broken {
                    nanos += 7_000_000_000;
                    config += u32::from(changed);
                }
                let duration = (ticks * u64::from(timescale) / 90_000).max(1);
                playlist.entries.push(Entry {
                    timescale,
                    discontinuity: broken,
                    config,
                    gap,
                    date: Some(epoch(nanos / 1_000_000)),
                    ..entry(number, duration)
                });
                nanos += duration * 1_000_000_000 / u64::from(timescale);
                number += 1;
            }
            Step::Shrink(count) => {
                let count = count.min(playlist.entries.len().saturating_sub(1));
                let gone = playlist.entries.drain(..count);
                let breaks = gone.filter(|entry| entry.discontinuity).count();
                playlist.discontinuity_sequence += u64::try_from(breaks).unwrap();
            }
        }
        if !playlist.entries.is_empty() {
            shown.push(playlist.clone());
        }
    }
    if let Some(last) = shown.last() {
        let mut last = last.clone();
        last.ended = true;
        shown.push(last);
    }
    shown
}

/// m3u8-rs reads the same as the law checker.
fn read_back(text: &str, parsed: &Parsed) {
    let Ok(Playlist::MediaPlaylist(read)) = parse_playlist_res(text.as_bytes()) else {
        panic!("m3u8-rs does not read\n{text}");
    };
    assert_eq!(read.target_duration, parsed.target_duration);
    assert_eq!(read.media_sequence, parsed.media_sequence);
    assert_eq!(read.discontinuity_sequence, parsed.discontinuity_sequence);
    assert_eq!(read.end_list, parsed.ended);
    assert_eq!(read.segments.len(), parsed.segments.len());
    for (theirs, ours) in read.segments.iter().zip(&parsed.segments) {
        assert_eq!(theirs.uri, ours.uri);
        assert_eq!(theirs.discontinuity, ours.discontinuity);
        // EXTINF is a 32-bit float there.
        let micros = f64::from(theirs.duration) * 1e6;
        let ours_micros = f64::from(u32::try_from(ours.micros).unwrap());
        assert!((micros - ours_micros).abs() < 2.0, "{micros} {ours_micros}");
        if let Some(map) = &theirs.map {
            assert_eq!(map.uri, ours.map);
        }
        assert_eq!(theirs.program_date_time.is_some(), ours.date.is_some());
    }
}

proptest! {
    #[test]
    fn no_history_shows_an_illegal_playlist(
        first in 0..1_000_u64,
        timescale in prop::sample::select(vec![90_000, 48_000, 44_100, 1_000]),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut before: Option<Parsed> = None;
        for playlist in history(first, timescale, &steps) {
            let text = playlist.to_string();
            let parsed = Parsed::read(&text).map_err(|error| {
                TestCaseError::fail(format!("{error} in\n{text}"))
            })?;
            read_back(&text, &parsed);
            if let Some(before) = &before {
                before.check_next(&parsed).map_err(|error| {
                    TestCaseError::fail(format!("{error} in\n{text}"))
                })?;
            }
            before = Some(parsed);
        }
    }
}
