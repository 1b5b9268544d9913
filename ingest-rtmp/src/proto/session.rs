//! One connection of a publisher, from its first byte to its last: [`Session`].
//!
//! The handshake, chunk and command layers below it know nothing of each other;
//! here they meet. `session/commands.rs` answers the commands,
//! `session/event.rs` holds what a session says. The driver that
//! owns socket and clock is `conn.rs`.

mod commands;
mod event;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rillcast_media::flv::amf0;

pub use event::{
    Event, Farewell, Ignored, Media, MediaKind, PublishRequest, Refused, Rejection, SessionError,
};

use super::aggregate::Aggregate;
use super::chunk::{Message, Reader, ReaderLimits, Writer};
use super::command::{Command, Status};
use super::handshake::Handshake;
use super::message::{
    COMMAND_CHUNK_STREAM, CONTROL_CHUNK_STREAM, Control, STATUS_CHUNK_STREAM, kind,
};

/// The bounds and habits of a [`Session`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionLimits {
    /// What the chunk layer may hold.
    pub reader: ReaderLimits,
    /// From the connection to its publish, and from the end of a publish to the
    /// next one.
    pub handshake_timeout: Duration,
    /// From one byte of a publisher to the next.
    pub idle_timeout: Duration,
    /// Answers that may wait for a peer that does not read them, in bytes.
    pub max_write_buffer: usize,
    /// Messages of no use that may come in a minute.
    pub max_useless_messages: u64,
    /// What a command or script data may hold.
    pub amf: amf0::Limits,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            reader: ReaderLimits::default(),
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            max_write_buffer: 64 << 10,
            max_useless_messages: 10_000,
            amf: amf0::Limits::default(),
        }
    }
}

/// The server's side of one connection, without socket and without clock.
///
/// In this order, whenever bytes have arrived:
/// 1. [`handle_input`](Self::handle_input) with all of them, again and again
///    until it gives no event more. A [`Event::Publish`] is answered by
///    [`accept`](Self::accept) or [`reject`](Self::reject) before the next call.
/// 2. [`poll_transmit`](Self::poll_transmit) until it gives nothing more: bytes
///    for the peer.
/// 3. [`poll_timeout`](Self::poll_timeout): when to call
///    [`handle_timeout`](Self::handle_timeout) if nothing happens before.
///
/// [`close`](Self::close) ends a publish from the server's side; what it has to
/// say is then in `poll_transmit`. After an error only `poll_transmit` is of use.
#[derive(Debug)]
pub struct Session {
    limits: SessionLimits,
    phase: Phase,
    reader: Reader,
    writer: Writer,
    out: BytesMut,
    /// The rest of an aggregate message.
    aggregate: Option<Aggregate>,
    client: Client,
    publish: Publish,
    /// Of the chunk layer, and how many of them were acknowledged.
    received: u64,
    acknowledged: u64,
    /// After how many bytes the peer wants an acknowledgement.
    peer_window: u32,
    next_stream: u32,
    /// When the peer must have published, or sent something, at the latest.
    deadline: Instant,
    ignored: Ignored,
    /// When that was last looked at, and what it came to then.
    useless: (Instant, u64),
}

#[derive(Debug)]
enum Phase {
    Handshake(Handshake),
    /// Chunks are read, no `connect` has come.
    Opened,
    Connected,
    /// The server has said its last word.
    Closed,
}

