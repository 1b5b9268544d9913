//! The client of `rml_rtmp`, a second implementation of the protocol, against
//! the session: both ends in one test, no socket between.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::time::Instant;

use bytes::Bytes;
use rillcast_ingest_rtmp::proto::{Event, Farewell, MediaKind, Rejection, Session, SessionLimits};
use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};
use rml_rtmp::sessions::{
    ClientSession, ClientSessionConfig, ClientSessionEvent, ClientSessionResult,
    PublishRequestType, StreamMetadata,
};
use rml_rtmp::time::RtmpTimestamp;

/// Both ends after the handshake.
struct Pair {
    client: ClientSession,
    server: Session,
    now: Instant,
    accepts: Result<(), Rejection>,
    seen_by_client: Vec<ClientSessionEvent>,
    seen_by_server: Vec<Event>,
}

impl Pair {
    fn new() -> Self {
        let now = Instant::now();
        let mut server = Session::new(SessionLimits::default(), now);
        let mut handshake = Handshake::new(PeerType::Client);
        let hello = handshake.generate_outbound_p0_and_p1().unwrap();
        assert_eq!(server.handle_input(&mut &hello[..], now), Ok(None));
        let answer = server.poll_transmit().unwrap();
        let HandshakeProcessResult::Completed { response_bytes, .. } =
            handshake.process_bytes(&answer).unwrap()
        else {
            panic!("the client wants more")
        };
        assert_eq!(server.handle_input(&mut &response_bytes[..], now), Ok(None));
        let (client, first) = ClientSession::new(ClientSessionConfig::new()).unwrap();
        assert!(first.is_empty());
        Self {
            client,
            server,
            now,
            accepts: Ok(()),
            seen_by_client: Vec::new(),
            seen_by_server: Vec::new(),
        }
    }

    /// Carries bytes to and fro until both ends are quiet.
    fn exchange(&mut self, results: Vec<ClientSessionResult>) {
        let mut results = results;
        loop {
            for result in results.drain(..) {
                match result {
                    ClientSessionResult::OutboundResponse(packet) => {
                        let mut input = &packet.bytes[..];
                        while let Some(event) =
                            self.server.handle_input(&mut input, self.now).unwrap()
                        {
                            match (&event, self.accepts) {
                                (Event::Publish(_), Ok(())) => self.server.accept(self.now),
                                (Event::Publish(_), Err(why)) => self.server.reject(why, "no"),
                                _ => {}
                            }
                            self.seen_by_server.push(event);
                        }
                    }
                    ClientSessionResult::RaisedEvent(event) => self.seen_by_client.push(event),
                    // Set Peer Bandwidth is nothing to that client.
                    ClientSessionResult::UnhandleableMessageReceived(_) => {}
                }
            }
            match self.server.poll_transmit() {
                Some(bytes) => results = self.client.handle_input(&bytes).unwrap(),
                None => return,
            }
        }
    }

    fn publish(&mut self) {
        let connect = self.client.request_connection("live".to_owned()).unwrap();
        self.exchange(vec![connect]);
        assert!(
            self.seen_by_client
                .contains(&ClientSessionEvent::ConnectionRequestAccepted)
        );
        let name = "cam".to_owned();
        let publish = self
            .client
            .request_publishing(name, PublishRequestType::Live)
            .unwrap();
        self.exchange(vec![publish]);
    }
}

#[test]
fn a_publish_is_carried_whole() {
    let mut pair = Pair::new();
    pair.publish();
    assert!(
        pair.seen_by_client
            .contains(&ClientSessionEvent::PublishRequestAccepted)
    );
    let mut metadata = StreamMetadata::new();
    metadata.video_width = Some(1_280);
    let sent = pair.client.publish_metadata(&metadata).unwrap();
    pair.exchange(vec![sent]);
    pair.seen_by_server.clear();
    for index in 0..200_u32 {
        let body = vec![u8::try_from(index).unwrap(); 10 + 97 * index as usize];
        let time = RtmpTimestamp::new(index * 100_000);
        let sent = if index % 2 == 0 {
            pair.client.publish_video_data(body.into(), time, false)
        } else {
            pair.client.publish_audio_data(body.into(), time, false)
        };
        pair.exchange(vec![sent.unwrap()]);
    }
    let media: Vec<_> = pair
        .seen_by_server
        .iter()
        .map(|event| match event {
            Event::Media(media) => (media.kind, media.timestamp, media.body.clone()),
            other => panic!("{other:?}"),
        })
        .collect();
    let want = (0..200_u32).map(|index| {
        let body = vec![u8::try_from(index).unwrap(); 10 + 97 * index as usize];
        let kind = if index % 2 == 0 {
            MediaKind::Video
        } else {
            MediaKind::Audio
        };
        (kind, index * 100_000, Bytes::from(body))
    });
    assert!(media.into_iter().eq(want));

    let sent = pair.client.stop_publishing().unwrap();
    pair.exchange(sent);
    assert_eq!(pair.seen_by_server.last(), Some(&Event::Unpublished));
}

#[test]
fn a_rejection_reaches_the_client() {
    let mut pair = Pair::new();
    pair.accepts = Err(Rejection::BadName);
    pair.publish();
    assert!(
        !pair
            .seen_by_client
            .contains(&ClientSessionEvent::PublishRequestAccepted)
    );
    let said = |event: &ClientSessionEvent| matches!(event, ClientSessionEvent::UnhandleableOnStatusCode { code } if code == "NetStream.Publish.BadName");
    assert!(
        pair.seen_by_client.iter().any(said),
        "{:?}",
        pair.seen_by_client
    );
}

#[test]
fn a_farewell_reaches_the_client() {
    let mut pair = Pair::new();
    pair.publish();
    pair.server.close(&Farewell::Shutdown);
    pair.exchange(Vec::new());
    let codes: Vec<&str> = pair
        .seen_by_client
        .iter()
        .filter_map(|event| match event {
            ClientSessionEvent::UnhandleableOnStatusCode { code } => Some(code.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(
        codes,
        [
            "NetStream.Unpublish.Success",
            "NetConnection.Connect.AppShutdown"
        ]
    );
}
