//! Settings of the whole process (HAProxy manual chapter 3).

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Name;
use super::frontend::UnixSocketOptions;
use super::http::{HeaderCase, Http2Limits};
use super::log::LogTarget;
use super::tls::SessionSettings;

#[derive(Debug, Clone)]
pub(crate) struct Global {
    /// `nbthread`: number of workers.
    pub threads: NonZeroUsize,
    /// `maxconn`: client connections in the whole process.
    pub maxconn: u32,
    /// `log`: where `log global` sends to; also where state changes are told.
    pub logs: Vec<LogTarget>,
    /// `log-send-hostname` / `log-tag`; `None` means the machine's name is not sent (HAProxy's default).
    pub log_hostname: Option<String>,
    pub log_tag: Option<String>,
    pub stats_sockets: Vec<StatsSocket>,
    /// `stats timeout`: how long an idle runtime connection is kept.
    pub stats_timeout: Duration,
    /// `stats maxconn`: runtime connections at once.
    pub stats_maxconn: u32,
    pub daemon: bool,
    /// Numeric ids, looked up when the file was read; the switch happens after binding.
    pub user: Option<u32>,
    pub group: Option<u32>,
    pub chroot: Option<PathBuf>,
    pub pidfile: Option<PathBuf>,
    /// Shown on the stats page and in `show info`.
    pub node: Option<Name>,
    pub description: Option<String>,
    /// `hard-stop-after`: how long a draining process may live.
    pub hard_stop_after: Option<Duration>,
    /// `spread-checks`, in percent of the interval, 0 to 50.
    pub spread_checks: u8,
    pub limits: HttpLimits,
    pub sessions: SessionSettings,
    /// How often certificates on disk are looked at for changes (`crt-watch`); `None` never.
    pub certificate_watch: Option<Duration>,
    /// HTTP/2 with clients, and with servers.
    pub http2_clients: Http2Limits,
    pub http2_servers: Http2Limits,
    /// Clients are told that WebSockets may come over HTTP/2 (RFC 8441).
    pub http2_websocket: bool,
    /// `h1-case-adjust`; `None` without any.
    pub header_case: Option<Arc<HeaderCase>>,
}

/// How large an HTTP head may be, on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HttpLimits {
    /// Bytes of a whole head, request line or status line included (`tune.bufsize` less `tune.maxrewrite`).
    pub head: usize,
    /// Header fields in one head (`tune.http.maxhdr`).
    pub fields: usize,
    /// Bytes of a request's target (native `http_max_uri`).
    pub target: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        HttpLimits { head: 15_360, fields: 101, target: 15_360 }
    }
}

/// `stats socket` (HAProxy manual 3.1 and management guide 9.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StatsSocket {
    pub address: StatsSocketAddress,
    pub level: AccessLevel,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StatsSocketAddress {
    Unix(UnixSocketOptions),
    Tcp(SocketAddr),
}

/// What a runtime socket's user may do; each level includes the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AccessLevel {
    User,
    Operator,
    Admin,
}
