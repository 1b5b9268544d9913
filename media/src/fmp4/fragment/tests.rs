//! The fragment writer against mp4-atom, which reads and writes the same boxes.

use mp4_atom::{
    Decode, Encode, FourCC, Mfhd, Moof, Prft, ReferenceTime, Styp, Tfdt, Tfhd, Traf, Trun,
    TrunEntry,
};
use proptest::prelude::*;

use super::*;

/// The same `moof` as a tree.
fn tree(header: &FragmentHeader<'_>, data_offset: i32) -> Moof {
    let entry = |sample: &Sample| TrunEntry {
        duration: Some(sample.duration),
        size: Some(sample.size),
        flags: Some(if sample.keyframe {
            0x0200_0000
        } else {
            0x0101_0000
        }),
        cts: Some(i64::from(sample.cts)),
    };
    Moof {
        mfhd: Mfhd {
            sequence_number: header.sequence,
        },
        traf: vec![Traf {
            tfhd: Tfhd {
                track_id: header.track_id,
                default_base_is_moof: true,
                ..Tfhd::default()
            },
            tfdt: Some(Tfdt {
                base_media_decode_time: header.base_decode_time,
            }),
            trun: vec![Trun {
                data_offset: Some(data_offset),
                samples: header.samples.iter().map(entry).collect::<Vec<_>>().into(),
            }],
            ..Traf::default()
        }],
    }
}

fn check(header: &FragmentHeader<'_>) {
    let bytes = fragment(header).unwrap();
    let mut rest = &bytes[..];
    if header.styp {
        let styp = Styp::decode(&mut rest).unwrap();
        let brand = |name| FourCC::new(name);
        assert_eq!(styp.major_brand, brand(b"msdh"));
        assert_eq!(
            styp.compatible_brands,
            [brand(b"msdh"), brand(b"cmfs")].to_vec()
        );
    }
    if let Some(produced) = header.produced {
        let cts = i64::from(header.samples[0].cts);
        let want = Prft {
            reference_track_id: header.track_id,
            ntp_timestamp: ntp(produced).unwrap(),
            media_time: header.base_decode_time.saturating_add_signed(cts),
            utc_time_semantics: ReferenceTime::Input,
        };
        assert_eq!(Prft::decode(&mut rest).unwrap(), want);
    }
    let before = rest.len();
    let moof = Moof::decode(&mut rest).unwrap();
    let moof_size = before - rest.len();
    let data_offset = i32::try_from(moof_size + 8).unwrap();
    // A lone sample flag reads as the first sample's; writing tells them apart.
    if header.samples.len() > 1 {
        let mut written = Vec::new();
        tree(header, data_offset).encode(&mut written).unwrap();
        assert_eq!(written, bytes[bytes.len() - before..][..moof_size]);
        assert_eq!(moof, tree(header, data_offset));
    }
    let payload: u32 = header.samples.iter().map(|sample| sample.size).sum();
    assert_eq!(rest, [&(payload + 8).to_be_bytes()[..], b"mdat"].concat());
}

#[test]
fn one_sample_is_written_with_its_own_flags() {
    for keyframe in [true, false] {
        let samples = [Sample {
            duration: 3_600,
            size: 1_000,
            cts: -7,
            keyframe,
        }];
        let header = FragmentHeader {
            sequence: 1,
            track_id: 1,
            base_decode_time: 0,
            styp: true,
            produced: None,
            samples: &samples,
        };
        check(&header);
        let bytes = fragment(&header).unwrap();
        let flags = &bytes[bytes.len() - 16..][..4];
        let want = if keyframe { [2, 0, 0, 0] } else { [1, 1, 0, 0] };
        assert_eq!(flags, want);
    }
}

#[test]
fn no_samples_and_too_large_ones_are_refused() {
    let sample = |size| Sample {
        duration: 1,
        size,
        cts: 0,
        keyframe: true,
    };
    let write = |samples: &[Sample]| {
        fragment(&FragmentHeader {
            sequence: 0,
            track_id: 1,
            base_decode_time: 0,
            styp: false,
            produced: None,
            samples,
        })
    };
    assert!(matches!(write(&[]), Err(Error::NoSamples)));
    assert!(matches!(
        write(&[sample(u32::MAX - 7)]),
        Err(Error::TooLarge)
    ));
    assert!(matches!(
        write(&[sample(u32::MAX - 8), sample(1)]),
        Err(Error::TooLarge)
    ));
    assert!(write(&[sample(u32::MAX - 8)]).is_ok());
}

prop_compose! {
    fn samples()(list in prop::collection::vec(any::<(u32, u32, i32, bool)>(), 1..40)) -> Vec<Sample> {
        list.into_iter()
            .map(|(duration, size, cts, keyframe)| Sample { duration, size: size >> 8, cts, keyframe })
            .collect()
    }
}

proptest! {
    #[test]
    fn the_moof_is_what_mp4_atom_reads_and_writes(
        samples in samples(),
        sequence: u32,
        track_id in 1_u32..300,
        base_decode_time: u64,
        styp: bool,
        since_1970 in prop::option::of(0..=1_u64 << 34),
    ) {
        let date = |seconds| SystemTime::UNIX_EPOCH + Duration::new(seconds, 7);
        let produced = since_1970.map(date);
        check(&FragmentHeader { sequence, track_id, base_decode_time, styp, produced, samples: &samples });
    }
}

#[test]
fn dates_are_those_of_ntp() {
    let date = |seconds, nanos| ntp(SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos));
    assert_eq!(date(0, 0), Some(0x83AA_7E80 << 32));
    assert_eq!(date(1, 500_000_000), Some(0x83AA_7E81 << 32 | 1 << 31));
    // Its second era begins on 7 February 2036, at 06:28:16.
    assert_eq!(date(2_085_978_496, 250_000_000), Some(1 << 30));
    assert_eq!(ntp(SystemTime::UNIX_EPOCH - Duration::from_nanos(1)), None);
}

/// What keeps the writer: run with `--ignored --nocapture` in a release build.
#[test]
#[ignore = "a measurement, not a test"]
fn cost_against_mp4_atom() {
    let samples = [Sample {
        duration: 3_600,
        size: 4_000,
        cts: 3_600,
        keyframe: false,
    }; 5];
    let header = FragmentHeader {
        sequence: 7,
        track_id: 1,
        base_decode_time: 90_000,
        styp: false,
        produced: None,
        samples: &samples,
    };
    let rounds = 200_000;
    for round in 0..3 {
        let start = std::time::Instant::now();
        for _ in 0..rounds {
            std::hint::black_box(fragment(std::hint::black_box(&header)).unwrap());
        }
        let own = start.elapsed() / rounds;
        let start = std::time::Instant::now();
        for _ in 0..rounds {
            let header = std::hint::black_box(&header);
            // The offset follows from the count here: mp4-atom alone would
            // have to encode twice.
            let mut out = Vec::with_capacity(256);
            tree(header, 96 + 16 * 5).encode(&mut out).unwrap();
            out.extend_from_slice(&20_008_u32.to_be_bytes());
            out.extend_from_slice(b"mdat");
            std::hint::black_box(out);
        }
        let atom = start.elapsed() / rounds;
        println!("round {round}: own {own:?}, mp4-atom {atom:?} a fragment of 5 samples");
    }
}
