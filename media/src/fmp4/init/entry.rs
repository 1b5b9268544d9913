//! Sample entries: what a decoder is told of a track, by its codec (ISO/IEC 14496-12
//! section 8.5.2).
//!
//! A track's configuration is the record that its codec's binding wants, so most
//! entries are what all pictures or all sounds have, with that record in its box.

use bytes::Bytes;
use mp4_atom::{
    Ac3, Atom, Audio, Av01, Avc1, Avcc, AvccExt, Colr, Compressor, Eac3, Flac, Hvc1, Mp4a, Opus,
    Pasp, Visual, Vp09, esds,
};
use rillcast_core::{AudioParams, Codec, Track, VideoParams};

use super::super::Error;
use super::whole;
use crate::codec::light::{Light, Mastering};
use crate::codec::{
    AAC, AC3, AV1, AVC, EAC3, FLAC, HEVC, MP3, OPUS, VP9, aac, av1, avc, flac, hevc, vp9,
};

/// A sample entry, and the size that its pictures are shown in.
pub(super) struct SampleEntry {
    pub(super) codec: mp4_atom::Codec,
    pub(super) shown: (u32, u32),
    /// Boxes that stand in it behind all others: those that mp4-atom does not know.
    pub(super) boxes: Vec<u8>,
}

/// Whether [`init`](super::init) knows a sample entry for the codec. A stream with a
/// track that it does not know can still be packaged without that track.
#[must_use]
pub fn can_carry(codec: Codec) -> bool {
    matches!(
        codec,
        AVC | HEVC | AV1 | VP9 | AAC | OPUS | FLAC | MP3 | AC3 | EAC3
    )
}

pub(super) fn sample_entry(track: &Track) -> Result<SampleEntry, Error> {
    match track.codec {
        AVC => avc_entry(track),
        HEVC => hevc_entry(track),
        AV1 => av1_entry(track),
        VP9 => vp9_entry(track),
        AAC => aac_entry(track),
        OPUS => Ok(sound(Opus {
            audio: audio(track),
            dops: record(track)?,
            btrt: None,
        })),
        FLAC => flac_entry(track),
        AC3 => Ok(sound(Ac3 {
            audio: audio(track),
            dac3: record(track)?,
        })),
        EAC3 => Ok(sound(Eac3 {
            audio: audio(track),
            dec3: record(track)?,
        })),
        MP3 => Ok(sound(mp4a(track, mp3_type(track), None))),
        other => Err(Error::Codec(other)),
    }
}

/// The box that holds the track's configuration.
fn record<A: Atom>(track: &Track) -> Result<A, Error> {
    record_behind(&[], track)
}

/// The box that holds the track's configuration behind `head`.
fn record_behind<A: Atom>(head: &[u8], track: &Track) -> Result<A, Error> {
    let bytes = [head, &track.config].concat();
    let read = A::decode_body(&mut &bytes[..]);
    read.map_err(|error| Error::Record(track.codec, error.into()))
}

fn sound(codec: impl Into<mp4_atom::Codec>) -> SampleEntry {
    SampleEntry {
        codec: codec.into(),
        shown: (0, 0),
        boxes: Vec::new(),
    }
}

/// What all sounds have.
fn audio(track: &Track) -> Audio {
    let AudioParams {
        sample_rate,
        channels,
        ..
    } = track.audio().copied().unwrap_or_default();
    Audio {
        data_reference_index: 1,
        // 2 is the template's value where the count is unknown.
        channel_count: if channels == 0 { 2 } else { channels },
        sample_size: 16,
        // 16.16 fixed point; 0 says that it does not fit, as with 96 kHz.
        sample_rate: whole(sample_rate),
    }
}

/// What all pictures have.
fn visual(width: u16, height: u16) -> Visual {
    Visual {
        data_reference_index: 1,
        width,
        height,
        compressor: Compressor::default(),
        ..Visual::default()
    }
}

fn pasp(ratio: Option<(u16, u16)>) -> Option<Pasp> {
    ratio.map(|(h, v)| Pasp {
        h_spacing: u32::from(h),
        v_spacing: u32::from(v),
    })
}

fn colr(colour: Option<avc::Colour>) -> Option<Colr> {
    colour.map(|colour| Colr::Nclx {
        colour_primaries: u16::from(colour.primaries),
        transfer_characteristics: u16::from(colour.transfer),
        matrix_coefficients: u16::from(colour.matrix),
        full_range_flag: colour.full_range,
    })
}

/// `mdcv` and `clli`.
fn light(mastering: Option<Mastering>, light: Option<Light>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut put = |kind: &[u8; 4], body: Bytes| {
        let size = u32::try_from(8 + body.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&size.to_be_bytes());
        out.extend_from_slice(kind);
        out.extend_from_slice(&body);
    };
    if let Some(mastering) = mastering {
        put(b"mdcv", mastering.to_bytes());
    }
    if let Some(light) = light {
        put(b"clli", light.to_bytes());
    }
    out
}

