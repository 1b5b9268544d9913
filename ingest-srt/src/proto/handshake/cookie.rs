//! Cookies: what a caller must send back before anything is kept for it.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// Makes cookies and knows its own: a keyed hash of the caller's address and the
/// minute, so that nobody can have one who does not receive at that address.
#[derive(Clone)]
pub(super) struct Cookies {
    /// Keyed already.
    hash: Hmac<Sha1>,
    start: Instant,
}

impl Cookies {
    pub(super) fn new(secret: &[u8; SECRET_LEN], now: Instant) -> Self {
        Self {
            hash: Hmac::new(&block(secret).into()),
            start: now,
        }
    }

    pub(super) fn make(&self, peer: SocketAddr, now: Instant) -> u32 {
        self.of(peer, self.minute(now))
    }

    /// Whether `cookie` was made for `peer` in this minute or the one before.
    pub(super) fn check(&self, cookie: u32, peer: SocketAddr, now: Instant) -> bool {
        let minute = self.minute(now);
        cookie == self.of(peer, minute)
            || minute
                .checked_sub(1)
                .is_some_and(|before| cookie == self.of(peer, before))
    }

    fn minute(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_secs() / PERIOD.as_secs()
    }

    fn of(&self, peer: SocketAddr, minute: u64) -> u32 {
        let mut hash = self.hash.clone();
        match peer.ip() {
            IpAddr::V4(ip) => hash.update(&ip.octets()),
            IpAddr::V6(ip) => hash.update(&ip.octets()),
        }
        hash.update(&peer.port().to_be_bytes());
        hash.update(&minute.to_be_bytes());
        let hash: [u8; 20] = hash.finalize().into_bytes().into();
        let cookie = hash
            .first_chunk()
            .map_or(0, |first| u32::from_be_bytes(*first));
        // Zero is what callers send that have none.
        cookie.max(1)
    }
}

/// A key of SHA-1's block size.
fn block(secret: &[u8; SECRET_LEN]) -> [u8; 64] {
    let mut block = [0; 64];
    for (to, from) in block.iter_mut().zip(secret) {
        *to = *from;
    }
    block
}

/// A caller comes back within the round trip; libsrt's gives up after three seconds.
const PERIOD: Duration = Duration::from_secs(60);

/// The bytes of the secret.
pub(super) const SECRET_LEN: usize = 32;
