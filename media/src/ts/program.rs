//! Which program is taken, and which packets belong to it.

use std::collections::VecDeque;

use rillcast_core::{MediaKind, TrackId};

use super::packet::{Arrival, Continuity, Packet};
use super::section::{Checked, Sections};
use super::stream::{Context, Stream};
use super::tables::{self, Entry, Format, Table};
use crate::SourceItem;

/// The name of a program, and who provides it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Service {
    /// The provider's name; may be empty.
    pub provider: String,
    /// The program's name; may be empty.
    pub name: String,
}

/// The tables, and the streams of the program that was taken.
#[derive(Debug)]
pub(super) struct Program {
    /// What each PID carries.
    pids: Box<[Target; 0x2000]>,
    pat: Psi,
    sdt: Psi,
    maps: Vec<Map>,
    /// The number of the program that is taken.
    taken: Option<u16>,
    streams: Vec<Stream>,
    /// The tracks that have ids, by id.
    tracks: Vec<Known>,
    service: Option<Service>,
    complaints: Complaints,
}

/// Where the packets of a PID go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Target {
    #[default]
    Nowhere,
    Pat,
    Sdt,
    /// The map at this index.
    Map(u8),
    /// The stream at this index.
    Stream(u8),
}

/// A PID with tables.
#[derive(Debug, Default)]
struct Psi {
    continuity: Continuity,
    sections: Sections,
}

/// A program that the PAT names.
#[derive(Debug)]
struct Map {
    number: u16,
    pid: u16,
    psi: Psi,
    /// The section as it came last.
    section: Vec<u8>,
}

/// What a track id was given to.
#[derive(Debug)]
struct Known {
    format: Format,
    language: Option<String>,
    /// No stream has it now.
    free: bool,
}

const PAT_PID: u16 = 0;
const SDT_PID: u16 = 0x11;

/// Programs whose maps are looked at until one with media is found. Those of a
/// broadcast multiplex are some ten.
const MAX_MAPS: usize = 16;
/// So many packets that look encrypted may be damaged ones.
const FEW: u64 = 100;
/// `stream_type` of what only descriptors explain.
const PRIVATE: u8 = 6;
const MAX_VIDEO: usize = 4;
const MAX_AUDIO: usize = 16;
/// Ids that are given out in all: a map that changes again and again does not
/// make tracks without end.
const MAX_TRACKS: usize = 32;

impl Default for Program {
    fn default() -> Self {
        let mut program = Self {
            pids: Box::new([Target::Nowhere; 0x2000]),
            pat: Psi::default(),
            sdt: Psi::default(),
            maps: Vec::new(),
            taken: None,
            streams: Vec::new(),
            tracks: Vec::new(),
            service: None,
            complaints: Complaints::default(),
        };
        program.route();
        program
    }
}

impl Program {
    pub(super) fn packet(&mut self, packet: &Packet<'_>, cx: &mut Context<'_>) {
        let target = self.pids.get(usize::from(packet.pid)).copied();
        match target.unwrap_or_default() {
            Target::Nowhere => {}
            Target::Stream(index) => {
                if let Some(stream) = self.streams.get_mut(usize::from(index)) {
                    stream.packet(packet, cx);
                    if packet.scrambled && cx.counts.scrambled > FEW {
                        self.complaints.add(Complaint::Scrambled(packet.pid));
                    }
                }
            }
            Target::Pat => {
                let sections = self.pat.packet(packet, cx);
                for section in sections {
                    self.pat(&section);
                }
            }
            Target::Sdt => {
                let sections = self.sdt.packet(packet, cx);
                for section in sections {
                    self.sdt(&section);
                }
            }
            Target::Map(_) => {
                // Programs may share the PID of their maps.
                let map = |map: &&mut Map| map.pid == packet.pid;
                let Some(first) = self.maps.iter_mut().find(map) else {
                    return;
                };
                let sections = first.psi.packet(packet, cx);
                for section in sections {
                    self.map(section, cx);
                }
            }
        }
    }

    /// Packets are missing here; if `many`, counters may not show it.
    pub(super) fn lost(&mut self, many: bool) {
        for psi in [&mut self.pat, &mut self.sdt]
            .into_iter()
            .chain(self.maps.iter_mut().map(|map| &mut map.psi))
        {
            psi.continuity.lost(many);
        }
        for stream in &mut self.streams {
            stream.lost(many);
        }
    }

    pub(super) fn finish(&mut self, cx: &mut Context<'_>) {
        for stream in &mut self.streams {
            stream.finish(cx);
        }
    }

    pub(super) fn take_complaint(&mut self) -> Option<String> {
        self.complaints.next.pop_front()
    }

    pub(super) const fn service(&self) -> Option<&Service> {
        self.service.as_ref()
    }

