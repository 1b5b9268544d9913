//! Joining: configurations, the current GOP and live are one sequence.

use super::*;
use crate::JoinAt;

#[test]
fn a_reader_from_the_start_reads_everything() {
    let (mut publisher, handle) = stream(BusConfig::default());
    let mut reader = handle.subscribe();
    publish(&mut publisher, "tv ta V0 a1 v2 a3 V4");
    assert_eq!(read(&mut reader), "tv ta V0 a1 v2 a3 V4");
    publish(&mut publisher, "v5");
    assert_eq!(read(&mut reader), "v5");
}

#[test]
fn a_reader_that_joins_in_mid_gop_reads_configurations_then_the_gop_then_live() {
    let (mut publisher, handle) = stream(BusConfig::default());
    publish(&mut publisher, "tv ta V0 a1 v2 V3 a4 v5");
    let (mut raw, mut resilient) = (handle.subscribe(), handle.subscribe_resilient());
    publish(&mut publisher, "a6 v7");
    for text in [read(&mut raw), read(&mut resilient)] {
        assert_eq!(text, "tv ta V3 a4 v5 a6 v7");
    }
    assert_eq!(raw.position(), resilient.position());
}

#[test]
fn a_join_reads_on_through_many_blocks() {
    let (mut publisher, handle) = stream(BusConfig::default());
    publish_video(&mut publisher, 0..700, 300);
    let mut reader = handle.subscribe();
    assert_video(&mut reader, 600..700, 300);
    publish_video(&mut publisher, 700..1_000, 300);
    assert_video(&mut reader, 700..1_000, 300);
}

#[test]
fn a_join_at_live_has_nothing_before_it() {
    let (mut publisher, handle) = stream(BusConfig::default());
    publish(&mut publisher, "tv ta V0 v1");
    let mut reader = handle.subscribe_at(JoinAt::Live);
    assert_eq!(read(&mut reader), "");
    publish(&mut publisher, "v2 a3 tv1 V4");
    assert_eq!(read(&mut reader), "v2 a3 tv1 V4");
}

#[test]
fn a_join_at_the_configurations_has_them_and_then_live() {
    let (mut publisher, handle) = stream(BusConfig::default());
    publish(&mut publisher, "tv ta V0 tv1 V1 v2");
    let mut reader = handle.subscribe_at(JoinAt::Configs);
    assert_eq!(read(&mut reader), "tv1 ta");
    publish(&mut publisher, "v3 ta2 a4");
    assert_eq!(read(&mut reader), "v3 ta2 a4");
}

#[test]
fn a_configuration_that_changes_within_the_gop_stands_in_its_place() {
    let (mut publisher, handle) = stream(BusConfig::default());
    publish(&mut publisher, "tv ta V0 a1 ta2 a3 v4");
    assert_eq!(read(&mut handle.subscribe()), "tv ta V0 a1 ta2 a3 v4");
    publish(&mut publisher, "V5 a6");
    assert_eq!(read(&mut handle.subscribe()), "tv ta2 V5 a6");
}

#[test]
fn a_track_announced_within_the_gop_stands_in_its_place() {
    let (mut publisher, handle) = stream(BusConfig::default());
    publish(&mut publisher, "tv V0 v1 ta a2");
    assert_eq!(read(&mut handle.subscribe()), "tv V0 v1 ta a2");
    publish(&mut publisher, "V3");
    assert_eq!(read(&mut handle.subscribe()), "tv ta V3");
}

#[test]
fn an_equal_configuration_is_not_put_twice() {
    let (mut publisher, handle) = stream(BusConfig::default());
    let mut reader = handle.subscribe();
    assert!(publisher.publish_track(video(VIDEO)).unwrap());
    assert!(!publisher.publish_track(video(VIDEO)).unwrap());
    assert!(publisher.publish_track(changed(video(VIDEO), "1")).unwrap());
    assert_eq!(read(&mut reader), "tv tv1");
}

#[test]
fn the_join_point_is_the_keyframe_of_the_primary_video_track() {
    let (mut publisher, handle) = stream(BusConfig::default());
    publish(&mut publisher, "tv tw ta V0 W1 v2 w3 W4 a5");
    // The raw view hides nothing behind the join point.
    assert_eq!(read(&mut handle.subscribe()), "tv tw ta V0 W1 v2 w3 W4 a5");
    publish(&mut publisher, "V6 w7 a8 W9 w10");
    assert_eq!(read(&mut handle.subscribe()), "tv tw ta V6 w7 a8 W9 w10");
    // Other video tracks start at their own next keyframe.
    assert_eq!(
        read(&mut handle.subscribe_resilient()),
        "tv tw ta V6 a8 W9 w10"
    );
}

