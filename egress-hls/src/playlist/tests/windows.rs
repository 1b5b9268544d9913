//! Playlists of real windows: random streams go through the segmenter, and
//! every playlist of every track on the way is checked.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use proptest::prelude::*;
use rillcast_core::{
    Discontinuity, DiscontinuityCause, Frame, StreamKey, Timescale, Track, TrackId,
};
use rillcast_media::SourceItem;
use rillcast_media::cmaf::{CmafConfig, Segmenter, Snapshot, Transport, WallClock};
use rillcast_media::flv::Demuxer;
use rillcast_media::flv::file::Reader;

use super::super::law::Parsed;
use super::super::low_latency::Terms;
use super::super::media::MediaPlaylist;
use super::super::multivariant;
use super::read_back;

const VIDEO: TrackId = TrackId(0);
const AUDIO: TrackId = TrackId(1);

/// The tracks of the server's demo clip: configurations that a real encoder wrote.
static TRACKS: LazyLock<(Track, Track)> = LazyLock::new(|| {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../server/assets/demo/demo.flv"
    );
    let mut reader = Reader::new();
    reader.push(&std::fs::read(path).unwrap());
    let mut demuxer = Demuxer::new();
    let mut tracks = BTreeMap::new();
    while let Some(tag) = reader.next_tag().unwrap() {
        for item in demuxer.tag(tag, Instant::now()).unwrap() {
            if let SourceItem::Track(track) = item {
                tracks.insert(track.id, track);
            }
        }
        if tracks.len() == 2 {
            break;
        }
    }
    (
        tracks.remove(&VIDEO).unwrap(),
        tracks.remove(&AUDIO).unwrap(),
    )
});

/// One group of pictures, and what stands before it.
#[derive(Clone, Debug)]
struct Gop {
    frames: u32,
    /// Milliseconds of stream time without media, announced as a discontinuity.
    pause: Option<u32>,
    /// Whether the video's configuration is another one from here on.
    changed: bool,
    /// Whether it begins with a picture that is no keyframe.
    keyless: bool,
    /// Milliseconds without media that nobody announces.
    silence: Option<u32>,
    /// How many of its last frames the packager is too slow for.
    lost: Option<u32>,
}

#[derive(Clone, Debug)]
struct Stream {
    /// Frames in so many seconds.
    fps: (u32, u32),
    gops: Vec<Gop>,
    /// Whether there is sound, and how many milliseconds it comes late.
    audio: Option<u32>,
    video: bool,
    /// Whether its timestamps are of whole milliseconds, as RTMP's are.
    rounded: bool,
    part: Duration,
    segment: Duration,
    window: Duration,
}

fn gop() -> impl Strategy<Value = Gop> {
    let frames = prop_oneof![4 => 1..120_u32, 1 => 120..400_u32];
    let pause = prop::option::weighted(0.1, 1_001..20_000_u32);
    let silence = prop::option::weighted(0.1, 1..1_500_u32);
    let lost = prop::option::weighted(0.05, 1..50_u32);
    let flags = (prop::bool::weighted(0.1), prop::bool::weighted(0.1));
    (frames, pause, silence, lost, flags).prop_map(
        |(frames, pause, silence, lost, (changed, keyless))| Gop {
            frames,
            pause,
            changed,
            keyless,
            silence,
            lost,
        },
    )
}

fn stream() -> impl Strategy<Value = Stream> {
    let fps = prop::sample::select(vec![
        (24_000, 1_001),
        (25, 1),
        (30_000, 1_001),
        (50, 1),
        (60_000, 1_001),
        (120, 1),
        (5, 1),
        (1, 1),
    ]);
    let audio = prop::option::weighted(0.8, prop_oneof![Just(0), 1..6_000_u32]);
    let gops = prop::collection::vec(gop(), 1..12);
    let cut = (
        prop::sample::select(vec![100_u64, 200, 333, 500]),
        prop::sample::select(vec![500_u64, 1_000, 2_000, 6_000]),
        1..30_u64,
    );
    let shape = (prop::bool::weighted(0.9), any::<bool>());
    (fps, gops, audio, shape, cut).prop_map(
        |(fps, gops, audio, (video, rounded), (part, segment, window))| Stream {
            fps,
            gops,
            audio,
            video: video || audio.is_none(),
            rounded,
            part: Duration::from_millis(part),
            segment: Duration::from_millis(segment),
            window: Duration::from_secs(window),
        },
    )
}

