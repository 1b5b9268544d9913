//! An FLV file on its whole way: demuxer, timeline, segmenter.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rillcast_media::fuzz::publish(data));
