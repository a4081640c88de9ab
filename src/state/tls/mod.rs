//! How is TLS spoken, towards clients and towards servers? The model's certificates and settings become rustls
//! configurations here, once per snapshot; nothing is looked up or allocated per handshake beyond what rustls needs.
//!
//! One cryptography provider (aws-lc-rs) is handed in explicitly, so no process-wide default is needed or consulted.

mod client;
mod handshake;
mod server;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::ProducesTickets;
use rustls::{SupportedProtocolVersion, version};

pub(crate) use client::{client_config, server_name};
pub(crate) use handshake::{BadHandshake, facts};
pub(crate) use server::server_config;

use crate::model::tls::TlsVersion;

/// What all listeners of the process share over reloads: a client keeps its session tickets when the configuration
/// changes, and may resume with another worker than the one it got them from.
#[derive(Debug, Clone)]
pub(crate) struct TlsShared {
    tickets: Arc<dyn ProducesTickets>,
}

impl TlsShared {
    /// Makes the ticket keys; they rotate every six hours and live in memory only.
    ///
    /// # Errors
    /// The system gave no random bytes.
    pub fn new() -> Result<Self, rustls::Error> {
        Ok(TlsShared { tickets: rustls::crypto::aws_lc_rs::Ticketer::new()? })
    }
}

