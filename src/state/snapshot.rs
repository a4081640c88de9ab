//! The configuration in force, compiled for the workers: immutable, numbered, swapped as a whole.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use arc_swap::ArcSwap;

use super::servers::{BackendState, FrontendState, ListenerState, Rotation, ServerState};
use crate::balance::limit::Limit;
use crate::model::log::LogSettings;
use crate::model::{Backend, BackendId, Config, Frontend, FrontendId, Global, Name, Server, ServerId};
use crate::state::listeners::BoundSocket;
use crate::state::logs::{LogIdentity, LogSinks, SinkProblem};
use crate::state::tls::{Acceptance, TlsShared, TlsToServer};

/// What workers run by. A request keeps the one it began with to its end.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    /// 1 for the first configuration, one more at each reload.
    pub generation: u64,
    pub config: Arc<Config>,
    /// Indexed by [`FrontendId`].
    pub frontends: Vec<FrontendInForce>,
    /// Indexed by [`BackendId`].
    pub backends: Vec<BackendInForce>,
    /// The targets of `global`: what concerns the process as a whole is told there.
    pub logs: Arc<LogSinks>,
    /// Every address listened on, over all frontends.
    pub listeners: Vec<ListenerInForce>,
    /// From [`BoundSocket::id`] to the index in `listeners`, for sockets that outlive a reload.
    pub listener_by_socket: HashMap<u64, usize>,
}

#[derive(Debug, Clone)]
pub(crate) struct FrontendInForce {
    pub config: Arc<Frontend>,
    pub state: Arc<FrontendState>,
    /// Where its log lines go; shared with every proxy that names the same targets.
    pub logs: Arc<LogSinks>,
}

#[derive(Debug, Clone)]
pub(crate) struct BackendInForce {
    pub config: Arc<Backend>,
    pub state: Arc<BackendState>,
    /// Where its state changes are told.
    pub logs: Arc<LogSinks>,
    /// Indexed by [`ServerId`].
    pub servers: Vec<ServerInForce>,
    /// Who of the servers above gets traffic now: written by control at each change of health, admin state or weight.
    /// Shared with the snapshot before when the servers are the same, for its ids are theirs.
    pub rotation: Arc<ArcSwap<Rotation>>,
}

#[derive(Debug, Clone)]
pub(crate) struct ServerInForce {
    pub config: Arc<Server>,
    pub state: Arc<ServerState>,
    /// Ready to connect with, when the server speaks TLS.
    pub tls: Option<Arc<TlsToServer>>,
    /// The same server as WebSockets reach it, where they speak another protocol.
    pub websockets: Option<Arc<ServerInForce>>,
}

#[derive(Debug, Clone)]
pub(crate) struct ListenerInForce {
    pub socket: Arc<BoundSocket>,
    pub frontend: FrontendId,
    /// Index in [`Frontend::listeners`].
    pub index: usize,
    pub state: Arc<ListenerState>,
    /// Ready to accept with, when the listener terminates TLS.
    pub tls: Option<Arc<Acceptance>>,
}

/// A socket made for one `bind` of the configuration.
#[derive(Debug, Clone)]
pub(crate) struct BoundListener {
    pub frontend: FrontendId,
    /// Index in [`Frontend::listeners`].
    pub index: usize,
    pub socket: Arc<BoundSocket>,
}

impl Snapshot {
    /// Compiles a configuration. Whatever `previous` has under the same name is carried over: counters, gauges,
    /// rotations. Cannot fail; all that can was done when reading and binding.
    pub fn build(
        config: Config,
        previous: Option<&Snapshot>,
        sockets: Vec<BoundListener>,
        tls: &TlsShared,
        workers: usize,
    ) -> Snapshot {
        let identity = log_identity(&config.global);
        let open = |log: &LogSettings| match &log.tag {
            Some(tag) => LogSinks::open(&log.targets, &LogIdentity { tag: tag.clone(), ..identity.clone() }),
            None => LogSinks::open(&log.targets, &identity),
        };
        let logs = LogSinks::open(&config.global.logs, &identity);
        let known = Known::of(previous);
        let frontends: Vec<_> = config
            .frontends
            .iter()
            .map(|frontend| FrontendInForce {
                config: Arc::clone(frontend),
                state: known.frontend(&frontend.name, workers),
                logs: open(&frontend.log),
            })
            .collect();
        let backends = config
            .backends
            .iter()
            .map(|backend| BackendInForce {
                config: Arc::clone(backend),
                state: known.backend(&backend.name, workers),
                logs: open(&backend.log),
                servers: backend.servers.iter().map(|server| known.server(backend, server, workers)).collect(),
                rotation: known.rotation(backend),
            })
            .collect();
        let listeners: Vec<_> =
            sockets.into_iter().filter_map(|bound| known.listener(&config, bound, tls, workers)).collect();
        let listener_by_socket =
            listeners.iter().enumerate().map(|(index, listener)| (listener.socket.id, index)).collect();
        Snapshot {
            generation: previous.map_or(1, |previous| previous.generation + 1),
            config: Arc::new(config),
            frontends,
            backends,
            logs,
            listeners,
            listener_by_socket,
        }
    }

    /// The log targets that take no lines now, each once.
    pub fn log_problems(&self) -> Vec<SinkProblem> {
        let frontends = self.frontends.iter().map(|frontend| &frontend.logs);
        let backends = self.backends.iter().map(|backend| &backend.logs);
        let mut found = Vec::new();
        for problem in std::iter::once(&self.logs).chain(frontends).chain(backends).flat_map(|logs| logs.problems()) {
            if !found.contains(&problem) {
                found.push(problem);
            }
        }
        found
    }

