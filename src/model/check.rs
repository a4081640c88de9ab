//! How a server is asked whether it is well (HAProxy manual 5.2 `check`, 4.2 `option httpchk`, `http-check`).

use std::sync::Arc;
use std::time::Duration;

use regex::bytes::Regex;

use super::backend::{ProxyOptions, ProxyVersion, ServerAddress};
use super::dial::Dial;
use super::http::ServerProtocol;
use super::tls::ServerTls;

#[derive(Debug, Clone)]
pub(crate) struct Check {
    pub kind: CheckKind,
    /// Where the check connects to: the server's own address unless `addr` or `port` say else.
    pub target: ServerAddress,
    pub interval: Duration,
    /// While going up or down; `interval` when absent.
    pub fast_interval: Option<Duration>,
    /// While fully down; `interval` when absent.
    pub down_interval: Option<Duration>,
    /// Passed checks in a row that bring a server up; at least 1.
    pub rise: u32,
    /// Failed checks in a row that take a server down; at least 1.
    pub fall: u32,
    /// Bound on connecting: min(timeout connect, interval) when `timeout` is set, else the interval.
    pub connect_timeout: Duration,
    /// `timeout check`: bound on what follows the connection. Without it the interval bounds the whole check.
    pub timeout: Option<Duration>,
    /// TLS on the check's connection, with its own SNI and ALPN.
    pub tls: Option<Arc<ServerTls>>,
    /// What an HTTP check speaks (`check-proto`, `check-alpn`).
    pub protocol: ServerProtocol,
    /// A PROXY header (LOCAL in v2) in front of the check.
    pub send_proxy: Option<ProxyVersion>,
    pub proxy_options: ProxyOptions,
    /// As the server's, but for the client, which there is none of.
    pub dial: Option<Arc<Dial>>,
}

#[derive(Debug, Clone)]
pub(crate) enum CheckKind {
    /// The connection itself (and the TLS handshake, if any).
    Connect,
    Http(HttpCheck),
}

#[derive(Debug, Clone)]
pub(crate) struct HttpCheck {
    pub method: String,
    pub uri: String,
    pub version: CheckHttpVersion,
    /// In order, as sent; `Host` is among them when one is sent.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// All must hold. Empty means any 2xx or 3xx, HAProxy's rule.
    pub expect: Vec<Expect>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CheckHttpVersion {
    Http10,
    Http11,
}

/// `http-check expect [!] …`
#[derive(Debug, Clone)]
pub(crate) struct Expect {
    pub negated: bool,
    pub what: ExpectWhat,
}

#[derive(Debug, Clone)]
pub(crate) enum ExpectWhat {
    /// Inclusive ranges: `200,201,300-399`.
    Status(Vec<(u16, u16)>),
    StatusMatches(Regex),
    BodyContains(Vec<u8>),
    BodyMatches(Regex),
    /// `hdr name <name> [value <value>]`, names compared without case.
    Header {
        name: String,
        value: Option<String>,
    },
}