    fn pat(&mut self, section: &[u8]) {
        let Some(table) = Table::parse(section).filter(|table| table.id == tables::PAT) else {
            return;
        };
        let named: Vec<_> = tables::programs(table.body).collect();
        let before: Vec<_> = self.maps.iter().map(|map| (map.number, map.pid)).collect();
        if table.alone {
            self.maps
                .retain(|map| named.contains(&(map.number, map.pid)));
        }
        for (number, pid) in &named {
            if self.maps.iter().all(|map| map.number != *number) && self.maps.len() < MAX_MAPS {
                self.maps.push(Map {
                    number: *number,
                    pid: *pid,
                    psi: Psi::default(),
                    section: Vec::new(),
                });
            }
        }
        if table.alone && !named.iter().any(|(number, _)| Some(*number) == self.taken) {
            // Its streams go on until another program is taken.
            self.taken = None;
            for map in &mut self.maps {
                map.section.clear();
            }
        }
        let now = self.maps.iter().map(|map| (map.number, map.pid));
        if !now.eq(before) {
            self.route();
        }
    }

    fn sdt(&mut self, section: &[u8]) {
        let table = Table::parse(section).filter(|table| table.id == tables::SDT);
        let (Some(table), Some(program)) = (table, self.taken) else {
            return;
        };
        if let Some((provider, name)) = tables::service(table.body, program) {
            self.service = Some(Service { provider, name });
        }
    }

    fn map(&mut self, section: Vec<u8>, cx: &mut Context<'_>) {
        let Some(table) = Table::parse(&section).filter(|table| table.id == tables::PMT) else {
            return;
        };
        let number = table.extension;
        let programs = self.maps.len();
        let Some(map) = self.maps.iter_mut().find(|map| map.number == number) else {
            return;
        };
        if map.section == section || self.taken.is_some_and(|taken| taken != number) {
            return;
        }
        let Some(entries) = tables::streams(table.body) else {
            cx.counts.broken_sections += 1;
            return;
        };
        map.section = section;
        if self.taken.is_none() {
            if !entries.iter().any(|entry| entry.format.is_carried()) {
                self.complain_of(&entries);
                return;
            }
            self.taken = Some(number);
            if programs > 1 {
                self.complaints.add(Complaint::Programs(programs, number));
            }
        }
        self.complain_of(&entries);
        self.replace(entries, cx);
        self.route();
    }

    fn complain_of(&mut self, entries: &[Entry]) {
        for entry in entries {
            if let Format::Unsupported(stream_type) = entry.format {
                let complaint = Complaint::Unsupported(entry.pid, stream_type);
                self.complaints.add(complaint);
            }
        }
    }

    /// The program has these streams now.
    fn replace(&mut self, entries: Vec<Entry>, cx: &mut Context<'_>) {
        let (mut videos, mut audios) = (0, 0);
        let mut fresh = Vec::new();
        let mut kept = Vec::new();
        let mut pids = Vec::new();
        for entry in entries {
            let (count, limit) = if entry.format.is_video() {
                (&mut videos, MAX_VIDEO)
            } else {
                (&mut audios, MAX_AUDIO)
            };
            if !entry.format.is_carried() || pids.contains(&entry.pid) {
                continue;
            }
            if *count == limit {
                self.complaints.add(Complaint::TooMany);
                continue;
            }
            *count += 1;
            pids.push(entry.pid);
            let same = |stream: &Stream| {
                stream.entry.pid == entry.pid && stream.entry.format == entry.format
            };
            match self.streams.iter().position(same) {
                Some(at) => {
                    let mut stream = self.streams.swap_remove(at);
                    stream.describe(entry.language, cx);
                    kept.push(stream);
                }
                None => fresh.push(entry),
            }
        }
        let changed = !fresh.is_empty() || !self.streams.is_empty();
        for stream in &mut self.streams {
            stream.leave(cx);
        }
        for id in self
            .streams
            .iter()
            .map(|stream| stream.id)
            .collect::<Vec<_>>()
        {
            self.free(id);
        }
        // The first video track is the primary one.
        fresh.sort_by_key(|entry| !entry.format.is_video());
        for entry in fresh {
            let Some(id) = self.id_for(&entry) else {
                self.complaints.add(Complaint::TooMany);
                continue;
            };
            let pid = entry.pid;
            match Stream::new(entry, id) {
                Some(stream) => kept.push(stream),
                None => {
                    // Opus with channels that its descriptor does not explain.
                    self.complaints.add(Complaint::Unsupported(pid, PRIVATE));
                    self.free(id);
                }
            }
        }
        kept.sort_by_key(|stream| stream.id);
        for stream in &mut kept {
            stream.share(videos);
        }
        self.streams = kept;
        if changed {
            let kinds = self.streams.iter().map(|stream| {
                if stream.entry.format.is_video() {
                    MediaKind::Video
                } else {
                    MediaKind::Audio
                }
            });
            cx.items.push_back(SourceItem::Announce(kinds.collect()));
        }
    }

