#![no_main]
//! `cargo +nightly fuzz run differential fuzz/corpus/differential fuzz/seeds/differential`

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate::bench_api::fuzz_differential(data));
