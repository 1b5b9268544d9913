//! The header of a window's part, moved into the time of a file.

use bytes::Bytes;

use super::boxes::{boxes, find, put, u64_at};

/// What stands before the payload of a part, with `sequence` as its number in the
/// file and its times `origin` ticks earlier; `None` if it is no such header, or
/// begins before the origin.
///
/// The header is what the window's first slice has: `styp` and `prft` in a segment's
/// first part, `moof` and the begin of `mdat`. The file is one movie and no row of
/// segments, so `styp` is left out; `prft` stays and tells when it was made.
/// `default-base-is-moof` and the tracks' own numbers make everything else right
/// wherever the fragment lies.
pub(crate) fn retimed(header: &[u8], sequence: u32, origin: u64) -> Option<Bytes> {
    // The first eight bytes of an mdat are no whole box: they end the walk.
    let first = boxes(header, 0..header.len()).find(|place| &place.kind != b"styp")?;
    let mut out = header.get(first.whole.start..)?.to_vec();
    let all = 0..out.len();
    if let Some(prft) = find(&out, all.clone(), &[b"prft"]) {
        // Behind flags, the track and the time of production.
        let time = u64_at(&out, &prft, 16)?.checked_sub(origin)?;
        put(&mut out, &prft, 16, &time.to_be_bytes())?;
    }
    let moof = find(&out, all, &[b"moof"])?;
    let mfhd = find(&out, moof.clone(), &[b"mfhd"])?;
    put(&mut out, &mfhd, 4, &sequence.to_be_bytes())?;
    let tfdt = find(&out, moof, &[b"traf", b"tfdt"])?;
    let time = u64_at(&out, &tfdt, 4)?.checked_sub(origin)?;
    put(&mut out, &tfdt, 4, &time.to_be_bytes())?;
    Some(out.into())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use rillcast_media::fmp4::{FragmentHeader, Sample, fragment};

    use super::*;

    fn made(sequence: u32, start: u64, styp: bool) -> Bytes {
        let samples = [Sample {
            duration: 40,
            size: 1_000,
            cts: 80,
            keyframe: true,
        }];
        let produced = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        fragment(&FragmentHeader {
            sequence,
            track_id: 2,
            base_decode_time: start,
            styp,
            produced: styp.then_some(produced),
            samples: &samples,
        })
        .unwrap()
    }

    #[test]
    fn a_moved_header_is_the_one_that_would_have_been_written() {
        let styp = b"\0\0\0\x18styp\x6dsdh\0\0\0\0msdhcmfs".len();
        for first in [false, true] {
            let moved = retimed(&made(77, 90_400, first), 5, 90_000).unwrap();
            let want = made(5, 400, first);
            let want = if first { want.slice(styp..) } else { want };
            assert_eq!(moved, want, "first part: {first}");
        }
    }

    #[test]
    fn what_lies_before_the_origin_is_not_moved() {
        assert_eq!(retimed(&made(1, 100, false), 1, 101), None);
        assert_eq!(retimed(&made(1, 100, true), 1, 101), None);
        assert!(retimed(&made(1, 100, true), 1, 100).is_some());
        let whole = made(1, 100, true);
        for end in 0..whole.len() - 8 {
            assert_eq!(retimed(&whole[..end], 1, 0), None, "{end}");
        }
    }
}
