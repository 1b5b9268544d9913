//! Stream keys, durations and sizes, as people and URLs write them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rillcast_core::fuzz::text(data));
