//! The segmenter on synthetic streams: one table for what an encoder may do,
//! and the cases that need more than a row.

mod breaks;
mod codecs;
mod foreign;
mod interest;
mod random;
pub(super) mod scene;
mod together;
mod whole;

use std::collections::BTreeMap;
use std::time::Duration;

use mp4_atom::{Decode, Prft, Styp};
use rillcast_core::{ByteSize, HumanDuration};

use super::*;
use scene::{AUDIO, Event, Pictures, Run, Scene, Sound, VIDEO};

/// So many random streams, or `PROPTEST_CASES` for a long run.
fn cases(usual: u32) -> proptest::test_runner::Config {
    let asked = std::env::var("PROPTEST_CASES").ok();
    let cases = asked.and_then(|cases| cases.parse().ok()).unwrap_or(usual);
    proptest::test_runner::Config {
        cases,
        max_shrink_iters: 2_000,
        // A case is worth a test of its own, not a line of random bytes.
        failure_persistence: None,
        ..Default::default()
    }
}

/// The date in a segment is that at which its first access unit came in, whose
/// presentation time stands beside it.
#[test]
fn segments_date_their_first_access_unit() {
    let (pictures, sound) = (Pictures::new((25, 1), 50, 12.0), Sound::new(48_000, 12.0));
    let scene = Scene::new(Some(pictures), Some(sound));
    let run = scene.run();
    for (name, track) in [("v0", VIDEO), ("a1", AUDIO)] {
        let came: BTreeMap<i64, f64> = scene
            .events
            .iter()
            .filter_map(|(at, event)| match event {
                Event::Frame(sent) if sent.track == track => Some((sent.pts, *at)),
                _ => None,
            })
            .collect();
        let segments = run.of(name);
        assert!(segments.len() > 4);
        for segment in segments {
            let [first, others @ ..] = &segment.parts[..] else {
                panic!("a segment without parts");
            };
            let mut header = &first.slices[0][..];
            Styp::decode(&mut header).unwrap();
            let date = Prft::decode(&mut header).unwrap();
            // Scenes begin at second 1,700,000,000 of Unix.
            let seconds = (date.ntp_timestamp as f64) / 2_f64.powi(32) - 3_908_988_800.0;
            let at = came[&i64::try_from(date.media_time).unwrap()];
            assert!((seconds - at).abs() < 1e-5, "{name}: {seconds} for {at}");
            for part in others {
                assert_eq!(part.slices[0][4..8], *b"moof");
            }
        }
    }
}

#[test]
fn every_usual_stream_is_cut_evenly_and_exactly() {
    // Rate, frames in a GOP, target duration, frames in a part of 200 ms.
    for (fps, gop, target, frames) in [
        ((24_000, 1_001), 48, 3, 5),
        ((25, 1), 50, 2, 5),
        ((25, 1), 25, 2, 5),
        ((25, 1), 12, 2, 5),
        ((30_000, 1_001), 60, 3, 6),
        ((30_000, 1_001), 30, 2, 6),
        ((50, 1), 100, 2, 10),
        ((60_000, 1_001), 120, 3, 12),
        ((120, 1), 240, 2, 24),
        ((10, 1), 20, 2, 2),
        ((25, 1), 200, 8, 5),
    ] {
        for rate in [44_100, 48_000] {
            for rounded in [true, false] {
                let what = format!("{fps:?} gop {gop} {rate} Hz rounded {rounded}");
                let mut pictures = Pictures::new(fps, gop, 40.0);
                pictures.rounded = rounded;
                let scene = Scene::new(Some(pictures), Some(Sound::new(rate, 40.0)));
                let run = scene.run();
                assert_eq!(run.last.target_duration.as_secs(), target, "{what}");
                run.check_exact("v0", &scene, VIDEO);
                run.check_exact("a1", &scene, AUDIO);
                let counters = run.last.counters;
                let clean = Counters {
                    segments: counters.segments,
                    ..Counters::default()
                };
                assert_eq!(counters, clean, "{what}");
                let video = run.of("v0");
                let whole = &video[..video.len() - 1];
                for segment in whole {
                    assert!(segment.independent, "{what}: {}", segment.number);
                    // All parts but those at a keyframe or the end are full.
                    for pair in segment.parts.windows(2) {
                        if !pair[1].independent {
                            assert_eq!(pair[0].samples, frames, "{what}");
                        }
                    }
                }
                check_alignment(&run, &what);
                let [video, audio] = ["v0", "a1"].map(|name| run.last.track(name).unwrap());
                let targets = [video, audio].map(|track| track.part_target_duration);
                assert!(targets[1] <= targets[0], "{what}: {targets:?}");
                assert_eq!(audio.part_target % 1_024, 0, "{what}");
                assert!(run.part_delay < 0.15, "{what}: {}", run.part_delay);
            }
        }
    }
}

