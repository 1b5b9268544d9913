//! Disks that take no more.

use std::process::Command;

use super::*;
use crate::index::{EndCause, GapCause};

/// A file system of `megabytes` in `folder`, for as long as this lives.
struct Small(PathBuf);

impl Small {
    /// `None` where this may not be: only root may.
    fn mount(folder: &Path, megabytes: u32) -> Option<Self> {
        let done = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={megabytes}m"),
                "rillcast-test",
            ])
            .arg(folder)
            .output();
        done.is_ok_and(|done| done.status.success())
            .then(|| Self(folder.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[test]
fn a_full_disk_costs_what_it_could_not_take() {
    let folder = tempfile::tempdir().unwrap();
    let Some(small) = Small::mount(folder.path(), 2) else {
        println!("skipped: it needs root, to mount a small file system");
        return;
    };
    let mut scene = Scene::in_folder(&whole(), folder);
    scene.play(quickly());
    assert_eq!(scene.failed, 0);
    // Somebody else fills the disk, and makes room later.
    let filler = small.0.join("filler");
    let filled = fs::write(&filler, vec![1; 4 << 20]);
    assert!(filled.is_err(), "the disk is larger than it should be");
    scene.play(quickly());
    assert!(scene.failed > 1, "{}", scene.failed);
    fs::remove_file(&filler).unwrap();
    scene.play(quickly());
    scene.end();
    // What is not whole was not left behind, and what is can be read.
    let files = scene.files();
    assert!(files.len() >= 2, "{files:?}");
    for file in &files {
        assert_eq!(scanned(file).good, fs::metadata(file).unwrap().len());
    }
    for (track, sent) in &scene.sent {
        let mut from = 0;
        for file in &files {
            let (begin, end) = scene.compare(file, *track);
            assert!(begin >= from);
            from = end;
        }
        assert_eq!(from, sent.len(), "recording goes on to the end");
    }
    // Attempts on a full disk leave nothing, neither on it nor in the index.
    assert_eq!(files.len(), 2, "{files:?}");
    let lines = scene.lines();
    let failed = |line: &Line| {
        matches!(
            line,
            Line::End {
                cause: EndCause::Disk,
                ..
            }
        )
    };
    let gap = |line: &Line| {
        matches!(
            line,
            Line::Gap {
                cause: GapCause::Disk,
                ..
            }
        )
    };
    assert!(
        lines.iter().any(failed) && lines.iter().any(gap),
        "{lines:?}"
    );
    assert_eq!(crate::repair::repair(&small.0, false).unwrap().files, 0);
    drop(small);
}
