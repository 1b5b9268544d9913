//! A file that is being written: whole fragments, one after the other.

use std::fs::{self, File};
use std::io::{self, IoSlice, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;

use crate::name::{Created, create, sync_folders};

/// One fragment as it will stand in the file.
#[derive(Debug)]
pub(crate) struct Fragment {
    /// Header and payloads, the latter as they came from the bus.
    pub(crate) slices: Vec<Bytes>,
    /// The file's time at its end.
    pub(crate) until: Duration,
}

impl Fragment {
    fn length(&self) -> u64 {
        self.slices.iter().map(|slice| slice.len() as u64).sum()
    }
}

/// A file that is being written.
///
/// What has failed is cut back to the last whole fragment, as far as the disk still
/// lets it, and the writer takes no more.
#[derive(Debug)]
pub(crate) struct FileWriter {
    file: File,
    /// Its path below the recording folder.
    pub(crate) path: PathBuf,
    /// Bytes up to the end of the last whole fragment.
    pub(crate) good: u64,
    /// The file's time at the end of it.
    pub(crate) duration: Duration,
    /// How many are whole.
    pub(crate) fragments: u64,
    sync: bool,
}

impl FileWriter {
    /// Makes a file and writes its head; with `sync`, what it says it has written is
    /// on the disk, its name included.
    ///
    /// # Errors
    /// What the system says; nothing is left behind then.
    pub(crate) fn create(folder: &Path, stem: &Path, head: &Bytes, sync: bool) -> io::Result<Self> {
        let Created { mut file, path } = create(folder, stem)?;
        let mut begin = || {
            file.write_all(head)?;
            if sync {
                file.sync_data()?;
                sync_folders(folder, &path)?;
            }
            Ok(())
        };
        if let Err(error) = begin() {
            // There is nothing to be done if this fails too: a start-up mends it.
            let _ = fs::remove_file(folder.join(&path));
            return Err(error);
        }
        Ok(Self {
            file,
            path,
            good: head.len() as u64,
            duration: Duration::ZERO,
            fragments: 0,
            sync,
        })
    }

    /// Writes fragments.
    ///
    /// # Errors
    /// What the system says; the file then ends with the last that is whole.
    pub(crate) fn write(&mut self, fragments: &[Fragment]) -> io::Result<()> {
        let slices = fragments.iter().flat_map(|fragment| &fragment.slices);
        let mut slices: Vec<IoSlice<'_>> = slices.map(|slice| IoSlice::new(slice)).collect();
        let mut left = slices.as_mut_slice();
        let mut written = 0;
        let mut result = Ok(());
        while !left.is_empty() {
            let most = left.len().min(MOST_SLICES);
            match self
                .file
                .write_vectored(left.get(..most).unwrap_or_default())
            {
                Ok(0) => result = Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    written += count as u64;
                    IoSlice::advance_slices(&mut left, count);
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => result = Err(error),
            }
            break;
        }
        if self.sync && result.is_ok() {
            result = self.file.sync_data();
            if result.is_err() {
                // What of it is on the disk is not known.
                written = 0;
            }
        }
        for fragment in fragments {
            let length = fragment.length();
            if length > written {
                break;
            }
            written -= length;
            self.good += length;
            self.duration = self.duration.max(fragment.until);
            self.fragments += 1;
        }
        if result.is_err() {
            let _ = self.file.set_len(self.good);
        }
        result
    }

    /// Takes the file away, which has nothing in it.
    pub(crate) fn remove(self, folder: &Path) {
        // If this fails, a start will do it.
        let _ = fs::remove_file(folder.join(self.path));
    }
}

/// How many slices a system takes at once (`IOV_MAX` is 1024 nearly everywhere; more
/// would be cut off).
const MOST_SLICES: usize = 1_024;
