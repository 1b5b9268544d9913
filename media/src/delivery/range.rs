//! Byte ranges (RFC 9110 section 14): one at a time.

use http::HeaderMap;
use http::header::{HeaderValue, RANGE};

use super::etag;

/// A range of bytes that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte.
    pub start: usize,
    /// How many bytes; at least one.
    pub len: usize,
}

impl ByteRange {
    /// The value of Content-Range for this part of `total` bytes.
    #[must_use]
    pub fn content_range(self, total: usize) -> String {
        let last = self.start + self.len.saturating_sub(1);
        format!("bytes {}-{last}/{total}", self.start)
    }
}

/// What a request wants of the bytes there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Whole,
    Part(ByteRange),
    /// A range that lies behind the end.
    Nothing,
}

/// What `headers` ask of `total` bytes tagged `tag`. What is malformed, in
/// another unit or more than one range counts as no range at all.
pub(super) fn asked(headers: &HeaderMap, tag: Option<&HeaderValue>, total: usize) -> Asked {
    let mut lines = headers.get_all(RANGE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return Asked::Whole;
    };
    if !etag::range_allowed(headers, tag) {
        return Asked::Whole;
    }
    let line = line.to_str().unwrap_or_default();
    parse(line, total).unwrap_or(Asked::Whole)
}

/// `None` if `line` is no single range of bytes.
fn parse(line: &str, total: usize) -> Option<Asked> {
    let (unit, range) = line.trim().split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = range.trim().split_once('-')?;
    if first.is_empty() {
        let suffix = number(last)?.min(total);
        return Some(part(total - suffix, suffix));
    }
    let first = number(first)?;
    let last = if last.is_empty() {
        usize::MAX
    } else {
        number(last)?
    };
    if last < first {
        return None;
    }
    let end = last.saturating_add(1).min(total);
    Some(part(first, end.saturating_sub(first)))
}

fn part(start: usize, len: usize) -> Asked {
    if len == 0 {
        Asked::Nothing
    } else {
        Asked::Part(ByteRange { start, len })
    }
}

/// Digits only; what no machine can count is as far as it can.
fn number(text: &str) -> Option<usize> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_of_ten_bytes() {
        let part = |start, len| Asked::Part(ByteRange { start, len });
        for (line, want) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=0-9", part(0, 10)),
            ("bytes=2-5", part(2, 4)),
            ("bytes=2-", part(2, 8)),
            ("bytes=9-99999999999999999999999", part(9, 1)),
            ("bytes=-3", part(7, 3)),
            ("bytes=-30", part(0, 10)),
            ("bytes = 1-2", Asked::Whole),
            ("BYTES=1-2", part(1, 2)),
            ("bytes=10-", Asked::Nothing),
            ("bytes=10-12", Asked::Nothing),
            ("bytes=99999999999999999999999-", Asked::Nothing),
            ("bytes=-0", Asked::Nothing),
            ("bytes=5-2", Asked::Whole),
            ("bytes=0-1,4-5", Asked::Whole),
            ("bytes=-", Asked::Whole),
            ("bytes=", Asked::Whole),
            ("bytes=a-b", Asked::Whole),
            ("bytes=+1-2", Asked::Whole),
            ("bytes=1-+2", Asked::Whole),
            ("items=0-1", Asked::Whole),
            ("0-1", Asked::Whole),
            ("", Asked::Whole),
        ] {
            let headers = HeaderMap::from_iter([(RANGE, HeaderValue::from_static(line))]);
            assert_eq!(asked(&headers, None, 10), want, "{line}");
        }
    }

    #[test]
    fn of_nothing_there_is_no_range() {
        for line in ["bytes=0-", "bytes=-5", "bytes=0-0"] {
            assert_eq!(parse(line, 0), Some(Asked::Nothing), "{line}");
        }
    }

    #[test]
    fn content_range_counts_from_zero_and_includes_the_last() {
        let range = ByteRange { start: 2, len: 4 };
        assert_eq!(range.content_range(10), "bytes 2-5/10");
    }
}
