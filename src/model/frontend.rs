//! Where clients come in and what happens to them first.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::backend::HttpConnectionMode;
use super::dial::KeepAlive;
use super::forwarded::{Forwarded, Networks};
use super::http::{ClientProtocol, HeaderCase};
use super::log::LogSettings;
use super::names::{BackendId, FrontendId, Name};
use super::rule::{Condition, HttpRequestRule, HttpResponseRule};
use super::stats::StatsPage;
use super::tcp::TcpRules;
use super::tls::ListenerTls;
use super::{Mode, backend::ErrorPages};

#[derive(Debug)]
pub(crate) struct Frontend {
    pub id: FrontendId,
    pub name: Name,
    pub mode: Mode,
    /// `disabled`: configured, shown, not listening.
    pub disabled: bool,
    pub description: Option<String>,
    pub listeners: Vec<Listener>,
    /// Concurrent connections; more wait in the listen backlog.
    pub maxconn: Option<u32>,
    /// In order; the first whose condition holds decides.
    pub use_backend: Vec<(Option<Condition>, BackendId)>,
    pub default_backend: Option<BackendId>,
    pub tcp_request: TcpRules,
    /// Whether `use_backend` asks for what a client sends first.
    pub routes_by_first_bytes: bool,
    pub http_request: Vec<HttpRequestRule>,
    pub http_response: Vec<HttpResponseRule>,
    pub timeouts: FrontendTimeouts,
    pub log: LogSettings,
    pub stats: Option<Arc<StatsPage>>,
    pub connection: HttpConnectionMode,
    pub forwarded: Forwarded,
    pub error_pages: Arc<ErrorPages>,
    /// Adds `Cache-Control: no-store` to every response.
    pub no_store: bool,
    /// `rate-limit sessions`: connections accepted in a second; more wait in the kernel.
    pub session_rate: Option<u32>,
    /// `option clitcpka`
    pub keep_alive: Option<KeepAlive>,
    /// `option nolinger`: clients' connections are broken, not ended.
    pub nolinger: bool,
    /// `option socket-stats`: each of its addresses has a row of its own in `show stat` and on the stats page.
    pub socket_stats: bool,
    /// `backlog`; the kernel's own limit when absent.
    pub backlog: Option<u32>,
    /// Spellings of field names for its clients (`option h1-case-adjust-bogus-client`).
    pub header_case: Option<Arc<HeaderCase>>,
}

/// `None` waits for ever, as HAProxy does when a timeout is not set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FrontendTimeouts {
    pub client: Option<Duration>,
    pub http_request: Option<Duration>,
    pub http_keep_alive: Option<Duration>,
    pub client_fin: Option<Duration>,
    /// `timeout client-hs`: the TLS handshake; falls back to `client`.
    pub client_handshake: Option<Duration>,
    /// `timeout tarpit`; falls back to the `timeout connect` of its defaults.
    pub tarpit: Option<Duration>,
}

/// One `bind` address.
#[derive(Debug)]
pub(crate) struct Listener {
    /// `name` on the bind line, else the address as written. Unique within its frontend.
    pub name: Name,
    pub address: ListenAddress,
    pub tls: Option<Arc<ListenerTls>>,
    pub accept_proxy: AcceptProxy,
    pub maxconn: Option<u32>,
    /// `tcp-ut`: how long bytes sent to a client may stay unacknowledged.
    pub user_timeout: Option<Duration>,
    pub protocol: ClientProtocol,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum ListenAddress {
    /// `*:80` and `:80` are 0.0.0.0:80; `:::80` is [::]:80 with IPv4 too unless `v6only`.
    Tcp {
        address: SocketAddr,
        v6only: bool,
        interface: Option<String>,
        /// The largest segment that is agreed on, in bytes.
        mss: Option<u16>,
    },
    Unix(UnixSocketOptions),
}

/// A unix socket and who may open it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct UnixSocketOptions {
    /// An abstract name when `is_abstract`.
    pub path: PathBuf,
    pub is_abstract: bool,
    /// File mode, as `660`.
    pub mode: Option<u32>,
    pub user: Option<u32>,
    pub group: Option<u32>,
}

impl std::fmt::Display for ListenAddress {
    /// As a `bind` line would have it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ListenAddress::Tcp { address, v6only, interface, mss } => {
                write!(f, "{address}")?;
                if *v6only {
                    f.write_str(" v6only")?;
                }
                interface.as_ref().map_or(Ok(()), |name| write!(f, " interface {name}"))?;
                mss.map_or(Ok(()), |mss| write!(f, " mss {mss}"))
            }
            ListenAddress::Unix(UnixSocketOptions { path, is_abstract: true, .. }) => {
                write!(f, "abns@{}", path.display())
            }
            ListenAddress::Unix(options) => write!(f, "unix@{}", options.path.display()),
        }
    }
}

/// Whether connections start with a PROXY header (`accept-proxy`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AcceptProxy {
    No,
    /// From every peer: HAProxy's `accept-proxy`.
    Always,
    /// From these networks; others are read as plain clients (native `accept-proxy-from`).
    From(Networks),
}
