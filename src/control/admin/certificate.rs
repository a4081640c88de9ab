//! What is in a certificate's file? `show ssl cert FILE`, in HAProxy's words and order (management guide 9.3), run against
//! HAProxy 2.6.

use std::fmt::Write;

use aws_lc_rs::digest;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::*;

use crate::config::ocsp_identifier;
use crate::model::tls::Certificate;
use crate::state::tls::{key_kind, short_name};

/// Told of a file that is none of those in use.
pub(super) const NOT_FOUND: &str = "Can't display the certificate: Not found or the certificate is a bundle!";

/// `None` when it cannot be read, which no certificate in use is.
pub(super) fn describe(certificate: &Certificate) -> Option<String> {
    let (own, above) = certificate.key.cert.split_first()?;
    let (_, parsed) = X509Certificate::from_der(own).ok()?;
    let serial = parsed.raw_serial();
    let zeroes = serial.iter().take_while(|byte| **byte == 0).count();
    let validity = parsed.validity();
    let mut out = String::with_capacity(512);
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(out, "{name}: {value}");
    };
    line("Filename", &certificate.path.display().to_string());
    line("Status", "Used");
    line("Serial", &hex(serial.get(zeroes..).unwrap_or_default()).to_uppercase());
    line("notBefore", &date(&validity.not_before));
    line("notAfter", &date(&validity.not_after));
    line("Subject Alternative Name", &alternative_names(&parsed));
    line("Algorithm", &key_kind(own));
    line("SHA1 FingerPrint", &hex(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, own).as_ref()).to_uppercase());
    line("Subject", &name(parsed.subject()));
    line("Issuer", &name(parsed.issuer()));
    for (subject, issuer) in above.iter().filter_map(names) {
        line("Chain Subject", &subject);
        line("Chain Issuer", &issuer);
    }
    let answered = certificate.key.ocsp.as_deref().and_then(ocsp_identifier);
    line("OCSP Response Key", &hex(&answered.unwrap_or_default()));
    Some(out)
}

fn names(certificate: &CertificateDer<'_>) -> Option<(String, String)> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some((name(parsed.subject()), name(parsed.issuer())))
}

/// `/O=Org/CN=a`
fn name(name: &X509Name<'_>) -> String {
    let mut out = String::new();
    for part in name.iter_attributes() {
        let value = String::from_utf8_lossy(part.attr_value().data);
        // A line of its own would be taken for the next field.
        let value = value.replace(char::is_control, " ");
        let _ = write!(out, "/{}={value}", short_name(part.attr_type()));
    }
    out
}

/// HAProxy leaves those empty that are no hosts' names.
fn alternative_names(certificate: &X509Certificate<'_>) -> String {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return String::new() };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => format!("DNS:{}", name.replace(char::is_control, " ")),
        _ => String::new(),
    };
    names.value.general_names.iter().map(text).collect::<Vec<_>>().join(", ")
}

/// `Nov  1 02:20:30 2026 GMT`
fn date(at: &ASN1Time) -> String {
    let at = at.to_datetime();
    let month = at.month().to_string();
    let month = month.get(..3).unwrap_or_default();
    format!("{month} {:2} {:02}:{:02}:{:02} {} GMT", at.day(), at.hour(), at.minute(), at.second(), at.year())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}
