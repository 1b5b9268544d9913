//! Streams that are fetched from listeners elsewhere: caller mode.
//!
//! A pull calls, publishes what it gets, and calls again when that is over: at once the
//! first time, then after longer and longer, with some chance in it, so that a thousand
//! callers of a listener that has restarted do not come all at once.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rillcast_core::{Admission, IngestContext, Publish, PublishRefused, StreamKey};
use tokio::net::lookup_host;
use tokio::time::{sleep, sleep_until};
use tracing::Instrument;

use crate::config::{Config, FLOW_WINDOW, Pull, passphrase};
use crate::conn::{self, Parts};
use crate::inbox::Inbox;
use crate::proto::handshake::{Dial, DialConfig, DialError};
use crate::proto::packet::{Packet, SocketId};
use crate::proto::terms::Terms;
use crate::socket::{Batch, Udp};

/// The pause before the second call, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A connection that has lasted so long was a good one.
const GOOD: Duration = Duration::from_secs(30);

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the address cannot be resolved: {0}")]
    Resolve(std::io::Error),
    #[error("the name has no address")]
    Nowhere,
    #[error("no socket can be had: {0}")]
    Socket(std::io::Error),
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error(transparent)]
    Refused(#[from] PublishRefused),
    #[error("the settings are faulty: {0}")]
    Settings(String),
    #[error("the system has no random numbers")]
    Random,
}

/// Fetches the stream of that number in the list, until `cx` asks to stop.
pub(crate) async fn run(config: Arc<Config>, number: usize, cx: IngestContext) {
    let Some(pull) = config.pull.get(number) else {
        return;
    };
    let span = tracing::info_span!(
        "pull",
        protocol = cx.name(),
        from = pull.from,
        stream = pull.stream
    );
    let fetching = async {
        let mut pause = FIRST_PAUSE;
        let mut said: Option<String> = None;
        loop {
            let begun = Instant::now();
            match fetch(&config, pull, &cx).await {
                Ok(()) => said = None,
                Err(failure) => {
                    // One line for each change, not for each try.
                    let failure = failure.to_string();
                    if said.as_ref() != Some(&failure) {
                        tracing::warn!("the stream cannot be fetched, trying again: {failure}");
                        said = Some(failure);
                    }
                }
            }
            if begun.elapsed() >= GOOD {
                pause = FIRST_PAUSE;
            }
            sleep(with_chance(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    };
    let shutdown = cx.shutdown();
    tokio::select! {
        () = shutdown.requested() => {}
        () = fetching.instrument(span) => {}
    }
}

/// Between half of it and all of it.
fn with_chance(pause: Duration) -> Duration {
    let share = getrandom::u32().unwrap_or(u32::MAX) % 1_000;
    pause / 2 + pause * share / 2_000
}

/// Calls, and publishes what comes until it ends.
async fn fetch(config: &Config, pull: &Pull, cx: &IngestContext) -> Result<(), Failure> {
    let mut addresses = lookup_host(&pull.from).await.map_err(Failure::Resolve)?;
    let peer = addresses.next().ok_or(Failure::Nowhere)?;
    let udp = Udp::towards(peer, config.receive_buffer.as_usize()).map_err(Failure::Socket)?;
    let mut seed = [0; Dial::SEED_LEN];
    getrandom::fill(&mut seed).map_err(|_| Failure::Random)?;
    let own = getrandom::u32().map_err(|_| Failure::Random)? & 0x3FFF_FFFF | 1;
    let dial = DialConfig {
        stream_id: pull.streamid.clone(),
        passphrase: passphrase(&pull.passphrase).map_err(Failure::Settings)?,
        key_length: pull.key_length(),
        latency: pull.latency.unwrap_or(config.latency).0,
        flow_window: FLOW_WINDOW,
        ..DialConfig::default()
    };
    let dial = Dial::new(dial, SocketId(own), peer, &seed, Instant::now());
    let mut batch = Batch::new(&udp);
    let inbox = Arc::new(Inbox::new());
    let terms = shake_hands(dial, &udp, peer, &mut batch, &inbox).await?;
    let key =
        StreamKey::parse(&pull.stream).map_err(|error| Failure::Settings(error.to_string()))?;
    let publisher = match cx.publish_own(Publish::new(key).from_peer(peer)) {
        Ok(publisher) => publisher,
        Err(refused) => {
            conn::hang_up(terms, &udp);
            return Err(refused.into());
        }
    };
    let udp = Arc::new(udp);
    let parts = Parts {
        terms,
        limits: config.limits(),
        publisher,
        inbox: Arc::clone(&inbox),
        udp: Arc::clone(&udp),
        admission: Admission::new("srt", 1, 1),
        cx: cx.clone(),
    };
    let reading = async {
        loop {
            match udp.read(&mut batch).await {
                Ok(()) => sort(&batch, peer, own, &inbox),
                Err(error) => {
                    tracing::debug!(%error, "the socket reports an error");
                    sleep(Duration::from_millis(10)).await;
                }
            }
        }
    };
    tokio::select! {
        () = conn::run(parts) => {}
        () = reading => {}
    }
    Ok(())
}

/// Gives what is for us to the connection.
fn sort(batch: &Batch, peer: SocketAddr, own: u32, inbox: &Inbox) {
    let now = Instant::now();
    for (datagram, from) in batch.datagrams() {
        if from == peer && Packet::destination(datagram) == Some(SocketId(own)) {
            inbox.put(BytesMut::from(datagram), now);
        }
    }
}

/// Asks until there is an answer. Data that comes with it goes to `inbox`.
async fn shake_hands(
    mut dial: Dial,
    udp: &Udp,
    peer: SocketAddr,
    batch: &mut Batch,
    inbox: &Inbox,
) -> Result<Terms, Failure> {
    let mut out = BytesMut::new();
    loop {
        say(&mut dial, udp, peer, &mut out);
        tokio::select! {
            () = sleep_until(dial.poll_timeout().into()) => dial.handle_timeout(Instant::now())?,
            read = udp.read(batch) => {
                if read.is_err() {
                    // Nobody listens there (ICMP); somebody may soon.
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
                let now = Instant::now();
                let mut terms = None;
                for (datagram, from) in batch.datagrams() {
                    if from != peer {
                        continue;
                    }
                    if terms.is_some() {
                        inbox.put(BytesMut::from(datagram), now);
                    } else {
                        let answer = dial.handle(datagram, now);
                        if answer.is_err() {
                            // Goodbye, if there is somebody to be told.
                            say(&mut dial, udp, peer, &mut out);
                        }
                        terms = answer?;
                    }
                }
                if let Some(terms) = terms {
                    return Ok(terms);
                }
            }
        }
    }
}

/// Sends what the caller has to say.
fn say(dial: &mut Dial, udp: &Udp, peer: SocketAddr, out: &mut BytesMut) {
    out.clear();
    while dial.poll_transmit(Instant::now(), out) {
        udp.send(out, peer);
        out.clear();
    }
}

impl fmt::Display for Pull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {}", self.stream, self.from)
    }
}
