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
