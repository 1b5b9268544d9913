//! Tracks that CMAF does not carry here: the others are cut as if they were
//! not there.

use rillcast_core::{AudioParams, Codec, MediaParams, Timescale, Track, TrackId, VideoParams};

use super::*;
use crate::cmaf::{Refusal, not_packaged};
use crate::codec;

const OTHER: TrackId = TrackId(2);

const SPEEX: Codec = Codec::new(*b"spex");

fn sound_of(codec: Codec) -> Track {
    let timescale = Timescale::new(48_000).unwrap();
    let params = MediaParams::Audio(AudioParams::new(48_000, 6));
    Track::new(OTHER, codec, timescale, params)
}

fn pictures_of(codec: Codec) -> Track {
    let params = MediaParams::Video(VideoParams::new(1_280, 720));
    Track::new(OTHER, codec, Timescale::VIDEO, params)
}

/// The same frames, as a track of another codec, described twice.
fn foreign(mut scene: Scene, track: &Track) -> Scene {
    for (_, event) in &mut scene.events {
        if let Event::Track(known) = event {
            *known = track.clone();
        }
    }
    scene.push(3.0, Event::Track(track.clone()));
    scene
}

fn together(scene: &Scene, other: Scene) -> Scene {
    let mut both = scene.clone();
    both.events.extend(other.events);
    both
}

/// The bytes of all segments, by track and number.
fn bytes(run: &Run) -> Vec<(&(String, u64), Vec<u8>)> {
    let whole = run.segments.iter().map(|(name, segment)| {
        let slices = segment.parts.iter().map(|part| part.slices.concat());
        (name, slices.collect::<Vec<_>>().concat())
    });
    whole.collect()
}

fn check(name: &str, scene: &Scene, other: Scene) {
    let alone = scene.run();
    let both = together(scene, other).run();
    assert!(!alone.segments.is_empty(), "{name}");
    assert!(bytes(&alone) == bytes(&both), "{name}: the cut differs");
    let names = |run: &Run| -> Vec<_> {
        let tracks = run.last.tracks.iter();
        tracks.map(|track| track.name.to_string()).collect()
    };
    assert_eq!(names(&alone), names(&both), "{name}");
    assert_eq!(alone.last.target_duration, both.last.target_duration);
    assert_eq!(alone.last.counters.skipped_frames, 0, "{name}");
    assert!(both.last.counters.skipped_frames > 0, "{name}");
    // Parts come as soon as without it.
    assert!(both.part_delay <= alone.part_delay, "{name}");
}

#[test]
fn the_other_tracks_are_cut_as_if_it_were_not_there() {
    let mut sound = Sound::new(48_000, 20.0);
    sound.track = OTHER;
    let mut pictures = Pictures::new((30, 1), 45, 20.0);
    pictures.track = OTHER;
    let video = Scene::new(Some(Pictures::new((25, 1), 50, 20.0)), None);
    let audio = Scene::new(None, Some(Sound::new(48_000, 20.0)));
    for codec in [codec::MP2, SPEEX] {
        let other = foreign(Scene::new(None, Some(sound.clone())), &sound_of(codec));
        check(&format!("H.264 and {codec}"), &video, other);
    }
    let other = foreign(Scene::new(Some(pictures), None), &pictures_of(codec::VVC));
    check("H.266 and AAC", &audio, other.clone());
    let both = together(&video, audio);
    check("H.264, AAC and H.266", &both, other);
}

#[test]
fn a_stream_of_nothing_else_is_not_packaged_and_keeps_nothing() {
    let mut sound = Sound::new(48_000, 20.0);
    sound.track = OTHER;
    let mut scene = foreign(Scene::new(None, Some(sound)), &sound_of(codec::MP2));
    for at in 0..1_000 {
        let track = sound_of([codec::MP2, SPEEX][at % 2]);
        scene.push(20.0, Event::Track(track));
    }
    let run = scene.run_open(CmafConfig::default());
    assert_eq!(run.last.state, State::Refused(Refusal::NoTrack));
    assert!(Refusal::NoTrack.reason().contains("send H.264 or AAC"));
    assert_eq!(run.last.memory, 0);
    assert!(run.segments.is_empty());
}

#[test]
fn it_wakes_nobody_once_the_others_are_cut() {
    let mut scene = Scene::new(
        Some(Pictures::new((25, 1), 50, 10.0)),
        Some(Sound::new(48_000, 10.0)),
    );
    scene.push(0.0, Event::Track(sound_of(codec::MP2)));
    let run = scene.run_open(CmafConfig::default());
    let interest = run.segmenter.interest();
    assert!(!interest.wants(OTHER, 48_000 * 3_600, true));
    assert!(interest.wants(VIDEO, i64::MAX, false));
    assert!(
        interest.wants(TrackId(3), 0, true),
        "one that is not known yet"
    );
}

#[test]
fn a_track_that_changes_to_a_codec_that_is_carried_joins() {
    let mut scene = Scene::new(Some(Pictures::new((25, 1), 50, 30.0)), None);
    scene.push(0.0, Event::Track(sound_of(codec::MP2)));
    let mut sound = Sound::new(48_000, 30.0);
    (sound.from, sound.track) = (10.0, OTHER);
    let run = scene.with_sound(&sound).run();
    let names: Vec<&str> = run.last.tracks.iter().map(|track| &*track.name).collect();
    assert_eq!(names, ["v0", "a2"]);
}

#[test]
fn what_is_left_out_says_so_in_a_sentence() {
    for (track, want) in [
        (
            sound_of(codec::MP2),
            Some("MP2 is not packaged; send AAC for viewers to hear it"),
        ),
        (
            pictures_of(codec::VVC),
            Some("H.266 is not packaged; send H.264 for viewers to see it"),
        ),
        (super::scene::video_track(VIDEO), None),
        (super::scene::audio_track(AUDIO, 48_000), None),
    ] {
        assert_eq!(not_packaged(&track).as_deref(), want);
    }
}
