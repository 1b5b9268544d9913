//! Where the server listens: the file for programs, the lines for people.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The address of each listener, by the name of its section; HTTP is `http`, and
/// HTTPS `https`.
pub type Addresses = BTreeMap<&'static str, SocketAddr>;

/// Writes the addresses as a JSON object. Whoever waits for the file sees all
/// of it or nothing: it is written beside its place and moved there.
pub(crate) fn write(path: &Path, addresses: &Addresses) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    // What is moved to its place takes that place, also that of /dev/null.
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return Err(io::Error::other("is no regular file"));
    }
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}", std::process::id()));
    let beside: PathBuf = path.with_file_name(hidden);
    let written = write_and_move(&beside, path, addresses);
    if written.is_err() {
        // It may not even exist: the first error is the one that counts.
        let _ = fs::remove_file(&beside);
    }
    written
}

fn write_and_move(beside: &Path, path: &Path, addresses: &Addresses) -> io::Result<()> {
    let mut json = serde_json::to_string(addresses)?;
    json.push('\n');
    let mut file = fs::File::create(beside)?;
    file.write_all(json.as_bytes())?;
    file.sync_all()?;
    drop(file);
    fs::rename(beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_holds_all_addresses_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("addresses.json");
        let addresses = Addresses::from([
            ("http", "0.0.0.0:8080".parse().unwrap()),
            ("rtmp", "[::1]:1935".parse().unwrap()),
        ]);
        for _ in 0..2 {
            write(&path, &addresses).unwrap();
            let text = fs::read_to_string(&path).unwrap();
            assert_eq!(
                text,
                "{\"http\":\"0.0.0.0:8080\",\"rtmp\":\"[::1]:1935\"}\n"
            );
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write(&folder.path().join("none/x.json"), &addresses).is_err());
        assert!(write(Path::new("/"), &addresses).is_err());
        assert!(write(folder.path(), &addresses).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let error = write(&path, &Addresses::new()).unwrap_err();
        assert_eq!(error.to_string(), "is no regular file");
        assert!(!fs::metadata(&path).unwrap().is_file());
    }
}
