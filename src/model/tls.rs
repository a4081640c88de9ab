//! Certificates and TLS settings, already read and checked: what is here can be served.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::crypto::SupportedKxGroup;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::sign::CertifiedKey;
use rustls::{DistinguishedName, RootCertStore, SupportedCipherSuite};

pub(crate) use super::tls_client::{ClientCertificate, NameEntry};

/// TLS on a listener (`bind … ssl`).
#[derive(Debug)]
pub(crate) struct ListenerTls {
    /// In the order written. Those marked as default serve clients that name no host or an unknown one; without a
    /// mark the first does.
    pub certificates: Vec<Served>,
    /// `strict-sni`: no default certificate.
    pub strict_sni: bool,
    pub terms: Arc<Terms>,
    pub tickets: Tickets,
}

/// A certificate at its place in a `bind` line.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    pub certificate: Arc<Certificate>,
    /// From a `crt-list`; empty means the certificate's own names.
    pub filters: Vec<SniFilter>,
    /// `default-crt`, or the filter `*`.
    pub is_default: bool,
    /// Terms of its own, from a `crt-list`.
    pub terms: Option<Arc<Terms>>,
}

impl From<Arc<Certificate>> for Served {
    fn from(certificate: Arc<Certificate>) -> Self {
        Served { certificate, filters: Vec::new(), is_default: false, terms: None }
    }
}

/// `www.example`, `*.example`, or `!secure.example`: names a certificate is (not) for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SniFilter {
    pub negative: bool,
    /// Lower-case, `*.` kept.
    pub name: String,
}

/// What is agreed with clients besides the certificate.
#[derive(Debug)]
pub(crate) struct Terms {
    /// In order of preference; empty offers none.
    pub alpn: Vec<Vec<u8>>,
    pub min_version: TlsVersion,
    pub max_version: TlsVersion,
    pub algorithms: Algorithms,
    /// `None`: clients are not asked for certificates.
    pub client: Option<Arc<ClientTrust>>,
}

/// `ciphers`, `ciphersuites` and `curves`; empty lists are the library's own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Algorithms {
    /// TLS 1.2, in order of preference.
    pub suites_12: Vec<SupportedCipherSuite>,
    /// TLS 1.3, likewise.
    pub suites_13: Vec<SupportedCipherSuite>,
    pub groups: Vec<&'static dyn SupportedKxGroup>,
    /// `prefer-client-ciphers`: the order above does not count.
    pub client_order: bool,
}

/// How client certificates are verified (`verify optional|required`).
#[derive(Debug)]
pub(crate) struct ClientTrust {
    /// A client without a certificate is refused.
    pub required: bool,
    /// `ca-file` and `ca-verify-file`.
    pub roots: Arc<RootCertStore>,
    /// Names told to clients, so that they can choose: `ca-file`'s, none with `no-ca-names`.
    pub hints: Vec<DistinguishedName>,
    /// `crl-file`; empty asks for no list.
    pub revoked: Arc<Vec<CertificateRevocationListDer<'static>>>,
    pub ignored: Ignored,
}

/// Verification errors that do not end the handshake.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ignored {
    /// Of the client's own certificate (`crt-ignore-err`).
    pub own: IgnoredErrors,
    /// Of the authorities above it (`ca-ignore-err`).
    pub above: IgnoredErrors,
}

/// As OpenSSL's numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum IgnoredErrors {
    #[default]
    None,
    All,
    Some(Vec<u32>),
}

impl IgnoredErrors {
    pub fn covers(&self, error: u32) -> bool {
        match self {
            IgnoredErrors::None => false,
            IgnoredErrors::All => true,
            IgnoredErrors::Some(errors) => errors.contains(&error),
        }
    }
}

/// How clients may take sessions up again without a memory here.
#[derive(Debug, Clone, Default)]
pub(crate) enum Tickets {
    /// With keys of the process that change by themselves.
    #[default]
    Own,
    /// `tls-ticket-keys`.
    Keys(Arc<TicketFile>),
    /// `no-tls-tickets`.
    Off,
}

/// `tls-ticket-keys FILE`, as read: tickets are made with one key and taken with any.
pub(crate) struct TicketFile {
    pub path: PathBuf,
    /// Never empty.
    pub secrets: Vec<Vec<u8>>,
    /// Index in `secrets`: the last but one, so that every process knows a key before the first uses it.
    pub making: usize,
}

