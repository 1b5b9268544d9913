//! The bodies on what is committed for them, on random bytes and on tampered
//! captures.

#[path = "../../../fuzz/replay.rs"]
mod replay;

use std::sync::OnceLock;

use proptest::prelude::*;

use super::*;

#[test]
fn corpora_and_findings_are_survived() {
    replay::replay(
        "rtmp",
        &[
            ("chunks", chunks),
            ("command", command),
            ("connected", connected),
            ("handshake", handshake),
            ("session", session),
        ],
    );
}

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

/// A script of a driver, a short one or none.
fn script() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..20)
}

proptest! {
    #[test]
    fn random_bytes_are_survived(data in prop::collection::vec(any::<u8>(), 0..5_000)) {
        handshake(&data);
        chunks(&data);
        command(&data);
        session(&data);
        connected(&data);
    }

    #[test]
    fn tampered_captures_are_survived(data in tampered(), script in script()) {
        run(&script, &data);
        chunks(&data[Handshake::CLIENT_BYTES..]);
    }

    #[test]
    fn odd_addresses_are_survived(text in "[a-z/?&=%:\\n.\\\\ é]{0,40}") {
        command(text.as_bytes());
    }
}

#[test]
fn captures_publish_under_any_driver_that_accepts() {
    for capture in captures() {
        let published = |event: &Event| matches!(event, Event::Publish(_));
        let refused = |event: &Event| matches!(event, Event::Refused(_));
        let events = events(&mut pieces(capture));
        assert!(
            events
                .iter()
                .any(|event| published(event) || refused(event))
        );
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
