//! The bodies on what is committed for them, on random bytes and on tampered captures.

#[path = "../../../fuzz/replay.rs"]
mod replay;

use std::sync::OnceLock;

use proptest::prelude::*;

use super::*;

#[test]
fn corpora_and_findings_are_survived() {
    replay::replay(
        "srt",
        &[
            ("connection", connection),
            ("handshake", handshake),
            ("keys", keys),
            ("packet", packet),
            ("stream_id", stream_id),
        ],
    );
}

/// The datagrams of all captures.
fn captured() -> &'static [Vec<u8>] {
    static CAPTURED: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    CAPTURED.get_or_init(|| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/captures");
        let files = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let captures = files.filter(|path| path.extension().is_some_and(|end| end == "srt"));
        let mut all = Vec::new();
        for path in captures {
            let file = std::fs::read(path).unwrap();
            let mut rest = file.as_slice();
            while let Some(([_, high, low], tail)) = rest.split_first_chunk() {
                let (datagram, tail) =
                    tail.split_at(usize::from(u16::from_be_bytes([*high, *low])));
                all.push(datagram.to_vec());
                rest = tail;
            }
        }
        all
    })
}

/// A captured datagram with some of its bytes replaced, taken out or put in twice.
fn tampered() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), 0..4_u8, any::<u8>());
    let changes = prop::collection::vec(change, 0..8);
    (0..captured().len(), changes).prop_map(|(which, changes)| {
        let mut bytes = captured()[which].clone();
        for (at, what, value) in changes {
            let at = at.index(bytes.len());
            match what {
                0 => bytes[at] = value,
                1 => bytes[at] ^= 1 << (value % 8),
                2 if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, value),
            }
        }
        bytes
    })
}

proptest! {
    #[test]
    fn random_bytes_are_survived(data in prop::collection::vec(any::<u8>(), 0..1_600)) {
        packet(&data);
        handshake(&data);
        stream_id(&data);
    }

    #[test]
    fn random_scripts_are_survived(data in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut data = data;
        // Deriving keys takes its time without optimisation.
        if let Some(first) = data.first_mut() && *first & 12 != 0 {
            *first &= !3;
        }
        connection(&data);
    }

    #[test]
    fn tampered_captures_are_survived(data in tampered(), script in any::<u8>()) {
        packet(&data);
        let mut framed = vec![script];
        framed.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        framed.extend(&data);
        handshake(&framed);
    }

    #[test]
    fn odd_stream_ids_are_survived(text in "(#!::|%23!::|publish:)?[rmust=,:/%a-c2?&\\x00\\\\ é]{0,40}") {
        stream_id(text.as_bytes());
    }
}

proptest! {
    // Each derives keys, which takes its time without optimisation.
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn random_keys_are_survived(data in prop::collection::vec(any::<u8>(), 0..60)) {
        keys(&data);
    }
}
