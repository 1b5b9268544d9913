//! The socket's reader: sorts what arrives by connection, and answers who asks for one.
//!
//! It alone reads the socket, never waits for a connection, and decides nothing that
//! takes time: each caller that has shown its cookie gets a task of its own, which
//! decides and then serves it.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rillcast_core::{Admission, IngestContext, Subject};
use tokio::sync::Semaphore;
use tracing::Instrument;

use crate::config::{Config, FLOW_WINDOW};
use crate::conn::{self, Parts};
use crate::decide::{Granted, Refused, decide};
use crate::error::BindError;
use crate::inbox::Inbox;
use crate::proto::handshake::{Answer, Call, Gate, GateConfig, RejectReason};
use crate::proto::packet::{Packet, SocketId};
use crate::socket::{Batch, Udp};

/// A bound socket that is not served yet.
#[derive(Debug)]
pub(crate) struct Listener {
    udp: Udp,
}

/// What the log says of an address: it asks for what it cannot have.
const REFUSED: Subject = Subject::offence("refused");

/// Keys are derived by so many at a time: each takes a millisecond of a core.
const DERIVATIONS: usize = 2;

/// A refusal is said again for so long to whoever has not heard it.
const REMEMBERED: Duration = Duration::from_secs(3);

impl Listener {
    /// Binds. Must be called within a tokio runtime.
    pub(crate) fn bind(config: &Config) -> Result<Self, BindError> {
        let wanted = config.receive_buffer.as_usize();
        let udp = Udp::bind(config.listen, wanted)?;
        if let Ok(given) = udp.receive_buffer()
            // Linux counts its own bookkeeping as well, and gives twice as much.
            && given < wanted
        {
            tracing::warn!(
                wanted,
                given,
                "srt.receive_buffer is cut by the system: bursts may be lost; raise net.core.rmem_max"
            );
        }
        Ok(Self { udp })
    }

    /// The address that was asked for, with the port that was given.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.udp.address()
    }

    /// Serves callers until `cx` asks to stop; the connections are told by the same `cx`.
    pub(crate) async fn serve(self, config: Arc<Config>, cx: IngestContext) -> io::Result<()> {
        let mut secret = [0; Gate::SECRET_LEN];
        getrandom::fill(&mut secret).map_err(io::Error::other)?;
        let gate = GateConfig {
            flow_window: FLOW_WINDOW,
            ..GateConfig::default()
        };
        let admission = Admission::new(
            "srt",
            config.max_connections,
            config.max_connections_per_address,
        );
        let mut batch = Batch::new(&self.udp);
        let mut desk = Desk {
            gate: Gate::new(gate, &secret, Instant::now()),
            directory: Directory::default(),
            admission,
            derivations: Arc::new(Semaphore::new(DERIVATIONS)),
            udp: Arc::new(self.udp),
            config,
            cx: cx.clone(),
            swept: Instant::now(),
        };
        let shutdown = cx.shutdown();
        let mut stop = std::pin::pin!(shutdown.requested());
        let udp = Arc::clone(&desk.udp);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => return Ok(()),
                read = udp.read(&mut batch) => match read {
                    Ok(()) => desk.sort(&batch),
                    // Of a datagram that was sent before (ICMP): nobody's concern here.
                    Err(error) => tracing::debug!(%error, "the socket reports an error"),
                }
            }
        }
    }
}

/// What the reader works with.
struct Desk {
    gate: Gate,
    directory: Directory,
    admission: Admission,
    derivations: Arc<Semaphore>,
    udp: Arc<Udp>,
    config: Arc<Config>,
    cx: IngestContext,
    swept: Instant,
}

/// Who is there: the reader looks it up, and each task changes what is its own.
#[derive(Clone, Default)]
struct Directory(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    /// By our socket.
    connections: HashMap<u32, Entry>,
    /// By the caller's address and socket.
    calls: HashMap<(SocketAddr, u32), Asked>,
}

struct Entry {
    inbox: Arc<Inbox>,
    caller: (SocketAddr, u32),
}

/// A caller that has asked.
struct Asked {
    own: u32,
    /// What it was told, once that is decided.
    answer: Option<Bytes>,
    /// Of a refusal: until when it is remembered.
    until: Option<Instant>,
}

impl Desk {
    /// Gives each datagram to whom it is for.
    fn sort(&mut self, batch: &Batch) {
        let now = Instant::now();
        let directory = self.directory.clone();
        let mut known = directory.lock();
        for (datagram, from) in batch.datagrams() {
            match Packet::destination(datagram) {
                Some(SocketId::NONE) => self.ask(&mut known, datagram, from, now),
                Some(SocketId(own)) => {
                    // Whoever guesses a number writes from elsewhere.
                    if let Some(entry) = known.connections.get(&own)
                        && entry.caller.0 == from
                    {
                        entry.inbox.put(BytesMut::from(datagram), now);
                    }
                }
                None => {}
            }
        }
        if now.saturating_duration_since(self.swept) >= REMEMBERED {
            self.swept = now;
            let calls = &mut known.calls;
            calls.retain(|_, asked| asked.until.is_none_or(|until| until > now));
        }
    }

    /// Somebody asks for a connection.
    fn ask(&self, known: &mut Known, datagram: &[u8], from: SocketAddr, now: Instant) {
        match self.gate.handle(datagram, from, now) {
            Answer::Ignore(_) => {}
            Answer::Reply(reply) => self.udp.send(&reply, from),
            Answer::Refuse(refused) => {
                self.udp.send(&refused.datagram, from);
                self.tell_refused(from, &refused.why);
            }
            Answer::Call(call) => self.call(known, call, now),
        }
    }

