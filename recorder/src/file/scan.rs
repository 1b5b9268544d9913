//! What a file has that a crash left: its head, its whole fragments and where they
//! end.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::time::Duration;

use rillcast_core::Timescale;

use super::boxes::{self, HEADER, boxes, find, u32_at, u64_at};
use super::head::{Note, read_note, timescale, track_number};

/// What there is of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scan {
    pub(crate) note: Note,
    /// Bytes up to the end of the last whole fragment; of the head, if there is none.
    pub(crate) good: u64,
    /// The file's time at the end of what is whole.
    pub(crate) duration: Duration,
    pub(crate) fragments: u64,
    /// The number of its tracks, and the ticks per second of each.
    pub(crate) tracks: Vec<(u32, Timescale)>,
}

/// Reads the headers of a file's boxes; `None` if it does not begin as recordings do.
///
/// A power cut may leave a file as long as it was, with zeros where its bytes did not
/// reach the disk. The last [`SUSPECT`] bytes are looked through for a block of them.
///
/// # Errors
/// What the system says.
pub(crate) fn scan(file: &File) -> io::Result<Option<Scan>> {
    let length = file.metadata()?.len();
    let mut walk = Walk {
        input: BufReader::with_capacity(4_096, file),
        length,
        at: 0,
    };
    walk.input.seek(SeekFrom::Start(0))?;
    let Some(mut scan) = walk.head()? else {
        return Ok(None);
    };
    let mut ends = Vec::new();
    while let Some(fragment) = walk.fragment(&scan.tracks)? {
        ends.push(fragment);
    }
    let suspect = walk.at.saturating_sub(SUSPECT);
    for fragment in ends {
        if fragment.end > suspect && walk.has_hole(&fragment)? {
            break;
        }
        scan.good = fragment.end;
        scan.duration = scan.duration.max(fragment.until);
        scan.fragments += 1;
    }
    Ok(Some(scan))
}

/// One whole fragment.
#[derive(Debug)]
struct Whole {
    start: u64,
    end: u64,
    until: Duration,
}

struct Walk<'a> {
    input: BufReader<&'a File>,
    length: u64,
    at: u64,
}

impl Walk<'_> {
    /// The size and type of the box at the cursor, if all of it is there.
    fn header(&mut self) -> io::Result<Option<(u64, [u8; 4])>> {
        let mut bytes = [0; HEADER];
        if self.length.saturating_sub(self.at) < HEADER as u64 {
            return Ok(None);
        }
        self.input.read_exact(&mut bytes)?;
        self.input.seek_relative(BACK)?;
        let header = boxes::header(&bytes).map(|(size, kind)| (u64::from(size), kind));
        Ok(header.filter(|(size, _)| *size <= self.length - self.at))
    }

    /// All of the box at the cursor, if it is of that type and not too long.
    fn whole(&mut self, wanted: &[u8; 4]) -> io::Result<Option<Vec<u8>>> {
        match self.header()? {
            Some((size, kind)) if kind == *wanted && size <= MOST_READ => {
                let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
                self.input.read_exact(&mut bytes)?;
                self.at += size;
                Ok(Some(bytes))
            }
            _ => Ok(None),
        }
    }

    fn skip(&mut self, size: u64) -> io::Result<()> {
        self.at += size;
        self.input
            .seek_relative(i64::try_from(size).unwrap_or(i64::MAX))
    }

    fn head(&mut self) -> io::Result<Option<Scan>> {
        if self.whole(b"ftyp")?.is_none() {
            return Ok(None);
        }
        let Some(moov) = self.whole(b"moov")? else {
            return Ok(None);
        };
        let Some(uuid) = self.whole(b"uuid")? else {
            return Ok(None);
        };
        let note = uuid.get(HEADER..).and_then(read_note);
        let tracks = boxes(&moov, HEADER..moov.len())
            .filter(|place| &place.kind == b"trak")
            .map(|trak| {
                let scale = Timescale::new(timescale(&moov, &trak.body)?)?;
                Some((track_number(&moov, &trak.body)?, scale))
            });
        let tracks = tracks.collect::<Option<Vec<_>>>();
        Ok(note.zip(tracks).map(|(note, tracks)| Scan {
            note,
            good: self.at,
            duration: Duration::ZERO,
            fragments: 0,
            tracks,
        }))
    }

    /// The fragment at the cursor, if all of it is there and says what it has.
    fn fragment(&mut self, tracks: &[(u32, Timescale)]) -> io::Result<Option<Whole>> {
        let start = self.at;
        if let Some((size, kind)) = self.header()?
            && &kind == b"prft"
        {
            self.skip(size)?;
        }
        let Some(moof) = self.whole(b"moof")? else {
            return Ok(None);
        };
        let Some((size, kind)) = self.header()? else {
            return Ok(None);
        };
        let Some((track, end, payload)) = contents(&moof) else {
            return Ok(None);
        };
        let scale = tracks.iter().find(|(number, _)| *number == track);
        let Some((_, scale)) = scale else {
            return Ok(None);
        };
        if &kind != b"mdat" || size != payload + HEADER as u64 {
            return Ok(None);
        }
        self.skip(size)?;
        Ok(Some(Whole {
            start,
            end: self.at,
            until: scale.to_duration(i64::try_from(end).unwrap_or(i64::MAX)),
        }))
    }

    /// Whether the fragment has nothing but zeros in a block of the disk, as far as it
    /// lies in it: no coded picture or sound has so many.
    fn has_hole(&mut self, fragment: &Whole) -> io::Result<bool> {
        self.input.seek(SeekFrom::Start(fragment.start))?;
        let mut at = fragment.start;
        let mut block = Vec::new();
        while at < fragment.end {
            let end = (at + 1).next_multiple_of(BLOCK).min(fragment.end);
            block.resize(usize::try_from(end - at).unwrap_or(0), 0);
            self.input.read_exact(&mut block)?;
            if block.len() >= LEAST_HOLE && block.iter().all(|byte| *byte == 0) {
                return Ok(true);
            }
            at = end;
        }
        Ok(false)
    }
}

/// The track of a `moof`, the ticks at its end, and the bytes of its samples.
fn contents(moof: &[u8]) -> Option<(u32, u64, u64)> {
    let traf = find(moof, HEADER..moof.len(), &[b"traf"])?;
    let tfhd = find(moof, traf.clone(), &[b"tfhd"])?;
    let tfdt = find(moof, traf.clone(), &[b"tfdt"])?;
    let trun = find(moof, traf, &[b"trun"])?;
    let track = u32_at(moof, &tfhd, 4)?;
    let mut end = u64_at(moof, &tfdt, 4)?;
    let mut bytes = 0_u64;
    // Flags, count and offset; then duration, size, flags and offset of each.
    let entries = moof.get(trun)?.get(12..)?;
    for entry in entries.chunks_exact(16) {
        end = end.checked_add(u32_at(entry, &(0..16), 0)?.into())?;
        bytes = bytes.checked_add(u32_at(entry, &(0..16), 4)?.into())?;
    }
    Some((track, end, bytes))
}

/// Back over a header that was read.
const BACK: i64 = -8;

/// Heads and headers of fragments are longer in no recording: a part has some
/// hundred samples of 16 bytes each.
const MOST_READ: u64 = 4 << 20;

/// What a power cut may have kept from the disk: all that is written within the time
/// of a flush, and as much as disks hold back.
const SUSPECT: u64 = 64 << 20;

/// What file systems write at once, at least.
const BLOCK: u64 = 4_096;

/// So many zeros at the edge of a fragment may be what its encoder wrote.
const LEAST_HOLE: usize = 64;