/// Audio segments begin within a frame of the video's presentation.
fn check_alignment(run: &Run, what: &str) {
    let (video, audio) = (run.of("v0"), run.of("a1"));
    for audio in audio.iter().skip(1) {
        let Some(video) = video.iter().find(|video| video.number == audio.number) else {
            continue;
        };
        let apart = Duration::from_nanos(audio.time.abs_diff(video.time));
        assert!(
            apart < Duration::from_millis(25),
            "{what}: {apart:?} in {}",
            audio.number
        );
    }
}

#[test]
fn gops_of_twelve_seconds_set_the_target_duration() {
    for fps in [(25_u32, 1_u32), (30_000, 1_001)] {
        let gop = (fps.0 * 12).div_ceil(fps.1);
        let scene = Scene::new(
            Some(Pictures::new(fps, gop, 61.0)),
            Some(Sound::new(48_000, 61.0)),
        );
        let run = scene.run();
        assert!((12..=13).contains(&run.last.target_duration.as_secs()));
        assert_eq!(run.last.counters.long_gops, 0);
        assert!(run.lengths("v0")[..4].iter().all(|length| *length > 11.9));
        run.check_exact("v0", &scene, VIDEO);
        run.check_exact("a1", &scene, AUDIO);
    }
}

#[test]
fn without_a_second_keyframe_segments_are_cut_at_max_gop() {
    let scene = Scene::new(
        Some(Pictures::new((25, 1), 0, 60.0)),
        Some(Sound::new(48_000, 60.0)),
    );
    let run = scene.run();
    assert_eq!(run.last.target_duration.as_secs(), 12);
    assert_eq!(run.last.counters.long_gops, 4);
    assert!(run.lengths("v0")[..4].iter().all(|length| *length > 11.9));
    let independent: Vec<bool> = run.of("v0").iter().map(|s| s.independent).collect();
    assert_eq!(independent, [true, false, false, false, false]);
    run.check_exact("v0", &scene, VIDEO);
    check_alignment(&run, "no second keyframe");
}

#[test]
fn a_later_gop_that_is_longer_is_cut_on_no_keyframe_and_counted() {
    let two = Pictures::new((25, 1), 50, 10.0);
    let mut long = Pictures::new((25, 1), 0, 30.0);
    long.from = 10.0;
    let scene = Scene::new(Some(two), Some(Sound::new(48_000, 30.0))).with_pictures(&long);
    let run = scene.run();
    assert_eq!(run.last.target_duration.as_secs(), 2);
    assert!(run.last.counters.long_gops >= 8, "{:?}", run.last.counters);
    run.check_exact("v0", &scene, VIDEO);
    run.check_exact("a1", &scene, AUDIO);
}

#[test]
fn the_first_playlist_waits_for_the_second_keyframe() {
    let scene = Scene::new(
        Some(Pictures::new((25, 1), 75, 20.0)),
        Some(Sound::new(48_000, 20.0)),
    );
    let mut run = Run::new(CmafConfig::default());
    for (at, event) in scene.sorted().events {
        run.feed(at, event);
        let live = run.last.state == State::Live;
        assert_eq!(live, at >= 3.0, "{at}: {:?}", run.last.state);
        assert_eq!(live, run.last.target_duration.as_secs() == 3);
    }
}

#[test]
fn variable_frame_rates_keep_the_rules_of_parts() {
    // Pictures left out by no regular pattern.
    let keep = |n: u32| n.is_multiple_of(60) || n.wrapping_mul(2_654_435_761) >> 30 != 0;
    let mut pictures = Pictures::new((30, 1), 60, 60.0);
    pictures.keep = keep;
    pictures.reordered = false;
    let scene = Scene::new(Some(pictures), Some(Sound::new(44_100, 60.0)));
    let run = scene.run();
    run.check_exact("v0", &scene, VIDEO);
    run.check_exact("a1", &scene, AUDIO);
    assert_eq!(run.last.counters.short_parts, 0, "{:?}", run.last.counters);
}

