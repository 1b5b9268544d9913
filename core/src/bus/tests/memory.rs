//! Memory: bounded whoever reads, or does not.

use super::*;
use crate::JoinAt;

fn large(number: u32, keyframe: bool, bytes: usize) -> Frame {
    let mut payload = vec![0; bytes];
    payload[..4].copy_from_slice(&number.to_be_bytes());
    Frame::new(VIDEO, i64::from(number), now(), Bytes::from(payload)).with_keyframe(keyframe)
}

#[test]
fn a_stream_keeps_no_more_than_its_bound() {
    let (mut publisher, handle) = stream(BusConfig {
        memory: ByteSize::mib(4),
        lag_frames: u64::MAX,
        ..BusConfig::default()
    });
    let mut most = 0;
    for number in 0..2_000 {
        publisher
            .publish_frame(large(number, number % 20 == 0, 20_000))
            .unwrap();
        most = most.max(handle.memory().kept);
    }
    assert!(most <= (4 << 20) + (512 << 10), "{most}");
    assert!(most >= 3 << 20, "{most}");
    // What the readers may have for it is a GOP that is whole.
    assert_video(&mut handle.subscribe(), 1_980..2_000, 20);
}

#[test]
fn frames_larger_than_a_block_have_one_each() {
    let (mut publisher, handle) = stream(BusConfig::default());
    let mut reader = handle.subscribe();
    for number in 0..5 {
        publisher
            .publish_frame(large(number, number == 0, 1 << 20))
            .unwrap();
    }
    assert_video(&mut reader, 0..5, 5);
}

#[test]
fn a_reader_that_stands_still_pins_one_block() {
    let (mut publisher, handle) = stream(short());
    let mut stuck = handle.subscribe_at(JoinAt::Live);
    for number in 0..10_000 {
        publisher
            .publish_frame(large(number, number % 50 == 0, 1_000))
            .unwrap();
    }
    // The first block, of 8 frames.
    let memory = handle.memory();
    assert!(
        memory.pinned > 8_000 && memory.pinned < 10_000,
        "{memory:?}"
    );
    assert!(read(&mut stuck).contains(" lag"));
    assert_eq!(handle.memory().pinned, 0);
}

#[test]
fn ten_thousand_stuck_readers_stay_within_the_pinned_limit() {
    let limit = 1 << 20;
    let (mut publisher, handle) = stream(BusConfig {
        pinned_limit: ByteSize(limit),
        ..short()
    });
    let mut number = 0;
    let mut publish_some = |n: u32| {
        for _ in 0..n {
            publisher
                .publish_frame(large(number, number % 50 == 0, 1_000))
                .unwrap();
            number += 1;
        }
    };
    let mut stuck = Vec::new();
    let mut most = 0;
    for _ in 0..10_000 {
        // Each on a block of its own: 10,000 blocks of 69 kB, unless released.
        stuck.push(handle.subscribe_at(JoinAt::Live));
        publish_some(64);
        most = most.max(handle.memory().pinned);
    }
    assert!(most <= limit + (160 << 10), "{most}");
    assert!(most > limit / 2, "{most}");
    publish_some(64);
    let end = 64 * 10_001;
    for (place, reader) in stuck.iter_mut().enumerate() {
        let text = read(reader);
        let words: Vec<_> = text.split(' ').collect();
        let Some(lag) = words.iter().position(|word| word.starts_with("lag")) else {
            continue;
        };
        // However it lost its place, the count is exact and the rest is whole.
        let skipped = count(words[lag]);
        let resumed = count(words[lag + 1]);
        assert!(words[lag + 1].starts_with('V'), "{place}: {text}");
        let next = if lag == 0 {
            place * 64
        } else {
            count(words[lag - 1]) + 1
        };
        assert_eq!(next + skipped, resumed, "{place}");
        assert_eq!(words.len() - lag - 1, end - resumed, "{place}");
    }
    assert_eq!(handle.memory().pinned, 0);
}

#[test]
fn a_reader_keeps_its_place_while_it_holds_a_frame_and_no_longer() {
    let (mut publisher, handle) = stream(BusConfig {
        pinned_limit: ByteSize(0),
        ..short()
    });
    let mut publish = |numbers: std::ops::Range<u32>| {
        for number in numbers {
            let frame = large(number, number % 100 == 0, 1_000);
            publisher.publish_frame(frame).unwrap();
        }
    };
    let [mut reading, mut stuck] = [handle.subscribe(), handle.subscribe()];
    publish(0..1);
    let Some(Recv::Frame(held)) = reading.try_recv() else {
        panic!("no frame")
    };
    assert!(matches!(stuck.try_recv(), Some(Recv::Frame(_))));
    publish(1..1_000);
    assert_eq!((number(&held), held.payload.len()), (0, 1_000));
    drop(held);
    // The one that held a frame reads the rest of its block; the other lost it.
    let text = read(&mut reading);
    let (rest, lag) = text.split_once(" lag").unwrap();
    let last = rest.split(' ').count();
    assert!(rest.starts_with("v1 v2 ") && last < 64, "{rest}");
    assert!(rest.ends_with(&format!(" v{last}")), "{rest}");
    assert!(lag.starts_with(&format!("{} V900 v901 ", 899 - last)));
    assert!(read(&mut stuck).starts_with("lag899 V900 v901 "));
    // Once it holds nothing, it loses its place as well.
    publish(1_000..1_001);
    let Some(Recv::Frame(frame)) = reading.try_recv() else {
        panic!("no frame")
    };
    drop(frame);
    publish(1_001..2_000);
    assert!(read(&mut reading).starts_with("lag899 V1900 v1901 "));
}

#[test]
fn everything_is_given_back() {
    let (mut publisher, handle) = stream(BusConfig::default());
    let gauge = crate::sync::Arc::downgrade(&handle.stream.gauge);
    let mut readers: Vec<_> = (0..10).map(|_| handle.subscribe()).collect();
    publish_video(&mut publisher, 0..5_000, 50);
    let _ = readers[0].try_recv();
    let held = readers[1].try_recv().map(|recv| word(&recv));
    assert_eq!(held.as_deref(), Some("V0"));
    drop((publisher, handle, readers));
    // Blocks keep the gauge: it goes with the last of them.
    assert!(gauge.upgrade().is_none());
}

#[test]
fn an_idle_stream_is_small() {
    use crate::bus::stream::Stream;
    let (mut publisher, handle) = stream(BusConfig::default());
    publish(&mut publisher, "tv ta V0 a1");
    // The stream with what is in it by value, its blocks, and a meter a track;
    // some further small allocations are not counted.
    let blocks = handle.memory().kept;
    let fixed = size_of::<Stream>() + 2 * size_of::<super::super::qos::TrackMeter>();
    let bytes = blocks + u64::try_from(fixed).unwrap();
    assert!(bytes < 3_000, "{bytes}: {blocks} and {fixed}");
}
