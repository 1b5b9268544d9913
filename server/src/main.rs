//! Placeholder during bootstrap.
#![forbid(unsafe_code)]
fn main() {}
