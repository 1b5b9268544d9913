//! Each thing that can be wrong has one sentence, which names the setting and
//! the mend; every error of files is of files that are really there.

use std::fs;

use rillcast_core::{Origin, Settings};

use super::*;
use crate::config::ServerConfig as Own;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls");

fn file(name: &str) -> String {
    format!("{FOLDER}/TEST-ONLY.{name}.pem")
}

/// Reads `[server.tls]` with these keys, and the files.
fn load(keys: &[(&str, &str)]) -> Result<Option<Arc<ServerConfig>>, String> {
    let mut settings = Settings::new();
    for (key, value) in keys {
        settings
            .set(&format!("server.tls.{key}"), value, Origin::Default)
            .unwrap();
    }
    let section = settings.section("server").unwrap();
    let config = Own::read(&section).map_err(|error| error.to_string())?;
    config.tls.load(&section).map_err(|error| error.to_string())
}

#[test]
fn a_certificate_with_its_key_is_served_by_both_protocols() {
    let config = load(&[("cert", &file("cert")), ("key", &file("key"))]);
    let config = config.unwrap().unwrap();
    assert_eq!(config.alpn_protocols, [ALPN_HTTP2, ALPN_HTTP1]);
    assert!(config.ticketer.enabled());
    assert!(load(&[]).unwrap().is_none());
}

#[test]
fn half_a_setting_is_told_what_it_lacks() {
    let (cert, key) = (file("cert"), file("key"));
    for (keys, about, lacks) in [
        (
            &[("cert", &*cert)][..],
            "server.tls.cert: ",
            "server.tls.key as well",
        ),
        (
            &[("key", &key)],
            "server.tls.key: ",
            "server.tls.cert as well",
        ),
        (
            &[("listen", "[::1]:1")],
            "server.tls.listen: ",
            "server.tls.cert as well",
        ),
        (
            &[("listen", "[::1]:1"), ("key", &key)],
            "server.tls.key: ",
            "server.tls.cert as well",
        ),
    ] {
        let error = load(keys).unwrap_err();
        assert!(error.contains(about) && error.contains(lacks), "{error}");
    }
    let error = load(&[("listen", "everywhere")]).unwrap_err();
    assert!(error.contains("no address to listen at"), "{error}");
    let error = load(&[("certificate", &cert)]).unwrap_err();
    assert!(error.contains("certificate"), "{error}");
}

#[test]
fn files_that_cannot_be_used_are_told_why() {
    let folder = tempfile::tempdir().unwrap();
    let make = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let (cert, key) = (file("cert"), file("key"));
    let whole = fs::read_to_string(&cert).unwrap();
    let cut = make("cut", &whole.as_bytes()[..whole.len() - 40]);
    let empty = make("empty", b"");
    let large = make("large", &vec![b'x'; (1 << 20) + 1]);
    let no_der = make(
        "no-der",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let no_key = make(
        "no-key",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    );
    let none = folder.path().join("none").display().to_string();
    let itself = folder.path().display().to_string();
    for (cert, key, about, says) in [
        (&none, &key, "cert", "cannot be read: no such file"),
        (&itself, &key, "cert", "is no regular file"),
        (&large, &key, "cert", "larger than 1 MiB"),
        (&empty, &key, "cert", "holds no certificate"),
        (&key, &key, "cert", "holds no certificate"),
        (&cut, &key, "cert", "is a damaged PEM file"),
        (&no_der, &key, "cert", "is none that can be used"),
        (&cert, &none, "key", "cannot be read: no such file"),
        (&cert, &empty, "key", "holds no private key"),
        (&cert, &cert, "key", "holds no private key"),
        (&cert, &no_key, "key", "cannot be used: name an RSA key"),
        (
            &cert,
            &file("encrypted-key"),
            "key",
            "is encrypted: take its passphrase off",
        ),
        (
            &cert,
            &file("other-key"),
            "key",
            "does not belong to the first certificate",
        ),
    ] {
        let error = load(&[("cert", cert), ("key", key)]).unwrap_err();
        let about = format!("server.tls.{about}: ");
        assert!(error.contains(&about) && error.contains(says), "{error}");
        assert!(!error.contains(char::is_control), "{error}");
    }
}
