//! Addresses of media files, ranges and conditions of requests for them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rillcast_media::fuzz::request(data));
