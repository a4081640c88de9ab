//! The way to a server: a turn, a slot, a connection.

pub(crate) mod connect;
pub(crate) mod pool;
pub(crate) mod slot;

use std::net::SocketAddr;

/// The client a connection is made for, as a PROXY header tells it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OnBehalfOf {
    pub client: Option<SocketAddr>,
    pub local: Option<SocketAddr>,
}
