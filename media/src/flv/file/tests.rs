//! Files by hand, and cut into reads of any size.

use proptest::prelude::*;

use super::*;

fn tag(kind: u8, timestamp: u32, body: &[u8]) -> Vec<u8> {
    let [extension, time @ ..] = timestamp.to_be_bytes();
    let [_, size @ ..] = u32::try_from(body.len()).unwrap().to_be_bytes();
    let mut out = vec![kind];
    out.extend_from_slice(&size);
    out.extend_from_slice(&time);
    out.push(extension);
    out.extend_from_slice(&[0, 0, 0]);
    out.extend_from_slice(body);
    let whole = u32::try_from(out.len()).unwrap();
    out.extend_from_slice(&whole.to_be_bytes());
    out
}

fn header(offset: u32) -> Vec<u8> {
    let mut out = b"FLV\x01\x05".to_vec();
    out.extend_from_slice(&offset.to_be_bytes());
    out.resize(usize::try_from(offset).unwrap() + 4, 0);
    out
}

fn all(reader: &mut Reader) -> Vec<Tag> {
    std::iter::from_fn(|| reader.next_tag().unwrap()).collect()
}

#[test]
fn tags_come_with_their_extended_timestamps() {
    let file = [
        header(9),
        tag(18, 0, b"meta"),
        tag(9, 0x0123_4567, b"video"),
        tag(8, 0xffff_ffff, b""),
        tag(15, 7, b"?"),
    ]
    .concat();
    let mut reader = Reader::new();
    reader.push(&file);
    let got: Vec<_> = all(&mut reader)
        .into_iter()
        .map(|tag| (tag.kind, tag.timestamp_ms, tag.body))
        .collect();
    let body = Bytes::from_static;
    assert_eq!(
        got,
        [
            (TagKind::Script, 0, body(b"meta")),
            (TagKind::Video, 0x0123_4567, body(b"video")),
            (TagKind::Audio, u32::MAX, body(b"")),
            (TagKind::Other(15), 7, body(b"?")),
        ]
    );
}

#[test]
fn a_longer_header_is_skipped() {
    let file = [header(20), tag(8, 1, b"x")].concat();
    let mut reader = Reader::new();
    reader.push(&file);
    assert_eq!(all(&mut reader).len(), 1);
}

#[test]
fn what_is_no_flv_is_typed() {
    for bytes in [&b"RIFF    WAVE"[..], b"FLV\x01\x05\0\0\0\x08\0\0\0\0"] {
        let mut reader = Reader::new();
        reader.push(bytes);
        assert_eq!(reader.next_tag(), Err(Error::NoFlv));
    }
}

#[test]
fn an_encrypted_tag_is_skipped() {
    let file = [header(9), tag(0x29, 1, b"secret"), tag(9, 2, b"open")].concat();
    let mut reader = Reader::new();
    reader.push(&file);
    assert_eq!(reader.next_tag(), Err(Error::Encrypted));
    assert_eq!(all(&mut reader).len(), 1);
}

#[test]
fn a_file_that_was_cut_off_ends_before_the_cut_tag() {
    let file = [header(9), tag(9, 1, b"whole"), tag(9, 2, b"cut")].concat();
    let mut reader = Reader::new();
    reader.push(&file[..file.len() - 5]);
    assert_eq!(all(&mut reader).len(), 1);
}

proptest! {
    #[test]
    fn reads_of_any_size_give_the_same_tags(
        tags in prop::collection::vec((any::<u8>(), any::<u32>(), prop::collection::vec(any::<u8>(), 0..40)), 0..8),
        step in 1_usize..50,
    ) {
        let mut file = header(9);
        for (kind, timestamp, body) in &tags {
            file.extend(tag(kind & 0x1f, *timestamp, body));
        }
        let mut whole = Reader::new();
        whole.push(&file);
        let want = all(&mut whole);
        prop_assert_eq!(want.len(), tags.len());

        let mut reader = Reader::new();
        let mut got = Vec::new();
        for read in file.chunks(step) {
            reader.push(read);
            got.extend(all(&mut reader));
        }
        prop_assert_eq!(got, want);
    }

    #[test]
    fn any_bytes_behind_a_header_are_read_without_a_panic(
        step: u8,
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let data = [&[step][..], &header(9), &bytes].concat();
        crate::fuzz::flv_file(&data);
    }
}
