//! See `rillcast_media::fuzz::opus`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rillcast_media::fuzz::opus(data));
