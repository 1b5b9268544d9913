//! RTMP commands and the addresses in them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rillcast_ingest_rtmp::fuzz::command(data));
