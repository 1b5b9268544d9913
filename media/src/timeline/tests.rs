//! The timeline on synthetic publishes: what must come out unchanged, and what
//! must be mended.

use bytes::Bytes;
use proptest::prelude::*;
use rillcast_core::{AudioParams, Codec, MediaParams, VideoParams};

use super::*;
use crate::SourceClock;

const VIDEO: TrackId = TrackId(0);
const AUDIO: TrackId = TrackId(1);
const MS: SourceClock = SourceClock::RTMP_MILLIS;

/// One frame as a publisher would send it.
#[derive(Clone, Copy, Debug)]
struct Sent {
    track: TrackId,
    /// When it is sent and arrives, in seconds since the publish began.
    at: f64,
    /// What the publisher's clock says, not wrapped.
    stamp: i64,
    cts: i32,
}

/// What came out, with the discontinuities at the index of the next frame.
#[derive(Debug, Default)]
struct Out {
    frames: Vec<Frame>,
    breaks: Vec<(usize, Discontinuity)>,
    repairs: Repairs,
}

impl Out {
    fn of(&self, track: TrackId) -> Vec<&Frame> {
        self.frames.iter().filter(|f| f.track == track).collect()
    }

    fn causes(&self) -> Vec<DiscontinuityCause> {
        self.breaks.iter().map(|(_, d)| d.cause).collect()
    }

    /// Seconds of stream time of each frame of a track.
    fn seconds(&self, track: TrackId, hz: u32) -> Vec<f64> {
        let seconds = |frame: &&Frame| frame.dts as f64 / f64::from(hz);
        self.of(track).iter().map(seconds).collect()
    }
}

fn tracks(rate: u32) -> [Track; 2] {
    let video = MediaParams::Video(VideoParams::default());
    let audio = MediaParams::Audio(AudioParams::new(rate, 2));
    let scale = Timescale::new(rate).unwrap();
    [
        Track::new(VIDEO, Codec::new(*b"avc1"), Timescale::VIDEO, video),
        Track::new(AUDIO, Codec::new(*b"mp4a"), scale, audio),
    ]
}

/// Video at `fps` (frames per so many seconds) and AAC at `rate`, both from
/// zero and interleaved by time. `clock` says what the publisher's clock shows,
/// in seconds, for a track at a moment.
fn publish(
    fps: (u32, u32),
    rate: u32,
    seconds: f64,
    clock: impl Fn(TrackId, f64) -> f64,
) -> Vec<Sent> {
    let mut sent = Vec::new();
    let picture = f64::from(fps.1) / f64::from(fps.0);
    let packet = 1_024.0 / f64::from(rate);
    for (track, step, cts) in [(VIDEO, picture, 80), (AUDIO, packet, 0)] {
        for n in 0_u32.. {
            let at = f64::from(n) * step;
            if at >= seconds {
                break;
            }
            let stamp = millis(clock(track, at));
            sent.push(Sent {
                track,
                at,
                stamp,
                cts,
            });
        }
    }
    sent.sort_by(|a, b| a.at.total_cmp(&b.at));
    sent
}

fn even(_: TrackId, at: f64) -> f64 {
    at
}

#[expect(clippy::cast_possible_truncation, reason = "a test's hours fit")]
fn millis(seconds: f64) -> i64 {
    (seconds * 1_000.0).round() as i64
}

/// Runs frames through a timeline; `wire` is what the wire makes of a stamp.
fn run_on(
    mut timeline: Timeline,
    start: Instant,
    rate: u32,
    wire: impl Fn(i64) -> i64,
    sent: &[Sent],
) -> Out {
    for track in tracks(rate) {
        timeline.track(&track);
    }
    let mut out = Out::default();
    for sent in sent {
        let timed = timeline.push(SourceFrame {
            track: sent.track,
            dts: wire(sent.stamp),
            cts: sent.cts,
            clock: MS,
            nanos: 0,
            duration: if sent.track == AUDIO { 1_024 } else { 0 },
            keyframe: sent.track == AUDIO,
            payload: Bytes::from_static(b"x"),
            received: start + Duration::from_secs_f64(sent.at),
        });
        if let Some(discontinuity) = timed.discontinuity {
            out.breaks.push((out.frames.len(), discontinuity));
        }
        out.frames.push(timed.frame.expect("a known track"));
    }
    out.repairs = timeline.repairs();
    check(&out);
    out
}

