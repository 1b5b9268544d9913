//! The query string of a playlist's URL: delivery directives for the server
//! (draft-pantos-hls-rfc8216bis section 6.2.5), and whatever else it holds, which
//! is carried on to the addresses in the playlist.
//!
//! What is carried is a token most of all. A player asks for addresses as they
//! stand in the playlist, so one that did not repeat the token would lead to
//! refusals; and a token in the URL, not in a cookie, is what caches can key by.

use std::borrow::Cow;
use std::fmt::Write as _;

use rillcast_media::cmaf::TrackWindow;

/// What a reload asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reload {
    /// `_HLS_msn` and `_HLS_part`: wait until this is there.
    pub(crate) until: Option<(u64, Option<u32>)>,
    /// `_HLS_skip`: a delta update will do.
    pub(crate) skip: bool,
}

impl Reload {
    /// Reads the directives. Those that are unknown are left for later versions.
    ///
    /// # Errors
    /// What is wrong with them, for people.
    pub(crate) fn read(query: Option<&str>) -> Result<Self, &'static str> {
        let mut reload = Self::default();
        let (mut number, mut part) = (None, None);
        for (name, value) in query.into_iter().flat_map(directives) {
            match name {
                "msn" => {
                    number = Some(decimal(value).ok_or("_HLS_msn is no number")?);
                }
                "part" => {
                    let index = decimal(value).ok_or("_HLS_part is no number")?;
                    // Beyond all that exists, and what that means is judged later.
                    part = Some(u32::try_from(index).unwrap_or(u32::MAX));
                }
                "skip" => reload.skip = matches!(value, "YES" | "v2"),
                _ => {}
            }
        }
        if number.is_none() && part.is_some() {
            return Err("_HLS_part needs _HLS_msn");
        }
        reload.until = number.map(|number| (number, part));
        Ok(reload)
    }

    /// Whether `track` has what is waited for.
    pub(crate) fn is_there(&self, track: &TrackWindow) -> bool {
        let Some((number, part)) = self.until else {
            return true;
        };
        let (next, parts) = track.next;
        let Some(part) = part else {
            return next > number;
        };
        if next <= number {
            return next == number && parts > part;
        }
        let of_segment = track.segment(number).map_or(0, |segment| {
            u32::try_from(segment.parts.len()).unwrap_or(u32::MAX)
        });
        // Past the last part of a segment means the first one of the next; a
        // segment without parts is news by itself.
        of_segment == 0 || part < of_segment || (next, parts) > (number.saturating_add(1), 0)
    }

    /// Whether it asks for what lies so far ahead that something must be wrong
    /// with who asks (section 6.2.5.2).
    pub(crate) fn is_far(&self, track: &TrackWindow) -> bool {
        let Some((number, part)) = self.until else {
            return false;
        };
        let (next, parts) = track.next;
        let last = if parts > 0 {
            next
        } else {
            next.saturating_sub(1)
        };
        if number > last.saturating_add(SEGMENTS_AHEAD) {
            return true;
        }
        let target = track.part_target_duration.as_millis().max(1);
        let ahead = u32::try_from(ADVANCE_MILLIS.div_ceil(target)).unwrap_or(u32::MAX);
        let ahead = ahead.max(LEAST_PARTS_AHEAD);
        let begun = if number == next { parts } else { 0 };
        number >= next && part.is_some_and(|part| part >= begun.saturating_add(ahead))
    }
}

/// What of a query string is carried on: all but delivery directives. `None` if
/// that is nothing.
///
/// # Errors
/// If it is too long to be written behind every address of a playlist.
pub(crate) fn carried(query: &str) -> Result<Option<Cow<'_, str>>, &'static str> {
    if query.is_empty() {
        return Ok(None);
    }
    if query.len() > MOST_CARRIED {
        return Err("the query string is longer than 2048 bytes");
    }
    let is_ours = |pair: &str| pair.is_empty() || pair.starts_with(PREFIX);
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\');
    if query.bytes().all(plain) && !query.split('&').any(is_ours) {
        return Ok(Some(Cow::Borrowed(query)));
    }
    let mut carried = String::with_capacity(query.len());
    for pair in query.split('&').filter(|pair| !is_ours(pair)) {
        if !carried.is_empty() {
            carried.push('&');
        }
        for byte in pair.bytes() {
            if plain(byte) {
                carried.push(char::from(byte));
            } else {
                // Writing to memory does not fail.
                let _ = write!(carried, "%{byte:02X}");
            }
        }
    }
    Ok((!carried.is_empty()).then_some(Cow::Owned(carried)))
}

