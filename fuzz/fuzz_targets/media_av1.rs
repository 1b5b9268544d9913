//! See `rillcast_media::fuzz::av1`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rillcast_media::fuzz::av1(data));