fn run(rate: u32, sent: &[Sent]) -> Out {
    run_on(Timeline::new(), Instant::now(), rate, |stamp| stamp, sent)
}

/// What holds for every output, whatever went in.
fn check(out: &Out) {
    for track in [VIDEO, AUDIO] {
        for pair in out.of(track).windows(2) {
            assert!(pair[0].dts < pair[1].dts, "{track}: {pair:?} does not rise");
        }
        assert!(out.of(track).iter().all(|frame| frame.dts >= 0));
    }
}

/// The output is the input plus one constant: to the tick for video, within a
/// tick of the source's clock for audio.
fn check_clean(rate: u32, sent: &[Sent], out: &Out) {
    assert_eq!(out.repairs.total(), 0, "{:?}", out.repairs);
    assert_eq!(out.breaks, []);
    assert_eq!(out.frames.len(), sent.len());
    let rate = i64::from(rate);
    for (sent, frame) in sent.iter().zip(&out.frames) {
        // All clean publishes here begin at zero.
        let since = sent.stamp;
        if sent.track == VIDEO {
            assert_eq!(frame.dts, 900_000 + since * 90, "{sent:?}");
            assert_eq!(frame.pts, frame.dts + i64::from(sent.cts) * 90);
        } else {
            let wanted = 10 * rate + since * rate / 1_000;
            assert!(
                (frame.dts - wanted).abs() <= rate / 1_000 + 1,
                "{sent:?}: {} for {wanted}",
                frame.dts
            );
            assert_eq!(
                (frame.pts, frame.duration.unwrap().get()),
                (frame.dts, 1_024)
            );
        }
    }
}

#[test]
fn a_clean_publish_is_its_input_plus_one_constant() {
    for fps in [
        (24_000, 1_001),
        (25, 1),
        (30_000, 1_001),
        (50, 1),
        (60_000, 1_001),
        (7, 2),
    ] {
        for rate in [44_100, 48_000] {
            let sent = publish(fps, rate, 60.0, even);
            check_clean(rate, &sent, &run(rate, &sent));
        }
    }
}

#[test]
fn variable_frame_rates_pass_unchanged() {
    let mut sent = publish((30, 1), 48_000, 30.0, even);
    // Drop pictures by a pattern without a period that matters.
    let mut n = 0_u32;
    sent.retain(|frame| {
        n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        frame.track == AUDIO || frame.stamp == 0 || n >> 31 == 0
    });
    check_clean(48_000, &sent, &run(48_000, &sent));
}

#[test]
fn wraps_are_no_discontinuity_even_when_audio_wraps_later() {
    for bits in [24, 31, 32] {
        let cycle = 1_i64 << bits;
        // The wrap comes five seconds into the publish.
        let begin = cycle - 5_003;
        let wire = |stamp: i64| (begin + stamp).rem_euclid(cycle);
        let sent = publish((30_000, 1_001), 44_100, 20.0, even);
        let out = run_on(Timeline::new(), Instant::now(), 44_100, wire, &sent);
        check_clean(44_100, &sent, &out);
        assert_eq!(out.repairs.wraps, 2, "one for each track at {bits} bits");
    }
}

#[test]
fn the_33_bits_of_mpeg_wrap_too() {
    let start = Instant::now();
    let mut timeline = Timeline::new();
    timeline.track(&tracks(48_000)[0]);
    let mut last = None;
    for n in 0..500_i64 {
        let timed = timeline.push(SourceFrame {
            track: VIDEO,
            dts: ((1 << 33) - 90_000 + n * 3_600).rem_euclid(1 << 33),
            cts: 3_600,
            clock: SourceClock::MPEG,
            nanos: 0,
            duration: 0,
            keyframe: true,
            payload: Bytes::new(),
            received: start + Duration::from_millis(40 * n.unsigned_abs()),
        });
        assert_eq!(timed.discontinuity, None);
        let frame = timed.frame.unwrap();
        assert_eq!(frame.dts, 900_000 + n * 3_600);
        assert_eq!(frame.pts, frame.dts + 3_600);
        last = Some(frame);
    }
    assert!(last.is_some());
    assert_eq!(
        (timeline.repairs().wraps, timeline.repairs().total()),
        (1, 0)
    );
}

