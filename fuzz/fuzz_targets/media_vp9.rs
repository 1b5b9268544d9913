//! See `rillcast_media::fuzz::vp9`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rillcast_media::fuzz::vp9(data));