#[test]
fn a_frame_that_an_encoder_dropped_ends_at_most_one_segment() {
    for dropped in 0..6 {
        let keeps: [fn(u32) -> bool; 6] = [
            |n| n != 210,
            |n| n != 211,
            |n| n != 212,
            |n| n != 213,
            |n| n != 214,
            |n| n != 215,
        ];
        let mut pictures = Pictures::new((30, 1), 60, 20.0);
        pictures.keep = keeps[dropped];
        let scene = Scene::new(Some(pictures), Some(Sound::new(48_000, 20.0)));
        let run = scene.run();
        run.check_exact("v0", &scene, VIDEO);
        assert!(run.last.counters.short_parts <= 1, "{dropped}");
        assert_eq!(run.last.counters.moved_samples, 0, "{dropped}");
    }
}

#[test]
fn audio_alone_is_cut_by_its_own_clock() {
    for rate in [8_000, 22_050, 44_100, 48_000] {
        let scene = Scene::new(None, Some(Sound::new(rate, 60.0)));
        let run = scene.run();
        assert_eq!(run.last.target_duration.as_secs(), 2);
        run.check_exact("a1", &scene, AUDIO);
        let lengths = run.lengths("a1");
        let (last, whole) = lengths.split_last().unwrap();
        assert!(*last <= 2.0);
        assert!(
            whole.iter().all(|length| *length <= 2.0 && *length > 1.8),
            "{lengths:?}"
        );
        assert!(run.last.primary().unwrap().primary);
    }
}

#[test]
fn video_alone_is_cut_at_its_keyframes() {
    let scene = Scene::new(Some(Pictures::new((25, 1), 50, 60.0)), None);
    let run = scene.run();
    run.check_exact("v0", &scene, VIDEO);
    assert!(
        run.lengths("v0")
            .iter()
            .all(|length| (*length - 2.0).abs() < 1e-9)
    );
    assert_eq!(run.last.tracks.len(), 1);
}

#[test]
fn audio_that_starts_late_joins_at_a_later_number() {
    let mut sound = Sound::new(48_000, 20.0);
    sound.from = 3.0;
    let scene = Scene::new(Some(Pictures::new((25, 1), 50, 20.0)), Some(sound));
    let run = scene.run();
    run.check_exact("v0", &scene, VIDEO);
    run.check_exact("a1", &scene, AUDIO);
    let first = run.of("a1")[0];
    assert_eq!((first.number, first.discontinuity), (2, false));
    assert_eq!(run.last.counters.discontinuities, 0);
    let names: Vec<&str> = run.last.tracks.iter().map(|track| &*track.name).collect();
    assert_eq!(names, ["v0", "a1"]);
    check_alignment(&run, "late audio");
}

#[test]
fn video_that_comes_to_audio_takes_the_lead_at_a_keyframe() {
    let mut pictures = Pictures::new((25, 1), 50, 30.0);
    pictures.from = 10.0;
    let scene = Scene::new(Some(pictures), Some(Sound::new(48_000, 30.0)));
    // The track is described when its first frame comes.
    let run = scene.run();
    let primary = run.last.primary().unwrap();
    assert_eq!(&*primary.name, "v0");
    assert_eq!(&*run.last.tracks[0].name, "v0");
    let first = run.of("v0")[0];
    assert!(first.independent);
    assert_eq!(run.last.counters.discontinuities, 0);
    // Its first GOP was measured, not packaged.
    assert_eq!(run.last.counters.skipped_frames, 50);
    run.check_exact("a1", &scene, AUDIO);
    let late: Vec<_> = run
        .of("a1")
        .into_iter()
        .filter(|s| s.number > first.number)
        .collect();
    assert!(late.len() > 5);
    check_alignment(&run, "late video");
}

#[test]
fn interleaving_by_up_to_a_second_moves_no_frame() {
    for skew in [-0.9, -0.3, 0.3, 0.9] {
        let mut scene = Scene::new(
            Some(Pictures::new((25, 1), 50, 30.0)),
            Some(Sound::new(48_000, 30.0)),
        );
        for (at, event) in &mut scene.events {
            if matches!(event, Event::Frame(sent) if sent.track == AUDIO) {
                *at = (*at + skew).max(0.0);
            }
        }
        let run = scene.run();
        run.check_exact("v0", &scene, VIDEO);
        run.check_exact("a1", &scene, AUDIO);
        check_alignment(&run, &format!("skew {skew}"));
    }
}

