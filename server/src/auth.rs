//! Who may publish ([`Tokens`], asked through the plugins' contexts) and who
//! may manage ([`Gate`], asked by the API).
//!
//! Until `[auth]` says otherwise, everybody may publish, and only this machine
//! may manage. What "this machine" means is judged with suspicion: a proxy on
//! it makes strangers look local, and so does a browser on it that runs a
//! stranger's page.

use std::net::{IpAddr, SocketAddr};

use http::header::{AUTHORIZATION, FORWARDED, HOST, HeaderName, ORIGIN, VIA};
use http::uri::Authority;
use http::{HeaderMap, StatusCode, Version};
use rillcast_core::{Access, Action, Authorizer, Denied, Settings, SettingsError};

use crate::config::{AuthConfig, Secret};
use crate::http::Problem;

/// The authorizer of `[auth]`: publishers show the token of their stream.
#[derive(Debug)]
pub(crate) struct Tokens {
    settings: Settings,
}

impl Tokens {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings }
    }
}

#[async_trait::async_trait]
impl Authorizer for Tokens {
    async fn authorize(&self, access: Access<'_>) -> Result<(), Denied> {
        if access.action != Action::Publish {
            return Ok(());
        }
        let section = self.settings.section_for("auth", access.key);
        // Checked at start: this fails only if it is the server that is wrong.
        let config = section
            .and_then(|section| AuthConfig::read(&section))
            .map_err(|_| Denied::new("the server cannot read who may publish"))?;
        let Some(secret) = config.publish_token else {
            return Ok(());
        };
        let shown = access.credentials;
        let shown = [&shown.token, &shown.password].into_iter().flatten();
        let mut judged = shown.map(|text| secret.matches(text)).peekable();
        if judged.peek().is_none() {
            let key = access.key;
            return Err(Denied::new(format!(
                "publishing {key} needs a token (?token=…)"
            )));
        }
        // Every one is judged: where the match is must not show in the time.
        if judged.fold(false, |any, matches| any | matches) {
            Ok(())
        } else {
            Err(Denied::new(format!(
                "that is not the token for {}",
                access.key
            )))
        }
    }
}

/// Guards what changes state, the metrics and the addresses of peers.
#[derive(Debug)]
pub(crate) struct Gate {
    admin_token: Option<Secret>,
    publish_token: bool,
}

impl Gate {
    pub(crate) fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let config = AuthConfig::read(&settings.section("auth")?)?;
        Ok(Self {
            admin_token: config.admin_token,
            publish_token: config.publish_token.is_some(),
        })
    }

    /// Whether publishers of streams without settings of their own need a token.
    pub(crate) const fn publish_token(&self) -> bool {
        self.publish_token
    }

    /// Whether a token would open the gate.
    pub(crate) const fn takes_token(&self) -> bool {
        self.admin_token.is_some()
    }

    /// Whether the client may pass; the error is its answer.
    pub(crate) fn check(
        &self,
        version: Version,
        headers: &HeaderMap,
        peer: SocketAddr,
    ) -> Result<(), Problem> {
        match &self.admin_token {
            Some(secret) => match bearer(headers) {
                Some(shown) if secret.matches(shown) => Ok(()),
                Some(_) => Err(Problem::new(
                    StatusCode::UNAUTHORIZED,
                    "that is not the admin token (auth.admin_token)",
                )),
                None => Err(Problem::new(
                    StatusCode::UNAUTHORIZED,
                    "this needs the admin token (auth.admin_token), as \"Authorization: Bearer …\"",
                )),
            },
            None if is_local(version, headers, peer) => Ok(()),
            None => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "until auth.admin_token is set, this answers the server's own machine only",
            )),
        }
    }
}

/// The token of `Authorization: Bearer …` (RFC 6750 section 2.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether a request was made on this machine, by its user.
fn is_local(version: Version, headers: &HeaderMap, peer: SocketAddr) -> bool {
    // What a proxy on this machine forwards comes from elsewhere. nginx, unless
    // told otherwise, does not say that it forwards and names this machine as
    // the host; but in most of its releases it then speaks HTTP/1.0.
    let forwarded =
        version < Version::HTTP_11 || FORWARDING.iter().any(|name| headers.contains_key(name));
    if !peer.ip().to_canonical().is_loopback() || forwarded {
        return false;
    }
    let Some(host) = headers
        .get(HOST)
        .and_then(|host| authority(host.to_str().ok()?))
    else {
        return false;
    };
    // A stranger's name that was made to resolve to this machine.
    if !names_this_machine(&host) {
        return false;
    }
    // A page of another origin that a browser on this machine shows.
    match headers.get(ORIGIN) {
        None => true,
        Some(origin) => {
            let origin = origin.to_str().ok().and_then(|origin| {
                let rest = origin.strip_prefix("http://");
                rest.or_else(|| origin.strip_prefix("https://"))
            });
            origin
                .and_then(authority)
                .is_some_and(|origin| origin == host)
        }
    }
}

const FORWARDING: [HeaderName; 6] = [
    FORWARDED,
    VIA,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-real-ip"),
];

fn authority(text: &str) -> Option<Authority> {
    text.parse().ok()
}

fn names_this_machine(host: &Authority) -> bool {
    let name = host.host().trim_start_matches('[').trim_end_matches(']');
    match name.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => name.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests;
