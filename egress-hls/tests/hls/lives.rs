//! What viewers see over a stream's life: its begin, its tracks, a reconnect,
//! its end, and the life after.

use std::time::Duration;

use http::header::RETRY_AFTER;
use m3u8_rs::{MasterPlaylist, Playlist, parse_playlist_res};
use rillcast_core::{CloseReason, MediaKind, Viewers};

use crate::clip::Clip;
use crate::server::{KEY, Request, Server};

async fn index(server: &Server) -> MasterPlaylist {
    let text = server.fetch(&format!("/hls/{KEY}/index.m3u8")).await;
    match parse_playlist_res(&text) {
        Ok(Playlist::MasterPlaylist(playlist)) => playlist,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_entry_tells_the_truth_about_the_clip() {
    let server = Server::start().await;
    let mut clip = Clip::new(server.publish(KEY).await);
    clip.publish_until(7_500).await;
    let playlist = index(&server).await;
    let [variant] = &playlist.variants[..] else {
        panic!("{playlist:?}");
    };
    assert_eq!(variant.codecs.as_deref(), Some("avc1.64001f,mp4a.40.2"));
    let resolution = variant.resolution.unwrap();
    assert_eq!((resolution.width, resolution.height), (1_280, 720));
    assert_eq!(variant.frame_rate, Some(25.0));
    let [audio] = &playlist.alternatives[..] else {
        panic!("{playlist:?}");
    };
    assert_eq!(variant.audio.as_ref(), Some(&audio.group_id));
    assert!(audio.default && audio.channels.is_some());

    // What the bytes say: no run of segments is heavier than BANDWIDTH.
    let mut heaviest = 0;
    let mut average = 0;
    for path in server.media_playlists().await {
        let list = server.playlist(&path).await;
        let (mut peak, mut bits, mut micros) = (0, 0, 0);
        for segment in &list.segments {
            let uri = crate::server::resolve(&path, &segment.uri);
            let size = u64::try_from(server.fetch(&uri).await.len()).unwrap() * 8;
            peak = peak.max(size * 1_000_000 / segment.micros);
            bits += size;
            micros += segment.micros;
        }
        heaviest += peak;
        average += bits * 1_000_000 / micros;
    }
    let said = variant.average_bandwidth.unwrap();
    assert!(
        said.abs_diff(average) * 20 < average,
        "{said} for {average}"
    );
    assert!(variant.bandwidth >= said, "{variant:?}");
    assert!(
        variant.bandwidth <= heaviest * 11 / 10,
        "{variant:?} for {heaviest}"
    );
}

#[tokio::test]
async fn audio_alone_and_video_alone_are_streams_too() {
    for (kind, codecs) in [
        (MediaKind::Audio, "mp4a.40.2"),
        (MediaKind::Video, "avc1.64001f"),
    ] {
        let server = Server::start().await;
        let mut clip = Clip::new(server.publish(KEY).await).only(kind);
        clip.publish_until(20_000).await;
        let playlist = index(&server).await;
        let [variant] = &playlist.variants[..] else {
            panic!("{kind}: {playlist:?}");
        };
        assert_eq!(variant.codecs.as_deref(), Some(codecs), "{kind}");
        assert!(playlist.alternatives.is_empty(), "{kind}: {playlist:?}");
        let path = server.media_playlists().await.remove(0);
        let list = server.playlist(&path).await;
        assert!(list.segments.len() >= 3, "{kind}: {list:?}");
    }
}

#[tokio::test]
async fn a_request_before_the_first_segment_is_held_until_it_is_there() {
    let server = Server::start().await;
    let mut clip = Clip::new(server.publish(KEY).await);
    clip.publish_until(500).await;
    let path = format!("/hls/{KEY}/index.m3u8");
    let publish = async {
        tokio::task::yield_now().await;
        clip.publish_until(5_000).await;
    };
    let (answer, ()) = tokio::join!(server.get(&path), publish);
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn a_stream_that_ends_before_its_first_segment_is_no_stream() {
    let server = Server::start().await;
    let publisher = server.publish(KEY).await;
    let handle = publisher.handle();
    let path = format!("/hls/{KEY}/index.m3u8");
    let end = async {
        tokio::task::yield_now().await;
        handle.close(CloseReason::Kicked);
    };
    let (answer, _) = tokio::join!(server.get(&path), end);
    assert_eq!(answer.status, 404, "{answer:?}");
    assert_eq!(answer.headers.get(RETRY_AFTER), None);
}

#[tokio::test]
async fn every_reload_keeps_the_law_while_the_window_moves() {
    let server = Server::with("[cmaf]\nsegment_duration = \"1s\"\nwindow = \"4s\"\n").await;
    let mut clip = Clip::new(server.publish(KEY).await);
    clip.publish_until(6_000).await;
    let paths = server.media_playlists().await;
    let mut before = Vec::new();
    for path in &paths {
        before.push(server.playlist(path).await);
    }
    let first = before.clone();
    for second in 7..40 {
        clip.publish_until(second * 1_000).await;
        for (path, before) in paths.iter().zip(&mut before) {
            let now = server.playlist(path).await;
            before.check_next(&now).unwrap();
            *before = now;
        }
    }
    for (first, last) in first.iter().zip(&before) {
        assert!(last.media_sequence > first.media_sequence + 10, "{last:?}");
        assert!(last.segments.len() < 12, "{last:?}");
    }
}

#[tokio::test]
async fn a_publisher_that_comes_back_is_one_discontinuity_in_the_same_session() {
    let server = Server::start().await;
    let mut clip = Clip::new(server.publish(KEY).await);
    clip.publish_until(6_000).await;
    let paths = server.media_playlists().await;
    let mut before = Vec::new();
    for path in &paths {
        before.push(server.playlist(path).await);
    }
    let session = server.handle().session().to_owned();
    drop(clip);
    let mut clip = Clip::new(server.publish(KEY).await);
    clip.publish_until(6_000).await;
    assert_eq!(server.handle().session(), session);
    for (path, before) in paths.iter().zip(&before) {
        let now = server.listed(path, before.segments.len() + 3).await;
        before.check_next(&now).unwrap();
        let breaks = now.segments.iter().filter(|segment| segment.discontinuity);
        assert_eq!(breaks.count(), 1, "{path}: {now:?}");
        let maps = now.segments.iter().map(|segment| &segment.map);
        let first = &now.segments[0].map;
        assert!(
            maps.clone().all(|map| map == first),
            "the configuration is the same"
        );
    }
}

#[tokio::test]
async fn an_ended_session_stays_complete_and_its_successor_is_another() {
    let server = Server::start().await;
    let mut clip = Clip::new(server.publish(KEY).await);
    clip.publish_until(6_000).await;
    let paths = server.media_playlists().await;
    let before = server.playlist(&paths[0]).await;
    let ended = server.handle().ended();
    clip.finish();
    ended.await;
    let last = loop {
        let now = server.playlist(&paths[0]).await;
        if now.ended {
            break now;
        }
        tokio::task::yield_now().await;
    };
    before.check_next(&last).unwrap();
    // The entry still leads to what was there.
    assert_eq!(server.media_playlists().await, paths);

    let mut clip = Clip::new(server.publish(KEY).await);
    clip.publish_until(6_000).await;
    let next = server.media_playlists().await;
    assert_ne!(next, paths);
    let list = server.playlist(&next[0]).await;
    assert_eq!(list.media_sequence, before.media_sequence, "{list:?}");
    assert_eq!(server.playlist(&paths[0]).await, last);
}

#[tokio::test]
async fn viewers_are_those_who_ask_for_media_playlists() {
    let server = Server::start().await;
    let mut clip = Clip::new(server.publish(KEY).await);
    let viewers = || {
        let counted = server.handle().existing_slot::<Viewers>();
        counted.map(|viewers| viewers.count(std::time::Instant::now()))
    };
    let nobody = async {
        while viewers() != Some(0) {
            tokio::task::yield_now().await;
        }
    };
    let counted = tokio::time::timeout(Duration::from_secs(10), nobody).await;
    counted.expect("nobody is not counted as nobody");
    clip.publish_until(6_000).await;
    let paths = server.media_playlists().await;
    for (agent, want) in [("a", 1), ("a", 1), ("b", 2)] {
        for path in &paths {
            let request = Request::get(path).header(http::header::USER_AGENT, agent);
            assert_eq!(server.send(request).await.status, 200);
        }
        assert_eq!(viewers(), Some(want), "{agent}");
    }
}

#[tokio::test]
async fn on_demand_packaging_starts_with_the_first_request() {
    let settings = "[cmaf]\nsegment_duration = \"1s\"\n\
        [[stream]]\nmatch = \"live/*\"\ncmaf.start = \"on-demand\"\n";
    let server = Server::with(settings).await;
    let mut clip = Clip::new(server.publish_unread(KEY));
    clip.publish_until(7_000).await;
    // Events come in order: the plugin has seen the first stream as well.
    let _other = server.publish("other/cam").await;
    assert_eq!(server.handle().subscriber_count(), 0);
    let path = format!("/hls/{KEY}/index.m3u8");
    let publish = async {
        tokio::task::yield_now().await;
        clip.publish_until(14_000).await;
    };
    let (answer, ()) = tokio::join!(server.get(&path), publish);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(server.handle().subscriber_count(), 1);
}
