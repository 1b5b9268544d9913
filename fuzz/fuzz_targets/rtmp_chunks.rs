//! The RTMP chunk layer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rillcast_ingest_rtmp::fuzz::chunks(data));
