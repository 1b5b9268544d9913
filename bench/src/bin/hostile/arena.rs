//! What an attack is given: the server's addresses, its bounds, addresses of
//! its own to come from, and seeded chance.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rillcast_bench::{Clip, Error, Result};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::{Instant, timeout};

use crate::server;
use rillcast_bench::Chance;

/// The bounds of the server under attack, as its settings say them.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// `rtmp.handshake_timeout`.
    pub(crate) handshake: Duration,
    /// `server.head_timeout`.
    pub(crate) http_head: Duration,
    /// `server.idle_timeout` and `server.body_timeout`.
    pub(crate) http_idle: Duration,
    /// `server.write_timeout`.
    pub(crate) http_write: Duration,
    /// `rtmp.max_connections_per_address`.
    pub(crate) per_address: usize,
    /// `server.max_connections_per_address`.
    pub(crate) http_per_address: usize,
    /// `limits.streams_per_app`.
    pub(crate) streams_per_app: usize,
    /// `bus.reconnect_grace`.
    pub(crate) grace: Duration,
    /// `limits.idle_timeout`: without media.
    pub(crate) media_idle: Duration,
    /// `srt.idle_timeout`.
    pub(crate) srt_idle: Duration,
    /// `srt.max_connections_per_address`.
    pub(crate) srt_per_address: usize,
}

/// What the good streams are called: `live/bench-0` and so on, `live/srt-…` over SRT.
pub(crate) const GOOD_APP: &str = "live";

/// How many of them come over RTMP …
pub(crate) const GOOD: usize = 20;

/// … and how many over SRT.
pub(crate) const GOOD_SRT: usize = 10;

/// How long the server may take beyond a time-out of its own: it lingers for a
/// second so that last words are read, and the machine may be busy.
pub(crate) const SLACK: Duration = Duration::from_secs(5);

/// How long an answer may take that the server gives at once.
pub(crate) const PROMPT: Duration = Duration::from_secs(5);

/// The arena of one attack; clones are the same arena.
#[derive(Clone)]
pub(crate) struct Arena {
    pub(crate) rtmp: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) srt: SocketAddr,
    pub(crate) bounds: Arc<Bounds>,
    /// Real pictures and sound, for attackers that look honest.
    pub(crate) clip: Arc<Clip>,
    /// The server's process.
    pub(crate) pid: u32,
    /// Whether every other attack runs meanwhile: what an attack takes may then be
    /// what another one needs.
    pub(crate) crowded: bool,
    /// 1, or more where there is time for more.
    pub(crate) scale: usize,
    /// The third part of the addresses that the attack comes from.
    pub(crate) network: u8,
    pub(crate) seed: u64,
}

impl Arena {
    /// Chance of this attack's own; the same for the same seed.
    pub(crate) fn chance(&self) -> Chance {
        Chance::new(self.seed ^ (u64::from(self.network) << 32))
    }

    /// The first part of the keys that this attack publishes.
    pub(crate) fn app(&self) -> String {
        format!("h{}", self.network)
    }

    /// A connection to RTMP from the attack's address number `host`.
    pub(crate) async fn rtmp(&self, host: u8) -> Result<TcpStream> {
        connect(self.source(host), self.rtmp, None).await
    }

    /// A connection to HTTP from the attack's address number `host`.
    pub(crate) async fn http(&self, host: u8) -> Result<TcpStream> {
        connect(self.source(host), self.http, None).await
    }

    /// The same with a receive buffer as small as the system makes them.
    pub(crate) async fn http_narrow(&self, host: u8) -> Result<TcpStream> {
        connect(self.source(host), self.http, Some(1_024)).await
    }

    /// A socket towards SRT at the attack's address number `host`.
    pub(crate) async fn udp(&self, host: u8) -> Result<UdpSocket> {
        self.udp_from(self.source(host)).await
    }

    /// The same at any address of the loopback network.
    pub(crate) async fn udp_from(&self, from: Ipv4Addr) -> Result<UdpSocket> {
        let failed = || Error::of(format!("a socket at {from}"));
        let socket = UdpSocket::bind((from, 0)).await.map_err(failed())?;
        socket.connect(self.srt).await.map_err(failed())?;
        Ok(socket)
    }

    /// The resident memory of the server, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        server::resident(self.pid)
    }

    fn source(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, 0, self.network, host.max(1))
    }
}

/// Connects from an address of the loopback network.
pub(crate) async fn connect(
    from: Ipv4Addr,
    to: SocketAddr,
    receive: Option<u32>,
) -> Result<TcpStream> {
    let failed = || Error::of(format!("connecting from {from} to {to}"));
    let socket = TcpSocket::new_v4().map_err(failed())?;
    // Ports that the last attack left in TIME_WAIT can be had again.
    socket.set_reuseaddr(true).map_err(failed())?;
    if let Some(bytes) = receive {
        socket.set_recv_buffer_size(bytes).map_err(failed())?;
    }
    socket.bind(SocketAddr::from((from, 0))).map_err(failed())?;
    let connecting = timeout(Duration::from_secs(10), socket.connect(to)).await;
    let socket = connecting
        .map_err(|_| Error::new(format!("{to} takes no connection from {from}")))?
        .map_err(failed())?;
    socket.set_nodelay(true).map_err(failed())?;
    Ok(socket)
}

/// Reads until the server closes and tells what it said; an error if it does
/// not close within `limit`.
pub(crate) async fn closed_within(socket: &mut TcpStream, limit: Duration) -> Result<Vec<u8>> {
    use tokio::io::AsyncReadExt;
    let mut said = Vec::new();
    let mut buffer = vec![0; 16 << 10];
    let deadline = Instant::now() + limit;
    loop {
        match tokio::time::timeout_at(deadline, socket.read(&mut buffer)).await {
            Err(_) => {
                return Err(Error::new(format!(
                    "the server had not closed the connection after {limit:?}"
                )));
            }
            // A reset closes as well.
            Ok(Ok(0) | Err(_)) => return Ok(said),
            Ok(Ok(count)) => {
                if said.len() < MOST_SAID {
                    said.extend_from_slice(buffer.get(..count).unwrap_or_default());
                }
            }
        }
    }
}

/// How much of what the server says is kept.
const MOST_SAID: usize = 1 << 20;

/// `Err` with a formatted text, unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($arg:tt)*) => {
        let holds: bool = $condition;
        if !holds {
            return Err(rillcast_bench::Error::new(format!($($arg)*)));
        }
    };
}
pub(crate) use ensure;
