//! What a file begins with: `ftyp`, one `moov` with all tracks, and a note of whose
//! recording it is.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::boxes::{boxes, find, put, u32_at, wrap};

/// What a file says of itself, so that an index can be made again of files alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    /// The stream's key.
    pub(crate) stream: String,
    /// The life of the stream.
    pub(crate) session: String,
    /// The wall clock at the file's time zero, as RFC 3339 writes it.
    pub(crate) at: String,
}

/// Makes the head of a file of the initialisation segments of its tracks, each with
/// one track of another number; `None` if they are not that.
pub(crate) fn head(inits: &[Bytes], note: &Note) -> Option<Bytes> {
    let mut movie_header = None;
    let mut tracks = Vec::new();
    let mut defaults = Vec::new();
    let mut last = 0;
    for init in inits {
        let moov = find(init, 0..init.len(), &[b"moov"])?;
        let trak = boxes(init, moov.clone()).find(|place| &place.kind == b"trak")?;
        let mvex = find(init, moov.clone(), &[b"mvex"])?;
        let trex = boxes(init, mvex).find(|place| &place.kind == b"trex")?;
        last = last.max(track_number(init, &trak.body)?);
        tracks.push(init.get(trak.whole)?);
        defaults.push(init.get(trex.whole)?);
        if movie_header.is_none() {
            let mvhd = boxes(init, moov).find(|place| &place.kind == b"mvhd")?;
            movie_header = Some(init.get(mvhd.whole)?.to_vec());
        }
    }
    let mut movie_header = movie_header?;
    // The number that a next track would get is the last field.
    let all = 0..movie_header.len();
    let at = all.end.checked_sub(4)?;
    put(
        &mut movie_header,
        &all,
        at,
        &last.checked_add(1)?.to_be_bytes(),
    )?;

    let mvex = wrap(b"mvex", &defaults)?;
    let mut body: Vec<&[u8]> = vec![&movie_header];
    body.extend(tracks);
    body.push(&mvex);
    let moov = wrap(b"moov", &body)?;
    let note = serde_json::to_vec(note).ok()?;
    let note = wrap(b"uuid", &[&NOTE, &note])?;
    Some([FTYP, &moov, &note].concat().into())
}

/// The note that the body of a `uuid` box has, if it is ours.
pub(super) fn read_note(body: &[u8]) -> Option<Note> {
    serde_json::from_slice(body.strip_prefix(&NOTE)?).ok()
}

/// The number in the header of the track whose box has this body.
pub(super) fn track_number(bytes: &[u8], trak: &std::ops::Range<usize>) -> Option<u32> {
    let tkhd = find(bytes, trak.clone(), &[b"tkhd"])?;
    // Behind two times of creation and change, of 32 or 64 bits.
    let version = bytes.get(tkhd.clone())?.first()?;
    u32_at(bytes, &tkhd, if *version == 1 { 20 } else { 12 })
}

/// The ticks per second of the track whose box has this body.
pub(super) fn timescale(bytes: &[u8], trak: &std::ops::Range<usize>) -> Option<u32> {
    let mdhd = find(bytes, trak.clone(), &[b"mdia", b"mdhd"])?;
    let version = bytes.get(mdhd.clone())?.first()?;
    u32_at(bytes, &mdhd, if *version == 1 { 20 } else { 12 })
}

/// `iso6` has what fragments need here (`tfdt`, `default-base-is-moof`); `mp41` for
/// programs that look for a name they know.
const FTYP: &[u8] = b"\0\0\0\x18ftypiso6\0\0\0\0iso6mp41";

/// Marks a box as our note (ISO/IEC 14496-12 section 4.2, extended type).
const NOTE: [u8; 16] = [
    0x9d, 0x1f, 0x3a, 0x64, 0x5c, 0x0e, 0x4b, 0x7a, 0xb1, 0x52, 0xe8, 0x77, 0x21, 0xc4, 0x06, 0xdf,
];
