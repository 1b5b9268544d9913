//! What can go wrong outside of the protocol; its own errors are in
//! [`proto`](crate::proto).

use std::io;
use std::net::SocketAddr;

/// The address to listen on cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("srt.listen: {address} {}", plain(.cause))]
pub struct BindError {
    /// The address as it was configured.
    pub address: SocketAddr,
    /// What the system says. Not this error's source: the sentence holds it
    /// already, and whoever writes the whole chain would say it twice.
    pub cause: io::Error,
}

/// The system's word in a sentence that says what to do.
fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "is in use by another program; stop that one, or set another port".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "is not for this user; set a port of 1024 or above".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => {
            "is no address of this machine; set one that is, or 0.0.0.0 for all".to_owned()
        }
        _ => format!("cannot be listened on: {error}"),
    }
}
