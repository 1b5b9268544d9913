//! What the tables say: programs (PAT), their streams (PMT), their names
//! (SDT). ISO/IEC 13818-1, 2.4.4 and 2.6; ETSI EN 300 468.

use super::language;
use crate::cursor::Cursor;

/// A section's header, as all sections with a checksum have it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table<'a> {
    pub(super) id: u8,
    /// `transport_stream_id`, `program_number`.
    pub(super) extension: u16,
    /// There are no other sections of this table.
    pub(super) alone: bool,
    /// What follows, up to the checksum.
    pub(super) body: &'a [u8],
}

impl<'a> Table<'a> {
    /// Reads a section without its checksum; `None` if it is too short or
    /// describes what is not in force yet.
    pub(super) fn parse(section: &'a [u8]) -> Option<Self> {
        let ([id, _, _, high, low, version, _, last], body) = section.split_first_chunk::<8>()?;
        (version & 1 == 1).then_some(Self {
            id: *id,
            extension: u16::from_be_bytes([*high, *low]),
            alone: *last == 0,
            body,
        })
    }
}

pub(super) const PAT: u8 = 0;
pub(super) const PMT: u8 = 2;
/// The services of the stream that the table is in.
pub(super) const SDT: u8 = 0x42;

/// The programs of a PAT section: their numbers, and the PIDs of their maps.
pub(super) fn programs(body: &[u8]) -> impl Iterator<Item = (u16, u16)> {
    body.chunks_exact(4)
        .filter_map(|entry| {
            let [a, b, c, d] = *entry.first_chunk()?;
            Some((
                u16::from_be_bytes([a, b]),
                u16::from_be_bytes([c & 0x1f, d]),
            ))
        })
        // Program 0 is the network's table.
        .filter(|(number, _)| *number != 0)
}

/// One elementary stream of a PMT section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) pid: u16,
    pub(super) format: Format,
    /// The language as BCP 47 writes it.
    pub(super) language: Option<String>,
}

/// What an elementary stream holds, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Format {
    H264,
    Hevc,
    AacAdts,
    AacLatm,
    MpegAudio,
    Ac3,
    Eac3,
    /// With `channel_config_code` of its descriptor.
    Opus(Option<u8>),
    /// Audio or video that is not carried: its `stream_type`.
    Unsupported(u8),
    /// Neither audio nor video: subtitles, splice points, private data.
    Data,
}

impl Format {
    pub(super) const fn is_video(self) -> bool {
        matches!(self, Self::H264 | Self::Hevc)
    }

    pub(super) const fn is_carried(self) -> bool {
        !matches!(self, Self::Unsupported(_) | Self::Data)
    }

    /// What people call a stream type that is not carried.
    pub(super) const fn unsupported_name(stream_type: u8) -> &'static str {
        match stream_type {
            0x01 => "MPEG-1 video",
            0x06 => "a private format",
            0x02 => "MPEG-2 video",
            0x10 => "MPEG-4 part 2 video",
            0x1c => "MPEG-4 audio without a transport syntax",
            0x1f | 0x20 => "a layer or view of H.264",
            0x21 => "JPEG 2000 video",
            0x25 => "a layer of HEVC",
            0x2d => "MPEG-H audio",
            0x33 => "H.266",
            0x42 => "Chinese AVS video",
            0x82 | 0x85 | 0x8a => "DTS audio",
            0xd1 => "Dirac video",
            0xea => "VC-1 video",
            _ => "an unknown kind of media",
        }
    }
}

/// The streams of a PMT section, at most [`MAX_ENTRIES`]; `None` if its
/// lengths do not add up.
pub(super) fn streams(body: &[u8]) -> Option<Vec<Entry>> {
    let mut cursor = Cursor::new(body);
    cursor.u16()?; // PCR_PID
    let length = usize::from(cursor.u16()? & 0x0fff);
    let program = Described::of(cursor.take(length)?);
    let mut entries = Vec::new();
    while !cursor.is_empty() && entries.len() < MAX_ENTRIES {
        let stream_type = cursor.u8()?;
        let pid = cursor.u16()? & 0x1fff;
        let length = usize::from(cursor.u16()? & 0x0fff);
        let described = Described::of(cursor.take(length)?);
        entries.push(Entry {
            pid,
            format: format(stream_type, &described, &program),
            language: described.language,
        });
    }
    Some(entries)
}

