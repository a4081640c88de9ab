//! The way to a server: a turn, a slot, a connection.

pub(crate) mod connect;
pub(crate) mod own;
pub(crate) mod pool;
pub(crate) mod slot;

use std::net::SocketAddr;
use std::time::Duration;

/// What is waited before the same server is tried again, at most (HAProxy manual 4.2, `retries`).
pub(crate) const TURN_AROUND: Duration = Duration::from_secs(1);

/// The client a connection is made for, as a PROXY header tells it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OnBehalfOf {
    pub client: Option<SocketAddr>,
    pub local: Option<SocketAddr>,
}
