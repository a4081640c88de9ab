//! Which certificates and keys does a path stand for, and can they be served?
//!
//! A path is one combined file, a file with its key beside it, or a directory (HAProxy manual 5.1 `crt`). Every
//! certificate must have a key that fits it; the chain is put in order. All problems are returned, not only the first.

mod authorities;
mod crt_list;
mod der;
mod facts;
mod ocsp;
mod problem;
mod stamp;
#[cfg(test)]
mod tests;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use x509_parser::prelude::{FromDer, X509Certificate};

use self::facts::{Facts, chain_order};
use self::problem::What;
use super::pem::{self, PemError, Sections};
use crate::diag::Severity;
use crate::model::tls::Certificate;

pub(crate) use self::authorities::{
    AuthoritiesError, load_authorities, load_revoked, odd_about_lists, system_authorities,
};
pub(crate) use self::crt_list::{BadLine, Entry, read_list};
pub(crate) use self::ocsp::identifier as ocsp_identifier;
pub(crate) use self::problem::Problem;
pub(crate) use self::stamp::look_at;

/// Files of a certificate directory that are not certificates (HAProxy manual 5.1 `crt`).
const RESERVED_ENDINGS: [&str; 4] = [".key", ".issuer", ".ocsp", ".sctl"];

/// All certificates of a file or directory, in the order they are preferred. Empty when there was an error.
pub(crate) fn load(path: &Path, now: SystemTime, problems: &mut Vec<Problem>) -> Vec<Arc<Certificate>> {
    if path.is_dir() {
        return load_directory(path, now, problems);
    }
    if !path.exists() {
        let bundle: Vec<PathBuf> = ["rsa", "ecdsa"].iter().map(|kind| with_suffix(path, kind)).collect();
        let bundle = bundle.into_iter().filter(|path| path.exists());
        let found: Vec<_> = bundle.filter_map(|path| load_file(&path, now, problems)).collect();
        if !found.is_empty() {
            return found;
        }
    }
    load_file(path, now, problems).into_iter().collect()
}

/// One file that must hold one certificate chain, for `server … crt`.
pub(crate) fn load_file(path: &Path, now: SystemTime, problems: &mut Vec<Problem>) -> Option<Arc<Certificate>> {
    // Before reading: what is written meanwhile is seen as a change later.
    let mut files = vec![stamp::watched(path.to_owned())];
    files.extend(["ocsp", "issuer"].map(|suffix| stamp::watched(with_suffix(path, suffix))));
    files.extend(key_beside(path).map(stamp::watched));
    let mut tell = |what| problems.push(Problem { path: path.to_owned(), what });
    let mut sections = match read(path) {
        Ok(sections) => sections,
        Err(error) => {
            tell(What::Unreadable(error));
            return None;
        }
    };
    if sections.certificates.is_empty() {
        tell(What::NoCertificate(sections.labels));
        return None;
    }
    let key_path = if sections.keys.is_empty() {
        match read_key_beside(path, &mut sections) {
            Ok(path) => path,
            Err(problem) => {
                problems.push(problem);
                return None;
            }
        }
    } else {
        path.to_owned()
    };
    warn_of_wide_mode(&key_path, problems);
    let mut made = assemble(path, sections, now, problems)?;
    made.files = files;
    if let Err(why) = ocsp::staple(&mut made, now) {
        problems.push(Problem { path: with_suffix(path, "ocsp"), what: What::NotStapled(why) });
    }
    Some(Arc::new(made))
}

/// A certificate that was read again.
pub(crate) struct ReadAgain {
    pub certificate: Arc<Certificate>,
    pub warnings: Vec<String>,
    /// Why the OCSP answer beside it, if there is one, is not stapled, with its path.
    pub bad_answer: Option<String>,
}

/// Reads a certificate again that was read before.
///
/// # Errors
/// The first thing wrong with it, as text.
pub(crate) fn load_again(path: &Path, now: SystemTime) -> Result<ReadAgain, String> {
    let mut problems = Vec::new();
    let found = load_file(path, now, &mut problems);
    let text = |wanted| problems.iter().filter(move |it| it.severity() == wanted).map(ToString::to_string);
    let Some(certificate) = found else {
        return Err(text(Severity::Error).next().unwrap_or_else(|| format!("`{}` cannot be used", path.display())));
    };
    let bad_answer = problems.iter().find_map(|problem| match &problem.what {
        What::NotStapled(why) => Some(format!("`{}`: {why}", problem.path.display())),
        _ => None,
    });
    Ok(ReadAgain { certificate, warnings: text(Severity::Warning).collect(), bad_answer })
}

/// For `fuzz/`: what else stands in files.
pub(crate) fn fuzz(data: &[u8]) {
    let _ = ocsp::read(data);
    let _ = crt_list::parse(&String::from_utf8_lossy(data));
}

