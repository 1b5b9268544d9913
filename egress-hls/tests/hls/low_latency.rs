//! What low-latency players get: reloads that wait, hints that are kept, delta
//! updates, and a token on every address.

use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING};
use rillcast_egress_hls::Parsed;

use crate::clip::Clip;
use crate::server::{Answer, KEY, Request, Server, resolve};

/// A server with so many milliseconds of the clip, and its media playlists'
/// paths, video first.
async fn playing(millis: u32) -> (Server, Clip, Vec<String>) {
    let server = Server::start().await;
    let mut clip = Clip::new(server.publish(KEY).await);
    clip.publish_until(millis).await;
    let media = server.media_playlists().await;
    (server, clip, media)
}

fn parsed(answer: &Answer) -> Parsed {
    assert_eq!(answer.status, 200, "{answer:?}");
    let text = std::str::from_utf8(&answer.body).unwrap();
    Parsed::read(text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
}

/// The segment and the part that come next.
fn next(playlist: &Parsed) -> (u64, usize) {
    let whole = u64::try_from(playlist.segments.len()).unwrap();
    let parts = playlist.open.as_ref().map_or(0, |open| open.parts.len());
    (playlist.media_sequence + playlist.skipped + whole, parts)
}

fn reload(media: &str, (number, part): (u64, usize)) -> String {
    format!("{media}?_HLS_msn={number}&_HLS_part={part}")
}

#[tokio::test]
async fn a_reload_waits_for_its_part_and_the_hint_was_right() {
    let (server, mut clip, media) = playing(5_000).await;
    let mut until = 5_000;
    for media in &media {
        for _ in 0..15 {
            let before = server.playlist(media).await;
            let wanted = next(&before);
            let path = reload(media, wanted);
            let hint = before.hint.clone().unwrap();
            let hint = resolve(media, &hint);
            until += 240;
            let (waited, again, hinted, ()) = tokio::join!(
                server.get(&path),
                server.get(&path),
                server.get(&hint),
                clip.publish_until(until),
            );
            let after = parsed(&waited);
            assert_eq!(before.check_next(&after), Ok(()));
            assert!(next(&after) > wanted, "{after:?} for {wanted:?}");
            assert_eq!(waited.body, again.body);
            assert_eq!(waited.header(&CACHE_CONTROL), "public, max-age=2");
            let mut segments = after.segments.iter().chain(&after.open);
            let listed = segments.find_map(|segment| {
                let mut parts = segment.parts.iter();
                parts.find(|part| resolve(media, &part.uri) == hint)
            });
            assert!(listed.is_some(), "{hint} was hinted at: {after:?}");
            assert_eq!(hinted.status, 200, "{hint}");
            assert_eq!(hinted.body, server.fetch(&hint).await);
        }
    }
}

#[tokio::test]
async fn what_is_there_is_answered_at_once_and_what_is_far_off_is_refused() {
    let (server, _clip, media) = playing(5_000).await;
    for media in &media {
        let playlist = server.playlist(media).await;
        let (segment, part) = next(&playlist);
        let last = playlist.segments.last().unwrap().parts.len();
        for (query, want) in [
            (format!("_HLS_msn={}", segment - 1), 200),
            (format!("_HLS_msn={}&_HLS_part=0", segment - 1), 200),
            ("_HLS_msn=0".to_owned(), 200),
            ("_HLS_msn=0&_HLS_part=99".to_owned(), 200),
            // Past the last part of a segment means the first one of the next.
            (format!("_HLS_msn={}&_HLS_part={last}", segment - 1), 200),
            (format!("_HLS_msn={segment}&_HLS_part={}", part - 1), 200),
            (format!("_HLS_msn={segment}&_HLS_part={}", part + 40), 400),
            (format!("_HLS_msn={}", segment + 3), 400),
            (format!("_HLS_msn={}&_HLS_part=0", u64::MAX), 400),
            ("_HLS_part=1".to_owned(), 400),
            ("_HLS_msn=x".to_owned(), 400),
            ("_HLS_msn=1&_HLS_part=-1".to_owned(), 400),
            (format!("token={}", "x".repeat(3_000)), 400),
        ] {
            let answer = server.get(&format!("{media}?{query}")).await;
            assert_eq!(answer.status, want, "{query}: {answer:?}");
            let cache = answer.header(&CACHE_CONTROL);
            let kept = if want == 200 {
                "public, max-age=2"
            } else {
                "no-store"
            };
            assert_eq!(cache, kept, "{query}");
        }
    }
}

#[tokio::test]
async fn a_reload_without_a_part_waits_for_the_whole_segment() {
    let (server, mut clip, media) = playing(5_000).await;
    let before = server.playlist(&media[0]).await;
    let (segment, _) = next(&before);
    let path = format!("{}?_HLS_msn={segment}", media[0]);
    let (answer, ()) = tokio::join!(server.get(&path), clip.publish_until(9_000));
    let after = parsed(&answer);
    assert!(next(&after).0 > segment, "{after:?}");
    assert_eq!(before.check_next(&after), Ok(()));
}

#[tokio::test]
async fn a_reload_that_waits_at_the_end_gets_the_end() {
    let (server, clip, media) = playing(5_000).await;
    let before = server.playlist(&media[0]).await;
    let path = reload(&media[0], next(&before));
    let handle = server.handle();
    let end = async {
        tokio::task::yield_now().await;
        drop(clip);
        handle.close(rillcast_core::CloseReason::Kicked);
    };
    let (answer, ()) = tokio::join!(server.get(&path), end);
    let after = parsed(&answer);
    assert!(after.ended && after.hint.is_none(), "{after:?}");
    assert_eq!(before.check_next(&after), Ok(()));
}

#[tokio::test]
async fn a_reload_that_waits_in_vain_gets_the_playlist_that_there_is() {
    let settings = "[cmaf]\nsegment_duration = \"500ms\"\n[bus]\nreconnect_grace = \"60s\"\n";
    let server = Server::with(settings).await;
    let mut clip = Clip::new(server.publish(KEY).await).only(rillcast_core::MediaKind::Audio);
    clip.publish_until(3_000).await;
    let media = server.media_playlists().await.remove(0);
    let before = server.playlist(&media).await;
    assert_eq!(before.target_duration, 1);
    // The last segment ends by the stall; after it nothing comes.
    let path = format!("{media}?_HLS_msn={}&_HLS_part=0", next(&before).0 + 1);
    let answer = server.get(&path).await;
    let after = parsed(&answer);
    assert_eq!(answer.header(&CACHE_CONTROL), "no-store");
    assert_eq!(before.check_next(&after), Ok(()));
    assert!(!after.ended, "{after:?}");
}

#[tokio::test]
async fn a_delta_update_says_the_same_in_less() {
    let (server, mut clip, media) = playing(20_000).await;
    let mut until = 20_000;
    for media in &media {
        let before = server.playlist(media).await;
        let path = format!("{}&_HLS_skip=YES", reload(media, next(&before)));
        until += 1_000;
        let (answer, ()) = tokio::join!(server.get(&path), clip.publish_until(until));
        let delta = parsed(&answer);
        assert!(delta.skipped > 0, "{delta:?}");
        let whole = before.updated(&delta).unwrap();
        assert_eq!(before.check_next(&whole), Ok(()));
        // Asked for again, by somebody else and whole.
        let again = server.get(&path).await;
        let now = server.playlist(media).await;
        let whole = before.updated(&parsed(&again)).unwrap();
        assert_eq!((whole.skipped, next(&whole)), (0, next(&now)));
        assert_eq!(whole.segments.len(), now.segments.len());
    }
}

/// Every address in a playlist.
fn addresses(text: &str) -> Vec<&str> {
    text.lines()
        .filter_map(|line| {
            if line.starts_with('#') {
                let (_, uri) = line.split_once("URI=\"")?;
                Some(uri.split_once('"')?.0)
            } else {
                Some(line)
            }
        })
        .collect()
}

#[tokio::test]
async fn a_token_stands_on_every_address_from_the_entry_down() {
    let (server, mut clip, _) = playing(5_000).await;
    let entry = format!("/hls/{KEY}/index.m3u8?token=a%2Fb&_HLS_x=1&u");
    let index = server.fetch(&entry).await;
    let index = String::from_utf8(index.to_vec()).unwrap();
    assert_eq!(addresses(&index).len(), 2, "{index}");
    for uri in addresses(&index) {
        let media = resolve(&entry, uri);
        assert!(media.ends_with("?token=a%2Fb&u"), "{media}");
        let plain = server.get(media.split_once('?').unwrap().0).await;
        let answer = server.get(&media).await;
        let before = parsed(&answer);
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        // The same playlist but for the token.
        assert_eq!(text.replace("?token=a%2Fb&u", "").as_bytes(), plain.body);
        for uri in addresses(&text) {
            assert!(uri.ends_with("?token=a%2Fb&u"), "{uri} in {text}");
            if uri.contains(".m3u8") || Some(uri) == before.hint.as_deref() {
                continue;
            }
            let bytes = server.get(&resolve(&media, uri)).await;
            assert_eq!(bytes.status, 200, "{uri}");
        }
        let (segment, part) = next(&before);
        let wait = format!("{media}&_HLS_msn={segment}&_HLS_part={part}");
        let publish = clip.publish_until(5_000 + 500 * u32::try_from(segment + 1).unwrap());
        let (answer, ()) = tokio::join!(server.get(&wait), publish);
        assert_eq!(before.check_next(&parsed(&answer)), Ok(()));
    }
}

#[tokio::test]
async fn a_token_that_all_share_costs_one_render_and_others_none_of_it() {
    let (server, _clip, media) = playing(5_000).await;
    let mut seen = Vec::new();
    for token in ["all", "all", "one"] {
        let path = format!("{}?token={token}", media[0]);
        let request = Request::get(&path).header(ACCEPT_ENCODING, "gzip");
        let response = server.open(request).await;
        let packed = response.headers().contains_key(CONTENT_ENCODING);
        seen.push((packed, crate::delivery::address(response).await));
    }
    assert_eq!(seen[0], seen[1], "rendered twice");
    assert_eq!((seen[0].0, seen[2].0), (true, false), "compressed for one");
}

#[tokio::test]
async fn without_low_latency_playlists_are_as_ever_and_directives_mean_nothing() {
    let settings = "[hls]\nlow_latency = false\n[cmaf]\nsegment_duration = \"1s\"\n";
    let server = Server::with(settings).await;
    let mut clip = Clip::new(server.publish(KEY).await);
    clip.publish_until(5_000).await;
    let media = server.media_playlists().await.remove(0);
    let plain = server.get(&media).await;
    let list = parsed(&plain);
    assert_eq!((list.control, list.version), (None, 6));
    for query in ["_HLS_msn=7&_HLS_part=1&_HLS_skip=YES", "_HLS_msn=9999"] {
        let answer = server.get(&format!("{media}?{query}")).await;
        assert_eq!(answer.body, plain.body, "{query}");
    }
}
