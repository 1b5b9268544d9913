//! Stream ids: which stream a caller means, who it is and what it wants:
//! [`StreamRequest`].
//!
//! | stream id | meaning |
//! |---|---|
//! | `#!::r=APP/NAME,m=publish[,u=USER,s=SECRET]` | SRT's own convention (`docs/features/access-control.md` of libsrt) |
//! | `publish:APP/NAME[:USER:SECRET]` | the same, short |
//! | `APP/NAME` | the same again, for who just types a name |
//!
//! In the first form a missing `m` means `request`, so the convention has it: such a
//! caller wants to receive, and is refused as long as there is nothing to be received.
//! Were it let in as a publisher, a player with a mistyped address would hold the
//! stream's name. The last form belongs to no convention; who points an encoder at a
//! server with nothing but a name wants to send.
//!
//! `#` has to be written `%23` in an address, and not every client decodes that: a
//! stream id that still is percent-encoded as a whole is understood as well. The values
//! are percent-decoded, so that they can hold commas.

use std::fmt;

use rillcast_core::{Credentials, KeyError, StreamKey};

use super::handshake::RejectReason;

/// What a caller wants to publish, and who it says it is.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamRequest {
    /// The stream.
    pub key: StreamKey,
    /// `u`: a user's name.
    pub user: Option<String>,
    /// `s`: that user's password, or a token if there is no user.
    pub secret: Option<String>,
    /// `token` of a query string behind the name, as in RTMP's addresses.
    pub token: Option<String>,
}

/// Why a stream id is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamIdError {
    /// There is none.
    #[error("it names no stream: set its streamid, for example to publish:live/cam")]
    Missing,
    /// It is longer than libsrt allows.
    #[error("its streamid has more than {} bytes", StreamRequest::MAX_LEN)]
    TooLong,
    /// It is not UTF-8.
    #[error("its streamid is not text")]
    NotText,
    /// `#!:{`, or anything else but `#!::`.
    #[error("its streamid begins like a list of keys, but not with #!::")]
    Syntax,
    /// `#!::` without `r`.
    #[error("its streamid has no r=APP/NAME")]
    NoResource,
    /// What it names is no stream key.
    #[error("its streamid: {0}")]
    Key(#[from] KeyError),
    /// It wants to receive.
    #[error(
        "it wants to receive a stream, and there is no playback over SRT: to publish, write \
         m=publish or publish:APP/NAME in its streamid"
    )]
    Request,
    /// Another `m`.
    #[error("its streamid has a mode (m) other than publish")]
    Mode,
    /// Another `t`.
    #[error("its streamid has a type (t) other than stream")]
    Type,
}

impl StreamIdError {
    /// What the caller is told.
    #[must_use]
    pub const fn reason(&self) -> RejectReason {
        match self {
            Self::Request | Self::Mode => RejectReason::BadMode,
            Self::Type => RejectReason::UnsupportedMedia,
            Self::Missing
            | Self::TooLong
            | Self::NotText
            | Self::Syntax
            | Self::NoResource
            | Self::Key(_) => RejectReason::BadRequest,
        }
    }
}

impl StreamRequest {
    /// The most bytes that libsrt sends.
    pub const MAX_LEN: usize = 512;

    /// Reads a stream id.
    ///
    /// # Errors
    /// A [`StreamIdError`] in words about the caller ("it").
    pub fn parse(bytes: &[u8]) -> Result<Self, StreamIdError> {
        if bytes.is_empty() {
            return Err(StreamIdError::Missing);
        }
        if bytes.len() > Self::MAX_LEN {
            return Err(StreamIdError::TooLong);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| StreamIdError::NotText)?;
        // No stream is named without a slash: the whole of it is encoded.
        let text = if text.starts_with("%23") || !text.contains('/') {
            &percent_decode(text)
        } else {
            text
        };
        if let Some(list) = text.strip_prefix("#!::") {
            Self::from_list(list)
        } else if text.starts_with("#!") {
            Err(StreamIdError::Syntax)
        } else {
            Self::from_words(text)
        }
    }

    /// Who asks, for core's question whether it may.
    #[must_use]
    pub fn credentials(&self) -> Credentials {
        let password = self.user.as_ref().and(self.secret.clone());
        let token = self.token.clone().or_else(|| self.secret.clone());
        Credentials::none()
            .with_token(token)
            .with_user(self.user.clone(), password)
    }

    /// What follows `#!::`.
    fn from_list(list: &str) -> Result<Self, StreamIdError> {
        let value = |wanted: &str| {
            let pairs = list.split(',').filter_map(|pair| pair.split_once('='));
            let mut values = pairs.filter(|(name, _)| *name == wanted);
            values.next().map(|(_, value)| value)
        };
        match value("t").unwrap_or("stream") {
            "stream" => {}
            _ => return Err(StreamIdError::Type),
        }
        match value("m").unwrap_or("request") {
            "publish" => {}
            "request" => return Err(StreamIdError::Request),
            _ => return Err(StreamIdError::Mode),
        }
        let resource = value("r").ok_or(StreamIdError::NoResource)?;
        Self::new(resource, value("u"), value("s"))
    }

    /// `MODE:APP/NAME:USER:SECRET`, of which only the second is needed. A secret may
    /// hold colons.
    fn from_words(text: &str) -> Result<Self, StreamIdError> {
        let (mode, rest) = match text.split_once(':') {
            Some((mode, rest)) if !mode.contains('/') => (mode, rest),
            _ => ("publish", text),
        };
        match mode {
            "publish" => {}
            "request" | "play" | "read" => return Err(StreamIdError::Request),
            _ => return Err(StreamIdError::Mode),
        }
        let mut parts = rest.splitn(3, ':');
        let resource = parts.next().unwrap_or_default();
        Self::new(resource, parts.next(), parts.next())
    }

    fn new(
        resource: &str,
        user: Option<&str>,
        secret: Option<&str>,
    ) -> Result<Self, StreamIdError> {
        let (path, query) = resource.split_once('?').unwrap_or((resource, ""));
        let mut parameters = query.split('&').filter_map(|pair| pair.split_once('='));
        let token = parameters.find(|(name, _)| *name == "token");
        let decoded = |text: &str| Some(percent_decode(text)).filter(|text| !text.is_empty());
        Ok(Self {
            key: StreamKey::parse(path.trim_matches('/'))?,
            user: user.and_then(decoded),
            secret: secret.and_then(decoded),
            token: token.and_then(|(_, value)| decoded(value)),
        })
    }
}

/// Never the credentials.
impl fmt::Debug for StreamRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamRequest")
            .field("key", &self.key)
            .field("user", &self.user)
            .field("secret", &self.secret.is_some())
            .field("token", &self.token.is_some())
            .finish()
    }
}

/// Decodes what is well-formed and leaves the rest as it stands: a credential is only
/// ever compared, and a key is checked afterwards.
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

#[cfg(test)]
mod tests;
