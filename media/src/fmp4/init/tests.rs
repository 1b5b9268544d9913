//! Init segments, read back by mp4-atom.

use mp4_atom::{Any, Avc1, Colr, Decode, Mp4a};
use rillcast_core::TrackId;

use super::*;
use crate::codec::avc::captures;
use crate::codec::hevc::captures as hevc_captures;
use crate::codec::mpeg_audio;
use crate::codec::{
    self, AAC, AC3, AV1, AVC, EAC3, FLAC, HEVC, MP3, OPUS, VP9, aac, avc, hevc, opus,
};

fn read(track: &Track) -> (Ftyp, Moov) {
    let bytes = init(track).unwrap();
    let mut rest = &bytes[..];
    let ftyp = Ftyp::decode(&mut rest).unwrap();
    let moov = Moov::decode(&mut rest).unwrap();
    assert!(rest.is_empty());
    (ftyp, moov)
}

fn avc_track(record: &str) -> Track {
    avc::Config::parse(&captures::bytes(record))
        .unwrap()
        .track(TrackId(0))
}

fn aac_track(config: &[u8]) -> Track {
    aac::Config::parse(config).unwrap().track(TrackId(1))
}

fn avc1(moov: &Moov) -> &Avc1 {
    match &moov.trak[0].mdia.minf.stbl.stsd.codecs[..] {
        [mp4_atom::Codec::Avc1(entry)] => entry,
        other => panic!("{other:?}"),
    }
}

