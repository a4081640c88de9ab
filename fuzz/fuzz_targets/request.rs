#![no_main]
//! `cargo +nightly fuzz run request fuzz/corpus/request fuzz/seeds/request`

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate::bench_api::fuzz_request(data));
