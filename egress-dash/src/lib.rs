//! DASH out, for rillcast.
//!
//! Renders a dynamic MPD from the same live window that HLS reads, so that both
//! point at the same segment bytes.
//!
//! The crate has its place in the workspace and no plugin yet: the server links
//! it as feature `dash` once it works.
#![forbid(unsafe_code)]