fn mp4a(moov: &Moov) -> &Mp4a {
    match &moov.trak[0].mdia.minf.stbl.stsd.codecs[..] {
        [mp4_atom::Codec::Mp4a(entry)] => entry,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_video_track_without_samples_or_edits() {
    let track = avc_track(captures::HIGH_1080);
    let (ftyp, moov) = read(&track);
    assert_eq!(ftyp.major_brand, FourCC::new(b"cmfc"));
    assert_eq!(moov.mvhd.next_track_id, 2);
    assert_eq!(moov.mvex.unwrap().trex[0].track_id, 1);
    let trak = &moov.trak[0];
    assert_eq!((trak.tkhd.track_id, trak.tkhd.duration), (1, 0));
    assert_eq!(trak.tkhd.width.integer(), 1_920);
    assert_eq!(trak.tkhd.height.integer(), 1_080);
    assert_eq!(trak.tkhd.volume.integer(), 0);
    assert!(trak.edts.is_none());
    assert_eq!(trak.mdia.mdhd.timescale, 90_000);
    assert_eq!(trak.mdia.hdlr.handler, FourCC::new(b"vide"));
    assert!(trak.mdia.minf.vmhd.is_some() && trak.mdia.minf.smhd.is_none());
    let stbl = &trak.mdia.minf.stbl;
    assert!(stbl.stts.entries.is_empty() && stbl.stsc.entries.is_empty());
    assert!(stbl.stss.is_none() && stbl.co64.is_none());
}

#[test]
fn the_configuration_box_is_the_canonical_record() {
    for record in captures::ALL {
        let bytes = init(&avc_track(record)).unwrap();
        let config = captures::bytes(record);
        let size = u32::try_from(config.len() + 8).unwrap();
        let avcc = [&size.to_be_bytes()[..], b"avcC", &config].concat();
        let found = bytes.windows(avcc.len()).any(|window| window == avcc);
        assert!(found, "{record}");
    }
}

#[test]
fn samples_that_are_not_square_and_colours_are_said() {
    let (_, moov) = read(&avc_track(captures::INTERLACED));
    let entry = avc1(&moov);
    assert_eq!((entry.visual.width, entry.visual.height), (720, 576));
    let pasp = entry.pasp.clone().unwrap();
    assert_eq!((pasp.h_spacing, pasp.v_spacing), (64, 45));
    assert_eq!(moov.trak[0].tkhd.width.integer(), 1_024);
    assert!(entry.colr.is_none());

    let (_, moov) = read(&avc_track(captures::HIGH_422));
    assert_eq!(
        avc1(&moov).colr,
        Some(Colr::Nclx {
            colour_primaries: 9,
            transfer_characteristics: 16,
            matrix_coefficients: 9,
            full_range_flag: false,
        })
    );
}

#[test]
fn an_audio_track_has_its_rate_channels_and_configuration() {
    for (config, rate, channels) in [
        (&[0x12, 0x10][..], 44_100, 2),
        (&[0x11, 0x88], 48_000, 1),
        (&[0x11, 0xb0], 48_000, 6),
        (&[0x2b, 0x11, 0x88, 0x00], 48_000, 2),
    ] {
        let (_, moov) = read(&aac_track(config));
        let trak = &moov.trak[0];
        assert_eq!(trak.tkhd.track_id, 2);
        assert_eq!(trak.tkhd.volume.integer(), 1);
        assert_eq!(trak.mdia.mdhd.timescale, rate);
        assert_eq!(trak.mdia.hdlr.handler, FourCC::new(b"soun"));
        assert!(trak.mdia.minf.smhd.is_some() && trak.mdia.minf.vmhd.is_none());
        let entry = mp4a(&moov);
        assert_eq!(entry.audio.channel_count, channels);
        assert_eq!(u32::from(entry.audio.sample_rate.integer()), rate);
        let decoder = &entry.esds.es_desc.dec_config;
        assert_eq!(decoder.object_type_indication, 0x40);
        let specific = decoder.dec_specific.as_ref().unwrap();
        assert_eq!(specific.raw, config);
    }
    // 96 kHz does not fit 16.16; the timescale has it.
    let (_, moov) = read(&aac_track(&[0x10, 0x10]));
    assert_eq!(mp4a(&moov).audio.sample_rate.integer(), 0);
    assert_eq!(moov.trak[0].mdia.mdhd.timescale, 96_000);
}

/// The configuration's box with what the codec's binding puts into it.
#[test]
fn the_configuration_is_the_record_of_the_track() {
    let hevc = |record| {
        let config = hevc::Config::parse(&captures::bytes(record)).unwrap();
        config.track(TrackId(0))
    };
    let hevc = hevc_captures::ALL.map(|record| (hevc(record), b"hvcC"));
    let opus = [0, 1, 2, 6, 8].map(|code| {
        let config = opus::Config::of_channel_code(Some(code)).unwrap();
        (config.track(TrackId(1)), b"dOps")
    });
    for (track, kind) in hevc.into_iter().chain(opus) {
        let bytes = init(&track).unwrap();
        let size = u32::try_from(track.config.len() + 8).unwrap();
        let wanted = [&size.to_be_bytes()[..], kind, &track.config].concat();
        let found = bytes.windows(wanted.len()).any(|window| window == wanted);
        assert!(found, "{track:?}");
        read(&track);
    }
}

#[test]
fn pictures_of_hevc_have_their_size_and_colours() {
    let record = captures::bytes(hevc_captures::MAIN10_HDR);
    let track = hevc::Config::parse(&record).unwrap().track(TrackId(0));
    let (_, moov) = read(&track);
    let entry = match &moov.trak[0].mdia.minf.stbl.stsd.codecs[..] {
        [mp4_atom::Codec::Hvc1(entry)] => entry,
        other => panic!("{other:?}"),
    };
    assert_eq!((entry.visual.width, entry.visual.height), (1_920, 1_080));
    assert_eq!(
        entry.colr,
        Some(Colr::Nclx {
            colour_primaries: 9,
            transfer_characteristics: 16,
            matrix_coefficients: 9,
            full_range_flag: false,
        })
    );
}

#[test]
fn layer_iii_is_told_by_its_object_type() {
    for (header, rate, object_type) in [
        ([0xff, 0xfb, 0x90, 0x44], 44_100, 0x6b),
        ([0xff, 0xf3, 0x84, 0xc4], 24_000, 0x69),
    ] {
        let header = mpeg_audio::Header::parse(header).unwrap();
        assert_eq!(header.sample_rate, rate);
        let (_, moov) = read(&header.track(TrackId(1)));
        let entry = mp4a(&moov);
        let decoder = &entry.esds.es_desc.dec_config;
        assert_eq!(decoder.object_type_indication, object_type);
        assert!(decoder.dec_specific.is_none());
        assert_eq!(entry.audio.channel_count, header.channels);
    }
}

#[test]
fn languages_are_three_letters() {
    for (tag, want) in [
        (None, "und"),
        (Some("en"), "eng"),
        (Some("de-CH"), "deu"),
        (Some("PT-br"), "por"),
        (Some("gsw"), "gsw"),
        (Some("xx"), "und"),
        (Some("x-klingon"), "und"),
        (Some("éé"), "und"),
        (Some(""), "und"),
    ] {
        let track = aac_track(&[0x12, 0x10]).with_language(tag.map(str::to_owned));
        let (_, moov) = read(&track);
        assert_eq!(moov.trak[0].mdia.mdhd.language, want, "{tag:?}");
    }
}

#[test]
fn equal_tracks_give_equal_bytes() {
    let track = avc_track(captures::FULL_RANGE);
    assert_eq!(init(&track).unwrap(), init(&track.clone()).unwrap());
}

#[test]
fn what_cannot_be_carried_is_typed() {
    let track = avc_track(captures::BASELINE);
    let with = |codec| Track::new(TrackId(0), codec, track.timescale, track.params);
    for codec in [codec::VVC, codec::MP2] {
        assert!(!can_carry(codec));
        let error = init(&with(codec)).unwrap_err();
        assert!(matches!(error, Error::Codec(refused) if refused == codec));
    }
    for codec in [AVC, HEVC, AV1, VP9, AAC, OPUS, FLAC, MP3, AC3, EAC3] {
        assert!(can_carry(codec));
    }
    for codec in [OPUS, AC3, EAC3] {
        assert!(matches!(init(&with(codec)), Err(Error::Record(refused, _)) if refused == codec));
    }
    assert!(matches!(init(&with(HEVC)), Err(Error::Hevc(_))));
    assert!(matches!(init(&with(AV1)), Err(Error::Av1(_))));
    assert!(matches!(init(&with(VP9)), Err(Error::Vp9(_))));
    assert!(matches!(init(&with(FLAC)), Err(Error::Flac(_))));
    assert!(matches!(init(&with(AVC)), Err(Error::Avc(_))));
    assert!(matches!(init(&with(AAC)), Err(Error::Aac(_))));
}

#[test]
fn nothing_but_two_boxes_is_written() {
    let bytes = init(&avc_track(captures::HRD)).unwrap();
    let mut rest = &bytes[..];
    let kinds: Vec<_> =
        std::iter::from_fn(|| (!rest.is_empty()).then(|| Any::decode(&mut rest).unwrap().kind()))
            .collect();
    assert_eq!(kinds, [FourCC::new(b"ftyp"), FourCC::new(b"moov")]);
}
