//! What a `defaults`, `frontend`, `backend` or `listen` section holds (HAProxy manual chapter 4).
//!
//! One type for the four, because defaults are inherited field by field; which field may stand in which kind of
//! section is said by [`Proxy::misplaced`].

use std::path::PathBuf;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Check, HttpRule, LogTarget, OneOrMany, RedirectRule, Server, Source, Span, TcpRequest, UseBackend, When, Words,
};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Proxy {
    /// The `named_defaults` this one starts from, instead of `defaults`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// `tcp` unless said, as in HAProxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Configured and shown, but not running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,

    /// Addresses clients connect to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bind: Vec<Bind>,
    /// Client connections at once; more wait in the kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maxconn: Option<u32>,
    /// Connections accepted in a second; more wait in the kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit_sessions: Option<u32>,
    /// Length of the kernel's queue of connections not accepted yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backlog: Option<u32>,
    /// Named tests; several lines under one name hold when any of them does.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub acls: IndexMap<String, OneOrMany<Words>>,
    /// Who is let in, before anybody speaks the connection's protocol.
    #[serde(skip_serializing_if = "super::is_default")]
    pub tcp_request: TcpRequest,
    /// In order; the first rule that ends the matter decides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http_request: Vec<HttpRule>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http_response: Vec<HttpRule>,
    /// After all of `http_request`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub redirect: Vec<RedirectRule>,
    /// In order; the first whose condition holds decides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub use_backend: Vec<UseBackend>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_backend: Option<String>,

    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<Balance>,
    /// What the servers of this section start with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_server: Option<Server>,
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub servers: IndexMap<String, Server>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    /// All backup servers share the load, not only the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allbackups: Option<bool>,
    /// Attempts after the first one; default 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// Lets retries go to another server; default true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redispatch: Option<bool>,
    /// Which retries of requests that had to go to their server do: every `n`th; -1 the last one, -2 the one before;
    /// default -1. Others always do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redispatch_interval: Option<i32>,
    /// After what a request is sent again: `none`, `conn-failure` (the default), `empty-response`, `junk-response`,
    /// `response-timeout`, `0rtt-rejected`, `all-retryable-errors`, and statuses.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    pub retry_on: OneOrMany<String>,
    /// Which idle connections to servers a request may take; default `safe`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_reuse: Option<HttpReuse>,
    /// A client's requests go to the server of the one before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefer_last_server: Option<bool>,
    /// With so many waiting for a full server, its clients' next requests go to another; -1, the default, is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_keep_alive_queue: Option<i32>,
    /// Gives up a waiting request whose client has closed its sending side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abortonclose: Option<bool>,
    /// Sessions at which servers with a `minconn` reach their `maxconn`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fullconn: Option<u32>,

    /// Where connections to servers come from, unless these say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Breaks connections instead of ending them: of a frontend those of clients, of a backend those to servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nolinger: Option<bool>,
    /// Sends TCP keep-alive probes to clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clitcpka: Option<bool>,
    /// Probes without an answer before the connection is given up; the kernel's number unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clitcpka_cnt: Option<u32>,
    /// Silence before the first probe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clitcpka_idle: Option<Span>,
    /// Time between two probes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clitcpka_intvl: Option<Span>,
    /// Sends TCP keep-alive probes to servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub srvtcpka: Option<bool>,
    /// Probes without an answer before the connection is given up; the kernel's number unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub srvtcpka_cnt: Option<u32>,
    /// Silence before the first probe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub srvtcpka_idle: Option<Span>,
    /// Time between two probes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub srvtcpka_intvl: Option<Span>,

    #[serde(skip_serializing_if = "is_unset")]
    pub timeout: Timeouts,
    /// Which connections are kept after a response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_connection: Option<HttpConnection>,
    /// Clear text is never taken for HTTP/2, whatever its first bytes are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_h2_upgrade: Option<bool>,
    /// Clients get field names in the spelling of `global.h1_case_adjust`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub h1_case_adjust_bogus_client: Option<bool>,
    /// Servers get field names in the spelling of `global.h1_case_adjust`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub h1_case_adjust_bogus_server: Option<bool>,
    /// HAProxy's `option forwardfor`: adds one field line, believes everyone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forwardfor: Option<ForwardFor>,
    /// Tells servers about the client, and does not believe clients about themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forwarded: Option<Forwarded>,
    /// Adds `Cache-Control: no-store` to every response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_store: Option<bool>,
    /// Files answered instead of the built-in error pages, by status; each is a whole HTTP response.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub errorfile: IndexMap<u16, PathBuf>,

    /// Forgets the inherited `log` and `log_global`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_log: Option<bool>,
    /// Logs to the targets of `global.log`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_global: Option<bool>,
    /// Targets besides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<LogTarget>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_format: Option<LogFormat>,
    /// The program's name in this proxy's syslog lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_tag: Option<String>,
    /// Connections that carried nothing are not logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dontlognull: Option<bool>,
    /// Each of its addresses is reported beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket_stats: Option<bool>,
    /// What went well is not logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dontlog_normal: Option<bool>,
    /// Request header fields shown in `{}` of the log line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub capture_request_header: Vec<Capture>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub capture_response_header: Vec<Capture>,

    #[serde(skip_serializing_if = "Option::is_none")]
    pub stats: Option<Stats>,
}