#[test]
fn a_gap_is_announced_once_and_moves_nothing() {
    for wrap in [false, true] {
        let mut sent = publish((25, 1), 48_000, 30.0, even);
        sent.retain(|frame| frame.at < 10.0 || frame.at >= 18.0);
        let begin = if wrap { (1_i64 << 32) - 15_000 } else { 0 };
        let wire = |stamp: i64| (begin + stamp).rem_euclid(1 << 32);
        let out = run_on(Timeline::new(), Instant::now(), 48_000, wire, &sent);
        assert_eq!(out.causes(), [DiscontinuityCause::Gap]);
        assert_eq!((out.repairs.gaps, out.repairs.total()), (1, 0));
        let missing = out.breaks[0].1.missing.as_secs_f64();
        assert!((7.9..8.1).contains(&missing), "{missing}");
        for (sent, frame) in sent.iter().zip(&out.frames) {
            let hz = if sent.track == VIDEO {
                90_000.0
            } else {
                48_000.0
            };
            let seconds = frame.dts as f64 / hz - 10.0;
            assert!((seconds - sent.at).abs() < 0.002, "{sent:?}: {seconds}");
        }
        assert_eq!(out.repairs.wraps, if wrap { 2 } else { 0 });
    }
}

/// What a sender does whose network stands still from 10 to 15 s: all comes at
/// once then. Sound arrives `lag` seconds behind the pictures.
fn stall(sent: &mut [Sent], lag: f64) {
    for frame in &mut *sent {
        if frame.track == AUDIO {
            frame.at += lag;
        }
        if (10.0..15.0).contains(&frame.at) {
            frame.at = 15.0;
        }
    }
    sent.sort_by(|a, b| a.at.total_cmp(&b.at));
}

#[test]
fn what_is_dropped_while_the_network_stands_still_is_a_gap_and_moves_nothing() {
    for (lost, who) in [
        (1.5, &[VIDEO][..]),
        (3.0, &[VIDEO]),
        (4.9, &[VIDEO]),
        (3.0, &[AUDIO]),
        (1.5, &[VIDEO, AUDIO]),
        (3.0, &[VIDEO, AUDIO]),
        (4.5, &[VIDEO, AUDIO]),
    ] {
        for (lag, wrap) in [(0.0, false), (0.3, false), (0.3, true)] {
            let name = format!("{lost} {who:?} {lag} {wrap}");
            let mut sent = publish((25, 1), 48_000, 30.0, even);
            sent.retain(|f| !who.contains(&f.track) || !(10.0..10.0 + lost).contains(&f.at));
            stall(&mut sent, lag);
            let begin = if wrap { (1_i64 << 31) - 11_000 } else { 0 };
            let wire = |stamp: i64| (begin + stamp).rem_euclid(1 << 31);
            let out = run_on(Timeline::new(), Instant::now(), 48_000, wire, &sent);
            assert_eq!(out.causes(), [DiscontinuityCause::Gap], "{name}");
            assert_eq!((out.repairs.gaps, out.repairs.total()), (1, 0), "{name}");
            let missing = out.breaks[0].1.missing.as_secs_f64();
            assert!((missing - lost).abs() < 0.041, "{name}: {missing}");
            for (sent, frame) in sent.iter().zip(&out.frames) {
                let hz = if sent.track == VIDEO {
                    90_000.0
                } else {
                    48_000.0
                };
                let seconds = frame.dts as f64 / hz - 10.0;
                let stamp = sent.stamp as f64 / 1_000.0;
                assert!(
                    (seconds - stamp).abs() < 0.002,
                    "{name}: {sent:?}: {seconds}"
                );
            }
        }
    }
}

