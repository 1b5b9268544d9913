//! The one pattern syntax for stream keys: `app/name`, where `*` stands for
//! any text within a part.

use crate::StreamKey;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    app: String,
    name: String,
}

impl Pattern {
    /// The longest pattern: two parts of a key and the slash between them.
    const MAX: usize = 2 * StreamKey::MAX_PART + 1;

    /// `Err` is a sentence for the user.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "\"{text}\" matches no stream: write app/name, where * stands for any text, \
                 like \"live/*\" or \"*/*\""
            )
        };
        if text.len() > Self::MAX {
            return Err("match is longer than a stream's name can be (511 bytes)".to_owned());
        }
        let (app, name) = text.split_once('/').ok_or_else(wrong)?;
        if app.is_empty() || name.is_empty() || name.contains('/') {
            return Err(wrong());
        }
        Ok(Self {
            app: app.to_owned(),
            name: name.to_owned(),
        })
    }

    pub(super) fn matches(&self, key: &StreamKey) -> bool {
        glob(self.app.as_bytes(), key.app().as_bytes())
            && glob(self.name.as_bytes(), key.name().as_bytes())
    }
}

/// Matches `text` against `pattern`. A mismatch goes back only to the last
/// star, so the time is at most the product of the lengths.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(wanted) if wanted == byte => {
                p += 1;
                t += 1;
            }
            _ => match retry {
                Some((after_star, from)) => {
                    p = after_star;
                    t = from + 1;
                    retry = Some((after_star, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text_within_a_part() {
        for (pattern, key, want) in [
            ("live/*", "live/cam", true),
            ("live/*", "vod/cam", false),
            ("*/*", "a/b", true),
            ("*/cam*", "x/cam7", true),
            ("*/cam*", "x/7cam", false),
            ("live/a*b*c", "live/a-b-b-c", true),
            ("live/a*b*c", "live/a-c-b", false),
            ("live/cam", "live/cam", true),
            ("live/cam", "live/cam2", false),
            ("live/**", "live/x", true),
        ] {
            let pattern = Pattern::parse(pattern).unwrap();
            assert_eq!(
                pattern.matches(&key.parse().unwrap()),
                want,
                "{pattern:?} {key}"
            );
        }
    }

    #[test]
    fn a_pattern_has_two_parts() {
        for text in ["live", "live/", "/cam", "a/b/c", "*", ""] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }
}
