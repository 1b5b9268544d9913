//! Reading the URL of a file of the window.

use std::fmt;

use rillcast_core::StreamKey;

/// A file of one track of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(super) key: StreamKey,
    pub(super) session: String,
    pub(super) track: String,
    pub(super) file: File,
}

/// Which file of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum File {
    /// `{config}.init.mp4`
    Init { config: u32 },
    /// `{number}.m4s`
    Segment { number: u64 },
    /// `{number}.{part}.m4s`
    Part { number: u64, index: u32 },
}

impl Address {
    /// Reads `APP/NAME/{session}/{track}/{file}`; `None` for anything else.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let mut parts = path.split('/');
        let (app, name) = (parts.next()?, parts.next()?);
        let (session, track) = (parts.next()?, parts.next()?);
        let file = parts.next()?;
        if parts.next().is_some() {
            return None;
        }
        Some(Self {
            key: StreamKey::from_parts(app, name).ok()?,
            session: session.to_owned(),
            track: track.to_owned(),
            file: File::parse(file)?,
        })
    }

    /// The one URL of the file, as [`Address::parse`] reads it.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn url_path(&self) -> String {
        let end = match self.file {
            File::Init { config } => format!("{config}.init.mp4"),
            file => format!("{file}.m4s"),
        };
        let (key, session, track) = (self.key.url_path(), &self.session, &self.track);
        format!("{key}/{session}/{track}/{end}")
    }
}

impl File {
    fn parse(text: &str) -> Option<Self> {
        if let Some(config) = text.strip_suffix(".init.mp4") {
            let config = u32::try_from(number(config)?).ok()?;
            return Some(Self::Init { config });
        }
        let stem = text.strip_suffix(".m4s")?;
        Some(match stem.split_once('.') {
            None => Self::Segment {
                number: number(stem)?,
            },
            Some((segment, part)) => Self::Part {
                number: number(segment)?,
                index: u32::try_from(number(part)?).ok()?,
            },
        })
    }
}

/// The file without its extension: unique within its track.
impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Init { config } => write!(f, "init{config}"),
            Self::Segment { number } => write!(f, "{number}"),
            Self::Part { number, index } => write!(f, "{number}.{index}"),
        }
    }
}

/// Decimal digits without a leading zero, so that no file has two URLs and no
/// cache holds it twice.
fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let plain = text == "0" || !text.starts_with('0');
    if digits && plain {
        text.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_kinds_of_files() {
        for (file, want) in [
            ("0.init.mp4", File::Init { config: 0 }),
            ("7.m4s", File::Segment { number: 7 }),
            (
                "18446744073709551615.m4s",
                File::Segment { number: u64::MAX },
            ),
            (
                "7.0.m4s",
                File::Part {
                    number: 7,
                    index: 0,
                },
            ),
            (
                "12.34.m4s",
                File::Part {
                    number: 12,
                    index: 34,
                },
            ),
        ] {
            let address = Address::parse(&format!("live/caf%C3%A9/s1/v0/{file}")).unwrap();
            assert_eq!(address.file, want, "{file}");
            assert_eq!(address.key.as_str(), "live/café");
            assert_eq!((&*address.session, &*address.track), ("s1", "v0"));
        }
    }

    #[test]
    fn everything_else_is_nothing() {
        for path in [
            "",
            "live/cam",
            "live/cam/s1/v0",
            "live/cam/s1/v0/",
            "live/cam/s1/v0/7.m4s/x",
            "live/cam/s1/v0/07.m4s",
            "live/cam/s1/v0/+7.m4s",
            "live/cam/s1/v0/-7.m4s",
            "live/cam/s1/v0/.m4s",
            "live/cam/s1/v0/7..m4s",
            "live/cam/s1/v0/7.1.2.m4s",
            "live/cam/s1/v0/7.4294967296.m4s",
            "live/cam/s1/v0/18446744073709551616.m4s",
            "live/cam/s1/v0/7.mp4",
            "live/cam/s1/v0/.init.mp4",
            "live/cam/s1/v0/x.init.mp4",
            "live/../s1/v0/7.m4s",
            "live/%2e%2e/s1/v0/7.m4s",
            "live//s1/v0/7.m4s",
        ] {
            assert_eq!(Address::parse(path), None, "{path}");
        }
    }
}
