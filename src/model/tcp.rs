//! What is decided about a connection before anybody speaks its protocol (HAProxy manual 4.2, `tcp-request`).

use std::time::Duration;

use super::log::Level;
use super::rule::{Condition, Expr};

/// The `tcp-request` rules of one section, those of its defaults first.
#[derive(Debug, Clone, Default)]
pub(crate) struct TcpRules {
    /// When the connection is accepted: nothing but its addresses is known. Empty in a backend.
    pub connection: Vec<TcpRule>,
    /// Behind PROXY header and TLS handshake. Empty in a backend.
    pub session: Vec<TcpRule>,
    /// What the client sends first may be looked at.
    pub content: Vec<TcpRule>,
    /// How long the client's first bytes are waited for where `content` asks for them. `None`: not at all.
    pub inspect_delay: Option<Duration>,
}

#[derive(Debug, Clone)]
pub(crate) struct TcpRule {
    pub action: TcpAction,
    pub condition: Option<Condition>,
}

#[derive(Debug, Clone)]
pub(crate) enum TcpAction {
    /// No further rule of this kind is asked.
    Accept,
    Reject,
    /// `expect-proxy layer4`: a PROXY header comes first, as with `accept-proxy`. Only in `connection`.
    ExpectProxy,
    /// The connection is forgotten; its client is told as little of it as the kernel can manage.
    SilentDrop,
    /// `set-src`, `set-dst`: what `src` and `dst` say from here on, and all that tells of them.
    SetAddress(End, Expr),
    /// `set-src-port`, `set-dst-port`
    SetPort(End, Expr),
    /// `set-fc-tos`: of packets to the client (RFC 2474).
    SetTos(u8),
    /// `set-fc-mark`: of packets to the client, for filters and routes of this machine (socket(7), SO_MARK).
    SetMark(u32),
    /// The level its log line is sent with; `None` sends none. In `content` only, as the next two.
    SetLogLevel(Option<Level>),
    SetPriorityClass(Expr),
    SetPriorityOffset(Expr),
}

/// One of a connection's two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Source,
    Destination,
}

impl TcpAction {
    /// What its value is computed from.
    pub fn expr(&self) -> Option<&Expr> {
        match self {
            TcpAction::SetAddress(_, expr)
            | TcpAction::SetPort(_, expr)
            | TcpAction::SetPriorityClass(expr)
            | TcpAction::SetPriorityOffset(expr) => Some(expr),
            _ => None,
        }
    }
}

/// Types of what a PROXY header of version 2 tells besides addresses (spec §2.2.1).
pub(crate) mod told {
    pub(crate) const ALPN: u8 = 0x01;
    pub(crate) const AUTHORITY: u8 = 0x02;
    pub(crate) const CRC32C: u8 = 0x03;
    pub(crate) const UNIQUE_ID: u8 = 0x05;
    pub(crate) const SSL: u8 = 0x20;
    pub(crate) const SSL_VERSION: u8 = 0x21;
    pub(crate) const SSL_CN: u8 = 0x22;
    pub(crate) const SSL_CIPHER: u8 = 0x23;
    pub(crate) const SSL_SIG_ALG: u8 = 0x24;
    pub(crate) const SSL_KEY_ALG: u8 = 0x25;

    /// Their names in HAProxy's manual (7.3.3, `fc_pp_tlv`).
    pub(crate) const NAMES: &[(&str, u8)] = &[
        ("ALPN", ALPN),
        ("AUTHORITY", AUTHORITY),
        ("CRC32C", CRC32C),
        ("NETNS", 0x30),
        ("NOOP", 0x04),
        ("SSL", SSL),
        ("SSL_CIPHER", SSL_CIPHER),
        ("SSL_CN", SSL_CN),
        ("SSL_KEY_ALG", SSL_KEY_ALG),
        ("SSL_SIG_ALG", SSL_SIG_ALG),
        ("SSL_VERSION", SSL_VERSION),
        ("UNIQUE_ID", UNIQUE_ID),
    ];
}