/// Something on the bus.
enum Entry {
    Track(Arc<Track>),
    Frame(Frame),
    Break(Discontinuity),
    Lost(u32),
}

impl Parsed {
    /// The number of the segment after the last one.
    fn end(&self) -> u64 {
        self.media_sequence + u64::try_from(self.segments.len()).unwrap()
    }
}

const NANOS: i64 = 1_000_000_000;

impl Stream {
    /// What the bus carries of this stream, each with its stream time in
    /// nanoseconds.
    fn entries(&self, start: Instant) -> Vec<(i64, Entry)> {
        let (video_track, audio_track) = &*TRACKS;
        let mut entries = Vec::new();
        let (num, den) = (i64::from(self.fps.0), i64::from(self.fps.1));
        let rate = i64::from(audio_track.timescale.hz());
        let mut at = 0;
        let mut sound = self.audio.map(|late| i64::from(late) * 1_000_000);
        let mut configs = 0;
        let frame = |track, time: i64, scale: Timescale, bytes: usize| {
            let received = start + Duration::from_nanos(u64::try_from(time).unwrap());
            let payload = Bytes::from(vec![0; bytes]);
            Frame::new(track, scale.from_nanos(time), received, payload)
        };
        for (index, gop) in self.gops.iter().enumerate() {
            if let Some(pause) = gop.pause.filter(|_| index > 0) {
                let missing = Duration::from_millis(pause.into());
                at += i64::from(pause) * 1_000_000;
                let cause = DiscontinuityCause::Reconnect;
                entries.push((at, Entry::Break(Discontinuity::new(cause, missing))));
                sound = sound.map(|sound| sound.max(at));
            }
            if let Some(silence) = gop.silence.filter(|_| index > 0) {
                at += i64::from(silence) * 1_000_000;
                sound = sound.map(|sound| sound.max(at));
            }
            if self.video && (index == 0 || gop.changed) {
                entries.push((at, Entry::Track(Arc::new(changed(video_track, configs)))));
                configs += 1;
            }
            let begin = at;
            let lost = gop.lost.filter(|_| self.video).unwrap_or(0);
            let frames = gop.frames.saturating_sub(lost);
            for n in 0..i64::from(frames) {
                at = begin + n * NANOS * den / num;
                if self.rounded {
                    at = begin.max(at - at % 1_000_000);
                }
                let made = frame(VIDEO, at, Timescale::VIDEO, 40);
                let pts = made.dts + 2 * 90_000 * den / num;
                let made = made.with_pts(pts).with_keyframe(n == 0 && !gop.keyless);
                if self.video {
                    entries.push((at, Entry::Frame(made)));
                }
            }
            if lost > 0 {
                entries.push((at, Entry::Lost(gop.frames - frames)));
            }
            at = begin + i64::from(gop.frames) * NANOS * den / num;
            // The sound of this time, in whole frames from where it stands.
            if let Some(from) = sound {
                let mut ticks = audio_track.timescale.from_nanos(from);
                let mut time = from;
                if index == 0 || gop.changed {
                    let track = Arc::new(audio_track.clone());
                    entries.push((time, Entry::Track(track)));
                }
                while time < at {
                    let mut made = frame(AUDIO, time, audio_track.timescale, 20);
                    (made.dts, made.pts) = (ticks, ticks);
                    let made = made.with_keyframe(true).with_duration(1_024);
                    entries.push((time, Entry::Frame(made)));
                    ticks += 1_024;
                    time = ticks * NANOS / rate;
                }
                sound = Some(time);
            }
        }
        entries.sort_by_key(|(time, _)| *time);
        entries
    }
}

/// `track` with another level in its configuration: another decoder set-up.
fn changed(track: &Track, times: u8) -> Track {
    let mut config = track.config.to_vec();
    // As the record says it, and as its parameter set does.
    for level in [3, 11] {
        config[level] = config[level].wrapping_add(times);
    }
    track.clone().with_config(config.into())
}

