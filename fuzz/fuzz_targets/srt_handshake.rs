//! SRT handshakes, as a listener and as a caller gets them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rillcast_ingest_srt::fuzz::handshake(data));
