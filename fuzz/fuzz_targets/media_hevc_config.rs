//! See `rillcast_media::fuzz::hevc_config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rillcast_media::fuzz::hevc_config(data));
