//! The server's side of the handshake (specification section 5.2, and the
//! digest variant that Flash Player 9 brought and FFmpeg and OBS speak).
//!
//! The two forms come from `rml_rtmp`, whose handshake was found sound: its
//! digest offsets stay inside the packet for every input, and it answers a
//! client without a digest by the plain echo. What it lacks is put around it
//! here: it buffers whatever it is given and copies the rest back, so it gets
//! exactly the 3,073 bytes of C0, C1 and C2 and never one more; and it answers
//! before it looks at the version, so the version byte is checked here first.
//! Its random bytes are its own; nothing later depends on them.
//!
//! The chunk layer that follows is in [`chunk`](super::chunk).

use std::fmt;

use bytes::BytesMut;
use rml_rtmp::handshake::{Handshake as Inner, HandshakeProcessResult, PeerType};

/// Why a handshake failed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The first byte is no version that is spoken here. HTTP and TLS clients
    /// that knock at the wrong port end here.
    #[error(
        "the first byte is {0:#04x}, not the 0x03 of plain RTMP (RTMPE, HTTP and TLS are not spoken here)"
    )]
    Version(u8),
    /// The packets were refused.
    #[error("the handshake packets are malformed")]
    Malformed,
}

/// A handshake in progress. Feed it with [`Handshake::handle_input`] until that
/// says that it is done, then drop it.
pub struct Handshake {
    inner: Box<Inner>,
    received: usize,
}

impl Handshake {
    /// What a client sends in all: C0, C1 and C2.
    pub const CLIENT_BYTES: usize = 1 + 2 * 1_536;

    /// A handshake that has seen nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            inner: Box::new(Inner::new(PeerType::Server)),
            received: 0,
        }
    }

    /// How many bytes of the client were taken so far.
    #[must_use]
    pub fn received(&self) -> usize {
        self.received
    }

    /// Takes from the front of `input` what belongs to the handshake, appends
    /// the answer to `out`, and tells whether the handshake is complete.
    ///
    /// # Errors
    /// [`HandshakeError`]; the connection is then of no further use.
    pub fn handle_input(
        &mut self,
        input: &mut &[u8],
        out: &mut BytesMut,
    ) -> Result<bool, HandshakeError> {
        let wanted = Self::CLIENT_BYTES.saturating_sub(self.received);
        let (mine, rest) = input
            .split_at_checked(wanted)
            .unwrap_or((*input, Default::default()));
        if let (0, Some(&version)) = (self.received, mine.first())
            && version != 3
        {
            return Err(HandshakeError::Version(version));
        }
        *input = rest;
        if mine.is_empty() {
            return Ok(wanted == 0);
        }
        self.received += mine.len();
        match self.inner.process_bytes(mine) {
            Ok(HandshakeProcessResult::InProgress { response_bytes }) => {
                out.extend_from_slice(&response_bytes);
                // All bytes are there and it still wants more: it is not sound
                // to go on guessing where the chunks begin.
                if self.received == Self::CLIENT_BYTES {
                    return Err(HandshakeError::Malformed);
                }
                Ok(false)
            }
            Ok(HandshakeProcessResult::Completed { response_bytes, .. }) => {
                out.extend_from_slice(&response_bytes);
                Ok(true)
            }
            Err(_) => Err(HandshakeError::Malformed),
        }
    }
}

impl Default for Handshake {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a client's bytes through in pieces of `step`, and gives the answer.
    fn answer(client: &[u8], step: usize) -> BytesMut {
        let mut handshake = Handshake::new();
        let mut out = BytesMut::new();
        let mut done = false;
        for piece in client.chunks(step) {
            let mut piece = piece;
            assert!(!done, "done too early");
            done = handshake.handle_input(&mut piece, &mut out).unwrap();
            assert!(piece.is_empty());
        }
        assert!(done);
        out
    }

    #[test]
    fn a_plain_client_gets_its_own_packet_back() {
        let mut client = vec![3, 0, 0, 0, 9, 0, 0, 0, 0];
        client.extend((0..1_528_u32).map(|i| u8::try_from(i % 251).unwrap()));
        let c1 = client[1..].to_vec();
        client.extend_from_slice(&[7; 1_536]);
        for step in [1, 7, 1_537, 4_000] {
            let out = answer(&client, step);
            assert_eq!(out.len(), 1 + 2 * 1_536);
            assert_eq!(out[0], 3);
            assert_eq!(out[1 + 1_536..], c1);
        }
    }

    #[test]
    fn a_digest_client_accepts_the_answer() {
        let mut client = Inner::new(PeerType::Client);
        let c0_c1 = client.generate_outbound_p0_and_p1().unwrap();
        let mut server = Handshake::new();
        let mut out = BytesMut::new();
        assert!(
            !server
                .handle_input(&mut c0_c1.as_slice(), &mut out)
                .unwrap()
        );
        let c2 = match client.process_bytes(&out).unwrap() {
            HandshakeProcessResult::Completed { response_bytes, .. } => response_bytes,
            HandshakeProcessResult::InProgress { response_bytes } => {
                panic!("not complete, {} bytes", response_bytes.len())
            }
        };
        let mut input = [c2.as_slice(), b"chunks"].concat();
        let mut rest = input.as_mut_slice() as &[u8];
        assert!(server.handle_input(&mut rest, &mut out).unwrap());
        assert_eq!(
            rest, b"chunks",
            "what follows belongs to the next layer, untouched"
        );
    }

    #[test]
    fn other_protocols_are_refused_before_anything_is_answered() {
        for first in [b'G', 0x16, 6, 8, 0, 255] {
            let mut out = BytesMut::new();
            let error = Handshake::new().handle_input(&mut &[first, 3, 3][..], &mut out);
            assert_eq!(error, Err(HandshakeError::Version(first)));
            assert!(out.is_empty());
        }
    }
}
