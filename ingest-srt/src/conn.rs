//! A connection that is open: its datagrams go through the state machine, and what
//! that delivers goes to the bus. All of the protocol is in [`proto`](crate::proto).

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rillcast_core::{
    Admission, CloseReason, IngestContext, Line, Link, LinkStats, Publisher, Subject, Woken,
};
use tokio::task::yield_now;
use tokio::time::{Instant as TokioInstant, sleep_until};

use crate::inbox::Inbox;
use crate::proto::connection::{Connection, Ended, Limits, Stats};
use crate::proto::terms::Terms;
use crate::socket::Udp;
use crate::to_bus::ToBus;

/// After it has worked, a connection waits so long for more to work on: what comes
/// meanwhile is done at once. A fifth of the CPU, for a delay that latency hides.
const PAUSE: Duration = Duration::from_millis(4);

/// Datagrams and payloads that are handled before the other connections of the thread
/// have their turn: less than a millisecond of work. Whoever floods has thousands wait.
const TURN: u32 = 64;

/// How often the figures of a connection are shown anew.
const SHOWN_EVERY: Duration = Duration::from_secs(1);

/// What the log says of an address: it sends media that is of no use; more than is
/// carried; it publishes, which is told as often as an honest machine restarts.
const UNUSABLE: Subject = Subject::offence("unusable");
const OVERFLOW: Subject = Subject::offence("overflow");
const PUBLISHES: Subject = Subject::new("publishes", 60);

/// What a connection is made of.
pub(crate) struct Parts {
    pub(crate) terms: Terms,
    pub(crate) limits: Limits,
    pub(crate) publisher: Publisher,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) udp: Arc<Udp>,
    pub(crate) admission: Admission,
    pub(crate) cx: IngestContext,
}

/// An open connection.
struct Open {
    connection: Connection,
    to_bus: ToBus,
    inbox: Arc<Inbox>,
    udp: Arc<Udp>,
    peer: SocketAddr,
    admission: Admission,
    begun: Instant,
    /// Whether its beginning was told in the log: then its end is, too.
    told: bool,
    /// Where the figures are shown, and when that was done last.
    line: Line,
    shown: Instant,
    /// Datagrams that found the inbox full.
    unhandled: u64,
}

/// Why a connection is over.
enum End {
    Ended(Ended),
    Closed(CloseReason),
    Shutdown,
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ended(ended) => ended.fmt(f),
            Self::Closed(reason) => write!(f, "the stream was closed: {reason}"),
            Self::Shutdown => f.write_str("the server is shutting down"),
        }
    }
}

/// Serves a connection to its end.
pub(crate) async fn run(parts: Parts) {
    let now = Instant::now();
    let Parts {
        terms,
        limits,
        publisher,
        inbox,
        udp,
        admission,
        cx,
    } = parts;
    let peer = terms.peer_addr;
    let told = admission.tell(peer.ip(), PUBLISHES, now);
    if let Some(unsaid) = told {
        let unsaid = (unsaid > 0).then_some(unsaid);
        let (latency, encrypted) = (terms.latency.as_millis(), terms.keys.is_some());
        let version = terms.peer_version;
        tracing::info!(%version, latency, encrypted, unsaid, "publishing");
    }
    let line = publisher.handle().slot(Link::default).begin();
    let mut open = Open {
        connection: Connection::new(terms, limits, now),
        to_bus: ToBus::new(publisher),
        inbox,
        udp,
        peer,
        admission,
        begun: now,
        told: told.is_some(),
        line,
        shown: now,
        unhandled: 0,
    };
    open.show(now);
    let end = open.serve(&cx).await;
    open.finish(&end);
}

/// Ends a connection that there is no use for, and tells the peer.
pub(crate) fn hang_up(terms: Terms, udp: &Udp) {
    let now = Instant::now();
    let peer = terms.peer_addr;
    let mut connection = Connection::new(terms, Limits::default(), now);
    connection.close(now);
    transmit(&mut connection, udp, peer);
}

/// One more was handled: after so many the others on the thread have their turn.
async fn take_turn(handled: &mut u32) {
    *handled += 1;
    if *handled >= TURN {
        *handled = 0;
        yield_now().await;
    }
}

fn transmit(connection: &mut Connection, udp: &Udp, peer: SocketAddr) {
    let mut out = BytesMut::new();
    while connection.poll_transmit(&mut out) {
        udp.send(&out, peer);
    }
}

