//! A group of servers that serve the same thing, and how they are reached.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Mode;
use super::check::Check;
use super::dial::{Dial, Presented};
use super::forwarded::Forwarded;
use super::http::{HeaderCase, ServerProtocol};
use super::log::LogSettings;
use super::names::{BackendId, Name, ServerId};
use super::rule::{Format, HeaderRef, HttpRequestRule, HttpResponseRule};
use super::stats::StatsPage;
use super::tcp::TcpRules;
use super::tls::ServerTls;
use crate::sys;

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
    /// Whether these go to another server while there is one: 0 is never, then they go to the one that failed, after a
    /// pause. Of a request that had to go to its server every `n`th does, or with `-n` the `n`th from the last on
    /// (`option redispatch`).
    pub redispatch: i32,
    pub retry_on: RetryOn,
    pub http_reuse: HttpReuse,
    /// `option prefer-last-server`
    pub prefer_last_server: bool,
    /// `max-keep-alive-queue`: with so many waiting for it already, a client is not kept at its full server.
    pub max_keep_alive_queue: Option<u32>,
    /// `option abortonclose`: a client that has closed its sending side is not waited for any more.
    pub abort_on_close: bool,
    pub connection: HttpConnectionMode,
    pub forwarded: Forwarded,
    pub error_pages: Arc<ErrorPages>,
    pub no_store: bool,
    pub stats: Option<Arc<StatsPage>>,
    /// Where this backend's state changes are told.
    pub log: LogSettings,
    /// `fullconn`: sessions of this backend at which servers with a `minconn` reach their `maxconn`; 10 % of the frontends' maxconn when not set, as HAProxy computes it.
    pub fullconn: u32,
    /// Spellings of field names for its servers (`option h1-case-adjust-bogus-server`).
    pub header_case: Option<Arc<HeaderCase>>,
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
    /// How long a tarpitted request is held; falls back to `connect`.
    pub tarpit: Option<Duration>,
}

/// Which idle connections a client's request may take (HAProxy manual 4.2 `http-reuse`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum HttpReuse {
    /// Only those this client's own requests were sent over.
    Never,
    /// Any, except for a client's first request.
    #[default]
    Safe,
    /// Any; for a client's first request only those that were used more than once.
    Aggressive,
    Always,
}

/// After what a request is sent again (HAProxy manual 4.2 `retry-on`): a set of failures and statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RetryOn(u32);

impl RetryOn {
    pub const NONE: RetryOn = RetryOn(0);
    /// No connection came about. HAProxy's default, and ours.
    pub const CONN_FAILURE: RetryOn = RetryOn(1);
    pub const EMPTY_RESPONSE: RetryOn = RetryOn(1 << 1);
    pub const JUNK_RESPONSE: RetryOn = RetryOn(1 << 2);
    pub const RESPONSE_TIMEOUT: RetryOn = RetryOn(1 << 3);
    /// Never happens: early data is not sent to servers.
    pub const EARLY_DATA_REJECTED: RetryOn = RetryOn(1 << 4);
    /// Statuses a request may be sent again after, from bit 5 on.
    pub const STATUSES: [u16; 11] = [401, 403, 404, 408, 425, 429, 500, 501, 502, 503, 504];

    /// One status; `None` for those that are never retried.
    pub fn status(status: u16) -> Option<RetryOn> {
        let at = RetryOn::STATUSES.iter().position(|known| *known == status)?;
        Some(RetryOn(1 << (5 + at)))
    }

    /// `all-retryable-errors`
    pub fn all_retryable() -> RetryOn {
        let errors = RetryOn::CONN_FAILURE
            .and(RetryOn::EMPTY_RESPONSE)
            .and(RetryOn::JUNK_RESPONSE)
            .and(RetryOn::RESPONSE_TIMEOUT)
            .and(RetryOn::EARLY_DATA_REJECTED);
        [500, 502, 503, 504].into_iter().filter_map(RetryOn::status).fold(errors, RetryOn::and)
    }

