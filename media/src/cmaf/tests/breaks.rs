//! Streams that stall, break, change or come back.

use rillcast_core::{Discontinuity, DiscontinuityCause, TrackId};

use super::scene::{AUDIO, Event, Pictures, Scene, Sound, VIDEO, audio_track};
use super::*;

pub(super) fn break_of(cause: DiscontinuityCause) -> Discontinuity {
    Discontinuity::new(cause, Duration::ZERO)
}

#[test]
fn a_reconnect_goes_on_in_numbers_behind_one_discontinuity() {
    let take = |seconds| {
        Scene::new(
            Some(Pictures::new((25, 1), 50, seconds)),
            Some(Sound::new(48_000, seconds)),
        )
        .sorted()
    };
    for pause in [0.2, 4.0] {
        let cause = break_of(DiscontinuityCause::Reconnect);
        let scene = take(9.1)
            .then(pause, cause, take(10.0))
            .then(pause, cause, take(10.0));
        let run = scene.run();
        run.check_exact("v0", &scene, VIDEO);
        run.check_exact("a1", &scene, AUDIO);
        assert_eq!(run.last.counters.discontinuities, 2);
        for name in ["v0", "a1"] {
            let broken: Vec<_> = run
                .of(name)
                .into_iter()
                .filter(|s| s.discontinuity)
                .collect();
            assert_eq!(broken.len(), 2, "{name}");
            assert!(broken[0].start > broken[0].timescale.from_duration(Duration::from_secs(19)));
            assert!(run.of(name).iter().all(|segment| segment.config == 0));
        }
        assert_eq!(run.last.counters.stalls, if pause > 1.0 { 2 } else { 0 });
    }
}

#[test]
fn a_publisher_that_is_lost_closes_its_segment_after_a_second() {
    let scene = Scene::new(
        Some(Pictures::new((25, 1), 50, 7.0)),
        Some(Sound::new(48_000, 7.0)),
    );
    let mut run = scene.run_open(CmafConfig::default());
    let before = run.last.track("v0").unwrap().segments.len();
    run.wait(0.5);
    assert_eq!(run.last.track("v0").unwrap().segments.len(), before);
    run.wait(0.8);
    for name in ["v0", "a1"] {
        let track = run.last.track(name).unwrap();
        assert_eq!(track.segments.len(), 4, "{name}");
        assert!(track.open.is_none());
        assert_eq!(track.next, (5, 0));
    }
    run.check_exact("v0", &scene, VIDEO);
    run.check_exact("a1", &scene, AUDIO);
    let length = run.lengths("v0")[3];
    assert!(
        (length - 1.0).abs() < 1e-6,
        "the last sample as the one before: {length}"
    );
}

#[test]
fn sound_that_outlasts_the_last_picture_ends_with_it() {
    let scene = Scene::new(
        Some(Pictures::new((25, 1), 50, 7.0)),
        Some(Sound::new(48_000, 7.06)),
    );
    let mut run = scene.run_open(CmafConfig::default());
    run.wait(1.5);
    for name in ["v0", "a1"] {
        let track = run.last.track(name).unwrap();
        assert_eq!(track.next, (5, 0), "{name}");
        assert!(run.of(name).iter().all(|segment| !segment.gap), "{name}");
    }
    run.check_exact("v0", &scene, VIDEO);
    run.check_exact("a1", &scene, AUDIO);
    assert_eq!(run.last.counters.stalls, 1);
}

