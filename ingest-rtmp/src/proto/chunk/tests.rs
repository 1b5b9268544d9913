//! Chunks by hand: what the reader makes of every header type, and of peers
//! that mean no good.

use bytes::BytesMut;
use proptest::prelude::*;

use super::writer::basic_header;
use super::*;

/// Chunks as a test writes them.
#[derive(Default)]
struct Wire(BytesMut);

impl Wire {
    /// A type 0 chunk: timestamp, length of the message, kind, stream.
    fn full(
        mut self,
        id: u32,
        (time, length, kind, stream): (u32, usize, u8, u32),
        body: &[u8],
    ) -> Self {
        basic_header(0, id, &mut self.0);
        self.times(time, Some((length, kind)), Some(stream));
        self.then(body)
    }

    /// A type 1 chunk: delta, length of the message, kind.
    fn same_stream(
        mut self,
        id: u32,
        (delta, length, kind): (u32, usize, u8),
        body: &[u8],
    ) -> Self {
        basic_header(1, id, &mut self.0);
        self.times(delta, Some((length, kind)), None);
        self.then(body)
    }

    /// A type 2 chunk: delta.
    fn same_shape(mut self, id: u32, delta: u32, body: &[u8]) -> Self {
        basic_header(2, id, &mut self.0);
        self.times(delta, None, None);
        self.then(body)
    }

    /// A type 3 chunk.
    fn more(mut self, id: u32, body: &[u8]) -> Self {
        basic_header(3, id, &mut self.0);
        self.then(body)
    }

    fn then(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn times(&mut self, time: u32, shape: Option<(usize, u8)>, stream: Option<u32>) {
        self.0
            .extend_from_slice(&time.min(EXTENDED).to_be_bytes()[1..]);
        if let Some((length, kind)) = shape {
            self.0
                .extend_from_slice(&u32::try_from(length).unwrap().to_be_bytes()[1..]);
            self.0.extend_from_slice(&[kind]);
        }
        self.0
            .extend_from_slice(&stream.map_or(vec![], |stream| stream.to_le_bytes().to_vec()));
        if time >= EXTENDED {
            self.0.extend_from_slice(&time.to_be_bytes());
        }
    }
}

fn reader() -> Reader {
    let mut reader = Reader::new(ReaderLimits::default());
    reader.allow_media(true);
    reader
}

/// Everything that a reader makes of the bytes, given in pieces of `step`.
fn read_in_steps(mut reader: Reader, wire: &[u8], step: usize) -> Result<Vec<Message>, ChunkError> {
    let mut messages = Vec::new();
    for mut piece in wire.chunks(step) {
        while let Some(message) = reader.read(&mut piece)? {
            messages.push(message);
        }
        assert!(piece.is_empty());
        reader.held_bytes();
    }
    Ok(messages)
}

/// Checks (timestamp, stream, kind, body) of all messages at several splits.
fn check(wire: Wire, want: &[(u32, u32, u8, &[u8])]) {
    for step in [1, 2, 3, 7, 128, usize::MAX] {
        let messages = read_in_steps(reader(), &wire.0, step).unwrap();
        let got: Vec<_> = messages
            .iter()
            .map(|m| (m.timestamp, m.stream, m.kind, &m.body[..]))
            .collect();
        assert_eq!(got, want, "in steps of {step}");
    }
}

#[test]
fn headers_leave_out_what_is_as_before() {
    let wire = Wire::default()
        .full(4, (1_000, 3, 8, 1), b"abc")
        .same_stream(4, (20, 2, 9), b"de")
        .same_shape(4, 30, b"fg")
        .more(4, b"hi")
        .full(4, (5, 1, 8, 2), b"j")
        .more(4, b"k");
    check(
        wire,
        &[
            (1_000, 1, 8, b"abc"),
            (1_020, 1, 9, b"de"),
            (1_050, 1, 9, b"fg"),
            (1_080, 1, 9, b"hi"),
            (5, 2, 8, b"j"),
            // Section 5.3.1.2.4: after type 0 the delta is its timestamp.
            (10, 2, 8, b"k"),
        ],
    );
}

#[test]
fn every_form_of_a_chunk_stream_id_is_read() {
    for id in [2, 3, 63, 64, 65, 319, 320, 321, 65_598, 65_599] {
        let wire = Wire::default().full(id, (7, 2, 8, 1), b"ab");
        let messages = read_in_steps(reader(), &wire.0, 1).unwrap();
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0].chunk_stream, id);
    }
}

