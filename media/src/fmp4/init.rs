//! Init segments: `ftyp` and the `moov` of one track.

mod entry;

use bytes::Bytes;
use mp4_atom::{
    Dinf, Dref, Encode, FixedPoint, FourCC, Ftyp, Hdlr, Mdhd, Mdia, Minf, Moov, Mvex, Mvhd, Smhd,
    Stbl, Stco, Stsd, Tkhd, Trak, Trex, Url, Vmhd,
};
use rillcast_core::{MediaKind, Track};

pub use self::entry::can_carry;
use self::entry::{SampleEntry, sample_entry};
use super::{Error, track_id};

/// Writes the init segment of a track: `ftyp` with the brands of CMAF, and a
/// `moov` without samples and without an edit list, in the track's timescale.
///
/// Equal tracks give equal bytes: no creation times, nothing that is measured.
///
/// # Errors
/// [`Error::Codec`] for a codec that [`can_carry`] does not know; another one if the
/// track's configuration is malformed.
pub fn init(track: &Track) -> Result<Bytes, Error> {
    let mut entry = sample_entry(track)?;
    let boxes = std::mem::take(&mut entry.boxes);
    let mut out = Vec::with_capacity(1_024);
    ftyp()
        .encode(&mut out)
        .and_then(|()| moov(track, entry).encode(&mut out))
        .map_err(|error| Error::Encode(error.into()))?;
    if !boxes.is_empty() {
        put_into_entry(&mut out, &boxes).ok_or(Error::TooLarge)?;
    }
    Ok(out.into())
}

/// Puts `boxes` behind what the sample entry of an init segment has.
fn put_into_entry(init: &mut Vec<u8>, boxes: &[u8]) -> Option<()> {
    let added = u32::try_from(boxes.len()).ok()?;
    let size = |init: &[u8], at: usize| {
        let size = init.get(at..)?.first_chunk()?;
        Some(u32::from_be_bytes(*size))
    };
    let end = |init: &[u8], at: usize| at.checked_add(usize::try_from(size(init, at)?).ok()?);
    let mut around = Vec::new();
    let mut at = 0;
    for kind in [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"] {
        while init.get(at + 4..at + 8)? != kind {
            at = end(init, at)?;
        }
        around.push(at);
        // `stsd` has version, flags and the number of its entries.
        at += if kind == b"stsd" { 16 } else { 8 };
    }
    around.push(at);
    let behind = end(init, at)?;
    for at in around {
        let grown = size(init, at)?.checked_add(added)?;
        let field = init.get_mut(at..at + 4)?;
        field.copy_from_slice(&grown.to_be_bytes());
    }
    init.splice(behind..behind, boxes.iter().copied());
    Some(())
}

fn ftyp() -> Ftyp {
    // iso6 has tfdt and default-base-is-moof; cmfc is CMAF's.
    Ftyp {
        major_brand: FourCC::new(b"cmfc"),
        minor_version: 0,
        compatible_brands: vec![FourCC::new(b"iso6"), FourCC::new(b"cmfc")],
    }
}

fn moov(track: &Track, entry: SampleEntry) -> Moov {
    let track_id = track_id(track.id);
    let timescale = track.timescale.hz();
    let kind = track.kind();
    let (width, height) = entry.shown;
    let handler = match kind {
        MediaKind::Video => Hdlr {
            handler: FourCC::new(b"vide"),
            name: "VideoHandler".into(),
        },
        _ => Hdlr {
            handler: FourCC::new(b"soun"),
            name: "SoundHandler".into(),
        },
    };
    let trak = Trak {
        tkhd: Tkhd {
            track_id,
            enabled: true,
            in_movie: true,
            // Audio is alternate to audio only.
            alternate_group: u16::from(kind == MediaKind::Audio),
            volume: FixedPoint::new(u8::from(kind == MediaKind::Audio), 0),
            width: whole(width),
            height: whole(height),
            ..Tkhd::default()
        },
        mdia: Mdia {
            mdhd: Mdhd {
                timescale,
                language: language(track.language.as_deref()),
                ..Mdhd::default()
            },
            hdlr: handler,
            minf: Minf {
                vmhd: (kind == MediaKind::Video).then(Vmhd::default),
                smhd: (kind == MediaKind::Audio).then(Smhd::default),
                dinf: Dinf {
                    dref: Dref {
                        entries: vec![Url::default().into()],
                    },
                },
                stbl: Stbl {
                    stsd: Stsd {
                        codecs: vec![entry.codec],
                    },
                    stco: Some(Stco::default()),
                    ..Stbl::default()
                },
                ..Minf::default()
            },
        },
        ..Trak::default()
    };
    Moov {
        mvhd: Mvhd {
            timescale,
            rate: 1.into(),
            volume: 1.into(),
            next_track_id: track_id + 1,
            ..Mvhd::default()
        },
        mvex: Some(Mvex {
            mehd: None,
            trex: vec![Trex {
                track_id,
                default_sample_description_index: 1,
                ..Trex::default()
            }],
        }),
        trak: vec![trak],
        ..Moov::default()
    }
}

/// A whole number in 16.16 fixed point; 0 if it does not fit.
fn whole(number: u32) -> FixedPoint<u16> {
    FixedPoint::new(u16::try_from(number).unwrap_or(0), 0)
}

/// The three letters of ISO 639-2/T that `mdhd` wants. The tag itself goes to
/// players by playlist and manifest; what is not known here is `und`.
fn language(tag: Option<&str>) -> String {
    let primary = tag
        .and_then(|tag| tag.split(['-', '_']).next())
        .unwrap_or_default()
        .to_ascii_lowercase();
    let letters = primary.bytes().all(|byte| byte.is_ascii_lowercase());
    match primary.len() {
        3 if letters => primary,
        2 => ISO_639_1
            .iter()
            .find(|(two, _)| *two == primary)
            .map_or(UNDETERMINED, |(_, three)| *three)
            .to_owned(),
        _ => UNDETERMINED.to_owned(),
    }
}

const UNDETERMINED: &str = "und";

/// Two-letter codes and their terminological three-letter ones, of the
/// languages that are broadcast most.
const ISO_639_1: [(&str, &str); 40] = [
    ("ar", "ara"),
    ("bg", "bul"),
    ("bn", "ben"),
    ("ca", "cat"),
    ("cs", "ces"),
    ("da", "dan"),
    ("de", "deu"),
    ("el", "ell"),
    ("en", "eng"),
    ("es", "spa"),
    ("et", "est"),
    ("fa", "fas"),
    ("fi", "fin"),
    ("fr", "fra"),
    ("he", "heb"),
    ("hi", "hin"),
    ("hr", "hrv"),
    ("hu", "hun"),
    ("id", "ind"),
    ("it", "ita"),
    ("ja", "jpn"),
    ("ko", "kor"),
    ("lt", "lit"),
    ("lv", "lav"),
    ("ms", "msa"),
    ("nb", "nob"),
    ("nl", "nld"),
    ("no", "nor"),
    ("pl", "pol"),
    ("pt", "por"),
    ("ro", "ron"),
    ("ru", "rus"),
    ("sk", "slk"),
    ("sl", "slv"),
    ("sr", "srp"),
    ("sv", "swe"),
    ("th", "tha"),
    ("tr", "tur"),
    ("uk", "ukr"),
    ("zh", "zho"),
];

#[cfg(test)]
mod tests;
