//! What does each command change?

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::checks::Start;
use super::command::{Answer, Command, CommandError, MAX_WEIGHT, NewWeight, ServerName};
use super::controller::Controller;
use super::history::Cause;
use super::transitions::announce;
use super::watch::{Serving, Watch};
use crate::health::{Input, Origin};
use crate::model::backend::ServerAddress;
use crate::model::check::Check;
use crate::model::log::Level;
use crate::model::{BackendId, FrontendId, Server, ServerId};
use crate::state::Snapshot;

/// Who ordered it, as HAProxy's answers and logs put it.
const BY: &str = "by 'stats socket command'";

impl Controller {
    /// Carries out one command.
    ///
    /// # Errors
    /// [`CommandError`] with HAProxy's text; nothing was changed then.
    pub fn execute(&mut self, command: Command, now: Instant) -> Result<Answer, CommandError> {
        match command {
            Command::SetState { server, state } => self.order(&server, Input::Admin(state, Origin::Operator), now),
            Command::SetHealth { server, health } => self.order(&server, Input::Force(health), now),
            Command::SetWeight { server, weight } => self.set_weight(&server, weight, now),
            Command::SetAddress { server, address, port } => {
                let (backend, id) = self.watch.named(&server)?;
                let (changed, answer) =
                    with_address(&self.watch.snapshot.backend(backend).server(id).config, address, port)?;
                if let Some(changed) = changed {
                    self.replace_server(backend, id, changed, now);
                    self.watch.log_of_backend(
                        backend,
                        Level::Notice,
                        &format!("Server {}/{}: {answer}", server.backend, server.server),
                    );
                }
                Ok(Answer::Told(answer))
            }
            Command::EnableChecks { server } => {
                let (backend, id) = self.watch.named(&server)?;
                if !self.watch.server(backend, id).health.is_checkable() {
                    return Err(CommandError::NoHealthCheck);
                }
                self.order(&server, Input::EnableChecks, now)
            }
            Command::DisableChecks { server } => self.order(&server, Input::DisableChecks, now),
            Command::EnableAgent { server } => self.watch.named(&server).and(Err(CommandError::NoAgent)),
            Command::DisableAgent { server } => self.watch.named(&server).map(|_| Answer::Done),
            Command::SetAgent { server } => self.watch.named(&server).and(Err(CommandError::AgentNotEnabled)),
            Command::ShutdownSessions { server } => {
                let (backend, id) = self.watch.named(&server)?;
                self.watch.server(backend, id).state.kill_generation.fetch_add(1, Relaxed);
                // Sessions look when something wakes them, and quiet ones sleep for hours.
                self.shared.phase.send_modify(|_| ());
                Ok(Answer::Done)
            }
            Command::ClearCounters { all } => {
                self.watch.clear_counters(all, now);
                Ok(Answer::Done)
            }
            Command::EnableFrontend { frontend } => self.watch.serve(&frontend, Serving::Open),
            Command::DisableFrontend { frontend } => self.watch.serve(&frontend, Serving::Disabled),
            Command::ShutdownFrontend { frontend } => self.watch.serve(&frontend, Serving::ShutDown),
            Command::SetFrontendMaxconn { frontend, maxconn } => {
                let id = self.watch.frontend_named(&frontend)?;
                let watch = &mut self.watch.frontends[id.index()];
                // 0 puts the configured limit back, as for the whole process.
                watch.maxconn = (maxconn > 0).then_some(maxconn);
                watch.publish_limit();
                Ok(Answer::Done)
            }
            Command::SetServerMaxconn { server, maxconn } => {
                let (backend, id) = self.watch.named(&server)?;
                let config = &self.watch.snapshot.backend(backend).server(id).config;
                let changed = Server { maxconn: (maxconn > 0).then_some(maxconn), ..Server::clone(config) };
                self.replace_server(backend, id, changed, now);
                self.watch.snapshot.backend(backend).publish_limit(id);
                Ok(Answer::Done)
            }
            Command::SetGlobalMaxconn { maxconn } => self.set_global_maxconn(maxconn, now),
            Command::Reload => {
                self.begin_reload(now);
                Ok(Answer::Told("Reload started; `show info` and the stats page tell what came of it.".to_owned()))
            }
        }
    }

