//! A caller that has sent its cookie back and can be served: [`Call`].

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::gate::GateConfig;
use super::reject::RejectReason;
use super::wire::{self, Arrived, Body, Hello};
use crate::proto::keys::{KeyRequest, Keys, Passphrase};
use crate::proto::packet::{SocketId, Timestamp};
use crate::proto::stream_id::{StreamIdError, StreamRequest};
use crate::proto::terms::{Flags, Terms, Version};

/// Somebody who asks for a connection.
///
/// Decide, then say [`accept`](Self::accept) or [`reject`](Self::reject), and send and
/// keep the bytes: whoever misses them asks again.
#[derive(Debug)]
#[non_exhaustive]
pub struct Call {
    /// What it wants to publish, or why that is not understood.
    pub stream_id: Result<StreamRequest, StreamIdError>,
    /// Where it is.
    pub peer: SocketAddr,
    /// Its socket.
    pub peer_socket: SocketId,
    /// Its key material, if it encrypts.
    pub encryption: Option<KeyRequest>,
    /// The least latency that it wants us to deliver with.
    pub latency: Duration,
    /// The least latency that it delivers with what we send.
    pub peer_latency: Duration,
    /// Its version of SRT.
    pub version: Version,
    /// What it can do.
    pub flags: Flags,
    body: Body,
    config: GateConfig,
    timestamp: Timestamp,
    arrival: Instant,
}

impl Call {
    pub(super) fn new(
        config: &GateConfig,
        arrived: &Arrived<'_>,
        hello: Hello,
        stream_id: Result<StreamRequest, StreamIdError>,
        encryption: Option<KeyRequest>,
        peer: SocketAddr,
        now: Instant,
    ) -> Self {
        Self {
            stream_id,
            peer,
            peer_socket: arrived.body.socket,
            encryption,
            latency: hello.send,
            peer_latency: hello.receive,
            version: hello.version,
            flags: hello.flags,
            body: arrived.body,
            config: config.clone(),
            timestamp: arrived.timestamp,
            arrival: now,
        }
    }

    /// The keys of the connection, none if neither end has a passphrase. Derives a key,
    /// as [`KeyRequest::unlock`] does: not to be done where others wait.
    ///
    /// # Errors
    /// What to [`reject`](Self::reject) the caller with if the ends do not agree.
    pub fn unlock(&self, passphrase: Option<&Passphrase>) -> Result<Option<Keys>, RejectReason> {
        match (&self.encryption, passphrase) {
            (None, None) => Ok(None),
            (Some(request), Some(passphrase)) => match request.unlock(passphrase) {
                Ok(keys) => Ok(Some(keys)),
                Err(_) => Err(RejectReason::BadSecret),
            },
            (Some(_), None) | (None, Some(_)) => Err(RejectReason::Unsecure),
        }
    }

    /// Opens the connection: the datagram that tells the caller, and what was agreed on.
    /// `own` is our new socket, whose time begins `now`; `latency` the least that we
    /// deliver with; `keys` are what [`unlock`](Self::unlock) gave.
    #[must_use]
    pub fn accept(
        &self,
        own: SocketId,
        keys: Option<Keys>,
        latency: Duration,
        now: Instant,
    ) -> (Bytes, Terms) {
        let latency = self.latency.max(wire::whole_millis(latency));
        let hello = Hello {
            version: Version::OURS,
            flags: Flags::OURS,
            receive: latency,
            send: self.peer_latency,
        }
        .write();
        let mut extensions: Vec<(u16, &[u8])> = vec![(wire::HELLO_RESPONSE, &hello)];
        let mut flags = wire::HAS_HELLO;
        let response = self.encryption.as_ref().map(KeyRequest::response);
        if let (Some(response), Some(_)) = (&response, &keys) {
            extensions.push((wire::KEY_RESPONSE, response));
            flags |= wire::HAS_KEYS;
        }
        let mtu = mtu(&self.body, self.config.mtu);
        let body = Body {
            version: wire::SRT,
            encryption: 0,
            extension: flags,
            mtu: u32::from(mtu),
            flow_window: self.config.flow_window,
            request: wire::CONCLUSION,
            socket: own,
            address: wire::address(self.peer),
            ..self.body
        };
        let datagram = body.datagram(Timestamp::default(), self.peer_socket, &extensions);
        let terms = Terms {
            own,
            peer: self.peer_socket,
            peer_addr: self.peer,
            first_seq: self.body.first_seq,
            latency,
            peer_latency: self.peer_latency,
            mtu,
            flow_window: self.body.flow_window,
            peer_version: self.version,
            peer_flags: self.flags,
            keys,
            peer_start: self.timestamp,
            peer_arrival: self.arrival,
            start: now,
        };
        (datagram, terms)
    }

    /// The datagram that tells the caller why not.
    #[must_use]
    pub fn reject(&self, reason: RejectReason) -> Bytes {
        refuse(&self.body, self.peer, reason)
    }
}

/// The smaller of both ends' MTU, which is checked to be one.
pub(super) fn mtu(body: &Body, own: u16) -> u16 {
    u16::try_from(body.mtu).map_or(own, |mtu| mtu.min(own))
}

/// The datagram that refuses who has sent `body`.
pub(super) fn refuse(body: &Body, peer: SocketAddr, reason: RejectReason) -> Bytes {
    let answer = Body {
        // Callers of version 4 expect their own.
        version: body.version.clamp(wire::UDT, wire::SRT),
        encryption: 0,
        extension: 0,
        request: wire::REFUSAL + reason.code(),
        address: wire::address(peer),
        ..*body
    };
    answer.datagram(Timestamp::default(), body.socket, &[])
}
