//! Source clocks of any kind through the timeline.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rillcast_media::fuzz::timeline(data));
