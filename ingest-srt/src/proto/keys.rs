//! Encryption (draft-sharabayko-srt section 6): [`Keys`], which a connection encrypts
//! and decrypts with.
//!
//! The sender makes up a key, wraps it with one derived from the passphrase and sends
//! that as key material (`keys/message.rs`); both directions use it. It is replaced
//! after some millions of packets: hence an even and an odd one. The ciphers are in
//! `keys/cipher.rs`.

mod cipher;
mod message;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::packet::{KeySlot, SeqNumber};
use cipher::{Cipher, Kek};
pub use message::KeyError;
use message::{Holds, KeyMessage};

/// What both ends know and nobody else.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(String);

/// Why a text is no passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a passphrase has from 10 to 79 bytes, as libsrt wants it: this one has {0}")]
pub struct PassphraseError(usize);

impl Passphrase {
    /// The least bytes that libsrt takes.
    pub const MIN: usize = 10;
    /// The most bytes that libsrt takes.
    pub const MAX: usize = 79;

    /// Checks the length.
    ///
    /// # Errors
    /// If it is one that no peer could be given.
    pub fn new(text: impl Into<String>) -> Result<Self, PassphraseError> {
        let text = text.into();
        if (Self::MIN..=Self::MAX).contains(&text.len()) {
            Ok(Self(text))
        } else {
            Err(PassphraseError(text.len()))
        }
    }
}

/// Never the passphrase.
impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase")
    }
}

/// How long the keys are; the one who sends chooses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KeyLength {
    /// 16 bytes.
    #[default]
    Aes128,
    /// 24 bytes.
    Aes192,
    /// 32 bytes.
    Aes256,
}

impl KeyLength {
    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::Aes192 => 24,
            Self::Aes256 => 32,
        }
    }

    /// The length with so many bytes.
    #[must_use]
    pub const fn from_bytes(bytes: usize) -> Option<Self> {
        match bytes {
            16 => Some(Self::Aes128),
            24 => Some(Self::Aes192),
            32 => Some(Self::Aes256),
            _ => None,
        }
    }
}

/// The keys of one connection.
pub struct Keys {
    passphrase: Passphrase,
    kek: Kek,
    even: Option<Slot>,
    odd: Option<Slot>,
    /// What we encrypt with.
    sending: KeySlot,
    derivations: Derivations,
}

/// One key. Its salt is the one that it was sent with.
struct Slot {
    key: Secret,
    cipher: Cipher,
    salt: [u8; SALT_LEN],
}

/// A key as it is wrapped; the bytes after its length are zero.
type Secret = [u8; MAX_KEY_LEN];

/// The passphrase is not the one that the peer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the passphrase is not the one that the key was wrapped with")]
pub struct BadSecret;

/// A payload that cannot be decrypted: it is to be counted and dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no such key")]
pub struct Undecryptable;

/// The key material of a peer that asks for a connection, checked but not unwrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRequest(KeyMessage);

impl KeyRequest {
    /// Reads key material.
    ///
    /// # Errors
    /// A [`KeyError`] that says in words what is wrong with it.
    pub fn parse(body: &[u8]) -> Result<Self, KeyError> {
        KeyMessage::parse(body).map(Self)
    }

    /// How long the keys are.
    #[must_use]
    pub const fn length(&self) -> KeyLength {
        self.0.length
    }

    /// The key material as it came: what tells the peer that it was understood.
    #[must_use]
    pub fn response(&self) -> Bytes {
        self.0.write()
    }

    /// Takes the keys out. This derives a key from the passphrase, which takes about a
    /// millisecond: not to be done where others wait.
    ///
    /// # Errors
    /// If the passphrase is another one.
    pub fn unlock(&self, passphrase: &Passphrase) -> Result<Keys, BadSecret> {
        let kek = Kek::derive(passphrase.0.as_bytes(), &self.0.salt, self.0.length);
        let mut keys = Keys {
            passphrase: passphrase.clone(),
            kek,
            even: None,
            odd: None,
            sending: match self.0.holds {
                Holds::Even | Holds::Both => KeySlot::Even,
                Holds::Odd => KeySlot::Odd,
            },
            derivations: Derivations::default(),
        };
        keys.take(&self.0)?;
        Ok(keys)
    }
}