#[test]
fn a_publisher_that_comes_back_changed_breaks_once() {
    let take = |first: f64, changed: bool| {
        let mut pictures = Pictures::new((25, 1), 50, 11.0);
        pictures.from = 2.0;
        let mut sound = Sound::new(48_000, 11.0);
        sound.from = 2.0 - first;
        let mut scene = Scene::new(Some(pictures), Some(sound)).sorted();
        for (_, event) in &mut scene.events {
            if let Event::Track(track) = event
                && track.id == VIDEO
                && changed
            {
                *track = super::scene::other_video_track(VIDEO);
            }
        }
        scene
    };
    // Its sound comes first, by a little and by several parts.
    for first in [0.0, 0.04, 0.6] {
        let cause = break_of(DiscontinuityCause::Reconnect);
        let scene = take(0.0, false).then(1.0, cause, take(first, true));
        let run = scene.run();
        run.check_exact("v0", &scene, VIDEO);
        assert_eq!(run.samples("a1").len(), scene.frames(AUDIO).len());
        let counters = run.last.counters;
        let changes = (counters.discontinuities, counters.config_changes);
        assert_eq!(changes, (1, 1), "{first}");
        for name in ["v0", "a1"] {
            let broken = run.of(name).iter().filter(|it| it.discontinuity).count();
            assert_eq!(broken, 1, "{name}, {first}");
        }
        let gaps = run.of("v0").iter().filter(|it| it.gap).count();
        assert_eq!(gaps, 0, "{first}");
        let configs: Vec<u32> = run.of("v0").iter().map(|it| it.config).collect();
        assert!(configs.is_sorted() && configs.contains(&1), "{configs:?}");
    }
}

#[test]
fn a_stall_that_time_does_not_show_goes_on_without_a_discontinuity() {
    // The network held everything back for 1.5 s; the times are even.
    let mut scene = Scene::new(
        Some(Pictures::new((25, 1), 50, 20.0)),
        Some(Sound::new(48_000, 20.0)),
    )
    .sorted();
    for (at, _) in &mut scene.events {
        if (9.3..10.8).contains(at) {
            *at = 10.8;
        }
    }
    let run = scene.run();
    run.check_exact("v0", &scene, VIDEO);
    run.check_exact("a1", &scene, AUDIO);
    let counters = run.last.counters;
    assert_eq!((counters.stalls, counters.discontinuities), (1, 0));
}

#[test]
fn while_video_stalls_audio_goes_on_and_video_shows_gaps() {
    let mut scene = Scene::new(
        Some(Pictures::new((25, 1), 50, 30.0)),
        Some(Sound::new(48_000, 30.0)),
    )
    .sorted();
    scene.events.retain(|(at, event)| {
        !(10.4..18.0).contains(at) || !matches!(event, Event::Frame(sent) if sent.track == VIDEO)
    });
    // The timeline announces it when the picture comes back.
    let back = scene.events.iter().position(|(at, event)| {
        *at >= 18.0 && matches!(event, Event::Frame(sent) if sent.track == VIDEO)
    });
    let gap = Event::Discontinuity(break_of(DiscontinuityCause::Gap));
    scene.events.insert(back.unwrap(), (18.0, gap));
    let run = scene.run();
    run.check_exact("v0", &scene, VIDEO);
    run.check_exact("a1", &scene, AUDIO);
    let gaps = run.of("v0").iter().filter(|segment| segment.gap).count();
    assert!((3..=5).contains(&gaps), "{gaps}");
    assert_eq!(run.last.counters.discontinuities, 1);
    assert!(run.lengths("a1").iter().all(|length| *length <= 2.1));
}

#[test]
fn a_change_of_configuration_is_a_discontinuity_with_a_new_init() {
    let first = Scene::new(
        Some(Pictures::new((25, 1), 50, 10.0)),
        Some(Sound::new(48_000, 30.0)),
    );
    let mut again = Pictures::new((25, 1), 50, 30.0);
    again.from = 10.0;
    let mut scene = first.with_pictures(&again).sorted();
    let mut changes = 0;
    for (at, event) in &mut scene.events {
        if let Event::Track(track) = event
            && track.id == VIDEO
            && *at >= 10.0
        {
            *track = super::scene::other_video_track(VIDEO);
            changes += 1;
        }
    }
    assert_eq!(changes, 1);
    // The same once more is no change.
    scene.push(20.0, Event::Track(super::scene::other_video_track(VIDEO)));
    let run = scene.run();
    run.check_exact("v0", &scene, VIDEO);
    run.check_exact("a1", &scene, AUDIO);
    let counters = run.last.counters;
    assert_eq!((counters.config_changes, counters.discontinuities), (1, 1));
    let configs: Vec<u32> = run.of("v0").iter().map(|segment| segment.config).collect();
    assert!(configs.is_sorted() && configs.contains(&0) && configs.contains(&1));
    assert!(run.of("a1").iter().all(|segment| segment.config == 0));
    let track = run.last.track("v0").unwrap();
    assert_ne!(track.init(0).unwrap().bytes, track.init(1).unwrap().bytes);
}

