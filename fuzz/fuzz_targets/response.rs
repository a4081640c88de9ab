#![no_main]
//! `cargo +nightly fuzz run response fuzz/corpus/response fuzz/seeds/response`

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate::bench_api::fuzz_response(data));
