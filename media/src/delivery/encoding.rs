//! Whether a client takes gzip, and making it (RFC 9110 section 12.5.3, RFC 1952).

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

/// Whether Accept-Encoding takes gzip: named or by `*`, with a weight above zero.
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let mut star = false;
    let lines = headers.get_all(ACCEPT_ENCODING).iter();
    for line in lines.filter_map(|line| line.to_str().ok()) {
        for item in line.split(',') {
            let mut parts = item.split(';').map(str::trim);
            let coding = parts.next().unwrap_or_default();
            let weight = parts.find_map(|part| {
                let (name, value) = part.split_once('=')?;
                name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
            });
            let taken = weight.is_none_or(|weight| weight.parse().is_ok_and(|q: f32| q > 0.0));
            if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") {
                return taken;
            }
            if coding == "*" {
                star = taken;
            }
        }
    }
    star
}

/// `plain` as gzip; `None` if that is no shorter.
pub(super) fn gzip(plain: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::default());
    // Writing to memory does not fail.
    encoder.write_all(plain).ok()?;
    let packed = encoder.finish().ok()?;
    (packed.len() < plain.len()).then(|| packed.into())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use http::HeaderValue;

    use super::*;

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        for (line, want) in [
            ("gzip", true),
            ("gzip, deflate, br, zstd", true),
            ("br;q=1.0, GZIP;q=0.5", true),
            ("*", true),
            ("*;q=0.1", true),
            ("deflate, x-gzip", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000, *", false),
            ("identity", false),
            ("br, *;q=0", false),
            ("gzip;q=x", false),
            ("", false),
        ] {
            let value = HeaderValue::from_static(line);
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, value)]);
            assert_eq!(takes_gzip(&headers), want, "{line}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn what_is_packed_unpacks_and_what_does_not_shrink_stays() {
        let plain = "#EXTINF:2,\nsegment.m4s\n".repeat(20);
        let packed = gzip(plain.as_bytes()).unwrap();
        assert!(packed.len() * 4 < plain.len());
        let mut read = String::new();
        flate2::read::GzDecoder::new(&packed[..])
            .read_to_string(&mut read)
            .unwrap();
        assert_eq!(read, plain);
        assert_eq!(gzip(b"ab"), None);
    }
}
