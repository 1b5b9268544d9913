//! Transport streams: any bytes, and packets that are nearly right.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rillcast_media::fuzz::ts(data));
