//! Falling behind: an exact count, and a keyframe to go on at.

use super::*;
use crate::{JoinAt, MaxLag, PublishRequest, Registry, SubscriptionEnd};

#[test]
fn a_raw_reader_that_falls_behind_is_told_how_many_frames_it_missed() {
    let (mut publisher, handle) = stream(short());
    publish(&mut publisher, "tv");
    let mut reader = handle.subscribe();
    publish_video(&mut publisher, 0..10, 100);
    assert_eq!(tail(&read(&mut reader), 1), "v9");
    publish_video(&mut publisher, 10..720, 100);
    // A block is read to its end, the rest is missed up to the join point.
    let text = read(&mut reader);
    let lag = text
        .split(' ')
        .position(|word| word.starts_with("lag"))
        .unwrap();
    let words: Vec<_> = text.split(' ').collect();
    let last = count(words[lag - 1]);
    let skipped = count(words[lag]);
    assert_eq!(words[lag + 1], "V700");
    assert_eq!(last + 1 + skipped, 700);
    assert_eq!(words.last(), Some(&"v719"));
    assert_eq!(reader.dropped(), skipped as u64);
    assert_eq!(
        (handle.qos().lagged, handle.qos().dropped),
        (1, skipped as u64)
    );
}

#[test]
fn a_resilient_reader_goes_on_at_a_keyframe() {
    let (mut publisher, handle) = stream(BusConfig {
        gop_cache: 50,
        ..short()
    });
    publish(&mut publisher, "tv");
    let mut reader = handle.subscribe_resilient();
    publish_video(&mut publisher, 0..500, 100);
    // The GOP of now has outgrown the cache: nothing there to go on at.
    assert_eq!(tail(&read(&mut reader), 1), "v6");
    assert_eq!(handle.qos().keyframe_requests, 1);
    publish_video(&mut publisher, 500..502, 100);
    assert_eq!(read(&mut reader), "lag493 V500 v501");
    assert_eq!(reader.dropped(), 493);
}

#[test]
fn sound_goes_on_at_the_keyframe_too() {
    let (mut publisher, handle) = stream(BusConfig {
        gop_cache: 50,
        ..short()
    });
    publish(&mut publisher, "tv ta V0 a1");
    let mut reader = handle.subscribe_resilient();
    assert_eq!(read(&mut reader), "tv ta V0 a1");
    publish_video(&mut publisher, 2..300, 1_000);
    assert!(read(&mut reader).starts_with("v2 v3"));
    publish(&mut publisher, "a300 v301 a302");
    assert_eq!(read(&mut reader), "");
    publish(&mut publisher, "V303 a304");
    assert!(read(&mut reader).ends_with(" V303 a304"));
}

#[test]
fn what_other_video_tracks_sent_before_their_keyframe_is_left_out_after_a_lag() {
    let (mut publisher, handle) = stream(short());
    publish(&mut publisher, "tv tw V0 W1 w2");
    let mut reader = handle.subscribe_resilient();
    assert_eq!(read(&mut reader), "tv tw V0 W1 w2");
    publish_video(&mut publisher, 3..200, 40);
    publish(&mut publisher, "V200 w201 v202 W203 w204");
    let text = read(&mut reader);
    assert!(text.ends_with(" V200 v202 W203 w204"), "{text}");
}

#[test]
fn after_a_lag_come_the_configurations_that_changed_meanwhile() {
    let (mut publisher, handle) = stream(short());
    publish(&mut publisher, "tv ta V0");
    let mut reader = handle.subscribe_resilient();
    assert_eq!(read(&mut reader), "tv ta V0");
    publish_video(&mut publisher, 1..100, 1_000);
    publish(&mut publisher, "ta1");
    publish_video(&mut publisher, 100..200, 1_000);
    publish(&mut publisher, "V200 v201");
    publish_video(&mut publisher, 202..280, 1_000);
    let text = read(&mut reader);
    assert!(text.contains(" lag194 ta1 V200 v201 v202 "), "{text}");
    assert!(text.ends_with(" v279"), "{text}");
}

