//! Key material as it is sent (draft-sharabayko-srt section 3.2.2): [`KeyMessage`].

use bytes::{BufMut, Bytes, BytesMut};

use super::{KeyLength, MAX_KEY_LEN, SALT_LEN};

/// Keys, wrapped with one that was derived from a passphrase and the salt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyMessage {
    pub(super) length: KeyLength,
    pub(super) holds: Holds,
    pub(super) salt: [u8; SALT_LEN],
    /// Eight bytes more than the keys have.
    pub(super) wrapped: Vec<u8>,
}

/// Which keys are in key material.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Even,
    Odd,
    /// The even one first.
    Both,
}

/// Why key material is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The lengths do not add up.
    #[error("the key material is malformed: {0}")]
    Malformed(&'static str),
    /// AES-GCM, which libsrt has since 1.6.
    #[error(
        "the peer encrypts with AES-GCM, which is not supported: set its crypto mode to AES-CTR"
    )]
    Gcm,
    /// Any other cipher.
    #[error("the peer encrypts with cipher {0}, which is not supported: only AES-CTR is")]
    Cipher(u8),
}

impl KeyMessage {
    pub(super) fn parse(body: &[u8]) -> Result<Self, KeyError> {
        use KeyError::Malformed;
        let (header, rest) = body
            .split_first_chunk::<HEADER_LEN>()
            .ok_or(Malformed("it is too short"))?;
        let [
            version,
            sign0,
            sign1,
            flags,
            kek0,
            kek1,
            kek2,
            kek3,
            cipher,
            auth,
            encapsulation,
            _,
            _,
            _,
            salt_words,
            key_words,
        ] = *header;
        // The first bit is reserved.
        if version & 0x7F != VERSION_AND_TYPE || [sign0, sign1] != SIGN {
            return Err(Malformed("it does not begin as key material does"));
        }
        let holds = match flags & 3 {
            1 => Holds::Even,
            2 => Holds::Odd,
            3 => Holds::Both,
            _ => return Err(Malformed("it holds no key")),
        };
        if [kek0, kek1, kek2, kek3] != [0; 4] {
            return Err(Malformed("it wants a key that is not from the passphrase"));
        }
        match (cipher, auth) {
            (CIPHER_CTR, 0) => {}
            (CIPHER_GCM, _) => return Err(KeyError::Gcm),
            (CIPHER_CTR, _) => return Err(Malformed("it wants an authentication")),
            (other, _) => return Err(KeyError::Cipher(other)),
        }
        if encapsulation != ENCAPSULATION {
            return Err(Malformed("it is not for SRT"));
        }
        let length = KeyLength::from_bytes(usize::from(key_words) * 4)
            .ok_or(Malformed("its keys have no length of AES"))?;
        if usize::from(salt_words) * 4 != SALT_LEN {
            return Err(Malformed("its salt does not have 16 bytes"));
        }
        let (salt, wrapped) = rest
            .split_first_chunk::<SALT_LEN>()
            .ok_or(Malformed("it ends in its salt"))?;
        if wrapped.len() != holds.count() * length.bytes() + WRAP_LEN {
            return Err(Malformed("its keys are not as long as it says"));
        }
        Ok(Self {
            length,
            holds,
            salt: *salt,
            wrapped: wrapped.to_vec(),
        })
    }

    pub(super) fn write(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(MAX_LEN);
        out.put_u8(VERSION_AND_TYPE);
        out.put_slice(&SIGN);
        out.put_u8(match self.holds {
            Holds::Even => 1,
            Holds::Odd => 2,
            Holds::Both => 3,
        });
        out.put_u32(0);
        out.put_slice(&[CIPHER_CTR, 0, ENCAPSULATION, 0, 0, 0]);
        out.put_u8(4);
        out.put_u8(match self.length {
            KeyLength::Aes128 => 4,
            KeyLength::Aes192 => 6,
            KeyLength::Aes256 => 8,
        });
        out.put_slice(&self.salt);
        out.put_slice(&self.wrapped);
        out.freeze()
    }
}

impl Holds {
    const fn count(self) -> usize {
        match self {
            Self::Even | Self::Odd => 1,
            Self::Both => 2,
        }
    }
}

/// Everything before the salt.
const HEADER_LEN: usize = 16;

/// What wrapping adds (RFC 3394).
const WRAP_LEN: usize = 8;

/// The longest key material.
const MAX_LEN: usize = HEADER_LEN + SALT_LEN + 2 * MAX_KEY_LEN + WRAP_LEN;

/// Version 1, packet type 2: key material.
const VERSION_AND_TYPE: u8 = 0x12;

/// "HAI" in the numbers of a registry of vendors.
const SIGN: [u8; 2] = [0x20, 0x29];

const CIPHER_CTR: u8 = 2;
const CIPHER_GCM: u8 = 4;

/// MPEG-TS over SRT.
const ENCAPSULATION: u8 = 2;