fn avc_entry(track: &Track) -> Result<SampleEntry, Error> {
    let config = avc::Config::parse(&track.config)?;
    let sps = *config.sps();
    let units = |sets: &[Bytes]| sets.iter().map(|set| set.to_vec()).collect::<Vec<_>>();
    let avc1 = Avc1 {
        visual: visual(sps.width, sps.height),
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
        pasp: pasp(sps.sample_aspect_ratio),
        colr: colr(sps.colour),
        ..Avc1::default()
    };
    Ok(SampleEntry {
        codec: avc1.into(),
        shown: sps.display_size(),
        boxes: Vec::new(),
    })
}

fn hevc_entry(track: &Track) -> Result<SampleEntry, Error> {
    let config = hevc::Config::parse(&track.config)?;
    let sps = *config.sps();
    let hvc1 = Hvc1 {
        visual: visual(sps.width, sps.height),
        hvcc: record(track)?,
        lhvc: None,
        btrt: None,
        colr: colr(sps.colour),
        pasp: pasp(sps.sample_aspect_ratio),
        taic: None,
        fiel: None,
        ccst: None,
        spatial: None,
    };
    Ok(SampleEntry {
        codec: hvc1.into(),
        shown: sps.display_size(),
        boxes: light(config.mastering(), config.light()),
    })
}

fn av1_entry(track: &Track) -> Result<SampleEntry, Error> {
    let config = av1::Config::parse(&track.config)?;
    let sequence = *config.sequence();
    let side = |side| u16::try_from(side).unwrap_or(u16::MAX);
    let av01 = Av01 {
        visual: visual(side(sequence.width), side(sequence.height)),
        av1c: record(track)?,
        btrt: None,
        ccst: None,
        colr: colr(sequence.colour),
        pasp: None,
        taic: None,
        spatial: None,
    };
    Ok(SampleEntry {
        codec: av01.into(),
        shown: (sequence.width, sequence.height),
        boxes: light(config.mastering(), config.light()),
    })
}

/// The record of VP9 does not say how large pictures are.
fn vp9_entry(track: &Track) -> Result<SampleEntry, Error> {
    let config = vp9::Config::parse(&track.config)?;
    let VideoParams { width, height, .. } = track.video().copied().unwrap_or_default();
    let side = |side| u16::try_from(side).unwrap_or(u16::MAX);
    let vp09 = Vp09 {
        visual: visual(side(width), side(height)),
        vpcc: record_behind(&VPCC_HEAD, track)?,
        btrt: None,
        colr: colr(config.colour()),
        pasp: None,
        spatial: None,
    };
    Ok(SampleEntry {
        codec: vp09.into(),
        shown: (width, height),
        boxes: Vec::new(),
    })
}

fn flac_entry(track: &Track) -> Result<SampleEntry, Error> {
    let config = flac::Config::parse(&track.config)?;
    let mut audio = audio(track);
    audio.sample_size = u16::from(config.bits_per_sample());
    Ok(sound(Flac {
        audio,
        dfla: record_behind(&DFLA_HEAD, track)?,
    }))
}

fn aac_entry(track: &Track) -> Result<SampleEntry, Error> {
    let config = aac::Config::parse(&track.config)?;
    let specific = config.to_bytes();
    let mut entry = mp4a(track, OBJECT_TYPE_AAC, Some(specific));
    entry.audio.channel_count = match config.channels() {
        0 => 2,
        channels => channels,
    };
    entry.audio.sample_rate = whole(config.sample_rate());
    Ok(sound(entry))
}

/// Sound that MPEG-4 systems describe (ISO/IEC 14496-14 section 5.6).
fn mp4a(track: &Track, object_type: u8, specific: Option<Bytes>) -> Mp4a {
    Mp4a {
        audio: audio(track),
        esds: esds::Esds {
            es_desc: esds::EsDescriptor {
                // In a file of its own a stream has the id 0 (ISO/IEC 14496-14 section 3.1.2).
                es_id: 0,
                dec_config: esds::DecoderConfig {
                    object_type_indication: object_type,
                    stream_type: STREAM_TYPE_AUDIO,
                    dec_specific: specific.map(|specific| esds::DecoderSpecific {
                        raw: specific.to_vec(),
                        ..Default::default()
                    }),
                    ..Default::default()
                },
                ..Default::default()
            },
        },
        btrt: None,
        taic: None,
    }
}

/// Layer III is that of MPEG-1 or, at rates below 32 kHz, of MPEG-2.
fn mp3_type(track: &Track) -> u8 {
    match track.audio() {
        Some(audio) if audio.sample_rate < 32_000 => OBJECT_TYPE_MPEG2_AUDIO,
        _ => OBJECT_TYPE_MPEG1_AUDIO,
    }
}

/// Version and flags of `vpcC`.
const VPCC_HEAD: [u8; 4] = [1, 0, 0, 0];
/// Those of `dfLa`, and the header of its last metadata block, STREAMINFO.
const DFLA_HEAD: [u8; 8] = [0, 0, 0, 0, 0x80, 0, 0, 34];

/// `objectTypeIndication` (ISO/IEC 14496-1, table 5): ISO/IEC 14496-3, 13818-3 and
/// 11172-3 audio.
const OBJECT_TYPE_AAC: u8 = 0x40;
const OBJECT_TYPE_MPEG2_AUDIO: u8 = 0x69;
const OBJECT_TYPE_MPEG1_AUDIO: u8 = 0x6b;
/// `streamType` of an audio stream (ISO/IEC 14496-1, table 6).
const STREAM_TYPE_AUDIO: u8 = 5;
