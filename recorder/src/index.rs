//! The index of a stream's recordings: which files there are, and where something is
//! missing. docs/RECORDING.md is for those who read it without this server.
//!
//! A line is the CRC-32 of a JSON text as eight hexadecimal digits, a space, and that
//! text. Lines are only ever added. A line that a crash has torn fails its sum; it is
//! cut off when the index is opened again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rillcast_core::StreamKey;
use serde::{Deserialize, Serialize};

use crate::name::sync_folders;

/// One line. Times are RFC 3339, paths those below the recording folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum Line {
    /// The first line.
    Index { version: u32, stream: String },
    /// A file begins.
    Start {
        file: String,
        /// The wall clock at the file's time zero.
        at: String,
        session: String,
        tracks: Vec<TrackLine>,
    },
    /// It is complete: nothing will be added.
    End {
        file: String,
        /// Its length; 0 if there is nothing in it that can be played.
        bytes: u64,
        duration_ns: u64,
        cause: EndCause,
    },
    /// Between two files of a stream something is missing.
    Gap {
        from: String,
        to: String,
        cause: GapCause,
    },
}

/// A track of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TrackLine {
    /// Its number in the file (`track_ID`).
    pub(crate) number: u32,
    /// Ticks per second.
    pub(crate) timescale: u32,
    /// As RFC 6381 writes it; absent where the index was made of the files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) codec: Option<String>,
}

/// Why a file ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EndCause {
    /// The stream did.
    Ended,
    /// It was long or large enough.
    Rotated,
    /// The stream's time broke: its publisher was away, or its clock jumped.
    Break,
    /// A track came, or has another configuration.
    Configuration,
    /// The disk took no more.
    Disk,
    /// The disk was too slow: the window had moved on.
    Overload,
    /// The server was stopped.
    Stopped,
    /// The server was not, and the next start found the file.
    Crash,
}

/// Why something is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum GapCause {
    /// The stream had nothing: its publisher was away, or its clock jumped.
    Break,
    /// The disk took nothing.
    Disk,
    /// The disk was too slow.
    Overload,
    /// The server was not there.
    Crash,
}

/// The index of one stream, to add lines to.
#[derive(Debug)]
pub(crate) struct Index {
    file: File,
    /// Bytes of whole lines.
    length: u64,
    /// What could not be written yet.
    pending: Vec<Line>,
    /// A torn line is at its end, and the disk did not let it be cut off.
    torn: bool,
    sync: bool,
}

impl Index {
    /// Opens the index of `key` below `folder`, makes it if there is none, and cuts
    /// off what a crash has torn. Returns its lines as well.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn open(
        folder: &Path,
        key: &StreamKey,
        sync: bool,
    ) -> io::Result<(Self, Vec<Line>)> {
        let path = path(key);
        let below = folder.join(&path);
        if let Some(parent) = below.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut options = OpenOptions::new();
        let mut file = options.create(true).append(true).read(true).open(below)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (lines, good) = read(&bytes);
        if good < bytes.len() {
            file.set_len(good as u64)?;
        }
        let mut index = Self {
            file,
            length: good as u64,
            pending: Vec::new(),
            torn: false,
            sync,
        };
        if lines.is_empty() {
            let stream = key.to_string();
            index.write(&[Line::Index {
                version: VERSION,
                stream,
            }])?;
            if sync {
                sync_folders(folder, &path)?;
            }
        }
        Ok((index, lines))
    }

    /// Adds a line, now or, where the disk takes none, before the next one that it
    /// takes.
    pub(crate) fn add(&mut self, line: Line) {
        if self.pending.len() >= MOST_PENDING {
            self.pending.remove(0);
        }
        self.pending.push(line);
        let pending = std::mem::take(&mut self.pending);
        if self.write(&pending).is_err() {
            self.pending = pending;
        }
    }

    fn write(&mut self, lines: &[Line]) -> io::Result<()> {
        // A line of its own for what is torn.
        let first = if self.torn { "\n" } else { "" };
        let mut text = first.as_bytes().to_vec();
        text.extend(lines.iter().flat_map(written));
        let mut result = self.file.write_all(&text);
        if self.sync && result.is_ok() {
            result = self.file.sync_data();
        }
        match &result {
            Ok(()) => {
                self.length += text.len() as u64;
                self.torn = false;
            }
            Err(_) => self.torn = self.file.set_len(self.length).is_err(),
        }
        result
    }
}

/// Where the index of a stream is, below the recording folder.
pub(crate) fn path(key: &StreamKey) -> PathBuf {
    [key.app(), key.name(), FILE].iter().collect()
}

