//! What a crash leaves, at every byte of a real file.

use std::io::Write;

use super::*;
use crate::index::EndCause;
use crate::repair::repair;

/// A recording of one clip, its bytes, and where its fragments end.
fn recorded() -> (Scene, PathBuf, Vec<u8>, Vec<u64>) {
    let mut scene = Scene::new(&whole());
    scene.play(quickly());
    scene.end();
    let file = scene.files().remove(0);
    let bytes = fs::read(&file).unwrap();
    let mut ends = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let size = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        let kind = &bytes[at + 4..at + 8];
        at += size;
        if kind == b"mdat" || kind == b"uuid" {
            ends.push(at as u64);
        }
    }
    (scene, file, bytes, ends)
}

/// The end of the last whole fragment before `cut`; `None` within the head.
fn before(ends: &[u64], cut: u64) -> Option<u64> {
    ends.iter().copied().rfind(|end| *end <= cut)
}

#[test]
fn a_file_torn_at_any_byte_keeps_all_whole_fragments() {
    let (_scene, path, bytes, ends) = recorded();
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    let near = |cut: u64| ends.iter().any(|end| cut.abs_diff(*end) < 24);
    for cut in (0..=bytes.len() as u64).rev() {
        // All around the ends of fragments, and each so many bytes within them.
        if !near(cut) && cut % 331 != 0 {
            continue;
        }
        file.set_len(cut).unwrap();
        let found = scan(&file).unwrap();
        assert_eq!(
            found.as_ref().map(|scan| scan.good),
            before(&ends, cut),
            "cut at {cut}"
        );
    }
}

#[test]
fn what_a_power_cut_kept_from_the_disk_is_cut_off() {
    let (_scene, path, bytes, ends) = recorded();
    for cut in (4_096..bytes.len()).step_by(4_096) {
        // A block that did not reach the disk, and all behind it that did or did not.
        for until in [(cut + 4_096).min(bytes.len()), bytes.len()] {
            let mut torn = bytes.clone();
            torn[cut..until].fill(0);
            fs::write(&path, &torn).unwrap();
            let scan = scanned(&path);
            let want = before(&ends, cut as u64).unwrap();
            // A few zeros at a fragment's end may be its own.
            let within = scan.good.saturating_sub(cut as u64);
            assert!(
                scan.good == want || within < 64,
                "{cut} to {until}: {}",
                scan.good
            );
        }
    }
}

#[test]
fn a_start_repairs_files_and_index() {
    let (scene, path, bytes, ends) = recorded();
    let folder = scene.folder.path();
    let index = folder.join(index::path(&StreamKey::parse("live/cam").unwrap()));
    let lines = fs::read(&index).unwrap();
    let unended = lines
        .split_inclusive(|byte| *byte == b'\n')
        .take(2)
        .collect::<Vec<_>>()
        .concat();
    let third = ends[3];
    for (cut, known) in [
        (third + 1_000, true),
        (third, true),
        (third + 1, false),
        (ends[0], true),
        (ends[0] + 9, false),
    ] {
        fs::write(&path, &bytes[..usize::try_from(cut).unwrap()]).unwrap();
        if known {
            fs::write(&index, &unended).unwrap();
        } else {
            fs::remove_file(&index).unwrap();
        }
        let good = before(&ends, cut).unwrap();
        let empty = good == ends[0];
        let mended = repair(folder, false).unwrap();
        assert_eq!(mended.files, u64::from(known || !empty), "{cut}");
        assert_eq!(path.exists(), !empty, "{cut}");
        if !empty {
            assert_eq!(fs::metadata(&path).unwrap().len(), good);
            assert_eq!(mended.bytes, cut - good);
        }
        // A second start finds nothing to do.
        assert_eq!(repair(folder, false).unwrap().files, 0);
        if !known && empty {
            continue;
        }
        let after = super::lines(folder);
        let Some(Line::End {
            bytes,
            duration_ns,
            cause: EndCause::Crash,
            ..
        }) = after.last()
        else {
            panic!("{after:?}");
        };
        assert_eq!(*bytes, if empty { 0 } else { good });
        assert_eq!(*duration_ns > 0, !empty);
        let Some(Line::Start { file, at, .. }) = after.get(1) else {
            panic!("{after:?}");
        };
        assert!(path.ends_with(file) && near(at, "2023-11-14T22:13:20Z"));
    }
}

#[test]
fn what_is_not_a_recording_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let theirs = folder.path().join("holiday.mp4");
    let mut file = fs::File::create(&theirs).unwrap();
    file.write_all(b"\0\0\0\x18ftypiso6\0\0\0\0iso6mp41")
        .unwrap();
    file.write_all(b"\0\0\0\x08moov\0\0\0\x08moof").unwrap();
    let before = fs::read(&theirs).unwrap();
    fs::create_dir_all(folder.path().join("a/b/c.mp4")).unwrap();
    assert_eq!(repair(folder.path(), true).unwrap().files, 0);
    assert_eq!(fs::read(&theirs).unwrap(), before);
}

#[test]
fn a_start_after_a_crash_says_what_is_missing() {
    let (scene, path, bytes, ends) = recorded();
    let folder = scene.folder;
    let cut = usize::try_from(ends[20]).unwrap() + 5;
    fs::write(&path, &bytes[..cut]).unwrap();
    let index = folder
        .path()
        .join(index::path(&StreamKey::parse("live/cam").unwrap()));
    let lines = fs::read(&index).unwrap();
    let unended = lines
        .split_inclusive(|byte| *byte == b'\n')
        .take(2)
        .collect::<Vec<_>>()
        .concat();
    fs::write(&index, unended).unwrap();
    repair(folder.path(), false).unwrap();
    let mut again = Scene::in_folder(&whole(), folder);
    // Its clock begins where the first one did: let it be later.
    again.segmenter = Segmenter::new(
        StreamKey::parse("live/cam").unwrap(),
        "later",
        CmafConfig::default(),
        WallClock::new(epoch() + Duration::from_secs(60), again.start),
    );
    again.play(quickly());
    again.end();
    let gap = again.lines().into_iter().find_map(|line| match line {
        Line::Gap { to, cause, .. } => Some((to, cause)),
        _ => None,
    });
    let (to, cause) = gap.unwrap();
    assert_eq!(cause, crate::index::GapCause::Crash);
    assert!(near(&to, "2023-11-14T22:14:20Z"), "{to}");
    assert_eq!(again.files().len(), 2);
}