/// What `connect` told.
#[derive(Debug, Default)]
struct Client {
    app: String,
    tc_url: String,
    agent: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Publish {
    None,
    Asked { stream: u32 },
    Live { stream: u32 },
}

/// The time for which `rtmp.max_useless_messages` holds.
const USELESS_PERIOD: Duration = Duration::from_secs(60);

/// The window that we ask the peer to acknowledge in, and that we acknowledge
/// in until it says otherwise, in bytes: what every server says.
const WINDOW: u32 = 2_500_000;

/// The chunk size of our answers: each fits into one.
const CHUNK_SIZE: u32 = 4_096;

/// Smaller windows would have us send an acknowledgement for every few bytes.
const SMALLEST_WINDOW: u32 = 8 << 10;

impl Session {
    /// A session that begins `now`.
    #[must_use]
    pub fn new(limits: SessionLimits, now: Instant) -> Self {
        Self {
            phase: Phase::Handshake(Handshake::new()),
            reader: Reader::new(limits.reader.clone()),
            writer: Writer::new(),
            out: BytesMut::new(),
            aggregate: None,
            client: Client::default(),
            publish: Publish::None,
            received: 0,
            acknowledged: 0,
            peer_window: WINDOW,
            next_stream: 1,
            deadline: now + limits.handshake_timeout,
            ignored: Ignored::default(),
            useless: (now, 0),
            limits,
        }
    }

    /// Takes bytes from the front of `input` until there is an event. `None`
    /// means that all were taken, or that an [`Event::Publish`] waits for its
    /// answer.
    ///
    /// # Errors
    /// [`SessionError`]; the connection is to be closed.
    pub fn handle_input(
        &mut self,
        input: &mut &[u8],
        now: Instant,
    ) -> Result<Option<Event>, SessionError> {
        if matches!(self.publish, Publish::Live { .. }) {
            self.deadline = now + self.limits.idle_timeout;
        }
        // A driver that always has something to read may never come to its timer.
        self.handle_timeout(now)?;
        loop {
            // Before each message, whether the one before gave an event or not.
            if self.out.len() > self.limits.max_write_buffer {
                return Err(SessionError::NotReading(self.out.len()));
            }
            self.bound_useless(now)?;
            if matches!(self.publish, Publish::Asked { .. }) {
                return Ok(None);
            }
            let message = match (&mut self.phase, &mut self.aggregate) {
                (Phase::Closed, _) => {
                    *input = Default::default();
                    return Ok(None);
                }
                (Phase::Handshake(handshake), _) => {
                    if !handshake.handle_input(input, &mut self.out)? {
                        return Ok(None);
                    }
                    self.phase = Phase::Opened;
                    continue;
                }
                (_, Some(aggregate)) => match aggregate.next() {
                    Some(message) if is_media(message.kind) => Some(message),
                    // Nobody sends control or commands so.
                    Some(_) => {
                        self.ignored.messages += 1;
                        None
                    }
                    None => {
                        self.aggregate = None;
                        None
                    }
                },
                _ => {
                    let before = input.len();
                    let message = self.reader.read(input);
                    let taken = before - input.len();
                    self.received += u64::try_from(taken).unwrap_or_default();
                    self.acknowledge();
                    match message? {
                        None => return Ok(None),
                        message => message,
                    }
                }
            };
            if let Some(message) = message
                && let Some(event) = self.handle_message(message, now)?
            {
                return Ok(Some(event));
            }
        }
    }

    /// Bytes for the peer; `None` if there are none. They count against
    /// `max_write_buffer` until they are taken: take them only when those
    /// taken before are written.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        (!self.out.is_empty()).then(|| self.out.split().freeze())
    }

