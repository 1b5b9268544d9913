//! The one error type: a sentence for the person who runs the benchmark.

use std::fmt;

/// What could not be done, and why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// The result of everything that can fail here.
pub type Result<T = ()> = std::result::Result<T, Error>;

impl Error {
    /// An error of its own words.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// For `map_err`: says what the cause is about.
    pub fn of<E: fmt::Display>(what: impl fmt::Display) -> impl FnOnce(E) -> Self {
        move |cause| Self(format!("{what}: {cause}"))
    }
}
