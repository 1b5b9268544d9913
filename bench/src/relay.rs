//! A bad network between a caller and a server: a relay of UDP that loses,
//! delays, reorders and repeats datagrams as a seed says, for machines whose
//! kernel has no `netem`. `relay/link.rs` decides, this file carries; the binary
//! `relay` is this as a process.

mod link;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use socket2::{Domain, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant as Moment, sleep_until};

pub use link::{Counts, Impairments, Link, REORDER_BY};

use crate::error::{Error, Result};

/// A relay that runs in a thread of its own, until it is dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    counts: Arc<Mutex<Both>>,
    /// Ends the thread when it is dropped.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// Both directions of all callers together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Both {
    /// From callers to the server.
    pub up: Counts,
    /// From the server to callers.
    pub down: Counts,
}

/// The most callers; what others send is dropped.
const MOST_CALLERS: usize = 1_000;

/// What may wait for a caller's task, in datagrams.
const QUEUE: usize = 4_096;

/// A caller that says nothing for so long, and is told nothing, is forgotten.
const IDLE: Duration = Duration::from_secs(30);

/// The longest datagram.
const LONGEST: usize = 65_536;

/// What is asked of the system for each socket: bursts must not be lost here.
const BUFFER: usize = 4 << 20;

impl Relay {
    /// Listens at `listen` and carries what comes there to `to` and back. Each
    /// caller has an address of its own towards the server, and chance of its
    /// own: the first caller's is the same in each run. With `source` the server
    /// sees callers come from there (Linux has all of 127.0.0.0/8).
    ///
    /// # Errors
    /// The address cannot be had.
    pub fn start(
        listen: SocketAddr,
        to: SocketAddr,
        source: Option<IpAddr>,
        impairments: Impairments,
    ) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::of("tokio"))?;
        let socket = {
            let _entered = runtime.enter();
            bind(listen)?
        };
        let address = socket.local_addr().map_err(Error::of(listen))?;
        let counts = Arc::new(Mutex::new(Both::default()));
        let (stop, stopped) = oneshot::channel();
        let shared = counts.clone();
        let any = match to {
            SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
        };
        let way = Way {
            source: source.unwrap_or(any),
            to,
        };
        let thread = std::thread::Builder::new()
            .name("relay".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = serve(Arc::new(socket), way, impairments, shared) => {}
                        _ = stopped => {}
                    }
                });
            })
            .map_err(Error::of("a thread"))?;
        Ok(Self {
            address,
            counts,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where callers find it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has done to them until now.
    #[must_use]
    pub fn counts(&self) -> Both {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Between the relay and the server.
#[derive(Clone, Copy)]
struct Way {
    source: IpAddr,
    to: SocketAddr,
}

async fn serve(
    socket: Arc<UdpSocket>,
    way: Way,
    impairments: Impairments,
    counts: Arc<Mutex<Both>>,
) {
    let mut callers: HashMap<SocketAddr, mpsc::Sender<Bytes>> = HashMap::new();
    let mut buffer = vec![0; LONGEST];
    let mut number = 0;
    loop {
        // A datagram that could not be delivered comes back as an error here: it
        // concerns one caller, and there are others.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let datagram = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
        let known = callers.get(&from).filter(|caller| !caller.is_closed());
        let caller = match known {
            Some(caller) => caller,
            None => {
                callers.retain(|_, caller| !caller.is_closed());
                if callers.len() >= MOST_CALLERS {
                    continue;
                }
                let Ok(upstream) = connect(way).await else {
                    continue;
                };
                let (sender, receiver) = mpsc::channel(QUEUE);
                let caller = Caller {
                    socket: socket.clone(),
                    address: from,
                    upstream,
                    up: Link::new(impairments, number),
                    down: Link::new(impairments, number + 1),
                    counts: counts.clone(),
                    told: Both::default(),
                };
                number += 2;
                tokio::spawn(caller.run(receiver));
                callers.entry(from).insert_entry(sender).into_mut()
            }
        };
        if caller.try_send(datagram).is_err() {
            let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            counts.up.overflowed += 1;
        }
    }
}

/// One caller and its socket towards the server.
struct Caller {
    socket: Arc<UdpSocket>,
    address: SocketAddr,
    upstream: UdpSocket,
    up: Link,
    down: Link,
    counts: Arc<Mutex<Both>>,
    /// What of its counts is in the shared ones.
    told: Both,
}

impl Caller {
    async fn run(mut self, mut sent: mpsc::Receiver<Bytes>) {
        let mut buffer = vec![0; LONGEST];
        let mut heard = Instant::now();
        loop {
            let idle = heard + IDLE;
            let due = self.up.due().into_iter().chain(self.down.due()).min();
            tokio::select! {
                datagram = sent.recv() => {
                    let Some(datagram) = datagram else { return };
                    heard = Instant::now();
                    self.up.push(datagram, heard);
                }
                received = self.upstream.recv(&mut buffer) => {
                    // Refused, mostly: there is no server any more.
                    if let Ok(length) = received {
                        heard = Instant::now();
                        let datagram = buffer.get(..length).unwrap_or_default();
                        self.down.push(Bytes::copy_from_slice(datagram), heard);
                    }
                }
                () = sleep_until(Moment::from_std(due.unwrap_or(idle))) => {
                    if due.is_none() {
                        return;
                    }
                }
            }
            let now = Instant::now();
            while let Some(datagram) = self.up.pop(now) {
                let _ = self.upstream.send(&datagram).await;
            }
            while let Some(datagram) = self.down.pop(now) {
                let _ = self.socket.send_to(&datagram, self.address).await;
            }
            self.tell();
        }
    }

    fn tell(&mut self) {
        let now = Both {
            up: self.up.counts(),
            down: self.down.counts(),
        };
        let before = std::mem::replace(&mut self.told, now);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.up += now.up.since(before.up);
        counts.down += now.down.since(before.down);
    }
}

/// A socket towards the server.
async fn connect(way: Way) -> Result<UdpSocket> {
    let socket = bind(SocketAddr::new(way.source, 0))?;
    socket.connect(way.to).await.map_err(Error::of(way.to))?;
    Ok(socket)
}

fn bind(address: SocketAddr) -> Result<UdpSocket> {
    let error = || Error::of(address);
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None).map_err(error())?;
    // As much as the system gives.
    let _ = socket.set_recv_buffer_size(BUFFER);
    let _ = socket.set_send_buffer_size(BUFFER);
    socket.set_nonblocking(true).map_err(error())?;
    socket.bind(&address.into()).map_err(error())?;
    UdpSocket::from_std(socket.into()).map_err(error())
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    fn socket() -> UdpSocket {
        let socket = UdpSocket::bind(LOCAL).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        socket
    }

    fn relay(server: &UdpSocket, impairments: Impairments) -> Relay {
        Relay::start(LOCAL, server.local_addr().unwrap(), None, impairments).unwrap()
    }

    fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
        let mut buffer = [0; 64];
        let (length, from) = socket.recv_from(&mut buffer).unwrap();
        (buffer[..length].to_vec(), from)
    }

    #[test]
    fn each_caller_has_its_own_way_there_and_back() {
        let server = socket();
        let relay = relay(&server, Impairments::default());
        let callers = [socket(), socket()];
        let mut seen = Vec::new();
        for (caller, text) in callers.iter().zip([b"one", b"two"]) {
            caller.send_to(text, relay.address()).unwrap();
            let (got, from) = receive(&server);
            assert_eq!(got, text);
            server.send_to(&got, from).unwrap();
            let (back, from_relay) = receive(caller);
            assert_eq!((back.as_slice(), from_relay), (&text[..], relay.address()));
            seen.push(from);
        }
        assert_ne!(seen[0], seen[1]);
        // Counted before it was answered, or just behind it.
        assert!(relay.counts().up.received >= 1);
    }

    #[test]
    fn a_delay_is_kept_in_each_direction() {
        let delay = Duration::from_millis(30);
        let server = socket();
        let relay = relay(
            &server,
            Impairments {
                delay,
                ..Impairments::default()
            },
        );
        let caller = socket();
        let start = Instant::now();
        caller.send_to(b"there", relay.address()).unwrap();
        let (_, from) = receive(&server);
        assert!(start.elapsed() >= delay);
        server.send_to(b"back", from).unwrap();
        receive(&caller);
        assert!(start.elapsed() >= delay * 2);
    }

    #[test]
    fn what_is_lost_never_arrives_and_is_counted() {
        let server = socket();
        let relay = relay(
            &server,
            Impairments {
                loss: 0.5,
                seed: 5,
                ..Impairments::default()
            },
        );
        let caller = socket();
        let mut link = Link::new(
            Impairments {
                loss: 0.5,
                seed: 5,
                ..Impairments::default()
            },
            0,
        );
        let now = Instant::now();
        let mut want = Vec::new();
        for number in 0..200_u8 {
            link.push(Bytes::copy_from_slice(&[number]), now);
            want.extend(link.pop(now).map(|_| number));
            caller.send_to(&[number], relay.address()).unwrap();
        }
        let got: Vec<u8> = want.iter().map(|_| receive(&server).0[0]).collect();
        assert_eq!(got, want);
        assert_eq!(relay.counts().down, Counts::default());
    }

    #[test]
    fn a_server_that_is_not_there_yet_is_found_later() {
        let server = socket();
        let address = server.local_addr().unwrap();
        drop(server);
        let relay = Relay::start(LOCAL, address, None, Impairments::default()).unwrap();
        let caller = socket();
        caller.send_to(b"early", relay.address()).unwrap();
        let server = UdpSocket::bind(address).unwrap();
        server
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let mut buffer = [0; 64];
        let mut tries = 0;
        while server.recv_from(&mut buffer).is_err() {
            caller.send_to(b"again", relay.address()).unwrap();
            tries += 1;
            assert!(tries < 200);
        }
    }
}
