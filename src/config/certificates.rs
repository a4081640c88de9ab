//! Which certificates and keys does a path stand for, and can they be served?
//!
//! A path is one combined file, a file with its key beside it, or a directory (HAProxy manual 5.1 `crt`). Every
//! certificate must have a key that fits it; the chain is put in order. All problems are returned, not only the first.

use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::*;

use super::pem::{self, PemError, Sections};
use crate::model::tls::Certificate;

/// Files of a certificate directory that are not certificates (HAProxy manual 5.1 `crt`).
const RESERVED_ENDINGS: [&str; 4] = [".key", ".issuer", ".ocsp", ".sctl"];
/// Where distributions keep the authorities they trust, the first that exists is taken.
const SYSTEM_AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// What was found out about one file.
#[derive(Debug)]
pub(super) struct Problem {
    pub path: PathBuf,
    pub what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Unreadable(PemError),
    EmptyDirectory,
    /// No certificate; what the file holds instead.
    NoCertificate(Vec<String>),
    /// Certificates, but no key here nor in the files tried.
    NoKey {
        tried: Vec<PathBuf>,
    },
    /// The key's algorithm or size cannot be used.
    UnusableKey,
    /// No key fits any certificate; the first certificate's subject.
    KeyDoesNotFit {
        subject: String,
    },
    /// Not a certificate inside.
    BadCertificate,
    /// Warnings from here on.
    Expired {
        subject: String,
        days: u64,
    },
    NotYetValid {
        subject: String,
        days: u64,
    },
    /// Others than the owner may read the key.
    WideMode {
        mode: u32,
    },
    /// The certificates were not in the order clients need; they are sent in the right one.
    ChainReordered,
    /// A certificate that is no part of the chain; it is not sent.
    NotInChain {
        subject: String,
    },
}

impl Problem {
    pub fn is_error(&self) -> bool {
        !matches!(
            self.what,
            What::Expired { .. }
                | What::NotYetValid { .. }
                | What::WideMode { .. }
                | What::ChainReordered
                | What::NotInChain { .. }
        )
    }

    /// Stable short name for warnings.
    pub fn code(&self) -> Option<&'static str> {
        match self.what {
            What::Expired { .. } => Some("certificate-expired"),
            What::NotYetValid { .. } => Some("certificate-not-yet-valid"),
            What::WideMode { .. } => Some("key-readable-by-others"),
            What::ChainReordered => Some("chain-reordered"),
            What::NotInChain { .. } => Some("certificate-not-in-chain"),
            _ => None,
        }
    }

    /// What may be done.
    pub fn hint(&self) -> Option<String> {
        let path = self.path.display();
        match &self.what {
            What::NoCertificate(_) | What::NoKey { .. } => {
                Some("one file holds both: `cat site.crt chain.crt site.key > site.pem`".to_owned())
            }
            What::WideMode { .. } => Some(format!("chmod 600 {path}")),
            _ => None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: ", self.path.display())?;
        match &self.what {
            What::Unreadable(error) => write!(f, "{error}"),
            What::EmptyDirectory => write!(f, "the directory holds no certificate"),
            What::NoCertificate(labels) if labels.is_empty() => write!(f, "no certificate inside, nor any PEM section"),
            What::NoCertificate(labels) => write!(f, "no certificate inside, only {}", labels.join(", ")),
            What::NoKey { tried } => {
                let tried: Vec<String> = tried.iter().map(|path| format!("`{}`", path.display())).collect();
                write!(f, "no private key inside, nor in {}", tried.join(" or "))
            }
            What::UnusableKey => write!(
                f,
                "the private key cannot be used; usable are RSA from 2048 bits, ECDSA P-256, P-384 and P-521, Ed25519"
            ),
            What::KeyDoesNotFit { subject } => write!(f, "the private key does not fit the certificate of {subject}"),
            What::BadCertificate => write!(f, "a certificate inside cannot be read"),
            What::Expired { subject, days } => write!(f, "the certificate of {subject} expired {} ago", count(*days)),
            What::NotYetValid { subject, days } => {
                write!(f, "the certificate of {subject} is not valid for another {}", count(*days))
            }
            What::WideMode { mode } => write!(f, "the private key may be read by others (mode {mode:04o})"),
            What::ChainReordered => write!(f, "the certificates are not in order; they are sent server first"),
            What::NotInChain { subject } => {
                write!(f, "the certificate of {subject} is no part of the server's chain and is not sent")
            }
        }
    }
}

