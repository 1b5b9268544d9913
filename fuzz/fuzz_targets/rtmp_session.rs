//! An RTMP session from its first byte, in any order of calls.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rillcast_ingest_rtmp::fuzz::session(data));
