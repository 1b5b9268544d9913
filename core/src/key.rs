//! Stream keys: `app/name`, parsed once, safe in paths and URLs.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

/// The name of a stream: exactly `app/name`.
///
/// Whatever the protocol, a key is parsed here and nowhere else. A parsed key
/// can stand in a URL path and name a file below a folder without leaving it.
/// Cloning shares the text. Maps by key can be asked for a text as well: one
/// that is no key is in none of them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamKey {
    text: Arc<str>,
    slash: usize,
}

/// Why a text is no [`StreamKey`]. Each message names the part and the mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// There is no slash.
    #[error("a stream is named app/name, for example live/cam: there is no name after the app")]
    MissingName,
    /// There are more than two parts.
    #[error("a stream is named app/name, in two parts: this has more")]
    TooDeep,
    /// A part is empty.
    #[error("the {0} of a stream must not be empty")]
    Empty(&'static str),
    /// A part is longer than [`StreamKey::MAX_PART`] bytes.
    #[error("the {0} of a stream must not be longer than 255 bytes")]
    TooLong(&'static str),
    /// A part holds something that a path or a URL could misread.
    #[error("the {0} of a stream must not hold {1}")]
    Forbidden(&'static str, &'static str),
    /// Percent-encoding that is broken or does not decode to UTF-8.
    #[error("the {0} of a stream holds broken percent-encoding")]
    BadEncoding(&'static str),
}

impl StreamKey {
    /// The longest app or name, in bytes: what a file name may be.
    pub const MAX_PART: usize = 255;

    /// Parses `app/name`, percent-encoding decoded, each part checked.
    ///
    /// # Errors
    /// A [`KeyError`] that says in words what is wrong.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let (app, name) = text.split_once('/').ok_or(KeyError::MissingName)?;
        if name.contains('/') {
            return Err(KeyError::TooDeep);
        }
        Self::from_parts(app, name)
    }

    /// The same for an app and a name that a protocol carries apart.
    ///
    /// # Errors
    /// A [`KeyError`] that says in words what is wrong.
    pub fn from_parts(app: &str, name: &str) -> Result<Self, KeyError> {
        let app = part("app", app)?;
        let name = part("name", name)?;
        Ok(Self {
            text: format!("{app}/{name}").into(),
            slash: app.len(),
        })
    }

    /// The text of the key that `path` of a URL begins with, decoded, and what
    /// follows its slash: what to look up a stream by that is there.
    ///
    /// Nothing is made of it and little checked: what is no key is in no map,
    /// since those that are were checked when they were published.
    #[must_use]
    pub fn split_path(path: &str) -> Option<(Cow<'_, str>, &str)> {
        let (app, rest) = path.split_once('/')?;
        let (name, rest) = rest.split_once('/')?;
        let text = path.get(..app.len() + 1 + name.len())?;
        let text = if text.contains('%') {
            Cow::Owned(Self::from_parts(app, name).ok()?.as_str().to_owned())
        } else {
            Cow::Borrowed(text)
        };
        Some((text, rest))
    }

    /// The application, the part before the slash.
    #[must_use]
    pub fn app(&self) -> &str {
        self.text.get(..self.slash).unwrap_or_default()
    }

    /// The name, the part after the slash.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text.get(self.slash + 1..).unwrap_or_default()
    }

    /// The whole key, `app/name`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The whole key as it stands in the path of a URL: `app/name` with
    /// whatever is not unreserved percent-encoded (RFC 3986 section 2.3).
    #[must_use]
    pub fn url_path(&self) -> String {
        let mut path = String::with_capacity(self.text.len());
        for byte in self.text.bytes() {
            match byte {
                b'/' | b'-' | b'.' | b'_' | b'~' => path.push(char::from(byte)),
                byte if byte.is_ascii_alphanumeric() => path.push(char::from(byte)),
                byte => {
                    path.push('%');
                    path.extend([byte >> 4, byte & 15].map(|nibble| {
                        let digit = char::from_digit(u32::from(nibble), 16);
                        digit.map_or('0', |digit| digit.to_ascii_uppercase())
                    }));
                }
            }
        }
        path
    }
}

