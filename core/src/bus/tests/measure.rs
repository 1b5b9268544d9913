//! What the bus measures.

use super::*;
use crate::Qos;

#[tokio::test(start_paused = true)]
async fn qos_measures_and_decays_to_zero_when_frames_stop() {
    let (mut publisher, handle) = stream(BusConfig::default());
    assert_eq!(handle.qos(), Qos::default());
    publish(&mut publisher, "tv ta");
    for number in 0..500_u32 {
        let keyframe = number % 50 == 0;
        let payload = Bytes::from(vec![0; if keyframe { 20_000 } else { 4_000 }]);
        let dts = i64::from(number) * 3_600;
        publisher
            .publish_frame(Frame::new(VIDEO, dts, now(), payload).with_keyframe(keyframe))
            .unwrap();
        let sound = Frame::new(
            AUDIO,
            i64::from(number) * 1_920,
            now(),
            Bytes::from(vec![0; 500]),
        );
        publisher.publish_frame(sound.with_keyframe(true)).unwrap();
        tokio::time::advance(Duration::from_millis(40)).await;
    }
    let qos = handle.qos();
    assert!((qos.fps - 25.0).abs() < 0.5, "{qos:?}");
    assert_eq!(
        (qos.gop_frames, qos.gop_duration),
        (50, Duration::from_secs(2))
    );
    // (20,000 + 49 × 4,000) bytes in 2 s, and 500 bytes every 40 ms; the window
    // does not hold whole GOPs.
    let want = 108_000 * 8 + 12_500 * 8;
    assert!(qos.bitrate_bps.abs_diff(want) < want / 20, "{qos:?}");
    assert_eq!(
        (qos.frames, qos.bytes),
        (1_000, 500 * 500 + 10 * 20_000 + 490 * 4_000)
    );
    let [video, audio] = qos.tracks() else {
        panic!("{qos:?}")
    };
    assert_eq!(
        (video.track, video.kind, video.frames, video.keyframes),
        (VIDEO, Some(MediaKind::Video), 500, 10)
    );
    assert_eq!(
        (audio.track, audio.kind, audio.frames),
        (AUDIO, Some(MediaKind::Audio), 500)
    );
    assert!(audio.bitrate_bps.abs_diff(100_000) < 2_000, "{audio:?}");

    // Frames stop; a configuration is no picture.
    tokio::time::advance(Duration::from_secs(3)).await;
    publish(&mut publisher, "tv1");
    let less = handle.qos();
    assert!(less.fps > 0.0 && less.fps < 10.0, "{less:?}");
    tokio::time::advance(Duration::from_millis(1_300)).await;
    let zero = handle.qos();
    assert_eq!((zero.bitrate_bps, zero.gop_frames), (0, 0), "{zero:?}");
    assert!(zero.fps == 0.0 && zero.tracks().iter().all(|track| track.fps == 0.0));
    assert_eq!(zero.frames, 1_000);
}

#[test]
fn repairs_are_counted() {
    let (publisher, handle) = stream(BusConfig::default());
    publisher.count_repairs(3);
    publisher.count_repairs(1);
    assert_eq!(handle.qos().repairs, 4);
}

#[test]
fn a_qos_lists_eight_tracks_and_counts_all() {
    let (mut publisher, handle) = stream(BusConfig::default());
    for track in 0..20 {
        publisher
            .publish_frame(frame(TrackId(track * 12), 0, true))
            .unwrap();
    }
    assert_eq!((handle.qos().tracks().len(), handle.qos().frames), (8, 20));
}

#[tokio::test(start_paused = true)]
async fn a_keyframe_is_asked_for_once_until_it_comes() {
    let (mut publisher, handle) = stream(BusConfig::default());
    publish(&mut publisher, "tv V0");
    assert!(handle.request_keyframe());
    assert!(!handle.request_keyframe());
    // What was asked before one waits for it is not lost.
    publisher.keyframe_requested().await;
    publish(&mut publisher, "v1 V2");
    assert!(handle.request_keyframe());
    publisher.keyframe_requested().await;
    // One that does not come is asked for again.
    assert!(!handle.request_keyframe());
    tokio::time::advance(Duration::from_millis(1_001)).await;
    assert!(handle.request_keyframe());
    assert_eq!(handle.qos().keyframe_requests, 3);
}
