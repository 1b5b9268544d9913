//! Keeping a small payload from pinning a large buffer.

use bytes::Bytes;

/// Returns `payload` itself if it is at least half of the `allocation` (in
/// bytes) that it is a slice of, else a copy that owns its bytes alone.
///
/// A slice keeps its whole allocation alive for as long as the frame lives, in
/// the bus, the window and every viewer's queue: an audio frame cut from a
/// 64 KiB read would hold all of it. `Bytes` does not tell how large its
/// allocation is, so the caller, who made it, must.
#[must_use]
pub fn compact(payload: Bytes, allocation: usize) -> Bytes {
    if payload.len() >= allocation.div_ceil(2) {
        payload
    } else {
        Bytes::copy_from_slice(&payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_slice_of_less_than_half_is_copied() {
        for (len, allocation, kept) in [
            (100, 100, true),
            (50, 100, true),
            (50, 99, true),
            (49, 99, false),
            (49, 100, false),
            (0, 0, true),
            (0, 1, false),
        ] {
            let whole = Bytes::from(vec![7; allocation]);
            let slice = whole.slice(..len);
            let at = slice.as_ptr();
            let out = compact(slice, allocation);
            assert_eq!(out.len(), len);
            assert_eq!(out.as_ptr() == at, kept, "{len} of {allocation}");
        }
    }
}