    /// One operator's word on one server.
    fn order(&mut self, server: &ServerName, input: Input, now: Instant) -> Result<Answer, CommandError> {
        let (backend, id) = self.watch.named(server)?;
        let effects = self.watch.apply(backend, id, input, Cause::Operator, now);
        if let Some(turn) = effects.checks {
            self.checks.turn(&self.watch, backend, id, turn);
        }
        Ok(Answer::Done)
    }

    fn set_weight(&mut self, server: &ServerName, weight: NewWeight, now: Instant) -> Result<Answer, CommandError> {
        let (backend, id) = self.watch.named(server)?;
        let watch = &mut self.watch.backends[backend.index()].servers[id.index()];
        watch.weight = match weight {
            NewWeight::Absolute(weight) => {
                u16::try_from(weight).ok().filter(|&weight| weight <= MAX_WEIGHT).ok_or(CommandError::BadWeight)?
            }
            NewWeight::Percent(percent) => {
                let weight = u64::from(watch.initial_weight) * u64::from(percent) / 100;
                u16::try_from(weight).unwrap_or(MAX_WEIGHT).min(MAX_WEIGHT)
            }
        };
        if self.watch.publish_rotation(backend, now) {
            self.watch.tell_no_server_left(backend);
        }
        Ok(Answer::Done)
    }

    fn set_global_maxconn(&mut self, maxconn: u32, now: Instant) -> Result<Answer, CommandError> {
        let configured = self.watch.configured_maxconn;
        if maxconn > configured {
            return Err(CommandError::ValueOutOfRange);
        }
        let mut snapshot = Snapshot::clone(&self.watch.snapshot);
        let mut config = crate::model::Config::clone(&snapshot.config);
        config.global.maxconn = if maxconn == 0 { configured } else { maxconn };
        snapshot.config = Arc::new(config);
        self.publish_changed(snapshot, now);
        Ok(Answer::Done)
    }

    /// Puts another description of one server in force, until a reload. Requests under way keep the one they began with.
    fn replace_server(&mut self, backend: BackendId, id: ServerId, changed: Server, now: Instant) {
        let changed = Arc::new(changed);
        let mut snapshot = Snapshot::clone(&self.watch.snapshot);
        let in_force = &mut snapshot.backends[backend.index()];
        let mut described = crate::model::Backend::clone(&in_force.config);
        described.servers[id.index()] = Arc::clone(&changed);
        in_force.servers[id.index()].config = changed;
        in_force.config = Arc::new(described);
        let mut config = crate::model::Config::clone(&snapshot.config);
        config.backends[backend.index()] = Arc::clone(&in_force.config);
        snapshot.config = Arc::new(config);
        self.publish_changed(snapshot, now);
        self.checks.fit(&self.watch, Start::Now);
    }

    /// Swaps in a snapshot that differs in settings only: the same proxies, servers and sockets.
    fn publish_changed(&mut self, mut snapshot: Snapshot, _now: Instant) {
        snapshot.generation += 1;
        self.watch.snapshot = Arc::new(snapshot);
        self.publish_snapshot();
    }
}

impl Watch {
    fn named(&self, name: &ServerName) -> Result<(BackendId, ServerId), CommandError> {
        let backend = self.find_backend(&name.backend).ok_or(CommandError::NoSuchBackend)?;
        let server = self.find_server(backend, &name.server).ok_or(CommandError::NoSuchServer)?;
        Ok((backend, server))
    }

    fn frontend_named(&self, name: &str) -> Result<FrontendId, CommandError> {
        self.find_frontend(name).ok_or(CommandError::NoSuchFrontend)
    }

