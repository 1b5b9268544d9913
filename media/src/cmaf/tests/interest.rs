//! What a segmenter wants to be woken for: as seldom as may be, and never too
//! late for a part.

use std::time::{Instant, SystemTime};

use rillcast_core::{Frame, Interest, StreamKey};

use super::*;
use crate::cmaf::{Segment, Segmenter, Snapshot, WallClock};

fn segmenter(start: Instant) -> Segmenter {
    let key = StreamKey::parse("live/cam").unwrap();
    let clock = WallClock::new(SystemTime::UNIX_EPOCH, start);
    Segmenter::new(key, "session", CmafConfig::default(), clock)
}

fn give(segmenter: &mut Segmenter, event: &Event, now: Instant) {
    match event.clone() {
        Event::Track(track) => segmenter.track(track.into(), now),
        Event::Frame(sent) => {
            let frame = Frame::new(sent.track, sent.dts, now, sent.payload)
                .with_pts(sent.pts)
                .with_keyframe(sent.keyframe)
                .with_duration(sent.duration);
            segmenter.frame(&frame, now);
        }
        _ => panic!("no scene here breaks"),
    }
}

/// The bytes of everything that is shown, part by part.
fn shown(snapshot: &Snapshot) -> Vec<(u64, Vec<Vec<u8>>)> {
    let tracks = snapshot.tracks.iter();
    let segments = tracks.flat_map(|track| track.segments.iter().chain(&track.open));
    let parts = |segment: &Segment| {
        let parts = segment.parts.iter();
        parts.map(|part| part.slices.concat()).collect()
    };
    segments
        .map(|segment| (segment.number, parts(segment)))
        .collect()
}

/// Runs a scene through a segmenter that is given each frame at once, and one
/// that is given them when one is of interest.
fn check(name: &str, scene: &Scene) {
    let start = Instant::now();
    let (mut prompt, mut lazy) = (segmenter(start), segmenter(start));
    let _ = prompt.snapshot();
    let _ = lazy.snapshot();
    let mut interest = Interest::everything();
    let mut unread = Vec::new();
    let (mut frames, mut wakes) = (0_u32, 0_u32);
    let mut events: Vec<_> = scene.events.iter().collect();
    events.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    for (at, event) in events {
        let now = start + Duration::from_secs_f64(*at);
        give(&mut prompt, event, now);
        let changed = prompt.snapshot();
        unread.push((event, now));
        let wanted = match event {
            Event::Frame(sent) => interest.wants(sent.track, sent.dts, sent.keyframe),
            _ => true,
        };
        // Before that it is measured, for which every frame is of interest.
        let settled = u32::from(*at > 13.0);
        frames += settled;
        if !wanted {
            assert!(changed.is_none(), "{name}: too late at {at:.3} s");
            continue;
        }
        wakes += settled;
        for (event, now) in unread.drain(..) {
            give(&mut lazy, event, now);
        }
        interest = lazy.interest();
        let seen = lazy.snapshot();
        assert_eq!(seen.is_some(), changed.is_some(), "{name}: {at:.3} s");
        if let (Some(seen), Some(changed)) = (seen, changed)
            && frames % 8 == 0
        {
            assert_eq!(shown(&seen), shown(&changed), "{name}: {at:.3} s");
        }
    }
    assert!(
        frames > 80 && wakes * 2 < frames,
        "{name}: {wakes} of {frames}"
    );
}

#[test]
fn frames_that_show_nothing_new_wake_nobody_and_others_do() {
    for (fps, gop) in [
        ((25, 1), 50),
        ((25, 1), 20),
        ((30_000, 1_001), 60),
        ((30, 1), 150),
        ((60, 1), 0),
    ] {
        for (rounded, reordered) in [(true, true), (true, false), (false, true)] {
            for rate in [None, Some(48_000), Some(44_100)] {
                let mut pictures = Pictures::new(fps, gop, 17.0);
                pictures.rounded = rounded;
                pictures.reordered = reordered;
                let sound = rate.map(|rate| Sound::new(rate, 17.0));
                let name = format!("{fps:?} {gop} {rounded} {reordered} {rate:?}");
                check(&name, &Scene::new(Some(pictures), sound));
            }
        }
    }
    check("sound", &Scene::new(None, Some(Sound::new(48_000, 17.0))));
}
