//! What does a certificate say, and in which order does a chain go? (RFC 5280)

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::*;

use super::problem::What;

/// A certificate that ends within this is pointed out.
const EXPIRES_SOON: Duration = Duration::from_secs(30 * 86_400);

/// From the server's own certificate upwards, by issuer.
pub(super) fn chain_order(facts: &[Facts], own: usize) -> Vec<usize> {
    let mut order = vec![own];
    let mut last = own;
    while facts[last].issuer_der != facts[last].subject_der {
        let next = facts
            .iter()
            .enumerate()
            .find(|(index, above)| !order.contains(index) && above.subject_der == facts[last].issuer_der);
        let Some((next, _)) = next else { break };
        order.push(next);
        last = next;
    }
    order
}

/// What the proxy needs to know of a certificate (RFC 5280).
pub(super) struct Facts {
    pub subject: String,
    pub names: Vec<String>,
    pub subject_der: Vec<u8>,
    pub issuer_der: Vec<u8>,
    pub not_before: SystemTime,
    pub not_after: SystemTime,
}

impl Facts {
    pub fn read(certificate: &CertificateDer<'_>) -> Option<Facts> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let validity = parsed.validity();
        Some(Facts {
            subject: subject(&parsed),
            names: names(&parsed),
            subject_der: parsed.subject().as_raw().to_vec(),
            issuer_der: parsed.issuer().as_raw().to_vec(),
            not_before: system_time(validity.not_before.timestamp()),
            not_after: system_time(validity.not_after.timestamp()),
        })
    }

    pub fn out_of_date(&self, now: SystemTime) -> Option<What> {
        let days = |time: Duration| time.as_secs() / 86_400;
        let subject = self.subject.clone();
        if let Ok(since) = now.duration_since(self.not_after) {
            return Some(What::Expired { subject, days: days(since) });
        }
        if let Ok(wait) = self.not_before.duration_since(now) {
            return Some(What::NotYetValid { subject, days: days(wait) });
        }
        let left = self.not_after.duration_since(now).unwrap_or_default();
        (left <= EXPIRES_SOON).then(|| What::ExpiresSoon { subject, days: days(left) })
    }
}

/// The common name where there is one, else the whole subject, else the first alternative name.
fn subject(certificate: &X509Certificate<'_>) -> String {
    let common_name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    let whole = certificate.subject().to_string();
    match (common_name, whole.is_empty()) {
        (Some(name), _) => name.to_owned(),
        (None, false) => whole,
        (None, true) => names(certificate).into_iter().next().unwrap_or_else(|| "no name".to_owned()),
    }
}

/// DNS names in lower case: the alternative names, and the common name besides, as HAProxy serves by both.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let mut names = Vec::new();
    if let Ok(Some(alternatives)) = certificate.subject_alternative_name() {
        for name in &alternatives.value.general_names {
            if let GeneralName::DNSName(name) = name {
                names.push(name.to_ascii_lowercase());
            }
        }
    }
    let common = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    // Nobody asks for "Example Authority 1".
    let is_host = |name: &&str| name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.*".contains(letter));
    let common = common.filter(is_host);
    if let Some(common) = common.map(str::to_ascii_lowercase).filter(|common| !names.contains(common)) {
        names.push(common);
    }
    names
}

pub(super) fn system_time(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let moved = if seconds >= 0 {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    };
    moved.unwrap_or(SystemTime::UNIX_EPOCH)
}
