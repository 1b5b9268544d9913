//! A session and a client made of our own chunk layer, under a clock that the
//! test moves. Real clients' bytes are replayed in `tests/captures.rs`.

mod bounds;
mod commands;
mod control;

use super::*;
use crate::proto::handshake::Handshake;
use rillcast_media::flv::amf0::{Object, Value};

/// Both ends of a connection.
struct Pair {
    session: Session,
    now: Instant,
    client: Writer,
    /// Reads what the session says.
    answers: Reader,
    events: Vec<Event>,
    said: Vec<Said>,
}

/// What a session said, as far as tests ask.
#[derive(Clone, Debug, PartialEq)]
enum Said {
    Command(u32, Command),
    Control(Control),
}

impl Pair {
    /// A connection that has seen no byte yet.
    fn new() -> Self {
        let now = Instant::now();
        Self {
            session: Session::new(SessionLimits::default(), now),
            now,
            client: Writer::new(),
            answers: Reader::new(ReaderLimits::default()),
            events: Vec::new(),
            said: Vec::new(),
        }
    }

    /// One whose handshake is done.
    fn opened() -> Self {
        let mut pair = Self::new();
        let mut hello = vec![7; Handshake::CLIENT_BYTES];
        hello[0] = 3;
        pair.feed(&hello).unwrap();
        let answer = pair.session.poll_transmit().unwrap();
        assert_eq!(answer.len(), Handshake::CLIENT_BYTES);
        pair
    }

    /// One whose `connect` is answered.
    fn connected(object: Object) -> Self {
        let mut pair = Self::opened();
        pair.command(0, "connect", 1.0, vec![object.into()]);
        pair
    }