/// `playlist` with `query` behind every address in it.
pub(crate) fn carry(playlist: &str, query: &str) -> String {
    let addresses = playlist.bytes().filter(|byte| *byte == b'\n').count();
    let more = addresses.saturating_mul(query.len() + 1);
    let mut text = String::with_capacity(playlist.len() + more);
    for line in playlist.split_inclusive('\n') {
        let end = if line.starts_with('#') {
            let uri = line.find(URI).map(|at| at + URI.len());
            let end = uri.and_then(|uri| Some(uri + line.get(uri..)?.find('"')?));
            end.unwrap_or(line.len())
        } else {
            line.trim_end_matches('\n').len()
        };
        let (head, tail) = line.split_at_checked(end).unwrap_or((line, ""));
        text.push_str(head);
        if !tail.is_empty() {
            text.push('?');
            text.push_str(query);
            text.push_str(tail);
        }
    }
    text
}

/// The delivery directives, without their prefix.
fn directives(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.split('&');
    pairs.filter_map(|pair| pair.strip_prefix(PREFIX)?.split_once('='))
}

/// Digits only: `parse` would take a sign.
fn decimal(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// What the names of all delivery directives begin with.
const PREFIX: &str = "_HLS_";

/// Where the address in a tag begins.
const URI: &str = "URI=\"";

/// How many segments ahead of the last one may be asked for.
const SEGMENTS_AHEAD: u64 = 2;

/// How many parts ahead may be asked for: as many as take three seconds, but
/// three of those that last a second or more.
const ADVANCE_MILLIS: u128 = 3_000;
const LEAST_PARTS_AHEAD: u32 = 3;

/// The longest query string that is carried on: twice what signed tokens need.
/// A playlist repeats it some sixty times.
const MOST_CARRIED: usize = 2_048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_read_and_faulty_ones_refused() {
        let reload = |until, skip| Ok(Reload { until, skip });
        for (query, want) in [
            ("", reload(None, false)),
            ("token=1", reload(None, false)),
            ("_HLS_msn=7", reload(Some((7, None)), false)),
            ("_HLS_msn=7&_HLS_part=0", reload(Some((7, Some(0))), false)),
            (
                "t=1&_HLS_skip=YES&_HLS_part=3&_HLS_msn=7",
                reload(Some((7, Some(3))), true),
            ),
            ("_HLS_skip=v2", reload(None, true)),
            ("_HLS_skip=NO&_HLS_new=1&_HLS_", reload(None, false)),
            (
                "_HLS_msn=7&_HLS_part=99999999999",
                reload(Some((7, Some(u32::MAX))), false),
            ),
            ("_HLS_part=3", Err("_HLS_part needs _HLS_msn")),
            ("_HLS_msn=-1", Err("_HLS_msn is no number")),
            ("_HLS_msn=+1", Err("_HLS_msn is no number")),
            ("_HLS_msn=", Err("_HLS_msn is no number")),
            (
                "_HLS_msn=99999999999999999999",
                Err("_HLS_msn is no number"),
            ),
            ("_HLS_msn=1&_HLS_part=x", Err("_HLS_part is no number")),
        ] {
            assert_eq!(Reload::read(Some(query)), want, "{query}");
        }
        assert_eq!(Reload::read(None), Ok(Reload::default()));
    }

    #[test]
    fn all_but_directives_is_carried_and_can_break_no_line() {
        for (query, want) in [
            ("", None),
            ("&", None),
            ("_HLS_msn=1&_HLS_skip=YES", None),
            ("token=a%20b", Some("token=a%20b")),
            ("a=1&_HLS_msn=1&b", Some("a=1&b")),
            ("a=\"x\"<é", Some("a=%22x%22%3C%C3%A9")),
        ] {
            let carried = carried(query).unwrap();
            assert_eq!(carried.as_deref(), want, "{query}");
        }
        assert!(carried(&"x".repeat(2_049)).is_err());
    }

    #[test]
    fn every_address_gets_the_query_and_nothing_else_changes() {
        let playlist = "#EXTM3U\n#EXT-X-MAP:URI=\"0.init.mp4\"\n\
            #EXT-X-PART:DURATION=0.2,URI=\"7.0.m4s\",INDEPENDENT=YES\n#EXTINF:2,\n7.m4s\n\
            #EXT-X-RENDITION-REPORT:URI=\"a1.m3u8\",LAST-MSN=7\n#EXT-X-ENDLIST\n";
        let want = "#EXTM3U\n#EXT-X-MAP:URI=\"0.init.mp4?t=1&u\"\n\
            #EXT-X-PART:DURATION=0.2,URI=\"7.0.m4s?t=1&u\",INDEPENDENT=YES\n#EXTINF:2,\n7.m4s?t=1&u\n\
            #EXT-X-RENDITION-REPORT:URI=\"a1.m3u8?t=1&u\",LAST-MSN=7\n#EXT-X-ENDLIST\n";
        assert_eq!(carry(playlist, "t=1&u"), want);
    }
}