#[test]
fn a_jump_while_the_network_stands_still_leaves_sound_beside_the_pictures() {
    for jump in [3_600.0, 2.0, -3_600.0, -2.0] {
        for (lead, lag) in [(0.0, 0.0), (-0.2, 0.1), (0.2, 0.3), (-0.05, 0.3)] {
            let clock = |track: TrackId, at: f64| {
                let when = if track == AUDIO { 10.0 + lead } else { 10.0 };
                4_000.0 + at + if at < when { 0.0 } else { jump }
            };
            let mut sent = publish((25, 1), 48_000, 30.0, clock);
            stall(&mut sent, lag);
            let out = run(48_000, &sent);
            let ends = [(VIDEO, 90_000), (AUDIO, 48_000)].map(|(track, hz)| {
                let stamp = sent.iter().rev().find(|sent| sent.track == track).unwrap();
                let end = out.seconds(track, hz).pop().unwrap();
                end - stamp.stamp as f64 / 1_000.0
            });
            let apart = (ends[0] - ends[1]).abs();
            assert!(apart < 0.045, "{jump} {lead} {lag}: {apart} s apart");
        }
    }
}

#[test]
fn a_jump_rebases_audio_and_video_by_one_offset() {
    // Forwards an hour, back an hour, back to zero, forwards five seconds that
    // nobody waited for; with audio that follows after, or comes before.
    for (name, jump) in [
        ("forwards", 3_600.0),
        ("back", -3_600.0),
        ("a little", 5.0),
        ("a little back", -5.0),
    ] {
        for lead in [-0.3, -0.03, 0.0, 0.03, 0.3] {
            let clock = |track: TrackId, at: f64| {
                let when = if track == AUDIO { 10.0 + lead } else { 10.0 };
                let offset = if at < when { 0.0 } else { jump };
                4_000.0 + at + offset
            };
            // When one track jumps earlier, its content is that of the new clock.
            let sent = publish((25, 1), 48_000, 20.0, clock);
            let out = run(48_000, &sent);
            assert_eq!(out.causes(), [DiscontinuityCause::Jump], "{name} {lead}");
            assert_eq!(out.repairs.total(), 1, "{name} {lead}: {:?}", out.repairs);
            for (sent, frame) in sent.iter().zip(&out.frames) {
                let hz = if sent.track == VIDEO {
                    90_000.0
                } else {
                    48_000.0
                };
                let seconds = frame.dts as f64 / hz - 10.0;
                assert!(
                    (seconds - sent.at).abs() < 0.05,
                    "{name}: {sent:?}: {seconds}"
                );
            }
        }
    }
}

#[test]
fn one_wild_timestamp_costs_one_discontinuity() {
    let mut sent = publish((25, 1), 48_000, 20.0, even);
    let wild = sent
        .iter()
        .position(|frame| frame.track == VIDEO && frame.at > 10.0)
        .unwrap();
    sent[wild].stamp = 0;
    let out = run(48_000, &sent);
    assert_eq!(out.causes(), [DiscontinuityCause::Jump]);
    assert_eq!(out.repairs.total(), 1);
    let last = out.of(VIDEO).last().unwrap().dts;
    assert_eq!(last, 900_000 + (20_000 - 40) * 90, "back on the old offset");
}

#[test]
fn many_wild_timestamps_wear_no_offset_out() {
    let mut sent = publish((25, 1), 48_000, 40.0, even);
    let mut wild = 0_u32;
    for (n, frame) in sent.iter_mut().filter(|f| f.track == VIDEO).enumerate() {
        if n % 50 == 49 {
            frame.stamp += 1_000_000 * i64::from(wild + 1);
            wild += 1;
        }
    }
    let out = run(48_000, &sent);
    assert_eq!(out.repairs.total(), u64::from(wild));
    assert_eq!(out.breaks.len(), usize::try_from(wild).unwrap());
    let (sent, frame) = sent
        .iter()
        .zip(&out.frames)
        .rfind(|(sent, _)| sent.track == VIDEO && sent.stamp < 1_000_000)
        .unwrap();
    assert_eq!(frame.dts, 900_000 + sent.stamp * 90, "on the old offset");
}

#[test]
fn disorder_is_put_in_order_and_counted() {
    let mut sent = publish((25, 1), 48_000, 10.0, even);
    let pictures: Vec<usize> = (0..sent.len())
        .filter(|i| sent[*i].track == VIDEO)
        .collect();
    for n in [50, 100, 150] {
        let (a, b) = (pictures[n], pictures[n + 1]);
        let stamp = sent[a].stamp;
        sent[a].stamp = sent[b].stamp;
        sent[b].stamp = stamp;
    }
    let out = run(48_000, &sent);
    assert_eq!(out.causes(), []);
    assert_eq!((out.repairs.disorder, out.repairs.total()), (3, 3));
    let video = out.of(VIDEO);
    assert_eq!(video[51].dts, video[50].dts + 1);
    assert_eq!(
        video[52].dts,
        900_000 + 52 * 40 * 90,
        "the next one is right again"
    );
}

