#![no_main]
//! `cargo +nightly fuzz run admin fuzz/corpus/admin fuzz/seeds/admin`

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate::bench_api::fuzz_admin(data));
