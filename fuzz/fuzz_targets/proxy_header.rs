#![no_main]
//! `cargo +nightly fuzz run proxy_header fuzz/corpus/proxy_header fuzz/seeds/proxy_header`

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate::bench_api::fuzz_proxy_header(data));