#[test]
fn many_pictures_of_one_time_break_nothing() {
    // As an overloaded GStreamer sends them: what came late has the time of
    // what was sent last.
    let mut sent = publish((60, 1), 48_000, 20.0, even);
    for frame in sent.iter_mut().filter(|f| f.track == VIDEO) {
        if (10.0..10.12).contains(&frame.at) {
            (frame.at, frame.stamp) = (10.12, 10_120);
        }
    }
    sent.sort_by(|a, b| a.at.total_cmp(&b.at));
    let out = run(48_000, &sent);
    assert_eq!(out.causes(), []);
    assert_eq!(out.repairs.total(), out.repairs.disorder);
    assert!((6..=8).contains(&out.repairs.disorder), "{:?}", out.repairs);
    let last = out.of(VIDEO).last().unwrap().dts;
    let stamp = sent.iter().rev().find(|f| f.track == VIDEO).unwrap().stamp;
    assert_eq!(last, 900_000 + stamp * 90);

    // A clock that stands still is set on by arrival time all the same.
    let clock = |_: TrackId, at: f64| at.min(10.0);
    let mut sent = publish((25, 1), 48_000, 20.0, clock);
    sent.retain(|f| f.track == VIDEO);
    let end = run(48_000, &sent).seconds(VIDEO, 90_000).pop().unwrap();
    assert!((end - 29.96).abs() < 0.4, "{end}");
}

#[test]
fn one_picture_that_is_too_far_on_moves_no_other() {
    for far in [200, 560, 950] {
        let mut sent = publish((25, 1), 48_000, 20.0, even);
        let wrong = sent
            .iter()
            .position(|frame| frame.track == VIDEO && frame.at > 10.0)
            .unwrap();
        sent[wrong].stamp += far;
        let out = run(48_000, &sent);
        assert_eq!(out.causes(), [], "{far}");
        assert_eq!(out.repairs.total(), out.repairs.disorder);
        assert_eq!(i64::try_from(out.repairs.disorder).unwrap(), far / 40);
        for (sent, frame) in sent.iter().zip(&out.frames).rev().take(100) {
            if sent.track == VIDEO {
                assert_eq!(frame.dts, 900_000 + sent.stamp * 90, "{far}");
            }
        }
    }
    // Without sound there is no telling.
    let mut sent = publish((25, 1), 48_000, 20.0, even);
    sent.retain(|frame| frame.track == VIDEO);
    sent[250].stamp += 560;
    assert_eq!(run(48_000, &sent).causes(), [DiscontinuityCause::Jump]);
}

#[test]
fn a_clock_set_back_by_less_than_a_second_is_a_jump_once_it_lasts() {
    let clock = |_: TrackId, at: f64| if at < 10.0 { at } else { at - 0.5 };
    let out = run(48_000, &publish((25, 1), 48_000, 20.0, clock));
    assert_eq!(out.causes(), [DiscontinuityCause::Jump]);
    assert_eq!(out.repairs.jumps, 1);
    assert_eq!(out.repairs.disorder, u64::from(DISORDER_LIMIT));
    assert_eq!(out.repairs.reanchors, 0, "the audio joins the new offset");
    let end = out.seconds(VIDEO, 90_000).pop().unwrap();
    assert!((end - 29.96).abs() < 0.01, "{end}");
    let end = out.seconds(AUDIO, 48_000).pop().unwrap();
    assert!((end - 29.98).abs() < 0.03, "{end}");
}

#[test]
fn audio_that_starts_late_or_early_keeps_its_distance_to_the_video() {
    for (start, offset) in [(3.0, 0.0), (0.0, -0.15), (2.0, -1.5)] {
        let clock = |track: TrackId, at: f64| {
            let offset = if track == AUDIO { offset } else { 0.0 };
            20.0 + at + offset
        };
        let mut sent = publish((25, 1), 48_000, 20.0, clock);
        sent.retain(|frame| frame.track == VIDEO || frame.at >= start);
        let out = run(48_000, &sent);
        assert_eq!((out.repairs.total(), out.breaks.len()), (0, 0));
        let first = out.seconds(AUDIO, 48_000)[0];
        assert!((first - (10.0 + start + offset)).abs() < 0.025, "{first}");
    }
}

