//! An RTMP session that has connected and asks to publish, in any order of calls.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rillcast_ingest_rtmp::fuzz::connected(data));
