//! What it costs to take a transport stream apart: `cargo xtask bench ts`.
//!
//! `media::ts` makes access units of it. `mpeg2ts-reader`, in the same run and
//! on the same bytes, finds packets and PES packets, whose payloads are put
//! together here in the way that its users have to: no access units, no start
//! codes, no frames of sound. A copy of the bytes stands for what cannot be saved.
//!
//! Then the way back: `ts::Mux` writes what was taken apart, in segments of a
//! second, beside a copy of the payloads, and `advance` only reckons.
#![forbid(unsafe_code)]
#![expect(
    missing_docs,
    reason = "macros of mpeg2ts-reader make public items, which are nobody's"
)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark talks to a person"
)]

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use mpeg2ts_reader::{demultiplex, pes, psi};
use rillcast_core::Track;
use rillcast_media::ts::{Continuity, Demuxer, Mux, Unit};
use rillcast_media::{SourceFrame, SourceItem};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    println!("| stream | ts::Demuxer | mpeg2ts-reader (PES only) | copy | time, ours : theirs |");
    println!("|---|---|---|---|---|");
    for megabits in [2, 8, 40] {
        let bytes = clip(megabits)?;
        // In turn, so that what else the machine does is fair to all.
        let mut times: [Vec<Duration>; 3] = Default::default();
        for _ in 0..ROUNDS {
            for (times, way) in times.iter_mut().zip([ours, theirs, copy]) {
                let start = Instant::now();
                for _ in 0..REPEATS {
                    black_box(way(&bytes));
                }
                times.push(start.elapsed());
            }
        }
        let best = |times: &[Duration]| times.iter().min().copied().unwrap_or_default();
        let [ours, theirs, copy] = times.each_ref().map(|times| best(times).as_secs_f64());
        let size = bytes.len() as f64 * f64::from(REPEATS) / 1e9;
        println!(
            "| {megabits} Mb/s | {:.2} GB/s | {:.2} GB/s | {:.1} GB/s | {:.2} |",
            size / ours,
            size / theirs,
            size / copy,
            ours / theirs
        );
    }
    println!();
    println!("| stream | ts::Mux::segment | copy | advance, a segment | time, segment : copy |");
    println!("|---|---|---|---|---|");
    for megabits in [2, 8, 40] {
        let clip = Clip::of(&clip(megabits)?)?;
        let mut times: [Vec<Duration>; 3] = Default::default();
        for _ in 0..ROUNDS {
            for (times, way) in times
                .iter_mut()
                .zip([Clip::write, Clip::copy, Clip::reckon])
            {
                let start = Instant::now();
                for _ in 0..REPEATS {
                    black_box(way(&clip));
                }
                times.push(start.elapsed());
            }
        }
        let best = |times: &[Duration]| times.iter().min().copied().unwrap_or_default();
        let [write, copy, reckon] = times.each_ref().map(|times| best(times).as_secs_f64());
        let size = clip.size() as f64 * f64::from(REPEATS) / 1e9;
        let segments = clip.segments().count() as f64 * f64::from(REPEATS);
        println!(
            "| {megabits} Mb/s | {:.2} GB/s | {:.2} GB/s | {:.1} µs | {:.2} |",
            size / write,
            size / copy,
            reckon / segments * 1e6,
            write / copy
        );
    }
    Ok(())
}

/// A clip that was taken apart.
struct Clip {
    mux: Mux,
    /// In the order of decoding, with the track that each belongs to.
    frames: Vec<(usize, SourceFrame)>,
}

impl Clip {
    fn of(bytes: &[u8]) -> Result<Self, String> {
        let mut demuxer = Demuxer::new();
        demuxer.push(bytes, Instant::now());
        demuxer.flush(Instant::now());
        let mut tracks: Vec<Track> = Vec::new();
        let mut frames = Vec::new();
        while let Some(item) = demuxer.next_item() {
            match item {
                SourceItem::Track(track) => {
                    tracks.retain(|known| known.id != track.id);
                    tracks.push(track);
                }
                SourceItem::Frame(frame) => frames.push(frame),
                _ => {}
            }
        }
        let mux = Mux::new(&tracks.iter().collect::<Vec<_>>()).map_err(|why| why.to_string())?;
        frames.sort_by_key(|frame| frame.dts);
        let of_track = |frame: SourceFrame| {
            let track = tracks.iter().position(|track| track.id == frame.track)?;
            Some((track, frame))
        };
        let frames = frames.into_iter().filter_map(of_track).collect();
        Ok(Self { mux, frames })
    }

    fn segments(&self) -> impl Iterator<Item = Vec<Unit<'_>>> {
        let second = |frame: &(usize, SourceFrame)| frame.1.dts / 90_000;
        self.frames
            .chunk_by(move |a, b| second(a) == second(b))
            .map(|frames| {
                let units = frames.iter().map(|(track, frame)| unit(*track, frame));
                units.collect()
            })
    }

    fn size(&self) -> usize {
        let sizes = self.frames.iter().map(|(_, frame)| frame.payload.len());
        sizes.sum()
    }

    fn write(&self) -> usize {
        let mut state = Continuity::default();
        let mut size = 0;
        for units in self.segments() {
            let mut out = Vec::new();
            state = self.mux.segment(state, &units, &mut out);
            size += black_box(out).len();
        }
        size
    }

    fn reckon(&self) -> usize {
        let state = self.segments().fold(Continuity::default(), |state, units| {
            self.mux.advance(state, &units)
        });
        usize::from(black_box(state) == Continuity::default())
    }

    fn copy(&self) -> usize {
        let mut size = 0;
        for units in self.segments() {
            let mut out = Vec::with_capacity(units.iter().map(|unit| unit.payload.len()).sum());
            for unit in &units {
                out.extend_from_slice(unit.payload);
            }
            size += black_box(out).len();
        }
        size
    }
}