    /// When to call [`handle_timeout`](Self::handle_timeout). Bytes move it
    /// later; the end of a publish may move it nearer.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        self.deadline
    }

    /// Looks whether the peer has let its time go by.
    ///
    /// # Errors
    /// [`SessionError::HandshakeTimeout`] or [`SessionError::IdleTimeout`] if so.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), SessionError> {
        match self.publish {
            _ if now < self.deadline => Ok(()),
            // The time that our own answer takes is not the peer's fault.
            Publish::Asked { .. } => Ok(()),
            Publish::None => Err(SessionError::HandshakeTimeout(
                self.limits.handshake_timeout,
            )),
            Publish::Live { .. } => Err(SessionError::IdleTimeout(self.limits.idle_timeout)),
        }
    }

    /// Accepts the publish that was asked for; its media follow as events.
    pub fn accept(&mut self, now: Instant) {
        let Publish::Asked { stream } = self.publish else {
            return;
        };
        self.publish = Publish::Live { stream };
        self.deadline = now + self.limits.idle_timeout;
        self.reader.allow_media(true);
        self.send_control(&Control::StreamBegin(stream));
        let started = Status::new("NetStream.Publish.Start", "the stream is taken in");
        self.send_status(stream, &started);
    }

    /// Rejects the publish that was asked for, with a sentence for its user.
    /// The connection is to be closed once that is written.
    pub fn reject(&mut self, rejection: Rejection, description: &str) {
        let Publish::Asked { stream } = self.publish else {
            return;
        };
        self.publish = Publish::None;
        let code = match rejection {
            Rejection::BadName => "NetStream.Publish.BadName",
            Rejection::Denied => "NetStream.Publish.Denied",
            Rejection::Failed => "NetStream.Publish.Failed",
        };
        self.send_status(stream, &Status::error(code, description));
        self.phase = Phase::Closed;
    }

    /// Tells the peer that and why the server ends its publish. The connection
    /// is to be closed once that is written; what still arrives is dropped.
    pub fn close(&mut self, farewell: &Farewell) {
        match self.publish {
            Publish::Live { stream } => {
                let why = farewell.to_string();
                self.end_publish(stream, &why);
                // FFmpeg and OBS show a description to their user only of an error.
                self.send_status(stream, &Status::error(farewell.code(), why));
            }
            // Its answer would come after the last word.
            Publish::Asked { .. } => self.publish = Publish::None,
            Publish::None => {}
        }
        self.phase = Phase::Closed;
    }

    /// Whether the server has said its last word: the connection is to be
    /// closed once that is written.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// Small messages cost much more than their bytes: ends a peer that sends
    /// hardly anything else.
    fn bound_useless(&mut self, now: Instant) -> Result<(), SessionError> {
        let all = self.ignored.messages + self.ignored.commands;
        let (since, before) = self.useless;
        if all - before <= self.limits.max_useless_messages {
            return Ok(());
        }
        if now.saturating_duration_since(since) < USELESS_PERIOD {
            return Err(SessionError::Useless(all - before));
        }
        self.useless = (now, all);
        Ok(())
    }

    /// How much of what came was of no use.
    #[must_use]
    pub fn ignored(&self) -> Ignored {
        self.ignored
    }

    /// What the peer says it is, for the log; empty before its `connect`.
    #[must_use]
    pub fn agent(&self) -> &str {
        &self.client.agent
    }

    /// What the session holds of unfinished messages and unsent answers.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn held_bytes(&self) -> usize {
        self.reader.held_bytes() + self.out.len()
    }

    fn handle_message(
        &mut self,
        message: Message,
        now: Instant,
    ) -> Result<Option<Event>, SessionError> {
        match message.kind {
            kind::AUDIO => return Ok(self.media(MediaKind::Audio, message)),
            kind::VIDEO => return Ok(self.media(MediaKind::Video, message)),
            kind::DATA_AMF0 | kind::DATA_AMF3 => return Ok(self.script(message)),
            kind::COMMAND_AMF0 | kind::COMMAND_AMF3 => {
                return match Command::read_within(message.kind, &message.body, self.limits.amf)? {
                    Some(command) => Ok(self.handle_command(&command, message.stream, now)),
                    None => {
                        self.ignored.messages += 1;
                        Ok(None)
                    }
                };
            }
            kind::AGGREGATE => {
                self.aggregate = Some(Aggregate::new(message));
                return Ok(None);
            }
            _ => {}
        }
        match Control::read(message.kind, &message.body) {
            Some(Control::SetChunkSize(size)) => self.reader.set_chunk_size(size)?,
            Some(Control::Abort(chunk_stream)) => self.reader.abort(chunk_stream),
            Some(Control::WindowAckSize(size)) => self.peer_window = size.max(SMALLEST_WINDOW),
            Some(Control::PingRequest(data)) => self.send_control(&Control::PingResponse(data)),
            Some(_) => {}
            None if message.kind == kind::USER_CONTROL => {}
            None => self.ignored.messages += 1,
        }
        Ok(None)
    }

    fn media(&mut self, kind: MediaKind, message: Message) -> Option<Event> {
        // A sender whose chunk stream begins without a full header names no
        // message stream at all: it reads as 0, which no media may have. Some
        // publish on 0 and go on with the stream that they created.
        let live = matches!(
            self.publish,
            Publish::Live { stream } if stream == message.stream || stream == 0 || message.stream == 0
        );
        if !live {
            self.ignored.messages += 1;
            return None;
        }
        // GStreamer sends empty messages between the real ones.
        (!message.body.is_empty()).then_some(Event::Media(Media {
            kind,
            timestamp: message.timestamp,
            body: message.body,
        }))
    }

    /// Takes the envelope off script data: the format byte of type 15, and
    /// `@setDataFrame`, which asks a server to keep what follows.
    fn script(&mut self, mut message: Message) -> Option<Event> {
        if message.kind == kind::DATA_AMF3 && message.body.first() == Some(&0) {
            message.body = message.body.slice(1..);
        }
        match amf0::decode(&message.body, self.limits.amf) {
            Ok((amf0::Value::String(name), length)) if name == "@setDataFrame" => {
                message.body = message.body.slice(length..);
            }
            Ok((amf0::Value::String(name), _)) if name != "@clearDataFrame" => {}
            _ => {
                self.ignored.messages += 1;
                return None;
            }
        }
        self.media(MediaKind::Script, message)
    }

    /// Sends an acknowledgement when half of the peer's window is full: peers
    /// that stop at a full window never see it full. One that has not read what
    /// was said before gets no more: librtmp's publishers never read, and the
    /// next acknowledgement covers this one.
    fn acknowledge(&mut self) {
        let unacknowledged = self.received - self.acknowledged;
        if unacknowledged >= u64::from(self.peer_window / 2) && self.out.is_empty() {
            self.acknowledged = self.received;
            let [_, _, _, _, low @ ..] = self.received.to_be_bytes();
            self.send_control(&Control::Acknowledgement(u32::from_be_bytes(low)));
        }
    }

    /// Ends the publish in force and says so.
    fn end_publish(&mut self, stream: u32, description: &str) {
        self.publish = Publish::None;
        self.reader.allow_media(false);
        let ended = Status::new("NetStream.Unpublish.Success", description);
        self.send_command(
            0,
            &Command::notice("onFCUnpublish", Some(ended.to_object())),
        );
        self.send_status(stream, &ended);
    }

    fn send_control(&mut self, control: &Control) {
        let (kind, body) = control.write();
        self.send(CONTROL_CHUNK_STREAM, kind, 0, body);
        if let Control::SetChunkSize(size) = control {
            self.writer.set_chunk_size(*size);
        }
    }

    fn send_command(&mut self, stream: u32, command: &Command) {
        let chunk_stream = if stream == 0 {
            COMMAND_CHUNK_STREAM
        } else {
            STATUS_CHUNK_STREAM
        };
        self.send(chunk_stream, kind::COMMAND_AMF0, stream, command.write());
    }

    fn send_status(&mut self, stream: u32, status: &Status) {
        self.send_command(
            stream,
            &Command::notice("onStatus", Some(status.to_object())),
        );
    }

    fn send(&mut self, chunk_stream: u32, kind: u8, stream: u32, body: Bytes) {
        let message = Message {
            chunk_stream,
            kind,
            stream,
            timestamp: 0,
            body,
        };
        self.writer.write(&message, &mut self.out);
    }
}

/// Whether messages of the type carry media.
const fn is_media(message_kind: u8) -> bool {
    matches!(
        message_kind,
        kind::AUDIO | kind::VIDEO | kind::DATA_AMF0 | kind::DATA_AMF3
    )
}