impl Open {
    async fn serve(&mut self, cx: &IngestContext) -> End {
        let shutdown = cx.shutdown();
        let mut stop = Woken::new(Box::pin(async move { shutdown.requested().await }));
        let mut closed = Woken::new(Box::pin(self.to_bus.closed()));
        let mut timer = Box::pin(sleep_until(TokioInstant::now()));
        let mut mail = Vec::new();
        loop {
            let now = match self.work(&mut mail).await {
                Ok(now) => now,
                Err(end) => return end,
            };
            let next = self.connection.poll_timeout().unwrap_or(now);
            let pause = now + PAUSE;
            // First the pause, in which nobody is listened to but who ends it all.
            for (until, listens) in [(pause, false), (next.max(pause), true)] {
                timer.as_mut().reset(until.into());
                let inbox = Arc::clone(&self.inbox);
                let mut rung = std::pin::pin!(inbox.rung());
                let end = poll_fn(|cx| {
                    if let Poll::Ready(reason) = std::pin::Pin::new(&mut closed).poll(cx) {
                        return Poll::Ready(Some(End::Closed(reason)));
                    }
                    if std::pin::Pin::new(&mut stop).poll(cx).is_ready() {
                        return Poll::Ready(Some(End::Shutdown));
                    }
                    if listens && rung.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(None);
                    }
                    timer.as_mut().poll(cx).map(|()| None)
                })
                .await;
                if let Some(end) = end {
                    return end;
                }
            }
        }
    }

    /// Does all that there is to do, as of the time that it returns. Others have their
    /// turns meanwhile.
    async fn work(&mut self, mail: &mut Vec<(BytesMut, Instant)>) -> Result<Instant, End> {
        let dropped = self.inbox.take(mail);
        if dropped > 0 {
            self.unhandled += dropped;
            self.complain(
                OVERFLOW,
                format_args!(
                    "{dropped} datagrams are dropped: they come faster than they can be handled"
                ),
            );
        }
        let mut turn = 0;
        for (datagram, at) in mail.drain(..) {
            self.connection.handle(datagram, at);
            take_turn(&mut turn).await;
        }
        let now = Instant::now();
        self.connection.handle_timeout(now);
        while let Some(payload) = self.connection.poll_payload(now) {
            take_turn(&mut turn).await;
            if let Err(closed) = self.to_bus.push(&payload) {
                return Err(End::Closed(closed.reason));
            }
            if let Some(complaint) = self.to_bus.complaint() {
                self.complain(UNUSABLE, format_args!("the stream: {complaint}"));
            }
        }
        self.transmit();
        if now.saturating_duration_since(self.shown) >= SHOWN_EVERY {
            self.show(now);
        }
        match self.connection.ended() {
            Some(ended) => Err(End::Ended(ended)),
            None => Ok(now),
        }
    }

    /// Shows the figures to those who ask for them.
    fn show(&mut self, now: Instant) {
        self.shown = now;
        let stats = self.connection.stats(now);
        let shown = LinkStats {
            rtt: stats.rtt,
            rtt_variance: stats.rtt_variance,
            latency: stats.latency,
            received: stats.received,
            received_bytes: stats.received_bytes,
            lost: stats.lost,
            retransmitted: stats.retransmitted,
            duplicates: stats.duplicates,
            belated: stats.belated,
            dropped: stats.dropped,
            overflowed: stats.overflowed + self.unhandled,
            undecrypted: stats.undecrypted,
            key_changes: stats.key_changes,
            buffered: stats.buffered,
            buffered_bytes: stats.buffered_bytes,
            buffered_time: stats.buffered_time,
        };
        self.line.report(shown, now);
    }

    fn transmit(&mut self) {
        transmit(&mut self.connection, &self.udp, self.peer);
    }

    /// Says goodbye, and to the log what it came to.
    fn finish(mut self, end: &End) {
        let now = Instant::now();
        if matches!(end, End::Ended(Ended::Shutdown)) {
            // What is refused now has no one to be told.
            let _ = self.to_bus.flush(now);
        }
        self.connection.close(now);
        self.transmit();
        self.inbox.close();
        if !self.told {
            return;
        }
        let seconds = self.begun.elapsed().as_secs();
        let Stats {
            received_bytes: bytes,
            lost,
            retransmitted,
            dropped,
            belated,
            undecrypted,
            ..
        } = self.connection.stats(now);
        let damaged = self.to_bus.counts().damaged_units;
        tracing::info!(
            seconds,
            bytes,
            lost,
            retransmitted,
            dropped,
            belated,
            undecrypted,
            damaged,
            "publish ended: {end}"
        );
    }

    /// One line per offender and period, with the count of those that went unsaid since
    /// the last one.
    fn complain(&self, subject: Subject, what: std::fmt::Arguments<'_>) {
        let told = self.admission.tell(self.peer.ip(), subject, Instant::now());
        if let Some(unsaid) = told {
            let unsaid = (unsaid > 0).then_some(unsaid);
            tracing::warn!(unsaid, "{what}");
        }
    }
}

#[cfg(test)]
mod tests;
