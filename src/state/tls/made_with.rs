//! What is one of our certificates made with, as a PROXY header tells it? (specification §2.2.7, values run against
//! HAProxy 2.6)

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::*;
use x509_parser::public_key::PublicKey;

use super::client_facts::algorithm;
use crate::model::tls::MadeWith;

/// Empty where nothing can be said.
pub(super) fn of(chain: &[CertificateDer<'_>]) -> MadeWith {
    let parsed = chain.first().and_then(|own| X509Certificate::from_der(own).ok());
    let Some((_, parsed)) = parsed else { return MadeWith::default() };
    MadeWith { key: key(&parsed).into(), signature: algorithm(&parsed.signature_algorithm.algorithm) }
}

/// `RSA2048`, `EC256`; empty for others.
pub(crate) fn key_kind(certificate: &CertificateDer<'_>) -> String {
    X509Certificate::from_der(certificate).map_or(String::new(), |(_, parsed)| key(&parsed))
}

fn key(certificate: &X509Certificate<'_>) -> String {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => format!("RSA{}", key.key_size()),
        // Its coordinates fill whole bytes, which 521 bits do not.
        Ok(PublicKey::EC(point)) => format!("EC{}", if point.key_size() > 512 { 521 } else { point.key_size() }),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};

    use super::*;

    #[track_caller]
    fn check(algorithm: &'static SignatureAlgorithm, key: &str, signature: &str) {
        let pair = KeyPair::generate_for(algorithm).unwrap();
        let made = CertificateParams::new(["x.example".to_owned()]).unwrap().self_signed(&pair).unwrap();
        let expected = MadeWith { key: key.into(), signature: signature.into() };
        assert_eq!(of(&[made.der().clone()]), expected);
    }

    #[test]
    fn keys_and_signatures_are_named_as_haproxy_names_them() {
        check(&rcgen::PKCS_ECDSA_P256_SHA256, "EC256", "ecdsa-with-SHA256");
        check(&rcgen::PKCS_ECDSA_P384_SHA384, "EC384", "ecdsa-with-SHA384");
        check(&rcgen::PKCS_ECDSA_P521_SHA512, "EC521", "ecdsa-with-SHA512");
        check(&rcgen::PKCS_ED25519, "", "ED25519");
        check(&rcgen::PKCS_RSA_SHA256, "RSA2048", "RSA-SHA256");
    }
}
