//! Does a peer hold the key of the certificate it shows?
//!
//! webpki reads certificates of X.509 version 3 only. Old servers, and `openssl x509 -req` without extensions, have version
//! 1, which HAProxy speaks to; so for these the handshake's signature is held against the key alone. Whether such a
//! certificate is trusted is another question: nothing here says so.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error};
use x509_parser::asn1_rs::{Any, FromDer as _};
use x509_parser::prelude::*;

pub(super) fn tls12(
    message: &[u8],
    shown: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    match of_version_1(shown) {
        Some(old) => by_key(message, &old, signed, algorithms),
        None => verify_tls12_signature(message, shown, signed, algorithms),
    }
}

pub(super) fn tls13(
    message: &[u8],
    shown: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    match of_version_1(shown) {
        Some(old) => {
            let key = SubjectPublicKeyInfoDer::from(old.public_key().raw);
            verify_tls13_signature_with_raw_key(message, &key, signed, algorithms)
        }
        None => verify_tls13_signature(message, shown, signed, algorithms),
    }
}

/// The certificate, if it is of version 1.
pub(super) fn of_version_1<'a>(shown: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    let (_, parsed) = X509Certificate::from_der(shown).ok()?;
    (parsed.version() == X509Version::V1).then_some(parsed)
}

/// Whether it is between its two dates.
pub(super) fn is_in_force(certificate: &X509Certificate<'_>, at: UnixTime) -> bool {
    let at = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
    let validity = certificate.validity();
    validity.not_before.timestamp() <= at && at <= validity.not_after.timestamp()
}

/// What rustls does for TLS 1.2, with a key that stands in no certificate it can read.
fn by_key(
    message: &[u8],
    shown: &X509Certificate<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let key = shown.public_key();
    let kind = kind_of_key(key.raw).ok_or(CertificateError::BadEncoding)?;
    let of_scheme = algorithms.mapping.iter().filter(|(scheme, _)| *scheme == signed.scheme);
    let mut fitting =
        of_scheme.flat_map(|(_, algorithms)| *algorithms).filter(|it| it.public_key_alg_id().as_ref() == kind);
    let valid =
        fitting.any(|it| it.verify_signature(&key.subject_public_key.data, message, signed.signature()).is_ok());
    if valid { Ok(HandshakeSignatureValid::assertion()) } else { Err(CertificateError::BadSignature.into()) }
}

/// What stands in the AlgorithmIdentifier of a SubjectPublicKeyInfo (RFC 5280 §4.1).
fn kind_of_key(key: &[u8]) -> Option<&[u8]> {
    let (_, whole) = Any::from_der(key).ok()?;
    let (_, kind) = Any::from_der(whole.data).ok()?;
    Some(kind.data)
}