    fn free(&mut self, id: TrackId) {
        if let Some(known) = self.tracks.get_mut(usize::from(id.0)) {
            known.free = true;
        }
    }

    /// The id of a track that was like this one and is gone, or a new one.
    fn id_for(&mut self, entry: &Entry) -> Option<TrackId> {
        let like = |known: &Known| known.free && known.format == entry.format;
        let at = self
            .tracks
            .iter()
            .position(|known| like(known) && known.language == entry.language)
            .or_else(|| self.tracks.iter().position(like));
        let at = match at {
            Some(at) => at,
            None if self.tracks.len() < MAX_TRACKS => {
                self.tracks.push(Known {
                    format: entry.format,
                    language: None,
                    free: true,
                });
                self.tracks.len() - 1
            }
            None => return None,
        };
        let known = self.tracks.get_mut(at)?;
        known.free = false;
        known.language.clone_from(&entry.language);
        Some(TrackId(u8::try_from(at).ok()?))
    }

    /// Says anew where the packets of each PID go. Tables come before streams
    /// that are said to have the same PID.
    fn route(&mut self) {
        self.pids.fill(Target::Nowhere);
        let streams = self.streams.iter().map(|stream| stream.entry.pid);
        let streams = streams
            .zip(0..)
            .map(|(pid, index)| (pid, Target::Stream(index)));
        let maps = self.maps.iter().map(|map| map.pid);
        let maps = maps.zip(0..).map(|(pid, index)| (pid, Target::Map(index)));
        let fixed = [(SDT_PID, Target::Sdt), (PAT_PID, Target::Pat)];
        for (pid, target) in streams.chain(maps).chain(fixed) {
            if let Some(entry) = self.pids.get_mut(usize::from(pid)) {
                *entry = target;
            }
        }
    }
}

impl Psi {
    /// The sections that a packet completes.
    fn packet(&mut self, packet: &Packet<'_>, cx: &mut Context<'_>) -> Vec<Vec<u8>> {
        match self.continuity.check(packet) {
            Arrival::Next | Arrival::Restart => {}
            Arrival::Repeat => {
                cx.counts.repeated += 1;
                return Vec::new();
            }
            Arrival::Late => {
                cx.counts.late += 1;
                return Vec::new();
            }
            Arrival::Return => self.sections.lost(),
            Arrival::Gap(lost) => {
                cx.counts.lost += u64::from(lost.max(1));
                self.sections.lost();
            }
        }
        let mut sections = Vec::new();
        let payload = packet.payload.filter(|_| !packet.scrambled);
        if let Some(payload) = payload {
            self.sections
                .push(packet.starts, payload, |checked| match checked {
                    Checked::Section(section) => sections.push(section.to_vec()),
                    Checked::Broken => cx.counts.broken_sections += 1,
                });
        }
        sections
    }
}

/// What a user should know, each once.
#[derive(Debug, Default)]
struct Complaints {
    said: Vec<Complaint>,
    next: VecDeque<String>,
}

#[derive(Clone, Copy, Debug)]
enum Complaint {
    /// PID and `stream_type`.
    Unsupported(u16, u8),
    Scrambled(u16),
    /// How many there are, and which one is taken.
    Programs(usize, u16),
    TooMany,
}

impl Complaint {
    /// Whether one of them says what the other one said.
    const fn is_like(self, other: Self) -> bool {
        match (self, other) {
            (Self::Unsupported(_, a), Self::Unsupported(_, b)) => a == b,
            (Self::Scrambled(_), Self::Scrambled(_))
            | (Self::Programs(..), Self::Programs(..))
            | (Self::TooMany, Self::TooMany) => true,
            _ => false,
        }
    }

    fn text(self) -> String {
        match self {
            Self::Unsupported(pid, stream_type) => {
                let name = Format::unsupported_name(stream_type);
                format!(
                    "it has {name} (stream type 0x{stream_type:02x}) on PID {pid}, which is not \
                     carried: send H.264 or HEVC, and AAC, Opus, AC-3, MP2 or MP3"
                )
            }
            Self::Scrambled(pid) => format!("it is scrambled on PID {pid}: send it in the clear"),
            Self::Programs(count, number) => format!(
                "it has {count} programs, of which program {number} is taken: send the one that \
                 is meant alone"
            ),
            Self::TooMany => format!(
                "it has more than {MAX_VIDEO} video tracks, {MAX_AUDIO} audio tracks, or \
                 {MAX_TRACKS} tracks in the course of time: the others are left out"
            ),
        }
    }
}

impl Complaints {
    fn add(&mut self, complaint: Complaint) {
        // There are no more than kinds of them and stream types.
        if !self.said.iter().any(|said| said.is_like(complaint)) {
            self.said.push(complaint);
            self.next.push_back(complaint.text());
        }
    }
}
