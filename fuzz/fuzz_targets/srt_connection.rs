//! An open connection of SRT.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rillcast_ingest_srt::fuzz::connection(data));