#[test]
fn what_the_packager_lost_is_a_discontinuity() {
    let mut scene = Scene::new(
        Some(Pictures::new((25, 1), 50, 20.0)),
        Some(Sound::new(48_000, 20.0)),
    )
    .sorted();
    scene
        .events
        .retain(|(at, event)| !(9.0..12.0).contains(at) || matches!(event, Event::Track(_)));
    let at = scene.events.iter().position(|(at, _)| *at >= 12.0).unwrap();
    scene.events.insert(at, (12.0, Event::Lost(215)));
    let run = scene.run();
    run.check_exact("v0", &scene, VIDEO);
    let counters = run.last.counters;
    assert_eq!((counters.lost_frames, counters.discontinuities), (215, 1));
}

#[test]
fn a_change_of_sample_rate_keeps_the_part_target() {
    let first = Scene::new(
        Some(Pictures::new((25, 1), 50, 30.0)),
        Some(Sound::new(44_100, 10.0)),
    );
    let mut again = Sound::new(48_000, 30.0);
    again.from = 10.0;
    let scene = first.with_sound(&again);
    let run = scene.run();
    run.check_exact("v0", &scene, VIDEO);
    let samples = run.samples("a1");
    assert_eq!(samples.len(), scene.frames(AUDIO).len());
    let counters = run.last.counters;
    assert_eq!((counters.config_changes, counters.discontinuities), (1, 1));
    let scales: Vec<u32> = run.of("a1").iter().map(|s| s.timescale.hz()).collect();
    assert!(scales.is_sorted() && scales.contains(&44_100) && scales.contains(&48_000));
    let track = run.last.track("a1").unwrap();
    assert_eq!(track.part_target_duration.as_millis(), 185);
    // The laws of parts are checked on every snapshot.
    assert_eq!(track.track.timescale.hz(), 48_000);
}

#[test]
fn a_configuration_that_cannot_be_used_mutes_its_track_until_a_good_one_comes() {
    let mut scene = Scene::new(
        Some(Pictures::new((25, 1), 50, 30.0)),
        Some(Sound::new(48_000, 30.0)),
    );
    let broken = audio_track(AUDIO, 48_000).with_config(bytes::Bytes::from_static(&[0xff]));
    scene.push(10.0, Event::Track(broken));
    scene.push(20.0, Event::Track(audio_track(AUDIO, 48_000)));
    let run = scene.run();
    run.check_exact("v0", &scene, VIDEO);
    let counters = run.last.counters;
    assert!(
        (460..480).contains(&counters.skipped_frames),
        "{counters:?}"
    );
    let gaps = run.of("a1").iter().filter(|segment| segment.gap).count();
    assert!((3..=6).contains(&gaps), "{gaps}");
    let last = run.of("a1").last().unwrap().number;
    assert_eq!(run.of("v0").last().unwrap().number, last);
}

#[test]
fn a_picture_a_second_is_no_stall() {
    let scene = Scene::new(
        Some(Pictures::new((1, 1), 4, 60.0)),
        Some(Sound::new(48_000, 60.0)),
    );
    let run = scene.run();
    run.check_exact("v0", &scene, VIDEO);
    run.check_exact("a1", &scene, AUDIO);
    assert_eq!(
        (run.last.counters.stalls, run.last.counters.discontinuities),
        (0, 0)
    );
    assert_eq!(run.last.target_duration.as_secs(), 4);
}

#[test]
fn audio_that_stops_shows_gaps_and_comes_back() {
    let mut scene = Scene::new(
        Some(Pictures::new((25, 1), 50, 40.0)),
        Some(Sound::new(48_000, 40.0)),
    )
    .sorted();
    let silent = |at: f64| (10.3..20.0).contains(&at);
    scene.events.retain(|(at, event)| {
        !silent(*at) || !matches!(event, Event::Frame(sent) if sent.track == AUDIO)
    });
    let back = scene.events.iter().position(|(at, event)| {
        *at >= 20.0 && matches!(event, Event::Frame(sent) if sent.track == AUDIO)
    });
    let gap = Event::Discontinuity(break_of(DiscontinuityCause::Gap));
    let at = back.unwrap();
    let when = scene.events[at].0;
    scene.events.insert(at, (when, gap));
    let run = scene.run();
    run.check_exact("v0", &scene, VIDEO);
    run.check_exact("a1", &scene, AUDIO);
    assert_eq!(run.last.counters.discontinuities, 1);
    assert_eq!(
        run.last.counters.long_gops, 0,
        "the picture is not cut for it"
    );
    let gaps = run.of("a1").iter().filter(|segment| segment.gap).count();
    assert!((3..=5).contains(&gaps), "{gaps}");
}

