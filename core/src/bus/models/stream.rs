//! A whole stream: its publisher, its readers, its end. Blocks have two slots here.

use crate::sync::block_on;
use bytes::Bytes;

use super::{check_within, spawn};
use crate::bus::{
    BusConfig, JoinAt, Publisher, Recv, StreamHandle, Subscription, SubscriptionEnd, Takeover,
};
use crate::sync::{Arc, now};
use crate::{ByteSize, CloseReason, Frame, TrackId};

fn stream(config: BusConfig) -> (Publisher, StreamHandle) {
    StreamHandle::new("live/model".parse().unwrap(), config)
}

/// Keeps the block that is written, and one more.
fn short() -> BusConfig {
    BusConfig {
        gop_cache: 0,
        lag_frames: 1,
        ..BusConfig::default()
    }
}

/// Every second frame is a keyframe.
fn frame(number: u64) -> Frame {
    let payload = Bytes::copy_from_slice(&number.to_be_bytes());
    let dts = i64::try_from(number).unwrap();
    Frame::new(TrackId(0), dts, now(), payload).with_keyframe(number.is_multiple_of(2))
}

fn publish(publisher: &mut Publisher, numbers: std::ops::Range<u64>) {
    for number in numbers {
        publisher.publish_frame(frame(number)).unwrap();
    }
}

/// What a reader has read.
#[derive(Debug, Default)]
struct Read {
    frames: Vec<u64>,
    skipped: u64,
    ended: bool,
}

/// Reads until the frame of number `last` is read or missed, or to the end, and
/// checks that nothing is read twice, and nothing missing that is not told of.
fn read(subscription: &mut Subscription, last: Option<u64>) -> Read {
    read_on(subscription, None, last)
}

/// The same, for a reader that has read all frames before `next`.
fn read_on(subscription: &mut Subscription, mut next: Option<u64>, last: Option<u64>) -> Read {
    let mut read = Read::default();
    while last.is_none_or(|last| subscription.position() <= last) {
        match block_on(subscription.recv()) {
            Recv::Frame(frame) => {
                let number = u64::try_from(frame.dts).unwrap();
                assert_eq!(next.unwrap_or(number), number);
                next = Some(number + 1);
                read.frames.push(number);
            }
            Recv::Lagged { skipped } => {
                // The count is exact.
                next = next.map(|next| next + skipped);
                read.skipped += skipped;
            }
            Recv::Ended => {
                read.ended = true;
                return read;
            }
            Recv::Track(_) | Recv::Discontinuity(_) => {}
        }
    }
    read
}

#[test]
fn who_joins_while_frames_are_published_starts_at_a_keyframe_and_misses_none() {
    check_within(2, || {
        let (mut publisher, handle) = stream(BusConfig::default());
        let joining = handle.clone();
        let reader = spawn(move || read(&mut joining.subscribe(), Some(3)));
        publish(&mut publisher, 0..4);
        let read = reader.join().unwrap();
        assert!(read.frames[0].is_multiple_of(2));
        assert_eq!(read.skipped, 0);
    });
}

#[test]
fn a_frame_that_is_published_while_its_reader_parks_is_read() {
    check_within(3, || {
        let (mut publisher, handle) = stream(BusConfig::default());
        publish(&mut publisher, 0..1);
        let mut subscription = handle.subscribe();
        let reader = spawn(move || read(&mut subscription, Some(1)));
        publish(&mut publisher, 1..2);
        assert_eq!(reader.join().unwrap().frames, [0, 1]);
    });
}

/// A reader that has begun to read, while what it reads expires.
fn overtake(config: BusConfig) {
    let (mut publisher, handle) = stream(config);
    let mut subscription = handle.subscribe();
    publish(&mut publisher, 0..2);
    assert!(matches!(subscription.try_recv(), Some(Recv::Frame(_))));
    let reader = spawn(move || read_on(&mut subscription, Some(1), Some(4)));
    publish(&mut publisher, 2..5);
    let read = reader.join().unwrap();
    let count = u64::try_from(read.frames.len()).unwrap();
    assert_eq!(1 + count + read.skipped, 5);
}

#[test]
fn a_reader_of_what_expires_never_goes_back_and_knows_what_it_missed() {
    check_within(2, || overtake(short()));
}

#[test]
fn a_reader_whose_block_is_taken_away_knows_what_it_missed() {
    check_within(2, || {
        overtake(BusConfig {
            pinned_limit: ByteSize(0),
            ..short()
        });
    });
}

