//! What can be wrong with a certificate's files, and how is it told?

use std::fmt;
use std::path::PathBuf;

use super::ocsp::BadStaple;
use crate::config::pem::PemError;
use crate::diag::Severity;

/// What was found out about one file.
#[derive(Debug)]
pub(crate) struct Problem {
    pub path: PathBuf,
    pub what: What,
}

#[derive(Debug)]
pub(crate) enum What {
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
    /// A note: it will soon.
    ExpiresSoon {
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
    /// A list of revoked certificates that nobody may go by any more.
    ListExpired {
        issuer: String,
        days: u64,
    },
    /// Lists of revoked certificates, none of them of an authority that is trusted.
    ForeignLists,
    /// There is an OCSP answer beside the certificate that cannot be stapled.
    NotStapled(BadStaple),
}

impl Problem {
    pub fn severity(&self) -> Severity {
        match self.what {
            What::ExpiresSoon { .. } => Severity::Note,
            _ if self.is_error() => Severity::Error,
            _ => Severity::Warning,
        }
    }

    pub fn is_error(&self) -> bool {
        !matches!(
            self.what,
            What::Expired { .. }
                | What::ExpiresSoon { .. }
                | What::NotYetValid { .. }
                | What::WideMode { .. }
                | What::ChainReordered
                | What::NotInChain { .. }
                | What::ListExpired { .. }
                | What::ForeignLists
                | What::NotStapled(_)
        )
    }

    /// Stable short name for warnings.
    pub fn code(&self) -> Option<&'static str> {
        match self.what {
            What::Expired { .. } => Some("certificate-expired"),
            What::ExpiresSoon { .. } => Some("certificate-expires"),
            What::NotYetValid { .. } => Some("certificate-not-yet-valid"),
            What::WideMode { .. } => Some("key-readable-by-others"),
            What::ChainReordered => Some("chain-reordered"),
            What::NotInChain { .. } => Some("certificate-not-in-chain"),
            What::ListExpired { .. } => Some("revocations-expired"),
            What::ForeignLists => Some("revocations-foreign"),
            What::NotStapled(_) => Some("ocsp-not-stapled"),
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
            What::ListExpired { .. } => Some("fetch a new one; what is read at a reload counts".to_owned()),
            What::ForeignLists => Some("`crl-file` needs a list of each authority in `ca-file`".to_owned()),
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
            What::ExpiresSoon { subject, days } => {
                write!(f, "the certificate of {subject} expires in {}", count(*days))
            }
            What::NotYetValid { subject, days } => {
                write!(f, "the certificate of {subject} is not valid for another {}", count(*days))
            }
            What::WideMode { mode } => write!(f, "the private key may be read by others (mode {mode:04o})"),
            What::ChainReordered => write!(f, "the certificates are not in order; they are sent server first"),
            What::NotInChain { subject } => {
                write!(f, "the certificate of {subject} is no part of the server's chain and is not sent")
            }
            What::ListExpired { issuer, days } => {
                let ago = count(*days);
                write!(f, "the list of revoked certificates of {issuer} expired {ago} ago: no certificate of it passes")
            }
            What::ForeignLists => {
                write!(
                    f,
                    "no list of revoked certificates inside is of an authority trusted here: no certificate passes"
                )
            }
            What::NotStapled(why) => write!(f, "the OCSP answer is not stapled: {why}"),
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
