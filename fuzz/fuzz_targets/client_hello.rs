#![no_main]
//! `cargo +nightly fuzz run client_hello fuzz/corpus/client_hello fuzz/seeds/client_hello`

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate::bench_api::fuzz_client_hello(data));