#[test]
fn what_leaves_the_listing_is_held_for_as_long_again() {
    let config = CmafConfig {
        window: HumanDuration::from_secs(8),
        ..CmafConfig::default()
    };
    let scene = Scene::new(
        Some(Pictures::new((25, 1), 50, 60.0)),
        Some(Sound::new(48_000, 60.0)),
    );
    let run = scene.run_open(config);
    let track = run.last.track("v0").unwrap();
    let listed = track.listed();
    assert!((4..=5).contains(&listed.len()), "{}", listed.len());
    // Listed, as long again, and for its own duration.
    assert!((2 * listed.len()..=2 * listed.len() + 2).contains(&track.segments.len()));
    assert_eq!(listed[0].number, track.first_listed);
    assert!((8..=10).contains(&run.last.listed_duration().as_secs()));
    let audio = run.last.track("a1").unwrap();
    assert_eq!(audio.listed()[0].number, track.first_listed);
}

#[test]
fn memory_shortens_the_listing_and_then_refuses_the_stream() {
    // 25 pictures a second of so many bytes, keyframes four times that.
    for (bytes, state, segments) in [
        (10_000, "live", 15..=16),
        (80_000, "live", 3..=8),
        (400_000, "not packaged", 0..=0),
    ] {
        let mut pictures = Pictures::new((25, 1), 50, 90.0);
        pictures.bytes = bytes;
        let scene = Scene::new(Some(pictures), Some(Sound::new(48_000, 90.0)));
        let config = CmafConfig {
            memory: ByteSize::mib(40),
            ..CmafConfig::default()
        };
        let mut run = Run::new(config);
        for (at, event) in scene.sorted().events {
            run.feed(at, event);
            // One keyframe may be pending on top.
            assert!(run.last.memory <= 42 << 20, "{} at {at}", run.last.memory);
        }
        assert_eq!(run.last.state.name(), state, "{bytes}");
        let track = run.last.track("v0").unwrap();
        assert!(
            segments.contains(&track.listed().len()),
            "{bytes}: {}",
            track.listed().len()
        );
    }
}

#[test]
fn a_refused_stream_is_packaged_again_once_it_fits() {
    let mut big = Pictures::new((25, 1), 50, 20.0);
    big.bytes = 400_000;
    let mut small = Pictures::new((25, 1), 50, 60.0);
    small.from = 20.0;
    let scene = Scene::new(Some(big), Some(Sound::new(48_000, 60.0))).with_pictures(&small);
    let config = CmafConfig {
        memory: ByteSize::mib(40),
        ..CmafConfig::default()
    };
    let mut refused = false;
    let mut run = Run::new(config);
    for (at, event) in scene.sorted().events {
        run.feed(at, event);
        refused |= run.last.state == State::Refused(Refusal::Memory);
    }
    assert!(refused);
    assert_eq!(run.last.state, State::Live);
    assert!(run.last.track("v0").unwrap().listed().len() > 5);
}

#[test]
fn dates_are_the_sessions_anchor_plus_stream_time() {
    let scene = Scene::new(
        Some(Pictures::new((25, 1), 50, 20.0)),
        Some(Sound::new(48_000, 20.0)),
    );
    let run = scene.run();
    let wall = std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    assert_eq!(run.last.anchor, Some(wall - Duration::from_secs(10)));
    for segment in run.of("v0") {
        let date = run.last.program_date_time(segment).unwrap();
        // Presented one picture after it is decoded.
        let since = date.duration_since(wall).unwrap();
        let wanted = Duration::from_secs(2 * (segment.number - 1)) + Duration::from_millis(40);
        assert_eq!(since, wanted);
    }
}

