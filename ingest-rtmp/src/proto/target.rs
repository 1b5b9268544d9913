//! Which stream a publisher means: the app of its `connect`, the name of its
//! `publish`, and the query strings in either.
//!
//! Encoders put the same address into different places. Of
//! `rtmp://host/live/cam?token=x` FFmpeg and GStreamer make the app `live` and
//! the name `cam?token=x`; in OBS one user types `live` and `cam?token=x`,
//! another `live/cam` and an empty key, a third no app at all and `live/cam`
//! as the key; players of old append an instance (`live/_definst_`), and some
//! encoders a slash. All of these are the key `live/cam`.

use std::fmt;

use rillcast_core::{KeyError, StreamKey};

/// What a publisher asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The stream.
    pub key: StreamKey,
    /// The parameters of the query strings.
    pub parameters: Parameters,
}

/// The parameters of query strings, percent-decoded. `Debug` prints names only:
/// the values are credentials.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Parameters(Vec<(String, String)>);

impl Target {
    /// Puts a target together from what `connect` and `publish` said.
    ///
    /// # Errors
    /// A [`KeyError`] in words for the publisher's user.
    pub fn new(app: &str, tc_url: &str, name: &str) -> Result<Self, KeyError> {
        let (app_path, app_query) = split_query(app);
        let (url_path, url_query) = split_query(path_of(tc_url));
        let (name_path, name_query) = split_query(name);
        // The app is the URL's path; clients that leave it out still send that.
        let app_path = if app_path.is_empty() {
            url_path
        } else {
            app_path
        };
        let is_part = |part: &&str| !part.is_empty() && *part != DEFAULT_INSTANCE;
        let app_parts = app_path.split('/').filter(is_part);
        let name_parts = without_type(name_path)
            .split('/')
            .filter(|part| !part.is_empty());
        let mut parts = app_parts.chain(name_parts);
        let key = match (parts.next(), parts.next(), parts.next()) {
            (Some(app), Some(name), None) => StreamKey::from_parts(app, name)?,
            (_, _, Some(_)) => return Err(KeyError::TooDeep),
            _ => return Err(KeyError::MissingName),
        };
        let mut parameters = Parameters::default();
        for query in [name_query, app_query, url_query] {
            parameters.add(query);
        }
        Ok(Self { key, parameters })
    }
}

impl Parameters {
    /// The first value of that name; what stands at the name comes before what
    /// stands at the app.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    fn add(&mut self, query: &str) {
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            if self.0.len() == MAX_PARAMETERS {
                return;
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            self.0.push((percent_decode(name), percent_decode(value)));
        }
    }
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

/// The path and query of an URL, without scheme and authority.
fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    rest.split_once('/').map_or("", |(_, path)| path)
}

fn split_query(text: &str) -> (&str, &str) {
    text.split_once('?').unwrap_or((text, ""))
}

/// FFmpeg and librtmp write `rtmp://host/live/cam.mp4` as the name
/// `mp4:cam.mp4`, as Flash Media Server wanted files to be called.
fn without_type(name: &str) -> &str {
    let types = ["mp4:", "flv:", "mp3:"];
    types
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name)
}

/// Decodes what is well-formed and leaves the rest as it stands: a credential
/// is only ever compared.
fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let digits = tail.first_chunk().and_then(|[high, low]| {
            let high = char::from(*high).to_digit(16)?;
            let low = char::from(*low).to_digit(16)?;
            u8::try_from(high * 16 + low).ok()
        });
        match digits {
            Some(decoded) if byte == b'%' => {
                bytes.push(decoded);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What Flash Media Server calls the instance of an app that names none.
const DEFAULT_INSTANCE: &str = "_definst_";

/// More parameters than any client has a use for.
const MAX_PARAMETERS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_many_spellings() {
        for (app, tc_url, name) in [
            ("live", "rtmp://h/live", "cam"),
            ("live", "", "cam"),
            ("live/", "rtmp://h:1935/live/", "cam"),
            ("/live", "", "/cam"),
            ("live/_definst_", "rtmp://h/live/_definst_", "cam"),
            ("", "rtmp://h:1935/live", "cam"),
            ("", "", "live/cam"),
            ("", "rtmp://h", "live/cam"),
            ("", "rtmp://[::1]:1935/", "live/cam"),
            ("live/cam", "rtmp://h/live/cam", ""),
            ("live", "rtmp://h/live", "flv:cam"),
            ("li%76e", "", "%63am"),
            ("live?a=/b/c", "", "cam?d=/e//f"),
        ] {
            let target = Target::new(app, tc_url, name);
            let key = target.as_ref().map(|target| target.key.as_str());
            assert_eq!(key, Ok("live/cam"), "{app:?} {tc_url:?} {name:?}");
        }
        let file = Target::new("live", "", "mp4:cam.mp4").unwrap();
        assert_eq!(file.key.as_str(), "live/cam.mp4");
    }

    #[test]
    fn what_names_no_stream_is_refused_in_words() {
        for (app, tc_url, name, want) in [
            ("live", "rtmp://h/live", "", KeyError::MissingName),
            ("", "", "cam", KeyError::MissingName),
            ("", "", "", KeyError::MissingName),
            ("live", "", "a/b", KeyError::TooDeep),
            ("a/b", "", "c", KeyError::TooDeep),
        ] {
            assert_eq!(
                Target::new(app, tc_url, name),
                Err(want),
                "{app:?} {name:?}"
            );
        }
        for name in ["..", "%2e%2e", "a%2fb", "a%00", "a b", "x:y"] {
            let refused = Target::new("live", "", name);
            assert!(
                matches!(refused, Err(KeyError::Forbidden(..))),
                "{name:?}: {refused:?}"
            );
        }
    }

    #[test]
    fn parameters_come_from_either_place() {
        for (app, tc_url, name) in [
            ("live?token=x%26y", "rtmp://h/live?token=x%26y", "cam"),
            ("live", "rtmp://h/live", "cam?token=x%26y"),
            ("live", "rtmp://h/live?token=x%26y", "cam"),
            ("live?token=other", "", "cam?user=me&token=x%26y&flag"),
        ] {
            let parameters = Target::new(app, tc_url, name).unwrap().parameters;
            assert_eq!(parameters.get("token"), Some("x&y"), "{app:?} {name:?}");
            assert!(!format!("{parameters:?}").contains("x&y"));
        }
        let odd = Target::new("live", "", "cam?a=%zz%4&=b&c&&d=%C3%A9=")
            .unwrap()
            .parameters;
        assert_eq!(odd.get("a"), Some("%zz%4"));
        assert_eq!(odd.get("c"), Some(""));
        assert_eq!(odd.get("d"), Some("é="));
        let many = format!("cam?{}", "x=1&".repeat(1_000));
        assert_eq!(
            Target::new("live", "", &many).unwrap().parameters.0.len(),
            MAX_PARAMETERS
        );
    }
}
