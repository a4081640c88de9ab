//! What is in a PEM file? Certificates, private keys, and what else stands there, in any order.
//!
//! Only reads: which key fits which certificate is `certificates`' question. The only file that knows rustls-pemfile.

use std::fmt;
use std::io;
use std::path::Path;

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls_pemfile::Item;

/// The largest file read, in bytes. A system's bundle of authorities takes about 250 KiB.
pub(super) const LARGEST_FILE: u64 = 4 << 20;

/// The useful sections of one file, each kind in the order written.
#[derive(Debug, Default)]
pub(super) struct Sections {
    pub certificates: Vec<CertificateDer<'static>>,
    pub keys: Vec<PrivateKeyDer<'static>>,
    /// Lists of revoked certificates.
    pub revocations: Vec<CertificateRevocationListDer<'static>>,
    /// Every `-----BEGIN label-----`, to tell what was there instead of what was wanted.
    pub labels: Vec<String>,
}

#[derive(Debug)]
pub(super) enum PemError {
    Io(io::Error),
    NotAFile,
    TooLarge,
    /// The key needs a passphrase; nobody could type it at start-up.
    EncryptedKey,
    /// A section that cannot be decoded; `line` is where it begins, from 1.
    Broken {
        label: String,
        line: usize,
    },
    /// A section that is begun and never ended; `line` is where it begins, from 1.
    Unfinished {
        label: String,
        line: usize,
    },
    /// DER, PKCS#12 or a Java key store: binary.
    Binary,
}

impl fmt::Display for PemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PemError::Io(error) => write!(f, "{}", io_text(error)),
            PemError::NotAFile => write!(f, "not a regular file"),
            PemError::TooLarge => write!(f, "larger than {} MiB, so no PEM file for a proxy", LARGEST_FILE >> 20),
            PemError::EncryptedKey => {
                write!(f, "the private key is encrypted; decrypt it with `openssl pkey -in … -out …`, mode 0600")
            }
            PemError::Broken { label, line } => write!(f, "the {label} section at line {line} is not valid PEM"),
            PemError::Unfinished { label, line } => write!(f, "the {label} section at line {line} has no end"),
            PemError::Binary => {
                write!(f, "binary, not PEM; convert it with `openssl x509 -inform der` or `openssl pkcs12 -nodes`")
            }
        }
    }
}

/// The kernel's reason without Rust's "(os error 2)".
pub(super) fn io_text(error: &io::Error) -> String {
    let text = error.to_string();
    let plain = text.split(" (os error").next().unwrap_or_default();
    let mut letters = plain.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// Reads a file that is at most [`LARGEST_FILE`] bytes. Devices and pipes are refused: they could block for ever.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, PemError> {
    use std::io::Read;
    let metadata = std::fs::metadata(path).map_err(PemError::Io)?;
    if !metadata.is_file() {
        return Err(PemError::NotAFile);
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(PemError::Io)?;
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(PemError::Io)?;
    if bytes.len() as u64 > LARGEST_FILE { Err(PemError::TooLarge) } else { Ok(bytes) }
}

/// Splits a file's bytes into its sections (RFC 7468). Text between sections is allowed, as `openssl` writes it.
pub(super) fn parse(bytes: &[u8]) -> Result<Sections, PemError> {
    let mut found = Sections::default();
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let Some(label) = boundary(line, "BEGIN") else { continue };
        let (label, line) = (label.to_owned(), index + 1);
        let Some(section) = section(&label, &mut lines) else {
            return Err(PemError::Unfinished { label, line });
        };
        if label == "ENCRYPTED PRIVATE KEY" || section.contains("Proc-Type: 4,ENCRYPTED") {
            return Err(PemError::EncryptedKey);
        }
        match rustls_pemfile::read_one_from_slice(section.as_bytes()) {
            Ok(Some((Item::X509Certificate(certificate), _))) => found.certificates.push(certificate),
            Ok(Some((Item::Pkcs1Key(key), _))) => found.keys.push(key.into()),
            Ok(Some((Item::Pkcs8Key(key), _))) => found.keys.push(key.into()),
            Ok(Some((Item::Sec1Key(key), _))) => found.keys.push(key.into()),
            Ok(Some((Item::Crl(list), _))) => found.revocations.push(list),
            Ok(_) => {} // DH parameters, requests: not ours
            Err(_) => return Err(PemError::Broken { label, line }),
        }
        found.labels.push(label);
    }
    if found.labels.is_empty() && bytes.iter().any(|byte| *byte == 0 || *byte >= 0x80) {
        return Err(PemError::Binary);
    }
    Ok(found)
}

/// The label of `-----BEGIN label-----`.
fn boundary<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    line.trim().strip_prefix("-----")?.strip_prefix(word)?.strip_prefix(' ')?.strip_suffix("-----")
}

/// Everything from the begin line to the end line of one section, written again without surrounding blanks.
fn section<'a>(label: &str, lines: &mut impl Iterator<Item = (usize, &'a str)>) -> Option<String> {
    let mut section = format!("-----BEGIN {label}-----\n");
    for (_, line) in lines {
        match (boundary(line, "END"), boundary(line, "BEGIN")) {
            (Some(ended), _) if ended == label => {
                section.push_str(&format!("-----END {label}-----\n"));
                return Some(section);
            }
            (Some(_), _) | (_, Some(_)) => return None,
            _ => {
                section.push_str(line.trim());
                section.push('\n');
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `C` per certificate, `K` per key; or the error's text.
    fn summary(text: &str) -> String {
        match parse(text.as_bytes()) {
            Ok(found) => "C".repeat(found.certificates.len()) + &"K".repeat(found.keys.len()),
            Err(error) => error.to_string(),
        }
    }

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn takes_sections_in_any_order_and_text_between_them() {
        let (certificate, key) = pair();
        assert_eq!(summary(&format!("{certificate}{key}")), "CK");
        assert_eq!(
            summary(&format!("Bag Attributes\n  x: y\n{key}\nsubject=CN = a\n{certificate}{certificate}")),
            "CCK"
        );
        assert_eq!(summary(&certificate.replace('\n', "\r\n")), "C");
        assert_eq!(summary(&certificate.replace('\n', " \n  ")), "C");
        assert_eq!(summary("-----BEGIN DH PARAMETERS-----\nMAYCAQ0CAQI=\n-----END DH PARAMETERS-----\n"), "");
        assert_eq!(summary(""), "");
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let (certificate, key) = pair();
        let cut = &certificate[..certificate.len() - 30];
        assert_eq!(summary(&format!("x\n{cut}")), "the CERTIFICATE section at line 2 has no end");
        assert_eq!(summary(&format!("{cut}\n{key}")), "the CERTIFICATE section at line 1 has no end");
        let broken = "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n";
        assert_eq!(summary(broken), "the CERTIFICATE section at line 1 is not valid PEM");
        assert!(
            summary("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n")
                .contains("encrypted")
        );
        let legacy = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES\n\nAA==\n-----END RSA PRIVATE KEY-----\n";
        assert!(summary(legacy).contains("encrypted"));
        assert!(summary("0\u{82}\u{1}\0").starts_with("binary"));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), label in "[A-Z ]{0,9}") {
            let _ = parse(&bytes);
            let body = String::from_utf8_lossy(&bytes);
            let _ = parse(format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----").as_bytes());
        }
    }
}
