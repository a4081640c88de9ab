#![no_main]
//! `cargo +nightly fuzz run pem fuzz/corpus/pem fuzz/seeds/pem`

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate::bench_api::fuzz_pem(data));