    pub const fn and(self, other: RetryOn) -> RetryOn {
        RetryOn(self.0 | other.0)
    }

    pub const fn has(self, other: RetryOn) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether anything is retried that happens after the request was sent, so that it must be kept.
    pub const fn after_sending(self) -> bool {
        self.0 & !RetryOn::CONN_FAILURE.0 & !RetryOn::EARLY_DATA_REJECTED.0 != 0
    }
}

impl Default for RetryOn {
    fn default() -> Self {
        RetryOn::CONN_FAILURE
    }
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
    /// What is let in of `maxconn` while the backend is idle; at `fullconn` sessions it is all (`minconn`).
    pub minconn: Option<u32>,
    /// Requests that may wait for this server alone; further ones go to another (`maxqueue`).
    pub maxqueue: Option<u32>,
    pub pool: PoolSettings,
    pub tls: Option<Arc<ServerTls>>,
    pub send_proxy: Option<ProxyVersion>,
    pub proxy_options: ProxyOptions,
    /// What such a header tells besides, by type (`set-proxy-v2-tlv-fmt`).
    pub proxy_values: Vec<(u8, Format)>,
    /// `None`: as the kernel would have it.
    pub dial: Option<Arc<Dial>>,
    pub protocol: ServerProtocol,
    /// What WebSockets are passed on in, where that is another one (`ws`).
    pub websockets: Option<ServerProtocol>,
    pub check: Option<Arc<Check>>,
    /// `disabled`: starts in maintenance.
    pub disabled: bool,
}

/// How idle connections to one server are kept (HAProxy manual 5.2 `pool-…`, `max-reuse`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PoolSettings {
    /// Idle connections over all workers; `None` is HAProxy's -1.
    pub max_conn: Option<u32>,
    /// In each such interval half of the connections that nobody needed are closed; zero keeps none.
    pub purge_delay: Duration,
    /// Requests sent over one connection after the first.
    pub max_reuse: Option<u32>,
}

impl PoolSettings {
    /// HAProxy's `pool-purge-delay`.
    pub const USUAL_PURGE_DELAY: Duration = Duration::from_secs(5);
}

impl Default for PoolSettings {
    fn default() -> Self {
        PoolSettings { max_conn: None, purge_delay: PoolSettings::USUAL_PURGE_DELAY, max_reuse: None }
    }
}

impl Server {
    /// Whether each connection comes from its client's address (`usesrc`).
    pub fn presents_clients(&self) -> bool {
        let source = self.dial.as_ref().and_then(|dial| dial.source.as_ref());
        source.is_some_and(|source| matches!(source.presented, Presented::Client | Presented::ClientIp))
    }

    /// The field of a request that names where its connection comes from (`usesrc hdr_ip`).
    pub fn presents_field(&self) -> Option<&HeaderRef> {
        match &self.dial.as_ref()?.source.as_ref()?.presented {
            Presented::Field(field) => Some(field),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum ServerAddress {
    Tcp(SocketAddr),
    /// An abstract one begins with a zero byte, see [`sys::abstract_path`].
    Unix(PathBuf),
}

impl std::fmt::Display for ServerAddress {
    /// As a `server` line would have it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ServerAddress::Tcp(address) => write!(f, "{address}"),
            ServerAddress::Unix(path) => match sys::abstract_name(path) {
                Some(name) => write!(f, "abns@{name}"),
                None => write!(f, "unix@{}", path.display()),
            },
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

/// What a version 2 header tells besides addresses (`proxy-v2-options`). The protocol agreed on by ALPN always is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ProxyOptions {
    /// Whether and how the client used TLS.
    pub ssl: bool,
    /// The common name of the client's certificate.
    pub cert_cn: bool,
    pub ssl_cipher: bool,
    /// What the certificate shown to the client is made with.
    pub cert_key: bool,
    pub cert_sig: bool,
    pub crc32c: bool,
    pub unique_id: bool,
    /// The host the client asked for.
    pub authority: bool,
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
