//! What requests get: conditions, ranges, encodings, origins, refusals.

use std::io::Read;

use bytes::Buf;
use http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE, RANGE, VARY,
};
use http::{HeaderName, Method};
use rillcast_core::http::Body;

use crate::clip::Clip;
use crate::server::{KEY, Request, Server, resolve};

/// A server with some seconds of the clip, and its video playlist's path.
async fn playing() -> (Server, Clip, String) {
    let server = Server::start().await;
    let mut clip = Clip::new(server.publish(KEY).await);
    clip.publish_until(6_000).await;
    let playlist = server.media_playlists().await.remove(0);
    (server, clip, playlist)
}

#[tokio::test]
async fn playlists_are_short_lived_and_compressed_for_those_who_take_it() {
    let (server, _clip, media) = playing().await;
    for path in [format!("/hls/{KEY}/index.m3u8"), media] {
        let plain = server.get(&path).await;
        assert_eq!(plain.status, 200, "{path}");
        assert_eq!(plain.header(&CONTENT_TYPE), "application/vnd.apple.mpegurl");
        assert_eq!(plain.header(&CACHE_CONTROL), "public, max-age=1");
        assert_eq!(plain.header(&VARY), "Accept-Encoding");
        assert_eq!(plain.header(&ACCESS_CONTROL_ALLOW_ORIGIN), "*");

        let gzip = || Request::get(&path).header(ACCEPT_ENCODING, "gzip, deflate, br");
        let packed = server.send(gzip()).await;
        assert_eq!(packed.header(&CONTENT_ENCODING), "gzip");
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&packed.body[..])
            .read_to_end(&mut unpacked)
            .unwrap();
        assert_eq!(unpacked, plain.body, "{path}");

        let tag = packed.header(&ETAG);
        let again = server.send(gzip().header(IF_NONE_MATCH, tag)).await;
        assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));

        let head = server.send(Request::get(&path).method(Method::HEAD)).await;
        assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
        let length = plain.body.len().to_string();
        assert_eq!(head.header(&CONTENT_LENGTH), length);
    }
}

#[tokio::test]
async fn a_render_is_shared_by_all_who_ask_for_the_same_state() {
    let (server, _clip, media) = playing().await;
    let first = address(server.open(Request::get(&media)).await).await;
    let second = address(server.open(Request::get(&media)).await).await;
    assert_eq!(first, second, "rendered twice");
}

/// Where in memory the body of a response lies.
pub(crate) async fn address(response: http::Response<Body>) -> *const u8 {
    let mut body = response.into_body();
    let chunk = std::future::poll_fn(|cx| body.poll_chunk(cx)).await;
    chunk.unwrap().unwrap().chunk().as_ptr()
}

#[tokio::test]
async fn segments_and_inits_are_immutable_and_seekable() {
    let (server, _clip, media) = playing().await;
    let playlist = server.playlist(&media).await;
    let segment = resolve(&media, &playlist.segments[0].uri);
    let init = resolve(&media, &playlist.segments[0].map);
    for path in [&segment, &init] {
        let whole = server.get(path).await;
        assert_eq!(whole.status, 200, "{path}");
        assert_eq!(whole.header(&CONTENT_TYPE), "video/mp4");
        let cache = whole.header(&CACHE_CONTROL);
        assert_eq!(cache, "public, max-age=31536000, immutable");
        let tag = whole.header(&ETAG).to_owned();
        let total = whole.body.len();
        assert_eq!(whole.header(&CONTENT_LENGTH), total.to_string());

        let range = || Request::get(path).header(RANGE, "bytes=4-7");
        let part = server.send(range().header(IF_RANGE, &tag)).await;
        assert_eq!(
            (part.status.as_u16(), part.body.as_ref()),
            (206, &whole.body[4..8])
        );
        let said = part.header(&CONTENT_RANGE);
        assert_eq!(said, format!("bytes 4-7/{total}"));
        let other = server.send(range().header(IF_RANGE, "\"other\"")).await;
        assert_eq!((other.status.as_u16(), other.body.len()), (200, total));
        let several = Request::get(path).header(RANGE, "bytes=0-1,4-5");
        assert_eq!(server.send(several).await.status, 200);
        let behind = Request::get(path).header(RANGE, "bytes=99999999-");
        let behind = server.send(behind).await;
        assert_eq!(behind.status, 416);
        assert_eq!(behind.header(&CONTENT_RANGE), format!("bytes */{total}"));

        let known = Request::get(path).header(IF_NONE_MATCH, &tag);
        let known = server.send(known).await;
        assert_eq!((known.status.as_u16(), known.body.len()), (304, 0));
        let head = server.send(Request::get(path).method(Method::HEAD)).await;
        assert_eq!(head.header(&CONTENT_LENGTH), total.to_string());
        assert!(head.body.is_empty());
    }
    // Two files of a track never share an entity tag.
    let second = resolve(&media, &playlist.segments[1].uri);
    let tags = [&segment, &second, &init].map(async |path| {
        let answer = server.get(path).await;
        answer.header(&ETAG).to_owned()
    });
    let [a, b, c] = tags;
    let (a, b, c) = (a.await, b.await, c.await);
    assert!(a != b && b != c && a != c, "{a} {b} {c}");
}