/// What a viewer of one kind has seen of each track.
#[derive(Default)]
struct Seen {
    /// With parts, and without.
    playlists: [BTreeMap<String, Parsed>; 2],
    /// Of MPEG-TS.
    transports: BTreeMap<String, Parsed>,
    terms: Option<Terms>,
    window: Option<Arc<Snapshot>>,
    count: usize,
}

/// Checks every playlist that is new in `snapshot` against those before it.
fn check(snapshot: &Snapshot, seen: &mut Seen) -> Result<(), String> {
    let mut new = false;
    for track in snapshot.tracks.iter() {
        if track.listed().is_empty() {
            continue;
        }
        let terms = *seen.terms.get_or_insert_with(|| Terms::of(snapshot, 3.0));
        for (kind, terms) in [Some(&terms), None].into_iter().enumerate() {
            let known = seen.playlists[kind].get(&*track.name);
            let playlist = MediaPlaylist::of(snapshot, track, terms);
            let unchanged = |known: &Parsed| {
                let (first, last) = (playlist.entries.first(), playlist.entries.last());
                known.ended == playlist.ended
                    && first.is_some_and(|first| first.number == known.media_sequence)
                    && last.is_some_and(|last| last.number + 1 == known.end())
            };
            if terms.is_none() && known.is_some_and(unchanged) {
                continue;
            }
            let text = playlist.to_string();
            let illegal =
                |error: &dyn std::fmt::Display| format!("{}: {error} in\n{text}", track.name);
            let parsed = Parsed::read(&text).map_err(|error| illegal(&error))?;
            if known == Some(&parsed) {
                continue;
            }
            if terms.is_none() {
                read_back(&text, &parsed);
            }
            if let Some(known) = known {
                known.check_next(&parsed).map_err(|error| illegal(&error))?;
            }
            if let (Some(delta), Some(known)) = (playlist.delta(), known) {
                let text = delta.to_string();
                let illegal = |error: &dyn std::fmt::Display| format!("{error} in\n{text}");
                let delta = Parsed::read(&text).map_err(|error| illegal(&error))?;
                let whole = known.updated(&delta).map_err(|error| illegal(&error))?;
                if whole.media_sequence != parsed.media_sequence
                    || whole.segments.len() != parsed.segments.len()
                {
                    return Err(format!("the delta is another playlist: {text}"));
                }
                known.check_next(&whole).map_err(|error| illegal(&error))?;
            }
            seen.playlists[kind].insert(track.name.to_string(), parsed);
            seen.count += usize::from(terms.is_none());
            new |= terms.is_none();
        }
    }
    if new {
        check_entry(snapshot)?;
    }
    check_transports(snapshot, seen)
}

/// The same for what is offered as MPEG-TS.
fn check_transports(snapshot: &Snapshot, seen: &mut Seen) -> Result<(), String> {
    for track in Transport::leading(snapshot) {
        let transport = Transport::new(&track.name, 0);
        let playlist = MediaPlaylist::of_transport(snapshot, track, &transport);
        let (Some(first), Some(last)) = (playlist.entries.first(), playlist.entries.last()) else {
            continue;
        };
        let known = seen.transports.get(&*track.name);
        let unchanged = |known: &Parsed| {
            (known.ended, known.media_sequence, known.end())
                == (playlist.ended, first.number, last.number + 1)
        };
        if known.is_some_and(unchanged) {
            continue;
        }
        let text = playlist.to_string();
        let illegal = |error: &dyn std::fmt::Display| format!("{}: {error} in\n{text}", track.name);
        let parsed = Parsed::read(&text).map_err(|error| illegal(&error))?;
        read_back(&text, &parsed);
        if let Some(known) = known {
            known.check_next(&parsed).map_err(|error| illegal(&error))?;
        }
        seen.transports.insert(track.name.to_string(), parsed);
    }
    Ok(())
}

