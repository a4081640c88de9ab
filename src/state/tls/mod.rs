//! How is TLS spoken, towards clients and towards servers? The model's certificates and settings become rustls
//! configurations here, once per snapshot; nothing is looked up or allocated per handshake beyond what rustls needs.
//!
//! One cryptography provider (aws-lc-rs) is handed in explicitly, so no process-wide default is needed or consulted.

mod client;
mod client_facts;
mod client_verifier;
mod handshake;
mod made_with;
mod possession;
mod resolver;
mod server;
#[cfg(test)]
mod tests;
mod tickets;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::{SupportedProtocolVersion, version};

#[cfg(any(test, fuzzing))]
pub(crate) use client::client_config;
pub(crate) use client::{TlsToServer, server_name};
pub(crate) use client_facts::short_name;
pub(crate) use handshake::BadHandshake;
pub(crate) use made_with::key_kind;
pub(crate) use server::{Acceptance, AcceptedTerms};
pub(crate) use tickets::{NoRandomness, TlsShared};

use crate::model::tls::{Algorithms, TlsVersion};

fn provider() -> Arc<CryptoProvider> {
    use std::sync::OnceLock;
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider())))
}

/// The provider, narrowed to what was asked for.
fn provider_for(wanted: &Algorithms) -> Arc<CryptoProvider> {
    let Algorithms { suites_12, suites_13, groups, .. } = wanted;
    if suites_12.is_empty() && suites_13.is_empty() && groups.is_empty() {
        return provider();
    }
    let mut narrowed = (*provider()).clone();
    let own = std::mem::take(&mut narrowed.cipher_suites);
    let is_13 = |suite: &&rustls::SupportedCipherSuite| suite.tls13().is_some();
    let (own_13, own_12): (Vec<_>, Vec<_>) = own.iter().partition(is_13);
    narrowed.cipher_suites.extend(if suites_13.is_empty() { own_13 } else { suites_13.clone() });
    narrowed.cipher_suites.extend(if suites_12.is_empty() { own_12 } else { suites_12.clone() });
    if !groups.is_empty() {
        narrowed.kx_groups.clone_from(groups);
    }
    Arc::new(narrowed)
}

/// Never empty, so no configuration built with it can fail. `config/resolve` refuses a range the wrong way round.
fn versions(min: TlsVersion, max: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static ONLY_12: [&SupportedProtocolVersion; 1] = [&version::TLS12];
    static ONLY_13: [&SupportedProtocolVersion; 1] = [&version::TLS13];
    match (min, max) {
        (TlsVersion::Tls12, TlsVersion::Tls12) => &ONLY_12,
        (TlsVersion::Tls12, TlsVersion::Tls13) => rustls::ALL_VERSIONS,
        (TlsVersion::Tls13, _) => &ONLY_13,
    }
}

/// Certificates made on the spot, and handshakes in memory.
#[cfg(test)]
pub(crate) mod testing {
    use std::time::{Duration, SystemTime};

    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use rustls::sign::CertifiedKey;
    use rustls::{ClientConnection, ServerConnection};

    use super::*;
    use crate::model::tls::{
        Certificate, ListenerTls, Served, ServerTls, ServerVerify, SessionSettings, Terms, Tickets,
    };

    /// A self-signed certificate for these names, in force for an hour around now.
    pub(crate) fn certificate(names: &[&str]) -> Arc<Certificate> {
        certificate_in_force(names, SystemTime::now() + Duration::from_secs(3600))
    }

    pub(crate) fn certificate_in_force(names: &[&str], not_after: SystemTime) -> Arc<Certificate> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        made_of(rcgen::CertificateParams::new(names.clone()).unwrap(), names, not_after)
    }

    /// A self-signed certificate that may sign others, as `openssl req -x509` makes them.
    pub(crate) fn authority(names: &[&str], not_after: SystemTime) -> Arc<Certificate> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = rcgen::CertificateParams::new(names.clone()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.not_after = not_after.into();
        made_of(params, names, not_after)
    }

    fn made_of(params: rcgen::CertificateParams, names: Vec<String>, not_after: SystemTime) -> Arc<Certificate> {
        let pair = rcgen::KeyPair::generate().unwrap();
        let made = params.self_signed(&pair).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der()));
        let key = CertifiedKey::from_der(vec![made.der().clone()], key, &provider()).unwrap();
        Arc::new(Certificate {
            path: "made for a test".into(),
            files: Vec::new(),
            staple_until: None,
            key: Arc::new(key),
            names,
            not_before: SystemTime::now() - Duration::from_secs(3600),
            not_after,
        })
    }

    pub(crate) fn terms() -> Terms {
        Terms {
            alpn: Vec::new(),
            min_version: TlsVersion::Tls12,
            max_version: TlsVersion::Tls13,
            algorithms: Algorithms::default(),
            client: None,
        }
    }

    pub(crate) fn shared() -> TlsShared {
        TlsShared::new(SessionSettings::default(), std::time::Instant::now()).unwrap()
    }

    /// What everyone is accepted with.
    pub(crate) fn server_config(listener: &ListenerTls, shared: &TlsShared) -> Arc<rustls::ServerConfig> {
        Arc::clone(&Acceptance::new(listener, shared).usual().config)
    }

    pub(crate) fn listener(certificates: Vec<Arc<Certificate>>) -> ListenerTls {
        ListenerTls {
            certificates: certificates.into_iter().map(Served::from).collect(),
            strict_sni: false,
            terms: Arc::new(terms()),
            tickets: Tickets::Own,
        }
    }

    pub(crate) fn to_server(verify: ServerVerify) -> ServerTls {
        ServerTls {
            verify,
            sni: None,
            verify_host: None,
            alpn: Vec::new(),
            min_version: TlsVersion::Tls12,
            max_version: TlsVersion::Tls13,
            algorithms: Algorithms::default(),
            certificate: None,
            resume: true,
        }
    }

    /// Runs a handshake over two buffers. The error is whichever side's came first.
    pub(crate) fn handshake(
        mut client: ClientConnection,
        server: Arc<rustls::ServerConfig>,
    ) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
        let mut server = ServerConnection::new(server)?;
        // Two rounds make the handshake, one more brings the tickets.
        for _ in 0..4 {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            let mut rest = wire.as_slice();
            while !rest.is_empty() {
                server.read_tls(&mut rest).unwrap();
                server.process_new_packets()?;
            }
            let mut wire = Vec::new();
            server.write_tls(&mut wire).unwrap();
            let mut rest = wire.as_slice();
            while !rest.is_empty() {
                client.read_tls(&mut rest).unwrap();
                client.process_new_packets()?;
            }
        }
        assert!(!client.is_handshaking() && !server.is_handshaking());
        Ok((client, server))
    }
}