#[tokio::test]
async fn what_is_not_there_is_refused_at_once_and_never_stored() {
    let (server, _clip, media) = playing().await;
    let session = server.handle().session().to_owned();
    let start = std::time::Instant::now();
    for path in [
        "/hls/live/nobody/index.m3u8",
        "/hls/live/cam/other/v0.m3u8",
        &media.replace("v0", "v9"),
        &media.replace(".m3u8", ".mpd"),
        "/hls/live/cam",
        "/hls/live/cam/",
        // Its relative addresses would lead nowhere.
        "/hls//live/cam/index.m3u8",
        "/hls/live/..%2fx/index.m3u8",
        "/hls/live/cam/index.m3u8/x/y",
        "/cmaf/live/cam/other/v0/0.m4s",
        &format!("/cmaf/live/cam/{session}/v0/99.m4s"),
        &format!("/cmaf/live/cam/{session}/v0/9.init.mp4"),
        &format!("/cmaf/live/cam/{session}/v9/0.m4s"),
        &format!("/cmaf/live/other/{session}/v0/0.m4s"),
        &format!("/cmaf/live/cam/{session}/v0/00.m4s"),
    ] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.header(&CACHE_CONTROL), "no-store", "{path}");
        assert_eq!(answer.header(&ACCESS_CONTROL_ALLOW_ORIGIN), "*", "{path}");
        assert!(!answer.body.is_empty(), "{path} is refused without a word");
    }
    let took = start.elapsed();
    assert!(
        took < std::time::Duration::from_secs(1),
        "held for {took:?}"
    );
}

#[tokio::test]
async fn browsers_may_ask_and_nobody_may_change() {
    let (server, _clip, media) = playing().await;
    let segment = resolve(&media, &server.playlist(&media).await.segments[0].uri);
    for path in [&media, &segment] {
        let asked = Request::get(path)
            .method(Method::OPTIONS)
            .header(HeaderName::from_static("origin"), "https://example.org");
        let answer = server.send(asked).await;
        assert_eq!(answer.status, 204, "{path}");
        assert_eq!(answer.header(&ACCESS_CONTROL_ALLOW_ORIGIN), "*");
        let post = server.send(Request::get(path).method(Method::POST)).await;
        assert_eq!(post.status, 405, "{path}");
    }
}

#[tokio::test]
async fn the_segment_that_is_cut_comes_in_pieces_and_equals_the_whole() {
    let (server, mut clip, media) = playing().await;
    let playlist = server.playlist(&media).await;
    let next = playlist.media_sequence + u64::try_from(playlist.segments.len()).unwrap();
    let last = &playlist.segments.last().unwrap().uri;
    let path = resolve(
        &media,
        &last.replace(&format!("{}.m4s", next - 1), &format!("{next}.m4s")),
    );

    let request = Request::get(&path).header(RANGE, "bytes=0-3");
    let growing = server.open(request).await;
    assert_eq!(growing.status(), 200, "ranges of what grows are ignored");
    for name in [&CONTENT_LENGTH, &ETAG] {
        assert!(!growing.headers().contains_key(name), "{name}");
    }
    let head = server.send(Request::get(&path).method(Method::HEAD)).await;
    assert_eq!(
        (head.status.as_u16(), head.header(&CONTENT_LENGTH)),
        (200, "")
    );

    clip.publish_until(9_000).await;
    let pieces = growing.into_body().collect().await.unwrap();
    let whole = server.get(&path).await;
    assert!(whole.headers.contains_key(&CONTENT_LENGTH));
    assert_eq!(pieces, whole.body);
    // A segment is exactly the concatenation of its parts.
    let mut parts = Vec::new();
    for index in 0.. {
        let part = path.replace(".m4s", &format!(".{index}.m4s"));
        let answer = server.get(&part).await;
        if answer.status != 200 {
            break;
        }
        parts.extend_from_slice(&answer.body);
    }
    assert_eq!(parts, whole.body);
}

#[tokio::test]
async fn the_next_segment_and_part_are_waited_for() {
    let (server, mut clip, media) = playing().await;
    let playlist = server.playlist(&media).await;
    let open = playlist.media_sequence + u64::try_from(playlist.segments.len()).unwrap();
    let last = &playlist.segments.last().unwrap().uri;
    let named = |file: String| resolve(&media, &last.replace(&format!("{}.m4s", open - 1), &file));
    let segment = named(format!("{}.m4s", open + 1));
    let part = named(format!("{}.0.m4s", open + 1));
    let server = &server;
    let publish = async {
        // The requests are under way before there is anything to find.
        while server_waits(server) < 2 {
            tokio::task::yield_now().await;
        }
        clip.publish_until(9_000).await;
    };
    let (segment, part, ()) = tokio::join!(server.get(&segment), server.get(&part), publish);
    assert_eq!((segment.status.as_u16(), part.status.as_u16()), (200, 200));
    assert!(segment.body.starts_with(&part.body));
    assert!(part.headers.contains_key(&ETAG));
}

/// How many requests the window of the stream holds.
fn server_waits(server: &Server) -> usize {
    let config = rillcast_media::cmaf::CmafConfig::default();
    rillcast_media::cmaf::window(&server.handle(), &config)
        .watched()
        .waiters()
}

#[tokio::test]
async fn a_segment_that_does_not_come_is_404_after_one_segment() {
    let (server, _clip, media) = playing().await;
    let playlist = server.playlist(&media).await;
    let open = playlist.media_sequence + u64::try_from(playlist.segments.len()).unwrap();
    let last = &playlist.segments.last().unwrap().uri;
    let path = resolve(
        &media,
        &last.replace(&format!("{}.m4s", open - 1), &format!("{}.m4s", open + 1)),
    );
    let start = std::time::Instant::now();
    let answer = server.get(&path).await;
    assert_eq!(answer.status, 404);
    let held = start.elapsed();
    let target = std::time::Duration::from_secs(playlist.target_duration);
    assert!(held >= target && held < target * 3, "held for {held:?}");
}
