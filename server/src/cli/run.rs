//! `run` and `demo`: serves until a signal asks for the end.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use rillcast_core::{Plugins, Settings};

use super::{Failure, Serve, show};
use crate::addresses::{self, Addresses};
use crate::config::LogConfig;
use crate::server::{Server, check};
use crate::signals::Signals;
use crate::{demo, descriptors, logs};

pub(super) fn run(serve: &Serve, plugins: &Plugins, demo: bool) -> Result<(), Failure> {
    let settings = serve.configuration.load()?;
    // Before anything is opened, and before there is a log to fill.
    check(&settings, plugins)?;
    let section = settings.section("log")?;
    let log = LogConfig::read(&section)?;
    logs::start(&log).map_err(|message| section.error("level", message))?;
    descriptors::raise_limit();

    let system = |what| move |source| Failure::System { what, source };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(system("cannot start threads"))?;
    let served = runtime.block_on(async {
        let signals = Signals::listen().map_err(system("cannot listen for signals"))?;
        let addresses_file = serve.addresses_file.as_deref();
        until_signal(settings, plugins, addresses_file, demo, signals).await
    });
    // What did not end in time holds nobody up.
    runtime.shutdown_background();
    served
}

async fn until_signal(
    settings: Settings,
    plugins: &Plugins,
    addresses_file: Option<&Path>,
    demo: bool,
    mut signals: Signals,
) -> Result<(), Failure> {
    let server = tokio::select! {
        server = Server::start(settings, plugins) => server?,
        signal = signals.next() => {
            tracing::info!(signal, "stopped before the start was done");
            return Ok(());
        }
    };
    if let Some(path) = addresses_file {
        let written = addresses::write(path, server.addresses());
        if let Err(source) = written {
            server.shutdown().await;
            let path = path.to_owned();
            return Err(Failure::AddressesFile { path, source });
        }
    }
    show::print(&greeting(server.addresses(), plugins, demo));

    let signal = signals.next().await;
    tracing::info!(signal, "stopping");
    tokio::select! {
        late = server.shutdown() => {
            if late.is_empty() {
                tracing::info!("stopped");
            } else {
                tracing::warn!(late = late.join(", "), "stopped; some did not end in time");
            }
        }
        signal = signals.next() => tracing::warn!(signal, "stopped at once"),
    }
    Ok(())
}

/// The lines that a person reads at the start: what listens where, what to open.
fn greeting(addresses: &Addresses, plugins: &Plugins, demo: bool) -> String {
    let mut text = format!("rillcast {}\n", env!("CARGO_PKG_VERSION"));
    let http = addresses
        .get("http")
        .map(|address| format!("http://{}", named(*address)));
    let http = http.unwrap_or_default();
    let mut line = |what: &str, address: &str| {
        let _ = writeln!(text, "  {what:<9} {address}");
    };
    if demo {
        line("watch", &format!("{http}/watch/{}", demo::STREAM));
    }
    line("streams", &format!("{http}/"));
    if let Some(https) = addresses.get("https") {
        line("https", &format!("https://{}/", named(*https)));
    }
    for entry in plugins.entries() {
        let Some(address) = addresses.get(entry.name()) else {
            continue;
        };
        let url = publish_url(entry.publish_url(), *address);
        match url {
            Some(url) => line("publish", &url),
            None => line(entry.name(), &address.to_string()),
        }
    }
    if demo && plugins.names().contains(&"hls") {
        line("hls", &format!("{http}/hls/{}/index.m3u8", demo::STREAM));
    }
    text
}

/// A plugin's template filled in for this machine; `None` without a template.
fn publish_url(template: &str, address: SocketAddr) -> Option<String> {
    if template.is_empty() {
        return None;
    }
    // What stands in brackets is for those who have a token.
    let plain = match (template.split_once('['), template.split_once(']')) {
        (Some((before, _)), Some((_, after))) => format!("{before}{after}"),
        _ => template.to_owned(),
    };
    let host = named(address);
    let host = host
        .rsplit_once(':')
        .map_or(host.as_str(), |(host, _)| host);
    let url = plain
        .replace("{host}", host)
        .replace("{port}", &address.port().to_string());
    Some(url.replace("{key}", "live/NAME"))
}

/// An address that a person can open on this machine.
fn named(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!("localhost:{}", address.port())
    } else {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_names_each_address_that_is_there() {
        let plugins = Plugins::none();
        let mut addresses = Addresses::new();
        addresses.insert("http", "0.0.0.0:8080".parse().unwrap());
        let without = greeting(&addresses, &plugins, false);
        assert!(without.contains("streams   http://localhost:8080/\n"));
        assert!(!without.contains("https"));
        addresses.insert("https", "[::1]:8443".parse().unwrap());
        let with = greeting(&addresses, &plugins, false);
        assert!(with.contains("https     https://[::1]:8443/\n"), "{with}");
    }

    #[test]
    fn addresses_to_publish_to_are_whole() {
        let at = |text: &str| text.parse().unwrap();
        for (template, address, want) in [
            (
                "rtmp://{host}:{port}/{key}[?token={token}]",
                "0.0.0.0:1935",
                Some("rtmp://localhost:1935/live/NAME"),
            ),
            (
                "rtmp://{host}:{port}/{key}",
                "[::1]:99",
                Some("rtmp://[::1]:99/live/NAME"),
            ),
            (
                "srt://{host}:{port}?streamid=publish:{key}",
                "[::]:8890",
                Some("srt://localhost:8890?streamid=publish:live/NAME"),
            ),
            ("", "0.0.0.0:1", None),
        ] {
            assert_eq!(publish_url(template, at(address)).as_deref(), want);
        }
    }
}
