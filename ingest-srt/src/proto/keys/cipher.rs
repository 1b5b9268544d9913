//! AES, in the three lengths that SRT has: [`Cipher`] for payloads, [`Kek`] for keys.

use aes::cipher::{InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper};
use aes::{Aes128, Aes192, Aes256};
use aes_kw::AesKw;
use ctr::{CtrCore, flavors::Ctr128BE};
use sha1::Sha1;

use super::{KeyLength, SALT_LEN, Secret, SeqNumber};

/// A key for payloads, AES in counter mode. Its tables are prepared once.
pub(super) enum Cipher {
    Aes128(Box<Aes128>),
    Aes192(Box<Aes192>),
    Aes256(Box<Aes256>),
}

impl Cipher {
    pub(super) fn new(key: &Secret, length: KeyLength) -> Self {
        match length {
            KeyLength::Aes128 => Self::Aes128(Box::new(Aes128::new(&first(key).into()))),
            KeyLength::Aes192 => Self::Aes192(Box::new(Aes192::new(&first(key).into()))),
            KeyLength::Aes256 => Self::Aes256(Box::new(Aes256::new(&first(key).into()))),
        }
    }

    /// Encrypts or decrypts the payload of packet `seq` in place: the same.
    pub(super) fn apply(&self, salt: &[u8; SALT_LEN], seq: SeqNumber, payload: &mut [u8]) {
        let iv = initial_counter(salt, seq).into();
        match self {
            Self::Aes128(aes) => StreamCipherCoreWrapper::from_core(
                CtrCore::<_, Ctr128BE>::inner_iv_init(aes.as_ref(), &iv),
            )
            .apply_keystream(payload),
            Self::Aes192(aes) => StreamCipherCoreWrapper::from_core(
                CtrCore::<_, Ctr128BE>::inner_iv_init(aes.as_ref(), &iv),
            )
            .apply_keystream(payload),
            Self::Aes256(aes) => StreamCipherCoreWrapper::from_core(
                CtrCore::<_, Ctr128BE>::inner_iv_init(aes.as_ref(), &iv),
            )
            .apply_keystream(payload),
        }
    }
}

/// The first 14 bytes of the salt, with the packet's number in the last four of them
/// added bit by bit; then the counter of blocks (draft-sharabayko-srt section 6.2.2).
fn initial_counter(salt: &[u8; SALT_LEN], seq: SeqNumber) -> [u8; 16] {
    let salt = u128::from_be_bytes(*salt) >> 16 << 16;
    (salt ^ u128::from(seq.value()) << 16).to_be_bytes()
}

/// The key that keys are wrapped with, and what it was derived from.
pub(super) struct Kek {
    pub(super) length: KeyLength,
    pub(super) salt: [u8; SALT_LEN],
    key: Secret,
}

impl Kek {
    /// PBKDF2 of the passphrase and the second half of the salt
    /// (draft-sharabayko-srt section 6.1.4).
    pub(super) fn derive(passphrase: &[u8], salt: &[u8; SALT_LEN], length: KeyLength) -> Self {
        let (_, half) = salt.split_at(SALT_LEN / 2);
        let mut key = Secret::default();
        if let Some(used) = key.get_mut(..length.bytes()) {
            pbkdf2::pbkdf2_hmac::<Sha1>(passphrase, half, ROUNDS, used);
        }
        Self {
            length,
            salt: *salt,
            key,
        }
    }

    /// Whether it is the one derived for these.
    pub(super) fn fits(&self, salt: &[u8; SALT_LEN], length: KeyLength) -> bool {
        self.salt == *salt && self.length == length
    }

    /// Wraps `keys`, one or two of its own length.
    pub(super) fn wrap(&self, keys: &[u8]) -> Vec<u8> {
        let mut out = vec![0; keys.len() + aes_kw::IV_LEN];
        let wrapped = match self.length {
            KeyLength::Aes128 => AesKw::<Aes128>::new(&first(&self.key).into())
                .wrap_key(keys, &mut out)
                .is_ok(),
            KeyLength::Aes192 => AesKw::<Aes192>::new(&first(&self.key).into())
                .wrap_key(keys, &mut out)
                .is_ok(),
            KeyLength::Aes256 => AesKw::<Aes256>::new(&first(&self.key).into())
                .wrap_key(keys, &mut out)
                .is_ok(),
        };
        debug_assert!(wrapped, "the lengths are right");
        out
    }

    /// The keys in `wrapped`; `None` if it was another key that they were wrapped with.
    pub(super) fn unwrap(&self, wrapped: &[u8]) -> Option<Vec<u8>> {
        let mut out = vec![0; wrapped.len().checked_sub(aes_kw::IV_LEN)?];
        match self.length {
            KeyLength::Aes128 => AesKw::<Aes128>::new(&first(&self.key).into())
                .unwrap_key(wrapped, &mut out)
                .is_ok(),
            KeyLength::Aes192 => AesKw::<Aes192>::new(&first(&self.key).into())
                .unwrap_key(wrapped, &mut out)
                .is_ok(),
            KeyLength::Aes256 => AesKw::<Aes256>::new(&first(&self.key).into())
                .unwrap_key(wrapped, &mut out)
                .is_ok(),
        }
        .then_some(out)
    }
}

/// The first `N` bytes of a key.
fn first<const N: usize>(key: &Secret) -> [u8; N] {
    let mut first = [0; N];
    for (to, from) in first.iter_mut().zip(key) {
        *to = *from;
    }
    first
}

/// Fixed by the draft.
const ROUNDS: u32 = 2_048;
