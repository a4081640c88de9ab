//! Is there an OCSP answer to staple beside a certificate, and is it one for it? (RFC 6960; HAProxy manual 5.1 `crt`)
//!
//! `FILE.ocsp` holds one answer in DER. It must say `good`, be about this certificate of this issuer, and be in force now.
//! Whether its signature is right is the client's to find out, as with HAProxy: a wrong one harms nobody but ourselves.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::*;

use super::der::{Der, ENUMERATED, GENERALIZED_TIME, INTEGER, OBJECT, OCTETS, SEQUENCE, generalized_time, tagged};
use super::with_suffix;
use crate::config::pem::{self, PemError};
use crate::model::tls::Certificate;

/// How far a responder's clock may be ahead of ours.
const CLOCK_SKEW: Duration = Duration::from_secs(300);
/// `id-pkix-ocsp-basic`, 1.3.6.1.5.5.7.48.1.1.
const BASIC: [u8; 9] = [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];
const SHA1: [u8; 5] = [0x2b, 0x0e, 0x03, 0x02, 0x1a];
const SHA256: [u8; 9] = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];

/// Why the answer that is there is not stapled.
#[derive(Debug)]
pub(crate) enum BadStaple {
    Unreadable(PemError),
    /// Neither in the certificate's file nor beside it.
    NoIssuer,
    /// No OCSP answer, or broken.
    NotAnAnswer,
    /// The responder gave an error instead of an answer.
    NoSuccess,
    /// Not about exactly one certificate.
    Several,
    /// About another certificate, or one of another issuer.
    Foreign,
    Revoked,
    Unknown,
    Expired,
    NotYetValid,
}

impl fmt::Display for BadStaple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadStaple::Unreadable(error) => return error.fmt(f),
            BadStaple::NoIssuer => "the issuer's certificate is needed, behind the certificate or in a `.issuer` file",
            BadStaple::NotAnAnswer => "not an OCSP answer in DER",
            BadStaple::NoSuccess => "the responder answered with an error",
            BadStaple::Several => "it is not about exactly one certificate",
            BadStaple::Foreign => "it is about another certificate",
            BadStaple::Revoked => "it says that the certificate is revoked",
            BadStaple::Unknown => "it says that the responder does not know the certificate",
            BadStaple::Expired => "it has expired",
            BadStaple::NotYetValid => "it is not valid yet",
        })
    }
}

/// Puts the answer of `FILE.ocsp` with the certificate. None, or an empty one, is no problem.
pub(super) fn staple(certificate: &mut Certificate, now: SystemTime) -> Result<(), BadStaple> {
    let path = with_suffix(&certificate.path, "ocsp");
    if !path.exists() {
        return Ok(());
    }
    let bytes = pem::read_file(&path).map_err(BadStaple::Unreadable)?;
    if bytes.is_empty() {
        return Ok(());
    }
    let chain = &certificate.key.cert;
    let own = chain.first().ok_or(BadStaple::NoIssuer)?;
    let issuer = match issuer_in(own, chain) {
        Some(issuer) => issuer,
        None => issuer_beside(&certificate.path)?,
    };
    certificate.staple_until = check(&bytes, own, &issuer, now)?;
    let mut key = (*certificate.key).clone();
    key.ocsp = Some(bytes);
    certificate.key = Arc::new(key);
    Ok(())
}

/// The next certificate of the chain, or the certificate itself when it signed itself.
fn issuer_in(own: &CertificateDer<'_>, chain: &[CertificateDer<'static>]) -> Option<CertificateDer<'static>> {
    let (_, parsed) = X509Certificate::from_der(own).ok()?;
    let wanted = parsed.issuer().as_raw();
    let signs = |candidate: &&CertificateDer<'static>| {
        X509Certificate::from_der(candidate).is_ok_and(|(_, above)| above.subject().as_raw() == wanted)
    };
    chain.iter().rev().find(signs).cloned()
}

fn issuer_beside(path: &Path) -> Result<CertificateDer<'static>, BadStaple> {
    let path = with_suffix(path, "issuer");
    if !path.exists() {
        return Err(BadStaple::NoIssuer);
    }
    let sections = super::read(&path).map_err(BadStaple::Unreadable)?;
    sections.certificates.into_iter().next().ok_or(BadStaple::NoIssuer)
}

/// What one answer says about one certificate.
pub(super) struct Answer<'a> {
    hash: &'static digest::Algorithm,
    issuer_name_hash: &'a [u8],
    issuer_key_hash: &'a [u8],
    serial: &'a [u8],
    /// The tag of `certStatus`: 0 good, 1 revoked, 2 unknown.
    status: u8,
    this_update: SystemTime,
    next_update: Option<SystemTime>,
}

