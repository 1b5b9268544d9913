//! For each law, a fault that breaks it: the checker must find it.

use std::time::SystemTime;

use bytes::Bytes;
use rillcast_core::Timescale;

use super::*;
use crate::cmaf::CmafConfig;
use crate::cmaf::tests::scene::{Pictures, Scene, Sound};

/// A window with complete segments, held ones and an open one.
fn lawful() -> Snapshot {
    let config = CmafConfig {
        window: rillcast_core::HumanDuration::from_secs(6),
        ..CmafConfig::default()
    };
    let scene = Scene::new(
        Some(Pictures::new((25, 1), 50, 17.0)),
        Some(Sound::new(48_000, 17.0)),
    );
    let snapshot = scene.run_open(config).last;
    check(None, &snapshot).unwrap();
    check(Some(&snapshot), &snapshot).unwrap();
    (*snapshot).clone()
}

/// Changes the video track.
fn track(snapshot: &mut Snapshot, change: impl FnOnce(&mut TrackWindow)) {
    let mut tracks: Vec<_> = snapshot.tracks.iter().cloned().collect();
    change(Arc::make_mut(&mut tracks[0]));
    snapshot.tracks = tracks.into();
}

/// Changes a complete segment of the video track; of the audio too if `both`.
fn segment(snapshot: &mut Snapshot, at: usize, both: bool, change: impl Fn(&mut Segment)) {
    let mut tracks: Vec<_> = snapshot.tracks.iter().cloned().collect();
    for track in tracks.iter_mut().take(if both { 2 } else { 1 }) {
        let track = Arc::make_mut(track);
        let mut segments: Vec<_> = track.segments.iter().cloned().collect();
        change(Arc::make_mut(&mut segments[at]));
        track.segments = segments.into();
    }
    snapshot.tracks = tracks.into();
}

/// Changes a part of a complete segment of the video track.
fn part(snapshot: &mut Snapshot, at: usize, change: impl Fn(&mut Part)) {
    segment(snapshot, 4, false, |segment| {
        change(Arc::make_mut(&mut segment.parts[at]));
    });
}

#[test]
fn a_fault_in_a_snapshot_is_found() {
    type Fault = fn(&mut Snapshot);
    let faults: [(&str, Fault); 26] = [
        ("only the open segment is incomplete", |s| {
            segment(s, 4, false, |s| s.complete = false);
        }),
        ("its initialisation segment is there", |s| {
            track(s, |t| t.inits = Arc::new([]));
        }),
        ("numbers go on by one", |s| {
            segment(s, 4, false, |s| s.number += 1);
        }),
        ("the discontinuity sequence counts discontinuities", |s| {
            segment(s, 4, true, |s| s.discontinuity_sequence += 1);
        }),
        ("its date is after the one before", |s| {
            segment(s, 4, false, |s| s.time -= 3_000_000_000);
        }),
        ("tfdt plus durations is the next tfdt", |s| {
            segment(s, 4, false, |s| {
                s.start += 1;
                for part in &mut s.parts {
                    Arc::make_mut(part).start += 1;
                }
            });
        }),
        ("time never goes back", |s| {
            segment(s, 4, true, |s| {
                s.discontinuity = true;
                s.discontinuity_sequence += 1;
                s.start -= 90;
                for part in &mut s.parts {
                    Arc::make_mut(part).start -= 90;
                }
            });
        }),
        ("the configuration stays without a discontinuity", |s| {
            segment(s, 4, false, |s| s.config = 7);
            track(s, |t| {
                let mut init = (*t.inits[0]).clone();
                init.id = 7;
                t.inits = Arc::new([t.inits[0].clone(), Arc::new(init)]);
            });
        }),
        ("the timescale stays without a discontinuity", |s| {
            segment(s, 4, false, |s| {
                s.timescale = Timescale::new(90_001).unwrap()
            });
        }),
        ("dates go on as durations do", |s| {
            segment(s, 4, false, |s| s.time += 2_000);
        }),
        ("next is what is cut next", |s| track(s, |t| t.next.1 += 1)),
        ("the next segment is the one after the last", |s| {
            track(s, |t| {
                t.open = None;
                t.next = (t.next.0 + 1, 0);
            });
        }),
        ("at least three target durations are listed", |s| {
            track(s, |t| t.first_listed += 2);
        }),
        ("it lasts", |s| {
            segment(s, 4, false, |s| {
                s.parts.clear();
                s.duration = 0;
                s.gap = true;
            });
        }),
        ("EXTINF rounds to at most the target duration", |s| {
            s.target_duration = Duration::from_secs(1);
        }),
        ("a gap has no parts", |s| {
            segment(s, 4, false, |s| s.gap = true)
        }),
        ("it has parts", |s| {
            segment(s, 4, false, |s| s.parts.clear())
        }),
        ("parts are numbered from zero", |s| {
            part(s, 3, |p| p.index = 2)
        }),
        ("a part begins where the one before ended", |s| {
            part(s, 3, |p| p.start += 1);
        }),
        ("its duration is that of its parts", |s| {
            segment(s, 4, false, |s| s.duration += 1);
        }),
        ("it is independent as its first part is", |s| {
            part(s, 0, |p| p.independent = false);
        }),
        ("it is no longer than the part target", |s| {
            track(s, |t| t.part_target_duration = Duration::from_millis(190));
        }),
        ("it is no shorter than 85 % of the part target", |s| {
            track(s, |t| t.part_target_duration = Duration::from_millis(240));
        }),
        ("its length is that of its slices", |s| {
            part(s, 3, |p| p.bytes -= 1)
        }),
        ("it is a header and its samples", |s| {
            part(s, 3, |p| p.samples -= 1)
        }),
        ("a segment type is in its first part only", |s| {
            let styp = |part: &mut Part| {
                let mut slices = part.slices.to_vec();
                let mut header = slices[0].to_vec();
                header[4..8].copy_from_slice(b"styp");
                slices[0] = Bytes::from(header);
                part.slices = slices.into();
            };
            part(s, 3, styp);
        }),
    ];
    for (law, fault) in faults {
        let mut snapshot = lawful();
        fault(&mut snapshot);
        let found = check(None, &snapshot).map_err(|violation| violation.law);
        assert_eq!(found, Err(law));
    }
}

