//! Init segments: `ftyp` and the `moov` of one track.

use bytes::Bytes;
use mp4_atom::{
    Audio, Avc1, Avcc, AvccExt, Colr, Compressor, Dinf, Dref, Encode, FixedPoint, FourCC, Ftyp,
    Hdlr, Mdhd, Mdia, Minf, Moov, Mp4a, Mvex, Mvhd, Pasp, Smhd, Stbl, Stco, Stsd, Tkhd, Trak, Trex,
    Url, Visual, Vmhd, esds,
};
use rillcast_core::{Codec, MediaKind, Track};

use super::{Error, track_id};
use crate::codec::{AAC, AVC, aac, avc};

/// Whether [`init`] knows a sample entry for the codec. A stream with a track
/// that it does not know can still be packaged without that track.
#[must_use]
pub fn can_carry(codec: Codec) -> bool {
    matches!(codec, AVC | AAC)
}

/// Writes the init segment of a track: `ftyp` with the brands of CMAF, and a
/// `moov` without samples and without an edit list, in the track's timescale.
///
/// Equal tracks give equal bytes: no creation times, nothing that is measured.
///
/// # Errors
/// [`Error::Codec`] for a codec that [`can_carry`] does not know;
/// [`Error::Avc`] or [`Error::Aac`] if the track's configuration is malformed.
pub fn init(track: &Track) -> Result<Bytes, Error> {
    let sample_entry = match track.codec {
        AVC => avc_entry(track)?,
        AAC => aac_entry(track)?,
        other => return Err(Error::Codec(other)),
    };
    let mut out = Vec::with_capacity(1_024);
    ftyp()
        .encode(&mut out)
        .and_then(|()| moov(track, sample_entry).encode(&mut out))
        .map_err(|error| Error::Encode(error.into()))?;
    Ok(out.into())
}

/// A sample entry, and the size that its pictures are shown in.
struct SampleEntry {
    codec: mp4_atom::Codec,
    shown: (u32, u32),
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

fn avc_entry(track: &Track) -> Result<SampleEntry, Error> {
    let config = avc::Config::parse(&track.config)?;
    let sps = *config.sps();
    let units = |sets: &[Bytes]| sets.iter().map(|set| set.to_vec()).collect::<Vec<_>>();
    let avc1 = Avc1 {
        visual: Visual {
            data_reference_index: 1,
            width: sps.width,
            height: sps.height,
            compressor: Compressor::default(),
            ..Visual::default()
        },
        avcc: Avcc {
            configuration_version: 1,
            avc_profile_indication: sps.profile,
            profile_compatibility: sps.constraints,
            avc_level_indication: sps.level,
            length_size: 4,
            sequence_parameter_sets: units(config.sequence_parameter_sets()),
            picture_parameter_sets: units(config.picture_parameter_sets()),
            ext: sps.has_extension().then(|| AvccExt {
                chroma_format: sps.chroma_format,
                bit_depth_luma: sps.bit_depth_luma,
                bit_depth_chroma: sps.bit_depth_chroma,
                sequence_parameter_sets_ext: units(config.sequence_parameter_set_extensions()),
            }),
        },
        pasp: sps.sample_aspect_ratio.map(|(h, v)| Pasp {
            h_spacing: u32::from(h),
            v_spacing: u32::from(v),
        }),
        colr: sps.colour.map(|colour| Colr::Nclx {
            colour_primaries: u16::from(colour.primaries),
            transfer_characteristics: u16::from(colour.transfer),
            matrix_coefficients: u16::from(colour.matrix),
            full_range_flag: colour.full_range,
        }),
        ..Avc1::default()
    };
    Ok(SampleEntry {
        codec: avc1.into(),
        shown: sps.display_size(),
    })
}

fn aac_entry(track: &Track) -> Result<SampleEntry, Error> {
    let config = aac::Config::parse(&track.config)?;
    let mp4a = Mp4a {
        audio: Audio {
            data_reference_index: 1,
            // 2 is the template's value where the count is unknown.
            channel_count: match config.channels() {
                0 => 2,
                channels => channels,
            },
            sample_size: 16,
            // 16.16 fixed point; 0 says that it does not fit, as with 96 kHz.
            sample_rate: whole(config.sample_rate()),
        },
        esds: esds::Esds {
            es_desc: esds::EsDescriptor {
                // In a file of its own a stream has the id 0 (ISO/IEC 14496-14 section 3.1.2).
                es_id: 0,
                dec_config: esds::DecoderConfig {
                    object_type_indication: OBJECT_TYPE_AAC,
                    stream_type: STREAM_TYPE_AUDIO,
                    dec_specific: Some(esds::DecoderSpecific {
                        raw: config.to_bytes().to_vec(),
                        ..Default::default()
                    }),
                    ..Default::default()
                },
                ..Default::default()
            },
        },
        btrt: None,
        taic: None,
    };
    Ok(SampleEntry {
        codec: mp4a.into(),
        shown: (0, 0),
    })
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

/// `objectTypeIndication` of ISO/IEC 14496-3 audio (ISO/IEC 14496-1, table 5).
const OBJECT_TYPE_AAC: u8 = 0x40;
/// `streamType` of an audio stream (ISO/IEC 14496-1, table 6).
const STREAM_TYPE_AUDIO: u8 = 5;

#[cfg(test)]
mod tests;