impl Keys {
    /// How many random bytes [`new`](Self::new) wants: a salt and a key.
    pub const SEED_LEN: usize = SALT_LEN + MAX_KEY_LEN;

    /// Keys of our own, for who begins a connection; `seed` must be random and is used
    /// once. This derives a key from the passphrase, as [`KeyRequest::unlock`] does.
    #[must_use]
    pub fn new(passphrase: &Passphrase, length: KeyLength, seed: &[u8; Self::SEED_LEN]) -> Self {
        let mut salt = [0; SALT_LEN];
        let mut key = [0; MAX_KEY_LEN];
        for (to, from) in salt.iter_mut().chain(&mut key).zip(seed) {
            *to = *from;
        }
        let mut keys = Self {
            passphrase: passphrase.clone(),
            kek: Kek::derive(passphrase.0.as_bytes(), &salt, length),
            even: None,
            odd: None,
            sending: KeySlot::Even,
            derivations: Derivations::default(),
        };
        keys.set(KeySlot::Even, &key);
        keys
    }

    /// How long the keys are.
    #[must_use]
    pub const fn length(&self) -> KeyLength {
        self.kek.length
    }

    /// Decrypts the payload of the data packet `seq` in place.
    ///
    /// # Errors
    /// If that key was never sent. A wrong key cannot be noticed: nothing in a packet
    /// tells.
    pub fn decrypt(
        &self,
        slot: KeySlot,
        seq: SeqNumber,
        payload: &mut [u8],
    ) -> Result<(), Undecryptable> {
        let slot = match slot {
            KeySlot::None => return Ok(()),
            slot => self.slot(slot).ok_or(Undecryptable)?,
        };
        slot.cipher.apply(&slot.salt, seq, payload);
        Ok(())
    }

    /// Encrypts the payload of the data packet `seq` in place, and returns what its
    /// header has to say.
    #[must_use]
    pub fn encrypt(&self, seq: SeqNumber, payload: &mut [u8]) -> KeySlot {
        let Some(slot) = self.slot(self.sending) else {
            return KeySlot::None;
        };
        // The keystream is the same in both directions.
        slot.cipher.apply(&slot.salt, seq, payload);
        self.sending
    }

    /// The key material of all keys that there are, for the peer.
    #[must_use]
    pub fn message(&self) -> Bytes {
        let length = self.kek.length.bytes();
        let (holds, keys) = match (&self.even, &self.odd) {
            (Some(even), Some(odd)) => (Holds::Both, [Some(even), Some(odd)]),
            (Some(even), None) => (Holds::Even, [Some(even), None]),
            (None, odd) => (Holds::Odd, [odd.as_ref(), None]),
        };
        let mut plain = Vec::with_capacity(2 * MAX_KEY_LEN);
        for slot in keys.into_iter().flatten() {
            plain.extend_from_slice(slot.key.get(..length).unwrap_or_default());
        }
        KeyMessage {
            length: self.kek.length,
            holds,
            salt: self.kek.salt,
            wrapped: self.kek.wrap(&plain),
        }
        .write()
    }

    /// Makes `key`, which must be random, the other key of a sender and returns the key
    /// material that announces it. [`switch`](Self::switch) uses it from then on.
    #[must_use]
    pub fn renew(&mut self, key: &[u8; MAX_KEY_LEN]) -> Bytes {
        self.set(self.other(), key);
        self.message()
    }

    /// Encrypts with the other key from now on, if there is one.
    pub fn switch(&mut self) {
        if self.slot(self.other()).is_some() {
            self.sending = self.other();
        }
    }

