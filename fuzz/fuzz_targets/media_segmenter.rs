//! Streams of any kind through the segmenter, held to its laws.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rillcast_media::fuzz::segmenter(data));
