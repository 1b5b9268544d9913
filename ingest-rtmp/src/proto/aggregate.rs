//! Aggregate messages (specification section 7.1.6): several messages, each
//! laid out as a tag of an FLV file, in the body of one.

use bytes::Bytes;

use super::chunk::Message;

/// The messages of an aggregate, one after the other. What is cut off at the
/// end is left out.
#[derive(Clone, Debug)]
pub struct Aggregate {
    outer: Message,
    rest: Bytes,
    /// The timestamp of the first message in it, to which the aggregate's own
    /// corresponds.
    first: Option<u32>,
}

impl Aggregate {
    /// Opens the body of an aggregate message.
    #[must_use]
    pub fn new(message: Message) -> Self {
        Self {
            rest: message.body.clone(),
            outer: message,
            first: None,
        }
    }
}

impl Iterator for Aggregate {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        let (head, _) = self.rest.split_first_chunk::<HEADER>()?;
        let [kind, l0, l1, l2, t0, t1, t2, t3, ..] = *head;
        let length = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        // The high byte of an FLV timestamp stands last.
        let timestamp = u32::from_be_bytes([t3, t0, t1, t2]);
        let end = HEADER + length;
        if end > self.rest.len() {
            self.rest.clear();
            return None;
        }
        // A slice of less than half would keep the whole aggregate alive.
        let body = if length * 2 >= self.outer.body.len() {
            self.rest.slice(HEADER..end)
        } else {
            Bytes::copy_from_slice(self.rest.get(HEADER..end)?)
        };
        // The back pointer behind the last one may be missing.
        let next = (end + BACK_POINTER).min(self.rest.len());
        self.rest = self.rest.slice(next..);
        let first = *self.first.get_or_insert(timestamp);
        Some(Message {
            chunk_stream: self.outer.chunk_stream,
            kind,
            stream: self.outer.stream,
            timestamp: self
                .outer
                .timestamp
                .wrapping_add(timestamp.wrapping_sub(first)),
            body,
        })
    }
}

/// Type, size, timestamp, stream id.
const HEADER: usize = 11;
/// The size of the tag before it.
const BACK_POINTER: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(kind: u8, timestamp: u32, body: &[u8]) -> Vec<u8> {
        let [t3, t0, t1, t2] = timestamp.to_be_bytes();
        let [_, l0, l1, l2] = u32::try_from(body.len()).unwrap().to_be_bytes();
        let mut tag = vec![kind, l0, l1, l2, t0, t1, t2, t3, 0, 0, 0];
        tag.extend_from_slice(body);
        tag.extend_from_slice(&(11 + u32::try_from(body.len()).unwrap()).to_be_bytes());
        tag
    }

    fn open(timestamp: u32, body: Vec<u8>) -> Vec<(u8, u32, Vec<u8>)> {
        let message = Message {
            chunk_stream: 4,
            kind: 22,
            stream: 1,
            timestamp,
            body: body.into(),
        };
        let inner = Aggregate::new(message);
        inner
            .map(|inner| (inner.kind, inner.timestamp, inner.body.to_vec()))
            .collect()
    }

    #[test]
    fn times_are_moved_to_the_aggregates_own() {
        let body = [
            tag(9, 0x0100_0000, b"video"),
            tag(8, 0x0100_0014, b"a"),
            tag(9, 0x0100_0028, b""),
        ];
        assert_eq!(
            open(1_000, body.concat()),
            [
                (9, 1_000, b"video".to_vec()),
                (8, 1_020, b"a".to_vec()),
                (9, 1_040, vec![])
            ]
        );
        let wrapping = [tag(9, u32::MAX, b"v"), tag(9, 9, b"w")].concat();
        assert_eq!(
            open(u32::MAX, wrapping),
            [(9, u32::MAX, b"v".to_vec()), (9, 9, b"w".to_vec())]
        );
    }

    #[test]
    fn what_is_cut_off_is_left_out() {
        let body = [tag(9, 0, b"video"), tag(8, 20, b"audio")].concat();
        for length in 0..body.len() {
            let whole = match length {
                0..16 => 0,
                16..36 => 1,
                _ => 2,
            };
            assert_eq!(open(0, body[..length].to_vec()).len(), whole, "{length}");
        }
    }

    #[test]
    fn small_ones_do_not_keep_a_large_one_alive() {
        let body = Bytes::from([tag(8, 0, &[1; 10]), tag(9, 0, &[2; 1_000])].concat());
        let range = body.as_ptr_range();
        let message = Message {
            chunk_stream: 4,
            kind: 22,
            stream: 1,
            timestamp: 0,
            body: body.clone(),
        };
        let inside: Vec<bool> = Aggregate::new(message)
            .map(|inner| range.contains(&inner.body.as_ptr()))
            .collect();
        assert_eq!(inside, [false, true]);
    }
}
