//! Folders: where clips are kept, and where files are in memory.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Where clips are kept: beside what cargo builds.
///
/// # Errors
/// It cannot be made.
pub fn clips() -> Result<PathBuf> {
    let this = std::env::current_exe().map_err(Error::of("this program"))?;
    let folder = this.ancestors().nth(3).unwrap_or(Path::new("."));
    let folder = folder.join("bench-clips");
    fs::create_dir_all(&folder).map_err(Error::of(folder.display()))?;
    Ok(folder)
}

/// A folder that is kept in memory, where there is one.
#[must_use]
pub fn memory_folder(other: &Path) -> &Path {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory } else { other }
}

/// Lets everybody use a folder: nginx's workers are another user.
///
/// # Errors
/// It is not ours.
pub fn share(folder: &Path) -> Result {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let all = fs::Permissions::from_mode(0o777);
        fs::set_permissions(folder, all).map_err(Error::of(folder.display()))?;
    }
    Ok(())
}
