//! One `server` line, or the `default-server` its servers start from (HAProxy manual 5.2).

use std::path::PathBuf;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{OneOrMany, Proto, Span};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Server {
    /// `10.0.0.1:80`, `app.internal:8080`, `[::1]:80`, `unix@/run/app.sock`. Required, except in `default_server`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// 0 to 256; default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Takes traffic only when no other server is up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<bool>,
    /// Starts in maintenance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// Requests (HTTP) or sessions (TCP) at once; more wait in the queue. 0 is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maxconn: Option<u32>,
    /// What is let in of `maxconn` while the backend is idle; it grows with its sessions up to `fullconn`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minconn: Option<u32>,
    /// Requests that may wait for this server alone; further ones go to another. 0 is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maxqueue: Option<u32>,
    /// Idle connections kept, over all workers; -1 is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_max_conn: Option<i32>,
    /// In each such time half of the idle connections that nobody needed are closed; default 5s, 0 keeps none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_purge_delay: Option<Span>,
    /// Requests sent over one connection after the first; -1 is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_reuse: Option<i32>,

    /// Whether health checks run: they do unless said. haproxy.cfg's reader says `false` where its `check` is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<bool>,
    /// Time between two checks; default 2s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inter: Option<Span>,
    /// The same while going up or down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fastinter: Option<Span>,
    /// The same while down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downinter: Option<Span>,
    /// Passed checks that bring it up; default 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rise: Option<u32>,
    /// Failed checks that take it down; default 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fall: Option<u32>,
    /// Where checks connect to, when not to the server's own port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Where checks connect to, when not to the server's own address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addr: Option<String>,
    /// TLS for checks although traffic has none, or the check has its own port or address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check_ssl: Option<bool>,
    /// Server name sent in the TLS hello of checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check_sni: Option<String>,
    /// Protocols offered in the TLS hello of checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check_alpn: Option<OneOrMany<String>>,
    /// The protocol HTTP checks speak; the server's `proto` unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check_proto: Option<Proto>,
    /// A PROXY header in front of checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check_send_proxy: Option<bool>,

    /// TLS towards the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssl: Option<bool>,
    /// Whether the server's certificate is checked; `required` unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verify>,
    /// The name its certificate must carry, when it is not the SNI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verifyhost: Option<String>,
    /// Certificates trusted to sign the server's, in one PEM file; `@system-ca` for the machine's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Lists of certificates that were taken back, in one PEM file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crl_file: Option<PathBuf>,
    /// Certificate and key shown to the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crt: Option<PathBuf>,
    /// What is sent as server name: `str(name)` or `req.hdr(host)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// Protocols offered: `h2,http/1.1`, or a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpn: Option<OneOrMany<String>>,
    /// The protocol spoken to it. Unless said, `h1` in clear text and what `alpn` agrees on over TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proto: Option<Proto>,
    /// The protocol WebSockets are passed on in; as all else (`auto`) unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ws: Option<WebSockets>,
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
    /// Whether TLS sessions are taken up again; yes unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssl_reuse: Option<bool>,

    /// A PROXY protocol v1 header in front of each connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_proxy: Option<bool>,
    /// A PROXY protocol v2 header in front of each connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_proxy_v2: Option<bool>,
    /// The same, and whether the client used TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_proxy_v2_ssl: Option<bool>,
    /// The same, and the common name of the client's certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_proxy_v2_ssl_cn: Option<bool>,
    /// Where connections to the server come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// How long sent bytes may stay unacknowledged before the connection is given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_ut: Option<Span>,
    /// What a version 2 header tells besides, comma-separated: `ssl`, `cert-cn`, `ssl-cipher`, `cert-key`,
    /// `cert-sig`, `crc32c`, `unique-id`, `authority`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_v2_options: Option<String>,
    /// Values of one's own in a version 2 header: `<format>` by type, 0 to 255, also as `0x…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_proxy_v2_tlv_fmt: Option<IndexMap<String, String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verify {
    /// Anyone can be the server.
    None,
    /// The certificate must be signed by `ca_file` and carry the right name.
    Required,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WebSockets {
    /// As other requests to that server.
    Auto,
    /// Over connections of their own where the server otherwise speaks HTTP/2.
    H1,
    /// By extended CONNECT (RFC 8441), which the server must know.
    H2,
}

/// `source …`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Source {
    /// An IP address of this machine, or `0.0.0.0` or `::` for any; on servers also with a port or a range of ports.
    pub address: String,
    /// Whose address the server sees: `clientip`, `client` (its port too), `hdr_ip(<field>)` or an address. Needs CAP_NET_ADMIN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usesrc: Option<String>,
    /// Only through this network interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
}
