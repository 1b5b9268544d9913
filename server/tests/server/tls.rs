//! HTTPS: both protocols by ALPN, and who does not get that far.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;

use http::{Method, StatusCode};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::client::{PATIENCE, until};
use crate::fixture::{Fixture, sliced, start};
use crate::http2_client::{read, request};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/TEST-ONLY");

/// Starts a server with TLS; `more` stands in `[server]`.
async fn secured(more: &str) -> (Fixture, SocketAddr) {
    let config = format!(
        "[server]\n{more}\n[server.tls]\nlisten = \"127.0.0.1:0\"\ncert = \"{FOLDER}.cert.pem\"\n\
         key = \"{FOLDER}.key.pem\"\n"
    );
    let fixture = start(&config).await;
    let https = fixture.server.addresses()["https"];
    assert_ne!(https, fixture.http);
    (fixture, https)
}

/// Takes every certificate, and checks that its key is there: it is signed by
/// nobody.
#[derive(Debug)]
struct Trusting(CryptoProvider);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

async fn connect(address: SocketAddr, alpn: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
    let provider = Arc::new(ring::default_provider());
    let trusting = Arc::new(Trusting(ring::default_provider()));
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let mut config = builder
        .dangerous()
        .with_custom_certificate_verifier(trusting)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let socket = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, socket)
        .await
}