    /// One that publishes `live/cam` on message stream 1.
    fn live() -> Self {
        let mut pair = Self::connected(Object::new().with("app", "live"));
        pair.command(
            1,
            "publish",
            5.0,
            vec![Value::Null, "cam".into(), "live".into()],
        );
        assert!(matches!(pair.events.pop(), Some(Event::Publish(_))));
        pair.session.accept(pair.now);
        pair.listen();
        pair.said.clear();
        pair
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<(), SessionError> {
        let mut input = bytes;
        while let Some(event) = self.session.handle_input(&mut input, self.now)? {
            self.events.push(event);
        }
        Ok(())
    }

    fn try_send(&mut self, message: &Message) -> Result<(), SessionError> {
        let mut wire = BytesMut::new();
        self.client.write(message, &mut wire);
        self.feed(&wire)?;
        self.listen();
        Ok(())
    }

    fn send(
        &mut self,
        chunk_stream: u32,
        kind: u8,
        stream: u32,
        timestamp: u32,
        body: impl Into<Bytes>,
    ) {
        let body = body.into();
        self.try_send(&Message {
            chunk_stream,
            kind,
            stream,
            timestamp,
            body,
        })
        .unwrap();
    }

    fn command(&mut self, stream: u32, name: &str, transaction: f64, arguments: Vec<Value>) {
        let command = Command {
            name: name.to_owned(),
            transaction,
            arguments,
        };
        self.send(3, kind::COMMAND_AMF0, stream, 0, command.write());
    }

    /// Reads what the session has to say, protocol control applied.
    fn listen(&mut self) {
        while let Some(bytes) = self.session.poll_transmit() {
            let mut input = &bytes[..];
            while let Some(message) = self.answers.read(&mut input).unwrap() {
                if let Some(command) = Command::read(message.kind, &message.body).unwrap()
                    && message.kind == kind::COMMAND_AMF0
                {
                    self.said.push(Said::Command(message.stream, command));
                } else if let Some(control) = Control::read(message.kind, &message.body) {
                    if let Control::SetChunkSize(size) = control {
                        self.answers.set_chunk_size(size).unwrap();
                    }
                    self.said.push(Said::Control(control));
                } else {
                    panic!("{message:?}");
                }
            }
        }
    }

    /// The codes of all onStatus messages so far, with their stream and level.
    fn statuses(&self) -> Vec<(u32, String, String)> {
        let status = |said: &Said| match said {
            Said::Command(stream, command) if command.name == "onStatus" => {
                let object = command.arguments[1].as_object().unwrap();
                let text = |name| object.get(name).unwrap().as_str().unwrap().to_owned();
                assert!(!text("description").is_empty());
                Some((*stream, text("level"), text("code")))
            }
            _ => None,
        };
        self.said.iter().filter_map(status).collect()
    }

    /// The answer to the transaction.
    fn answer(&self, id: f64) -> Option<&Command> {
        self.said.iter().find_map(|said| match said {
            Said::Command(0, command) if command.transaction == id => Some(command),
            _ => None,
        })
    }

    fn names(&self) -> Vec<&str> {
        let name = |said: &'_ Said| matches!(said, Said::Command(..));
        self.said
            .iter()
            .filter(|said| name(said))
            .map(|said| match said {
                Said::Command(_, command) => command.name.as_str(),
                Said::Control(_) => "",
            })
            .collect()
    }
}

fn status(stream: u32, level: &str, code: &str) -> (u32, String, String) {
    (stream, level.to_owned(), code.to_owned())
}

#[test]
fn connect_is_answered_with_what_is_agreed() {
    let pair = Pair::connected(
        Object::new()
            .with("app", "live")
            .with("objectEncoding", 3.0),
    );
    assert_eq!(
        pair.said[..3],
        [
            Said::Control(Control::WindowAckSize(2_500_000)),
            Said::Control(Control::SetPeerBandwidth(2_500_000)),
            Said::Control(Control::SetChunkSize(4_096)),
        ]
    );
    let answer = pair.answer(1.0).unwrap();
    assert_eq!(answer.name, "_result");
    assert_eq!(answer.object().get("fourCcList"), None);
    let information = answer.arguments[1].as_object().unwrap();
    assert_eq!(
        information.get("code").unwrap().as_str(),
        Some("NetConnection.Connect.Success")
    );
    assert_eq!(
        information.get("objectEncoding").unwrap().as_f64(),
        Some(0.0)
    );
    assert_eq!(pair.names(), ["_result", "onBWDone"]);
}

#[test]
fn an_enhanced_client_learns_what_can_be_taken_in() {
    for asked in [
        Object::new().with(
            "fourCcList",
            Value::StrictArray(vec!["hvc1".into(), "av01".into()]),
        ),
        Object::new()
            .with("capsEx", 15.0)
            .with("videoFourCcInfoMap", Object::new().with("*", 4.0)),
        Object::new().with("fourCcList", Value::StrictArray(vec!["*".into()])),
    ] {
        let pair = Pair::connected(asked.with("app", "live"));
        let properties = pair.answer(1.0).unwrap().object();
        let (video, audio) = (
            ["avc1", "hvc1", "av01", "vp09"],
            ["mp4a", "Opus", "fLaC", "ac-3", "ec-3", ".mp3"],
        );
        let list = video.iter().chain(&audio).map(|code| (*code).into());
        let list = Value::StrictArray(list.collect());
        assert_eq!(properties.get("fourCcList"), Some(&list));
        let can_forward = |codes: &[&'static str]| {
            let map = Object::new();
            Value::from(codes.iter().fold(map, |map, code| map.with(*code, 4.0)))
        };
        let get = |name| properties.get(name).cloned();
        assert_eq!(get("videoFourCcInfoMap"), Some(can_forward(&video)));
        assert_eq!(get("audioFourCcInfoMap"), Some(can_forward(&audio)));
        assert_eq!(get("capsEx"), Some(14.0.into()));
    }
}

#[test]
fn a_publish_runs_from_connect_to_unpublish() {
    let mut pair = Pair::connected(
        Object::new()
            .with("app", "live")
            .with("flashVer", "FMLE/3.0 (compatible; test\u{7})"),
    );
    pair.said.clear();
    pair.command(0, "releaseStream", 2.0, vec![Value::Null, "cam".into()]);
    pair.command(0, "FCPublish", 3.0, vec![Value::Null, "cam".into()]);
    pair.command(0, "createStream", 4.0, vec![Value::Null]);
    assert_eq!(
        pair.names(),
        ["_result", "_result", "onFCPublish", "_result"]
    );
    assert_eq!(
        pair.answer(4.0).unwrap().arguments,
        [Value::Null, 1.0.into()]
    );
    pair.command(
        1,
        "publish",
        5.0,
        vec![Value::Null, "cam?token=x".into(), "live".into()],
    );
    let Some(Event::Publish(request)) = pair.events.pop() else {
        panic!("{:?}", pair.events)
    };
    assert_eq!(request.key.as_str(), "live/cam");
    assert_eq!(request.parameters.get("token"), Some("x"));
    assert_eq!(request.agent, "FMLE/3.0 (compatible; test)");

    pair.said.clear();
    pair.session.accept(pair.now);
    pair.listen();
    assert_eq!(pair.said[0], Said::Control(Control::StreamBegin(1)));
    assert_eq!(
        pair.statuses(),
        [status(1, "status", "NetStream.Publish.Start")]
    );

    let metadata = metadata();
    pair.send(
        4,
        kind::DATA_AMF0,
        1,
        0,
        [&string("@setDataFrame"), &metadata[..]].concat(),
    );
    pair.send(6, kind::VIDEO, 1, 40, vec![0x17; 5_000]);
    pair.send(4, kind::AUDIO, 1, u32::MAX, &b"audio"[..]);
    let media = |kind, timestamp, body: Vec<u8>| {
        Event::Media(Media {
            kind,
            timestamp,
            body: body.into(),
        })
    };
    assert_eq!(
        pair.events,
        [
            media(MediaKind::Script, 0, metadata),
            media(MediaKind::Video, 40, vec![0x17; 5_000]),
            media(MediaKind::Audio, u32::MAX, b"audio".to_vec()),
        ]
    );

    pair.events.clear();
    pair.said.clear();
    pair.command(0, "FCUnpublish", 6.0, vec![Value::Null, "cam".into()]);
    pair.command(0, "deleteStream", 7.0, vec![Value::Null, 1.0.into()]);
    pair.send(6, kind::VIDEO, 1, 80, &b"late"[..]);
    assert_eq!(pair.events, [Event::Unpublished]);
    assert_eq!(
        pair.statuses(),
        [status(1, "status", "NetStream.Unpublish.Success")]
    );
    assert!(pair.answer(7.0).is_some());
    assert_eq!(pair.session.ignored().messages, 1);
}

fn string(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    amf0::encode(&text.into(), &mut bytes);
    bytes
}

fn metadata() -> Vec<u8> {
    let mut bytes = string("onMetaData");
    let object = Object::new().with("width", 1_280.0);
    amf0::encode(&Value::EcmaArray(object), &mut bytes);
    bytes
}

#[test]
fn script_data_loses_its_envelope() {
    let metadata = metadata();
    let set = [string("@setDataFrame"), metadata.clone()].concat();
    for (kind, body, want) in [
        (kind::DATA_AMF0, metadata.clone(), Some(&metadata)),
        (kind::DATA_AMF0, set.clone(), Some(&metadata)),
        (kind::DATA_AMF3, [vec![0], set].concat(), Some(&metadata)),
        (kind::DATA_AMF0, string("@setDataFrame"), None),
        (kind::DATA_AMF0, string("@clearDataFrame"), None),
        (kind::DATA_AMF0, vec![], None),
        (kind::DATA_AMF0, vec![2, 0, 99], None),
        (kind::DATA_AMF3, vec![], None),
    ] {
        let mut pair = Pair::live();
        pair.send(4, kind, 1, 7, body);
        let got = pair.events.iter().map(|event| match event {
            Event::Media(Media {
                kind: MediaKind::Script,
                timestamp: 7,
                body,
            }) => body.to_vec(),
            other => panic!("{other:?}"),
        });
        assert_eq!(
            got.collect::<Vec<_>>(),
            want.cloned().into_iter().collect::<Vec<_>>()
        );
    }
}

#[test]
fn every_way_to_end_a_publish_ends_it_once() {
    let null = Value::Null;
    for (stream, name, arguments, ends) in [
        (0, "FCUnpublish", vec![null.clone(), "cam".into()], true),
        (0, "deleteStream", vec![null.clone(), 1.0.into()], true),
        (0, "deleteStream", vec![null.clone()], true),
        (1, "deleteStream", vec![null.clone(), 0.0.into()], true),
        (0, "deleteStream", vec![null.clone(), 2.0.into()], false),
        (1, "closeStream", vec![null.clone()], true),
        (2, "closeStream", vec![null.clone()], false),
    ] {
        let mut pair = Pair::live();
        pair.command(stream, name, 0.0, arguments.clone());
        pair.command(stream, name, 0.0, arguments);
        assert_eq!(pair.events.len(), usize::from(ends), "{name}");
        assert_eq!(pair.statuses().len(), usize::from(ends), "{name}");
    }
}

#[test]
fn one_connection_may_publish_again() {
    let mut pair = Pair::live();
    pair.command(1, "publish", 0.0, vec![Value::Null, "other".into()]);
    assert_eq!(
        pair.statuses(),
        [status(1, "error", "NetStream.Publish.BadName")]
    );
    assert!(pair.events.is_empty());
    pair.send(6, kind::VIDEO, 1, 0, &b"still live"[..]);
    pair.command(0, "FCUnpublish", 0.0, vec![]);
    pair.command(2, "publish", 0.0, vec![Value::Null, "other".into()]);
    assert!(matches!(
        pair.events[..],
        [Event::Media(_), Event::Unpublished, Event::Publish(_)]
    ));
}

#[test]
fn nothing_is_read_while_a_publish_waits_for_its_answer() {
    let mut pair = Pair::connected(Object::new().with("app", "live"));
    let mut wire = BytesMut::new();
    let publish = Command {
        name: "publish".to_owned(),
        transaction: 0.0,
        arguments: vec![Value::Null, "cam".into()],
    };
    let message = |chunk_stream, kind, body| Message {
        chunk_stream,
        kind,
        stream: 1,
        timestamp: 0,
        body,
    };
    pair.client
        .write(&message(3, kind::COMMAND_AMF0, publish.write()), &mut wire);
    let asked = wire.len();
    pair.client.write(
        &message(6, kind::VIDEO, Bytes::from_static(b"eager")),
        &mut wire,
    );
    let mut input = &wire[..];
    let event = pair.session.handle_input(&mut input, pair.now).unwrap();
    assert!(matches!(event, Some(Event::Publish(_))));
    assert_eq!(pair.session.handle_input(&mut input, pair.now), Ok(None));
    assert_eq!(input.len(), wire.len() - asked);
    pair.now += Duration::from_secs(3_600);
    assert_eq!(
        pair.session.handle_timeout(pair.now),
        Ok(()),
        "the answer is ours to give"
    );
    pair.session.accept(pair.now);
    let event = pair.session.handle_input(&mut input, pair.now).unwrap();
    assert!(matches!(event, Some(Event::Media(_))));
}

#[test]
fn refusals_use_the_protocols_words() {
    for (rejection, code) in [
        (Rejection::BadName, "NetStream.Publish.BadName"),
        (Rejection::Denied, "NetStream.Publish.Denied"),
        (Rejection::Failed, "NetStream.Publish.Failed"),
    ] {
        let mut pair = Pair::connected(Object::new().with("app", "live"));
        pair.command(1, "publish", 0.0, vec![Value::Null, "cam".into()]);
        pair.session.reject(rejection, "because");
        pair.listen();
        assert_eq!(pair.statuses(), [status(1, "error", code)]);
        pair.events.clear();
        pair.send(6, kind::VIDEO, 1, 0, &b"anyway"[..]);
        assert!(pair.events.is_empty());
    }
    let mut pair = Pair::connected(Object::new().with("app", "live"));
    pair.command(1, "publish", 0.0, vec![Value::Null, "../etc".into()]);
    assert_eq!(
        pair.statuses(),
        [status(1, "error", "NetStream.Publish.BadName")]
    );
    assert!(matches!(
        pair.events[..],
        [Event::Refused(Refused::Publish(_))]
    ));
    let mut pair = Pair::connected(Object::new().with("app", "live"));
    pair.command(1, "play", 0.0, vec![Value::Null, "cam".into()]);
    assert_eq!(
        pair.statuses(),
        [status(1, "error", "NetStream.Play.StreamNotFound")]
    );
    assert_eq!(pair.events, [Event::Refused(Refused::Play)]);
}

#[test]
fn a_farewell_says_why() {
    for (farewell, code) in [
        (Farewell::Kicked, "NetStream.Publish.Denied"),
        (Farewell::TakenOver, "NetStream.Publish.BadName"),
        (Farewell::Idle, "NetConnection.Connect.IdleTimeOut"),
        (Farewell::Shutdown, "NetConnection.Connect.AppShutdown"),
        (
            Farewell::Unusable("no".to_owned()),
            "NetStream.Publish.Failed",
        ),
    ] {
        let mut pair = Pair::live();
        pair.session.close(&farewell);
        pair.session.close(&farewell);
        pair.listen();
        assert_eq!(
            pair.statuses(),
            [
                status(1, "status", "NetStream.Unpublish.Success"),
                status(1, "error", code)
            ]
        );
    }
    let mut pair = Pair::connected(Object::new());
    pair.said.clear();
    pair.session.close(&Farewell::Shutdown);
    pair.listen();
    assert_eq!(pair.said, []);
}
