//! What is decided about a connection before anybody speaks its protocol (HAProxy manual 4.2, `tcp-request`).

use std::time::Duration;

use super::rule::Condition;

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TcpAction {
    /// No further rule of this kind is asked.
    Accept,
    Reject,
    /// `expect-proxy layer4`: a PROXY header comes first, as with `accept-proxy`. Only in `connection`.
    ExpectProxy,
}
