//! The bodies of the fuzz targets: each takes bytes of any kind and must not
//! panic, whatever they are. `fuzz/` runs them for hours; the normal tests run
//! them on what is committed there, on random bytes and on real captures that
//! were tampered with.
//!
//! What they do not cover: sockets and the clock. `tests/publish.rs` does.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "what must hold and does not is a finding"
)]

mod drive;
#[cfg(test)]
mod tests;

use std::time::Instant;

use bytes::BytesMut;
use rillcast_media::flv::amf0::{Object, Value};

use crate::proto::chunk::{Message, Reader, ReaderLimits, Writer};
use crate::proto::command::Command;
use crate::proto::handshake::Handshake;
use crate::proto::message::{Control, kind};
use crate::proto::target::Target;
use crate::proto::{Event, Session, SessionLimits};
use drive::Drive;

/// The handshake, in pieces whose sizes the bytes choose.
pub fn handshake(data: &[u8]) {
    let mut handshake = Handshake::new();
    let mut out = BytesMut::new();
    for piece in pieces(data) {
        let mut input = piece;
        match handshake.handle_input(&mut input, &mut out) {
            Ok(false) => assert!(input.is_empty()),
            Ok(true) | Err(_) => break,
        }
    }
    assert!(handshake.received() <= Handshake::CLIENT_BYTES);
    assert!(out.len() <= Handshake::CLIENT_BYTES);
}

/// The chunk reader: however the bytes are cut, the messages are the same, and
/// what is held stays within its bounds.
pub fn chunks(data: &[u8]) {
    let read = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut reader = Reader::new(limits().reader);
        reader.allow_media(true);
        let mut messages: Vec<Message> = Vec::new();
        for mut piece in pieces {
            loop {
                match reader.read(&mut piece) {
                    Ok(Some(message)) => {
                        if let Some(Control::SetChunkSize(size)) =
                            Control::read(message.kind, &message.body)
                        {
                            let _ = reader.set_chunk_size(size);
                        }
                        if let Some(Control::Abort(stream)) =
                            Control::read(message.kind, &message.body)
                        {
                            reader.abort(stream);
                        }
                        messages.push(message);
                    }
                    Ok(None) => break,
                    Err(_) => return messages,
                }
                let held = reader.held_bytes();
                assert!(
                    held <= limits().reader.max_partial_bytes,
                    "{held} bytes are held"
                );
            }
        }
        messages
    };
    let whole = read(&mut std::iter::once(data));
    // How a buffer grows depends on what is at hand, and so does the point at
    // which the bound for unfinished messages is met.
    let cut = read(&mut pieces(data));
    let shorter = whole.len().min(cut.len());
    assert_eq!(whole.get(..shorter), cut.get(..shorter));
}

/// A command message, and what is made of its strings.
pub fn command(data: &[u8]) {
    for kind in [kind::COMMAND_AMF0, kind::COMMAND_AMF3] {
        if let Ok(Some(command)) = Command::read(kind, data) {
            let again = Command::read(kind::COMMAND_AMF0, &command.write());
            // NaN is not equal to itself; everything else comes back as it was.
            assert_eq!(
                format!("{again:?}"),
                format!("{:?}", Ok::<_, ()>(Some(&command)))
            );
        }
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let mut parts = text.splitn(3, '\n');
        let mut part = || parts.next().unwrap_or_default();
        let (app, url, name) = (part(), part(), part());
        if let Ok(target) = Target::new(app, url, name) {
            assert_eq!(target.key.as_str().matches('/').count(), 1);
        }
    }
}

/// A whole connection from its first byte, the driver's calls in an order that
/// the bytes choose: see [`drive`].
pub fn session(data: &[u8]) {
    let (script, wire) = drive::split(data);
    run(script, wire);
}

/// A session that has shaken hands, connected and asked to publish, so that
/// short inputs reach what lies behind.
pub fn connected(data: &[u8]) {
    let (script, wire) = drive::split(data);
    let mut whole = publishing();
    whole.extend_from_slice(wire);
    run(script, &whole);
}

/// Without a script, what the bytes mean must not depend on how they are cut.
fn run(script: &[u8], wire: &[u8]) {
    if script.is_empty() {
        let whole = events(&mut std::iter::once(wire));
        let cut = events(&mut pieces(wire));
        // As in `chunks`: how much is held depends on the cuts.
        let shorter = whole.len().min(cut.len());
        assert_eq!(whole.get(..shorter), cut.get(..shorter));
    } else {
        Drive::new(wire).run(script);
    }
}

/// What a session says to a driver that reads these pieces and accepts whatever
/// is asked.
fn events(pieces: &mut dyn Iterator<Item = &[u8]>) -> Vec<Event> {
    let now = Instant::now();
    let mut session = Session::new(limits(), now);
    let mut events = Vec::new();
    for mut input in pieces {
        loop {
            match session.handle_input(&mut input, now) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(_) => return events,
            }
            session.accept(now);
            while session.poll_transmit().is_some() {}
        }
        check(&session);
        while session.poll_transmit().is_some() {}
    }
    events
}

/// What a publisher sends up to its `publish`.
fn publishing() -> BytesMut {
    let mut wire = BytesMut::new();
    wire.extend_from_slice(&[3]);
    wire.resize(Handshake::CLIENT_BYTES, 0);
    let commands = [
        ("connect", Object::new().with("app", "live").into()),
        ("publish", Value::Null),
    ];
    for (stream, (name, first)) in (0..).zip(commands) {
        let command = Command {
            name: name.to_owned(),
            transaction: f64::from(stream + 1),
            arguments: vec![first, "cam".into()],
        };
        let message = Message {
            chunk_stream: 3,
            kind: kind::COMMAND_AMF0,
            stream,
            timestamp: 0,
            body: command.write(),
        };
        Writer::new().write(&message, &mut wire);
    }
    wire
}

fn check(session: &Session) {
    let limits = limits();
    let bound = limits.reader.max_partial_bytes + 2 * limits.max_write_buffer;
    assert!(
        session.held_bytes() <= bound,
        "{} bytes are held",
        session.held_bytes()
    );
}

/// Small bounds, so that short inputs meet them.
fn limits() -> SessionLimits {
    SessionLimits {
        reader: ReaderLimits {
            max_message_size: 64 << 10,
            max_command_size: 16 << 10,
            max_chunk_streams: 8,
            max_partial_messages: 4,
            max_partial_bytes: 96 << 10,
        },
        max_write_buffer: 16 << 10,
        ..SessionLimits::default()
    }
}

/// Cuts the bytes in pieces; each piece's first byte chooses its length.
fn pieces(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = data;
    std::iter::from_fn(move || {
        let first = usize::from(*rest.first()?);
        let length = match first % 5 {
            0 => 1,
            1 => 1 + first % 32,
            2 => 128,
            3 => 1_460,
            _ => 65_536,
        };
        let (piece, tail) = rest
            .split_at_checked(length)
            .unwrap_or((rest, Default::default()));
        rest = tail;
        Some(piece)
    })
}