fn unit(track: usize, frame: &SourceFrame) -> Unit<'_> {
    let dts = u64::try_from(frame.dts).unwrap_or(0);
    Unit {
        track,
        dts,
        pts: dts + u64::try_from(frame.cts).unwrap_or(0),
        keyframe: frame.keyframe,
        payload: &frame.payload,
    }
}

const ROUNDS: usize = 7;
const REPEATS: u32 = 10;

/// As SRT delivers it.
const PAYLOAD: usize = 7 * 188;

fn ours(bytes: &[u8]) -> usize {
    let mut demuxer = Demuxer::new();
    let now = Instant::now();
    let mut size = 0;
    for payload in bytes.chunks(PAYLOAD) {
        demuxer.push(payload, now);
        while let Some(item) = demuxer.next_item() {
            if let SourceItem::Frame(frame) = item {
                size += frame.payload.len();
            }
        }
    }
    size
}

fn copy(bytes: &[u8]) -> usize {
    bytes
        .chunks(PAYLOAD)
        .map(|payload| black_box(payload.to_vec()).len())
        .sum()
}

fn theirs(bytes: &[u8]) -> usize {
    let mut context = Context::new();
    let mut demultiplex = demultiplex::Demultiplex::new(&mut context);
    for payload in bytes.chunks(PAYLOAD) {
        demultiplex.push(&mut context, payload);
    }
    bytes.len()
}

mpeg2ts_reader::packet_filter_switch! {
    Filter<Context> {
        Pes: pes::PesPacketFilter<Context, Collector>,
        Pat: demultiplex::PatPacketFilter<Context>,
        Pmt: demultiplex::PmtPacketFilter<Context>,
        Null: demultiplex::NullPacketFilter<Context>,
    }
}

mpeg2ts_reader::demux_context!(Context, Filter);

impl Context {
    fn do_construct(&mut self, request: demultiplex::FilterRequest<'_, '_>) -> Filter {
        match request {
            demultiplex::FilterRequest::ByPid(psi::pat::PAT_PID) => {
                Filter::Pat(demultiplex::PatPacketFilter::default())
            }
            demultiplex::FilterRequest::ByStream { .. } => {
                Filter::Pes(pes::PesPacketFilter::new(Collector::default()))
            }
            demultiplex::FilterRequest::Pmt {
                pid,
                program_number,
            } => Filter::Pmt(demultiplex::PmtPacketFilter::new(pid, program_number)),
            _ => Filter::Null(demultiplex::NullPacketFilter::default()),
        }
    }
}

/// Puts the payloads of PES packets together.
#[derive(Default)]
struct Collector(Vec<u8>);

impl pes::ElementaryStreamConsumer<Context> for Collector {
    fn start_stream(&mut self, _: &mut Context) {}

    fn begin_packet(&mut self, _: &mut Context, header: pes::PesHeader<'_>) {
        if let pes::PesContents::Parsed(Some(parsed)) = header.contents() {
            let _ = black_box(parsed.pts_dts());
            self.0.extend_from_slice(parsed.payload());
        }
    }

    fn continue_packet(&mut self, _: &mut Context, data: &[u8]) {
        self.0.extend_from_slice(data);
    }

    fn end_packet(&mut self, _: &mut Context) {
        black_box(std::mem::take(&mut self.0));
    }

    fn continuity_error(&mut self, _: &mut Context) {}
}

/// Ten seconds of a picture with sound, at about so many bits.
fn clip(megabits: u32) -> Result<Vec<u8>, String> {
    let path = std::env::temp_dir().join(format!("rillcast-bench-{megabits}.ts"));
    if !path.exists() {
        encode(megabits, &path)?;
    }
    fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))
}

fn encode(megabits: u32, to: &Path) -> Result<(), String> {
    let rate = format!("{megabits}M");
    let partial = to.with_extension("part");
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i"])
        .arg("testsrc2=s=1280x720:r=25:d=10,noise=alls=30:allf=t")
        .args(["-f", "lavfi", "-i", "sine=f=440:d=10:r=48000"])
        .args(["-pix_fmt", "yuv420p", "-c:v", "libx264"])
        .args(["-preset", "ultrafast", "-b:v", &rate, "-maxrate", &rate])
        .args(["-bufsize", &rate, "-g", "50", "-c:a", "aac", "-f", "mpegts"])
        .arg(&partial)
        .status()
        .map_err(|error| format!("ffmpeg: {error}"))?;
    if !status.success() {
        return Err(format!("ffmpeg: {status}"));
    }
    // A clip that is there is whole.
    fs::rename(&partial, to).map_err(|error| format!("{}: {error}", to.display()))
}
