//! Are clients asked for certificates, and which are taken? (manual 5.1 `verify`, `ca-file`, `crl-file`)

use std::sync::Arc;

use rustls::RootCertStore;

use super::super::context::Context;
use crate::config::raw::{self, ClientVerify};
use crate::diag::{Diagnostic, FieldPath};
use crate::model::tls::{ClientTrust, Ignored, IgnoredErrors};

/// The largest number OpenSSL has for a verification error, with room for new ones.
const LARGEST_ERROR: u32 = 255;

/// `Some(None)` where clients are not asked; `None` after an error was told.
#[allow(clippy::option_option)] // "not asked" and "wrong" are different answers
pub(super) fn resolve(context: &Context<'_>, path: &FieldPath, bind: &raw::Bind) -> Option<Option<Arc<ClientTrust>>> {
    let required = match bind.verify {
        Some(ClientVerify::Required) => true,
        Some(ClientVerify::Optional) => false,
        Some(ClientVerify::None) | None => {
            tell_idle(context, path, bind);
            return Some(None);
        }
    };
    let Some(file) = &bind.ca_file else {
        let told = Diagnostic::error("to verify clients, the authorities that sign their certificates are needed");
        context.tell(&path.key("verify"), told.hint("add `ca-file` with a PEM file of them"));
        return None;
    };
    let told = context.authorities(&path.key("ca_file"), file)?;
    let roots = match &bind.ca_verify_file {
        None => Arc::clone(&told),
        Some(file) => {
            let further = context.authorities(&path.key("ca_verify_file"), file)?;
            let mut both = RootCertStore::clone(&told);
            both.extend(further.roots.iter().cloned());
            Arc::new(both)
        }
    };
    let revoked = match &bind.crl_file {
        Some(file) => context.revoked(&path.key("crl_file"), file, &roots)?,
        None => Arc::default(),
    };
    let hints = if bind.no_ca_names == Some(true) { Vec::new() } else { told.subjects() };
    let ignored = Ignored {
        own: errors(context, &path.key("crt_ignore_err"), bind.crt_ignore_err.as_deref())?,
        above: errors(context, &path.key("ca_ignore_err"), bind.ca_ignore_err.as_deref())?,
    };
    Some(Some(Arc::new(ClientTrust { required, roots, hints, revoked, ignored })))
}

/// What is written for clients' certificates and never used.
fn tell_idle(context: &Context<'_>, path: &FieldPath, bind: &raw::Bind) {
    let said = [
        ("ca_file", bind.ca_file.is_some()),
        ("ca_verify_file", bind.ca_verify_file.is_some()),
        ("crl_file", bind.crl_file.is_some()),
        ("crt_ignore_err", bind.crt_ignore_err.is_some()),
        ("ca_ignore_err", bind.ca_ignore_err.is_some()),
    ];
    if let Some((field, _)) = said.iter().find(|(_, said)| *said) {
        let words = field.replace('_', "-");
        let told = format!("`{words}` does nothing without `verify`: clients are not asked for certificates");
        let told = Diagnostic::warning(told).code("clients-not-verified");
        context.tell(&path.key(*field), told.hint("add `verify required` or `verify optional`"));
    }
}

/// `all`, or OpenSSL's numbers with commas, by name too.
fn errors(context: &Context<'_>, path: &FieldPath, text: Option<&str>) -> Option<IgnoredErrors> {
    match text {
        None => Some(IgnoredErrors::None),
        Some("all") => Some(IgnoredErrors::All),
        Some(text) => {
            let mut errors = Vec::new();
            for word in text.split(',').map(str::trim) {
                let Some(number) = error_number(word) else {
                    let told =
                        format!("`{word}` is no verification error; `all` and OpenSSL's numbers are, as in `10,23`");
                    context.error(path, told);
                    return None;
                };
                errors.push(number);
            }
            Some(IgnoredErrors::Some(errors))
        }
    }
}

fn error_number(word: &str) -> Option<u32> {
    /// Those that our verification tells, by OpenSSL's names.
    const NAMES: [(&str, u32); 11] = [
        ("X509_V_ERR_UNABLE_TO_GET_CRL", 3),
        ("X509_V_ERR_CERT_SIGNATURE_FAILURE", 7),
        ("X509_V_ERR_CERT_NOT_YET_VALID", 9),
        ("X509_V_ERR_CERT_HAS_EXPIRED", 10),
        ("X509_V_ERR_CRL_HAS_EXPIRED", 12),
        ("X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT", 18),
        ("X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN", 19),
        ("X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY", 20),
        ("X509_V_ERR_CERT_REVOKED", 23),
        ("X509_V_ERR_INVALID_PURPOSE", 26),
        ("X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION", 34),
    ];
    let named = NAMES.iter().find(|(name, _)| *name == word).map(|(_, number)| *number);
    named.or_else(|| word.parse().ok().filter(|number| (1..=LARGEST_ERROR).contains(number)))
}