#[test]
fn who_joins_at_a_point_that_expires_goes_on_at_a_later_one() {
    check_within(2, || {
        let (mut publisher, handle) = stream(BusConfig {
            lag_frames: 1,
            ..BusConfig::default()
        });
        publish(&mut publisher, 0..2);
        let reader = spawn(move || read(&mut handle.subscribe(), Some(5)));
        publish(&mut publisher, 2..6);
        let read = reader.join().unwrap();
        assert!(read.frames[0].is_multiple_of(2));
        let count = u64::try_from(read.frames.len()).unwrap();
        assert!(count + read.skipped <= 6);
    });
}

#[test]
fn who_joins_a_gop_that_there_is_no_room_for_starts_again_behind_it() {
    check_within(2, || {
        let (mut publisher, handle) = stream(BusConfig {
            memory: ByteSize(0),
            ..BusConfig::default()
        });
        publish(&mut publisher, 0..2);
        // It holds nothing until it begins to read.
        let mut subscription = handle.subscribe();
        let reader = spawn(move || read(&mut subscription, Some(4)));
        for number in 2..5 {
            let picture = frame(number).with_keyframe(false);
            publisher.publish_frame(picture).unwrap();
        }
        let read = reader.join().unwrap();
        let count = u64::try_from(read.frames.len()).unwrap();
        assert_eq!(count + read.skipped, 5);
    });
}

#[test]
fn all_that_was_published_is_read_before_the_end() {
    check_within(2, || {
        let (mut publisher, handle) = stream(BusConfig::default());
        publish(&mut publisher, 0..1);
        let mut subscription = handle.subscribe();
        let reader = spawn(move || read(&mut subscription, None));
        publish(&mut publisher, 1..3);
        publisher.finish();
        let read = reader.join().unwrap();
        assert_eq!((read.frames, read.ended), (vec![0, 1, 2], true));
    });
}

#[test]
fn who_begins_to_read_at_the_end_reads_what_came_before_it() {
    check_within(3, || {
        let (mut publisher, handle) = stream(BusConfig::default());
        let mut subscription = handle.subscribe_at(JoinAt::Live);
        let reader = spawn(move || read(&mut subscription, None));
        publish(&mut publisher, 0..1);
        publisher.finish();
        let read = reader.join().unwrap();
        assert_eq!((read.frames, read.ended), (vec![0], true));
    });
}

#[test]
fn a_frame_is_either_refused_or_read_when_the_stream_is_closed() {
    check_within(2, || {
        let (mut publisher, handle) = stream(BusConfig::default());
        let mut subscription = handle.subscribe();
        let closing = handle.clone();
        let closer = spawn(move || closing.close(CloseReason::Kicked));
        let put = (0..2)
            .take_while(|number| publisher.publish_frame(frame(*number)).is_ok())
            .count();
        let read = read(&mut subscription, None);
        let reason = SubscriptionEnd::Closed(CloseReason::Kicked);
        assert_eq!(subscription.end(), Some(reason));
        assert!(closer.join().unwrap());
        assert_eq!((read.frames.len(), read.ended), (put, true));
        assert_eq!(handle.subscriber_count(), 0);
    });
}

#[test]
fn a_publisher_that_is_taken_over_puts_nothing_behind_its_successor() {
    check_within(2, || {
        let config = BusConfig {
            takeover: Takeover::Replace,
            ..BusConfig::default()
        };
        let (mut first, handle) = stream(config.clone());
        let mut subscription = handle.subscribe();
        let stream = Arc::clone(&handle.stream);
        let taking = spawn(move || {
            let mut second = stream.attach(&config, None).unwrap().tell();
            second.publish_frame(frame(100)).unwrap();
            second
        });
        let put = (0..2)
            .take_while(|number| first.publish_frame(frame(*number)).is_ok())
            .count();
        let second = taking.join().unwrap();
        assert!(first.publish_frame(frame(7)).is_err());
        let mut numbers = Vec::new();
        while let Some(recv) = subscription.try_recv() {
            if let Recv::Frame(frame) = recv {
                numbers.push(frame.dts);
            }
        }
        assert_eq!(numbers.pop(), Some(100));
        assert_eq!(numbers.len(), put);
        drop((first, second));
    });
}

#[test]
fn who_was_taken_over_from_is_in_no_way_of_the_one_who_took_over() {
    check_within(3, || {
        let config = BusConfig {
            takeover: Takeover::Replace,
            ..BusConfig::default()
        };
        let (mut first, handle) = stream(config.clone());
        let stream = Arc::clone(&handle.stream);
        let mut second = stream.attach(&config, None).unwrap().tell();
        let finding_out = spawn(move || {
            let closed = first.publish_frame(frame(7)).unwrap_err();
            assert_eq!(closed.reason, CloseReason::TakenOver);
            first
        });
        publish(&mut second, 0..2);
        drop(finding_out.join().unwrap());
    });
}
