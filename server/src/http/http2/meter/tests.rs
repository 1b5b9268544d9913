//! Frames in pieces of any size, and buckets on a clock of their own.

use std::time::Duration;

use super::*;

fn frame(kind: u8, len: usize) -> Vec<u8> {
    let [.., a, b, c] = len.to_be_bytes();
    let mut frame = vec![a, b, c, kind, 0, 0, 0, 0, 1];
    frame.resize(HEADER_LEN + len, kind);
    frame
}

#[test]
fn frames_are_found_however_they_are_cut() {
    let sent = [(4, 18), (8, 4), (0, 0), (6, 8), (1, 700), (2, 5), (77, 300)];
    let mut bytes = vec![b'x'; PREFACE_LEN];
    for (kind, len) in sent {
        bytes.extend(frame(kind, len));
    }
    let want: Vec<(Kind, u32)> = vec![
        (Kind::Control, 18),
        (Kind::Update, 4),
        (Kind::Request, 0),
        (Kind::Control, 8),
        (Kind::Request, 700),
        (Kind::Control, 5),
        (Kind::Control, 300),
    ];
    for piece in [1, 2, 3, 8, 9, 10, 64, bytes.len()] {
        let mut frames = Frames::new();
        let mut found = Vec::new();
        for piece in bytes.chunks(piece) {
            assert!(frames.read(piece, |frame| {
                found.push((frame.kind, frame.len));
                true
            }));
        }
        assert_eq!(found, want, "{piece}");
    }
}

#[test]
fn a_bucket_gives_what_it_holds_and_what_time_brings() {
    let rate = Rate {
        burst: 10,
        per_second: 100,
    };
    let begun = Instant::now();
    let mut bucket = Bucket::new(rate, begun);
    let at = |millis: u64| move || begun + Duration::from_millis(millis);
    assert!((0..10).all(|_| bucket.take(1, at(0))));
    assert!(!bucket.take(1, at(0)));
    assert!(!bucket.take(1, at(9)), "a token takes ten milliseconds");
    assert!(bucket.take(1, at(10)));
    assert!(!bucket.take(1, at(10)));
    // However long it was: no more than it holds.
    assert!(bucket.take(10, at(60_000)));
    assert!(!bucket.take(1, at(60_000)));
    bucket.add(3);
    assert!(bucket.take(3, at(60_000)));
    assert!(!bucket.take(11, at(90_000)), "more than it can hold");
}

#[tokio::test]
async fn what_floods_is_not_handed_on() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (mut near, far) = tokio::io::duplex(1 << 20);
    let (mut metered, verdict) = Metered::new(far);
    near.write_all(&[b'x'; PREFACE_LEN]).await.unwrap();
    let most = usize::try_from(CONTROL.burst).unwrap();
    let ping = frame(6, 8);
    near.write_all(&ping.repeat(most)).await.unwrap();
    let mut read = vec![0; PREFACE_LEN + most * ping.len()];
    metered.read_exact(&mut read).await.unwrap();
    assert!(verdict.offence().is_none());
    near.write_all(&ping.repeat(most)).await.unwrap();
    let more = metered.read(&mut read);
    let more = tokio::time::timeout(Duration::from_millis(1), more).await;
    assert!(more.is_err(), "it was handed on");
    assert!(verdict.offence().is_some());
}
