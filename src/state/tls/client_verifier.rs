//! May this client come in with the certificate it shows? (`verify`, `ca-file`, `crl-file`, `crt-ignore-err`)
//!
//! webpki decides; here its verdicts become OpenSSL's numbers, because `crt-ignore-err`, `ca-ignore-err` and
//! `ssl_c_verify` speak in those. An error that is ignored ends no handshake; which one it was is found out again
//! afterwards, so that a session taken up again tells the same.

use std::cell::Cell;
use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::digest;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use x509_parser::prelude::*;

use super::client::is_root;
use super::tickets::VerifyContext;
use super::{client_facts, possession, provider};
use crate::model::tls::{ClientCertificate, ClientTrust};

#[derive(Debug)]
pub(super) struct ClientVerifier {
    trust: Arc<ClientTrust>,
    chain: Arc<dyn ClientCertVerifier>,
    /// Asks the lists of revoked certificates about the client's own only.
    own: Arc<dyn ClientCertVerifier>,
}

thread_local! {
    static REFUSED: Cell<Option<Fault>> = const { Cell::new(None) };
}

/// What the client's certificates that were looked at last on this thread were refused for, if they were; told once. rustls
/// hands on no more than the error, and by that it chooses what the client is told.
pub(super) fn refused() -> Option<Fault> {
    REFUSED.take()
}

/// One thing wrong with a client's certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    /// OpenSSL's number, as in `openssl verify`'s manual.
    number: u32,
    /// Of an authority, not of the client's own certificate.
    pub above: bool,
}

impl Fault {
    /// What OpenSSL says in the end: where an issuer is missing it also could not verify the first certificate.
    fn last(self) -> u32 {
        if (self.number, self.above) == (20, false) { 21 } else { self.number }
    }
}

impl ClientVerifier {
    pub fn new(trust: &Arc<ClientTrust>) -> Self {
        let builder = || {
            let builder = WebPkiClientVerifier::builder_with_provider(Arc::clone(&trust.roots), provider())
                .clear_root_hint_subjects()
                .add_root_hint_subjects(trust.hints.iter().cloned())
                .with_crls(trust.revoked.iter().cloned())
                .enforce_revocation_expiration();
            if trust.required { builder } else { builder.allow_unauthenticated() }
        };
        // Cannot fail: `config/resolve` takes no empty set of authorities and no list that cannot be read.
        let chain = builder().build().expect("authorities and lists were tried when read");
        let own = builder().only_check_end_entity_revocation().build().expect("they were tried when read");
        ClientVerifier { trust: Arc::clone(trust), chain, own }
    }

