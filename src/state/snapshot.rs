//! The configuration in force, compiled for the workers: immutable, numbered, swapped as a whole.

use std::collections::HashMap;
use std::sync::Arc;

use super::servers::{BackendState, FrontendState, ListenerState, ServerState};
use crate::model::{Backend, BackendId, Config, Frontend, FrontendId, Server, ServerId};
use crate::state::listeners::BoundSocket;
use crate::state::logs::LogSinks;

/// What workers run by. A request keeps the one it began with to its end.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// 1 for the first configuration, one more at each reload.
    pub generation: u64,
    pub config: Arc<Config>,
    /// Indexed by [`FrontendId`].
    pub frontends: Vec<FrontendInForce>,
    /// Indexed by [`BackendId`].
    pub backends: Vec<BackendInForce>,
    /// Every address listened on, over all frontends.
    pub listeners: Vec<ListenerInForce>,
    /// From [`BoundSocket::id`] to the index in `listeners`, for sockets that outlive a reload.
    pub listener_by_socket: HashMap<u64, usize>,
}

#[derive(Debug)]
pub(crate) struct FrontendInForce {
    pub config: Arc<Frontend>,
    pub state: Arc<FrontendState>,
    /// Where its log lines go; shared with every proxy that names the same targets.
    pub logs: Arc<LogSinks>,
}

#[derive(Debug)]
pub(crate) struct BackendInForce {
    pub config: Arc<Backend>,
    pub state: Arc<BackendState>,
    /// Indexed by [`ServerId`].
    pub servers: Vec<ServerInForce>,
}

#[derive(Debug)]
pub(crate) struct ServerInForce {
    pub config: Arc<Server>,
    pub state: Arc<ServerState>,
    /// Ready to connect with, when the server speaks TLS.
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

#[derive(Debug)]
pub(crate) struct ListenerInForce {
    pub socket: Arc<BoundSocket>,
    pub frontend: FrontendId,
    /// Index in [`Frontend::listeners`].
    pub index: usize,
    pub state: Arc<ListenerState>,
    /// Ready to accept with, when the listener terminates TLS.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

impl Snapshot {
    pub fn frontend(&self, id: FrontendId) -> &FrontendInForce {
        &self.frontends[id.index()]
    }

    pub fn backend(&self, id: BackendId) -> &BackendInForce {
        &self.backends[id.index()]
    }
}

impl BackendInForce {
    pub fn server(&self, id: ServerId) -> &ServerInForce {
        &self.servers[id.index()]
    }
}