fn load_directory(path: &Path, now: SystemTime, problems: &mut Vec<Problem>) -> Vec<Arc<Certificate>> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) => {
            problems.push(Problem { path: path.to_owned(), what: What::Unreadable(PemError::Io(error)) });
            return Vec::new();
        }
    };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| is_certificate_name(file) && file.is_file());
    files.sort();
    if files.is_empty() {
        problems.push(Problem { path: path.to_owned(), what: What::EmptyDirectory });
    }
    files.iter().filter_map(|file| load_file(file, now, problems)).collect()
}

fn is_certificate_name(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    !name.starts_with('.') && !RESERVED_ENDINGS.iter().any(|ending| name.ends_with(ending))
}

fn read(path: &Path) -> Result<Sections, PemError> {
    pem::parse(&pem::read_file(path)?)
}

fn read_key_beside(path: &Path, sections: &mut Sections) -> Result<PathBuf, Problem> {
    let Some(beside) = key_beside(path) else {
        return Err(Problem { path: path.to_owned(), what: What::NoKey { tried: key_places(path).into() } });
    };
    match read(&beside) {
        Ok(found) if !found.keys.is_empty() => {
            sections.keys = found.keys;
            Ok(beside)
        }
        Ok(_) => Err(Problem { path: path.to_owned(), what: What::NoKey { tried: vec![beside] } }),
        Err(error) => Err(Problem { path: beside, what: What::Unreadable(error) }),
    }
}

/// `site.pem.key` as HAProxy does, and `site.key` for `site.crt`, its `ssl-load-extra-del-ext`.
fn key_places(path: &Path) -> [PathBuf; 2] {
    [with_suffix(path, "key"), path.with_extension("key")]
}

fn key_beside(path: &Path) -> Option<PathBuf> {
    key_places(path).into_iter().find(|beside| beside != path && beside.exists())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

fn warn_of_wide_mode(path: &Path, problems: &mut Vec<Problem>) {
    let Ok(metadata) = std::fs::metadata(path) else { return };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        problems.push(Problem { path: path.to_owned(), what: What::WideMode { mode } });
    }
}

/// Finds the key's own certificate and puts its chain behind it.
fn assemble(path: &Path, sections: Sections, now: SystemTime, problems: &mut Vec<Problem>) -> Option<Certificate> {
    let mut tell = |what| problems.push(Problem { path: path.to_owned(), what });
    let facts: Option<Vec<Facts>> = sections.certificates.iter().map(Facts::read).collect();
    let Some(facts) = facts else {
        tell(What::BadCertificate);
        return None;
    };
    let own = match find_own(&sections) {
        Ok(own) => own,
        Err(no_key_usable) => {
            let subject = facts.first().map(|first| first.subject.clone()).unwrap_or_default();
            tell(if no_key_usable { What::UnusableKey } else { What::KeyDoesNotFit { subject } });
            return None;
        }
    };
    let order = chain_order(&facts, own.index);
    for (index, left_out) in facts.iter().enumerate() {
        if !order.contains(&index)
            && !order.iter().any(|kept| sections.certificates[*kept] == sections.certificates[index])
        {
            tell(What::NotInChain { subject: left_out.subject.clone() });
        }
    }
    if !order.is_sorted() || own.index != 0 {
        tell(What::ChainReordered);
    }
    let leaf = facts.into_iter().nth(own.index)?;
    if let Some(what) = leaf.out_of_date(now) {
        tell(what);
    }
    let chain = order.iter().map(|index| sections.certificates[*index].clone()).collect();
    Some(Certificate {
        path: path.to_owned(),
        files: Vec::new(),
        key: Arc::new(CertifiedKey::new(chain, own.key)),
        names: leaf.names,
        not_before: leaf.not_before,
        not_after: leaf.not_after,
        staple_until: None,
    })
}

/// The certificate a key fits.
struct Own {
    index: usize,
    key: Arc<dyn SigningKey>,
}

/// `Err(true)` when no key could be used at all, `Err(false)` when none fits.
fn find_own(sections: &Sections) -> Result<Own, bool> {
    let usable: Vec<_> =
        sections.keys.iter().filter_map(|key: &PrivateKeyDer<'_>| any_supported_type(key).ok()).collect();
    for key in &usable {
        for (index, certificate) in sections.certificates.iter().enumerate() {
            if fits(key.as_ref(), certificate) {
                return Ok(Own { index, key: Arc::clone(key) });
            }
        }
    }
    Err(usable.is_empty())
}

/// As rustls judges it, for certificates of X.509 version 1 too, which it cannot read.
fn fits(key: &dyn SigningKey, certificate: &CertificateDer<'_>) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return false };
    key.public_key().is_some_and(|own| own.as_ref() == certificate.public_key().raw)
}
