//! The states of a stream and the reasons for its end.

use std::fmt;

/// Where a stream is in its life, and what else is done with it meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamState {
    /// Where the stream is in its life.
    pub lifecycle: Lifecycle,
    /// Someone writes the stream to storage.
    pub recording: bool,
    /// Someone makes other renditions of the stream.
    pub transcoding: bool,
}

/// Shows the lifecycle and the flags beside it: `publishing, recording`.
impl fmt::Display for StreamState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.lifecycle.name())?;
        if self.transcoding {
            f.write_str(", transcoding")?;
        }
        if self.recording {
            f.write_str(", recording")?;
        }
        Ok(())
    }
}

/// Where a stream is in its life; the bus alone changes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Lifecycle {
    /// The stream is there and nobody publishes it: it is new, or its
    /// publisher has left and may come back within the grace time.
    #[default]
    Idle,
    /// A publisher holds the stream.
    Publishing,
    /// The stream is over.
    Ended,
}

impl Lifecycle {
    /// The name that logs, metrics and the API show.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Publishing => "publishing",
            Self::Ended => "ended",
        }
    }
}

impl fmt::Display for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A flag that stands beside a stream's lifecycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StreamFlag {
    /// Someone writes the stream to storage.
    Recording,
    /// Someone makes other renditions of the stream.
    Transcoding,
}

impl StreamFlag {
    pub(super) const fn bit(self) -> u8 {
        match self {
            Self::Recording => 1,
            Self::Transcoding => 2,
        }
    }
}

/// Why a stream, or one publish of it, was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// The publisher finished.
    Finished,
    /// The publisher left and did not come back within the grace time.
    GraceExpired,
    /// Someone with the right to do so ended it.
    Kicked,
    /// Another publisher took the stream over. Only a publish ends so, never a stream.
    TakenOver,
    /// The publisher was silent for too long.
    Idle,
    /// The publisher sent more than `limits.bitrate_cut` allows.
    TooFast,
    /// The server shuts down.
    Shutdown,
}

impl CloseReason {
    /// The name that logs, metrics and the API show.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::GraceExpired => "grace expired",
            Self::Kicked => "kicked",
            Self::TakenOver => "taken over",
            Self::Idle => "idle",
            Self::TooFast => "too fast",
            Self::Shutdown => "shutdown",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a publisher gets that publishes on a closed stream, or after another
/// one took it over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream is closed: {reason}")]
#[non_exhaustive]
pub struct Closed {
    /// Why it was closed.
    pub reason: CloseReason,
}

impl Closed {
    /// Closed for `reason`.
    #[must_use]
    pub const fn new(reason: CloseReason) -> Self {
        Self { reason }
    }
}

/// Where a subscription starts to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JoinAt {
    /// At what is published next, with nothing before it.
    Live,
    /// Every track's configuration, the current GOP from its keyframe on, then
    /// live, as one sequence. Where there is no GOP cache at that moment:
    /// every configuration, then live from the next keyframe on.
    #[default]
    Keyframe,
    /// Every track's configuration, then what is published next.
    Configs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_shown_beside_the_lifecycle() {
        let mut state = StreamState::default();
        assert_eq!(state.to_string(), "idle");
        state.lifecycle = Lifecycle::Publishing;
        state.recording = true;
        assert_eq!(state.to_string(), "publishing, recording");
        state.transcoding = true;
        assert_eq!(state.to_string(), "publishing, transcoding, recording");
        state = StreamState {
            lifecycle: Lifecycle::Ended,
            ..StreamState::default()
        };
        assert_eq!(state.to_string(), "ended");
    }
}