#[test]
fn a_track_on_a_clock_of_its_own_is_put_beside_the_others() {
    let clock = |track: TrackId, at: f64| if track == AUDIO { at } else { 5_000.0 + at };
    let out = run(48_000, &publish((25, 1), 48_000, 20.0, clock));
    assert_eq!((out.repairs.strays, out.repairs.total()), (1, 1));
    assert_eq!(out.causes(), []);
    let (video, audio) = (out.seconds(VIDEO, 90_000), out.seconds(AUDIO, 48_000));
    assert!((video.last().unwrap() - audio.last().unwrap()).abs() < 0.1);
}

#[test]
fn an_hour_with_clocks_off_by_100_ppm_stays_within_bounds() {
    for ppm in [-100.0, 100.0] {
        // The encoder's clock is off this machine's: nothing of it shows.
        for rate in [44_100, 48_000] {
            let mut sent = publish((30_000, 1_001), rate, 3_600.0, even);
            for frame in &mut sent {
                frame.at *= 1.0 + ppm / 1e6;
            }
            check_clean(rate, &sent, &run(rate, &sent));
        }
        // The sound card's clock is off the encoder's: the stamps of audio
        // come at a rate other than its samples.
        let clock = |track: TrackId, at: f64| {
            let skew = if track == AUDIO { ppm / 1e6 } else { 0.0 };
            at * (1.0 + skew)
        };
        let sent = publish((30_000, 1_001), 48_000, 3_600.0, clock);
        let out = run(48_000, &sent);
        assert_eq!(out.causes(), []);
        assert!(
            (8..=9).contains(&out.repairs.reanchors),
            "{:?}",
            out.repairs
        );
        assert_eq!(out.repairs.total(), out.repairs.reanchors);
        for (sent, frame) in sent.iter().zip(&out.frames) {
            let hz = if sent.track == VIDEO {
                90_000.0
            } else {
                48_000.0
            };
            let seconds = frame.dts as f64 / hz - 10.0;
            let stamp = sent.stamp as f64 / 1_000.0;
            assert!((seconds - stamp).abs() < 0.042, "{sent:?}: {seconds}");
        }
    }
}

#[test]
fn jitter_of_audio_stamps_is_not_seen() {
    let mut sent = publish((25, 1), 48_000, 60.0, even);
    for (n, frame) in sent
        .iter_mut()
        .enumerate()
        .filter(|(_, f)| f.track == AUDIO)
    {
        if n > 10 {
            frame.stamp += [0, 15, -15, 30, -30, 7][n % 6];
        }
    }
    let out = run(48_000, &sent);
    assert_eq!((out.repairs.total(), out.breaks.len()), (0, 0));
    let steps = out
        .of(AUDIO)
        .windows(2)
        .all(|p| p[1].dts - p[0].dts == 1_024);
    assert!(steps, "sums of samples");
}

#[test]
fn lost_audio_is_made_up_for_after_two_seconds() {
    let mut sent = publish((25, 1), 48_000, 20.0, even);
    sent.retain(|f| f.track == VIDEO || !(5.0..5.3).contains(&f.at));
    let out = run(48_000, &sent);
    assert_eq!((out.repairs.reanchors, out.repairs.total()), (1, 1));
    let end = out.seconds(AUDIO, 48_000).pop().unwrap();
    assert!((end - 29.99).abs() < 0.03, "{end}");
}

