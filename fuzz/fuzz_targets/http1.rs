#![no_main]
//! `cargo +nightly fuzz run http1 fuzz/corpus/http1 fuzz/seeds/http1`

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate::bench_api::fuzz_http1(data));