    fn call(&self, known: &mut Known, call: Box<Call>, now: Instant) {
        let caller = (call.peer, call.peer_socket.0);
        if let Some(asked) = known.calls.get(&caller) {
            // It has not heard the answer, or there is none yet.
            if let Some(answer) = &asked.answer {
                self.udp.send(answer, call.peer);
            }
            return;
        }
        let place = match self.admission.admit(call.peer.ip(), now) {
            Ok(place) => place,
            Err(refusal) => {
                self.udp
                    .send(&call.reject(RejectReason::Overload), call.peer);
                if let Some(unsaid) = refusal.unsaid() {
                    let unsaid = (unsaid > 0).then_some(unsaid);
                    let (protocol, peer) = (self.cx.name(), call.peer);
                    tracing::warn!(protocol, %peer, unsaid, "connection refused: {refusal}");
                }
                return;
            }
        };
        let Some(own) = known.free_socket() else {
            self.udp
                .send(&call.reject(RejectReason::Internal), call.peer);
            return;
        };
        let inbox = Arc::new(Inbox::new());
        let entry = Entry {
            inbox: Arc::clone(&inbox),
            caller,
        };
        known.connections.insert(own, entry);
        let asked = Asked {
            own,
            answer: None,
            until: None,
        };
        known.calls.insert(caller, asked);
        let peer = call.peer;
        let protocol = self.cx.name();
        let span =
            tracing::info_span!("connection", protocol, %peer, stream = tracing::field::Empty);
        let task = Caller {
            own,
            inbox,
            udp: Arc::clone(&self.udp),
            admission: self.admission.clone(),
            derivations: Arc::clone(&self.derivations),
            leave: Leave(self.directory.clone(), own),
            config: Arc::clone(&self.config),
            cx: self.cx.clone(),
        };
        let serving = async move {
            task.serve(call).await;
            drop(place);
        };
        self.cx.spawn_connection(serving.instrument(span));
    }

    fn tell_refused(&self, peer: SocketAddr, why: impl std::fmt::Display) {
        let told = self.admission.tell(peer.ip(), REFUSED, Instant::now());
        if let Some(unsaid) = told {
            let unsaid = (unsaid > 0).then_some(unsaid);
            let protocol = self.cx.name();
            tracing::warn!(protocol, %peer, unsaid, "connection refused: {why}");
        }
    }
}

impl Directory {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The caller behind that socket was told this.
    fn answered(&self, own: u32, answer: Bytes, taken_in: bool) {
        let known = &mut *self.lock();
        let caller = known.connections.get(&own).map(|entry| entry.caller);
        if let Some(asked) = caller.and_then(|caller| known.calls.get_mut(&caller)) {
            asked.answer = Some(answer);
            asked.until = (!taken_in).then(|| Instant::now() + REMEMBERED);
        }
    }

    /// The connection is over.
    fn remove(&self, own: u32) {
        let known = &mut *self.lock();
        let Some(entry) = known.connections.remove(&own) else {
            return;
        };
        let full = known.calls.len() > known.connections.len() + MOST_REMEMBERED;
        let forgotten = |asked: &Asked| asked.own == own && (asked.until.is_none() || full);
        if known.calls.get(&entry.caller).is_some_and(forgotten) {
            known.calls.remove(&entry.caller);
        }
    }
}

impl Known {
    /// A number that no connection has and no stranger guesses.
    fn free_socket(&self) -> Option<u32> {
        for _ in 0..64 {
            let own = getrandom::u32().ok()? & MOST_SOCKET;
            if own != 0 && !self.connections.contains_key(&own) {
                return Some(own);
            }
        }
        None
    }
}

/// Sockets have 30 bits with libsrt.
const MOST_SOCKET: u32 = 0x3FFF_FFFF;

/// Refusals that are remembered beside the connections there are.
const MOST_REMEMBERED: usize = 8_192;

/// The task of one caller.
struct Caller {
    own: u32,
    inbox: Arc<Inbox>,
    udp: Arc<Udp>,
    admission: Admission,
    derivations: Arc<Semaphore>,
    leave: Leave,
    config: Arc<Config>,
    cx: IngestContext,
}

/// Takes the connection out of the directory when its task is over, however it ends.
struct Leave(Directory, u32);

impl Drop for Leave {
    fn drop(&mut self) {
        self.0.remove(self.1);
    }
}

impl Caller {
    async fn serve(self, call: Box<Call>) {
        let peer = call.peer;
        match decide(call, &self.config, &self.derivations, &self.cx).await {
            Ok(granted) => {
                let Granted {
                    publisher,
                    keys,
                    latency,
                    call,
                } = granted;
                let now = Instant::now();
                let (answer, terms) = call.accept(SocketId(self.own), keys, latency, now);
                // First it is known what was answered, then it is: who asks again at
                // once is told the same.
                self.leave.0.answered(self.own, answer.clone(), true);
                self.udp.send(&answer, peer);
                let parts = Parts {
                    terms,
                    limits: self.config.limits(),
                    publisher,
                    inbox: Arc::clone(&self.inbox),
                    udp: Arc::clone(&self.udp),
                    admission: self.admission.clone(),
                    cx: self.cx.clone(),
                };
                conn::run(parts).await;
            }
            Err(Refused { call, reason, why }) => {
                if let Some(call) = call {
                    let answer = call.reject(reason);
                    self.leave.0.answered(self.own, answer.clone(), false);
                    self.udp.send(&answer, peer);
                }
                let told = self.admission.tell(peer.ip(), REFUSED, Instant::now());
                if let Some(unsaid) = told {
                    let unsaid = (unsaid > 0).then_some(unsaid);
                    let code = reason.code();
                    tracing::warn!(code, unsaid, "publish refused: {why}");
                }
            }
        }
    }
}
