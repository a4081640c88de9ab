//! How are servers spoken to over TLS, and who may they be?

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ResolvesClientCert, Resumption, WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor, verify_server_name,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::{possession, provider, provider_for, versions};
use crate::model::backend::ServerAddress;
use crate::model::http::ServerProtocol;
use crate::model::tls::{Certificate, OwnCertificate, ServerSni, ServerTls, ServerVerify};

/// Server names whose sessions are kept for resumption; more than one only where the SNI follows the request.
const SESSIONS: usize = 64;

/// How TLS is opened to one server, whoever we are at the moment. It remembers sessions, so build it once.
///
/// A session goes on with the identity it began with. So a renewed certificate of ours gets a configuration of its own:
/// what connections of before still learn is for nobody.
#[derive(Debug)]
pub(crate) struct TlsToServer {
    ours: Option<Arc<OwnCertificate>>,
    resume: bool,
    made: ArcSwap<Made>,
}

/// A configuration, and the certificate of ours it was made for.
#[derive(Debug, Clone)]
struct Made {
    config: Arc<ClientConfig>,
    shown: Option<Arc<Certificate>>,
}

impl TlsToServer {
    pub fn new(tls: &ServerTls) -> Self {
        let shown = tls.certificate.as_ref().map(|ours| ours.0.load_full());
        let made = Made { config: config_showing(tls, shown.as_deref()), shown };
        TlsToServer { ours: tls.certificate.clone(), resume: tls.resume, made: ArcSwap::from_pointee(made) }
    }

    /// The same, but only this protocol is offered, if any is.
    pub fn offering(&self, protocol: ServerProtocol) -> Self {
        let made = Made::clone(&self.made.load());
        let made = Made { config: offering(&made.config, protocol), ..made };
        TlsToServer { ours: self.ours.clone(), resume: self.resume, made: ArcSwap::from_pointee(made) }
    }

    /// What the next connection is opened with.
    pub fn config(&self) -> Arc<ClientConfig> {
        let made = self.made.load();
        let (Some(ours), Some(shown)) = (&self.ours, &made.shown) else { return Arc::clone(&made.config) };
        let now = ours.0.load();
        if Arc::ptr_eq(&now, shown) {
            return Arc::clone(&made.config);
        }
        // Read again but the same: sessions go on.
        let same = now.key.cert == shown.key.cert;
        let config = if same { Arc::clone(&made.config) } else { showing(&made.config, &now, self.resume) };
        // Workers that find this out at once each do it, and the last one's stays.
        self.made.store(Arc::new(Made { config: Arc::clone(&config), shown: Some(Arc::clone(&now)) }));
        config
    }
}

