//! Recordings as files: fragmented MP4 (ISO/IEC 14496-12) with all tracks of a
//! stream.
//!
//! [`head`] makes what a file begins with of the tracks' initialisation segments,
//! [`retimed`] what stands before a part's payload in the file's own time, both
//! pure; [`FileWriter`] writes whole fragments, and [`scan`](scan::scan) finds the
//! last whole one of a file that was not finished.

mod boxes;
mod fragment;
mod head;
pub(crate) mod scan;
mod writer;

pub(crate) use fragment::retimed;
pub(crate) use head::{Note, head};
pub(crate) use writer::{FileWriter, Fragment};