/// What a server of HTTP/1.1 says to one request, until it closes.
async fn ask_once(mut stream: TlsStream<TcpStream>, path: &str) -> String {
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn clients_choose_their_protocol() {
    let (fixture, https) = secured("").await;
    for alpn in [&["http/1.1"][..], &[]] {
        let stream = connect(https, alpn).await.unwrap();
        let answer = ask_once(stream, "/healthz").await;
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok\n"),
            "{answer}"
        );
    }
    let stream = connect(https, &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (send, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut send = send.ready().await.unwrap();
    let (_, want) = sliced();
    for (path, body) in [("/probe/slices", &*want), ("/healthz", b"ok\n")] {
        let (answer, _) = send.send_request(request(Method::GET, path), true).unwrap();
        let answer = read(answer).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.body == body, "{path}");
    }
    assert!(connect(https, &["ftp"]).await.is_err());
    // The other address is what it was.
    assert_eq!(
        crate::client::get(fixture.http, "/healthz").await.text(),
        "ok\n"
    );
}

#[tokio::test]
async fn pages_that_this_machine_serves_may_manage_it() {
    let (_fixture, https) = secured("").await;
    let answers = async |origin: &str| {
        let mut stream = connect(https, &[]).await.unwrap();
        let head = format!(
            "GET /metrics HTTP/1.1\r\nHost: localhost:{}\r\nOrigin: {origin}\r\n\
             Connection: close\r\n\r\n",
            https.port()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    };
    let own = answers(&format!("https://localhost:{}", https.port())).await;
    assert!(own.starts_with("HTTP/1.1 200"), "{own}");
    let other = answers("https://evil.example").await;
    assert!(other.starts_with("HTTP/1.1 403"), "{other}");
}

#[tokio::test]
async fn the_end_is_the_same() {
    let (fixture, https) = secured("").await;
    let mut idle = connect(https, &["http/1.1"]).await.unwrap();
    let silent = TcpStream::connect(https).await.unwrap();
    until(fixture.http, "/metrics", |metrics| {
        metrics.text().contains("rillcast_http_connections 3\n")
    })
    .await;
    let down = tokio::time::timeout(PATIENCE, fixture.server.shutdown());
    assert!(down.await.unwrap().is_empty());
    let mut rest = Vec::new();
    let _ = idle.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
    drop(silent);
    assert!(TcpStream::connect(https).await.is_err());
}

/// They send nothing, half a hello or anything else; none of them keeps its
/// place, and a viewer plays on.
#[tokio::test]
async fn handshakes_that_come_to_nothing_cost_their_own_connection() {
    let (fixture, https) = secured("head_timeout = \"500ms\"").await;
    let stream = connect(https, &["h2"]).await.unwrap();
    let (send, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut viewer = send.ready().await.unwrap();
    let (_, want) = sliced();
    let mut watch = async || {
        let (answer, _) = viewer
            .send_request(request(Method::GET, "/probe/slices"), true)
            .unwrap();
        assert!(read(answer).await.unwrap().body == want);
    };

    // A record of a handshake of 200 bytes, of which there are few.
    let half = [&[22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3][..], &[7; 32]].concat();
    let openings = [
        &b""[..],
        &half,
        b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &[0xff; 300],
        // An alert, and application data before any key.
        &[21, 3, 3, 0, 2, 2, 40],
        &[23, 3, 3, 0, 4, 1, 2, 3, 4],
    ];
    let mut offenders = Vec::new();
    for index in 0..300 {
        let mut offender = TcpStream::connect(https).await.unwrap();
        let opening = openings[index % openings.len()];
        // It may have been ended already, by what came first.
        let _ = offender.write_all(opening).await;
        offenders.push(offender);
        if index % 50 == 0 {
            watch().await;
        }
    }
    for offender in &mut offenders {
        let mut said = Vec::new();
        let ended = offender.read_to_end(&mut said);
        // A reset is an end as well; what is said is no more than an alert.
        let _ = tokio::time::timeout(PATIENCE, ended)
            .await
            .expect("it is still open");
        assert!(said.len() < 20, "{said:?}");
    }
    watch().await;
    until(fixture.http, "/metrics", |metrics| {
        metrics.text().contains("rillcast_http_connections 2\n")
    })
    .await;
}

#[tokio::test]
async fn a_viewer_that_takes_nothing_is_dropped() {
    let (fixture, https) = secured("write_timeout = \"200ms\"").await;
    let mut stalled = connect(https, &["http/1.1"]).await.unwrap();
    stalled
        .write_all(b"GET /probe/endless HTTP/1.1\r\nHost: h\r\n\r\n")
        .await
        .unwrap();
    until(fixture.http, "/metrics", |metrics| {
        metrics
            .text()
            .contains("rillcast_http_connections_stalled_total 1\n")
    })
    .await;
}

#[tokio::test]
async fn connections_are_counted_with_the_others() {
    let (fixture, https) = secured("max_connections = 2").await;
    let first = connect(https, &["http/1.1"]).await.unwrap();
    let mut second = crate::client::Client::connect(fixture.http).await;
    assert_eq!(second.request("GET", "/healthz").await.status, 200);
    assert!(connect(https, &["http/1.1"]).await.is_err());
    drop(first);
}

/// Skipped where there is no curl, since the repository needs nothing but Rust.
#[tokio::test]
async fn curl_speaks_it() {
    let (_fixture, https) = secured("").await;
    let (_, want) = sliced();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("body");
    let mut versions = HashSet::new();
    for (options, version) in [
        (&["--http2"][..], "2"),
        (&["--http1.1"], "1.1"),
        (&["--http2", "--tls-max", "1.2"], "2"),
    ] {
        let mut curl = Command::new("curl");
        curl.args(["-sSk", "-w", "%{http_version} %{http_code}", "-o"])
            .arg(&path)
            .args(options)
            .arg(format!("https://{https}/probe/slices"))
            .stdin(Stdio::null());
        let Ok(output) = curl.output().await else {
            println!("skipped: there is no curl here");
            return;
        };
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(said, format!("{version} 200"), "{complaint}");
        assert!(std::fs::read(&path).unwrap() == want);
        versions.insert(said);
    }
    assert_eq!(versions.len(), 2);
}

#[tokio::test]
async fn an_address_that_is_taken_is_told_with_its_setting() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[server.tls]\nlisten = \"{address}\"\n\
         cert = \"{FOLDER}.cert.pem\"\nkey = \"{FOLDER}.key.pem\"\n"
    );
    let settings = rillcast_core::Settings::from_toml(&config, "test.toml").unwrap();
    let plugins = rillcast_core::Plugins::none();
    let error = rillcast_server::Server::start(settings, &plugins)
        .await
        .unwrap_err();
    let error = error.to_string();
    assert!(error.contains("server.tls.listen"), "{error}");
}