fn provider() -> Arc<CryptoProvider> {
    use std::sync::OnceLock;
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider())))
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
    use crate::model::tls::{Certificate, ListenerTls, ServerTls, ServerVerify};

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
            key: Arc::new(key),
            names,
            not_before: SystemTime::now() - Duration::from_secs(3600),
            not_after,
        })
    }

    pub(crate) fn listener(certificates: Vec<Arc<Certificate>>) -> ListenerTls {
        ListenerTls {
            certificates,
            strict_sni: false,
            alpn: Vec::new(),
            min_version: TlsVersion::Tls12,
            max_version: TlsVersion::Tls13,
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
            certificate: None,
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use rustls::pki_types::CertificateDer;
    use rustls::{ClientConnection, RootCertStore};

    use super::testing::{authority, certificate, certificate_in_force, handshake, listener, to_server};
    use super::*;
    use crate::model::backend::ServerAddress;
    use crate::model::tls::{Certificate, ListenerTls, ServerSni, ServerTls, ServerVerify};

    fn connect(to: &ServerTls, listener: &ListenerTls) -> Result<(ClientConnection, rustls::ServerConnection), String> {
        let shared = TlsShared::new().unwrap();
        let client = ClientConnection::new(client_config(to), name_for(to)).unwrap();
        handshake(client, server_config(listener, &shared)).map_err(|error| BadHandshake::from(error).to_string())
    }

    fn name_for(to: &ServerTls) -> rustls::pki_types::ServerName<'static> {
        server_name(to, &ServerAddress::Tcp("192.0.2.1:443".parse().unwrap()), None)
    }

    fn shown(client: &ClientConnection) -> &CertificateDer<'static> {
        &client.peer_certificates().unwrap()[0]
    }

    fn asking_for(sni: &str) -> ServerTls {
        ServerTls { sni: Some(ServerSni::Fixed(sni.into())), ..to_server(ServerVerify::None) }
    }

    /// Which of the listener's certificates a client asking for `sni` gets; `""` asks for none.
    #[track_caller]
    fn check_choice(listener: &ListenerTls, sni: &str, expected: Result<usize, &str>) {
        let to = if sni.is_empty() { to_server(ServerVerify::None) } else { asking_for(sni) };
        let chosen = connect(&to, listener).map(|(client, _)| {
            let der = shown(&client);
            listener.certificates.iter().position(|certificate| &certificate.key.cert[0] == der).unwrap()
        });
        assert_eq!(chosen, expected.map_err(str::to_owned), "{sni}");
    }

    #[test]
    fn a_client_gets_the_certificate_of_the_name_it_asks_for() {
        let names: [&[&str]; 3] = [&["default.example"], &["a.example", "b.example"], &["*.example", "*.c.example"]];
        let mut listener = listener(names.into_iter().map(certificate).collect());
        check_choice(&listener, "", Ok(0));
        check_choice(&listener, "a.example", Ok(1));
        check_choice(&listener, "B.Example", Ok(1));
        check_choice(&listener, "d.example", Ok(2)); // by the wildcard
        check_choice(&listener, "d.c.example", Ok(2));
        check_choice(&listener, "e.d.example", Ok(0)); // a wildcard stands for one label
        check_choice(&listener, "example", Ok(0));
        listener.strict_sni = true;
        let refused = "no certificate for the name the client asked for";
        check_choice(&listener, "a.example", Ok(1));
        check_choice(&listener, "", Err(refused));
        check_choice(&listener, "other.test", Err(refused));
    }

    #[test]
    fn an_expired_twin_is_passed_over() {
        let expired = certificate_in_force(&["a.example"], SystemTime::now() - Duration::from_secs(60));
        check_choice(&listener(vec![expired, certificate(&["a.example"])]), "a.example", Ok(1));
    }

    fn trusting(certificate: &Certificate) -> ServerVerify {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.key.cert[0].clone()).unwrap();
        ServerVerify::Required(Arc::new(roots))
    }

    #[track_caller]
    fn check_verify(to: &ServerTls, listener: &ListenerTls, expected: Result<(), &str>) {
        assert_eq!(connect(to, listener).map(|_| ()), expected.map_err(str::to_owned));
    }

    #[test]
    fn a_server_is_verified_as_configured() {
        let ours = certificate(&["a.example"]);
        let other = certificate(&["a.example"]);
        let listener = listener(vec![Arc::clone(&ours)]);
        let named = |verify, sni: Option<&str>, verify_host: Option<&str>| ServerTls {
            sni: sni.map(|name| ServerSni::Fixed(name.into())),
            verify_host: verify_host.map(str::to_owned),
            ..to_server(verify)
        };
        let another_name = "certificate not accepted: for another name";
        check_verify(&named(ServerVerify::None, Some("b.example"), None), &listener, Ok(()));
        check_verify(&named(trusting(&ours), None, None), &listener, Ok(()));
        check_verify(&named(trusting(&ours), Some("a.example"), None), &listener, Ok(()));
        check_verify(&named(trusting(&ours), Some("b.example"), None), &listener, Err(another_name));
        check_verify(&named(trusting(&ours), Some("b.example"), Some("a.example")), &listener, Ok(()));
        check_verify(&named(trusting(&ours), None, Some("b.example")), &listener, Err(another_name));
        check_verify(&named(trusting(&ours), None, Some("no name")), &listener, Err(another_name));
        let unknown = connect(&named(trusting(&other), None, None), &listener).unwrap_err();
        assert!(unknown.starts_with("certificate not accepted: "), "{unknown}");
    }

    #[test]
    fn a_root_may_be_the_servers_own_certificate() {
        let hour = Duration::from_secs(3600);
        let ours = authority(&["a.example"], SystemTime::now() + hour);
        let other = authority(&["a.example"], SystemTime::now() + hour);
        let expired = authority(&["a.example"], SystemTime::now() - hour);
        let named = |root: &Certificate, name: &str| ServerTls {
            sni: Some(ServerSni::Fixed(name.into())),
            ..to_server(trusting(root))
        };
        let serving = |certificate: &Arc<Certificate>| listener(vec![Arc::clone(certificate)]);
        check_verify(&named(&ours, "a.example"), &serving(&ours), Ok(()));
        let another_name = "certificate not accepted: for another name";
        check_verify(&named(&ours, "b.example"), &serving(&ours), Err(another_name));
        for (root, shown) in [(&other, &ours), (&expired, &expired)] {
            let refused = connect(&named(root, "a.example"), &serving(shown)).unwrap_err();
            assert!(refused.starts_with("certificate not accepted: "), "{refused}");
        }
    }

    #[test]
    fn versions_and_protocols_are_agreed_on() {
        let mut listener = listener(vec![certificate(&["a.example"])]);
        listener.alpn = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut to = asking_for("a.example");
        to.alpn = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
        let agreed = facts(&connect(&to, &listener).unwrap().1);
        assert_eq!((agreed.protocol, agreed.alpn.as_deref()), ("TLSv1.3", Some(&b"h2"[..]))); // the listener's order
        assert_eq!((agreed.cipher, agreed.sni.as_deref()), ("TLS_AES_256_GCM_SHA384", Some("a.example")));

        to.max_version = TlsVersion::Tls12;
        let agreed = facts(&connect(&to, &listener).unwrap().1);
        assert_eq!((agreed.protocol, agreed.cipher), ("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384"));

        listener.min_version = TlsVersion::Tls13;
        assert_eq!(connect(&to, &listener).unwrap_err(), "no TLS version in common");
        to.max_version = TlsVersion::Tls13;
        to.alpn = vec![b"imap".to_vec()];
        assert_eq!(connect(&to, &listener).unwrap_err(), "no application protocol in common (ALPN)");
    }

    #[test]
    fn plain_http_is_named_as_such() {
        let listener = listener(vec![certificate(&["a.example"])]);
        let mut server = rustls::ServerConnection::new(server_config(&listener, &TlsShared::new().unwrap())).unwrap();
        server.read_tls(&mut &b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"[..]).unwrap();
        let error = server.process_new_packets().unwrap_err();
        assert_eq!(BadHandshake::from(error).to_string(), "peer does not speak TLS (plain HTTP on a TLS port?)");
    }

    /// Two connections with the same client; the listener is rebuilt in between, as a reload does.
    #[track_caller]
    fn check_resumption(version: TlsVersion, second: &TlsShared, first: &TlsShared, expected: bool) {
        let mut listener = listener(vec![certificate(&["a.example"])]);
        listener.max_version = version;
        let to = asking_for("a.example");
        let client = client_config(&to);
        let resumed = [first, second].map(|shared| {
            let connection = ClientConnection::new(Arc::clone(&client), name_for(&to)).unwrap();
            facts(&handshake(connection, server_config(&listener, shared)).unwrap().1).resumed
        });
        assert_eq!(resumed, [false, expected], "{version:?}");
    }

    #[test]
    fn sessions_resume_over_a_reload() {
        let shared = TlsShared::new().unwrap();
        for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
            check_resumption(version, &shared, &shared, true);
            check_resumption(version, &TlsShared::new().unwrap(), &shared, false);
        }
    }
}
