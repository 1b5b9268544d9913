//! What real callers sent, answered by a gate of our own. `captures/README.md` says how
//! each was made.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rillcast_ingest_srt::proto::handshake::{
    Answer, Call, Gate, GateConfig, Ignored, Refused, RejectReason,
};
use rillcast_ingest_srt::proto::keys::{KeyLength, Passphrase};
use rillcast_ingest_srt::proto::packet::{Kind, Packet, SocketId, user};
use rillcast_ingest_srt::proto::terms::{Terms, Version};

/// One datagram of a capture.
struct Datagram {
    from_caller: bool,
    bytes: Vec<u8>,
}

fn capture(name: &str) -> Vec<Datagram> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let file = std::fs::read(path.join(name)).unwrap();
    let mut rest = file.as_slice();
    let mut datagrams = Vec::new();
    while let Some(([direction, high, low], tail)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (bytes, tail) = tail.split_at(length);
        datagrams.push(Datagram {
            from_caller: *direction == 0,
            bytes: bytes.to_vec(),
        });
        rest = tail;
    }
    assert!(datagrams.len() >= 4, "{name}");
    datagrams
}

/// The handshakes of one side.
fn handshakes(capture: &[Datagram], from_caller: bool) -> Vec<&[u8]> {
    let of_side = capture
        .iter()
        .filter(|datagram| datagram.from_caller == from_caller);
    let bytes = of_side.map(|datagram| datagram.bytes.as_slice());
    let is = |bytes: &&[u8]| {
        matches!(Packet::parse(bytes), Ok(Packet::Control(control))
            if matches!(control.kind, Kind::Handshake(_)))
    };
    bytes.filter(is).collect()
}

fn peer() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 50_000).into()
}

/// The cookie in a handshake; the caller of a capture has another listener's.
const COOKIE: std::ops::Range<usize> = 44..48;

/// What a gate makes of the caller's two handshakes.
fn answer(capture: &[Datagram]) -> Answer {
    let now = Instant::now();
    let gate = Gate::new(GateConfig::default(), &[3; Gate::SECRET_LEN], now);
    let asked = handshakes(capture, true);
    let Answer::Reply(reply) = gate.handle(asked[0], peer(), now) else {
        panic!("no cookie");
    };
    // What a listener of libsrt said to the same, but for the cookie and its clock.
    let same = |bytes: &[u8]| [&bytes[..8], &bytes[12..COOKIE.start], &bytes[48..]].concat();
    assert_eq!(same(&reply), same(handshakes(capture, false)[0]));

    let theirs = gate.handle(asked[1], peer(), now);
    assert!(matches!(theirs, Answer::Ignore(Ignored::BadCookie)));
    let mut conclusion = asked[1].to_vec();
    conclusion[COOKIE].copy_from_slice(&reply[COOKIE]);
    let elsewhere = gate.handle(&conclusion, (Ipv4Addr::LOCALHOST, 50_001).into(), now);
    assert!(matches!(elsewhere, Answer::Ignore(Ignored::BadCookie)));
    gate.handle(&conclusion, peer(), now + Duration::from_secs(3))
}

fn call(capture: &[Datagram]) -> Box<Call> {
    match answer(capture) {
        Answer::Call(call) => call,
        other => panic!("{other:?}"),
    }
}

fn refused(name: &str) -> Refused {
    match answer(&capture(name)) {
        Answer::Refuse(refused) => refused,
        other => panic!("{other:?}"),
    }
}

fn passphrase() -> Passphrase {
    Passphrase::new("0123456789abc").unwrap()
}

/// Opens the connection and compares the answer with what libsrt said, whose socket
/// and latency we take over.
fn accept(call: &Call, capture: &[Datagram], passphrase: Option<&Passphrase>) -> Terms {
    let libsrt = handshakes(capture, false)[1];
    let own = SocketId(u32::from_be_bytes(*libsrt[40..].first_chunk().unwrap()));
    let keys = call.unlock(passphrase).unwrap();
    let latency = u16::from_be_bytes([libsrt[76], libsrt[77]]);
    let latency = Duration::from_millis(latency.into());
    let (bytes, terms) = call.accept(own, keys, latency, Instant::now());
    // Our clock, our cookie and our version and flags differ.
    let same = |bytes: &[u8]| {
        [
            &bytes[..8],
            &bytes[12..COOKIE.start],
            &bytes[48..68],
            &bytes[76..],
        ]
        .concat()
    };
    assert_eq!(same(&bytes), same(libsrt));
    terms
}

/// Decrypts what the caller sent in session, and takes its new keys; returns how many
/// payloads were read with each key and how often keys came.
fn listen(mut terms: Terms, capture: &[Datagram]) -> ([u32; 3], u32) {
    let (mut read, mut renewed) = ([0; 3], 0);
    for datagram in capture {
        match Packet::parse(&datagram.bytes).unwrap() {
            Packet::Data(data) => {
                assert_eq!(data.destination, terms.own);
                assert!(terms.first_seq.distance(data.seq) >= 0);
                let mut payload = data.payload.to_vec();
                if let Some(keys) = &terms.keys {
                    keys.decrypt(data.key, data.seq, &mut payload).unwrap();
                }
                for packet in payload.chunks(188) {
                    assert_eq!((packet[0], packet.len()), (0x47, 188));
                }
                read[data.key as usize] += 1;
            }
            Packet::Control(control) => {
                if let Kind::User { subtype, body } = control.kind
                    && subtype == user::KEY_REQUEST
                {
                    let keys = terms.keys.as_mut().unwrap();
                    assert_eq!(keys.refresh(body, Instant::now()), body);
                    renewed += 1;
                }
            }
        }
    }
    (read, renewed)
}

