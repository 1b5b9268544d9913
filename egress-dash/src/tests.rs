//! Manifests of real windows: streams go through the segmenter, and every manifest
//! on the way is read back and held against the window and the one before.

mod edge;
mod laws;
mod scene;
mod schema;

use std::time::Duration;

use proptest::prelude::*;

use self::edge::Player;
use self::laws::Viewer;
use self::scene::{Gop, Scene, TRACKS};

fn gop() -> impl Strategy<Value = Gop> {
    let pause = prop::option::weighted(0.1, 1_001..20_000_u32);
    let frames = prop_oneof![4 => Just(50_u32), 1 => 1..400_u32];
    (frames, pause, prop::bool::weighted(0.05)).prop_map(|(frames, pause, changed)| Gop {
        frames,
        pause,
        changed,
    })
}

fn scene() -> impl Strategy<Value = Scene> {
    let fps = prop::sample::select(vec![
        (24_000, 1_001),
        (25, 1),
        (30_000, 1_001),
        (50, 1),
        (60_000, 1_001),
        (5, 1),
    ]);
    let audio = prop::option::weighted(0.8, prop_oneof![Just(0), 1..6_000_u32]);
    let gops = prop::collection::vec(gop(), 1..40);
    (
        fps,
        gops,
        audio,
        any::<bool>(),
        prop::bool::weighted(0.9),
        1..30_u64,
        -100..100_i64,
    )
        .prop_map(|(fps, gops, audio, commentary, video, window, ppm)| Scene {
            fps,
            gops,
            audio,
            commentary,
            video: video || audio.is_none(),
            window: Duration::from_secs(window),
            ppm,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn no_stream_shows_an_illegal_manifest(
        scene in scene(),
        low_latency: bool,
        latency in prop::option::of(200..30_000_u64),
    ) {
        let mut viewer = Viewer::new(low_latency);
        viewer.options.target_latency = latency.map(Duration::from_millis);
        scene.run(|moment| viewer.look(moment)).map_err(TestCaseError::fail)?;
        viewer.finish().map_err(TestCaseError::fail)?;
    }
}

/// Twelve seconds and more of an even stream.
fn even(fps: (u32, u32), frames: u32, gops: usize) -> Scene {
    let gop = Gop {
        frames,
        pause: None,
        changed: false,
    };
    Scene {
        fps,
        gops: vec![gop; gops],
        audio: Some(0),
        commentary: false,
        video: true,
        window: Duration::from_secs(30),
        ppm: 0,
    }
}

fn watch(scene: &Scene, low_latency: bool) -> Viewer {
    let mut viewer = Viewer::new(low_latency);
    scene.run(|moment| viewer.look(moment)).unwrap();
    viewer
}

/// Another sound is a choice beside the first one, by its name and language.
#[test]
fn a_second_sound_is_an_alternative() {
    let mut scene = even((25, 1), 50, 8);
    scene.commentary = true;
    let viewer = watch(&scene, true);
    let period = viewer.manifest().periods.last().unwrap();
    let sets: Vec<_> = period
        .adaptations
        .iter()
        .map(|set| {
            let labels: Vec<_> = set.Label.iter().map(|label| &*label.content).collect();
            let role = set.Role.first().and_then(|role| role.value.as_deref());
            (
                set.contentType.as_deref(),
                role,
                set.lang.as_deref(),
                labels,
            )
        })
        .collect();
    let (video, audio, main) = (Some("video"), Some("audio"), Some("main"));
    let want = [
        (video, main, None, vec![]),
        (audio, main, None, vec![]),
        (
            audio,
            Some("alternate"),
            Some("en"),
            vec!["The director & a guest"],
        ),
    ];
    assert_eq!(sets, want);
}

#[test]
fn five_even_segments_make_the_next_ones_known_before_they_are_there() {
    for (fps, frames, duration, timescale) in [
        ((25, 1), 50, 180_000, 90_000),
        ((30_000, 1_001), 60, 180_180, 90_000),
        ((24_000, 1_001), 48, 192_192, 96_000),
        ((60_000, 1_001), 120, 240_240, 120_000),
        ((30, 1), 50, 150_000, 90_000),
    ] {
        let scene = even(fps, frames, 20);
        let viewer = watch(&scene, true);
        let known = viewer.cadences();
        assert_eq!(known, [(duration, timescale)], "{fps:?}");
        assert_eq!(viewer.starts_of_periods(), [1, 6], "{fps:?}");
        // It was asked for every one of them when it was promised.
        assert!(viewer.promised() >= 13, "{fps:?}: {}", viewer.promised());
        // Where low latency is not wanted there is one Period.
        assert_eq!(watch(&scene, false).starts_of_periods(), [1], "{fps:?}");
    }
}

#[test]
fn a_gop_of_another_length_is_no_longer_promised_but_listed() {
    let mut scene = even((25, 1), 50, 30);
    scene.gops[12].frames = 60;
    let viewer = watch(&scene, true);
    // Segment 13 is longer, and 14 is what is left of the long GOP. The five behind
    // it show the cadence anew.
    assert_eq!(viewer.starts_of_periods(), [1, 6, 13, 20]);
}

#[test]
fn after_a_break_a_cadence_that_is_kept_need_not_be_shown_anew() {
    let mut scene = even((25, 1), 50, 24);
    scene.gops[12].pause = Some(5_000);
    let viewer = watch(&scene, true);
    let starts = viewer.starts_of_periods();
    assert_eq!(starts.len(), 3, "{starts:?}");
    assert_eq!(viewer.cadences().len(), 2);
}

#[test]
fn a_segment_that_a_break_cut_short_ends_its_period_and_no_cadence() {
    let mut scene = even((25, 1), 50, 24);
    scene.gops[12].frames = 20;
    scene.gops[13].pause = Some(2_500);
    let viewer = watch(&scene, true);
    // 13 is promised and read as part of the second Period, and stays there.
    assert_eq!(viewer.starts_of_periods(), [1, 6, 14]);
    assert_eq!(viewer.cadences().len(), 2);
}

#[test]
fn what_is_left_of_a_publisher_when_its_period_has_ended_is_no_period() {
    let mut scene = even((25, 1), 50, 24);
    // One picture of the next segment, which is known to be one when it stalls.
    scene.gops[12].frames = 1;
    scene.gops[13].pause = Some(2_500);
    let viewer = watch(&scene, true);
    assert_eq!(viewer.starts_of_periods(), [1, 6, 14]);
    assert_eq!(viewer.cadences().len(), 2);
}

#[test]
fn a_segment_that_is_short_without_a_break_is_the_last_that_was_promised() {
    let mut scene = even((25, 1), 50, 30);
    scene.gops[12].frames = 40;
    let viewer = watch(&scene, true);
    assert_eq!(viewer.starts_of_periods(), [1, 6, 14, 19]);
}

#[test]
fn a_configuration_of_its_own_is_a_period_of_its_own() {
    let mut scene = even((25, 1), 50, 12);
    scene.gops[6].changed = true;
    let viewer = watch(&scene, false);
    assert_eq!(viewer.starts_of_periods(), [1, 7]);
}

#[test]
fn media_time_that_leaves_arrival_time_is_laid_on_the_time_line_anew() {
    for ppm in [-2_000, 2_000] {
        // A tenth of a second is off after fifty.
        let mut scene = even((25, 1), 50, 90);
        scene.ppm = ppm;
        let viewer = watch(&scene, true);
        let starts = viewer.starts_of_periods();
        assert!((4..=6).contains(&starts.len()), "{ppm}: {starts:?}");
        assert!(viewer.promised() > 70, "{ppm}: {}", viewer.promised());
    }
}

#[test]
fn a_track_that_comes_later_is_in_a_period_of_its_own() {
    let mut scene = even((25, 1), 50, 12);
    scene.audio = Some(7_000);
    let viewer = watch(&scene, false);
    assert!(viewer.starts_of_periods().len() >= 2);
    assert_eq!(TRACKS.0.timescale.hz(), 90_000);
}

#[test]
fn each_segment_is_there_when_the_manifest_in_force_says_so() {
    // Ten minutes: an encoder's clock that is off, and a publisher that goes and comes.
    for (fps, frames, ppm) in [
        ((25, 1), 50, 100),
        ((25, 1), 50, -100),
        ((30_000, 1_001), 60, 100),
        ((60_000, 1_001), 120, -100),
    ] {
        for low_latency in [true, false] {
            let mut scene = even(fps, frames, 300);
            scene.ppm = ppm;
            scene.gops[150].pause = Some(1_200);
            scene.gops[200].pause = Some(7_000);
            let mut player = Player::new(low_latency);
            let what = format!("{fps:?}, {ppm} ppm, low latency {low_latency}");
            scene
                .run(|moment| player.look(moment))
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(player.read() >= 290, "{what}: {}", player.read());
            // Each track's first request after the publisher had gone, and no more.
            assert!(player.withdrawn <= 4, "{what}: {}", player.withdrawn);
            // Low latency is to be asked before there is anything.
            assert_eq!(player.held > 200, low_latency, "{what}: {}", player.held);
        }
    }
}
