//! One stream's files and index on the disk, written by a thread of their own: a disk
//! may take its time, and nobody else's.
//!
//! At most one step is on its way. What comes meanwhile waits in the live window,
//! which is bounded; what the window lets go of before it was taken is a gap.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rillcast_core::StreamKey;
use tokio::sync::{mpsc, oneshot};

use crate::file::FileWriter;
use crate::index::{EndCause, GapCause, Index, Line};
use crate::take::{Begin, Step};

/// The way to the thread. Dropped, it ends the open file.
#[derive(Debug)]
pub(crate) struct Disk {
    steps: mpsc::Sender<(Step, oneshot::Sender<io::Result<()>>)>,
}

/// Where a stream is recorded, and how safely.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    pub(crate) key: StreamKey,
    /// What is reported as written is on the disk.
    pub(crate) sync: bool,
}

impl Disk {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread.
    pub(crate) fn start(place: Place) -> io::Result<Self> {
        let (steps, mut received) = mpsc::channel::<(Step, oneshot::Sender<_>)>(1);
        let work = move || {
            let mut writer = Writer::new(place);
            while let Some((step, done)) = received.blocking_recv() {
                // Who does not wait for the answer does not need it.
                let _ = done.send(writer.step(step));
            }
            writer.end(EndCause::Stopped);
        };
        let thread = std::thread::Builder::new().name("record".into());
        thread.stack_size(STACK).spawn(work)?;
        Ok(Self { steps })
    }

    /// Does a step, and returns when it is done.
    ///
    /// # Errors
    /// What the system says; the open file has been ended then.
    pub(crate) async fn step(&self, step: Step) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        let gone = |_| io::Error::other("the thread that writes has ended");
        self.steps.send((step, done)).await.map_err(|_| gone(()))?;
        answer.await.map_err(|_| gone(()))?
    }
}

/// What the thread has.
pub(crate) struct Writer {
    place: Place,
    /// `None` until the disk has let it be opened.
    index: Option<Index>,
    open: Option<Open>,
    /// The wall clock at the end of the last file, and whether a crash ended it.
    last: Option<(Timestamp, bool)>,
}

/// The file that is being written.
struct Open {
    file: FileWriter,
    /// The wall clock at its time zero.
    at: Timestamp,
    /// What the index is told of it once a fragment is in it: a disk that is nearly
    /// full lets many files begin and none go on.
    announcement: Vec<Line>,
}

impl Writer {
    pub(crate) const fn new(place: Place) -> Self {
        Self {
            place,
            index: None,
            open: None,
            last: None,
        }
    }

    pub(crate) fn step(&mut self, step: Step) -> io::Result<()> {
        match step {
            Step::Begin(begin) => self.begin(begin),
            Step::Write(fragments) => {
                let Some(open) = &mut self.open else {
                    return Err(io::Error::other("no file is open"));
                };
                let written = open.file.write(&fragments);
                if open.file.fragments > 0
                    && let Some(index) = &mut self.index
                {
                    for line in open.announcement.drain(..) {
                        index.add(line);
                    }
                }
                if written.is_err() {
                    self.end(EndCause::Disk);
                }
                written
            }
            Step::End(cause) => {
                self.end(cause);
                Ok(())
            }
        }
    }

    fn begin(&mut self, begin: Begin) -> io::Result<()> {
        let Place { folder, key, sync } = &self.place;
        if self.index.is_none() {
            let (index, lines) = Index::open(folder, key, *sync)?;
            self.index = Some(index);
            self.last = self.last.or_else(|| last_end(&lines));
        }
        let file = FileWriter::create(folder, &begin.stem, &begin.head, *sync)?;
        let Some(path) = file.path.to_str().map(str::to_owned) else {
            return Err(io::Error::other("its name is no text"));
        };
        tracing::debug!(stream = %key, file = path, "a recording begins");
        let mut announcement = Vec::new();
        if let Some((last, crashed)) = self.last {
            let cause = begin.gap.or(crashed.then_some(GapCause::Crash));
            if let Some(cause) = cause.filter(|_| begin.at > last + LEAST_GAP) {
                announcement.push(Line::Gap {
                    from: last.to_string(),
                    to: begin.at.to_string(),
                    cause,
                });
            }
        }
        announcement.push(Line::Start {
            file: path,
            at: begin.at.to_string(),
            session: begin.session.to_string(),
            tracks: begin.tracks,
        });
        self.open = Some(Open {
            file,
            at: begin.at,
            announcement,
        });
        Ok(())
    }

    fn end(&mut self, cause: EndCause) {
        let Some(Open { file, at, .. }) = self.open.take() else {
            return;
        };
        if file.fragments == 0 {
            file.remove(&self.place.folder);
            return;
        }
        if let Some(end) = after(at, file.duration) {
            self.last = Some((end, false));
        }
        if let Some(index) = &mut self.index {
            index.add(Line::End {
                file: file.path.to_str().unwrap_or_default().to_owned(),
                bytes: file.good,
                duration_ns: u64::try_from(file.duration.as_nanos()).unwrap_or(u64::MAX),
                cause,
            });
        }
    }
}

/// When the last file of an index ends, and whether a crash ended it.
fn last_end(lines: &[Line]) -> Option<(Timestamp, bool)> {
    let mut ends = lines.iter().rev();
    let (file, duration, cause) = ends.find_map(|line| match line {
        Line::End {
            file,
            bytes: 1..,
            duration_ns,
            cause,
        } => Some((file, *duration_ns, *cause)),
        _ => None,
    })?;
    let at = lines.iter().rev().find_map(|line| match line {
        Line::Start {
            file: started, at, ..
        } if started == file => Some(at),
        _ => None,
    })?;
    let end = after(at.parse().ok()?, Duration::from_nanos(duration))?;
    Some((end, cause == EndCause::Crash))
}

fn after(at: Timestamp, duration: Duration) -> Option<Timestamp> {
    at.checked_add(SignedDuration::try_from(duration).ok()?)
        .ok()
}

/// Between two files that join, tracks end and begin some frames apart.
const LEAST_GAP: SignedDuration = SignedDuration::from_millis(100);

/// A writer's calls are shallow.
const STACK: usize = 512 << 10;
