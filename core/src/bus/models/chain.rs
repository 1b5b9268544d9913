//! Blocks: one thread writes, others read.

use bytes::Bytes;

use super::{check, spawn};
use crate::bus::chain::{Block, End, Entry};
use crate::bus::memory::{Budget, Gauge};
use crate::sync::{Arc, Weak, now};
use crate::{Frame, TrackId};

fn frame(number: u8) -> Entry {
    let payload = Bytes::copy_from_slice(&[number]);
    Entry::Frame {
        frame: Frame::new(TrackId(0), i64::from(number), now(), payload),
        join: false,
        dependent: true,
    }
}

fn gauge() -> Arc<Gauge> {
    Arc::new(Gauge::new(Arc::new(Budget::new(u64::MAX))))
}

/// Reads what is there from `block` on, and says whether the chain was cut.
fn read(mut block: Arc<Block>) -> (Vec<i64>, bool) {
    let (mut numbers, mut index) = (Vec::new(), 0);
    loop {
        if let Some(Entry::Frame { frame, .. }) = block.get(index) {
            numbers.push(frame.dts);
            index += 1;
            continue;
        }
        match block.end(index) {
            End::Open => return (numbers, false),
            End::More => {}
            End::Next(next) => (block, index) = (next, 0),
            End::Cut => return (numbers, true),
        }
    }
}

#[test]
fn a_reader_goes_from_block_to_block_and_misses_no_entry() {
    check(|| {
        let gauge = gauge();
        let first = Block::new(0, 0, 2, &gauge);
        let reading = Arc::clone(&first);
        let reader = spawn(move || read(reading));
        first.set(0, frame(0), false);
        first.set(1, frame(1), false);
        let next = Block::new(2, 2, 2, &gauge);
        next.set(0, frame(2), false);
        first.seal(2, Arc::clone(&next));
        next.set(1, frame(3), false);
        let (numbers, cut) = reader.join().unwrap();
        assert!(!cut);
        assert!(numbers.iter().copied().eq(0..numbers.len() as i64));
        assert_eq!(read(first), ([0, 1, 2, 3].into(), false));
    });
}

/// A block that is sealed before it is full, since its bytes are.
#[test]
fn an_entry_before_the_seal_is_read_before_the_next_block() {
    check(|| {
        let gauge = gauge();
        let first = Block::new(0, 0, 2, &gauge);
        let reading = Arc::clone(&first);
        let reader = spawn(move || read(reading));
        first.set(0, frame(0), false);
        let next = Block::new(1, 1, 2, &gauge);
        next.set(0, frame(1), false);
        first.seal(1, next);
        let (numbers, cut) = reader.join().unwrap();
        assert!(!cut);
        assert!(numbers.iter().copied().eq(0..numbers.len() as i64));
    });
}

#[test]
fn a_reader_that_is_overtaken_finds_the_cut_and_frees_what_it_held() {
    check(|| {
        let gauge = gauge();
        let first = Block::new(0, 0, 2, &gauge);
        let reading = Arc::clone(&first);
        let reader = spawn(move || read(reading));
        first.set(0, frame(0), false);
        let next = Block::new(1, 1, 2, &gauge);
        next.set(0, frame(1), false);
        first.charge.tell();
        first.seal(1, Arc::clone(&next));
        let last = Block::new(2, 2, 2, &gauge);
        last.set(0, frame(2), false);
        next.charge.tell();
        next.seal(1, Arc::clone(&last));
        first.cut();
        next.cut();
        let gone: Weak<Block> = Arc::downgrade(&next);
        drop((first, next));
        let (numbers, _) = reader.join().unwrap();
        assert!(numbers.iter().copied().eq(0..numbers.len() as i64));
        assert!(gone.upgrade().is_none());
        last.charge.tell();
        drop(last);
        assert_eq!(gauge.bytes(), 0);
    });
}
