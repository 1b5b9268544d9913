//! What is in the files: all of the stream, to the byte and the tick.

use rillcast_core::{ByteSize, HumanDuration};

use super::*;
use crate::index::{EndCause, GapCause};

/// All frames of a stream lie in its files once, in order.
fn check(scene: &Scene) -> Vec<PathBuf> {
    let files = scene.files();
    for (track, sent) in &scene.sent {
        let mut from = 0;
        for file in &files {
            let (begin, end) = scene.compare(file, *track);
            assert_eq!(begin, from, "{track} in {}", file.display());
            from = end;
        }
        assert_eq!(from, sent.len(), "track {track}");
    }
    for file in &files {
        let recorded = samples(file);
        let scan = scanned(file);
        assert_eq!(scan.good, fs::metadata(file).unwrap().len());
        let last = |line: &Line| match line {
            Line::End {
                file: of,
                bytes,
                duration_ns,
                ..
            } if file.ends_with(of) => {
                assert_eq!(
                    (*bytes, u128::from(*duration_ns)),
                    (scan.good, scan.duration.as_nanos())
                );
                true
            }
            _ => false,
        };
        assert!(scene.lines().iter().any(last));
        // It begins with a keyframe, at once.
        let first = recorded.values().next().unwrap().first().unwrap();
        assert!(first.keyframe && first.dts < 90_000 / 20, "{first:?}");
    }
    files
}

#[test]
fn a_stream_lies_in_its_file_to_the_byte_and_the_tick() {
    for flush in [0, 100, 1_000, 7_000] {
        let mut scene = Scene::new(&whole());
        scene.play(Duration::from_millis(flush));
        scene.play(Duration::from_millis(flush));
        scene.end();
        let files = check(&scene);
        assert_eq!(files.len(), 1);
        assert!(files[0].ends_with("live/cam/22-13-20.mp4"), "{files:?}");
        let lines = scene.lines();
        let [
            Line::Index { .. },
            Line::Start {
                at,
                session,
                tracks,
                ..
            },
            Line::End { cause, .. },
        ] = &lines[..]
        else {
            panic!("{lines:?}");
        };
        assert!(near(at, "2023-11-14T22:13:20Z"), "{at}");
        assert_eq!((session.as_str(), *cause), ("session", EndCause::Ended));
        let codecs: Vec<_> = tracks
            .iter()
            .map(|track| track.codec.as_deref().unwrap())
            .collect();
        assert_eq!(codecs, ["avc1.64001f", "mp4a.40.2"]);
        let note = scanned(&files[0]).note;
        assert_eq!((&note.at, note.stream.as_str()), (at, "live/cam"));
    }
}

#[test]
fn files_are_changed_at_keyframes() {
    for (config, want) in [
        // Segments of two seconds: the first keyframe after so long.
        (
            Config {
                rotate_duration: HumanDuration::from_secs(10),
                ..whole()
            },
            4,
        ),
        (
            Config {
                rotate_duration: HumanDuration::from_secs(11),
                ..whole()
            },
            3,
        ),
        // 22:13:30, 22:13:40 and 22:13:50 lie within 32 seconds from 22:13:20 on.
        (
            Config {
                rotate_duration: HumanDuration::from_secs(10),
                rotate_aligned: true,
                ..whole()
            },
            4,
        ),
        (
            Config {
                rotate_size: ByteSize::mib(1),
                ..whole()
            },
            2,
        ),
        (
            Config {
                rotate_duration: HumanDuration::from_secs(0),
                ..whole()
            },
            1,
        ),
    ] {
        let mut scene = Scene::new(&config);
        for _ in 0..4 {
            scene.play(quickly());
        }
        scene.end();
        let files = check(&scene);
        assert_eq!(files.len(), want, "{config:?}");
        let causes: Vec<_> = scene
            .lines()
            .into_iter()
            .filter_map(|line| match line {
                Line::End { cause, .. } => Some(cause),
                Line::Gap { .. } => panic!("a gap where files join"),
                _ => None,
            })
            .collect();
        let (last, others) = causes.split_last().unwrap();
        assert_eq!(*last, EndCause::Ended);
        assert!(others.iter().all(|cause| *cause == EndCause::Rotated));
    }
}