impl std::fmt::Debug for TicketFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TicketFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// How TLS sessions are kept for clients that come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SessionSettings {
    /// A key makes tickets for this long, and opens them for as long again (`tune.ssl.lifetime`).
    pub lifetime: Duration,
    /// Sessions of clients without tickets that are remembered (`tune.ssl.cachesize`).
    pub remembered: usize,
}

impl Default for SessionSettings {
    fn default() -> Self {
        SessionSettings { lifetime: Duration::from_secs(6 * 3600), remembered: 20_000 }
    }
}

/// A file and how it looked when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WatchedFile {
    pub path: PathBuf,
    pub seen: SeenFile,
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SeenFile {
    There(Stamp),
    Gone,
    /// Something that may not be looked at.
    Hidden,
}

/// Differs when a file is replaced, written to, or another one is linked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub device: u64,
    pub inode: u64,
    pub size: u64,
    /// Seconds and nanoseconds.
    pub modified: (i64, i64),
    pub changed: (i64, i64),
}

/// Our certificate towards a server; replaced when it was renewed on disk.
#[derive(Debug)]
pub(crate) struct OwnCertificate(pub ArcSwap<Certificate>);

/// A certificate chain with the key that fits it.
pub(crate) struct Certificate {
    pub path: PathBuf,
    /// Every file it was read from, `path` first, and where an OCSP answer and its issuer would be, as they were
    /// before reading.
    pub files: Vec<WatchedFile>,
    /// With the OCSP answer to staple, if there is one.
    pub key: Arc<CertifiedKey>,
    /// Lower-case DNS names from the subject alternative names and the common name, `*.` kept.
    pub names: Vec<String>,
    pub not_before: SystemTime,
    pub not_after: SystemTime,
    /// The OCSP answer is not to be stapled from then on; `None` when it names no end, or there is none.
    pub staple_until: Option<SystemTime>,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("path", &self.path).field("names", &self.names).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TlsVersion {
    Tls12,
    Tls13,
}

/// TLS towards a server (`server … ssl`).
#[derive(Debug)]
pub(crate) struct ServerTls {
    pub verify: ServerVerify,
    /// Sent as SNI, and verified against. HAProxy's `sni str(name)`.
    pub sni: Option<ServerSni>,
    /// `verifyhost`: verified against where no name is sent.
    pub verify_host: Option<String>,
    pub alpn: Vec<Vec<u8>>,
    pub min_version: TlsVersion,
    pub max_version: TlsVersion,
    pub algorithms: Algorithms,
    /// Client certificate shown to the server (`crt`).
    pub certificate: Option<Arc<OwnCertificate>>,
    /// `no-ssl-reuse` is false here.
    pub resume: bool,
}

#[derive(Debug)]
pub(crate) enum ServerVerify {
    /// Anyone can be the server. Shown as unverified wherever the server is shown.
    None,
    Required {
        roots: Arc<RootCertStore>,
        /// `crl-file`; empty asks for no list.
        revoked: Arc<Vec<CertificateRevocationListDer<'static>>>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ServerSni {
    Fixed(String),
    /// The request's own Host (`sni req.hdr(host)`).
    RequestHost,
    /// The name the client asked for (`sni ssl_fc_sni`).
    ClientSni,
}

/// What a TLS handshake agreed on, for rules, logs and servers (manual 7.3.4: `ssl_fc_*`, `ssl_c_*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFacts {
    /// `TLSv1.2` or `TLSv1.3`.
    pub protocol: &'static str,
    /// OpenSSL's name of the cipher suite, as HAProxy prints it.
    pub cipher: &'static str,
    /// The host name the client asked for, in lower case.
    pub sni: Option<Box<str>>,
    /// The application protocol agreed on, such as `h2`.
    pub alpn: Option<Box<[u8]>>,
    /// An earlier session was taken up again.
    pub resumed: bool,
    /// The certificate the client showed, now or when the session began.
    pub client: Option<Box<ClientCertificate>>,
    /// What the certificate it was shown is made with.
    pub made_with: Option<Arc<MadeWith>>,
}

/// Key and signature of a certificate, in HAProxy's words. Empty where it has none for them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MadeWith {
    /// `RSA2048`, `EC256`
    pub key: Box<str>,
    /// `RSA-SHA256`, `ecdsa-with-SHA256`
    pub signature: Box<str>,
}