#[test]
fn frames_of_one_track_alone_after_a_break_do_not_wait_for_ever() {
    let take = |seconds| {
        Scene::new(
            Some(Pictures::new((25, 1), 50, seconds)),
            Some(Sound::new(48_000, seconds)),
        )
        .sorted()
    };
    // The publisher comes back with sound alone.
    let sound = Scene::new(None, Some(Sound::new(48_000, 20.0)));
    let cause = break_of(DiscontinuityCause::Reconnect);
    let scene = take(9.0).then(3.0, cause, sound);
    let run = scene.run();
    run.check_exact("v0", &scene, VIDEO);
    run.check_exact("a1", &scene, AUDIO);
    let last = |name| run.of(name).last().unwrap().number;
    assert_eq!(last("v0"), last("a1"));
    assert!(run.of("v0").iter().rev().take(9).all(|segment| segment.gap));
    assert!(run.lengths("a1").iter().all(|length| *length < 3.1));
    assert_eq!(run.last.track("v0").unwrap().track.id, TrackId(0));
}

#[test]
fn a_publisher_that_comes_back_between_keyframes_is_heard_before_it_is_seen() {
    let first = Scene::new(
        Some(Pictures::new((25, 1), 50, 9.0)),
        Some(Sound::new(48_000, 9.0)),
    )
    .sorted();
    // The new publish has its first keyframe after six seconds.
    let mut again = Scene::new(
        Some(Pictures::new((25, 1), 150, 26.0)),
        Some(Sound::new(48_000, 26.0)),
    )
    .sorted();
    again
        .events
        .retain(|(at, event)| *at > 0.02 || matches!(event, Event::Track(_)));
    let cause = break_of(DiscontinuityCause::Reconnect);
    let scene = first.then(2.0, cause, again);
    let run = scene.run();
    run.check_exact("a1", &scene, AUDIO);
    let counters = run.last.counters;
    assert_eq!(
        (counters.discontinuities, counters.skipped_frames),
        (1, 149)
    );
    let video = run.of("v0");
    let back = video.iter().rposition(|segment| segment.gap).unwrap() + 1;
    let gaps = video.iter().filter(|segment| segment.gap).count();
    assert!((2..=4).contains(&gaps), "{gaps}");
    assert!(video[back].independent && !video[back].discontinuity);
    assert!(
        run.lengths("a1").iter().all(|length| *length < 2.3),
        "{:?}",
        run.lengths("a1")
    );
}

#[test]
fn frames_that_become_longer_than_a_part_do_not_leave_time_behind() {
    // A shared screen: 30 pictures a second, then two, then 30 again.
    let mut pictures = Pictures::new((30, 1), 60, 60.0);
    pictures.keep = |n| !(450..1_200).contains(&n) || n.is_multiple_of(15);
    pictures.reordered = false;
    let scene = Scene::new(Some(pictures), Some(Sound::new(48_000, 60.0)));
    let run = scene.run();
    let (samples, sent) = (run.samples("v0"), scene.frames(VIDEO));
    assert_eq!(samples.len(), sent.len());
    for (sample, sent) in samples.iter().zip(&sent) {
        assert_eq!(sample.pts, sent.pts);
        // A second of lag is mended; a part's length may come on top.
        let lag = sent.dts - sample.dts;
        assert!(
            (0..90_000 * 13 / 10).contains(&lag),
            "{lag} at {}",
            sent.dts
        );
    }
    let last = samples.last().unwrap();
    assert_eq!(last.dts, sent.last().unwrap().dts);
    assert!(
        run.last.counters.discontinuities < 30,
        "{:?}",
        run.last.counters
    );
}