    pub fn frontend(&self, id: FrontendId) -> &FrontendInForce {
        &self.frontends[id.index()]
    }

    pub fn backend(&self, id: BackendId) -> &BackendInForce {
        &self.backends[id.index()]
    }
}

impl BackendInForce {
    /// Makes the limit in a server's settings the one in force, and lets in who waits for no more than that.
    pub fn publish_limit(&self, id: ServerId) {
        let server = self.server(id);
        server.state.set_limit(limit(&self.config, &server.config));
        self.state.room.changed([]);
    }

    /// Makes a rotation the one in force. Only control may call this.
    pub fn publish(&self, rotation: Rotation) {
        let mut gone = Vec::new();
        for server in &self.servers {
            let member = rotation.members.contains(&server.config.id);
            if server.state.in_rotation.swap(member, Relaxed) && !member {
                gone.push(server.state.key);
            }
        }
        self.rotation.store(Arc::new(rotation));
        self.state.room.changed(gone);
        self.state.changed.notify_waiters();
    }

    pub fn server(&self, id: ServerId) -> &ServerInForce {
        &self.servers[id.index()]
    }
}

/// Who log lines come from.
fn log_identity(global: &Global) -> LogIdentity {
    LogIdentity {
        hostname: global.log_hostname.clone(),
        tag: global.log_tag.clone().unwrap_or_else(|| DEFAULT_LOG_TAG.to_owned()),
        pid: std::process::id(),
    }
}

/// `log-tag` when none is set.
const DEFAULT_LOG_TAG: &str = "lockgate";

fn limit(backend: &Backend, server: &Server) -> Limit {
    Limit::new(server.maxconn, server.minconn, backend.fullconn)
}

/// What the snapshot before had, by name.
#[derive(Default)]
struct Known<'a> {
    frontends: HashMap<&'a str, &'a Arc<FrontendState>>,
    listeners: HashMap<(&'a str, &'a str), &'a Arc<ListenerState>>,
    backends: HashMap<&'a str, &'a BackendInForce>,
    servers: HashMap<(&'a str, &'a str), &'a Arc<ServerState>>,
}

impl<'a> Known<'a> {
    fn of(previous: Option<&'a Snapshot>) -> Self {
        let Some(previous) = previous else { return Known::default() };
        let servers = previous.backends.iter().flat_map(|backend| &backend.servers);
        Known {
            frontends: previous.frontends.iter().map(|front| (&*front.state.name, &front.state)).collect(),
            listeners: previous
                .listeners
                .iter()
                .map(|listener| {
                    ((&*previous.frontend(listener.frontend).state.name, &*listener.state.name), &listener.state)
                })
                .collect(),
            backends: previous.backends.iter().map(|backend| (&*backend.state.name, backend)).collect(),
            servers: servers.map(|server| ((&*server.state.backend, &*server.state.name), &server.state)).collect(),
        }
    }

    fn frontend(&self, name: &Name, workers: usize) -> Arc<FrontendState> {
        match self.frontends.get(&**name) {
            Some(&state) => Arc::clone(state),
            None => FrontendState::new(Arc::clone(name), workers),
        }
    }

    fn backend(&self, name: &Name, workers: usize) -> Arc<BackendState> {
        match self.backends.get(&**name) {
            Some(before) => Arc::clone(&before.state),
            None => BackendState::new(Arc::clone(name), workers),
        }
    }

    fn rotation(&self, backend: &Backend) -> Arc<ArcSwap<Rotation>> {
        let names =
            |backend: &Backend| backend.servers.iter().map(|server| Arc::clone(&server.name)).collect::<Vec<_>>();
        match self.backends.get(&*backend.name) {
            Some(before) if names(&before.config) == names(backend) => Arc::clone(&before.rotation),
            _ => Arc::default(),
        }
    }

    fn server(&self, backend: &Backend, server: &Arc<Server>, workers: usize) -> ServerInForce {
        let state = match self.servers.get(&(&*backend.name, &*server.name)) {
            Some(&state) => Arc::clone(state),
            None => ServerState::new(Arc::clone(&backend.name), Arc::clone(&server.name), workers),
        };
        state.set_limit(limit(backend, server));
        let tls = server.tls.as_deref().map(|tls| Arc::new(TlsToServer::new(tls)));
        let websockets = server.websockets.map(|protocol| {
            let config = Arc::new(Server { protocol, websockets: None, ..Server::clone(server) });
            let tls = tls.as_ref().map(|tls| Arc::new(tls.offering(protocol)));
            Arc::new(ServerInForce { config, state: Arc::clone(&state), tls, websockets: None })
        });
        ServerInForce { config: Arc::clone(server), state, tls, websockets }
    }

    /// `None` for a socket that no `bind` of this configuration wants.
    fn listener(
        &self,
        config: &Config,
        bound: BoundListener,
        tls: &TlsShared,
        workers: usize,
    ) -> Option<ListenerInForce> {
        let frontend = config.frontends.get(bound.frontend.index())?;
        let listener = frontend.listeners.get(bound.index)?;
        let state = match self.listeners.get(&(&*frontend.name, &*listener.name)) {
            Some(&state) => Arc::clone(state),
            None => ListenerState::new(Arc::clone(&listener.name), workers),
        };
        Some(ListenerInForce {
            socket: bound.socket,
            frontend: bound.frontend,
            index: bound.index,
            state,
            tls: listener.tls.as_deref().map(|settings| Arc::new(Acceptance::new(settings, tls))),
        })
    }
}
