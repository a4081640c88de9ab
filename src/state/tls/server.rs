//! Under which terms is a client's TLS accepted?

use std::sync::Arc;

use rustls::server::ClientHello;
use rustls::{CommonState, ServerConfig};

use super::client_verifier::{ClientVerifier, verify_context};
use super::handshake;
use super::resolver::Resolver;
use super::tickets::TlsShared;
use super::{provider_for, versions};
use crate::model::tls::{Certificate, ListenerTls, MadeWith, Terms, Tickets, TlsFacts};

/// Tickets sent after a TLS 1.3 handshake. A client uses each once (RFC 8446 §C.4) and gets a new one with every
/// connection, so one keeps it going; each costs an encryption and some 200 bytes.
const TICKETS: usize = 1;

/// How the connections of one listener are accepted.
#[derive(Debug)]
pub(crate) struct Acceptance {
    usual: Arc<AcceptedTerms>,
    /// By the place of the certificate, for those with terms of their own. Empty for most listeners.
    special: Vec<Option<Arc<AcceptedTerms>>>,
    certificates: Arc<Resolver>,
}

/// One set of terms, ready to use.
#[derive(Debug)]
pub(crate) struct AcceptedTerms {
    pub config: Arc<ServerConfig>,
    /// The same for clients that offer other protocols only.
    without_alpn: Arc<ServerConfig>,
    /// `None`: clients are not asked for certificates.
    verifier: Option<Arc<ClientVerifier>>,
}

impl Acceptance {
    pub fn new(tls: &ListenerTls, shared: &TlsShared) -> Self {
        let certificates = Arc::new(Resolver::new(tls));
        let compile = |terms: &Terms| Arc::new(AcceptedTerms::new(terms, &tls.tickets, &certificates, shared));
        let usual = compile(&tls.terms);
        let mut special: Vec<Option<Arc<AcceptedTerms>>> = Vec::new();
        if tls.certificates.iter().any(|served| served.terms.is_some()) {
            special.extend(tls.certificates.iter().map(|served| served.terms.as_deref().map(compile)));
        }
        Acceptance { usual, special, certificates }
    }

    /// The terms for those who ask for no name in particular.
    pub fn usual(&self) -> &Arc<AcceptedTerms> {
        &self.usual
    }

    /// The terms for the client that said this.
    pub fn for_client(&self, hello: &ClientHello<'_>) -> &Arc<AcceptedTerms> {
        if self.special.is_empty() {
            return &self.usual;
        }
        let own = self.certificates.choose(hello).and_then(|index| self.special.get(index)?.as_ref());
        own.unwrap_or(&self.usual)
    }

    /// What the certificate for this client is made with.
    pub fn made_with(&self, hello: &ClientHello<'_>) -> Option<Arc<MadeWith>> {
        self.certificates.made_with(hello)
    }

    /// The certificates in force.
    pub fn certificates(&self) -> Vec<Arc<Certificate>> {
        self.certificates.certificates()
    }

    /// Serves a certificate instead of the one read from the same path before. Whether there was one.
    pub fn renew(&self, renewed: &Arc<Certificate>) -> bool {
        self.certificates.renew(renewed)
    }
}

impl AcceptedTerms {
    fn new(terms: &Terms, tickets: &Tickets, certificates: &Arc<Resolver>, shared: &TlsShared) -> Self {
        let verifier = terms.client.as_ref().map(|trust| Arc::new(ClientVerifier::new(trust)));
        // Cannot fail: `versions` is never empty and the provider has suites for each of them.
        let builder = ServerConfig::builder_with_provider(provider_for(&terms.algorithms))
            .with_protocol_versions(versions(terms.min_version, terms.max_version))
            .expect("the provider serves TLS 1.2 and 1.3");
        let builder = match &verifier {
            Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier) as _),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::clone(certificates) as _);
        let algorithms = &terms.algorithms;
        let ordered = !(algorithms.suites_12.is_empty() && algorithms.suites_13.is_empty());
        config.ignore_client_order = ordered && !algorithms.client_order;
        config.alpn_protocols.clone_from(&terms.alpn);
        let context = terms.client.as_deref().map(verify_context).unwrap_or_default();
        match tickets {
            Tickets::Own => config.ticketer = shared.own_tickets(context),
            Tickets::Keys(file) => config.ticketer = shared.tickets_of(file, context),
            Tickets::Off => {}
        }
        config.send_tls13_tickets = TICKETS;
        config.session_storage = shared.memory(context);
        // Early data can be replayed (RFC 8446 §8); a proxy cannot know which requests bear that.
        config.max_early_data_size = 0;
        let mut without_alpn = config.clone();
        without_alpn.alpn_protocols.clear();
        AcceptedTerms { config: Arc::new(config), without_alpn: Arc::new(without_alpn), verifier }
    }

    /// How to speak with a client that offers these protocols. With none in common ALPN is left out, as HAProxy does it: a
    /// client that offers only `http/1.0` may still be served. rustls would refuse it, as RFC 7301 §3.2 has it.
    pub fn config_for(&self, hello: &ClientHello<'_>) -> &Arc<ServerConfig> {
        let is_ours = |theirs: &[u8]| self.config.alpn_protocols.iter().any(|ours| ours == theirs);
        let is_at_odds = hello.alpn().is_some_and(|mut offered| !offered.any(is_ours));
        if is_at_odds { &self.without_alpn } else { &self.config }
    }

    /// What a finished handshake agreed on.
    pub fn facts(&self, connection: &CommonState, sni: Option<Box<str>>) -> TlsFacts {
        let mut facts = handshake::facts(connection, sni);
        if let (Some(verifier), Some(chain)) = (&self.verifier, connection.peer_certificates()) {
            facts.client = verifier.look_at(chain).map(Box::new);
        }
        facts
    }
}
