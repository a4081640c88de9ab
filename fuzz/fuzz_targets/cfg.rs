#![no_main]
//! `cargo +nightly fuzz run cfg fuzz/corpus/cfg fuzz/seeds/cfg`

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate::bench_api::fuzz_cfg(data));
