//! The bodies on what is committed for them, and on random bytes.

#[path = "../../../fuzz/replay.rs"]
mod replay;

use proptest::prelude::*;

use super::*;

#[test]
fn corpora_and_findings_are_survived() {
    replay::replay(
        "media",
        &[
            ("aac_config", aac_config),
            ("ac3", ac3),
            ("adts", adts),
            ("amf0", amf0),
            ("av1", av1),
            ("avc_access_unit", avc_access_unit),
            ("avc_config", avc_config),
            ("flac", flac),
            ("flv_bodies", flv_bodies),
            ("flv_file", flv_file),
            ("hevc_access_unit", hevc_access_unit),
            ("hevc_config", hevc_config),
            ("latm", latm),
            ("mpeg_audio", mpeg_audio),
            ("opus", opus),
            ("publish", publish),
            ("request", request),
            ("segmenter", segmenter),
            ("timeline", timeline),
            ("ts", ts),
            ("vp9", vp9),
        ],
    );
}

proptest! {
    #[test]
    fn random_bytes_are_survived(data in prop::collection::vec(any::<u8>(), 0..400)) {
        avc_access_unit(&data);
        hevc_access_unit(&data);
        av1(&data);
        vp9(&data);
        flac(&data);
        request(&data);
        timeline(&data);
        ts(&data);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn random_streams_are_survived(data in prop::collection::vec(any::<u8>(), 0..80)) {
        segmenter(&data);
    }
}