#[test]
fn the_first_announced_video_track_is_the_primary_one() {
    let (mut publisher, handle) = stream(BusConfig::default());
    publish(&mut publisher, "tw tv W0 V1 v2 w3");
    assert_eq!(read(&mut handle.subscribe()), "tw tv W0 V1 v2 w3");
    assert_eq!(handle.tracks()[0].id, SECOND_VIDEO);
}

#[test]
fn a_stream_that_starts_without_a_keyframe_is_joined_at_the_first_one() {
    let (mut publisher, handle) = stream(BusConfig::default());
    publish(&mut publisher, "tv ta a0 v1");
    let mut reader = handle.subscribe_resilient();
    publish(&mut publisher, "v2 a3 V4 a5");
    assert_eq!(read(&mut reader), "tv ta V4 a5");
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_pictures_is_joined_at_intervals() {
    let (mut publisher, handle) = stream(BusConfig::default());
    publish(&mut publisher, "ta a0 a1");
    assert_eq!(read(&mut handle.subscribe_resilient()), "ta a0 a1");
    tokio::time::advance(Duration::from_millis(999)).await;
    publish(&mut publisher, "a2");
    assert_eq!(read(&mut handle.subscribe_resilient()), "ta a0 a1 a2");
    tokio::time::advance(Duration::from_millis(1)).await;
    publish(&mut publisher, "a3 a4");
    assert_eq!(read(&mut handle.subscribe_resilient()), "ta a3 a4");
}

#[test]
fn a_video_track_that_comes_later_becomes_the_primary_one() {
    let (mut publisher, handle) = stream(BusConfig::default());
    let mut first = handle.subscribe_resilient();
    publish(&mut publisher, "ta a0 a1 tv v2 a3");
    // Until its first keyframe the sound is there to join at.
    assert_eq!(read(&mut handle.subscribe_resilient()), "ta a0 a1 tv a3");
    publish(&mut publisher, "V4 a5 v6");
    assert_eq!(read(&mut handle.subscribe_resilient()), "ta tv V4 a5 v6");
    assert_eq!(read(&mut first), "ta a0 a1 tv a3 V4 a5 v6");
}

#[tokio::test(start_paused = true)]
async fn a_video_track_that_never_sends_does_not_keep_the_sound_from_starting() {
    let (mut publisher, handle) = stream(BusConfig::default());
    publish(&mut publisher, "tv ta a0 a1");
    let mut reader = handle.subscribe_resilient();
    assert_eq!(read(&mut reader), "tv ta");
    tokio::time::advance(Duration::from_secs(2)).await;
    publish(&mut publisher, "a2 a3");
    assert_eq!(read(&mut reader), "a2 a3");
    publish(&mut publisher, "V4 a5");
    assert_eq!(read(&mut handle.subscribe_resilient()), "tv ta V4 a5");
}

#[test]
fn a_stream_whose_tracks_nobody_announced_is_joined_at_keyframes() {
    let (mut publisher, handle) = stream(BusConfig::default());
    publish(&mut publisher, "v0 V1 v2");
    assert_eq!(read(&mut handle.subscribe()), "V1 v2");
}

#[test]
fn without_a_gop_cache_a_reader_waits_for_the_next_keyframe() {
    let (mut publisher, handle) = stream(uncached());
    publish(&mut publisher, "tv V0 v1");
    let mut reader = handle.subscribe_resilient();
    let mut raw = handle.subscribe();
    assert_eq!(read(&mut reader), "tv");
    publish(&mut publisher, "v2 tv3 v3 V4 v5");
    assert_eq!(read(&mut reader), "tv3 V4 v5");
    assert_eq!(read(&mut raw), "tv3 V4 v5".replace("tv3", "tv tv3"));
    assert_eq!((reader.dropped(), raw.dropped()), (0, 0));
}

#[test]
fn the_replay_buffer_has_configurations_first_and_none_twice() {
    let (mut publisher, handle) = stream(BusConfig::default());
    publish(&mut publisher, "tv ta V0 v1 tv2 V2 a3 v4");
    let words: Vec<_> = handle
        .replay_buffer()
        .iter()
        .map(|entry| match entry {
            crate::BusEntry::Frame(frame) => frame_word(frame),
            crate::BusEntry::Track(track) => track_word(track),
            crate::BusEntry::Discontinuity(_) => "break".to_owned(),
        })
        .collect();
    assert_eq!(words.join(" "), "tv2 ta V2 a3 v4");
    assert_eq!(handle.subscriber_count(), 0);
    let configs: Vec<_> = handle
        .cached_configs()
        .iter()
        .map(|track| track_word(track))
        .collect();
    assert_eq!(configs.join(" "), "tv2 ta");
}