    fn serve(&mut self, name: &str, wanted: Serving) -> Result<Answer, CommandError> {
        let id = self.frontend_named(name)?;
        let logs = Arc::clone(&self.snapshot.frontend(id).logs);
        let watch = &mut self.frontends[id.index()];
        let text = match (watch.serving, wanted) {
            (Serving::ShutDown, Serving::ShutDown) => return Err(CommandError::FrontendAlreadyShutDown),
            (Serving::ShutDown, Serving::Open) => return Err(CommandError::FrontendShutDown { order: "enable" }),
            (Serving::ShutDown, Serving::Disabled) => return Err(CommandError::FrontendShutDown { order: "disable" }),
            (Serving::Open, Serving::Open) => return Err(CommandError::FrontendAlreadyEnabled),
            (Serving::Disabled, Serving::Disabled) => return Err(CommandError::FrontendAlreadyDisabled),
            (_, Serving::Open) => format!("Resumed frontend {name}."),
            (_, Serving::Disabled) => format!("Paused frontend {name}."),
            (_, Serving::ShutDown) => {
                format!("Proxy {name} stopped (cumulated conns: FE: {}, BE: 0).", watch.totals().connections)
            }
        };
        watch.serving = wanted;
        watch.publish_limit();
        logs.send(Level::Warning, text.as_bytes());
        announce(Level::Warning, &text);
        Ok(Answer::Done)
    }

    /// Maxima start again; with `all` everything counts from zero. Workers are not disturbed: what they counted so far
    /// becomes the baseline that reports subtract.
    fn clear_counters(&mut self, all: bool, now: Instant) {
        for frontend in &mut self.frontends {
            frontend.state.sessions.reset_max();
            [&mut frontend.sessions, &mut frontend.requests, &mut frontend.connections]
                .into_iter()
                .for_each(super::sampler::Rate::reset_max);
            for listener in &mut frontend.listeners {
                listener.state.sessions.reset_max();
                [&mut listener.sessions, &mut listener.connections]
                    .into_iter()
                    .for_each(super::sampler::Rate::reset_max);
                if all {
                    listener.baseline = listener.state.counters.totals();
                }
            }
            if all {
                frontend.baseline = frontend.state.counters.totals();
            }
        }
        for backend in &mut self.backends {
            backend.clear_maxima();
            if all {
                backend.baseline = backend.state.counters.totals();
                backend.went_down = 0;
                backend.downtime.clear(now);
            }
            for server in &mut backend.servers {
                server.clear_maxima();
                if all {
                    server.baseline = server.state.counters.totals();
                    (server.failed_checks, server.went_down) = (0, 0);
                    server.downtime.clear(now);
                }
            }
        }
        self.process.clear_maxima();
    }
}

/// The server with another address, if that changes anything, and HAProxy's sentence about it.
fn with_address(
    server: &Server,
    address: std::net::IpAddr,
    port: Option<u16>,
) -> Result<(Option<Server>, String), CommandError> {
    let ServerAddress::Tcp(old) = server.address else { return Err(CommandError::NoAddressToChange) };
    let new = SocketAddr::new(address, port.unwrap_or(old.port()));
    let mut told = if new.ip() == old.ip() {
        "no need to change the addr".to_owned()
    } else {
        format!("IP changed from '{}' to '{}'", old.ip(), new.ip())
    };
    match port {
        None => {}
        Some(_) if new.port() == old.port() => told.push_str(", no need to change the port"),
        Some(port) => told.push_str(&format!(", port changed from '{}' to '{port}'", old.port())),
    }
    told.push(' ');
    told.push_str(BY);
    if new == old {
        return Ok((None, told));
    }
    let check = server.check.as_ref().map(|check| Arc::new(following(check, old, new)));
    Ok((Some(Server { address: ServerAddress::Tcp(new), check, hostname: None, ..Server::clone(server) }), told))
}

/// A check follows its server, except for what it was given of its own (`addr`, `port`).
fn following(check: &Check, old: SocketAddr, new: SocketAddr) -> Check {
    let target = match &check.target {
        ServerAddress::Tcp(target) => {
            let ip = if target.ip() == old.ip() { new.ip() } else { target.ip() };
            let port = if target.port() == old.port() { new.port() } else { target.port() };
            ServerAddress::Tcp(SocketAddr::new(ip, port))
        }
        ServerAddress::Unix(path) => ServerAddress::Unix(path.clone()),
    };
    Check { target, ..check.clone() }
}
