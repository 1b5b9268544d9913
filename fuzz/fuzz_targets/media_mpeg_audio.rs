//! See `rillcast_media::fuzz::mpeg_audio`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rillcast_media::fuzz::mpeg_audio(data));
