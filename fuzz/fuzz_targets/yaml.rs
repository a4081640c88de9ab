#![no_main]
//! `cargo +nightly fuzz run yaml fuzz/corpus/yaml fuzz/seeds/yaml`

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate::bench_api::fuzz_yaml(data));
