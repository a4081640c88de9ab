#![no_main]
//! `cargo +nightly fuzz run stats fuzz/corpus/stats fuzz/seeds/stats`

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate::bench_api::fuzz_stats(data));
