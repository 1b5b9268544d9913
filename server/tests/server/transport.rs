//! MPEG-TS over HLS, as FFmpeg plays it: what was published, picture by picture, through
//! a publisher that comes back.

use crate::cli::{Running, rillcast};
use crate::client::until;
use crate::record::{Publishing, clip, ffmpeg, said_by_ffmpeg, sums};

#[tokio::test]
async fn what_is_published_is_played_from_transport_streams_through_a_reconnect() {
    let work = tempfile::tempdir().unwrap();
    let clip = clip(work.path(), "5");
    let mut running = Running::start(rillcast().args([
        "run",
        "--set=server.listen=127.0.0.1:0",
        "--set=hls.container=ts",
        "--set=cmaf.segment_duration=1s",
        "--set=bus.reconnect_grace=4s",
    ]));
    let http = running.address("http");
    let path = "/hls/live/cam/index.m3u8";
    let first = Publishing::start(&clip, &running);
    until(http, path, |answer| answer.status == 200).await;
    let playlist = crate::client::get(http, path).await.text().to_owned();
    let media = playlist.lines().last().unwrap().to_owned();
    assert!(media.ends_with("/v0.ts.m3u8"), "{playlist}");
    let media = format!("/hls/live/cam/{media}");
    let text = |count: usize| {
        move |answer: &crate::client::Answer| answer.text().matches("#EXTINF").count() >= count
    };
    until(http, &media, text(5)).await;
    drop(first);
    let second = Publishing::start(&clip, &running);
    until(http, &media, |answer| {
        answer.text().ends_with("#EXT-X-ENDLIST\n")
    })
    .await;
    drop(second);
    let listed = crate::client::get(http, &media).await.text().to_owned();
    assert_eq!(
        listed.matches("#EXT-X-DISCONTINUITY\n").count(),
        1,
        "{listed}"
    );

    let url = format!("http://{http}{path}");
    let out = work.path().join("got.mkv");
    let out = out.to_str().unwrap();
    // Any word of FFmpeg's is a fault.
    let said = said_by_ffmpeg(&["-live_start_index", "0", "-i", &url, "-f", "null", "-"]);
    assert_eq!(said, "");
    ffmpeg(&[
        "-live_start_index",
        "0",
        "-i",
        &url,
        "-c",
        "copy",
        "-f",
        "matroska",
        out,
    ]);
    for which in ["0:v", "0:a"] {
        let sent = sums(&clip, which);
        let got = sums(out, which);
        // The first publisher was stopped somewhere in its last second.
        let (before, after) = got.split_at(got.len() - sent.len());
        assert!(
            after == sent,
            "{which}: {} came of the second one",
            got.len()
        );
        assert!(
            sent.starts_with(before),
            "{which}: {} of the first",
            before.len()
        );
        assert!(
            before.len() * 10 >= sent.len() * 7,
            "{which}: {}",
            before.len()
        );
    }
    running.kill();
}
