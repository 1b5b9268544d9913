//! The player page over HTTPS, as browsers meet it elsewhere than here.

use super::Bench;
use super::browser::{Viewer, With};
use super::publisher::{Publisher, Source};
use super::scenarios::{KEY, check_clean};
use super::server::Server;
use crate::process::Result;
use crate::workspace;

const SECONDS: u32 = 20;

pub(super) fn run(bench: &Bench) -> Result {
    let source = Source::default();
    // The certificate of the server's own tests.
    let folder = workspace::root().join("server/tests/tls");
    let file = |name: &str| folder.join(format!("TEST-ONLY.{name}.pem"));
    let mut server = Server::start(
        bench,
        &[
            "server.tls.listen=127.0.0.1:0",
            &format!("server.tls.cert={}", file("cert").display()),
            &format!("server.tls.key={}", file("key").display()),
        ],
    )?;
    let mut publisher = Publisher::live(bench, "publisher", &source, &server.rtmp(KEY)?)?;
    server.wait_settled(bench, KEY)?;
    let mut viewer = Viewer::open(bench, With::WatchSecure, &server, KEY, SECONDS)?;
    viewer.first_frame(bench)?;
    let report = viewer.watch(bench, SECONDS)?;
    report.check(SECONDS, source.tone)?;
    report.check_http2()?;
    publisher.check_alive(bench)?;
    check_clean(&server, KEY)?;
    server.stop(bench)
}
