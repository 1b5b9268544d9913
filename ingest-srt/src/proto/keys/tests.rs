//! Keys are made, sent, taken and replaced.

use super::*;

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text).unwrap()
}

fn seed(byte: u8) -> [u8; Keys::SEED_LEN] {
    std::array::from_fn(|at| {
        byte.wrapping_mul(31)
            .wrapping_add(u8::try_from(at).unwrap())
    })
}

fn ours() -> Passphrase {
    passphrase("correct horse battery")
}

const LENGTHS: [KeyLength; 3] = [KeyLength::Aes128, KeyLength::Aes192, KeyLength::Aes256];

/// Encrypts with `sender` what `receiver` must be able to read.
fn check(sender: &Keys, receiver: &Keys, want: KeySlot) {
    for (seq, length) in [(0, 1), (1, 16), (0x7FFF_FFFF, 1_456), (77, 1_316)] {
        let seq = SeqNumber::new(seq);
        let plain: Vec<u8> = (0..=255).cycle().take(length).collect();
        let mut payload = plain.clone();
        let slot = sender.encrypt(seq, &mut payload);
        assert_eq!(slot, want);
        assert!(length < 16 || payload != plain);
        receiver.decrypt(slot, seq, &mut payload).unwrap();
        assert_eq!(payload, plain);
    }
}

#[test]
fn what_one_end_encrypts_the_other_reads() {
    for length in LENGTHS {
        let caller = Keys::new(&ours(), length, &seed(1));
        let message = caller.message();
        let request = KeyRequest::parse(&message).unwrap();
        assert_eq!(request.length(), length);
        assert_eq!(request.response(), message);
        let listener = request.unlock(&ours()).unwrap();
        check(&caller, &listener, KeySlot::Even);
        check(&listener, &caller, KeySlot::Even);
    }
}

#[test]
fn another_passphrase_does_not_unlock() {
    let message = Keys::new(&ours(), KeyLength::Aes256, &seed(2)).message();
    let request = KeyRequest::parse(&message).unwrap();
    let refused = request.unlock(&passphrase("correct horse batterx"));
    assert_eq!(refused.err(), Some(BadSecret));
}

#[test]
fn keys_are_replaced_in_session() {
    let now = Instant::now();
    for length in LENGTHS {
        let mut sender = Keys::new(&ours(), length, &seed(3));
        let request = KeyRequest::parse(&sender.message()).unwrap();
        let mut receiver = request.unlock(&ours()).unwrap();
        let mut slot = KeySlot::Even;
        for round in 0..20 {
            let mut late = *b"sent with the old key, arrives after the new one";
            let (plain, seq) = (late, SeqNumber::new(9));
            let old = sender.encrypt(seq, &mut late);
            // More often than salts may be new: this salt is not.
            let message = sender.renew(&[round; MAX_KEY_LEN]);
            assert_eq!(receiver.refresh(&message, now), message);
            check(&sender, &receiver, slot);
            sender.switch();
            slot = match slot {
                KeySlot::Even => KeySlot::Odd,
                _ => KeySlot::Even,
            };
            check(&sender, &receiver, slot);
            receiver.decrypt(old, seq, &mut late).unwrap();
            assert_eq!(late, plain);
        }
    }
}

#[test]
fn material_that_is_not_understood_changes_nothing() {
    let now = Instant::now();
    let sender = Keys::new(&ours(), KeyLength::Aes128, &seed(4));
    let request = KeyRequest::parse(&sender.message()).unwrap();
    let mut receiver = request.unlock(&ours()).unwrap();
    let stranger = Keys::new(&passphrase("somebody else's"), KeyLength::Aes128, &seed(5));
    let answer = receiver.refresh(&stranger.message(), now);
    assert_eq!(KeyState::parse(&answer), Some(KeyState::BadSecret));
    let mut torn = sender.message().to_vec();
    torn.pop();
    let answer = receiver.refresh(&torn, now);
    assert_eq!(KeyState::parse(&answer), Some(KeyState::NoSecret));
    let mut broken = sender.message().to_vec();
    *broken.last_mut().unwrap() ^= 1;
    let answer = receiver.refresh(&broken, now);
    assert_eq!(KeyState::parse(&answer), Some(KeyState::BadSecret));
    check(&sender, &receiver, KeySlot::Even);
}

#[test]
fn new_salts_are_taken_a_few_times_a_minute() {
    let mut now = Instant::now();
    let sender = Keys::new(&ours(), KeyLength::Aes128, &seed(6));
    let request = KeyRequest::parse(&sender.message()).unwrap();
    let mut receiver = request.unlock(&ours()).unwrap();
    for minute in 0..2 {
        for round in 0..20 {
            let sender = Keys::new(&ours(), KeyLength::Aes128, &seed(20 * minute + round + 10));
            let message = sender.message();
            let taken = receiver.refresh(&message, now) == message;
            assert_eq!(taken, u32::from(round) < Keys::DERIVATIONS, "{round}");
            if taken {
                check(&sender, &receiver, KeySlot::Even);
            }
        }
        now += MINUTE;
    }
}

#[test]
fn a_key_that_was_never_sent_decrypts_nothing() {
    let keys = Keys::new(&ours(), KeyLength::Aes128, &seed(7));
    let mut payload = [1, 2, 3];
    let seq = SeqNumber::new(1);
    let odd = keys.decrypt(KeySlot::Odd, seq, &mut payload);
    assert_eq!(odd, Err(Undecryptable));
    assert_eq!(keys.decrypt(KeySlot::None, seq, &mut payload), Ok(()));
    assert_eq!(payload, [1, 2, 3]);
}

#[test]
fn malformed_material_is_refused_in_words() {
    let message = Keys::new(&ours(), KeyLength::Aes128, &seed(8)).message();
    for (at, byte, want) in [
        (0, 0x11, "does not begin as key material"),
        (1, 0x21, "does not begin as key material"),
        (3, 0, "holds no key"),
        (3, 3, "not as long as it says"),
        (7, 1, "not from the passphrase"),
        (8, 4, "AES-GCM"),
        (8, 3, "cipher 3"),
        (9, 1, "authentication"),
        (10, 1, "not for SRT"),
        (14, 5, "16 bytes"),
        (15, 5, "no length of AES"),
        (15, 6, "not as long as it says"),
    ] {
        let mut changed = message.to_vec();
        changed[at] = byte;
        let error = KeyRequest::parse(&changed).unwrap_err().to_string();
        assert!(error.contains(want), "{at}: {error}");
    }
    for length in 0..message.len() {
        KeyRequest::parse(&message[..length]).unwrap_err();
    }
}

#[test]
fn a_passphrase_has_the_length_that_libsrt_wants() {
    for (length, fits) in [(0, false), (9, false), (10, true), (79, true), (80, false)] {
        let made = Passphrase::new("x".repeat(length));
        assert_eq!(made.is_ok(), fits, "{length}");
        if let Err(error) = made {
            assert!(error.to_string().contains("from 10 to 79 bytes"));
        }
    }
    assert!(!format!("{:?}", ours()).contains("horse"));
    let keys = Keys::new(&ours(), KeyLength::Aes128, &seed(9));
    assert!(!format!("{keys:?}").contains("horse"));
}