fn is_unset(timeouts: &Timeouts) -> bool {
    *timeouts == Timeouts::default()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    Tcp,
    Http,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Balance {
    /// In turn, by weight.
    Roundrobin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HttpConnection {
    /// Both sides are kept: the default.
    KeepAlive,
    /// The client's is kept, the server's is closed.
    ServerClose,
    /// Both are closed.
    Close,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HttpReuse {
    /// Only those the same client's requests were sent over.
    Never,
    /// Any, but not for a client's first request.
    Safe,
    /// A client's first request takes only those that were used more than once.
    Aggressive,
    /// Any.
    Always,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    /// HAProxy's line of no `option …log`.
    Connect,
    Tcp,
    Http,
    /// One JSON object a line.
    Json,
}

/// `proto`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Proto {
    /// HTTP/1.1 and 1.0.
    H1,
    H2,
}

/// One `bind` line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bind {
    /// `*:80`, `:80`, `10.0.0.1:80`, `[::]:80`, `unix@/run/x.sock`, `abns@name`; several separated by commas,
    /// ports may be ranges.
    pub address: String,
    /// Its name in reports; the address unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssl: Option<bool>,
    /// PEM files with certificate, chain and key, or directories of such.
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    pub crt: OneOrMany<PathBuf>,
    /// Lists of certificates with the names each is for, and terms of its own.
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    pub crt_list: OneOrMany<PathBuf>,
    /// Certificates for clients that name no host, or an unknown one, instead of the first.
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    pub default_crt: OneOrMany<PathBuf>,
    /// Refuses clients that name no host we have a certificate for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict_sni: Option<bool>,
    /// Protocols offered: `h2,http/1.1`, or a list. An empty list offers none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpn: Option<OneOrMany<String>>,
    /// The one protocol spoken here. Unless said TLS chooses it, and in clear text the client's first bytes do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proto: Option<Proto>,
    /// `TLSv1.2` or `TLSv1.3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssl_min_ver: Option<String>,
    /// `TLSv1.2` or `TLSv1.3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssl_max_ver: Option<String>,
    /// TLS 1.2 suites, in order, as an OpenSSL cipher string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ciphers: Option<String>,
    /// TLS 1.3 suites, in order, separated by colons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ciphersuites: Option<String>,
    /// Key exchange groups, in order, separated by colons: `X25519:P-256`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub curves: Option<String>,
    /// The client's order of suites counts, not ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefer_client_ciphers: Option<bool>,
    /// Whether clients are asked for certificates; `none` unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<ClientVerify>,
    /// Authorities that sign clients' certificates, a PEM file or a directory of such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Further ones, whose names are not told to clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_verify_file: Option<PathBuf>,
    /// Lists of certificates that were taken back, in one PEM file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crl_file: Option<PathBuf>,
    /// Errors of a client's certificate that are let pass: `all`, or OpenSSL's numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crt_ignore_err: Option<String>,
    /// The same, of the authorities above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_ignore_err: Option<String>,
    /// Tells clients no names of authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_ca_names: Option<bool>,
    /// Whether clients get session tickets; yes unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_tickets: Option<bool>,
    /// Keys for session tickets, shared with other proxies: a file of base64 lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_ticket_keys: Option<PathBuf>,
    /// Every connection starts with a PROXY header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept_proxy: Option<bool>,
    /// Connections from these networks start with a PROXY header, others do not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accept_proxy_from: Vec<String>,
    /// Connections at once on this line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maxconn: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backlog: Option<u32>,
    /// Only this network interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// The largest segment of TCP that is agreed on with clients, in bytes: 88 to 32767.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mss: Option<i32>,
    /// How long bytes sent to a client may stay unacknowledged before the connection is given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp_ut: Option<Span>,
    /// An IPv6 wildcard takes IPv4 too: the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v4v6: Option<bool>,
    /// An IPv6 wildcard takes IPv6 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v6only: Option<bool>,
    /// Mode of a unix socket's file, octal: `660`.
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
}

/// `verify` of a `bind` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClientVerify {
    /// Clients are not asked for certificates.
    None,
    /// They are asked; what they show must be right.
    Optional,
    /// Without a right one nobody comes in.
    Required,
}

