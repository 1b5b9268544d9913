//! Who may do what: the question that contexts ask before they act.

use std::fmt;
use std::net::SocketAddr;

use async_trait::async_trait;

use crate::StreamKey;

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Publish a stream.
    Publish,
    /// Watch a stream.
    Play,
}

/// What a client showed to prove itself, as far as its protocol carries it.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Credentials {
    /// A token, from a query string (`?token=…`) or the protocol's own field.
    pub token: Option<String>,
    /// A user's name.
    pub user: Option<String>,
    /// That user's password.
    pub password: Option<String>,
}

impl Credentials {
    /// Nothing shown.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Sets the token.
    #[must_use]
    pub fn with_token(mut self, token: Option<String>) -> Self {
        self.token = token;
        self
    }

    /// Sets user and password.
    #[must_use]
    pub fn with_user(mut self, user: Option<String>, password: Option<String>) -> Self {
        self.user = user;
        self.password = password;
        self
    }
}

/// Prints which credentials there are, never the credentials.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("token", &self.token.is_some())
            .field("user", &self.user)
            .field("password", &self.password.is_some())
            .finish()
    }
}

/// One question to an [`Authorizer`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Access<'a> {
    /// What is to be done.
    pub action: Action,
    /// To which stream.
    pub key: &'a StreamKey,
    /// Over which protocol (the plugin's name).
    pub protocol: &'static str,
    /// From where.
    pub peer: Option<SocketAddr>,
    /// With which credentials.
    pub credentials: &'a Credentials,
}

impl<'a> Access<'a> {
    /// A question about publishing `key` over `protocol`.
    #[must_use]
    pub const fn publish(
        key: &'a StreamKey,
        protocol: &'static str,
        peer: Option<SocketAddr>,
        credentials: &'a Credentials,
    ) -> Self {
        Self {
            action: Action::Publish,
            key,
            protocol,
            peer,
            credentials,
        }
    }
}

/// A refusal, in words that may be shown to the client and written to the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
#[non_exhaustive]
pub struct Denied {
    /// Why, in a sentence that gives no secret away.
    pub reason: String,
}

impl Denied {
    /// A refusal for the given reason.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
        }
    }
}

/// Decides who may do what. The server brings one; it may ask others over the
/// network, so the answer is awaited.
#[async_trait]
pub trait Authorizer: Send + Sync + 'static {
    /// Answers one question.
    async fn authorize(&self, access: Access<'_>) -> Result<(), Denied>;
}

/// Lets everybody do everything: the authorizer of a server without `[auth]`.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAll;

#[async_trait]
impl Authorizer for AllowAll {
    async fn authorize(&self, _access: Access<'_>) -> Result<(), Denied> {
        Ok(())
    }
}
