//! The `global` section (HAProxy manual chapter 3) and log targets (manual 4.2 `log`).

use std::path::PathBuf;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Size, Span, Verify};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Global {
    /// Client connections in the whole process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maxconn: Option<u32>,
    /// Worker threads; as many as the machine has processors unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbthread: Option<u32>,
    /// Where `log_global` sends to, and where state changes are told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<LogTarget>,
    /// Sends a host name in syslog lines: this one, or the machine's when empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_send_hostname: Option<String>,
    /// The program's name in syslog lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_tag: Option<String>,
    /// Runtime sockets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stats_socket: Vec<StatsSocket>,
    /// How long an idle runtime connection is kept; default 10s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stats_timeout: Option<Span>,
    /// Runtime connections at once; default 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stats_maxconn: Option<u32>,
    /// Runs in the background.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daemon: Option<bool>,
    /// Master-worker mode: accepted, one process does both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master_worker: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chroot: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pidfile: Option<PathBuf>,
    /// This proxy's name on the stats page and in `show info`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How long a stopping process may wait for its clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hard_stop_after: Option<Span>,
    /// Random part of the check interval, in percent, 0 to 50.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spread_checks: Option<u32>,
    /// Open files the process may have; computed unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ulimit_n: Option<u64>,
    /// Directory that relative `ca_file` names start from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_base: Option<PathBuf>,
    /// Directory that relative `crt` names start from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crt_base: Option<PathBuf>,
    /// How often certificates on disk are looked at for changes; default 10s, `0s` never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crt_watch: Option<Span>,
    /// Whether servers' certificates are checked where nothing is said; `required` unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssl_server_verify: Option<Verify>,
    /// What TLS listeners start with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssl_default_bind: Option<SslDefaults>,
    /// What TLS connections to servers start with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssl_default_server: Option<SslDefaults>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tune: Option<Tune>,
    /// Clients are not told that WebSockets may come over HTTP/2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub h2_workaround_bogus_websocket_clients: Option<bool>,
    /// Spellings of field names for old applications: `content-length: Content-Length`. Used by proxies that ask for it.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub h1_case_adjust: IndexMap<String, String>,
    /// A file of such, two words a line, `#` for comments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub h1_case_adjust_file: Option<PathBuf>,
}

/// `ssl-default-bind-…` and `ssl-default-server-…`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SslDefaults {
    /// `TLSv1.2` or `TLSv1.3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssl_min_ver: Option<String>,
    /// `TLSv1.2` or `TLSv1.3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssl_max_ver: Option<String>,
    /// TLS 1.2 suites, in order, as an OpenSSL cipher string.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ciphers: Option<String>,
    /// TLS 1.3 suites, in order, separated by colons.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ciphersuites: Option<String>,
    /// Key exchange groups, in order, separated by colons.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub curves: Option<String>,
    /// The client's order of suites counts, not ours. Listeners only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefer_client_ciphers: Option<bool>,
    /// Whether clients get session tickets. Listeners only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_tickets: Option<bool>,
}

/// `tune.*`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tune {
    /// The largest HTTP head is this less `maxrewrite`; default 16KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bufsize: Option<Size>,
    /// Kept free for rewriting; default 1KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maxrewrite: Option<Size>,
    /// Header fields in one head; default 101.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_maxhdr: Option<u32>,
    /// How long one key makes session tickets; default 6h.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssl_lifetime: Option<Span>,
    /// TLS sessions remembered for clients without tickets; default 20000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssl_cachesize: Option<u32>,
    /// Bytes of a request's target; as many as the head may have unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_max_uri: Option<Size>,

    /// HTTP/2 requests at once on one connection; default 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub h2_max_concurrent_streams: Option<u32>,
    /// Bytes of one HTTP/2 body that may be under way; default 256KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub h2_initial_window_size: Option<Size>,
    /// The largest HTTP/2 frame taken, 16KiB to 16MiB less one; default 16KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub h2_max_frame_size: Option<Size>,
    /// Bytes of the table that compresses header fields, 0 to 64KiB; default 4KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub h2_header_table_size: Option<Size>,
    /// For clients, instead of `h2_max_concurrent_streams`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub h2_fe_max_concurrent_streams: Option<u32>,
    /// For clients, instead of `h2_initial_window_size`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub h2_fe_initial_window_size: Option<Size>,
    /// Bytes of all bodies of one client connection that may be under way; default 1MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub h2_fe_rxbuf: Option<Size>,
    /// Requests after which a client is asked to connect anew; no limit unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub h2_fe_max_total_streams: Option<u32>,
    /// Frames that carry nothing, ahead of those that do, before a client is cut off; default 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub h2_fe_glitches_threshold: Option<u32>,
    /// For servers, instead of `h2_max_concurrent_streams`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub h2_be_max_concurrent_streams: Option<u32>,
    /// For servers, instead of `h2_initial_window_size`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub h2_be_initial_window_size: Option<Size>,
    /// Bytes of all bodies of one server connection that may be under way; default what all its streams may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub h2_be_rxbuf: Option<Size>,
    /// As for clients; default 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub h2_be_glitches_threshold: Option<u32>,
}

/// One `log` line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogTarget {
    /// `stdout`, `stderr`, `file:/var/log/lockgate.log`, `127.0.0.1:514`, `/dev/log`.
    pub to: String,
    /// Bytes of one line; default 1024.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub len: Option<u32>,
    /// `local`, `rfc3164`, `rfc5424`, `raw`, `short`, `priority`, `timed`, `iso`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// `local0` and its kin; `local0` unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facility: Option<String>,
    /// Only lines at least this important: `emerg` … `debug`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// More important lines are sent as this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_level: Option<String>,
}

/// One `stats socket` line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatsSocket {
    /// A path, `unix@path`, `abns@name`, or `127.0.0.1:9999`.
    pub address: String,
    /// File mode in octal: `660`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// `operator` unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<AccessLevel>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AccessLevel {
    User,
    Operator,
    Admin,
}
