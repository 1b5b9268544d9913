//! `[server.tls]`: where HTTPS is served, and with which certificate.

use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rillcast_core::{Section, SettingsError};
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{Error, ServerConfig};
use serde::{Deserialize, Deserializer};

use super::plain;
use super::sections::listen_address;

/// HTTPS is served if both files are named.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TlsConfig {
    #[serde(deserialize_with = "some_address")]
    listen: Option<SocketAddr>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
}

fn some_address<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    listen_address(deserializer).map(Some)
}

/// What HTTP/2 is called in the handshake (RFC 7301, RFC 9113 section 3.1).
pub(crate) const ALPN_HTTP2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";

/// A chain of a few certificates takes some 6 KiB.
const MAX_FILE: u64 = 1 << 20;

const CERT: &str = "tls.cert";
const KEY: &str = "tls.key";

impl TlsConfig {
    /// The address, as it is set or by default.
    pub(crate) fn listen(&self) -> SocketAddr {
        let default = SocketAddr::from(([0, 0, 0, 0], 8443));
        self.listen.unwrap_or(default)
    }

    /// Checks what can be checked without the files.
    pub(super) fn check(&self, section: &Section) -> Result<(), SettingsError> {
        let (missing, there) = match (&self.cert, &self.key) {
            (Some(_), None) => (KEY, "tls.cert"),
            (None, Some(_)) => (CERT, "tls.key"),
            (None, None) if self.listen.is_some() => (CERT, "tls.listen"),
            (Some(_), Some(_)) | (None, None) => return Ok(()),
        };
        let what = match missing {
            KEY => "the file of the certificate's private key",
            _ => "the file of the certificate and its chain",
        };
        let message = format!("HTTPS needs server.{missing} as well: name {what} (PEM)");
        Err(section.error(there, message))
    }

    /// Reads the files; `None` if none are named.
    ///
    /// # Errors
    /// What is wrong with either, or with both together.
    pub(crate) fn load(
        &self,
        section: &Section,
    ) -> Result<Option<Arc<ServerConfig>>, SettingsError> {
        let (Some(cert), Some(key)) = (&self.cert, &self.key) else {
            return Ok(None);
        };
        let chain = read(cert).and_then(|pem| certificates(&pem, cert));
        let chain = chain.map_err(|message| section.error(CERT, message))?;
        let private = read(key).and_then(|pem| private_key(&pem, key));
        let private = private.map_err(|message| section.error(KEY, message))?;
        let provider = Arc::new(ring::default_provider());
        let versions =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let served = versions.and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(chain, private)
        });
        let mut config = served.map_err(|error| {
            let (setting, message) = unusable(&error, cert, key);
            section.error(setting, message)
        })?;
        config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), ALPN_HTTP1.to_vec()];
        // Viewers come back, and their sessions are kept by themselves. Without
        // it they need another whole handshake, no more.
        if let Ok(ticketer) = ring::Ticketer::new() {
            config.ticketer = ticketer;
        }
        Ok(Some(Arc::new(config)))
    }
}

/// What is in the file; the error is a sentence for the user.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let refuse = |error: std::io::Error| {
        format!(
            "\"{shown}\" cannot be read: {}; name a PEM file that the server may read",
            plain(&error)
        )
    };
    let file = File::open(path).map_err(refuse)?;
    // A pipe may never end.
    if !file.metadata().map_err(refuse)?.is_file() {
        return Err(format!("\"{shown}\" is no regular file: name a PEM file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(refuse)?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len > MAX_FILE) {
        let most = MAX_FILE >> 20;
        return Err(format!(
            "\"{shown}\" is larger than {most} MiB: name a PEM file"
        ));
    }
    Ok(bytes)
}

fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = path.display();
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(format!(
            "\"{shown}\" holds no certificate: name a PEM file with a block \"BEGIN CERTIFICATE\", \
             the server's own before those that it is signed by"
        )),
        Ok(chain) => Ok(chain),
        Err(_) => Err(broken(path)),
    }
}

fn private_key(pem: &[u8], path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let shown = path.display();
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| {
        let encrypted = b"BEGIN ENCRYPTED PRIVATE KEY";
        if !matches!(error, pem::Error::NoItemsFound) {
            broken(path)
        } else if pem.windows(encrypted.len()).any(|text| text == encrypted) {
            format!(
                "the private key in \"{shown}\" is encrypted: take its passphrase off with openssl \
                 pkey -in OLD -out NEW"
            )
        } else {
            format!(
                "\"{shown}\" holds no private key: name a PEM file with a block \"BEGIN PRIVATE KEY\""
            )
        }
    })
}

fn broken(path: &Path) -> String {
    let shown = path.display();
    format!("\"{shown}\" is a damaged PEM file: copy it anew, from BEGIN to END")
}

/// Which setting an error is about, and what to say of it.
fn unusable(error: &Error, cert: &Path, key: &Path) -> (&'static str, String) {
    let (cert, key) = (cert.display(), key.display());
    match error {
        Error::InconsistentKeys(_) => (
            KEY,
            format!(
                "the private key in \"{key}\" does not belong to the first certificate in \
                 \"{cert}\": name the key that it was made with"
            ),
        ),
        Error::InvalidCertificate(_) => (
            CERT,
            format!("the first certificate in \"{cert}\" is none that can be used: {error}"),
        ),
        _ => (
            KEY,
            format!(
                "the private key in \"{key}\" cannot be used: name an RSA key of 2048 to 8192 bits, \
                 an ECDSA key (P-256, P-384) or an Ed25519 key"
            ),
        ),
    }
}

#[cfg(test)]
mod tests;