    /// Takes new key material of the peer that came in session, and returns the answer
    /// for it: the same bytes if it was understood, else a word that says why not. What
    /// is not understood changes nothing.
    ///
    /// libsrt keeps the salt, and with it the derived key; other senders may not. A new
    /// salt is taken up to [`Keys::DERIVATIONS`] times a minute: a peer must not make
    /// us derive keys as fast as it can send.
    #[must_use]
    pub fn refresh(&mut self, body: &[u8], now: Instant) -> Bytes {
        let Ok(message) = KeyMessage::parse(body) else {
            return KeyState::NoSecret.write();
        };
        if !self.kek.fits(&message.salt, message.length) {
            if !self.derivations.allow(now) {
                return KeyState::BadSecret.write();
            }
            let passphrase = self.passphrase.0.as_bytes();
            let kek = Kek::derive(passphrase, &message.salt, message.length);
            let before = std::mem::replace(&mut self.kek, kek);
            if self.take(&message).is_err() {
                self.kek = before;
                return KeyState::BadSecret.write();
            }
        } else if self.take(&message).is_err() {
            return KeyState::BadSecret.write();
        }
        message.write()
    }

    /// How many salts a peer may use in a minute.
    pub const DERIVATIONS: u32 = 4;

    /// Unwraps what is in `message` with the derived key.
    fn take(&mut self, message: &KeyMessage) -> Result<(), BadSecret> {
        let plain = self.kek.unwrap(&message.wrapped).ok_or(BadSecret)?;
        let length = message.length.bytes();
        let slots: &[KeySlot] = match message.holds {
            Holds::Even => &[KeySlot::Even],
            Holds::Odd => &[KeySlot::Odd],
            Holds::Both => &[KeySlot::Even, KeySlot::Odd],
        };
        for (slot, plain) in slots.iter().zip(plain.chunks_exact(length)) {
            let mut key = [0; MAX_KEY_LEN];
            for (to, from) in key.iter_mut().zip(plain) {
                *to = *from;
            }
            self.set(*slot, &key);
        }
        Ok(())
    }

    fn set(&mut self, slot: KeySlot, key: &Secret) {
        let made = Slot {
            key: *key,
            cipher: Cipher::new(key, self.kek.length),
            salt: self.kek.salt,
        };
        match slot {
            KeySlot::Odd => self.odd = Some(made),
            KeySlot::Even | KeySlot::None => self.even = Some(made),
        }
    }

    fn slot(&self, slot: KeySlot) -> Option<&Slot> {
        match slot {
            KeySlot::None => None,
            KeySlot::Even => self.even.as_ref(),
            KeySlot::Odd => self.odd.as_ref(),
        }
    }

    /// The one that we do not encrypt with.
    const fn other(&self) -> KeySlot {
        match self.sending {
            KeySlot::Odd => KeySlot::Even,
            KeySlot::Even | KeySlot::None => KeySlot::Odd,
        }
    }
}

/// Never the keys.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("length", &self.kek.length)
            .field("even", &self.even.is_some())
            .field("odd", &self.odd.is_some())
            .field("sending", &self.sending)
            .finish()
    }
}

/// How often a key was derived because the peer had a new salt.
#[derive(Debug, Default)]
struct Derivations {
    since: Option<Instant>,
    count: u32,
}

impl Derivations {
    fn allow(&mut self, now: Instant) -> bool {
        let over = |since: Instant| now.saturating_duration_since(since) >= MINUTE;
        if self.since.is_none_or(over) {
            self.since = Some(now);
            self.count = 0;
        }
        self.count += 1;
        self.count <= Keys::DERIVATIONS
    }
}

/// What an end says of its keys when it cannot answer with key material
/// (draft-sharabayko-srt section 3.2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// It has no passphrase, but the other end has.
    NoSecret,
    /// It has another passphrase.
    BadSecret,
}

impl KeyState {
    /// From the answer to key material; `None` if that is key material.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let word = body.as_array::<4>()?;
        // libsrt writes it as its processor does, the draft has it like all others.
        match word {
            [4, 0, 0, 0] | [0, 0, 0, 4] => Some(Self::BadSecret),
            _ => Some(Self::NoSecret),
        }
    }

    /// As libsrt on the usual processors writes and reads it: the lowest byte first.
    #[must_use]
    pub const fn write(self) -> Bytes {
        Bytes::from_static(match self {
            Self::NoSecret => &[3, 0, 0, 0],
            Self::BadSecret => &[4, 0, 0, 0],
        })
    }
}

const MINUTE: Duration = Duration::from_secs(60);

/// The bytes of a salt.
const SALT_LEN: usize = 16;

/// The bytes of the longest key.
pub const MAX_KEY_LEN: usize = 32;
