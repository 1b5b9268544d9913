//! AudioSpecificConfigs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rillcast_media::fuzz::aac_config(data));