/// The lines of an index, and the bytes up to the end of the last one that is whole.
/// What is damaged between two of them is passed over.
pub(crate) fn read(bytes: &[u8]) -> (Vec<Line>, usize) {
    let mut lines = Vec::new();
    let (mut at, mut good) = (0, 0);
    for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
        at += piece.len();
        if let Some(line) = piece.strip_suffix(b"\n").and_then(parsed) {
            lines.push(line);
            good = at;
        }
    }
    (lines, good)
}

fn parsed(line: &[u8]) -> Option<Line> {
    let (sum, text) = line.split_at_checked(9)?;
    let sum = std::str::from_utf8(sum.strip_suffix(b" ")?).ok()?;
    let sum = u32::from_str_radix(sum, 16).ok()?;
    if sum != checksum(text) {
        return None;
    }
    serde_json::from_slice(text).ok()
}

fn written(line: &Line) -> Vec<u8> {
    // A line has nothing that JSON cannot hold.
    let text = serde_json::to_vec(line).unwrap_or_default();
    let mut out = format!("{:08x} ", checksum(&text)).into_bytes();
    out.extend(text);
    out.push(b'\n');
    out
}

/// CRC-32 as zlib, PNG and Ethernet have it.
fn checksum(bytes: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    sum.sum()
}

/// What the file is called.
pub(crate) const FILE: &str = "recordings.index";

const VERSION: u32 = 1;

/// Lines that wait for a disk that takes none; more than a few are not to be expected.
const MOST_PENDING: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> StreamKey {
        StreamKey::parse("live/cam").unwrap()
    }

    fn gap(number: usize) -> Line {
        Line::Gap {
            from: number.to_string(),
            to: "2026-01-01T00:00:00Z".into(),
            cause: GapCause::Disk,
        }
    }

    #[test]
    fn an_index_torn_at_any_byte_keeps_all_lines_before() {
        let folder = tempfile::tempdir().unwrap();
        let (mut index, known) = Index::open(folder.path(), &key(), true).unwrap();
        assert_eq!(known, []);
        let mut lines: Vec<Line> = (0..3).map(gap).collect();
        lines.insert(
            0,
            Line::Index {
                version: 1,
                stream: "live/cam".into(),
            },
        );
        lines
            .iter()
            .skip(1)
            .for_each(|line| index.add(line.clone()));
        let file = folder.path().join(path(&key()));
        let whole = fs::read(&file).unwrap();
        let ends: Vec<usize> = (0..=whole.len())
            .filter(|at| *at == 0 || whole[at - 1] == b'\n')
            .collect();
        for cut in 0..=whole.len() {
            let kept = ends.iter().filter(|end| **end <= cut).count() - 1;
            // As it was torn, and with the zeros that a power cut leaves.
            for tail in [0, 40] {
                let mut torn = whole[..cut].to_vec();
                torn.resize(cut + tail, 0);
                fs::write(&file, torn).unwrap();
                let (mut index, known) = Index::open(folder.path(), &key(), false).unwrap();
                assert_eq!(known, lines[..kept], "cut at {cut}");
                index.add(gap(9));
                let (known, good) = read(&fs::read(&file).unwrap());
                assert_eq!(known.last(), Some(&gap(9)), "cut at {cut}");
                assert_eq!(known.len(), kept.max(1) + 1);
                assert_eq!(good as u64, fs::metadata(&file).unwrap().len());
            }
        }
    }

    #[test]
    fn a_damaged_line_costs_itself() {
        let bytes: Vec<u8> = (0..3).map(gap).flat_map(|line| written(&line)).collect();
        let line = bytes.len() / 3;
        // Without its end of line it would cost the next one too.
        for at in line..2 * line - 1 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x01;
            let (lines, good) = read(&bytes);
            assert!(good == bytes.len(), "{at}");
            assert!(
                lines.starts_with(&[gap(0)]) && lines.ends_with(&[gap(2)]),
                "{at}"
            );
            assert_eq!(lines.len(), 2, "{at}");
        }
    }

    #[test]
    fn the_format_is_as_it_is_documented() {
        let line = Line::End {
            file: "live/cam/a.mp4".into(),
            bytes: 5,
            duration_ns: 7,
            cause: EndCause::Rotated,
        };
        let bytes = written(&line);
        let text = std::str::from_utf8(&bytes[9..]).unwrap();
        let want =
            r#"{"type":"end","file":"live/cam/a.mp4","bytes":5,"duration_ns":7,"cause":"rotated"}"#;
        assert_eq!(text.trim_end(), want);
        assert_eq!(checksum(b"123456789"), 0xcbf4_3926);
    }
}
