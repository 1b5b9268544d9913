//! Streams to be watched, as an encoder would send them.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use rillcast_core::{
    Discontinuity, DiscontinuityCause, Frame, StreamKey, Timescale, Track, TrackId,
};
use rillcast_media::SourceItem;
use rillcast_media::cmaf::{CmafConfig, Segmenter, Snapshot, WallClock};
use rillcast_media::flv::Demuxer;
use rillcast_media::flv::file::Reader;

const VIDEO: TrackId = TrackId(0);
const AUDIO: TrackId = TrackId(1);
const COMMENTARY: TrackId = TrackId(2);
const NANOS: i64 = 1_000_000_000;

/// Stream time of the first frame.
const ORIGIN: i64 = 10 * NANOS;

/// The tracks of the server's demo clip: configurations that a real encoder wrote.
pub(super) static TRACKS: LazyLock<(Track, Track)> = LazyLock::new(|| {
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
pub(super) struct Gop {
    pub(super) frames: u32,
    /// Milliseconds of stream time without media, announced as a discontinuity.
    pub(super) pause: Option<u32>,
    /// Whether the video's configuration is another one from here on.
    pub(super) changed: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Scene {
    /// Frames in so many seconds.
    pub(super) fps: (u32, u32),
    pub(super) gops: Vec<Gop>,
    /// Whether there is sound, and how many milliseconds it comes late.
    pub(super) audio: Option<u32>,
    /// Whether there is sound of another kind beside it.
    pub(super) commentary: bool,
    pub(super) video: bool,
    pub(super) window: Duration,
    /// By how many millionths the encoder's clock is slow: so much later comes what
    /// it sends.
    pub(super) ppm: i64,
}

/// What there is at one moment.
pub(super) struct Moment {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) now: SystemTime,
    /// Nobody publishes, since this moment or before.
    pub(super) left: bool,
}

enum Entry {
    Track(Arc<Track>),
    Frame(Frame),
    Break(Discontinuity),
}

impl Scene {
    /// Shows `look` what there is, at each change and each part.
    pub(super) fn run(
        &self,
        mut look: impl FnMut(Moment) -> Result<(), String>,
    ) -> Result<(), String> {
        let start = Instant::now();
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
        let mut config = CmafConfig::default();
        config.window.0 = self.window;
        let key = StreamKey::parse("live/cam$1").unwrap();
        let clock = WallClock::new(wall, start);
        let mut segmenter = Segmenter::new(key, "s1", config, clock);
        let mut last = start;
        let mut latest = None;
        let mut show = |segmenter: &mut Segmenter, at: Instant, left| {
            // That nobody publishes is known before the segmenter notices a stall.
            let made = segmenter.snapshot().inspect(|it| {
                latest = Some(Arc::clone(it));
            });
            let Some(snapshot) = made.or_else(|| latest.clone().filter(|_| left)) else {
                return Ok(());
            };
            look(Moment {
                snapshot,
                now: wall + at.saturating_duration_since(start),
                left,
            })
        };
        for (time, entry) in self.entries(start) {
            let now = start + Duration::from_nanos(u64::try_from(time).unwrap());
            let is_break = matches!(entry, Entry::Break(_));
            if is_break {
                show(&mut segmenter, last, true)?;
            }
            while let Some(deadline) = segmenter.deadline().filter(|deadline| *deadline <= now) {
                segmenter.on_deadline(deadline.max(last));
                last = last.max(deadline);
                show(&mut segmenter, last, is_break)?;
            }
            last = now;
            match entry {
                Entry::Track(track) => segmenter.track(track, now),
                Entry::Frame(frame) => segmenter.frame(&frame, now),
                Entry::Break(discontinuity) => segmenter.discontinuity(discontinuity, now),
            }
            show(&mut segmenter, now, false)?;
        }
        segmenter.end(last);
        show(&mut segmenter, last, true)
    }

    /// What the bus carries, each with its arrival in nanoseconds.
    fn entries(&self, start: Instant) -> Vec<(i64, Entry)> {
        let (video_track, audio_track) = &*TRACKS;
        let mut entries = Vec::new();
        let (num, den) = (i64::from(self.fps.0), i64::from(self.fps.1));
        let rate = i64::from(audio_track.timescale.hz());
        let mut at = ORIGIN;
        let mut sound = self.audio.map(|late| at + i64::from(late) * 1_000_000);
        let mut configs = 0;
        let arrival = |time: i64| {
            let since = time - ORIGIN;
            since + since / 1_000_000 * self.ppm + NANOS
        };
        let frame = |track, time: i64, scale: Timescale, bytes: usize| {
            let received = start + Duration::from_nanos(u64::try_from(arrival(time)).unwrap());
            let payload = Bytes::from(vec![0; bytes]);
            Frame::new(track, scale.from_nanos(time), received, payload)
        };
        for (index, gop) in self.gops.iter().enumerate() {
            if let Some(pause) = gop.pause.filter(|_| index > 0) {
                let missing = Duration::from_millis(pause.into());
                at += i64::from(pause) * 1_000_000;
                let cause = DiscontinuityCause::Reconnect;
                entries.push((
                    arrival(at),
                    Entry::Break(Discontinuity::new(cause, missing)),
                ));
                sound = sound.map(|sound| sound.max(at));
            }
            if self.video && (index == 0 || gop.changed) {
                let track = Arc::new(changed(video_track, configs));
                entries.push((arrival(at), Entry::Track(track)));
                configs += 1;
            }
            let begin = at;
            for n in 0..i64::from(gop.frames) {
                at = begin + n * NANOS * den / num;
                let made = frame(VIDEO, at, Timescale::VIDEO, 40);
                let pts = made.dts + 2 * 90_000 * den / num;
                let made = made.with_pts(pts).with_keyframe(n == 0);
                if self.video {
                    entries.push((arrival(at), Entry::Frame(made)));
                }
            }
            at = begin + i64::from(gop.frames) * NANOS * den / num;
            // The sound of this time, in whole frames from where it stands.
            if let Some(from) = sound {
                let mut ticks = audio_track.timescale.from_nanos(from);
                let mut time = from;
                let tracks = [AUDIO, COMMENTARY];
                let tracks = &tracks[..1 + usize::from(self.commentary)];
                if index == 0 || gop.changed {
                    for id in tracks {
                        let mut track = audio_track.clone();
                        track.id = *id;
                        if *id == COMMENTARY {
                            track.language = Some("en".to_owned());
                            track.label = Some("The director & a guest".to_owned());
                        }
                        entries.push((arrival(time), Entry::Track(Arc::new(track))));
                    }
                }
                while time < at {
                    for id in tracks {
                        let mut made = frame(*id, time, audio_track.timescale, 20);
                        (made.dts, made.pts) = (ticks, ticks);
                        let made = made.with_keyframe(true).with_duration(1_024);
                        entries.push((arrival(time), Entry::Frame(made)));
                    }
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

/// `track` with another level in its configuration and in the parameter set there:
/// another decoder set-up.
fn changed(track: &Track, times: u8) -> Track {
    let mut config = track.config.to_vec();
    for level in [3, 11] {
        config[level] = config[level].wrapping_add(times);
    }
    track.clone().with_config(config.into())
}