#[test]
fn ffmpeg_connects_and_names_a_stream() {
    let capture = capture("ffmpeg-5.1.srt");
    let call = call(&capture);
    assert_eq!(call.stream_id.as_ref().unwrap().key.as_str(), "live/cam");
    assert_eq!(call.version, Version::new(1, 5, 1));
    assert_eq!(call.latency, Duration::ZERO);
    assert_eq!(call.peer_latency, Duration::from_millis(120));
    assert_eq!(
        call.unlock(Some(&passphrase())).err(),
        Some(RejectReason::Unsecure)
    );
    let terms = accept(&call, &capture, None);
    assert_eq!(terms.mtu, 1_500);
    assert_eq!(terms.flow_window, 8_192);
    assert_eq!(listen(terms, &capture), ([3, 0, 0], 0));
}

#[test]
fn ffmpeg_encrypts_with_256_bits() {
    let capture = capture("ffmpeg-5.1-aes256.srt");
    let call = call(&capture);
    let request = call.stream_id.as_ref().unwrap();
    assert_eq!(request.key.as_str(), "live/cam");
    assert_eq!(request.user.as_deref(), Some("me"));
    assert_eq!(request.secret.as_deref(), Some("secret"));
    assert_eq!(call.latency, Duration::from_millis(300));
    let length = call.encryption.as_ref().map(|request| request.length());
    assert_eq!(length, Some(KeyLength::Aes256));
    assert_eq!(call.unlock(None).err(), Some(RejectReason::Unsecure));
    let other = Passphrase::new("0123456789abd").unwrap();
    assert_eq!(
        call.unlock(Some(&other)).err(),
        Some(RejectReason::BadSecret)
    );
    let terms = accept(&call, &capture, Some(&passphrase()));
    assert_eq!(terms.latency, Duration::from_millis(300));
    assert_eq!(listen(terms, &capture), ([0, 3, 0], 0));
}

#[test]
fn gstreamer_encrypts_with_128_bits() {
    let capture = capture("gst-srtsink-1.22-aes128.srt");
    let call = call(&capture);
    let request = call.stream_id.as_ref().unwrap();
    assert_eq!(request.key.as_str(), "live/cam");
    assert_eq!(request.user.as_deref(), Some("me"));
    assert_eq!(call.latency, Duration::from_millis(125));
    let terms = accept(&call, &capture, Some(&passphrase()));
    assert_eq!(listen(terms, &capture), ([0, 3, 0], 0));
}

#[test]
fn a_current_ffmpeg_sends_what_the_one_of_debian_does() {
    let capture = capture("ffmpeg-9.0-aes128.srt");
    let call = call(&capture);
    assert_eq!(call.stream_id.as_ref().unwrap().key.as_str(), "live/cam");
    assert_eq!(call.version, Version::new(1, 5, 7));
    let terms = accept(&call, &capture, Some(&passphrase()));
    assert_eq!(listen(terms, &capture), ([0, 3, 0], 0));
}

/// It sends both keys at once, and larger datagrams than the MTU that it names.
#[test]
fn srt_tokio_sends_two_keys() {
    let capture = capture("srt-tokio-0.4.4-aes128.srt");
    let call = call(&capture);
    assert_eq!(call.stream_id.as_ref().unwrap().key.as_str(), "live/cam");
    assert_eq!(call.version, Version::new(1, 3, 1));
    let terms = accept(&call, &capture, Some(&passphrase()));
    assert_eq!((terms.mtu, terms.flow_window), (1_316, 25_600));
    assert_eq!(listen(terms, &capture), ([0, 3, 0], 0));
}

#[test]
fn srt_live_transmit_replaces_its_keys() {
    let capture = capture("srt-live-transmit-1.5.1-aes192-refresh.srt");
    let call = call(&capture);
    let length = call.encryption.as_ref().map(|request| request.length());
    assert_eq!(length, Some(KeyLength::Aes192));
    let terms = accept(&call, &capture, Some(&passphrase()));
    assert_eq!(listen(terms, &capture), ([0, 4, 4], 2));
}

#[test]
fn what_cannot_be_served_is_refused_in_words() {
    let file = refused("ffmpeg-5.1-file.srt");
    assert_eq!(file.reason, RejectReason::Congestion);
    assert!(file.why.to_string().contains("transtype=live"));
    let filter = refused("srt-live-transmit-1.5.1-filter.srt");
    assert_eq!(filter.reason, RejectReason::Filter);
    assert!(filter.why.to_string().contains("`fec,cols:10,rows:5`"));
    for refused in [&file, &filter] {
        let stream = refused.stream_id.as_ref().unwrap().as_ref().unwrap();
        assert_eq!(stream.key.as_str(), "live/cam");
    }
    // libsrt said the same to the first one, but for clock, extensions that there are
    // none of, and cookie.
    let theirs = capture("ffmpeg-5.1-file.srt");
    let theirs = handshakes(&theirs, false)[1];
    let same = |bytes: &[u8]| [&bytes[..8], &bytes[12..22], &bytes[24..40], &bytes[48..]].concat();
    assert_eq!(same(&file.datagram), same(theirs));
}
