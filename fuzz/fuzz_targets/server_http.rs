//! Bytes of an HTTP client, through the server's connections and handlers.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rillcast_server::fuzz::http(data));