/// The entry to the stream names every track that can be played, with true
/// attributes as far as this can tell.
fn check_entry(snapshot: &Snapshot) -> Result<(), String> {
    let renditions = multivariant::renditions(snapshot);
    let Some(text) = multivariant::render(&snapshot.session, &renditions) else {
        return Ok(());
    };
    let Ok((_, playlist)) = m3u8_rs::parse_master_playlist(text.as_bytes()) else {
        return Err(format!("m3u8-rs does not read\n{text}"));
    };
    for track in &renditions {
        let named = format!("/{}.m3u8", track.name);
        let variant = playlist.variants.iter().any(|v| v.uri.ends_with(&named));
        let media = playlist
            .alternatives
            .iter()
            .any(|m| m.uri.as_ref().is_some_and(|uri| uri.ends_with(&named)));
        if !(variant || media) {
            return Err(format!("{} is missing in\n{text}", track.name));
        }
    }
    for variant in &playlist.variants {
        let average = variant.average_bandwidth.unwrap_or(0);
        let true_rate = average > 1 && variant.bandwidth >= average;
        if !true_rate || variant.codecs.is_none() {
            return Err(format!("no true attributes in\n{text}"));
        }
    }
    Ok(())
}

/// Runs a stream through the segmenter; the number of playlists that were seen.
fn run(stream: &Stream) -> Result<usize, String> {
    let start = Instant::now();
    let clock = WallClock::new(
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600),
        start,
    );
    let mut config = CmafConfig::default();
    config.window.0 = stream.window;
    config.part_duration.0 = stream.part.min(stream.segment);
    config.segment_duration.0 = stream.segment;
    let key = StreamKey::parse("live/cam").unwrap();
    let mut segmenter = Segmenter::new(key, "s1", config, clock);
    let mut seen = Seen::default();
    let mut last = start;
    let look = |segmenter: &mut Segmenter, seen: &mut Seen| -> Result<(), String> {
        let snapshot = segmenter.snapshot();
        let Some(snapshot) = snapshot else {
            return Ok(());
        };
        // What playlists are made of keeps the laws of media first.
        let window = rillcast_media::cmaf::check(seen.window.as_deref(), &snapshot);
        window.map_err(|violation| violation.to_string())?;
        check(&snapshot, seen)?;
        seen.window = Some(snapshot);
        Ok(())
    };
    for (time, entry) in stream.entries(start) {
        let now = start + Duration::from_nanos(u64::try_from(time).unwrap());
        while let Some(deadline) = segmenter.deadline().filter(|deadline| *deadline <= now) {
            segmenter.on_deadline(deadline.max(last));
            last = last.max(deadline);
            look(&mut segmenter, &mut seen)?;
        }
        last = now;
        match entry {
            Entry::Track(track) => segmenter.track(track, now),
            Entry::Frame(frame) => segmenter.frame(&frame, now),
            Entry::Lost(count) => segmenter.lost(u64::from(count), now),
            Entry::Break(discontinuity) => segmenter.discontinuity(discontinuity, now),
        }
        look(&mut segmenter, &mut seen)?;
    }
    segmenter.end(last);
    look(&mut segmenter, &mut seen)?;
    let transports = std::iter::once(&seen.transports);
    let mut playlists = seen
        .playlists
        .iter()
        .chain(transports)
        .flat_map(BTreeMap::values);
    if playlists.any(|playlist| !playlist.ended) {
        return Err("a track of an ended stream has no end".to_owned());
    }
    Ok(seen.count)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(streams()))]
    #[test]
    fn no_stream_shows_an_illegal_playlist(stream in stream()) {
        run(&stream).map_err(TestCaseError::fail)?;
    }
}

/// How many random streams: a few, or as many as `cargo xtask laws` asks for.
fn streams() -> u32 {
    let asked = std::env::var("RILLCAST_STREAMS").ok();
    asked.and_then(|asked| asked.parse().ok()).unwrap_or(48)
}

#[test]
fn a_plain_stream_of_each_shape_is_listed() {
    let gop = Gop {
        frames: 50,
        pause: None,
        changed: false,
        keyless: false,
        silence: None,
        lost: None,
    };
    for (video, audio) in [
        (true, Some(0)),
        (true, Some(3_000)),
        (true, None),
        (false, Some(0)),
    ] {
        let stream = Stream {
            fps: (25, 1),
            gops: vec![gop.clone(); 12],
            audio,
            video,
            rounded: false,
            part: Duration::from_millis(200),
            segment: Duration::from_secs(2),
            window: Duration::from_secs(30),
        };
        let seen = run(&stream).unwrap();
        assert!(seen >= 12, "{video} {audio:?}: {seen}");
    }
}