/// Shown to servers that ask for it.
#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesClientCert for Shown {
    fn resolve(&self, _root_hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.key.choose_scheme(schemes).map(|_| Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// For who opens a few connections, and shows what is in force now.
#[cfg(any(test, fuzzing))]
pub(crate) fn client_config(tls: &ServerTls) -> Arc<ClientConfig> {
    TlsToServer::new(tls).config()
}

fn config_showing(tls: &ServerTls, shown: Option<&Certificate>) -> Arc<ClientConfig> {
    // Cannot fail: `versions` is never empty and the provider has suites for each of them.
    let builder = ClientConfig::builder_with_provider(provider_for(&tls.algorithms))
        .with_protocol_versions(versions(tls.min_version, tls.max_version))
        .expect("the provider serves TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier::new(tls)));
    let mut config = match shown {
        Some(certificate) => builder.with_client_cert_resolver(Arc::new(Shown(Arc::clone(&certificate.key)))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols.clone_from(&tls.alpn);
    config.enable_sni = tls.sni.is_some();
    config.resumption = memory(tls.resume);
    Arc::new(config)
}

fn memory(resume: bool) -> Resumption {
    if resume { Resumption::in_memory_sessions(SESSIONS) } else { Resumption::disabled() }
}

/// The same, but this certificate is shown, and nothing is remembered of the one before.
fn showing(config: &ClientConfig, certificate: &Certificate, resume: bool) -> Arc<ClientConfig> {
    let mut config = config.clone();
    config.client_auth_cert_resolver = Arc::new(Shown(Arc::clone(&certificate.key)));
    config.resumption = memory(resume);
    Arc::new(config)
}

fn offering(config: &ClientConfig, protocol: ServerProtocol) -> Arc<ClientConfig> {
    let mut config = config.clone();
    let name: &[u8] = if protocol == ServerProtocol::Http2 { b"h2" } else { b"http/1.1" };
    // HTTP/2 over TLS is agreed on, always (RFC 9113 §3.2).
    if !config.alpn_protocols.is_empty() || protocol == ServerProtocol::Http2 {
        config.alpn_protocols = vec![name.to_vec()];
    }
    Arc::new(config)
}

/// The name a server is asked for: the configured one, the one wished for (its port cut off), or an address, which is
/// never sent as SNI (RFC 6066 §3): its own, or [`nobody`]'s where nothing was wished for and `verifyhost` has a name.
pub(crate) fn server_name(tls: &ServerTls, address: &ServerAddress, host: Option<&[u8]>) -> ServerName<'static> {
    let name = match (&tls.sni, host.filter(|host| !host.is_empty())) {
        (Some(ServerSni::Fixed(name)), _) => dns_name(name),
        (Some(ServerSni::RequestHost | ServerSni::ClientSni), Some(host)) => {
            std::str::from_utf8(host).ok().and_then(|host| dns_name(without_port(host)))
        }
        (Some(_), None) if tls.verify_host.is_some() => return nobody(),
        (Some(_) | None, _) => None,
    };
    name.filter(|name| *name != nobody()).unwrap_or(match address {
        ServerAddress::Tcp(address) => ServerName::IpAddress(address.ip().into()),
        ServerAddress::Unix(_) => ServerName::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST).into()),
    })
}

/// Stands for no name at all; no server has this address.
fn nobody() -> ServerName<'static> {
    ServerName::IpAddress(IpAddr::V4(Ipv4Addr::UNSPECIFIED).into())
}

fn dns_name(name: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(name.to_owned()).ok()
}

fn without_port(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(literal) => literal.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    }
}

/// `verify none|required`. Signatures of the handshake are always checked: the peer at least holds the key it shows.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    /// `None`: any certificate will do.
    roots: Option<Arc<RootCertStore>>,
    /// Asks the lists of revoked certificates, where there are any (`crl-file`).
    listed: Option<Arc<WebPkiServerVerifier>>,
    name: ExpectedName,
}

/// Which name the certificate must carry: the one asked for, else `verifyhost` (manual 5.2 `verifyhost`).
#[derive(Debug)]
enum ExpectedName {
    /// `verifyhost`
    Fixed(ServerName<'static>),
    /// The one asked for by SNI.
    AsAsked,
    /// The same, and `verifyhost` where there is none to ask for.
    AsAskedOr(ServerName<'static>),
    /// None was configured: a chain to a known root suffices, as with HAProxy.
    Any,
    /// `verifyhost` holds what can stand in no certificate.
    Never,
}

impl Verifier {
    fn new(tls: &ServerTls) -> Self {
        let (roots, listed) = match &tls.verify {
            ServerVerify::None => (None, None),
            ServerVerify::Required { roots, revoked } if revoked.is_empty() => (Some(Arc::clone(roots)), None),
            ServerVerify::Required { roots, revoked } => {
                let listed = WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), provider())
                    .with_crls(revoked.iter().cloned())
                    .enforce_revocation_expiration()
                    .build();
                // Cannot fail: `config/resolve` takes no empty set of authorities and no list that cannot be read.
                (Some(Arc::clone(roots)), Some(listed.expect("authorities and lists were tried when read")))
            }
        };
        let verify_host = tls.verify_host.as_deref().map(dns_name);
        let name = match (&tls.sni, verify_host) {
            (Some(ServerSni::RequestHost | ServerSni::ClientSni), Some(Some(name))) => ExpectedName::AsAskedOr(name),
            (Some(_), _) => ExpectedName::AsAsked,
            (None, Some(name)) => name.map_or(ExpectedName::Never, ExpectedName::Fixed),
            (None, None) => ExpectedName::Any,
        };
        Verifier { provider: provider(), roots, listed, name }
    }
}

impl Verifier {
    /// One of X.509 version 1 that is itself what is trusted; webpki can say nothing more of it.
    fn verify_old(&self, shown: &CertificateDer<'_>, now: UnixTime) -> Result<ServerCertVerified, Error> {
        let Some(old) = possession::of_version_1(shown) else { return Err(CertificateError::BadEncoding.into()) };
        match (&self.name, &self.listed) {
            _ if !possession::is_in_force(&old, now) => Err(CertificateError::Expired.into()),
            (_, Some(_)) => Err(CertificateError::UnknownRevocationStatus.into()),
            (ExpectedName::Any, None) => Ok(ServerCertVerified::assertion()),
            // It has no alternative names.
            (_, None) => Err(CertificateError::NotValidForName.into()),
        }
    }
}