fn count(days: u64) -> String {
    match days {
        0 => "less than a day".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

/// All certificates of a file or directory, in the order they are preferred. Empty when there was an error.
pub(super) fn load(path: &Path, now: SystemTime, problems: &mut Vec<Problem>) -> Vec<Arc<Certificate>> {
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
pub(super) fn load_file(path: &Path, now: SystemTime, problems: &mut Vec<Problem>) -> Option<Arc<Certificate>> {
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
    assemble(path, sections, now, problems)
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

/// `site.pem.key` as HAProxy does, and `site.key` for `site.crt`, its `ssl-load-extra-del-ext`.
fn read_key_beside(path: &Path, sections: &mut Sections) -> Result<PathBuf, Problem> {
    let tried = vec![with_suffix(path, "key"), path.with_extension("key")];
    let Some(beside) = tried.iter().find(|beside| beside.exists()) else {
        return Err(Problem { path: path.to_owned(), what: What::NoKey { tried } });
    };
    match read(beside) {
        Ok(found) if !found.keys.is_empty() => {
            sections.keys = found.keys;
            Ok(beside.clone())
        }
        Ok(_) => Err(Problem { path: path.to_owned(), what: What::NoKey { tried: vec![beside.clone()] } }),
        Err(error) => Err(Problem { path: beside.clone(), what: What::Unreadable(error) }),
    }
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
fn assemble(path: &Path, sections: Sections, now: SystemTime, problems: &mut Vec<Problem>) -> Option<Arc<Certificate>> {
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
    Some(Arc::new(Certificate {
        path: path.to_owned(),
        key: Arc::new(CertifiedKey::new(chain, own.key.key)),
        names: leaf.names,
        not_before: leaf.not_before,
        not_after: leaf.not_after,
    }))
}

/// The certificate a key fits.
struct Own {
    index: usize,
    key: CertifiedKey,
}

/// `Err(true)` when no key could be used at all, `Err(false)` when none fits.
fn find_own(sections: &Sections) -> Result<Own, bool> {
    let usable: Vec<_> =
        sections.keys.iter().filter_map(|key: &PrivateKeyDer<'_>| any_supported_type(key).ok()).collect();
    for key in &usable {
        for (index, certificate) in sections.certificates.iter().enumerate() {
            let key = CertifiedKey::new(vec![certificate.clone()], Arc::clone(key));
            if key.keys_match().is_ok() {
                return Ok(Own { index, key });
            }
        }
    }
    Err(usable.is_empty())
}

/// From the server's own certificate upwards, by issuer.
fn chain_order(facts: &[Facts], own: usize) -> Vec<usize> {
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
struct Facts {
    subject: String,
    names: Vec<String>,
    subject_der: Vec<u8>,
    issuer_der: Vec<u8>,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl Facts {
    fn read(certificate: &CertificateDer<'_>) -> Option<Facts> {
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

    fn out_of_date(&self, now: SystemTime) -> Option<What> {
        let days = |time: Duration| time.as_secs() / 86_400;
        let subject = self.subject.clone();
        if let Ok(since) = now.duration_since(self.not_after) {
            return Some(What::Expired { subject, days: days(since) });
        }
        let wait = self.not_before.duration_since(now).ok()?;
        Some(What::NotYetValid { subject, days: days(wait) })
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

/// DNS names in lower case; the common name only when there is no alternative name (RFC 6125 §6.4.4).
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let mut names = Vec::new();
    if let Ok(Some(alternatives)) = certificate.subject_alternative_name() {
        for name in &alternatives.value.general_names {
            if let GeneralName::DNSName(name) = name {
                names.push(name.to_ascii_lowercase());
            }
        }
    }
    if names.is_empty() {
        let common = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        names.extend(common.map(str::to_ascii_lowercase));
    }
    names
}

fn system_time(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let moved = if seconds >= 0 {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    };
    moved.unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Why a set of authorities (`ca-file`) could not be read.
#[derive(Debug)]
pub(super) enum AuthoritiesError {
    Unreadable(PathBuf, PemError),
    /// Readable, but no certificate that can be an authority; what is there instead.
    None(PathBuf, Vec<String>),
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
            AuthoritiesError::NoSystemAuthorities => {
                write!(f, "no trusted authorities found on this system (package ca-certificates)")
            }
        }
    }
}

/// The authorities in a file or in all files of a directory.
pub(super) fn load_authorities(path: &Path) -> Result<RootCertStore, AuthoritiesError> {
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
pub(super) fn system_authorities() -> Result<RootCertStore, AuthoritiesError> {
    let bundle = SYSTEM_AUTHORITIES.iter().map(Path::new).find(|path| path.is_file());
    load_authorities(bundle.ok_or(AuthoritiesError::NoSystemAuthorities)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

    /// A directory that is removed when the test ends.
    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("lockgate-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            std::fs::create_dir_all(&path).unwrap();
            Dir(path)
        }

        fn put(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            path
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// A server certificate, its issuer and the key.
    struct Made {
        leaf: String,
        issuer: String,
        key: String,
    }

    fn make(names: &[&str], key: KeyPair) -> Made {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "Test Authority");
        let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, "Site");
        let leaf = params.signed_by(&key, &issuer).unwrap();
        Made { leaf: leaf.pem(), issuer: issuer.pem(), key: key.serialize_pem() }
    }

    fn ec(names: &[&str]) -> Made {
        make(names, KeyPair::generate().unwrap())
    }

    fn at_year(year: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs((year - 1970) * 31_556_952)
    }

    fn load_told(path: &Path) -> (Vec<Arc<Certificate>>, Vec<String>) {
        let mut problems = Vec::new();
        let found = load(path, at_year(2026), &mut problems);
        let told =
            problems.iter().map(|problem| problem.to_string().replace(&path.display().to_string(), "P")).collect();
        (found, told)
    }

    /// Loads one combined file; expected are the problems told and whether there is a certificate.
    #[track_caller]
    fn check(text: &str, served: bool, expected: &[&str]) {
        let dir = Dir::new(&format!("pem-{:?}", std::thread::current().id()).replace(['(', ')'], ""));
        let path = dir.put("site.pem", text);
        let (found, told) = load_told(&path);
        assert_eq!(told, expected);
        assert_eq!(found.len(), usize::from(served));
    }

    #[test]
    fn puts_the_chain_in_order_wherever_the_parts_stand() {
        let Made { leaf, issuer, key } = ec(&["a.test", "*.B.test"]);
        let reordered = "`P`: the certificates are not in order; they are sent server first";
        check(&format!("{leaf}{issuer}{key}"), true, &[]);
        check(&format!("{key}{leaf}"), true, &[]);
        check(&format!("{issuer}{key}{leaf}"), true, &[reordered]);
        let stranger = ec(&["c.test"]).leaf;
        let left_out = "`P`: the certificate of Site is no part of the server's chain and is not sent";
        check(&format!("{leaf}{stranger}{key}"), true, &[left_out]);
    }

    #[test]
    fn tells_what_is_missing_and_what_is_there() {
        let Made { leaf, issuer, key } = ec(&["a.test"]);
        check("", false, &["`P`: no certificate inside, nor any PEM section"]);
        check(&key, false, &["`P`: no certificate inside, only PRIVATE KEY"]);
        let other = ec(&["b.test"]).key;
        check(&format!("{leaf}{issuer}{other}"), false, &["`P`: the private key does not fit the certificate of Site"]);
        check(&format!("{leaf}{other}{key}"), true, &[]);
    }

    #[test]
    fn reads_names_and_dates() {
        let Made { leaf, key, .. } = ec(&["a.test", "*.B.test"]);
        let dir = Dir::new("names");
        let path = dir.put("site.pem", &format!("{leaf}{key}"));
        let mut problems = Vec::new();
        let found = load(&path, at_year(2026), &mut problems);
        assert_eq!(found[0].names, ["a.test", "*.b.test"]);
        assert!(found[0].not_before < found[0].not_after);
        // rcgen's certificates are valid from 1975 to 4096.
        for (year, expected) in [(1972, "is not valid for another 1"), (4097, "expired")] {
            let mut problems = Vec::new();
            assert_eq!(load(&path, at_year(year), &mut problems).len(), 1);
            assert!(problems[0].to_string().contains(expected), "{}", problems[0]);
            assert!(!problems[0].is_error());
        }
    }

    #[test]
    fn finds_the_key_beside_and_warns_of_a_wide_mode() {
        let Made { leaf, key, .. } = ec(&["a.test"]);
        let dir = Dir::new("beside");
        let path = dir.put("site.crt", &leaf);
        assert_eq!(load_told(&path).1.len(), 1);
        let beside = dir.put("site.key", &key);
        assert_eq!(load_told(&path).1, [""; 0]);
        std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o640)).unwrap();
        let (found, told) = load_told(&path);
        assert_eq!(found.len(), 1);
        assert!(told[0].ends_with("site.key`: the private key may be read by others (mode 0640)"), "{told:?}");
    }

    #[test]
    fn loads_a_directory_in_alphabetic_order_without_reserved_names() {
        let (a, b) = (ec(&["a.test"]), ec(&["b.test"]));
        let dir = Dir::new("directory");
        assert_eq!(load_told(&dir.0).1, ["`P`: the directory holds no certificate"]);
        dir.put("2.pem", &format!("{}{}", b.leaf, b.key));
        dir.put("1.pem", &a.leaf);
        dir.put("1.pem.key", &a.key);
        dir.put(".hidden", "junk");
        dir.put("2.pem.ocsp", "junk");
        let (found, told) = load_told(&dir.0);
        assert_eq!(told, [""; 0]);
        assert_eq!(found.iter().map(|found| found.names[0].as_str()).collect::<Vec<_>>(), ["a.test", "b.test"]);
    }

    #[test]
    fn a_missing_file_is_told_and_a_bundle_of_key_types_is_found() {
        let dir = Dir::new("bundle");
        let path = dir.0.join("site.pem");
        assert_eq!(load_told(&path).1, ["`P`: no such file or directory"]);
        let made = ec(&["a.test"]);
        dir.put("site.pem.ecdsa", &format!("{}{}", made.leaf, made.key));
        assert_eq!(load_told(&path).0.len(), 1);
    }

    #[test]
    fn authorities_come_from_a_file_or_a_directory() {
        let made = ec(&["a.test"]);
        let dir = Dir::new("authorities");
        let file = dir.put("ca.pem", &made.issuer);
        assert_eq!(load_authorities(&file).unwrap().len(), 1);
        assert_eq!(load_authorities(&dir.0).unwrap().len(), 1);
        let key = dir.put("key.pem", &made.key);
        assert!(
            load_authorities(&key).unwrap_err().to_string().ends_with("no usable certificate inside, only PRIVATE KEY")
        );
        assert!(load_authorities(&dir.0.join("none")).unwrap_err().to_string().ends_with("no such file or directory"));
    }
}
