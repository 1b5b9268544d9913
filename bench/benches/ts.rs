//! What it costs to take a transport stream apart: `cargo xtask bench ts`.
//!
//! `media::ts` makes access units of it. `mpeg2ts-reader`, in the same run and
//! on the same bytes, finds packets and PES packets, whose payloads are put
//! together here in the way that its users have to: no access units, no start
//! codes, no frames of sound. A copy of the bytes stands for what cannot be saved.
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
use rillcast_media::SourceItem;
use rillcast_media::ts::Demuxer;

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
    Ok(())
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
