//! Framers of audio: any bytes, in any pieces, with losses between them.

use rillcast_core::TrackId;

use crate::codec;
use crate::codec::framer::{AudioUnit, Framer};

/// AAC in ADTS frames.
pub fn adts(data: &[u8]) {
    framer(Framer::adts, data);
}

/// AAC in LATM.
pub fn latm(data: &[u8]) {
    framer(Framer::latm, data);
}

/// AC-3 and Enhanced AC-3.
pub fn ac3(data: &[u8]) {
    framer(Framer::ac3, data);
}

/// MPEG audio, layers II and III.
pub fn mpeg_audio(data: &[u8]) {
    framer(Framer::mpeg_audio, data);
}

/// Opus behind control headers.
pub fn opus(data: &[u8]) {
    framer(|| Framer::opus(None).expect("two channels are known"), data);
}

/// The first byte says how long the pieces are, and how often one is lost.
fn framer(new: impl Fn() -> Framer, data: &[u8]) {
    let Some((choice, stream)) = data.split_first() else {
        return;
    };
    let piece = usize::from(choice & 0x3f) + 1;
    let lost_every = match choice >> 6 {
        0 => usize::MAX,
        other => usize::from(other) * 3,
    };

    let mut whole = new();
    whole.push(stream);
    let units = drain(&mut whole, &mut 0);
    let mut pieces = new();
    let mut lossy = new();
    let (mut in_pieces, mut end, mut lossy_end) = (Vec::new(), 0, 0);
    for (at, piece) in stream.chunks(piece).enumerate() {
        pieces.push(piece);
        in_pieces.extend(drain(&mut pieces, &mut end));
        if at % lost_every == lost_every - 1 {
            lossy.lost();
        } else {
            lossy.push(piece);
        }
        drain(&mut lossy, &mut lossy_end);
    }
    assert_eq!(units, in_pieces, "pieces make a difference");
    assert_eq!(whole.dropped(), pieces.dropped());
    assert_eq!(whole.track(TrackId(0)), pieces.track(TrackId(0)));
    lossy.lost();
    drain(&mut lossy, &mut lossy_end);
}

/// All units that there are; `next` is the least place that one may begin at.
fn drain(framer: &mut Framer, next: &mut u64) -> Vec<AudioUnit> {
    let mut units = Vec::new();
    while let Some(unit) = framer.next_unit() {
        assert!(unit.at >= *next, "units go back");
        *next = unit.at + 1;
        assert!(!unit.payload.is_empty() && unit.samples > 0);
        let track = framer.track(TrackId(0)).expect("a unit has a track");
        assert!(!track.codec_string.is_empty());
        assert!(track.audio().is_some_and(|audio| audio.sample_rate > 0));
        // The track is that of the last unit that was cut, which may be ahead
        // of those that are waiting.
        if let Some(duration) = codec::frame_duration(&track) {
            assert!(duration > 0);
        }
        units.push(unit);
    }
    units
}
