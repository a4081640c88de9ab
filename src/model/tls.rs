//! Certificates and TLS settings, already read and checked: what is here can be served.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::sign::CertifiedKey;

/// TLS on a listener (`bind … ssl`).
#[derive(Debug)]
pub(crate) struct ListenerTls {
    /// The first is the default, for clients that name no host or an unknown one.
    pub certificates: Vec<Arc<Certificate>>,
    /// `strict-sni`: no default certificate.
    pub strict_sni: bool,
    /// In order of preference; empty offers none.
    pub alpn: Vec<Vec<u8>>,
    pub min_version: TlsVersion,
    pub max_version: TlsVersion,
}

/// A certificate chain with the key that fits it.
pub(crate) struct Certificate {
    pub path: PathBuf,
    pub key: Arc<CertifiedKey>,
    /// Lower-case DNS names from the subject alternative names (or the common name without any), `*.` kept.
    pub names: Vec<String>,
    pub not_before: SystemTime,
    pub not_after: SystemTime,
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
    /// Sent as SNI, and verified against unless `verify_host` says else. HAProxy's `sni str(name)`.
    pub sni: Option<ServerSni>,
    /// `verifyhost`.
    pub verify_host: Option<String>,
    pub alpn: Vec<Vec<u8>>,
    pub min_version: TlsVersion,
    pub max_version: TlsVersion,
    /// Client certificate shown to the server (`crt`).
    pub certificate: Option<Arc<Certificate>>,
}

#[derive(Debug)]
pub(crate) enum ServerVerify {
    /// Anyone can be the server. Shown as unverified wherever the server is shown.
    None,
    Required(Arc<RootCertStore>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ServerSni {
    Fixed(String),
    /// The request's own Host (`sni req.hdr(host)`).
    RequestHost,
}

/// What a TLS handshake agreed on, for rules, logs and servers (manual 7.3.4: `ssl_fc_*`).
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
}