#[test]
fn what_is_measured_is_true() {
    for (fps, want) in [
        ((25, 1), 25.0),
        ((30_000, 1_001), 29.97),
        ((60_000, 1_001), 59.94),
    ] {
        let mut pictures = Pictures::new(fps, 60, 30.0);
        pictures.bytes = 5_000;
        let scene = Scene::new(Some(pictures), Some(Sound::new(48_000, 30.0)));
        let run = scene.run();
        let video = run.last.track("v0").unwrap();
        let rate = video.frame_rate.unwrap().as_f64();
        assert!((rate - want).abs() < 0.001, "{rate}");
        let bits = scene
            .frames(VIDEO)
            .iter()
            .map(|f| f.payload.len())
            .sum::<usize>()
            * 8;
        let mean = bits as f64 / 30.0;
        let average = video.bit_rate.average as f64;
        assert!(
            average > mean && average < mean * 1.03,
            "{average} for {mean}"
        );
        assert!(video.bit_rate.peak >= video.bit_rate.average);
        let audio = run.last.track("a1").unwrap();
        assert_eq!(audio.frame_rate, None);
        assert!(
            (75_000..88_000).contains(&audio.bit_rate.average),
            "{:?}",
            audio.bit_rate
        );
    }
}

#[test]
fn a_step_of_the_audio_clock_keeps_all_rules() {
    for part in [100, 200] {
        for step in [-1_920_i64, -300, 300, 1_920, 14_400] {
            let mut scene = Scene::new(
                Some(Pictures::new((25, 1), 50, 30.0)),
                Some(Sound::new(48_000, 30.0)),
            );
            let mut moved = 0_i64;
            let mut last = 0;
            for (at, event) in &mut scene.events {
                if let Event::Frame(sent) = event
                    && sent.track == AUDIO
                {
                    if *at > 10.01 {
                        moved = step;
                    }
                    // As the timeline does: back in steps of half a frame.
                    let dts = (sent.dts + moved).max(last + 512);
                    (sent.dts, sent.pts) = (dts, dts);
                    last = dts;
                }
            }
            let config = CmafConfig {
                part_duration: HumanDuration::from_millis(part),
                ..CmafConfig::default()
            };
            let run = scene.run_with(config);
            let samples = run.samples("a1");
            let sent = scene.frames(AUDIO);
            assert_eq!(samples.len(), sent.len());
            let mut sum = 0;
            for (sample, sent) in samples.iter().zip(sent) {
                assert_eq!(sample.pts, sent.pts, "step {step} in parts of {part} ms");
                sum += i64::from(sample.duration);
            }
            assert_eq!(samples[0].dts + sum, samples.last().unwrap().dts + 1_024);
            run.check_exact("v0", &scene, VIDEO);
        }
    }
}

#[test]
fn a_stream_that_no_container_carries_says_so() {
    let mut run = Run::new(CmafConfig::default());
    let track = rillcast_core::Track::new(
        VIDEO,
        rillcast_core::Codec::new(*b"xxxx"),
        rillcast_core::Timescale::VIDEO,
        rillcast_core::MediaParams::Video(rillcast_core::VideoParams::default()),
    );
    run.feed(0.0, Event::Track(track));
    assert_eq!(run.last.state, State::Refused(Refusal::NoTrack));
    run.feed(0.1, Event::Track(scene::audio_track(AUDIO, 48_000)));
    assert_eq!(run.last.state, State::Waiting);
}

#[test]
fn a_stream_shorter_than_a_gop_can_be_played_once_it_has_ended() {
    let scene = Scene::new(
        Some(Pictures::new((25, 1), 250, 3.0)),
        Some(Sound::new(48_000, 3.0)),
    );
    let run = scene.run();
    assert!(run.last.is_ended());
    run.check_exact("v0", &scene, VIDEO);
    run.check_exact("a1", &scene, AUDIO);
    assert_eq!(run.last.target_duration.as_secs(), 3);
}

#[test]
fn several_tracks_of_a_kind_share_the_cut() {
    let mut second = Pictures::new((30, 1), 60, 20.0);
    second.track = rillcast_core::TrackId(2);
    let mut other = Sound::new(44_100, 20.0);
    other.track = rillcast_core::TrackId(3);
    let scene = Scene::new(
        Some(Pictures::new((25, 1), 50, 20.0)),
        Some(Sound::new(48_000, 20.0)),
    )
    .with_pictures(&second)
    .with_sound(&other);
    let run = scene.run();
    let names: Vec<&str> = run.last.tracks.iter().map(|track| &*track.name).collect();
    assert_eq!(names, ["v0", "v2", "a1", "a3"]);
    for (name, track) in [("v0", 0), ("a1", 1), ("v2", 2), ("a3", 3)] {
        run.check_exact(name, &scene, rillcast_core::TrackId(track));
    }
    assert!(run.of("v2").iter().all(|segment| segment.independent));
}
