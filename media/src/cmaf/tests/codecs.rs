//! Each codec in the cut: frames as long as its access units are, and what is a
//! change of configuration and what is none.

use bytes::Bytes;
use rillcast_core::{Track, TrackId};

use super::scene::{AUDIO, Event, Pictures, Scene, Sent, Sound, VIDEO};
use crate::codec::avc::captures::bytes;
use crate::codec::hevc::captures as hevc_captures;
use crate::codec::{ac3, av1, flac, hevc, mpeg_audio, opus, vp9};

fn hevc(record: &str) -> Track {
    let config = hevc::Config::parse(&bytes(record)).unwrap();
    config.track(VIDEO)
}

/// Of 320x180 by libaom, in 8 bits or in 10 for perceptual quantisation.
fn av1(is_high: bool) -> Track {
    let record = match is_high {
        false => "81000c000a0b000000043cfeccdaf90040",
        true => "81004c000a0e000000043cfeccdaf95091009040",
    };
    av1::Config::parse(&bytes(record)).unwrap().track(VIDEO)
}

/// By a keyframe of libvpx, 320x180 or wider, which no record says.
fn vp9(is_wide: bool) -> Track {
    let mut config = vp9::Config::parse(&bytes("000b820202020000")).unwrap();
    let mut key = bytes("824983420013f00b360438241c184a000a40");
    if is_wide {
        key[5] = 0x27;
    }
    assert!(config.absorb(&key).unwrap());
    config.track(VIDEO)
}

/// At 48 kHz.
fn flac(channels: u8) -> Track {
    let mut info = bytes(
        "10001000000000000000 0bb800f000000000"
            .replace(' ', "")
            .as_str(),
    );
    info[12] |= (channels - 1) << 1;
    info.resize(34, 0);
    flac::Config::parse(&info).unwrap().track(AUDIO)
}

fn opus(code: u8) -> Track {
    let config = opus::Config::of_channel_code(Some(code)).unwrap();
    config.track(AUDIO)
}

/// The descriptions of a track from a second on.
fn described(mut scene: Scene, of: TrackId, times: &[(f64, &Track)]) -> Scene {
    scene
        .events
        .retain(|(_, event)| !matches!(event, Event::Track(track) if track.id == of));
    for (at, track) in times {
        scene.push(*at, Event::Track((*track).clone()));
    }
    // What describes a frame comes before it.
    scene.events.sort_by(|(a, one), (b, other)| {
        let is_frame = |event: &Event| matches!(event, Event::Frame(_));
        a.total_cmp(b).then(is_frame(one).cmp(&is_frame(other)))
    });
    scene
}

#[test]
fn only_a_real_change_makes_a_new_init_and_a_discontinuity() {
    for (first, second) in [
        (
            hevc(hevc_captures::MAIN_360),
            hevc(hevc_captures::MAIN10_HDR),
        ),
        (av1(false), av1(true)),
        (vp9(false), vp9(true)),
        // Another codec.
        (hevc(hevc_captures::MAIN_360), av1(false)),
        (flac(1), flac(2)),
        (opus(2), opus(1)),
        (flac(2), opus(2)),
    ] {
        let what = format!("{} to {}", first.codec_string, second.codec_string);
        let id = first.id;
        let scene = Scene::new(
            Some(Pictures::new((25, 1), 50, 30.0)),
            Some(Sound::new(48_000, 30.0)),
        );
        // The same again and again is no change.
        let times = [
            (0.0, &first),
            (6.0, &first),
            (14.0, &second),
            (20.0, &second),
        ];
        let run = described(scene, id, &times).run();
        let counters = run.last.counters;
        let breaks = (counters.config_changes, counters.discontinuities);
        assert_eq!(breaks, (1, 1), "{what}");
        let (name, other) = if id == VIDEO {
            ("v0", "a1")
        } else {
            ("a1", "v0")
        };
        let configs: Vec<u32> = run.of(name).iter().map(|it| it.config).collect();
        assert!(configs.is_sorted(), "{what}: {configs:?}");
        assert_eq!(
            (configs.first(), configs.last()),
            (Some(&0), Some(&1)),
            "{what}"
        );
        assert!(run.of(other).iter().all(|it| it.config == 0), "{what}");
        for name in [name, other] {
            let broken = run.of(name).iter().filter(|it| it.discontinuity).count();
            assert_eq!(broken, 1, "{what}: {name}");
        }
        let track = run.last.track(name).unwrap();
        assert_ne!(track.init(0).unwrap().bytes, track.init(1).unwrap().bytes);
        assert_eq!(
            track.init(1).unwrap().track.codec_string,
            second.codec_string
        );
    }
}

/// Sound alone, of access units that last so long in turn.
fn sound(track: &Track, lengths: &[u32], seconds: i64) -> Scene {
    let hz = i64::from(track.timescale.hz());
    let mut scene = Scene::default();
    scene.push(0.0, Event::Track(track.clone()));
    let mut ticks = 0;
    for length in lengths.iter().cycle() {
        if ticks >= seconds * hz {
            break;
        }
        let dts = 10 * hz + ticks;
        let sent = Sent {
            track: AUDIO,
            dts,
            pts: dts,
            keyframe: true,
            duration: *length,
            payload: Bytes::from(ticks.to_be_bytes().to_vec()),
        };
        let millis = u32::try_from(ticks * 1_000 / hz).unwrap();
        scene.push(f64::from(millis) / 1_000.0, Event::Frame(sent));
        ticks += i64::from(*length);
    }
    scene
}

#[test]
fn parts_of_sound_are_whole_access_units_of_any_length() {
    let mp3 = |header| mpeg_audio::Header::parse(header).unwrap().track(AUDIO);
    // 192 kbit/s, stereo, 48 kHz.
    let ac3 = ac3::Config::of_frame(&bytes("0b7700001440400000000000")).unwrap();
    for (track, lengths, target) in [
        (ac3.track(AUDIO), &[1_536][..], Some(6 * 1_536)),
        (mp3([0xff, 0xfb, 0x90, 0x44]), &[1_152], Some(8 * 1_152)),
        (mp3([0xff, 0xf3, 0x84, 0xc4]), &[576], Some(8 * 576)),
        (flac(2), &[4_096], Some(2 * 4_096)),
        (opus(2), &[960], Some(10 * 960)),
        (opus(2), &[120], Some(80 * 120)),
        (opus(2), &[2_880], Some(3 * 2_880)),
        // As an encoder changes them.
        (opus(2), &[960, 960, 480, 1_920, 480], None),
        (flac(2), &[4_096, 1_152, 4_608], None),
    ] {
        let what = format!("{} {lengths:?}", track.codec_string);
        let scene = sound(&track, lengths, 20);
        let run = scene.run();
        run.check_exact("a1", &scene, AUDIO);
        let window = run.last.track("a1").unwrap();
        if let Some(target) = target {
            assert_eq!(window.part_target, target, "{what}");
        }
        for segment in run.of("a1") {
            assert!(!segment.gap && !segment.discontinuity, "{what}");
            for part in &segment.parts {
                assert!(part.duration <= window.part_target, "{what}");
            }
        }
        for read in run.samples("a1") {
            assert!(lengths.contains(&read.duration), "{what}: {read:?}");
        }
        assert_eq!(run.last.counters.moved_samples, 0, "{what}");
    }
}