#[test]
fn a_fault_between_tracks_is_found() {
    type Fault = fn(&mut Snapshot);
    let faults: [(&str, Fault); 5] = [
        ("a discontinuity is one in all tracks", |s| {
            for at in 4..8 {
                segment(s, at, false, |s| {
                    s.discontinuity = s.number == 5;
                    s.discontinuity_sequence += 1;
                });
            }
            track(s, |t| {
                let open = Arc::make_mut(t.open.as_mut().unwrap());
                open.discontinuity_sequence += 1;
            });
        }),
        ("the target duration is whole seconds", |s| {
            s.target_duration += Duration::from_millis(1);
        }),
        ("there is an anchor", |s| s.anchor = None),
        ("one track is primary", |s| track(s, |t| t.primary = false)),
        ("there is a target duration", |s| {
            s.target_duration = Duration::ZERO;
            track(s, |t| {
                t.segments = Arc::new([]);
                t.open = None;
                t.next.1 = 0;
            });
            s.tracks = Arc::new([s.tracks[0].clone()]);
        }),
    ];
    for (law, fault) in faults {
        let mut snapshot = lawful();
        fault(&mut snapshot);
        let found = check(None, &snapshot).map_err(|violation| violation.law);
        assert_eq!(found, Err(law));
    }
}

#[test]
fn a_fault_from_one_snapshot_to_the_next_is_found() {
    type Fault = fn(&mut Snapshot);
    // What was shown before, so that what is shown now breaks the law.
    let faults: [(&str, Fault); 17] = [
        ("the session stays", |s| s.session = "another".into()),
        ("what has ended stays so", |s| {
            let at = std::time::Instant::now();
            s.state = State::Ended { at };
        }),
        ("the target duration stays", |s| s.target_duration *= 2),
        ("the anchor stays", |s| {
            s.anchor = Some(SystemTime::UNIX_EPOCH)
        }),
        ("a track stays", |s| track(s, |t| t.name = "v9".into())),
        ("the part target stays", |s| {
            track(s, |t| t.part_target_duration *= 2);
        }),
        ("the listing moves on", |s| {
            track(s, |t| t.first_listed += 1)
        }),
        ("the next part moves on", |s| track(s, |t| t.next.1 += 1)),
        ("the discontinuity sequence moves on", |s| {
            let mut tracks: Vec<_> = s.tracks.iter().cloned().collect();
            for track in &mut tracks {
                let track = Arc::make_mut(track);
                let mut segments: Vec<_> = track.segments.iter().cloned().collect();
                for segment in &mut segments {
                    Arc::make_mut(segment).discontinuity_sequence += 1;
                }
                track.segments = segments.into();
            }
            s.tracks = tracks.into();
        }),
        ("an initialisation segment stays what it was", |s| {
            track(s, |t| {
                let mut init = (*t.inits[0]).clone();
                init.bytes = Bytes::from_static(b"ftyp");
                t.inits = Arc::new([Arc::new(init)]);
            });
        }),
        ("only the oldest are let go", |s| {
            track(s, |t| {
                let mut far = (**t.segments.last().unwrap()).clone();
                far.number += 10;
                let segments = t.segments.iter().cloned();
                t.segments = segments.chain([Arc::new(far)]).collect();
            });
        }),
        ("its begin stays", |s| {
            segment(s, 4, false, |s| s.start += 1)
        }),
        ("its date stays", |s| segment(s, 4, false, |s| s.time += 1)),
        ("its discontinuity stays", |s| {
            segment(s, 4, false, |s| s.discontinuity = true);
        }),
        ("its configuration stays", |s| {
            segment(s, 4, false, |s| s.config = 1);
        }),
        ("a complete segment stays as it is", |s| {
            segment(s, 4, false, |s| drop(s.parts.pop()));
        }),
        ("its parts stay", |s| {
            part(s, 3, |p| p.received += Duration::from_millis(1));
        }),
    ];
    for (law, fault) in faults {
        let now = lawful();
        let mut before = now.clone();
        fault(&mut before);
        let found = check(Some(&before), &now).map_err(|violation| violation.law);
        assert_eq!(found, Err(law));
    }
}

#[test]
fn a_part_that_was_promised_and_never_came_is_found() {
    let now = lawful();
    let mut before = now.clone();
    track(&mut before, |track| {
        let mut segments = track.segments.to_vec();
        let mut open = (*segments.pop().unwrap()).clone();
        open.complete = false;
        track.segments = segments.into();
        track.next = (open.number, 3);
        track.open = Some(Arc::new(open));
    });
    let found = check(Some(&before), &now).unwrap_err();
    assert_eq!(found.law, "the part that was to come next comes");
}