/// Until when the answer is good; `None` when it does not say.
fn check(
    bytes: &[u8],
    own: &CertificateDer<'_>,
    issuer: &CertificateDer<'_>,
    now: SystemTime,
) -> Result<Option<SystemTime>, BadStaple> {
    let answer = read(bytes)?;
    let (_, own) = X509Certificate::from_der(own).map_err(|_| BadStaple::Foreign)?;
    let (_, issuer) = X509Certificate::from_der(issuer).map_err(|_| BadStaple::NoIssuer)?;
    let name = digest::digest(answer.hash, own.issuer().as_raw());
    let key = digest::digest(answer.hash, &issuer.public_key().subject_public_key.data);
    let fits = name.as_ref() == answer.issuer_name_hash
        && key.as_ref() == answer.issuer_key_hash
        && own.raw_serial() == answer.serial;
    if !fits {
        return Err(BadStaple::Foreign);
    }
    match answer.status {
        0 => {}
        1 => return Err(BadStaple::Revoked),
        _ => return Err(BadStaple::Unknown),
    }
    if answer.this_update > now + CLOCK_SKEW {
        return Err(BadStaple::NotYetValid);
    }
    if answer.next_update.is_some_and(|end| end <= now) {
        return Err(BadStaple::Expired);
    }
    Ok(answer.next_update)
}

/// Down to the single answer inside.
pub(super) fn read(bytes: &[u8]) -> Result<Answer<'_>, BadStaple> {
    let mut response = Der(bytes).enter(SEQUENCE).ok_or(BadStaple::NotAnAnswer)?;
    match response.expect(ENUMERATED) {
        Some([0]) => {}
        Some(_) => return Err(BadStaple::NoSuccess),
        None => return Err(BadStaple::NotAnAnswer),
    }
    let mut answers = answers_in(response).ok_or(BadStaple::NotAnAnswer)?;
    let single = answers.enter(SEQUENCE).ok_or(BadStaple::Several)?;
    if !answers.is_empty() {
        return Err(BadStaple::Several);
    }
    read_single(single).ok_or(BadStaple::NotAnAnswer)
}

/// Which certificate an answer is about: its first `CertID` in DER (RFC 6960 §4.1.1).
pub(crate) fn identifier(answer: &[u8]) -> Option<Vec<u8>> {
    let mut response = Der(answer).enter(SEQUENCE)?;
    response.expect(ENUMERATED)?;
    let id = answers_in(response)?.enter(SEQUENCE)?.enter(SEQUENCE)?;
    let length = u8::try_from(id.0.len()).ok().filter(|length| *length < 0x80)?;
    Some([&[SEQUENCE, length], id.0].concat())
}

/// `responses` of `responseBytes` (RFC 6960 §4.2.1).
fn answers_in(mut response: Der<'_>) -> Option<Der<'_>> {
    let mut bytes = response.enter(tagged(0))?.enter(SEQUENCE)?;
    if bytes.expect(OBJECT)? != BASIC {
        return None;
    }
    let mut data = bytes.enter(OCTETS)?.enter(SEQUENCE)?.enter(SEQUENCE)?;
    data.skip_if(tagged(0))?; // version
    data.take()?; // responderID
    data.expect(GENERALIZED_TIME)?; // producedAt
    data.enter(SEQUENCE)
}

fn read_single(mut single: Der<'_>) -> Option<Answer<'_>> {
    let mut id = single.enter(SEQUENCE)?;
    let hash = match id.enter(SEQUENCE)?.expect(OBJECT)? {
        name if name == SHA1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        name if name == SHA256 => &digest::SHA256,
        _ => return None,
    };
    let (issuer_name_hash, issuer_key_hash) = (id.expect(OCTETS)?, id.expect(OCTETS)?);
    let serial = id.expect(INTEGER)?;
    let (status, _) = single.take()?;
    let this_update = generalized_time(single.expect(GENERALIZED_TIME)?)?;
    let next_update = match single.next_tag() {
        Some(tag) if tag == tagged(0) => Some(generalized_time(single.enter(tagged(0))?.expect(GENERALIZED_TIME)?)?),
        _ => None,
    };
    let status = status & 0x1f;
    Some(Answer { hash, issuer_name_hash, issuer_key_hash, serial, status, this_update, next_update })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), tags in "[0-9\\x00-\\x10]{0,40}") {
            let _ = read(&bytes);
            // Likelier to be elements within elements.
            let mut nested = vec![SEQUENCE, 0x20, ENUMERATED, 1, 0, tagged(0), 0x10];
            nested.extend_from_slice(tags.as_bytes());
            let _ = read(&nested);
        }
    }

    #[test]
    fn an_error_of_the_responder_is_no_answer() {
        assert!(matches!(read(&[SEQUENCE, 3, ENUMERATED, 1, 6]), Err(BadStaple::NoSuccess)));
        assert!(matches!(read(b""), Err(BadStaple::NotAnAnswer)));
    }
}
