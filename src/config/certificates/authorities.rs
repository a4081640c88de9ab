//! Whom do we trust to sign certificates, and which of those have they taken back? (`ca-file`, `crl-file`)

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::pki_types::CertificateRevocationListDer;
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use super::facts::system_time;
use super::problem::What;
use super::{Problem, read};
use crate::config::pem::PemError;

/// Where distributions keep the authorities they trust, the first that exists is taken.
const SYSTEM_AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
/// Why a set of authorities (`ca-file`) could not be read.
#[derive(Debug)]
pub(crate) enum AuthoritiesError {
    Unreadable(PathBuf, PemError),
    /// Readable, but no certificate that can be an authority; what is there instead.
    None(PathBuf, Vec<String>),
    /// Readable, but no list of revoked certificates.
    NoList(PathBuf, Vec<String>),
    NoSystemAuthorities,
}

impl fmt::Display for AuthoritiesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AuthoritiesError::Unreadable(path, error) => write!(f, "`{}`: {error}", path.display()),
            AuthoritiesError::None(path, labels) if labels.is_empty() => {
                write!(f, "`{}`: no certificate inside", path.display())
            }
            AuthoritiesError::None(path, labels) => {
                write!(f, "`{}`: no usable certificate inside, only {}", path.display(), labels.join(", "))
            }
            AuthoritiesError::NoList(path, labels) if labels.is_empty() => {
                write!(f, "`{}`: no list of revoked certificates inside", path.display())
            }
            AuthoritiesError::NoList(path, labels) => {
                write!(f, "`{}`: no list of revoked certificates inside, only {}", path.display(), labels.join(", "))
            }
            AuthoritiesError::NoSystemAuthorities => {
                write!(f, "no trusted authorities found on this system (package ca-certificates)")
            }
        }
    }
}

/// The authorities in a file or in all files of a directory.
pub(crate) fn load_authorities(path: &Path) -> Result<RootCertStore, AuthoritiesError> {
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        let unreadable = |error| AuthoritiesError::Unreadable(path.to_owned(), PemError::Io(error));
        files = std::fs::read_dir(path).map_err(unreadable)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.retain(|file| file.is_file());
        files.sort();
    }
    let mut store = RootCertStore::empty();
    let mut labels = Vec::new();
    for file in files {
        let sections = read(&file).map_err(|error| AuthoritiesError::Unreadable(file.clone(), error))?;
        store.add_parsable_certificates(sections.certificates);
        labels.extend(sections.labels);
    }
    if store.is_empty() { Err(AuthoritiesError::None(path.to_owned(), labels)) } else { Ok(store) }
}

/// The authorities the operating system trusts (`@system-ca`).
pub(crate) fn system_authorities() -> Result<RootCertStore, AuthoritiesError> {
    let bundle = SYSTEM_AUTHORITIES.iter().map(Path::new).find(|path| path.is_file());
    load_authorities(bundle.ok_or(AuthoritiesError::NoSystemAuthorities)?)
}

/// The lists of revoked certificates in a file (`crl-file`).
///
/// # Errors
/// The file cannot be read, or a list in it cannot be used.
pub(crate) fn load_revoked(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, AuthoritiesError> {
    let sections = read(path).map_err(|error| AuthoritiesError::Unreadable(path.to_owned(), error))?;
    if sections.revocations.is_empty() {
        return Err(AuthoritiesError::NoList(path.to_owned(), sections.labels));
    }
    Ok(sections.revocations)
}

/// Why nobody gets past these lists of revoked certificates, read from `path`, if that is so.
pub(crate) fn odd_about_lists(
    path: &Path,
    lists: &[CertificateRevocationListDer<'_>],
    roots: &RootCertStore,
    now: SystemTime,
) -> Vec<Problem> {
    let parsed = || lists.iter().filter_map(|list| Some(CertificateRevocationList::from_der(list).ok()?.1));
    let expired = parsed().filter_map(|list| {
        let since = now.duration_since(system_time(list.next_update()?.timestamp())).ok()?;
        Some(What::ListExpired { issuer: list.issuer().to_string(), days: since.as_secs() / 86_400 })
    });
    let mut found: Vec<What> = expired.collect();
    // A list of an authority in between helps only beside one of those above it.
    let subjects = roots.subjects();
    let is_trusted = |list: &CertificateRevocationList<'_>| {
        subjects.iter().any(|subject| subject.as_ref() == list.issuer().as_raw())
    };
    if !parsed().any(|list| is_trusted(&list)) {
        found.push(What::ForeignLists);
    }
    found.into_iter().map(|what| Problem { path: path.to_owned(), what }).collect()
}