/// Decodes one part and refuses whatever a path or a URL could misread.
fn part(which: &'static str, text: &str) -> Result<String, KeyError> {
    // Encoded, a byte takes three: refuse before decoding what cannot fit.
    if text.len() > 3 * StreamKey::MAX_PART {
        return Err(KeyError::TooLong(which));
    }
    let decoded = percent_decode(text).ok_or(KeyError::BadEncoding(which))?;
    if decoded.is_empty() {
        return Err(KeyError::Empty(which));
    }
    if decoded.len() > StreamKey::MAX_PART {
        return Err(KeyError::TooLong(which));
    }
    if decoded.starts_with('.') || decoded.contains("..") {
        return Err(KeyError::Forbidden(which, "\"..\" or a leading dot"));
    }
    let forbidden = |c: char| match c {
        '/' | '\\' => Some("a slash or backslash"),
        '?' | '#' | '%' => Some("\"?\", \"#\" or \"%\""),
        '"' | '<' | '>' | '|' | '*' | ':' => Some("any of \" < > | * :"),
        c if c.is_control() => Some("control characters"),
        c if c.is_whitespace() => Some("white space"),
        // Invisible and direction-changing characters make two keys look alike.
        '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}' => Some("invisible characters"),
        _ => None,
    };
    match decoded.chars().find_map(forbidden) {
        Some(what) => Err(KeyError::Forbidden(which, what)),
        None => Ok(decoded),
    }
}

/// RFC 3986 section 2.1; `None` for a broken escape or bytes that are no UTF-8.
fn percent_decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

impl FromStr for StreamKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::parse(text)
    }
}

/// As the text, which tells where its one slash is.
impl Hash for StreamKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl Borrow<str> for StreamKey {
    fn borrow(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use super::*;

    #[test]
    fn a_map_by_key_is_asked_for_a_text() {
        let keys = HashSet::from([StreamKey::parse("live/caf%C3%A9").unwrap()]);
        for (text, want) in [("live/café", true), ("live/caf%C3%A9", false), ("", false)] {
            assert_eq!(keys.contains(text), want, "{text}");
        }
        let ordered: BTreeSet<StreamKey> = keys.into_iter().collect();
        assert!(ordered.contains("live/café"));
    }

    #[test]
    fn a_path_is_split_behind_its_key() {
        for (path, want) in [
            ("live/cam/a/b", Some(("live/cam", "a/b"))),
            ("live/caf%C3%A9/", Some(("live/café", ""))),
            ("live/cam", None),
            ("live", None),
            ("live/a%2fb/c", None),
            ("live/%4/c", None),
        ] {
            let split = StreamKey::split_path(path);
            let split = split.as_ref().map(|(key, rest)| (&**key, *rest));
            assert_eq!(split, want, "{path}");
        }
    }

    #[test]
    fn a_key_is_an_app_and_a_name() {
        let key = StreamKey::parse("live/cam").unwrap();
        assert_eq!(
            (key.app(), key.name(), key.as_str()),
            ("live", "cam", "live/cam")
        );
        let key = StreamKey::parse("live/caf%C3%A9-1_2~x").unwrap();
        assert_eq!(key.name(), "café-1_2~x");
    }

    #[test]
    fn a_key_in_a_url_reads_back() {
        for (text, path) in [
            ("live/cam-1_2~x.y", "live/cam-1_2~x.y"),
            ("live/caf%C3%A9", "live/caf%C3%A9"),
            ("live/a+b&c=d@e'f", "live/a%2Bb%26c%3Dd%40e%27f"),
        ] {
            let key = StreamKey::parse(text).unwrap();
            assert_eq!(key.url_path(), path);
            assert_eq!(StreamKey::parse(&key.url_path()), Ok(key));
        }
    }

    #[test]
    fn what_a_path_or_url_could_misread_is_refused() {
        for (text, want) in [
            ("live", KeyError::MissingName),
            ("", KeyError::MissingName),
            ("a/b/c", KeyError::TooDeep),
            ("/b", KeyError::Empty("app")),
            ("a/", KeyError::Empty("name")),
            ("a/%", KeyError::BadEncoding("name")),
            ("a/%ff", KeyError::BadEncoding("name")),
            ("a/%zz", KeyError::BadEncoding("name")),
        ] {
            assert_eq!(StreamKey::parse(text), Err(want), "{text}");
        }
        for text in [
            "a/..",
            "../b",
            "a/x..y",
            "a/.hidden",
            "a/%2e%2e",
            "a/b%2fc",
            "a/b\\c",
            "a/b%5cc",
            "a/b%00",
            "a/b\n",
            "a/b?c",
            "a/b#c",
            "a/b%3fc",
            "a/b%25c",
            "a/b c",
            "a/c:b",
            "a/\u{202e}b",
            "a/b\u{200b}",
        ] {
            let error = StreamKey::parse(text);
            assert!(
                matches!(error, Err(KeyError::Forbidden(..))),
                "{text}: {error:?}"
            );
        }
        let long = "x".repeat(256);
        assert_eq!(
            StreamKey::from_parts("a", &long),
            Err(KeyError::TooLong("name"))
        );
        assert!(StreamKey::from_parts("a", &"x".repeat(255)).is_ok());
    }
}
