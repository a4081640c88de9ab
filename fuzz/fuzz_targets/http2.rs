#![no_main]
//! `cargo +nightly fuzz run http2 fuzz/corpus/http2 fuzz/seeds/http2`

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate::bench_api::fuzz_http2(data));
