//! Stream ids of SRT callers.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rillcast_ingest_srt::fuzz::stream_id(data));
