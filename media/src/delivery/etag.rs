//! Entity tags and the conditions that name them (RFC 9110 sections 8.8.3, 13).

use bytes::Bytes;
use http::HeaderMap;
use http::header::{HeaderValue, IF_NONE_MATCH, IF_RANGE};

/// The entity tag that is made of `pieces`, one after the other between quotes;
/// `None` if they hold what a tag must not: anything but visible ASCII, or a
/// quote.
#[must_use]
pub fn entity_tag(pieces: &[&str]) -> Option<HeaderValue> {
    let legal = |byte: u8| byte == 0x21 || (0x23..=0x7e).contains(&byte);
    let length = pieces.iter().map(|piece| piece.len()).sum::<usize>();
    let mut tag = Vec::with_capacity(length + 2);
    tag.push(b'"');
    for piece in pieces {
        if !piece.bytes().all(legal) {
            return None;
        }
        tag.extend_from_slice(piece.as_bytes());
    }
    tag.push(b'"');
    HeaderValue::from_maybe_shared(Bytes::from(tag)).ok()
}

/// Whether If-None-Match names what there is, so that 304 says enough.
pub(super) fn unchanged(headers: &HeaderMap, tag: Option<&HeaderValue>) -> bool {
    let mut lines = headers.get_all(IF_NONE_MATCH).iter();
    let matches =
        |tag: &str, line: &str| line.trim() == "*" || listed(line).any(|listed| listed == tag);
    lines.any(|line| match (tag.map(HeaderValue::to_str), line.to_str()) {
        (Some(Ok(tag)), Ok(line)) => matches(tag, line),
        _ => false,
    })
}

/// Whether a range may be answered: there is no If-Range, or it names what
/// there is. A date never does, since nothing here has one, and neither does a
/// weak tag (RFC 9110 section 13.1.5).
pub(super) fn range_allowed(headers: &HeaderMap, tag: Option<&HeaderValue>) -> bool {
    headers
        .get(IF_RANGE)
        .is_none_or(|wanted| Some(wanted) == tag)
}

/// The tags of a list, each with its quotes, weak ones as if they were strong:
/// If-None-Match compares weakly.
///
/// A comma may stand inside a tag, so the list is cut at its quotes.
fn listed(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        let start = rest.find('"')?;
        let tail = rest.get(start..)?;
        let length = tail.get(1..)?.find('"')? + 2;
        let (tag, after) = tail.split_at_checked(length)?;
        rest = after;
        Some(tag)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: http::header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn if_none_match_compares_weakly_against_a_list() {
        let tag = entity_tag(&["a", ",1"]);
        for (value, want) in [
            ("\"a,1\"", true),
            ("W/\"a,1\"", true),
            ("\"x\", W/\"y\" , \"a,1\"", true),
            ("*", true),
            (" * ", true),
            ("a,1", false),
            ("\"a\", \"1\"", false),
            ("\"a,1", false),
            ("", false),
            ("\"", false),
        ] {
            let headers = headers(IF_NONE_MATCH, value);
            assert_eq!(unchanged(&headers, tag.as_ref()), want, "{value}");
        }
        assert!(!unchanged(&HeaderMap::new(), tag.as_ref()));
    }

    #[test]
    fn if_range_compares_strongly() {
        let tag = entity_tag(&["7"]);
        for (value, want) in [
            ("\"7\"", true),
            ("W/\"7\"", false),
            ("\"8\"", false),
            ("Sat, 01 Jan 2028 00:00:00 GMT", false),
        ] {
            let headers = headers(IF_RANGE, value);
            assert_eq!(range_allowed(&headers, tag.as_ref()), want, "{value}");
        }
        assert!(range_allowed(&HeaderMap::new(), tag.as_ref()));
    }

    #[test]
    fn a_tag_with_a_quote_or_a_space_is_no_tag() {
        for pieces in [&["a\"b"][..], &["a b"], &["a", "\n"], &["é"]] {
            assert_eq!(entity_tag(pieces), None, "{pieces:?}");
        }
        let whole = Some(HeaderValue::from_static("\"a-1\""));
        assert_eq!(entity_tag(&["a-1"]), whole);
        assert_eq!(entity_tag(&["a", "-", "1"]), whole);
    }
}
