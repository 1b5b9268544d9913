//! Reading the URL of a file of the window.

use std::borrow::Cow;

use rillcast_core::StreamKey;

/// A file of one track of one session, as its URL names them. That there is a
/// stream of that key is not said, nor that there could be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address<'p> {
    /// The text of the key, decoded.
    pub(crate) key: Cow<'p, str>,
    pub(super) session: &'p str,
    pub(super) track: &'p str,
    pub(super) file: File,
    /// The file without its extension: unique within its track.
    pub(super) stem: &'p str,
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

impl<'p> Address<'p> {
    /// Reads `APP/NAME/{session}/{track}/{file}`; `None` for anything else.
    pub(crate) fn parse(path: &'p str) -> Option<Self> {
        let (key, rest) = StreamKey::split_path(path)?;
        let (session, rest) = rest.split_once('/')?;
        let (track, file) = rest.split_once('/')?;
        let (file, stem) = File::parse(file)?;
        Some(Self {
            key,
            session,
            track,
            file,
            stem,
        })
    }

    /// The one URL of the file, as [`Address::parse`] reads it, where there can
    /// be a stream of its key.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn url_path(&self) -> Option<String> {
        let end = match self.file {
            File::Init { config } => format!("{config}.init.mp4"),
            File::Segment { number } => format!("{number}.m4s"),
            File::Part { number, index } => format!("{number}.{index}.m4s"),
        };
        let key = StreamKey::parse(&self.key).ok()?.url_path();
        Some(format!("{key}/{}/{}/{end}", self.session, self.track))
    }
}

impl File {
    /// The file, and its name without the extension.
    fn parse(text: &str) -> Option<(Self, &str)> {
        if let Some(stem) = text.strip_suffix(".m4s") {
            let file = match stem.split_once('.') {
                None => Self::Segment {
                    number: number(stem)?,
                },
                Some((segment, part)) => Self::Part {
                    number: number(segment)?,
                    index: u32::try_from(number(part)?).ok()?,
                },
            };
            return Some((file, stem));
        }
        let stem = text.strip_suffix(".mp4")?;
        let config = number(stem.strip_suffix(".init")?)?;
        let config = u32::try_from(config).ok()?;
        Some((Self::Init { config }, stem))
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
            for key in ["live/caf%C3%A9", "live/café"] {
                let path = format!("{key}/s1/v0/{file}");
                let address = Address::parse(&path).unwrap();
                assert_eq!(address.file, want, "{file}");
                assert_eq!(address.key, "live/café");
                assert_eq!((address.session, address.track), ("s1", "v0"));
                let stem = file.split_once(".m").map(|(stem, _)| stem);
                assert_eq!(Some(address.stem), stem);
            }
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
            "live/%2e%2e/s1/v0/7.m4s",
            "live/a%2fb/s1/v0/7.m4s",
            "live/%/s1/v0/7.m4s",
        ] {
            assert_eq!(Address::parse(path), None, "{path}");
        }
    }
}