#[test]
fn messages_on_different_chunk_streams_interleave() {
    let (video, audio) = ([1; 300], [2; 200]);
    let wire = Wire::default()
        .full(6, (40, 300, 9, 1), &video[..128])
        .full(4, (41, 200, 8, 1), &audio[..128])
        .more(6, &video[128..256])
        .full(2, (0, 4, 3, 0), &[0, 0, 0, 9])
        .more(4, &audio[128..])
        .more(6, &video[256..]);
    check(
        wire,
        &[
            (0, 0, 3, &[0, 0, 0, 9]),
            (41, 1, 8, &audio),
            (40, 1, 9, &video),
        ],
    );
}

#[test]
fn a_message_that_is_begun_anew_replaces_the_unfinished_one() {
    let wire = Wire::default()
        .full(4, (1, 200, 9, 1), &[1; 128])
        .full(4, (2, 2, 9, 1), b"ok")
        .same_stream(4, (3, 200, 9), &[1; 128])
        .same_shape(4, 3, &[2; 128])
        .more(4, &[2; 72]);
    check(wire, &[(2, 1, 9, b"ok"), (8, 1, 9, &[2; 200])]);
}

#[test]
fn an_empty_message_is_a_message() {
    let wire = Wire::default()
        .full(4, (9, 0, 8, 1), b"")
        .same_shape(4, 1, b"")
        .more(4, b"");
    check(wire, &[(9, 1, 8, b""), (10, 1, 8, b""), (11, 1, 8, b"")]);
}

#[test]
fn extended_timestamps_are_read_whether_they_are_repeated_or_not() {
    let body = [7; 300];
    for time in [
        EXTENDED,
        EXTENDED + 1,
        0x0100_0000,
        0x7FFF_FFFF,
        0x8000_0000,
        u32::MAX,
    ] {
        let again = time.to_be_bytes();
        let repeating = Wire::default()
            .full(4, (time, 300, 9, 1), &body[..128])
            .more(4, &again)
            .then(&body[128..256])
            .more(4, &again)
            .then(&body[256..])
            .same_shape(4, 40, &body[..128])
            .more(4, &body[128..256])
            .more(4, &body[256..]);
        let omitting = Wire::default()
            .full(4, (time, 300, 9, 1), &body[..128])
            .more(4, &body[128..256])
            .more(4, &body[256..])
            .same_shape(4, 40, &body[..128])
            .more(4, &body[128..256])
            .more(4, &body[256..]);
        for wire in [repeating, omitting] {
            check(
                wire,
                &[(time, 1, 9, &body), (time.wrapping_add(40), 1, 9, &body)],
            );
        }
    }
}

#[test]
fn payload_that_begins_like_the_timestamp_is_kept_wherever_reads_cut_it() {
    let time = 0x0100_0000_u32;
    for length in 129..=136 {
        // As much of the timestamp as there is room for, but never all of it.
        let mut body = vec![7; length];
        for (at, byte) in body.iter_mut().skip(128).zip([1, 0, 0]) {
            *at = byte;
        }
        let wire = Wire::default()
            .full(4, (time, length, 9, 1), &body[..128])
            .more(4, &body[128..])
            .full(5, (9, 2, 8, 1), b"ab");
        check(wire, &[(time, 1, 9, &body), (9, 1, 8, b"ab")]);
    }
}

#[test]
fn an_extended_delta_may_be_smaller_than_the_field_it_replaces() {
    let mut wire = Wire::default().full(4, (100, 1, 9, 1), b"a");
    basic_header(2, 4, &mut wire.0);
    wire.0
        .extend_from_slice(&[0xFF, 0xFF, 0xFF, 0, 0, 0, 5, b'b']);
    check(wire, &[(100, 1, 9, b"a"), (105, 1, 9, b"b")]);
}