/// `timeout …`; one not said waits for ever (or is inherited).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Timeouts {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<Span>,
    /// How long tarpitted requests are held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tarpit: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_fin: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_fin: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_request: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_keep_alive: Option<Span>,
    /// The TLS handshake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_hs: Option<Span>,
}

/// `option forwardfor`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ForwardFor {
    /// Clients of these networks are not added.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    pub except: OneOrMany<String>,
    /// `X-Forwarded-For` unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// Only when the request has no such field yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub if_none: Option<bool>,
}

/// Which forwarding fields servers get. Those of untrusted clients are replaced, those of trusted proxies appended to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Forwarded {
    /// A ready set; single fields below add to it or take from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<ForwardedPreset>,
    /// X-Forwarded-For.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub for_: Option<bool>,
    /// Another name for X-Forwarded-For.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// X-Forwarded-Host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<bool>,
    /// X-Forwarded-Proto.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proto: Option<bool>,
    /// X-Forwarded-Port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<bool>,
    /// X-Forwarded-Server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<bool>,
    /// Its value; the machine's host name unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// X-Proxied-Https, when the client used TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxied_https: Option<bool>,
    /// Its value; `true` unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxied_https_value: Option<String>,
    /// RFC 7239 `Forwarded`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rfc7239: Option<bool>,
    /// Networks of proxies whose own fields are believed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trusted_proxies: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ForwardedPreset {
    /// X-Forwarded-For, -Host, -Proto, -Server and X-Proxied-Https.
    OpsManager,
}

/// `capture request|response header`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Capture {
    pub name: String,
    /// Bytes; longer values are cut.
    pub len: u32,
}

/// `stats …`; writing any of it serves the page.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Stats {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable: Option<bool>,
    /// Requests whose URI starts with this are answered with the page; `/haproxy?stats` unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
    /// `user:password`; nobody is asked unless said.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    pub auth: OneOrMany<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hide_version: Option<bool>,
    /// When states may be changed from the page; `admin: {}` is always.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin: Option<When>,
    /// Only these proxies are shown; `.` is the section itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scope: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub show_legends: Option<bool>,
    /// The node's name, `global.node` when empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub show_node: Option<String>,
    /// A description, `global.description` when empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub show_desc: Option<String>,
    /// Path that answers in Prometheus format beside the page, such as `/metrics`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<String>,
}

/// Which kind of section a [`Proxy`] came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProxyKind {
    Defaults,
    Frontend,
    Backend,
    Listen,
}

