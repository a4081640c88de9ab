#![no_main]
//! `cargo +nightly fuzz run tls fuzz/corpus/tls fuzz/seeds/tls -- -timeout=10`

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate::bench_api::fuzz_tls(data));
