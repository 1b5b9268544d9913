//! See `rillcast_media::fuzz::flac`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rillcast_media::fuzz::flac(data));
