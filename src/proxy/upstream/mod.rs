//! The way to a server: a turn, a slot, a connection.

pub(crate) mod attempts;
pub(crate) mod connect;
pub(crate) mod http2;
pub(crate) mod http2_exchange;
mod http2_idle;
pub(crate) mod http2_pool;
mod http2_request;
pub(crate) mod own;
pub(crate) mod pool;
pub(crate) mod reuse;
pub(crate) mod slot;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::connection::Connection;
use crate::model::Server;
use crate::wire::proxy_protocol::ClientTold;

/// What is waited before the same server is tried again, at most (HAProxy manual 4.2, `retries`).
pub(crate) const TURN_AROUND: Duration = Duration::from_secs(1);

/// The client a connection is made for, as a PROXY header tells it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OnBehalfOf<'a> {
    pub client: Option<SocketAddr>,
    pub local: Option<SocketAddr>,
    /// The address that its request names to be shown to the server (`usesrc hdr_ip`).
    pub named: Option<IpAddr>,
    /// What it said besides.
    pub told: ClientTold<'a>,
}

impl<'a> OnBehalfOf<'a> {
    pub fn of(connection: &'a Connection) -> Self {
        OnBehalfOf {
            client: connection.ends.get().peer,
            local: connection.ends.get().local,
            named: None,
            told: ClientTold { tls: connection.tls.as_deref(), received: connection.told.as_deref(), values: &[] },
        }
    }

    /// As the configuration has it told besides.
    pub fn telling(mut self, values: &'a [(u8, Vec<u8>)]) -> Self {
        self.told.values = values;
        self
    }
    /// Whose address the server sees, where it is to see a client's.
    pub fn source(&self, server: &Server) -> Option<SocketAddr> {
        match server.presents_field() {
            Some(_) => self.named.map(|address| SocketAddr::new(address, 0)),
            None => self.client,
        }
    }
}
