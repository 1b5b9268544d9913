//! See `rillcast_media::fuzz::hevc_access_unit`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rillcast_media::fuzz::hevc_access_unit(data));