/// More than any program has; a section of 1021 bytes could name 200.
const MAX_ENTRIES: usize = 64;

/// What the descriptors of a stream or a program say.
#[derive(Debug, Default)]
struct Described {
    registration: Option<[u8; 4]>,
    language: Option<String>,
    /// DVB's descriptors for AC-3 and E-AC-3.
    ac3: bool,
    eac3: bool,
    opus: Option<u8>,
}

impl Described {
    fn of(bytes: &[u8]) -> Self {
        let mut described = Self::default();
        for (tag, data) in descriptors(bytes) {
            match tag {
                0x05 => described.registration = data.first_chunk().copied(),
                0x0a => {
                    let code = data.first_chunk::<3>();
                    let language = code.and_then(|code| language::of(*code));
                    described.language = described.language.or(language);
                }
                0x6a | 0x81 => described.ac3 = true,
                0x7a | 0xcc => described.eac3 = true,
                // An extension descriptor; 0x80 is Opus's, as its mapping says.
                0x7f => {
                    if let [0x80, code, ..] = data {
                        described.opus = Some(*code);
                    }
                }
                _ => {}
            }
        }
        described
    }
}

/// The descriptors of a loop, up to one that is cut short.
fn descriptors(bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut cursor = Cursor::new(bytes);
    std::iter::from_fn(move || {
        let tag = cursor.u8()?;
        let length = usize::from(cursor.u8()?);
        Some((tag, cursor.take(length)?))
    })
}

/// Table 2-34, ATSC A/53 part 3, and for private data what its registration
/// or DVB's descriptors say.
fn format(stream_type: u8, described: &Described, program: &Described) -> Format {
    match stream_type {
        0x1b => Format::H264,
        0x24 => Format::Hevc,
        0x0f => Format::AacAdts,
        0x11 => Format::AacLatm,
        0x03 | 0x04 => Format::MpegAudio,
        // Blu-ray gives 0x81 to AC-3 too, and 0x83 and up to others.
        0x81 => Format::Ac3,
        0x84 if program.registration == Some(*b"HDMV") => Format::Eac3,
        0x87 => Format::Eac3,
        0x06 => match described.registration.as_ref() {
            Some(b"Opus") => Format::Opus(described.opus),
            Some(b"HEVC") => Format::Hevc,
            Some(b"AC-3") => Format::Ac3,
            Some(b"EAC3") => Format::Eac3,
            Some(b"AV01" | b"VP09") => Format::Unsupported(stream_type),
            _ if described.ac3 => Format::Ac3,
            _ if described.eac3 => Format::Eac3,
            _ => Format::Data,
        },
        0x01
        | 0x02
        | 0x10
        | 0x1c
        | 0x1f..=0x21
        | 0x25
        | 0x2d
        | 0x33
        | 0x42
        | 0x82
        | 0x85
        | 0x8a
        | 0xd1
        | 0xea => Format::Unsupported(stream_type),
        _ => Format::Data,
    }
}

/// The provider and the name of a program in an SDT section.
pub(super) fn service(body: &[u8], program: u16) -> Option<(String, String)> {
    let mut cursor = Cursor::new(body.get(3..)?); // original_network_id, reserved
    loop {
        let number = cursor.u16()?;
        cursor.u8()?;
        let length = usize::from(cursor.u16()? & 0x0fff);
        let loop_ = cursor.take(length)?;
        if number != program {
            continue;
        }
        let (_, data) = descriptors(loop_).find(|(tag, _)| *tag == 0x48)?;
        let mut cursor = Cursor::new(data.get(1..)?); // service_type
        let mut text = || {
            let length = usize::from(cursor.u8()?);
            Some(text(cursor.take(length)?))
        };
        return Some((text()?, text()?));
    }
}

/// A name as EN 300 468, annex A, writes it, control characters left out. The
/// tables of characters other than Unicode's are not known here: their letters
/// beyond ASCII become replacement characters, unless they are UTF-8 after all,
/// as several muxers write it.
fn text(bytes: &[u8]) -> String {
    let bytes = match bytes {
        [0x10, _, _, rest @ ..] | [0x1f, _, rest @ ..] => rest,
        [..0x20, rest @ ..] => rest,
        all => all,
    };
    String::from_utf8_lossy(bytes)
        .chars()
        .filter(|char| !char.is_control())
        .collect()
}
