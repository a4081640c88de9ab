//! What a valid configuration is. Plain data, correct by construction: `config/resolve` builds it, nobody checks it again.
//!
//! Knows nothing of files, text or sockets. Everything that lives while running (health, counters,
//! weights an operator changed) is in `state` and keyed by the names found here.

pub(crate) mod backend;
pub(crate) mod check;
pub(crate) mod dial;
pub(crate) mod forwarded;
pub(crate) mod frontend;
pub(crate) mod global;
pub(crate) mod http;
pub(crate) mod log;
pub(crate) mod names;
pub(crate) mod rule;
pub(crate) mod stats;
pub(crate) mod tcp;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod tls;
mod tls_client;
pub(crate) mod tls_suites;

pub(crate) use backend::{Backend, Balance, Server};
pub(crate) use frontend::{Frontend, Listener};
pub(crate) use global::Global;
pub(crate) use names::{BackendId, FrontendId, Name, ServerId};

use std::sync::Arc;

/// One whole configuration, as it will be run.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub global: Global,
    /// Indexed by [`FrontendId`]. A `listen` section is a frontend and a backend of one name.
    pub frontends: Vec<Arc<Frontend>>,
    /// Indexed by [`BackendId`].
    pub backends: Vec<Arc<Backend>>,
}

/// Layer 4 or layer 7 (HAProxy manual 4.2, `mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Tcp,
    Http,
}
