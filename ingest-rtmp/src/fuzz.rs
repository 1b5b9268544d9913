//! The bodies of the fuzz targets: each takes bytes of any kind and must not
//! panic, whatever they are. They are compiled and run by the normal tests,
//! here over random bytes and over real captures that were tampered with.

use std::time::{Duration, Instant};

use bytes::BytesMut;

use crate::proto::chunk::{Message, Reader, ReaderLimits, Writer};
use crate::proto::command::Command;
use crate::proto::handshake::Handshake;
use crate::proto::message::{Control, kind};
use crate::proto::target::Target;
use crate::proto::{Event, Farewell, Rejection, Session, SessionLimits};

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

/// A whole connection: raw bytes, cut in pieces, with the driver's calls in
/// between in an order that the bytes choose.
pub fn session(data: &[u8]) {
    let mut now = Instant::now();
    let mut session = Session::new(limits(), now);
    for piece in pieces(data) {
        let mut input = piece;
        let choice = piece.first().copied().unwrap_or_default();
        loop {
            match session.handle_input(&mut input, now) {
                Ok(Some(Event::Publish(_))) if choice % 8 == 0 => {
                    session.reject(Rejection::Denied, "no");
                }
                Ok(Some(Event::Publish(_))) => session.accept(now),
                Ok(Some(Event::Media(media))) => assert!(!media.body.is_empty()),
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return,
            }
            check(&session);
        }
        check(&session);
        if choice % 4 != 0 {
            while session.poll_transmit().is_some() {}
        }
        now += Duration::from_millis(u64::from(choice));
        if session.handle_timeout(now).is_err() {
            return;
        }
        if choice == 0xFF {
            session.close(&Farewell::Kicked);
        }
    }
}

/// A session that has shaken hands and connected, so that short inputs reach
/// what lies behind.
pub fn connected_session(data: &[u8]) {
    let mut wire = BytesMut::new();
    wire.extend_from_slice(&[3]);
    wire.resize(Handshake::CLIENT_BYTES, 0);
    let connect = |app: &str| {
        let object = rillcast_media::flv::amf0::Object::new().with("app", app);
        Command {
            name: "connect".to_owned(),
            transaction: 1.0,
            arguments: vec![object.into()],
        }
    };
    let publish = Command {
        name: "publish".to_owned(),
        transaction: 2.0,
        arguments: vec![rillcast_media::flv::amf0::Value::Null, "cam".into()],
    };
    for (stream, command) in [(0, connect("live")), (1, publish)] {
        let message = Message {
            chunk_stream: 3,
            kind: kind::COMMAND_AMF0,
            stream,
            timestamp: 0,
            body: command.write(),
        };
        Writer::new().write(&message, &mut wire);
    }
    wire.extend_from_slice(data);
    session(&wire);
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

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use proptest::prelude::*;

    use super::*;

    /// The captures, each cut down: mutations of the commands are what counts.
    fn captures() -> &'static [Vec<u8>] {
        static CAPTURES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
        CAPTURES.get_or_init(|| {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/captures");
            let files = std::fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().path());
            let captures = files.filter(|path| path.extension().is_some_and(|end| end == "rtmp"));
            captures
                .map(|path| {
                    let mut bytes = std::fs::read(path).unwrap();
                    bytes.truncate(12_000);
                    bytes
                })
                .collect()
        })
    }

    /// A capture with some of its bytes replaced, taken out or put in twice.
    fn tampered() -> impl Strategy<Value = Vec<u8>> {
        let change = (any::<prop::sample::Index>(), 0..4_u8, any::<u8>());
        // Most of the handshake is random anyway: begin where it ends.
        let changes = prop::collection::vec(change, 1..12);
        (0..captures().len(), changes).prop_map(|(which, changes)| {
            let mut bytes = captures()[which].clone();
            for (at, what, value) in changes {
                let at = at.index(bytes.len() - Handshake::CLIENT_BYTES) + Handshake::CLIENT_BYTES;
                match what {
                    0 => bytes[at] = value,
                    1 => bytes[at] ^= 1 << (value % 8),
                    2 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, value),
                }
            }
            bytes
        })
    }

    proptest! {
        #[test]
        fn random_bytes_are_survived(data in prop::collection::vec(any::<u8>(), 0..5_000)) {
            handshake(&data);
            chunks(&data);
            command(&data);
            session(&data);
            connected_session(&data);
        }

        #[test]
        fn tampered_captures_are_survived(data in tampered()) {
            session(&data);
            chunks(&data[Handshake::CLIENT_BYTES..]);
        }

        #[test]
        fn odd_addresses_are_survived(text in "[a-z/?&=%:\\n.\\\\ é]{0,40}") {
            command(text.as_bytes());
        }
    }

    #[test]
    fn commands_nested_and_repeated_are_survived() {
        for value in [
            &[3, 0, 1, b'a'][..],
            &[8, 0, 0, 0, 1, 0, 1, b'a'],
            &[10, 0, 0, 0, 1],
            &[16, 0, 0, 0, 1, b'a'],
            &[5],
            &[10, 0xFF, 0xFF, 0xFF, 0xFF],
        ] {
            let mut data = vec![2, 0, 1, b'x'];
            data.extend(value.repeat(100_000));
            command(&data);
        }
    }
}