#[test]
fn a_publish_that_continues_a_stream_never_goes_back() {
    let start = Instant::now();
    let time = 25_000_000_123;
    for (wait, least) in [(0.0, 25.1), (4.0, 29.0)] {
        let timeline = Timeline::resumed(time, start);
        let mut sent = publish((25, 1), 48_000, 10.0, |_, at| 700.0 + at);
        for frame in &mut sent {
            frame.at += wait;
            if frame.track == AUDIO {
                // Encoders put the priming of audio before the first picture.
                frame.stamp -= 43;
            }
        }
        let out = run_on(timeline, start, 48_000, |stamp| stamp, &sent);
        assert_eq!((out.causes(), out.repairs.total()), (vec![], 0));
        let video = out.seconds(VIDEO, 90_000);
        assert!((video[0] - least).abs() < 0.002, "{}", video[0]);
        let audio = out.seconds(AUDIO, 48_000);
        assert!(
            (audio[0] - (video[0] - 0.043)).abs() < 0.002,
            "{}",
            audio[0]
        );
    }
}

#[test]
fn a_change_of_sample_rate_goes_on_in_time() {
    let start = Instant::now();
    let mut timeline = Timeline::new();
    let mut ends = Vec::new();
    let mut stamp = 0.0;
    for rate in [44_100, 48_000, 22_050] {
        timeline.track(&tracks(rate)[1]);
        for _ in 0..100 {
            let timed = timeline.push(SourceFrame {
                track: AUDIO,
                dts: millis(stamp),
                cts: 0,
                clock: MS,
                nanos: 0,
                duration: 1_024,
                keyframe: true,
                payload: Bytes::new(),
                received: start + Duration::from_secs_f64(stamp),
            });
            let seconds = timed.frame.unwrap().dts as f64 / f64::from(rate);
            assert!(
                (seconds - 10.0 - stamp).abs() < 0.002,
                "{rate}: {seconds} {stamp}"
            );
            ends.push(seconds);
            stamp += 1_024.0 / f64::from(rate);
        }
    }
    assert!(ends.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(timeline.repairs().total(), 0);
}

proptest! {
    /// Whatever a publisher's clock does, decode times rise and nothing panics.
    #[test]
    fn time_rises_whatever_comes(
        frames in prop::collection::vec(
            (0..3_u8, any::<u32>(), 0..5_000_u64, any::<i32>(), 0..3_u32, 0..4_u8), 1..200)
    ) {
        let start = Instant::now();
        let mut timeline = Timeline::new();
        for track in tracks(48_000) {
            timeline.track(&track);
        }
        let mut at = start;
        let mut last = [i64::MIN; 2];
        let mut stamp = 0_i64;
        for (track, wild, wait, cts, duration, kind) in frames {
            at += Duration::from_millis(if kind == 0 { wait } else { wait % 50 });
            stamp = match kind {
                0 => i64::from(wild),
                1 => stamp - i64::from(wild % 2_000),
                _ => stamp + i64::from(wild % 60),
            };
            let timed = timeline.push(SourceFrame {
                track: TrackId(track),
                dts: stamp.rem_euclid(1 << 32),
                cts,
                clock: if wild % 7 == 0 { SourceClock::MPEG } else { MS },
                nanos: 0,
                duration: duration * 1_024,
                keyframe: true,
                payload: Bytes::new(),
                received: at,
            });
            prop_assert_eq!(timed.frame.is_some(), track < 2);
            if let Some(frame) = timed.frame {
                let last = &mut last[usize::from(track)];
                prop_assert!(frame.dts > *last && frame.dts >= 0, "{} after {}", frame.dts, last);
                *last = frame.dts;
            }
        }
    }
}

#[test]
fn what_stands_between_two_milliseconds_is_kept() {
    let mut timeline = Timeline::new();
    let start = Instant::now();
    for track in tracks(48_000) {
        timeline.track(&track);
    }
    // Sixty pictures a second: whole milliseconds, and what is missing to them.
    let mut times = Vec::new();
    for picture in 0..7_u32 {
        let nanos = picture * 50_000_000 / 3;
        let timed = timeline.push(SourceFrame {
            track: VIDEO,
            dts: i64::from(nanos / 1_000_000),
            cts: 0,
            clock: MS,
            nanos: nanos % 1_000_000,
            duration: 0,
            keyframe: picture == 0,
            payload: Bytes::from_static(b"x"),
            received: start + Duration::from_nanos(nanos.into()),
        });
        let frame = timed.frame.unwrap();
        assert_eq!(frame.pts, frame.dts);
        times.push(frame.dts);
    }
    let steps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(steps, [1_500; 6]);
    assert_eq!(timeline.repairs().total(), 0);
}