impl Proxy {
    /// Names of the fields that mean nothing in a section of this kind, in the order of the type.
    pub fn misplaced(&self, kind: ProxyKind) -> Vec<&'static str> {
        use ProxyKind::{Backend, Defaults, Frontend, Listen};
        let places: [(&'static str, bool, &[ProxyKind]); 46] = [
            ("bind", !self.bind.is_empty(), &[Frontend, Listen]),
            ("maxconn", self.maxconn.is_some(), &[Defaults, Frontend, Listen]),
            ("backlog", self.backlog.is_some(), &[Defaults, Frontend, Listen]),
            ("tcp_request.connection", !self.tcp_request.connection.is_empty(), &[Defaults, Frontend, Listen]),
            ("tcp_request.session", !self.tcp_request.session.is_empty(), &[Defaults, Frontend, Listen]),
            ("use_backend", !self.use_backend.is_empty(), &[Frontend, Listen]),
            ("default_backend", self.default_backend.is_some(), &[Defaults, Frontend, Listen]),
            ("balance", self.balance.is_some(), &[Defaults, Backend, Listen]),
            ("default_server", self.default_server.is_some(), &[Defaults, Backend, Listen]),
            ("servers", !self.servers.is_empty(), &[Backend, Listen]),
            ("check", self.check.is_some(), &[Defaults, Backend, Listen]),
            ("allbackups", self.allbackups.is_some(), &[Defaults, Backend, Listen]),
            ("retries", self.retries.is_some(), &[Defaults, Backend, Listen]),
            ("redispatch", self.redispatch.is_some(), &[Defaults, Backend, Listen]),
            ("redispatch_interval", self.redispatch_interval.is_some(), &[Defaults, Backend, Listen]),
            ("retry_on", !self.retry_on.is_empty(), &[Defaults, Backend, Listen]),
            ("http_reuse", self.http_reuse.is_some(), &[Defaults, Backend, Listen]),
            ("prefer_last_server", self.prefer_last_server.is_some(), &[Defaults, Backend, Listen]),
            ("max_keep_alive_queue", self.max_keep_alive_queue.is_some(), &[Defaults, Backend, Listen]),
            ("abortonclose", self.abortonclose.is_some(), &[Defaults, Backend, Listen]),
            ("socket_stats", self.socket_stats.is_some(), &[Defaults, Frontend, Listen]),
            ("rate_limit_sessions", self.rate_limit_sessions.is_some(), &[Defaults, Frontend, Listen]),
            ("fullconn", self.fullconn.is_some(), &[Defaults, Backend, Listen]),
            ("source", self.source.is_some(), &[Defaults, Backend, Listen]),
            ("clitcpka", self.clitcpka.is_some(), &[Defaults, Frontend, Listen]),
            ("clitcpka_cnt", self.clitcpka_cnt.is_some(), &[Defaults, Frontend, Listen]),
            ("clitcpka_idle", self.clitcpka_idle.is_some(), &[Defaults, Frontend, Listen]),
            ("clitcpka_intvl", self.clitcpka_intvl.is_some(), &[Defaults, Frontend, Listen]),
            ("srvtcpka", self.srvtcpka.is_some(), &[Defaults, Backend, Listen]),
            ("srvtcpka_cnt", self.srvtcpka_cnt.is_some(), &[Defaults, Backend, Listen]),
            ("srvtcpka_idle", self.srvtcpka_idle.is_some(), &[Defaults, Backend, Listen]),
            ("srvtcpka_intvl", self.srvtcpka_intvl.is_some(), &[Defaults, Backend, Listen]),
            ("timeout.connect", self.timeout.connect.is_some(), &[Defaults, Backend, Listen]),
            ("timeout.client", self.timeout.client.is_some(), &[Defaults, Frontend, Listen]),
            ("timeout.server", self.timeout.server.is_some(), &[Defaults, Backend, Listen]),
            ("timeout.check", self.timeout.check.is_some(), &[Defaults, Backend, Listen]),
            ("timeout.queue", self.timeout.queue.is_some(), &[Defaults, Backend, Listen]),
            ("timeout.tunnel", self.timeout.tunnel.is_some(), &[Defaults, Backend, Listen]),
            ("timeout.client_fin", self.timeout.client_fin.is_some(), &[Defaults, Frontend, Listen]),
            ("timeout.server_fin", self.timeout.server_fin.is_some(), &[Defaults, Backend, Listen]),
            ("timeout.client_hs", self.timeout.client_hs.is_some(), &[Defaults, Frontend, Listen]),
            ("disable_h2_upgrade", self.disable_h2_upgrade.is_some(), &[Defaults, Frontend, Listen]),
            ("h1_case_adjust_bogus_client", self.h1_case_adjust_bogus_client.is_some(), &[Defaults, Frontend, Listen]),
            ("h1_case_adjust_bogus_server", self.h1_case_adjust_bogus_server.is_some(), &[Defaults, Backend, Listen]),
            ("capture_request_header", !self.capture_request_header.is_empty(), &[Frontend, Listen]),
            ("capture_response_header", !self.capture_response_header.is_empty(), &[Frontend, Listen]),
        ];
        places.into_iter().filter(|(_, said, kinds)| *said && !kinds.contains(&kind)).map(|(name, ..)| name).collect()
    }
}
