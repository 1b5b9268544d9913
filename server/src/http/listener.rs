//! Binds the listeners of HTTP, and accepts connections until told to stop.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rillcast_core::{Admission, Placement, Threads, Woken};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::conn::{self, Client, Limits};
use super::dispatch::Dispatch;
use super::stats::{HttpStats, add};
use crate::config::{ServerConfig, plain};

/// How many connections the kernel holds that were not accepted yet: enough
/// for a whole audience to come at once.
const BACKLOG: i32 = 4_096;

/// The longest pause after a failed accept.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Binds `address`; an unspecified one means every address of both families.
/// Must be called within a tokio runtime.
///
/// Returns the address as it was asked for, with its real port.
pub(crate) fn bind(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, address.port()));
    let listener = if address.ip().is_unspecified() {
        match listen(both) {
            // A machine without IPv6: its other family is all there is.
            Err(error) if no_such_family(&error) => {
                listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))?
            }
            listener => listener?,
        }
    } else {
        listen(address)?
    };
    let port = listener.local_addr()?.port();
    Ok((listener, SocketAddr::new(address.ip(), port)))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // On Unix this only takes over what a dead process left; elsewhere it
    // would let a second server steal a live listener.
    if cfg!(unix) {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

fn no_such_family(error: &io::Error) -> bool {
    // EAFNOSUPPORT, on the systems that we build for.
    const NO_FAMILY: [i32; 3] = [97, 47, 10_047];
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error
            .raw_os_error()
            .is_some_and(|code| NO_FAMILY.contains(&code))
}

/// A bound listener, and whether it speaks TLS.
pub(crate) struct Listening {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
}

impl Listening {
    pub(crate) fn new(listener: TcpListener, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let tls = tls.map(TlsAcceptor::from);
        Self { listener, tls }
    }
}

/// The running HTTP server.
#[derive(Debug)]
pub(crate) struct HttpServer {
    stop: CancellationToken,
    /// Cancelled when this is dropped: ends every connection where it is.
    kill: CancellationToken,
    tasks: TaskTracker,
}

impl HttpServer {
    /// Accepts on all of `listening` and answers by `dispatch`; what connections
    /// may take is theirs together.
    pub(crate) fn start(
        listening: Vec<Listening>,
        dispatch: Arc<Dispatch>,
        config: &ServerConfig,
        stats: &Arc<HttpStats>,
        threads: &Threads,
    ) -> Self {
        let server = Self {
            stop: CancellationToken::new(),
            kill: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let admission = Admission::new(
            "server",
            config.max_connections,
            config.max_connections_per_address,
        );
        for Listening { listener, tls } in listening {
            let acceptor = Acceptor {
                dispatch: Arc::clone(&dispatch),
                limits: Limits::of(config),
                tls,
                admission: admission.clone(),
                stats: Arc::clone(stats),
                stop: server.stop.clone(),
                kill: server.kill.clone(),
                tasks: server.tasks.clone(),
                connections: threads.placement(),
            };
            server.tasks.spawn(acceptor.run(listener));
        }
        server
    }

    /// Closes the listeners, and asks every connection to end after the answer
    /// that is in hand.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
    }

    /// Ends everything where it is.
    pub(crate) fn kill(&self) {
        self.stop();
        self.kill.cancel();
    }

    /// Waits until every connection has ended. Cancel safe.
    pub(crate) async fn ended(&self) {
        self.tasks.wait().await;
    }
}

/// What is dropped without an orderly end, a server that did not start for one,
/// leaves no listener behind, and no connection that keeps its host alive.
impl Drop for HttpServer {
    fn drop(&mut self) {
        self.kill();
    }
}

struct Acceptor {
    dispatch: Arc<Dispatch>,
    limits: Limits,
    tls: Option<TlsAcceptor>,
    admission: Admission,
    stats: Arc<HttpStats>,
    stop: CancellationToken,
    kill: CancellationToken,
    tasks: TaskTracker,
    connections: Placement,
}

impl Acceptor {
    async fn run(self, listener: TcpListener) {
        let mut pause = Duration::from_millis(5);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    pause = Duration::from_millis(5);
                    self.admit(stream, peer);
                }
                // The client left before it was accepted: nothing is wrong here.
                Err(error) if of_one_connection(&error) => {}
                Err(error) => {
                    // Out of descriptors or memory: the error comes back at
                    // once, and only connections that end can mend it.
                    add(&self.stats.accept_errors, 1);
                    tracing::warn!(error = plain(&error), ?pause, "cannot accept connections");
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = self.stop.cancelled() => return,
                    }
                    pause = (pause * 2).min(MAX_PAUSE);
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr) {
        add(&self.stats.accepted, 1);
        // A v4 client of a socket for both families is shown as v4.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let place = match self.admission.admit(peer.ip(), Instant::now()) {
            Ok(place) => place,
            Err(refusal) => {
                if let Some(unsaid) = refusal.unsaid() {
                    let unsaid = (unsaid > 0).then_some(unsaid);
                    tracing::warn!(protocol = "http", %peer, unsaid, "connection refused: {refusal}");
                }
                add(&self.stats.refused, 1);
                if self.tls.is_none() {
                    refuse(&stream);
                }
                return;
            }
        };
        let open = Open::count(&self.stats);
        // The task runs on another runtime, which must make its socket anew.
        let stream = match stream.into_std() {
            Ok(stream) => stream,
            Err(error) => return dropped(peer, &error),
        };
        let client = Client::new(peer, self.limits, self.admission.clone());
        let dispatch = Arc::clone(&self.dispatch);
        let (stats, stop) = (Arc::clone(&self.stats), self.stop.clone());
        let tls = self.tls.clone();
        let kill = Woken::new(Box::pin(self.kill.clone().cancelled_owned()));
        let connection = async move {
            let run = async {
                match TcpStream::from_std(stream) {
                    Ok(stream) => conn::run(stream, tls, client, dispatch, stats, stop).await,
                    Err(error) => dropped(peer, &error),
                }
            };
            tokio::select! {
                () = run => {}
                () = kill => {}
            }
            drop((open, place));
        };
        self.connections.spawn(&self.tasks, connection);
    }
}

