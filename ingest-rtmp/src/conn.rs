//! One connection: reads, feeds the [`Session`], writes, and carries what it
//! says to the bus. All of the protocol is in [`proto`](crate::proto).

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use rillcast_core::{
    Admission, CloseReason, Credentials, Denied, IngestContext, Publish, PublishError,
    PublishRefused, Subject, Woken,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::{Sleep, sleep_until, timeout};
use tracing::Instrument;

use crate::config::Config;
use crate::proto::{Event, Farewell, PublishRequest, Refused, Rejection, Session, SessionError};
use crate::to_bus::{Counts, Stop, ToBus};

/// So many bytes are taken from a peer before the others of its thread have
/// their turn: of the smallest messages, which cost most, less than a
/// millisecond's work.
const TURN: usize = 16 << 10;

/// What a peer may still send meanwhile: more than both ends' socket buffers
/// hold, and less than a line brings in that time.
const MOST_UNHEARD: usize = 16 << 20;

/// How long a peer has to read the last words, after which it is cut off.
const LINGER: Duration = Duration::from_secs(1);

/// What the log says of an address: it asks for what it cannot have; it breaks a
/// rule of the protocol, or a bound; it sends media that is of no use.
const REFUSED: Subject = Subject::offence("refused");
const BROKEN: Subject = Subject::offence("broken");
const UNUSABLE: Subject = Subject::offence("unusable");

/// It publishes. So many of these are told a minute: all those of an honest
/// machine that restarts, and few of one that does nothing else.
const PUBLISHES: Subject = Subject::new("publishes", 60);

/// Serves a connection to its end.
pub(crate) async fn run(
    socket: TcpStream,
    peer: SocketAddr,
    config: Arc<Config>,
    admission: Admission,
    cx: IngestContext,
) {
    let span = tracing::info_span!("connection", protocol = cx.name(), %peer, stream = tracing::field::Empty);
    let connection = Connection {
        session: Session::new(config.session_limits(), Instant::now()),
        config,
        pending: Bytes::new(),
        live: None,
        socket,
        peer,
        admission,
        cx,
    };
    connection.run().instrument(span).await;
}

struct Connection {
    socket: TcpStream,
    peer: SocketAddr,
    session: Session,
    /// Taken from the session and not written yet.
    pending: Bytes,
    live: Option<Live>,
    config: Arc<Config>,
    admission: Admission,
    cx: IngestContext,
}

/// A publish in force.
struct Live {
    to_bus: ToBus,
    closed: Woken<dyn Future<Output = CloseReason> + Send>,
    /// Whether its beginning was told in the log: then its end is, too.
    told: bool,
}

/// Why a connection ends.
#[derive(Debug)]
enum End {
    /// The peer closed it, or the network did.
    Gone(Option<io::Error>),
    /// The peer broke a rule or a bound.
    Offence(SessionError),
    /// The publish was ended from this side.
    Farewell(Farewell),
    /// The session has said all that there is to say.
    Said,
}

/// What a connection waits for.
enum Wake {
    Shutdown,
    Closed(CloseReason),
    Written(io::Result<usize>),
    Read(io::Result<usize>),
    Timer,
}

impl Connection {
    async fn run(mut self) {
        let end = match self.serve().await {
            Err(end) => end,
            Ok(never) => match never {},
        };
        let why = self.describe(&end);
        let live = self.live.is_some();
        self.end_publish(&why);
        match end {
            End::Gone(_) => tracing::debug!("connection ended: {why}"),
            End::Offence(error) => {
                self.complain(BROKEN, format_args!("connection ended: {why}"));
                let farewell = match error {
                    SessionError::IdleTimeout(_) => Farewell::Idle,
                    _ => Farewell::Unusable(why),
                };
                // A stranger learns nothing; whoever publishes learns the mend.
                if live {
                    self.session.close(&farewell);
                    self.say_goodbye().await;
                }
            }
            End::Farewell(farewell) => {
                self.session.close(&farewell);
                self.say_goodbye().await;
            }
            End::Said => self.say_goodbye().await,
        }
        let ignored = self.session.ignored();
        if ignored != Default::default() {
            tracing::debug!(
                ignored.messages,
                ignored.commands,
                "not everything was understood"
            );
        }
    }

    async fn serve(&mut self) -> Result<std::convert::Infallible, End> {
        let read_buffer = self.config.read_buffer.as_usize();
        let shutdown = self.cx.shutdown();
        let mut stop = pin!(Woken::new(Box::pin(shutdown.requested())));
        let mut timer = pin!(sleep_until(self.session.poll_timeout().into()));
        let mut buffer = vec![0; read_buffer / 16];
        let mut turn = 0;
        loop {
            if self.pending.is_empty() {
                self.pending = self.session.poll_transmit().unwrap_or_default();
            }
            if turn >= TURN {
                turn = 0;
                yield_now().await;
                // Where there is always something to read, nothing else is heard.
                match heard(&mut self.live, stop.as_mut(), timer.as_mut()).await {
                    Some(Wake::Shutdown) => return Err(End::Farewell(Farewell::Shutdown)),
                    Some(Wake::Closed(reason)) => return Err(End::Farewell(farewell(reason))),
                    Some(_) => self.session.handle_timeout(Instant::now())?,
                    None => {}
                }
            }
            let (mut reader, mut writer) = self.socket.split();
            let wake = tokio::select! {
                // What comes most often comes first; the rest has its turn above.
                biased;
                written = writer.write(&self.pending), if !self.pending.is_empty() => {
                    Wake::Written(written)
                }
                read = reader.read(&mut buffer) => Wake::Read(read),
                reason = closed(&mut self.live) => Wake::Closed(reason),
                () = &mut stop => Wake::Shutdown,
                () = &mut timer => Wake::Timer,
            };
            match wake {
                Wake::Shutdown => return Err(End::Farewell(Farewell::Shutdown)),
                Wake::Closed(reason) => return Err(End::Farewell(farewell(reason))),
                Wake::Written(Ok(count)) => self.pending.advance(count),
                Wake::Read(Ok(0)) => return Err(End::Gone(None)),
                Wake::Read(Ok(count)) => {
                    let input = buffer.get(..count).unwrap_or_default();
                    turn += count;
                    self.take(input, Instant::now()).await?;
                    // A publisher of many bits is read in larger pieces.
                    if count == buffer.len() && count < read_buffer {
                        buffer.resize((count * 2).min(read_buffer), 0);
                    }
                }
                Wake::Timer => self.session.handle_timeout(Instant::now())?,
                Wake::Written(Err(error)) | Wake::Read(Err(error)) => {
                    return Err(End::Gone(Some(error)));
                }
            }
            // The timer is set anew when it is too late, or has run out: not
            // for every read.
            let deadline = self.session.poll_timeout().into();
            if deadline < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(deadline);
            }
        }
    }

    /// Feeds the session and acts on its events.
    async fn take(&mut self, mut input: &[u8], now: Instant) -> Result<(), End> {
        while let Some(event) = self.session.handle_input(&mut input, now)? {
            match event {
                Event::Media(media) => {
                    if let Some(live) = &mut self.live {
                        live.to_bus.push(media, now)?;
                        let complaints: Vec<_> =
                            std::iter::from_fn(|| live.to_bus.complaint()).collect();
                        for complaint in complaints {
                            self.complain(UNUSABLE, format_args!("{complaint}"));
                        }
                    }
                }
                Event::Publish(request) => self.publish(request).await,
                Event::Unpublished => self.end_publish("the publisher ended it"),
                Event::Refused(Refused::Publish(error)) => self.refused(&error.to_string()),
                Event::Refused(Refused::Play) => self.complain(
                    REFUSED,
                    format_args!("play refused: streams are not given out over RTMP"),
                ),
            }
        }
        if self.session.is_closed() {
            Err(End::Said)
        } else {
            Ok(())
        }
    }

    async fn publish(&mut self, request: PublishRequest) {
        let PublishRequest {
            key,
            parameters,
            agent,
        } = request;
        tracing::Span::current().record("stream", key.as_str());
        let parameter = |name| parameters.get(name).map(ToOwned::to_owned);
        let password = parameter("pass").or_else(|| parameter("password"));
        let credentials = Credentials::none()
            .with_token(parameter("token"))
            .with_user(parameter("user"), password);
        let publish = Publish::new(key)
            .from_peer(self.peer)
            .with_credentials(credentials);
        let shutdown = self.cx.shutdown();
        let answer = tokio::select! {
            () = shutdown.requested() => Err(PublishError::ShuttingDown.into()),
            answer = timeout(self.config.handshake_timeout.0, self.cx.publish(publish)) => {
                // Whoever is asked for permission does not answer.
                answer.unwrap_or_else(|_| Err(Denied::new("permission was not given in time").into()))
            }
        };
        match answer {
            Ok(publisher) => {
                let now = Instant::now();
                let to_bus = ToBus::new(publisher, &agent, self.config.amf_limits(), now);
                let agent = (!agent.is_empty()).then_some(agent.as_str());
                let told = self.admission.tell(self.peer.ip(), PUBLISHES, now);
                if let Some(unsaid) = told {
                    let unsaid = (unsaid > 0).then_some(unsaid);
                    tracing::info!(agent, unsaid, "publishing");
                }
                self.live = Some(Live {
                    closed: Woken::new(Box::pin(to_bus.closed())),
                    to_bus,
                    told: told.is_some(),
                });
                self.session.accept(now);
            }
            Err(error) => {
                let rejection = match &error {
                    PublishRefused::Denied(_) => Rejection::Denied,
                    PublishRefused::Registry(PublishError::Busy(_)) => Rejection::BadName,
                    _ => Rejection::Failed,
                };
                let why = error.to_string();
                self.session.reject(rejection, &why);
                self.refused(&why);
            }
        }
    }

    fn refused(&self, why: &str) {
        self.complain(REFUSED, format_args!("publish refused: {why}"));
    }

    /// One line per offender and period, with the count of those that went
    /// unsaid since the last one.
    fn complain(&self, subject: Subject, what: std::fmt::Arguments<'_>) {
        let told = self.admission.tell(self.peer.ip(), subject, Instant::now());
        if let Some(unsaid) = told {
            let unsaid = (unsaid > 0).then_some(unsaid);
            tracing::warn!(unsaid, "{what}");
        }
    }

    /// Lets the publish in force go: the stream waits for it to come back.
    fn end_publish(&mut self, why: &str) {
        if let Some(Live { to_bus, told, .. }) = self.live.take()
            && told
        {
            let Counts { bytes, dropped } = to_bus.counts();
            let seconds = to_bus.begun().elapsed().as_secs();
            tracing::info!(seconds, bytes, dropped, "publish ended: {why}");
        }
    }

    fn describe(&self, end: &End) -> String {
        match end {
            End::Gone(None) => "the publisher closed the connection".to_owned(),
            End::Gone(Some(error)) => format!("the connection was lost: {error}"),
            End::Offence(error) => match error.setting() {
                Some(setting) => format!("{error} ({setting})"),
                None => error.to_string(),
            },
            End::Farewell(farewell) => farewell.to_string(),
            End::Said => "refused".to_owned(),
        }
    }

    /// Writes what is left, closes, and waits for the peer to close as well: a
    /// socket that is closed with unread bytes in it takes the last words back.
    async fn say_goodbye(&mut self) {
        let goodbye = async {
            loop {
                self.socket.write_all_buf(&mut self.pending).await?;
                match self.session.poll_transmit() {
                    Some(bytes) => self.pending = bytes,
                    None => break,
                }
            }
            self.socket.shutdown().await?;
            let mut unread = vec![0; TURN];
            for _ in 0..MOST_UNHEARD / TURN {
                if self.socket.read(&mut unread).await? == 0 {
                    break;
                }
                yield_now().await;
            }
            Ok::<_, io::Error>(())
        };
        // Whether the peer has heard it is its own affair.
        let _ = timeout(LINGER, goodbye).await;
    }
}

