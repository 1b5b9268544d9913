//! What a [`Session`] does with the commands of a publisher.
//!
//! They differ by client: FFmpeg sends releaseStream, FCPublish, createStream
//! and publish; librtmp and OBS the same and `_checkbw`; rtmp2sink waits for
//! the answer to each; hardware encoders wait for `onFCPublish`. Everything is
//! answered that carries a transaction id, and nothing unknown is an error.

use std::time::Instant;

use rillcast_core::Codec;
use rillcast_media::flv;
use rillcast_media::flv::amf0::{Object, Value};

use super::{CHUNK_SIZE, Event, Phase, Publish, PublishRequest, Refused, Session, WINDOW};
use crate::proto::command::{Command, Status};
use crate::proto::message::Control;
use crate::proto::target::Target;

impl Session {
    /// Acts on a command that came on the message stream `stream`.
    pub(super) fn handle_command(
        &mut self,
        command: &Command,
        stream: u32,
        now: Instant,
    ) -> Option<Event> {
        let connected = matches!(self.phase, Phase::Connected);
        let id = command.transaction;
        match command.name.as_str() {
            "connect" => self.connect(command),
            "createStream" if connected => {
                let stream = self.next_stream;
                // Stream ids are numbers only; nothing is kept of one.
                self.next_stream = stream.wrapping_add(1).max(1);
                self.answer(id, Value::Null, f64::from(stream));
            }
            "publish" if connected => return self.publish(command, stream),
            "FCUnpublish" => {
                self.answer(id, Value::Null, Value::Undefined);
                return self.unpublish(now);
            }
            "closeStream" => {
                self.answer(id, Value::Null, Value::Undefined);
                return self.unpublish_if(stream, now);
            }
            "deleteStream" => {
                self.answer(id, Value::Null, Value::Undefined);
                let deleted = command.number(0);
                let live = match self.publish {
                    Publish::Live { stream } => stream,
                    _ => return None,
                };
                // Some clients name no stream, or send it on the one they mean.
                let meant = deleted.is_none_or(|deleted| deleted == f64::from(live));
                return if meant {
                    self.unpublish(now)
                } else {
                    self.unpublish_if(stream, now)
                };
            }
            "releaseStream" | "_checkbw" | "FCSubscribe" | "setPeerInfo" => {
                self.answer(id, Value::Null, Value::Undefined);
            }
            "FCPublish" => {
                self.answer(id, Value::Null, Value::Undefined);
                let name = command.text(0).unwrap_or_default();
                let started = Status::new(
                    "NetStream.Publish.Start",
                    format!("FCPublish to stream {name}"),
                );
                self.send_command(
                    0,
                    &Command::notice("onFCPublish", Some(started.to_object())),
                );
            }
            "getStreamLength" => self.answer(id, Value::Null, 0.0),
            "play" | "play2" if connected => {
                let why = "no stream is given out over RTMP here: play it over HTTP";
                let status = Status::error("NetStream.Play.StreamNotFound", why);
                self.send_status(stream, &status);
                return Some(Event::Refused(Refused::Play));
            }
            // Answers to what was said, and news that ask nothing.
            "_result" | "_error" | "onStatus" | "onBWDone" | "receiveAudio" | "receiveVideo" => {}
            name => {
                self.ignored.commands += 1;
                if id != 0.0 {
                    let name: String = name.chars().take(MAX_SHOWN).collect();
                    let why = format!("the command {name} is not known here, or not at this point");
                    let status = Status::error("NetConnection.Call.Failed", why);
                    self.send_command(0, &Command::error(id, &status));
                }
            }
        }
        None
    }

    /// Section 7.2.1.1, and "Enhancing NetConnection connect Command" of
    /// Enhanced RTMP v2.
    fn connect(&mut self, command: &Command) {
        if self.publish != Publish::None {
            return;
        }
        let object = command.object();
        let text = |name| object.get(name).and_then(Value::as_str).unwrap_or_default();
        self.client.app = text("app").to_owned();
        self.client.tc_url = text("tcUrl").to_owned();
        let shown = text("flashVer").chars().filter(|c| !c.is_control());
        self.client.agent = shown.take(MAX_SHOWN).collect();
        self.phase = Phase::Connected;

        self.send_control(&Control::WindowAckSize(WINDOW));
        self.send_control(&Control::SetPeerBandwidth(WINDOW));
        self.send_control(&Control::SetChunkSize(CHUNK_SIZE));
        let mut properties = Object::new()
            .with("fmsVer", SERVER)
            .with("capabilities", CAPABILITIES)
            .with("mode", 1.0);
        if [
            "fourCcList",
            "videoFourCcInfoMap",
            "audioFourCcInfoMap",
            "capsEx",
        ]
        .iter()
        .any(|name| object.get(name).is_some())
        {
            enhanced(&mut properties);
        }
        let information = Status::new("NetConnection.Connect.Success", "connected")
            .to_object()
            // Whatever was asked for, we speak AMF0.
            .with("objectEncoding", 0.0);
        self.answer(command.transaction, properties, information);
        self.send_command(0, &Command::notice("onBWDone", None));
    }

