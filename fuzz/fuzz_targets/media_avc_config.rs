//! H.264 configuration records and sequence parameter sets.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rillcast_media::fuzz::avc_config(data));
