//! Placeholder during bootstrap.
#![forbid(unsafe_code)]
