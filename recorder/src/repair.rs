//! What a start makes good of what a crash has left: torn files are cut to their last
//! whole fragment, and what the index lacks is written from the files.
//!
//! Only files are touched that say of themselves that they are recordings of ours.
//! Nothing is thrown away that can be played.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rillcast_core::StreamKey;

use crate::file::scan::{Scan, scan};
use crate::index::{self, EndCause, Index, Line, TrackLine};
use crate::name::EXTENSION;

/// What was found and mended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mended {
    /// Files that had no end in their index.
    pub(crate) files: u64,
    /// Bytes of torn fragments that were cut off.
    pub(crate) bytes: u64,
}

/// Makes files and indexes below `folder` agree. What cannot be read is passed over
/// with a line in the log.
///
/// # Errors
/// If the folder itself cannot be listed.
pub(crate) fn repair(folder: &Path, sync: bool) -> io::Result<Mended> {
    let mut found = Found::default();
    found.walk(folder, Path::new(""), 0)?;
    let mut repair = Repair {
        folder,
        sync,
        known: HashSet::new(),
        indexes: HashMap::new(),
        mended: Mended::default(),
    };
    for key in found.streams {
        repair.open_files(&key);
    }
    for path in found.files {
        repair.unknown_file(&path);
    }
    Ok(repair.mended)
}

/// What lies below the folder.
#[derive(Default)]
struct Found {
    streams: Vec<StreamKey>,
    files: Vec<PathBuf>,
}

impl Found {
    /// Links are not followed: they may lead anywhere.
    fn walk(&mut self, folder: &Path, below: &Path, depth: u32) -> io::Result<()> {
        for entry in fs::read_dir(folder.join(below))? {
            let entry = entry?;
            let (kind, path) = (entry.file_type()?, below.join(entry.file_name()));
            if kind.is_dir() && depth < DEEPEST {
                if let Err(error) = self.walk(folder, &path, depth + 1) {
                    tracing::warn!(path = %path.display(), %error, "recordings cannot be listed");
                }
            } else if kind.is_file() && entry.file_name() == index::FILE {
                let mut names = below.iter().map(OsStr::to_str);
                if let (Some(Some(app)), Some(Some(name)), None) =
                    (names.next(), names.next(), names.next())
                    && let Ok(key) = StreamKey::from_parts(app, name)
                {
                    self.streams.push(key);
                }
            } else if kind.is_file() && path.to_str().is_some_and(|path| path.ends_with(EXTENSION))
            {
                self.files.push(path);
            }
        }
        Ok(())
    }
}

struct Repair<'a> {
    folder: &'a Path,
    sync: bool,
    /// Files that an index knows.
    known: HashSet<String>,
    indexes: HashMap<StreamKey, Index>,
    mended: Mended,
}

impl Repair<'_> {
    /// Ends the files of a stream that have no end.
    fn open_files(&mut self, key: &StreamKey) {
        let (index, lines) = match Index::open(self.folder, key, self.sync) {
            Ok(opened) => opened,
            Err(error) => {
                tracing::warn!(stream = %key, %error, "the index of recordings cannot be read");
                return;
            }
        };
        self.indexes.insert(key.clone(), index);
        let mut open = Vec::new();
        for line in lines {
            match line {
                Line::Start { file, .. } => {
                    self.known.insert(file.clone());
                    open.push(file);
                }
                Line::End { file, .. } => open.retain(|open| *open != file),
                _ => {}
            }
        }
        for file in open {
            match self.mend(Path::new(&file), true) {
                Ok(scan) => self.end(key, file, scan.as_ref()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.end(key, file, None),
                Err(error) => {
                    tracing::warn!(stream = %key, file, %error, "a recording cannot be repaired");
                }
            }
        }
    }

    /// Enters a file that no index knows, if it is a recording.
    fn unknown_file(&mut self, path: &Path) {
        let Some(file) = path.to_str().filter(|file| !self.known.contains(*file)) else {
            return;
        };
        let scan = match self.mend(path, false) {
            Ok(Some(scan)) if scan.fragments > 0 => scan,
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(file, %error, "a recording cannot be repaired");
                return;
            }
        };
        let Ok(key) = StreamKey::parse(&scan.note.stream) else {
            return;
        };
        if !self.indexes.contains_key(&key) {
            match Index::open(self.folder, &key, self.sync) {
                Ok((index, _)) => drop(self.indexes.insert(key.clone(), index)),
                Err(error) => {
                    tracing::warn!(stream = %key, %error, "the index of recordings cannot be made");
                    return;
                }
            }
        }
        let tracks = scan.tracks.iter().map(|(number, timescale)| TrackLine {
            number: *number,
            timescale: timescale.hz(),
            codec: None,
        });
        let start = Line::Start {
            file: file.to_owned(),
            at: scan.note.at.clone(),
            session: scan.note.session.clone(),
            tracks: tracks.collect(),
        };
        if let Some(index) = self.indexes.get_mut(&key) {
            index.add(start);
        }
        self.end(&key, file.to_owned(), Some(&scan));
    }

    fn end(&mut self, key: &StreamKey, file: String, scan: Option<&Scan>) {
        let scan = scan.filter(|scan| scan.fragments > 0);
        let duration = scan.map(|scan| scan.duration).unwrap_or_default();
        let end = Line::End {
            file,
            bytes: scan.map_or(0, |scan| scan.good),
            duration_ns: u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX),
            cause: EndCause::Crash,
        };
        if let Some(index) = self.indexes.get_mut(key) {
            index.add(end);
        }
        self.mended.files += 1;
    }

    /// Cuts what is torn off a file; `None` if it is no recording. One with nothing
    /// in it goes.
    fn mend(&mut self, path: &Path, known: bool) -> io::Result<Option<Scan>> {
        let path = self.folder.join(path);
        let file: File = OpenOptions::new().read(true).write(true).open(&path)?;
        let length = file.metadata()?.len();
        let scan = scan(&file)?;
        match &scan {
            Some(scan) if scan.fragments > 0 => {
                if scan.good < length {
                    file.set_len(scan.good)?;
                    self.mended.bytes += length - scan.good;
                }
                if self.sync {
                    file.sync_all()?;
                }
            }
            Some(_) => fs::remove_file(&path)?,
            None if known && length == 0 => fs::remove_file(&path)?,
            None => {}
        }
        Ok(scan)
    }
}

/// Templates make no deeper paths.
const DEEPEST: u32 = 32;
