//! What does a client's certificate say, in OpenSSL's words? (manual 7.3.4, `ssl_c_*`)

use aws_lc_rs::digest;
use rustls::pki_types::CertificateDer;
use x509_parser::oid_registry::Oid;
use x509_parser::prelude::*;

use crate::model::tls::{ClientCertificate, NameEntry};

/// Reads it; the verification is not judged here.
pub(super) fn read(der: &CertificateDer<'_>) -> Option<ClientCertificate> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    let serial = parsed.raw_serial();
    let zeroes = serial.iter().take_while(|byte| **byte == 0).count();
    let mut sha1 = [0; 20];
    sha1.copy_from_slice(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, der).as_ref());
    let validity = parsed.validity();
    Some(ClientCertificate {
        verify_error: 0,
        last_error: 0,
        error_is_above: false,
        der: der.to_vec().into(),
        subject: entries(parsed.subject()),
        issuer: entries(parsed.issuer()),
        serial: serial.get(zeroes..).unwrap_or_default().into(),
        sha1,
        not_before: date(&validity.not_before),
        not_after: date(&validity.not_after),
        key_algorithm: algorithm(&parsed.public_key().algorithm.algorithm),
        signature_algorithm: algorithm(&parsed.signature_algorithm.algorithm),
        version: parsed.version().0.saturating_add(1),
    })
}

fn entries(name: &X509Name<'_>) -> Box<[NameEntry]> {
    let entry = |part: &AttributeTypeAndValue<'_>| NameEntry {
        kind: short_name(part.attr_type()),
        value: part.attr_value().data.into(),
    };
    name.iter().flat_map(|parts| parts.iter().map(entry).collect::<Vec<_>>()).collect()
}

/// `YYMMDDhhmmssZ`, the century left out as HAProxy does.
fn date(at: &ASN1Time) -> Box<str> {
    let at = at.to_datetime();
    let (month, year) = (u8::from(at.month()), at.year().rem_euclid(100));
    format!("{year:02}{month:02}{:02}{:02}{:02}{:02}Z", at.day(), at.hour(), at.minute(), at.second()).into()
}

/// OpenSSL's short name of a part of a name, or its numbers.
pub(crate) fn short_name(kind: &Oid<'_>) -> Box<str> {
    let numbers = kind.to_id_string();
    let short = match numbers.as_str() {
        "2.5.4.3" => "CN",
        "2.5.4.4" => "SN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "street",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.12" => "title",
        "2.5.4.13" => "description",
        "2.5.4.15" => "businessCategory",
        "2.5.4.17" => "postalCode",
        "2.5.4.41" => "name",
        "2.5.4.42" => "GN",
        "2.5.4.43" => "initials",
        "2.5.4.44" => "generationQualifier",
        "2.5.4.46" => "dnQualifier",
        "2.5.4.65" => "pseudonym",
        "2.5.4.97" => "organizationIdentifier",
        "1.2.840.113549.1.9.1" => "emailAddress",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        _ => return numbers.into(),
    };
    short.into()
}

/// OpenSSL's short name of an algorithm, or its numbers.
pub(super) fn algorithm(kind: &Oid<'_>) -> Box<str> {
    let numbers = kind.to_id_string();
    let short = match numbers.as_str() {
        "1.2.840.113549.1.1.1" => "rsaEncryption",
        "1.2.840.113549.1.1.5" => "RSA-SHA1",
        "1.2.840.113549.1.1.10" => "RSASSA-PSS",
        "1.2.840.113549.1.1.11" => "RSA-SHA256",
        "1.2.840.113549.1.1.12" => "RSA-SHA384",
        "1.2.840.113549.1.1.13" => "RSA-SHA512",
        "1.2.840.10045.2.1" => "id-ecPublicKey",
        "1.2.840.10045.4.3.2" => "ecdsa-with-SHA256",
        "1.2.840.10045.4.3.3" => "ecdsa-with-SHA384",
        "1.2.840.10045.4.3.4" => "ecdsa-with-SHA512",
        "1.3.101.112" => "ED25519",
        _ => return numbers.into(),
    };
    short.into()
}