/// Whether a peer shows a trusted root itself, as self-signed ones do: `openssl req -x509` makes certificates that may
/// sign others. OpenSSL, thus HAProxy, takes them.
pub(super) fn is_root(end_entity: &CertificateDer<'_>, roots: &RootCertStore) -> bool {
    let mut shown = RootCertStore::empty();
    shown.add(end_entity.clone()).is_ok() && shown.roots.iter().all(|root| roots.roots.contains(root))
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(roots) = &self.roots else { return Ok(ServerCertVerified::assertion()) };
        let certificate = match ParsedCertificate::try_from(end_entity) {
            Err(_) if is_root(end_entity, roots) => return self.verify_old(end_entity, now),
            parsed => parsed?,
        };
        let algorithms = self.provider.signature_verification_algorithms.all;
        match verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms) {
            // Among other things: a certificate that may sign others is no server's. Time was judged before.
            Err(Error::InvalidCertificate(CertificateError::Other(_))) if is_root(end_entity, roots) => {}
            verified => verified?,
        }
        if let Some(listed) = &self.listed {
            match listed.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
                // Names are judged last, and by us.
                Ok(_)
                | Err(Error::InvalidCertificate(
                    CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
                )) => {}
                Err(Error::InvalidCertificate(CertificateError::Other(_))) if is_root(end_entity, roots) => {}
                Err(error) => return Err(error),
            }
        }
        match &self.name {
            ExpectedName::Fixed(name) => verify_server_name(&certificate, name)?,
            ExpectedName::AsAskedOr(name) if *server_name == nobody() => verify_server_name(&certificate, name)?,
            ExpectedName::AsAsked | ExpectedName::AsAskedOr(_) => verify_server_name(&certificate, server_name)?,
            ExpectedName::Any => {}
            ExpectedName::Never => return Err(CertificateError::NotValidForName.into()),
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        possession::tls12(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        possession::tls13(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tls::{Algorithms, TlsVersion};

    fn tls(sni: Option<ServerSni>) -> ServerTls {
        ServerTls {
            verify: ServerVerify::None,
            sni,
            verify_host: None,
            alpn: Vec::new(),
            min_version: TlsVersion::Tls12,
            max_version: TlsVersion::Tls13,
            algorithms: Algorithms::default(),
            certificate: None,
            resume: true,
        }
    }

    #[track_caller]
    fn check(sni: Option<ServerSni>, host: Option<&str>, expected: &str) {
        check_beside(&tls(sni), host, expected);
    }

    #[track_caller]
    fn check_beside(tls: &ServerTls, host: Option<&str>, expected: &str) {
        let address = ServerAddress::Tcp("192.0.2.1:443".parse().unwrap());
        assert_eq!(server_name(tls, &address, host.map(str::as_bytes)).to_str(), expected);
    }

    #[test]
    fn the_name_asked_for_follows_the_configuration() {
        check(None, Some("a.example"), "192.0.2.1");
        check(Some(ServerSni::Fixed("b.example".into())), Some("a.example"), "b.example");
        check(Some(ServerSni::RequestHost), Some("a.example"), "a.example");
        check(Some(ServerSni::RequestHost), Some("a.example:8443"), "a.example");
        check(Some(ServerSni::RequestHost), Some("[2001:db8::1]:8443"), "2001:db8::1");
        check(Some(ServerSni::RequestHost), Some("not a name"), "192.0.2.1");
        check(Some(ServerSni::RequestHost), None, "192.0.2.1");
        check(Some(ServerSni::RequestHost), Some(""), "192.0.2.1");
        // There is another name to hold the certificate against, if none was wished for.
        for sni in [ServerSni::RequestHost, ServerSni::ClientSni] {
            let tls = ServerTls { verify_host: Some("c.example".into()), ..tls(Some(sni)) };
            check_beside(&tls, Some("a.example"), "a.example");
            check_beside(&tls, None, "0.0.0.0");
            check_beside(&tls, Some(""), "0.0.0.0");
            check_beside(&tls, Some("not a name"), "192.0.2.1");
            check_beside(&tls, Some("0.0.0.0"), "192.0.2.1");
        }
    }
}