#[test]
fn another_configuration_begins_a_file() {
    let mut scene = Scene::new(&whole());
    scene.play(quickly());
    let mut changed = 0;
    for item in &mut scene.items {
        if let SourceItem::Track(track) = item
            && track.kind() == rillcast_core::MediaKind::Video
        {
            // Another level, which is another record of the same pictures.
            let mut config = track.config.to_vec();
            config[3] += 1;
            let at = config
                .windows(3)
                .position(|three| three == [0x64, 0x00, 0x1f]);
            if let Some(at) = at.filter(|at| *at > 3) {
                config[at + 2] += 1;
            }
            track.config = config.into();
            changed += 1;
        }
    }
    assert_eq!(changed, 1);
    scene.play(quickly());
    scene.end();
    assert_eq!(check(&scene).len(), 2);
    let lines = scene.lines();
    let configuration = |line: &Line| {
        matches!(
            line,
            Line::End {
                cause: EndCause::Configuration,
                ..
            }
        )
    };
    assert_eq!(lines.iter().filter(|line| configuration(line)).count(), 1);
}

#[test]
fn a_publisher_that_was_away_is_a_gap() {
    let mut scene = Scene::new(&whole());
    scene.play(quickly());
    // It comes back after eight seconds.
    scene.rounds += 1;
    scene.play(quickly());
    scene.end();
    assert_eq!(scene.files().len(), 2);
    let lines = scene.lines();
    let gap = lines.iter().find_map(|line| match line {
        Line::Gap { from, to, cause } => Some((from.clone(), to.clone(), *cause)),
        _ => None,
    });
    let (from, to, cause) = gap.unwrap();
    assert_eq!(cause, GapCause::Break);
    assert!(from.starts_with("2023-11-14T22:13:28"), "{from}");
    assert!(near(&to, "2023-11-14T22:13:36Z"), "{to}");
}

#[test]
fn what_the_window_let_go_of_is_a_gap() {
    let mut scene = Scene::new(&whole());
    scene.play(quickly());
    // The disk stands still for longer than the window is.
    let forever = Duration::from_secs(1_000);
    for _ in 0..16 {
        scene.play(forever);
    }
    scene.play(quickly());
    scene.end();
    let files = scene.files();
    assert_eq!(files.len(), 2);
    for (track, sent) in &scene.sent {
        let [(0, end), (begin, last)] = files
            .iter()
            .map(|file| scene.compare(file, *track))
            .collect::<Vec<_>>()[..]
        else {
            panic!("{files:?}");
        };
        assert!(end < begin && last == sent.len());
    }
    let overload = |line: &Line| {
        matches!(
            line,
            Line::Gap {
                cause: GapCause::Overload,
                ..
            }
        )
    };
    assert!(scene.lines().iter().any(overload));
}

#[test]
fn pictures_or_sound_alone_are_recorded_too() {
    use rillcast_core::MediaKind;
    for kind in [MediaKind::Video, MediaKind::Audio] {
        let mut scene = Scene::new(&Config {
            rotate_duration: HumanDuration::from_secs(10),
            ..whole()
        });
        let mut id = None;
        scene.items.retain(|item| match item {
            SourceItem::Track(track) => {
                id = id.or((track.kind() == kind).then_some(track.id));
                track.kind() == kind
            }
            SourceItem::Frame(_) => true,
            _ => false,
        });
        let id = id.unwrap();
        scene
            .items
            .retain(|item| !matches!(item, SourceItem::Frame(frame) if frame.track != id));
        scene.play(quickly());
        scene.play(quickly());
        scene.end();
        assert_eq!(check(&scene).len(), 2, "{kind:?}");
    }
}
