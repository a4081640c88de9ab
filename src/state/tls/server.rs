//! Which certificate does a client get, and under which terms?

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{TlsShared, provider, versions};
use crate::model::tls::{Certificate, ListenerTls};

/// Tickets sent after a TLS 1.3 handshake. A client uses each once (RFC 8446 §C.4) and gets a new one with every
/// connection, so one keeps it going; each costs an encryption and some 200 bytes.
const TICKETS: usize = 1;

/// The configuration all connections of one listener are accepted with.
pub(crate) fn server_config(tls: &ListenerTls, shared: &TlsShared) -> Arc<ServerConfig> {
    // Cannot fail: `versions` is never empty and the provider has suites for each of them.
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(tls.min_version, tls.max_version))
        .expect("the provider serves TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Resolver::new(tls)));
    config.alpn_protocols.clone_from(&tls.alpn);
    config.ticketer = Arc::clone(&shared.tickets);
    config.send_tls13_tickets = TICKETS;
    // Sessions live in the clients' tickets: no memory here, nothing to share between workers.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // Early data can be replayed (RFC 8446 §8); a proxy cannot know which requests bear that.
    config.max_early_data_size = 0;
    Arc::new(config)
}

/// Certificates by name. Several for one name differ in key type or validity.
#[derive(Debug)]
struct Resolver {
    exact: HashMap<Box<str>, Candidates>,
    /// By what stands behind the `*`, dot included. One label takes its place (RFC 6125 §6.4.3).
    wildcard: HashMap<Box<str>, Candidates>,
    /// For clients that name no host, or an unknown one. Empty with `strict-sni`.
    default: Candidates,
}

type Candidates = Vec<Arc<Certificate>>;

impl Resolver {
    fn new(tls: &ListenerTls) -> Self {
        let mut exact: HashMap<Box<str>, Candidates> = HashMap::new();
        let mut wildcard: HashMap<Box<str>, Candidates> = HashMap::new();
        for certificate in &tls.certificates {
            for name in &certificate.names {
                let (map, name) = match name.strip_prefix('*') {
                    Some(suffix) => (&mut wildcard, suffix),
                    None => (&mut exact, name.as_str()),
                };
                map.entry(name.into()).or_default().push(Arc::clone(certificate));
            }
        }
        let default = match tls.certificates.first() {
            Some(first) if !tls.strict_sni => {
                // The same host with another kind of key stands in when the client cannot take the first.
                let twins = tls.certificates.iter().skip(1).filter(|other| other.names == first.names);
                std::iter::once(first).chain(twins).cloned().collect()
            }
            _ => Vec::new(),
        };
        Resolver { exact, wildcard, default }
    }

    fn candidates(&self, name: Option<&str>) -> &[Arc<Certificate>] {
        let Some(name) = name else { return &self.default };
        let by_wildcard = || name.find('.').and_then(|dot| self.wildcard.get(name.get(dot..)?));
        self.exact.get(name).or_else(by_wildcard).unwrap_or(&self.default)
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let chosen = match self.candidates(hello.server_name()) {
            [] => return None,
            [only] => only,
            several => {
                let now = SystemTime::now();
                choose(several, now, |key| key.key.choose_scheme(hello.signature_schemes()).is_some())?
            }
        };
        Some(Arc::clone(&chosen.key))
    }
}

/// The first the client can verify, one in force before one that is not.
fn choose(
    several: &[Arc<Certificate>],
    now: SystemTime,
    fits: impl Fn(&CertifiedKey) -> bool,
) -> Option<&Arc<Certificate>> {
    let in_force = |certificate: &Certificate| certificate.not_before <= now && now <= certificate.not_after;
    let usable = || several.iter().filter(|certificate| fits(&certificate.key));
    usable().find(|certificate| in_force(certificate)).or_else(|| usable().next()).or(several.first())
}
