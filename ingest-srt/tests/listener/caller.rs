//! A caller of our own, which does as it is told.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rillcast_ingest_srt::proto::handshake::{Dial, DialConfig, DialError};
use rillcast_ingest_srt::proto::keys::Passphrase;
use rillcast_ingest_srt::proto::packet::{
    Data, KeySlot, MessageNumber, SeqNumber, SocketId, Timestamp,
};
use rillcast_ingest_srt::proto::terms::Terms;
use tokio::net::UdpSocket;
use tokio::time::timeout;

static NEXT_SOCKET: AtomicU32 = AtomicU32::new(1);

pub(crate) struct Caller {
    pub(crate) socket: UdpSocket,
    pub(crate) terms: Terms,
}

/// Calls for `stream_id`.
pub(crate) async fn call(
    server: SocketAddr,
    stream_id: &str,
    passphrase: Option<&str>,
) -> Result<Caller, DialError> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut config = DialConfig::default();
    config.stream_id = stream_id.to_owned();
    config.passphrase = passphrase.map(|text| Passphrase::new(text).unwrap());
    let seed = [7; Dial::SEED_LEN];
    // A port that was another caller's a moment ago may be this one's; its socket not.
    let own = NEXT_SOCKET.fetch_add(1, Ordering::Relaxed);
    let mut dial = Dial::new(config, SocketId(own), server, &seed, Instant::now());
    let mut buffer = [0; 2_048];
    loop {
        let mut out = BytesMut::new();
        while dial.poll_transmit(Instant::now(), &mut out) {
            socket.send_to(&out, server).await.unwrap();
            out.clear();
        }
        let read = timeout(Duration::from_millis(50), socket.recv_from(&mut buffer)).await;
        match read {
            Ok(read) => {
                let (length, _) = read.unwrap();
                if let Some(terms) = dial.handle(&buffer[..length], Instant::now())? {
                    return Ok(Caller { socket, terms });
                }
            }
            Err(_) => dial.handle_timeout(Instant::now())?,
        }
    }
}

impl Caller {
    /// Sends a data packet, which is encrypted with nothing.
    pub(crate) async fn send(&self, seq: SeqNumber, payload: &[u8]) {
        let mut out = BytesMut::new();
        Data {
            seq,
            first: true,
            last: true,
            in_order: false,
            key: KeySlot::None,
            retransmitted: false,
            message: MessageNumber::new(1),
            timestamp: Timestamp::since(self.terms.start, Instant::now()),
            destination: self.terms.peer,
            payload,
        }
        .write(&mut out);
        let _ = self.socket.send_to(&out, self.terms.peer_addr).await;
    }
}