    /// What rules may know of the certificate; `None` when it cannot be read, which no accepted one is.
    pub fn look_at(&self, chain: &[CertificateDer<'_>]) -> Option<ClientCertificate> {
        let (own, above) = chain.split_first()?;
        let now = UnixTime::now();
        let fault = self.verify(own, above, now).err().map(|error| self.fault(&error, own, above, now));
        let mut found = client_facts::read(own)?;
        if let Some(fault) = fault {
            found.verify_error = fault.number;
            found.last_error = fault.last();
            found.error_is_above = fault.above;
        }
        Some(found)
    }

    fn verify(
        &self,
        own: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.chain.verify_client_cert(own, above, now) {
            Err(error) if possession::of_version_1(own).is_some_and(|old| !possession::is_in_force(&old, now)) => {
                Err(error)
            }
            // Among other things: a certificate that may sign others is no client's. Time was judged before.
            Err(Error::InvalidCertificate(CertificateError::Other(_))) if is_root(own, &self.trust.roots) => {
                Ok(ClientCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn fault(&self, error: &Error, own: &CertificateDer<'_>, above: &[CertificateDer<'_>], now: UnixTime) -> Fault {
        let Error::InvalidCertificate(error) = error else { return Fault { number: UNSPECIFIED, above: false } };
        let at_time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(now.as_secs());
        match error {
            CertificateError::UnknownIssuer => unknown_issuer(own, above),
            // Not a client's, and nobody known signed it.
            CertificateError::Other(_) if signed_itself(own) => Fault { number: 18, above: false },
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                Fault { number: 10, above: is_in_force(own, at_time) }
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Fault { number: 9, above: is_in_force(own, at_time) }
            }
            CertificateError::Revoked => self.of_list(23, own, above, now),
            CertificateError::UnknownRevocationStatus => self.of_list(3, own, above, now),
            CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => {
                self.of_list(12, own, above, now)
            }
            CertificateError::BadSignature => Fault { number: 7, above: false },
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Fault { number: 26, above: false }
            }
            CertificateError::UnhandledCriticalExtension => Fault { number: 34, above: false },
            _ => Fault { number: UNSPECIFIED, above: false },
        }
    }

    /// The client's own certificate is at fault when asking about it alone fails too.
    fn of_list(&self, number: u32, own: &CertificateDer<'_>, above: &[CertificateDer<'_>], now: UnixTime) -> Fault {
        Fault { number, above: self.own.verify_client_cert(own, above, now).is_ok() }
    }
}

/// `X509_V_ERR_UNSPECIFIED`
const UNSPECIFIED: u32 = 1;

/// How far the chain that was shown leads: 18 is a certificate that signed itself, 19 an authority that did and is not
/// known, 20 an issuer that is missing.
fn unknown_issuer(own: &CertificateDer<'_>, above: &[CertificateDer<'_>]) -> Fault {
    let names = |certificate: &CertificateDer<'_>| {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        Some((parsed.subject().as_raw().to_vec(), parsed.issuer().as_raw().to_vec()))
    };
    let Some((mut subject, mut issuer)) = names(own) else { return Fault { number: 20, above: false } };
    let above: Vec<_> = above.iter().filter_map(names).collect();
    let mut depth = 0;
    while subject != issuer && depth < above.len() {
        let Some((next, its)) = above.iter().find(|(subject, _)| *subject == issuer) else { break };
        (subject, issuer) = (next.clone(), its.clone());
        depth += 1;
    }
    let number = match (subject == issuer, depth) {
        (true, 0) => 18,
        (true, _) => 19,
        (false, _) => 20,
    };
    Fault { number, above: depth > 0 }
}

fn signed_itself(certificate: &CertificateDer<'_>) -> bool {
    let parsed = X509Certificate::from_der(certificate);
    parsed.is_ok_and(|(_, parsed)| parsed.subject().as_raw() == parsed.issuer().as_raw())
}

fn is_in_force(certificate: &CertificateDer<'_>, at: SystemTime) -> bool {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return false };
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let at = i64::try_from(seconds).unwrap_or(i64::MAX);
    let validity = parsed.validity();
    validity.not_before.timestamp() <= at && at <= validity.not_after.timestamp()
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.trust.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        REFUSED.set(None);
        self.verify(own, above, now).or_else(|error| {
            let fault = self.fault(&error, own, above, now);
            let ignored = &self.trust.ignored;
            let covered = if fault.above { &ignored.above } else { &ignored.own }.covers(fault.number);
            if covered {
                return Ok(ClientCertVerified::assertion());
            }
            REFUSED.set(Some(fault));
            Err(error)
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        possession::tls12(message, certificate, signature, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        possession::tls13(message, certificate, signature, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Differs wherever clients are verified differently; never all zeroes, which stands for "not at all".
pub(super) fn verify_context(trust: &ClientTrust) -> VerifyContext {
    let mut digest = digest::Context::new(&digest::SHA256);
    let mut add = |bytes: &[u8]| {
        digest.update(&(bytes.len() as u64).to_be_bytes());
        digest.update(bytes);
    };
    add(if trust.required { b"required" } else { b"optional" });
    add(format!("{:?}", trust.ignored).as_bytes());
    for root in &trust.roots.roots {
        add(&root.subject);
        add(&root.subject_public_key_info);
        add(root.name_constraints.as_deref().unwrap_or_default());
    }
    for list in trust.revoked.iter() {
        add(list);
    }
    let mut context = VerifyContext::default();
    context.copy_from_slice(digest.finish().as_ref());
    context
}
