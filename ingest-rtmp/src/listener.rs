//! The listening socket: takes connections in and hands each to `conn.rs`.
//!
//! How many there may be is counted by core's [`Admission`].

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rillcast_core::{Admission, IngestContext};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::config::Config;
use crate::conn;
use crate::error::BindError;

/// A bound socket that is not served yet.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds. Must be called within a tokio runtime.
    ///
    /// `0.0.0.0` and `[::]` bind one socket for both families: `localhost` is
    /// `::1` first, and a publisher must not have to know. Where there is no
    /// IPv6 it is IPv4 alone.
    pub(crate) fn bind(wanted: SocketAddr) -> Result<Self, BindError> {
        let fail = |cause| BindError {
            address: wanted,
            cause,
        };
        let socket = if wanted.ip().is_unspecified() {
            let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, wanted.port()));
            match bind(both) {
                Err(error) if wanted.is_ipv4() && is_without_ipv6(&error) => {
                    bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, wanted.port())))
                }
                result => result,
            }
        } else {
            bind(wanted)
        };
        let socket = socket.map_err(fail)?;
        let port = socket.local_addr().map_err(fail)?.port();
        Ok(Self {
            socket,
            // The family that was asked for: clients are given this address.
            address: SocketAddr::new(wanted.ip(), port),
        })
    }

    /// The address that was asked for, with the port that was given.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes connections in until `cx` asks to stop; the connections are told
    /// by the same `cx` and outlive this call.
    pub(crate) async fn serve(self, config: Config, cx: IngestContext) {
        let config = Arc::new(config);
        let admission = Admission::new(
            "rtmp",
            config.max_connections,
            config.max_connections_per_address,
        );
        let mut pause = Pause::default();
        let shutdown = cx.shutdown();
        let mut stop = std::pin::pin!(shutdown.requested());
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stop => return,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((socket, peer)) => {
                    pause.recovered();
                    take_in(socket, canonical(peer), &config, &admission, &cx);
                }
                // The peer went away while it waited to be accepted.
                Err(error) if is_of_peer(&error) => {}
                Err(error) => {
                    let wait = pause.next(&error);
                    tokio::select! {
                        () = &mut stop => return,
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        }
    }
}

/// Admits a connection and starts its task.
fn take_in(
    socket: TcpStream,
    peer: SocketAddr,
    config: &Arc<Config>,
    admission: &Admission,
    cx: &IngestContext,
) {
    let place = match admission.admit(peer.ip(), Instant::now()) {
        Ok(place) => place,
        Err(refusal) => {
            if let Some(unsaid) = refusal.unsaid() {
                let unsaid = (unsaid > 0).then_some(unsaid);
                tracing::warn!(protocol = cx.name(), %peer, unsaid, "connection refused: {refusal}");
            }
            return;
        }
    };
    // Answers are small and waited for.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(protocol = cx.name(), %peer, %error, "TCP_NODELAY cannot be set");
    }
    // The task runs on another runtime, which must make its socket anew.
    let socket = match socket.into_std() {
        Ok(socket) => socket,
        Err(error) => return dropped(cx, peer, &error),
    };
    let (config, admission, own) = (Arc::clone(config), admission.clone(), cx.clone());
    cx.spawn_connection(async move {
        match TcpStream::from_std(socket) {
            Ok(socket) => conn::run(socket, peer, config, admission, own).await,
            Err(error) => dropped(&own, peer, &error),
        }
        drop(place);
    });
}

fn dropped(cx: &IngestContext, peer: SocketAddr, error: &io::Error) {
    tracing::warn!(protocol = cx.name(), %peer, %error, "connection dropped: it cannot be watched");
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // A restart must not wait for the old connections to time out.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// An IPv4 peer of a socket for both families looks like `::ffff:1.2.3.4`.
fn canonical(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}

fn is_without_ipv6(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Unsupported | io::ErrorKind::AddrNotAvailable
    ) || error.raw_os_error() == Some(EAFNOSUPPORT)
}

fn is_of_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// Waits between tries when the system cannot accept (no file descriptor or
/// memory left): longer and longer, and said once.
#[derive(Debug, Default)]
struct Pause {
    failures: u32,
}

impl Pause {
    const FIRST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_secs(1);

    fn next(&mut self, error: &io::Error) -> Duration {
        if self.failures == 0 {
            tracing::error!(%error, "connections cannot be accepted; trying again");
        }
        let doubled = Self::FIRST.saturating_mul(1 << self.failures.min(10));
        self.failures += 1;
        doubled.min(Self::LONGEST)
    }

    fn recovered(&mut self) {
        if self.failures > 0 {
            tracing::info!(failures = self.failures, "connections are accepted again");
            self.failures = 0;
        }
    }
}

/// Connections that may wait to be accepted; the system may lower it.
const BACKLOG: i32 = 1_024;

/// What Linux answers where IPv6 is switched off.
const EAFNOSUPPORT: i32 = 97;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_unspecified_address_means_both_families() {
        for wanted in ["0.0.0.0:0", "[::]:0"] {
            let listener = Listener::bind(wanted.parse().unwrap()).unwrap();
            let address = listener.address();
            assert_ne!(address.port(), 0);
            assert_eq!(address.ip(), wanted.parse::<SocketAddr>().unwrap().ip());
            for host in ["127.0.0.1", "[::1]"] {
                let target = format!("{host}:{}", address.port());
                match TcpStream::connect(&target).await {
                    Ok(client) => {
                        let (_, peer) = listener.socket.accept().await.unwrap();
                        assert_eq!(canonical(peer), client.local_addr().unwrap());
                    }
                    // A machine without IPv6 has no ::1.
                    Err(error) => assert!(host == "[::1]" && is_without_ipv6(&error), "{target}"),
                }
            }
        }
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_named() {
        let first = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let error = Listener::bind(first.address()).unwrap_err().to_string();
        assert!(error.contains(&first.address().to_string()), "{error}");
        assert!(error.contains("in use"), "{error}");
        let error = Listener::bind("192.0.2.1:0".parse().unwrap())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("192.0.2.1:0 is no address of this machine"),
            "{error}"
        );
    }

    #[test]
    fn failures_to_accept_are_waited_out() {
        let error = io::Error::from_raw_os_error(24);
        assert!(!is_of_peer(&error));
        let mut pause = Pause::default();
        let waits: Vec<_> = (0..9).map(|_| pause.next(&error).as_millis()).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 1_000, 1_000]);
        for _ in 0..100 {
            assert_eq!(pause.next(&error), Pause::LONGEST);
        }
        pause.recovered();
        assert_eq!(pause.next(&error), Pause::FIRST);
    }
}