    /// Section 7.2.2.6.
    fn publish(&mut self, command: &Command, stream: u32) -> Option<Event> {
        if self.publish != Publish::None {
            let why = "this connection publishes already; use another one";
            self.send_status(stream, &Status::error("NetStream.Publish.BadName", why));
            return None;
        }
        let name = command.text(0).unwrap_or_default();
        match Target::new(&self.client.app, &self.client.tc_url, name) {
            Ok(target) => {
                self.publish = Publish::Asked { stream };
                Some(Event::Publish(PublishRequest {
                    key: target.key,
                    parameters: target.parameters,
                    agent: self.client.agent.clone(),
                }))
            }
            Err(error) => {
                let why = error.to_string();
                self.send_status(stream, &Status::error("NetStream.Publish.BadName", why));
                self.phase = Phase::Closed;
                Some(Event::Refused(Refused::Publish(error)))
            }
        }
    }

    fn unpublish_if(&mut self, stream: u32, now: Instant) -> Option<Event> {
        match self.publish {
            Publish::Live { stream: live } if live == stream => self.unpublish(now),
            _ => None,
        }
    }

    fn unpublish(&mut self, now: Instant) -> Option<Event> {
        let Publish::Live { stream } = self.publish else {
            return None;
        };
        self.end_publish(stream, "the stream is ended");
        self.deadline = now + self.limits.handshake_timeout;
        Some(Event::Unpublished)
    }

    /// Answers, if an answer is wanted.
    fn answer(
        &mut self,
        transaction: f64,
        properties: impl Into<Value>,
        information: impl Into<Value>,
    ) {
        if transaction != 0.0 {
            self.send_command(0, &Command::result(transaction, properties, information));
        }
    }
}

/// Answers a client that speaks Enhanced RTMP with what can be taken in.
fn enhanced(properties: &mut Object) {
    let all = [flv::VIDEO_CODECS, flv::AUDIO_CODECS].concat();
    let names = all.iter().map(|codec| codec.to_string().into()).collect();
    let map = |list: &[Codec]| {
        list.iter().fold(Object::new(), |map, codec| {
            map.with(codec.to_string(), CAN_FORWARD)
        })
    };
    properties.push("fourCcList", Value::StrictArray(names));
    properties.push("videoFourCcInfoMap", map(flv::VIDEO_CODECS));
    properties.push("audioFourCcInfoMap", map(flv::AUDIO_CODECS));
    properties.push("capsEx", CAPS_EX);
}

/// FourCcInfoMask of Enhanced RTMP v2: neither decoded nor encoded here.
const CAN_FORWARD: f64 = 4.0;
/// CapsExMask of Enhanced RTMP v2: several tracks, ModEx packets, and the
/// nanoseconds in them. No request to reconnect is sent.
const CAPS_EX: f64 = (2 | 4 | 8) as f64;

/// Clients look for "FMS/" and a version of at least 3 before they trust a
/// server with H.264.
const SERVER: &str = "FMS/3,5,7,7009";
/// What Flash Media Server 3.5 says of itself here.
const CAPABILITIES: f64 = 31.0;

/// How much of a peer's own words is kept and shown.
const MAX_SHOWN: usize = 64;

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// What is promised to clients is what the demuxer does: a codec that joins
    /// there joins here.
    #[test]
    fn the_codecs_on_offer_are_those_that_are_carried() {
        // A sequence start, type 0, of each codec that Enhanced RTMP names.
        let carried = |first: u8, code: &str, video: bool| {
            let body = [&[first], code.as_bytes(), &[1; 40]].concat();
            let mut demuxer = flv::Demuxer::new();
            let now = Instant::now();
            let items = match video {
                true => demuxer.video(0, body.into(), now),
                false => demuxer.audio(0, body.into(), now),
            };
            items.map_or_else(|error| error.unsupported().is_none(), |_| true)
        };
        let four = |code: &str| Codec::new(code.as_bytes().try_into().unwrap());
        for code in ["avc1", "hvc1", "vvc1", "av01", "vp08", "vp09"] {
            assert_eq!(
                carried(0x90, code, true),
                flv::VIDEO_CODECS.contains(&four(code)),
                "{code}"
            );
        }
        for code in ["mp4a", "Opus", "fLaC", ".mp3", "ac-3", "ec-3"] {
            assert_eq!(
                carried(0x90, code, false),
                flv::AUDIO_CODECS.contains(&four(code)),
                "{code}"
            );
        }
    }
}
