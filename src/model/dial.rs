//! How are connections opened, besides to where? (HAProxy manual 4.2 `source`, `option tcpka`, `option nolinger`, 5.2 `source`, `tcp-ut`)

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::rule::HeaderRef;

/// How long a connection may be silent before it is probed, and between two probes: what the kernel takes (tcp(7)).
pub(crate) const PROBE_SILENCE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(32_767);

/// What is set on the socket of each connection to a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Dial {
    pub source: Option<Source>,
    pub keep_alive: Option<KeepAlive>,
    /// `tcp-ut`: how long sent bytes may stay unacknowledged.
    pub user_timeout: Option<Duration>,
    /// `option nolinger`: the connection is broken (RST) when it is closed, and nothing of it stays in the kernel.
    pub nolinger: bool,
}

/// Where a connection to a server comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// Unspecified: the kernel chooses.
    pub address: IpAddr,
    /// First and last port to be taken in turn. `None`: the kernel chooses.
    pub ports: Option<(u16, u16)>,
    pub presented: Presented,
    /// Only through this network interface.
    pub interface: Option<String>,
}

/// Whose address the server sees (`usesrc`). All but our own need CAP_NET_ADMIN or CAP_NET_RAW, and the way back to lead
/// through this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Presented {
    Own,
    /// The client's, from a port of our own.
    ClientIp,
    /// The client's, from its own port.
    Client,
    /// The one that this field of the request names (`hdr_ip`), from a port of our own.
    Field(HeaderRef),
    /// This one; port 0 lets the kernel choose.
    Fixed(SocketAddr),
}

/// Probes that find out whether a silent peer is still there (tcp(7)). What is not said stays the kernel's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct KeepAlive {
    /// Probes without an answer before the connection is given up.
    pub count: Option<u32>,
    /// Silence before the first probe, in whole seconds.
    pub idle: Option<Duration>,
    /// Between two probes, in whole seconds.
    pub interval: Option<Duration>,
}
