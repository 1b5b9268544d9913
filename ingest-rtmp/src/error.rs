//! What can go wrong outside of the protocol; its own errors are in
//! [`proto`](crate::proto).

use std::io;
use std::net::SocketAddr;

use rillcast_core::ByteSize;

/// A setting of `[rtmp]` that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A number is out of range.
    #[error("rtmp.{key} must be at least {least}{}", at_most(*most))]
    Number {
        /// The key in the section.
        key: &'static str,
        /// The least that works.
        least: usize,
        /// The most that works.
        most: usize,
    },
    /// A size is out of range.
    #[error("rtmp.{key} must be at least {least}{}", at_most_bytes(*most))]
    Size {
        /// The key in the section.
        key: &'static str,
        /// The least that works.
        least: ByteSize,
        /// The most that works.
        most: ByteSize,
    },
    /// A time-out is none, or longer than a day.
    #[error("rtmp.{key} must be between 100ms and 1d")]
    Timeout {
        /// The key in the section.
        key: &'static str,
    },
}

impl ConfigError {
    /// The key in the section.
    #[must_use]
    pub const fn key(&self) -> &'static str {
        match self {
            Self::Number { key, .. } | Self::Size { key, .. } | Self::Timeout { key } => key,
        }
    }
}

/// The address to listen on cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("rtmp.listen: {address} {}", plain(.cause))]
pub struct BindError {
    /// The address as it was configured.
    pub address: SocketAddr,
    /// What the system says. Not this error's source: the sentence holds it
    /// already, and whoever writes the whole chain would say it twice.
    pub cause: io::Error,
}

fn at_most(value: usize) -> String {
    if value == usize::MAX {
        String::new()
    } else {
        format!(" and at most {value}")
    }
}

fn at_most_bytes(value: ByteSize) -> String {
    if value.0 == u64::MAX {
        String::new()
    } else {
        format!(" and at most {value}")
    }
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
