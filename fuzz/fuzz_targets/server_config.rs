//! Configurations: file, environment and flags, against every linked plugin.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rillcast_server::fuzz::config(data));