#[test]
fn a_reader_within_what_is_kept_misses_nothing() {
    let (mut publisher, handle) = stream(BusConfig {
        lag_frames: 500,
        ..BusConfig::default()
    });
    let mut reader = handle.subscribe();
    for round in 0..20 {
        publish_video(&mut publisher, round * 450..(round + 1) * 450, 10);
        assert_video(&mut reader, round * 450..(round + 1) * 450, 10);
    }
    assert_eq!(reader.dropped(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_for_slow_readers_is_bounded_by_its_age() {
    let (mut publisher, handle) = stream(BusConfig {
        lag_window: HumanDuration::from_secs(1),
        ..BusConfig::default()
    });
    let mut reader = handle.subscribe_at(JoinAt::Live);
    publish_video(&mut publisher, 0..100, 10);
    tokio::time::advance(Duration::from_secs(2)).await;
    publish_video(&mut publisher, 100..200, 10);
    let text = read(&mut reader);
    assert!(text.contains(" lag"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn eviction_is_by_what_was_missed_within_a_sliding_window() {
    let (mut publisher, handle) = stream(short());
    let max_lag = MaxLag::new(600, Duration::from_secs(10));
    let mut reader = handle.subscribe_resilient().max_lag(Some(max_lag));
    let mut next = 0;
    let mut fall_behind = |reader: &mut ResilientSubscription| {
        publish_video(&mut publisher, next..next + 300, 10);
        next += 300;
        read(reader)
    };
    // Up to 300 frames each time, for hours: never more than 600 in 10 s.
    for _ in 0..1_000 {
        assert!(!fall_behind(&mut reader).ends_with("end"));
        tokio::time::advance(Duration::from_secs(6)).await;
    }
    assert!(reader.dropped() > 200_000, "{}", reader.dropped());
    assert_eq!(reader.end(), None);
    // Three times within 10 s is too much.
    tokio::time::advance(Duration::from_secs(10)).await;
    fall_behind(&mut reader);
    fall_behind(&mut reader);
    let text = fall_behind(&mut reader);
    assert!(text.ends_with("end") && text.contains("lag"), "{text}");
    assert_eq!(reader.end(), Some(SubscriptionEnd::Evicted));
    assert_eq!(handle.qos().evicted, 1);
    assert_eq!(handle.subscriber_count(), 0);
    assert_eq!(read(&mut reader), "end");
}

#[test]
fn max_lag_has_a_default_per_stream() {
    let (mut publisher, handle) = stream(BusConfig {
        max_lag: 100,
        ..short()
    });
    let mut reader = handle.subscribe_resilient();
    let mut patient = handle.subscribe_resilient().max_lag(None);
    let mut raw = handle.subscribe();
    publish_video(&mut publisher, 0..500, 10);
    assert!(read(&mut reader).ends_with("end"));
    assert!(!read(&mut patient).ends_with("end"));
    assert!(!read(&mut raw).ends_with("end"));
}

#[test]
fn a_reader_that_lags_at_the_end_is_told_before_the_end() {
    let (mut publisher, handle) = stream(BusConfig {
        gop_cache: 50,
        ..short()
    });
    let mut reader = handle.subscribe_resilient();
    publish_video(&mut publisher, 0..300, 1_000);
    publisher.finish();
    // The first block, then nothing to go on at.
    assert_eq!(read(&mut reader), "V0 v1 v2 v3 v4 v5 v6 v7 lag292 end");
}

#[test]
fn reading_forward_never_goes_back() {
    let (mut publisher, handle) = stream(short());
    let mut reader = handle.subscribe();
    let mut position = 0;
    for round in 0..100_u32 {
        publish_video(&mut publisher, round * 97..(round + 1) * 97, 31);
        for _ in 0..round {
            if reader.try_recv().is_none() {
                break;
            }
            assert!(reader.position() >= position);
            position = reader.position();
        }
    }
}

/// A track that the next publisher does not send is dropped with its second GOP,
/// which readers that are far behind have not come to.
#[tokio::test]
async fn what_a_resilient_reader_is_given_does_not_depend_on_when_it_reads() {
    let registry = Registry::default();
    let connect = || {
        registry
            .publish(PublishRequest::new(key(), "test"))
            .unwrap()
    };
    let mut publisher = connect();
    let handle = publisher.handle();
    publish(&mut publisher, "tv tw V0 W1 v2 w3 V4");
    let subscribe = |at| handle.subscribe_at(at).resilient();
    let everywhere = [JoinAt::Keyframe, JoinAt::Configs, JoinAt::Live];
    let mut readers = everywhere.map(subscribe);
    let mut far_behind = everywhere.map(subscribe);
    publish(&mut publisher, "w5 v6 w7 v8 V9 w10");
    let read_at_once = readers.each_mut().map(read);
    drop(publisher);
    let mut publisher = connect();
    publish(&mut publisher, "tv V10 v11 V12 v13");
    for ((reader, late), before) in readers.iter_mut().zip(&mut far_behind).zip(read_at_once) {
        let all = format!("{before} {}", read(reader));
        assert!(all.ends_with("V12 v13") && !all.contains("w5"), "{all}");
        assert_eq!(read(late), all);
    }
}
