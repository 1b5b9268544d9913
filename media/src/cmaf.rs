//! The CMAF cut that HLS, DASH and the recorder share (ISO/IEC 23000-19).
//!
//! A stream is cut once, however many read it. [`Segmenter`] makes segments
//! and parts of frames; the packager runs it behind a stream's bus and
//! publishes a [`Snapshot`] in the stream's [`Window`] for every part; [`Store`]
//! finds windows, those of ended streams for a while too. The rules are those
//! of MEDIA.md sections 3 to 5, and [`check`] tells whether a snapshot keeps
//! them.

mod budget;
mod check;
mod config;
mod listing;
mod measure;
mod part;
mod rates;
mod rule;
mod segmenter;
mod serve;
mod snapshot;
#[cfg(test)]
mod tests;
mod track;
mod transport;
mod window;

pub use check::{Violation, check};
pub use config::{CmafConfig, ConfigError, EXAMPLE, SECTION, Start};
pub use measure::WallClock;
pub use segmenter::{Segmenter, not_packaged};
#[cfg(any(test, fuzzing))]
pub(crate) use serve::Address;
pub use serve::{MOUNT, Serve};
pub use snapshot::{BitRate, Counters, Init, Part, Refusal, Segment, Snapshot, State, TrackWindow};
pub use track::track_name;
pub use transport::Transport;
pub use window::{Store, Window, existing_window, window};
