//! A group of servers that serve the same thing, and how they are reached.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Mode;
use super::check::Check;
use super::forwarded::Forwarded;
use super::log::LogSettings;
use super::names::{BackendId, Name, ServerId};
use super::rule::{HttpRequestRule, HttpResponseRule};
use super::stats::StatsPage;
use super::tcp::TcpRules;
use super::tls::ServerTls;

#[derive(Debug, Clone)]
pub(crate) struct Backend {
    pub id: BackendId,
    pub name: Name,
    pub mode: Mode,
    pub disabled: bool,
    pub description: Option<String>,
    pub balance: Balance,
    /// Indexed by [`ServerId`], in the order written.
    pub servers: Vec<Arc<Server>>,
    /// `option allbackups`: all backups share the load, not only the first.
    pub all_backups: bool,
    /// Its `content` rules and their delay.
    pub tcp_request: TcpRules,
    pub http_request: Vec<HttpRequestRule>,
    pub http_response: Vec<HttpResponseRule>,
    pub timeouts: BackendTimeouts,
    /// Attempts after the first one (`retries`, HAProxy's default 3).
    pub retries: u32,
    /// Whether these go to another server while there is one; else to the one that failed, after a pause.
    pub redispatch: bool,
    pub connection: HttpConnectionMode,
    pub forwarded: Forwarded,
    pub error_pages: Arc<ErrorPages>,
    pub no_store: bool,
    pub stats: Option<Arc<StatsPage>>,
    /// Where this backend's state changes are told.
    pub log: LogSettings,
    /// `fullconn`, for reports; 10 % of the frontends' maxconn when not set, as HAProxy computes it.
    pub fullconn: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Balance {
    RoundRobin,
}

/// `None` waits for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BackendTimeouts {
    pub connect: Option<Duration>,
    pub server: Option<Duration>,
    pub server_fin: Option<Duration>,
    pub tunnel: Option<Duration>,
    /// Falls back to `connect` as HAProxy does.
    pub queue: Option<Duration>,
    pub check: Option<Duration>,
}

/// HAProxy manual 4, "connection management": which sides are kept after a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HttpConnectionMode {
    /// `option http-keep-alive`, the default.
    KeepAlive,
    /// `option http-server-close`: the client's is kept, the server's is closed.
    ServerClose,
    /// `option httpclose`: both are closed.
    Close,
}

#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub id: ServerId,
    pub name: Name,
    pub address: ServerAddress,
    /// The name as written, when the address came from one.
    pub hostname: Option<String>,
    /// 0 to 256; 0 takes no new traffic (HAProxy manual 5.2, `weight`).
    pub weight: u16,
    pub role: Role,
    /// Concurrent requests (HTTP) or sessions (TCP); more wait in the queue.
    pub maxconn: Option<u32>,
    pub tls: Option<Arc<ServerTls>>,
    pub send_proxy: Option<ProxyVersion>,
    pub check: Option<Arc<Check>>,
    /// `disabled`: starts in maintenance.
    pub disabled: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum ServerAddress {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl std::fmt::Display for ServerAddress {
    /// As a `server` line would have it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ServerAddress::Tcp(address) => write!(f, "{address}"),
            ServerAddress::Unix(path) => write!(f, "unix@{}", path.display()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Active,
    Backup,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ProxyVersion {
    V1,
    V2,
}

/// What is answered when the proxy itself answers. A page is a whole raw HTTP/1 response, as HAProxy's
/// `errorfile` holds it, head included; it was checked when it was read.
#[derive(Debug, Default)]
pub(crate) struct ErrorPages {
    pages: BTreeMap<u16, Arc<[u8]>>,
}

impl ErrorPages {
    pub fn new(pages: BTreeMap<u16, Arc<[u8]>>) -> Self {
        ErrorPages { pages }
    }

    /// The operator's page for this status; `None` means the built-in one.
    pub fn get(&self, status: u16) -> Option<&Arc<[u8]>> {
        self.pages.get(&status)
    }
}
