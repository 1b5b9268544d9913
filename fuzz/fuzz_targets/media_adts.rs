//! See `rillcast_media::fuzz::adts`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rillcast_media::fuzz::adts(data));
