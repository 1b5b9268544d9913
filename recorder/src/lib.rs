//! Crash-safe recordings of live streams, for rillcast.
//!
//! Writes the live window's parts into files that a power cut costs at most a
//! second of, and offers those files again as video on demand.
//!
//! The crate has its place in the workspace and no plugin yet: the server links
//! it as feature `record` once it works.
#![forbid(unsafe_code)]
