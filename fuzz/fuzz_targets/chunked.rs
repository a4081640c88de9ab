#![no_main]
//! `cargo +nightly fuzz run chunked fuzz/corpus/chunked fuzz/seeds/chunked`

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate::bench_api::fuzz_chunked(data));
