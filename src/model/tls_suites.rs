//! Which cipher suites and key exchange groups are there, and what does OpenSSL call them?

use rustls::crypto::SupportedKxGroup;
use rustls::crypto::aws_lc_rs::{cipher_suite, kx_group};
use rustls::{CipherSuite, SupportedCipherSuite};

/// A cipher suite with the words an OpenSSL cipher string may choose it by.
pub(crate) struct Suite {
    pub name: &'static str,
    pub suite: SupportedCipherSuite,
    /// Besides those every suite has: `ALL`, `HIGH` and their kin.
    pub classes: &'static [&'static str],
}

/// TLS 1.3, in the library's order.
pub(crate) static SUITES_13: [Suite; 3] = [
    Suite { name: "TLS_AES_256_GCM_SHA384", suite: cipher_suite::TLS13_AES_256_GCM_SHA384, classes: &[] },
    Suite { name: "TLS_AES_128_GCM_SHA256", suite: cipher_suite::TLS13_AES_128_GCM_SHA256, classes: &[] },
    Suite { name: "TLS_CHACHA20_POLY1305_SHA256", suite: cipher_suite::TLS13_CHACHA20_POLY1305_SHA256, classes: &[] },
];

const AES256: [&str; 5] = ["AES", "AES256", "AESGCM", "SHA384", "AES256-GCM"];
const AES128: [&str; 5] = ["AES", "AES128", "AESGCM", "SHA256", "AES128-GCM"];

/// TLS 1.2, in the library's order.
pub(crate) static SUITES_12: [Suite; 6] = [
    Suite {
        name: "ECDHE-ECDSA-AES256-GCM-SHA384",
        suite: cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        classes: &AES256,
    },
    Suite {
        name: "ECDHE-ECDSA-AES128-GCM-SHA256",
        suite: cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        classes: &AES128,
    },
    Suite {
        name: "ECDHE-ECDSA-CHACHA20-POLY1305",
        suite: cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        classes: &["CHACHA20"],
    },
    Suite {
        name: "ECDHE-RSA-AES256-GCM-SHA384",
        suite: cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        classes: &AES256,
    },
    Suite {
        name: "ECDHE-RSA-AES128-GCM-SHA256",
        suite: cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        classes: &AES128,
    },
    Suite {
        name: "ECDHE-RSA-CHACHA20-POLY1305",
        suite: cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        classes: &["CHACHA20"],
    },
];

/// OpenSSL's name.
pub(crate) fn suite_name(suite: CipherSuite) -> &'static str {
    let named = SUITES_13.iter().chain(&SUITES_12).find(|known| known.suite.suite() == suite);
    named.map_or("unknown", |known| known.name)
}

/// A key exchange group by one of its names, in lower case.
pub(crate) fn group(name: &str) -> Option<&'static dyn SupportedKxGroup> {
    Some(match name.to_ascii_lowercase().as_str() {
        "x25519" => kx_group::X25519,
        "p-256" | "prime256v1" | "secp256r1" => kx_group::SECP256R1,
        "p-384" | "secp384r1" => kx_group::SECP384R1,
        "x25519mlkem768" => kx_group::X25519MLKEM768,
        "secp256r1mlkem768" => kx_group::SECP256R1MLKEM768,
        _ => return None,
    })
}