fn dropped(peer: SocketAddr, error: &io::Error) {
    let error = plain(error);
    tracing::warn!(protocol = "http", %peer, error, "connection dropped: it cannot be watched");
}

/// Counts a connection as open while it lives.
struct Open(Arc<HttpStats>);

impl Open {
    fn count(stats: &Arc<HttpStats>) -> Self {
        add(&stats.open, 1);
        Self(Arc::clone(stats))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0
            .open
            .fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
    }
}

/// As much as the socket takes at once must do, or refusing would cost what
/// admitting does. What has come of a request is taken out of the socket, since
/// closing it unread would take the answer back.
fn refuse(stream: &TcpStream) {
    let _ = stream.try_write(TOO_MANY.as_bytes());
    let mut unread = [0; 4 << 10];
    // As large as heads get by default; whoever sends on gets no answer.
    let whole = |read: io::Result<usize>| read.is_ok_and(|read| read == 4 << 10);
    let _ = (0..8).all(|_| whole(stream.try_read(&mut unread)));
}

const TOO_MANY: &str = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n\
    Cache-Control: no-store\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 0\r\n\
    Connection: close\r\n\r\n";

fn of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn an_unspecified_address_means_both_families() {
        let machine_has_v6 = std::net::TcpListener::bind("[::1]:0").is_ok();
        for text in ["0.0.0.0:0", "[::]:0"] {
            let wanted: SocketAddr = text.parse().unwrap();
            let (listener, address) = bind(wanted).unwrap();
            assert_eq!(address.ip(), wanted.ip());
            assert_eq!(address.port(), listener.local_addr().unwrap().port());
            let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()));
            TcpStream::connect(v4).await.unwrap();
            if machine_has_v6 {
                let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, address.port()));
                TcpStream::connect(v6).await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn an_address_is_taken_once() {
        let (_first, address) = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let error = bind(address).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
