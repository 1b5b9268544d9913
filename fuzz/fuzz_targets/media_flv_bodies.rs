//! Bodies of FLV tags, which are those of RTMP messages.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rillcast_media::fuzz::flv_bodies(data));
