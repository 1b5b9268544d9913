//! The UDP socket that all callers share: bound once, read in batches.

mod pace;

use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as StdSocket};
use std::time::Instant;

use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::sleep;

use self::pace::{PAUSE, Pace};
use crate::error::BindError;

/// A bound socket.
#[derive(Debug)]
pub(crate) struct Udp {
    socket: StdSocket,
    state: UdpSocketState,
    /// The family that was asked for: clients are given this address.
    address: SocketAddr,
    /// IPv4 peers are written to as `::ffff:1.2.3.4`.
    is_dual: bool,
}

/// The one reader of a socket, and what it has read: datagrams in one buffer after the
/// other.
#[derive(Debug)]
pub(crate) struct Batch {
    buffers: Vec<Vec<u8>>,
    metas: Vec<RecvMeta>,
    filled: usize,
    pace: Pace,
    /// The socket where the runtime watches it; `None` while much comes: then each
    /// datagram would wake a thread, which sees for itself soon enough.
    watched: Option<UdpSocket>,
}

/// The longest that a read of several datagrams at once (GRO) can give.
const LONGEST: usize = 64 << 10;

impl Batch {
    /// Buffers for what `udp` can give in one read.
    pub(crate) fn new(udp: &Udp) -> Self {
        // Without GRO each takes one datagram.
        let length = match udp.state.gro_segments() {
            1 => 2_048,
            _ => LONGEST,
        };
        Self {
            buffers: (0..BATCH_SIZE).map(|_| vec![0; length]).collect(),
            metas: vec![RecvMeta::default(); BATCH_SIZE],
            filled: 0,
            pace: Pace::new(Instant::now()),
            watched: None,
        }
    }

    /// The datagrams, and where each came from.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = (&[u8], SocketAddr)> {
        let filled = self.buffers.iter().zip(&self.metas).take(self.filled);
        filled.flat_map(|(buffer, meta)| {
            let all = buffer.get(..meta.len).unwrap_or_default();
            let from = SocketAddr::new(meta.addr.ip().to_canonical(), meta.addr.port());
            all.chunks(meta.stride.max(1)).map(move |one| (one, from))
        })
    }
}

impl Udp {
    /// Binds. Must be called within a tokio runtime.
    ///
    /// `0.0.0.0` and `[::]` bind one socket for both families; where there is no IPv6
    /// it is IPv4 alone.
    pub(crate) fn bind(wanted: SocketAddr, receive_buffer: usize) -> Result<Self, BindError> {
        let fail = |cause| BindError {
            address: wanted,
            cause,
        };
        let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, wanted.port()));
        let socket = if wanted.ip().is_unspecified() {
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
        Self::of(socket, wanted.ip(), receive_buffer).map_err(fail)
    }

    /// A socket for one peer, on a port of the system's choice.
    pub(crate) fn towards(peer: SocketAddr, receive_buffer: usize) -> io::Result<Self> {
        let own = match peer {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = bind(own)?;
        Self::of(socket, own.ip(), receive_buffer)
    }

    fn of(socket: Socket, ip: std::net::IpAddr, receive_buffer: usize) -> io::Result<Self> {
        // What the system gives is told by `receive_buffer`.
        let _ = socket.set_recv_buffer_size(receive_buffer);
        let local = socket.local_addr()?;
        let local = local
            .as_socket()
            .ok_or_else(|| io::Error::other("a socket without an address"))?;
        let is_dual = local.is_ipv6() && !socket.only_v6()?;
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Self {
            socket: socket.into(),
            state,
            address: SocketAddr::new(ip, local.port()),
            is_dual,
        })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The buffer that the system gives, in bytes.
    pub(crate) fn receive_buffer(&self) -> io::Result<usize> {
        self.state.recv_buffer_size((&self.socket).into())
    }

    /// Reads what is there, once there is something: at once where little comes, else
    /// within two milliseconds. Must be called within a tokio runtime. Cancel safe.
    pub(crate) async fn read(&self, batch: &mut Batch) -> io::Result<()> {
        let all_was_read = batch.filled < batch.buffers.len();
        batch.filled = 0;
        if batch.pace.is_busy() {
            batch.watched = None;
            if all_was_read {
                sleep(PAUSE).await;
            }
        }
        loop {
            if !batch.pace.is_busy() && batch.watched.is_none() {
                // Where there is no descriptor left for it, it goes on without.
                let own = self.socket.try_clone();
                batch.watched = own.and_then(UdpSocket::from_std).ok();
            }
            if let Some(watched) = &batch.watched {
                watched.readable().await?;
            }
            match self.receive(batch) {
                Ok(filled) => {
                    batch.filled = filled;
                    let count = batch.datagrams().count();
                    batch.pace.came(count, Instant::now());
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    batch.pace.came(0, Instant::now());
                    if batch.watched.is_none() {
                        sleep(PAUSE).await;
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads what is there now.
    fn receive(&self, batch: &mut Batch) -> io::Result<usize> {
        let Batch {
            buffers,
            metas,
            watched,
            ..
        } = batch;
        let mut slices: Vec<IoSliceMut<'_>> =
            buffers.iter_mut().map(|one| IoSliceMut::new(one)).collect();
        let mut receive = || self.state.recv((&self.socket).into(), &mut slices, metas);
        match watched {
            // The runtime must know when there is nothing more.
            Some(watched) => watched.try_io(Interest::READABLE, receive),
            None => receive(),
        }
    }

    /// Sends a datagram if the system takes it now: what is lost here is as lost as on
    /// the way, and is said again.
    pub(crate) fn send(&self, datagram: &[u8], to: SocketAddr) {
        let to = match to {
            SocketAddr::V4(v4) if self.is_dual => {
                SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port()))
            }
            other => other,
        };
        let _ = self.socket.send_to(datagram, to);
    }
}

fn bind(address: SocketAddr) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn is_without_ipv6(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Unsupported | io::ErrorKind::AddrNotAvailable
    ) || error.raw_os_error() == Some(EAFNOSUPPORT)
}

/// What Linux answers where IPv6 is switched off.
const EAFNOSUPPORT: i32 = 97;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn datagrams_are_read_in_batches_with_the_senders_address() {
        let udp = Udp::bind("0.0.0.0:0".parse().unwrap(), 1 << 20).unwrap();
        assert!(udp.address().is_ipv4());
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, udp.address().port()));
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for number in 0..20_u8 {
            sender.send_to(&[number; 100], to).unwrap();
        }
        let mut batch = Batch::new(&udp);
        let mut seen = Vec::new();
        while seen.len() < 20 {
            udp.read(&mut batch).await.unwrap();
            for (datagram, from) in batch.datagrams() {
                assert_eq!(from, sender.local_addr().unwrap());
                assert_eq!(datagram.len(), 100);
                seen.push(datagram[0]);
            }
        }
        assert_eq!(seen, (0..20).collect::<Vec<_>>());
        udp.send(b"back", sender.local_addr().unwrap());
        let mut answer = [0; 8];
        let (length, from) = sender.recv_from(&mut answer).unwrap();
        assert_eq!((&answer[..length], from), (&b"back"[..], to));
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_named() {
        let first = Udp::bind("127.0.0.1:0".parse().unwrap(), 1 << 16).unwrap();
        let error = Udp::bind(first.address(), 1 << 16).unwrap_err().to_string();
        assert!(error.contains(&first.address().to_string()), "{error}");
        assert!(error.contains("in use"), "{error}");
    }
}