impl From<SessionError> for End {
    fn from(error: SessionError) -> Self {
        Self::Offence(error)
    }
}

impl From<Stop> for End {
    fn from(stop: Stop) -> Self {
        Self::Farewell(match stop {
            Stop::Closed(reason) => farewell(reason),
            Stop::Unusable(why) => Farewell::Unusable(why),
        })
    }
}

/// What has happened beside the socket by now.
async fn heard(
    live: &mut Option<Live>,
    mut stop: Pin<&mut impl Future<Output = ()>>,
    mut timer: Pin<&mut Sleep>,
) -> Option<Wake> {
    poll_fn(|cx| {
        let closed = live
            .as_mut()
            .map(|live| Pin::new(&mut live.closed).poll(cx));
        Poll::Ready(match closed {
            Some(Poll::Ready(reason)) => Some(Wake::Closed(reason)),
            _ if stop.as_mut().poll(cx).is_ready() => Some(Wake::Shutdown),
            _ if timer.as_mut().poll(cx).is_ready() => Some(Wake::Timer),
            _ => None,
        })
    })
    .await
}

/// Waits for the end of the publish from outside; without one, for ever.
async fn closed(live: &mut Option<Live>) -> CloseReason {
    match live {
        Some(live) => Pin::new(&mut live.closed).await,
        None => std::future::pending().await,
    }
}

fn farewell(reason: CloseReason) -> Farewell {
    match reason {
        CloseReason::TakenOver => Farewell::TakenOver,
        CloseReason::Idle => Farewell::Idle,
        CloseReason::TooFast => Farewell::TooFast,
        CloseReason::Shutdown => Farewell::Shutdown,
        _ => Farewell::Kicked,
    }
}