#[test]
fn a_peers_habit_decides_where_bytes_could_be_either() {
    let time = 0x0100_0000_u32;
    let again = time.to_be_bytes();
    // It has left the field out once: bytes that look like it are payload.
    let mut body = [7; 384];
    body[256..260].copy_from_slice(&again);
    let omitting = Wire::default()
        .full(4, (time, 384, 9, 1), &body[..128])
        .more(4, &body[128..256])
        .more(4, &body[256..]);
    check(omitting, &[(time, 1, 9, &body)]);
    // It has repeated it once: a new message of type 3 brings a new delta.
    let repeating = Wire::default()
        .full(4, (1, 130, 9, 1), &body[..128])
        .more(4, &body[128..130])
        .same_shape(4, time, &body[..128])
        .more(4, &again)
        .then(&body[128..130])
        .more(4, &(time + 1).to_be_bytes())
        .then(&body[..128])
        .more(4, &(time + 1).to_be_bytes())
        .then(&body[128..130]);
    check(
        repeating,
        &[
            (1, 1, 9, &body[..130]),
            (1 + time, 1, 9, &body[..130]),
            (2 + 2 * time, 1, 9, &body[..130]),
        ],
    );
}

#[test]
fn timestamps_wrap() {
    let wire = Wire::default()
        .full(4, (u32::MAX - 9, 1, 8, 1), b"a")
        .same_shape(4, 20, b"b");
    check(wire, &[(u32::MAX - 9, 1, 8, b"a"), (10, 1, 8, b"b")]);
}

#[test]
fn an_abort_drops_the_unfinished_message_only() {
    let mut reader = reader();
    let wire =
        Wire::default()
            .full(6, (0, 200, 9, 1), &[1; 128])
            .full(4, (0, 200, 8, 1), &[2; 128]);
    assert_eq!(reader.read(&mut &wire.0[..]), Ok(None));
    reader.abort(6);
    reader.abort(6);
    reader.abort(77);
    let wire = Wire::default()
        .more(4, &[2; 72])
        .more(6, &[3; 128])
        .more(6, &[3; 72]);
    let messages = read_in_steps(reader, &wire.0, 50).unwrap();
    let bodies: Vec<_> = messages.iter().map(|m| &m.body[..]).collect();
    assert_eq!(bodies, [&[2; 200][..], &[3; 200]]);
}

#[test]
fn the_chunk_size_follows_the_peer() {
    let mut reader = reader();
    let body = [5; 1_000];
    let wire = Wire::default().full(4, (0, 1_000, 9, 1), &body[..128]);
    assert_eq!(reader.read(&mut &wire.0[..]), Ok(None));
    reader.set_chunk_size(500).unwrap();
    let wire = Wire::default()
        .more(4, &body[128..628])
        .more(4, &body[628..]);
    assert_eq!(
        read_in_steps(reader, &wire.0, 9).unwrap()[0].body,
        &body[..]
    );

    let mut reader = self::reader();
    for size in [0, 0x8000_0000, u32::MAX] {
        assert_eq!(
            reader.set_chunk_size(size),
            Err(ChunkError::ChunkSize(size))
        );
    }
    reader.set_chunk_size(0x7FFF_FFFF).unwrap();
}

#[test]
fn a_chunk_stream_must_introduce_itself() {
    for (format, first) in [(2, 0x84), (3, 0xC4)] {
        let error = read_in_steps(reader(), &[first, 0, 0, 0, 0], 1);
        assert_eq!(
            error,
            Err(ChunkError::NoHeader {
                chunk_stream: 4,
                format
            })
        );
    }
    // librtmp opens the control chunk stream with type 1.
    let wire = Wire::default().same_stream(2, (0, 6, 4), &[0, 6, 0, 0, 0, 1]);
    check(wire, &[(0, 0, 4, &[0, 6, 0, 0, 0, 1])]);
}

#[test]
fn what_is_declared_is_not_allocated() {
    let mut reader = reader();
    for id in 3..19 {
        let wire = Wire::default().full(id, (0, 8 << 20, 9, 1), b"x");
        assert_eq!(reader.read(&mut &wire.0[..]), Ok(None));
        // The rest of the chunk, so that the next header is read as one.
        assert_eq!(reader.read(&mut &[0; 127][..]), Ok(None));
    }
    assert!(reader.held_bytes() <= 16 * 512, "{}", reader.held_bytes());
    let wire = Wire::default().full(60, (0, 8 << 20, 9, 1), b"x");
    assert_eq!(
        reader.read(&mut &wire.0[..]),
        Err(ChunkError::TooManyPartialMessages(16))
    );
}

#[test]
fn a_finished_body_owns_exactly_its_allocation() {
    let body: Vec<u8> = (0..100_000_u32)
        .map(|i| u8::try_from(i % 253).unwrap())
        .collect();
    let message = Message {
        chunk_stream: 6,
        kind: 9,
        stream: 1,
        timestamp: 0,
        body: body.into(),
    };
    let mut wire = BytesMut::new();
    Writer::new().write(&message, &mut wire);
    for step in [1, 1_000, 65_536, usize::MAX] {
        let got = read_in_steps(reader(), &wire, step).unwrap().remove(0);
        assert_eq!(got, message);
        let vec = Vec::from(got.body);
        assert_eq!(vec.capacity(), vec.len());
    }
}

#[test]
fn every_bound_holds() {
    let limits = ReaderLimits {
        max_message_size: 1_000,
        max_command_size: 100,
        max_chunk_streams: 3,
        max_partial_messages: 2,
        max_partial_bytes: 1_200,
    };
    let fresh = || Reader::new(limits.clone());
    let media = || {
        let mut reader = fresh();
        reader.allow_media(true);
        reader
    };
    let too_long = |kind, declared, limit| {
        Err(ChunkError::MessageTooLong {
            kind,
            declared,
            limit,
            media: limit == 1_000,
        })
    };
    let long = |kind, length| Wire::default().full(4, (0, length, kind, 1), b"");
    for (reader, wire, want) in [
        (media(), long(9, 1_001), too_long(9, 1_001, 1_000)),
        (media(), long(8, 1_001), too_long(8, 1_001, 1_000)),
        (media(), long(22, 0xFF_FFFF), too_long(22, 0xFF_FFFF, 1_000)),
        (media(), long(20, 101), too_long(20, 101, 100)),
        (media(), long(18, 101), too_long(18, 101, 100)),
        (fresh(), long(9, 101), too_long(9, 101, 100)),
        (fresh(), long(9, 100), Ok(vec![])),
    ] {
        assert_eq!(read_in_steps(reader, &wire.0, 3), want);
    }

    let streams = |count: u32| {
        let chunk = |wire: Wire, id| wire.full(3 + id, (0, 1, 9, 1), b"x");
        (0..count).fold(Wire::default(), chunk)
    };
    assert_eq!(read_in_steps(fresh(), &streams(3).0, 5).unwrap().len(), 3);
    let error = read_in_steps(fresh(), &streams(4).0, 5);
    assert_eq!(error, Err(ChunkError::TooManyChunkStreams(3)));

    let mut reader = media();
    reader.set_chunk_size(900).unwrap();
    let wire =
        Wire::default()
            .full(4, (0, 1_000, 9, 1), &[1; 900])
            .full(5, (0, 1_000, 9, 1), &[1; 900]);
    assert_eq!(
        read_in_steps(reader, &wire.0, usize::MAX),
        Err(ChunkError::TooManyPartialBytes(1_200))
    );
}

proptest! {
    /// Whatever is written in whatever pieces is read as it was.
    #[test]
    fn what_is_written_is_read(
        messages in prop::collection::vec(
            (2_u32..400, prop::sample::select(vec![1_u8, 8, 9, 18, 20]), any::<u32>(), any::<u32>(), 0_usize..700),
            1..12,
        ),
        chunk_size in 1_u32..300,
        step in 1_usize..500,
    ) {
        let mut writer = Writer::new();
        writer.set_chunk_size(chunk_size);
        let mut wire = BytesMut::new();
        let messages: Vec<Message> = messages
            .into_iter()
            .map(|(chunk_stream, kind, stream, timestamp, length)| Message {
                chunk_stream,
                kind,
                stream,
                timestamp,
                body: vec![kind; length].into(),
            })
            .collect();
        for message in &messages {
            writer.write(message, &mut wire);
        }
        let mut reader = reader();
        reader.set_chunk_size(chunk_size).unwrap();
        prop_assert_eq!(read_in_steps(reader, &wire, step), Ok(messages));
    }

    /// How the bytes are cut makes no difference, whatever they are.
    #[test]
    fn pieces_make_no_difference(wire in prop::collection::vec(any::<u8>(), 0..600), step in 1_usize..50) {
        let whole = read_in_steps(reader(), &wire, usize::MAX);
        prop_assert_eq!(read_in_steps(reader(), &wire, step), whole);
    }
}
