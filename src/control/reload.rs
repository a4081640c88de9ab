//! How does a configuration come into force, at the start and later? All that can fail comes before anything changes.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, watch};

use super::admin::socket::AdminSockets;
use super::certificates::CertificateWatch;
use super::checks::{CheckTasks, Start};
use super::controller::{Controller, EVENTS, Event, ServiceState};
use super::desk::Desk;
use super::handshakes::Handshakes;
use super::history::Cause;
use super::transitions::announce;
use super::watch::{ReloadReport, Watch};
use crate::model::frontend::ListenAddress;
use crate::model::log::Level;
use crate::model::{Config, Name};
use crate::state::dial::{self, NoRights};
use crate::state::events::{EVENT_QUEUE, Phase, Process};
use crate::state::listeners::{BindError, BoundSocket, take_places};
use crate::state::logs::SinkProblem;
use crate::state::snapshot::{BoundListener, ListenerInForce};
use crate::state::tls::{NoRandomness, TlsShared};
use crate::state::{Shared, Snapshot};

/// Reads the configuration again. The error is the text of all diagnostics. Runs on a thread of its own.
pub(crate) type Source = Arc<dyn Fn() -> Result<ReadConfig, String> + Send + Sync>;

/// A configuration that may be run.
pub(crate) struct ReadConfig {
    pub config: Config,
    /// What about it is probably not what was meant, a line each.
    pub warnings: Vec<String>,
}

/// Told about the life of the service, for a service manager.
pub(crate) type OnState = Box<dyn FnMut(ServiceState)>;

/// Why the proxy did not start.
#[derive(Debug)]
pub(crate) enum BootError {
    /// Addresses that cannot be listened on, all of them.
    Listen(Vec<ListenError>),
    /// Addresses of `stats socket` that cannot be listened on, all of them.
    RuntimeSockets(Vec<BindError>),
    /// Unix sockets that could not be put where their clients look for them.
    Places(Vec<BindError>),
    Tls(NoRandomness),
    /// The configuration asks for more than this process may do.
    Rights(NoRights),
}

/// A `bind` that cannot be listened on.
#[derive(Debug)]
pub(crate) struct ListenError {
    pub frontend: Name,
    pub listener: Name,
    pub error: BindError,
}

/// Binds, compiles and publishes the first configuration. Workers may be started with what it returns; then the
/// controller's `run` has the last word.
///
/// # Errors
/// [`BootError`]: nothing stays bound.
pub(crate) fn boot(config: Config, source: Source, on_state: OnState) -> Result<(Arc<Shared>, Controller), BootError> {
    let workers = config.global.threads.get();
    let tls = TlsShared::new(config.global.sessions, Instant::now()).map_err(BootError::Tls)?;
    dial::check_rights(&config).map_err(BootError::Rights)?;
    let mut sockets = Sockets { last_id: 0, workers };
    let bound = sockets.bind_all(&config, &[]).map_err(BootError::Listen)?;
    let mut admin = AdminSockets::default();
    let runtime_sockets = admin.bind(&config.global).map_err(BootError::RuntimeSockets)?;
    take_places(sockets_of(&bound).chain(runtime_sockets.sockets())).map_err(BootError::Places)?;
    admin.adopt(runtime_sockets);
    let now = Instant::now();
    let snapshot = Arc::new(Snapshot::build(config, None, bound, &tls, workers));
    tell_log_problems(&snapshot);
    let mut watch = Watch::of(Arc::clone(&snapshot), now);
    watch.publish_all_rotations(now);
    let (worker_events, from_workers) = mpsc::channel(EVENT_QUEUE);
    let (events, incoming) = mpsc::channel(EVENTS);
    let shared = Arc::new(Shared {
        phase: watch::Sender::new(Phase::Running { generation: snapshot.generation }),
        snapshot: ArcSwap::new(snapshot),
        events: worker_events,
        dropped_events: AtomicU64::new(0),
        process: Process::new(workers),
    });
    let controller = Controller {
        shared: Arc::clone(&shared),
        watch,
        checks: CheckTasks::new(events.clone(), seed(), shared.process.panics.clone()),
        sockets,
        tls,
        certificates: CertificateWatch::new(now),
        source,
        on_state,
        events,
        incoming,
        from_workers,
        reload: Reload::Idle,
        ending: None,
        sampled_at: now,
        desk: Desk::new(rustls::crypto::aws_lc_rs::default_provider().secure_random, workers, now),
        admin,
        handshakes: Handshakes::default(),
    };
    Ok((shared, controller))
}

/// A log target that cannot be opened stops nothing, but whoever started or reloaded should know.
fn tell_log_problems(snapshot: &Snapshot) {
    for SinkProblem { address, error } in snapshot.log_problems() {
        tracing::warn!("log target {address}: {error}; its lines are dropped until it works");
    }
}

/// Is the configuration being read again?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reload {
    Idle,
    Running,
    /// Asked for again while it ran: once more, since the file may have changed after it was read.
    RunningAndAgain,
}

impl Controller {
    /// Starts to read the configuration again, aside; [`Event::Loaded`] brings what came of it.
    pub(super) fn begin_reload(&mut self, _now: Instant) {
        if self.ending.is_some() {
            return;
        }
        if self.reload != Reload::Idle {
            self.reload = Reload::RunningAndAgain;
            return;
        }
        self.reload = Reload::Running;
        (self.on_state)(ServiceState::Reloading);
        tracing::info!("reading the configuration again");
        let source = Arc::clone(&self.source);
        let events = self.events.clone();
        tokio::task::spawn_local(async move {
            let loaded = tokio::task::spawn_blocking(move || source()).await;
            let loaded = loaded.unwrap_or_else(|_| Err("reading the configuration panicked".to_owned()));
            // Nobody left to tell means the process is ending.
            let _ = events.send(Event::Loaded(Box::new(loaded))).await;
        });
    }

    /// Puts what was read in force, or says why not.
    pub(super) fn end_reload(&mut self, loaded: Result<ReadConfig, String>, now: Instant) {
        let again = self.reload == Reload::RunningAndAgain;
        self.reload = Reload::Idle;
        if self.ending.is_some() {
            return; // too late: the process is going away
        }
        let adopted = loaded.and_then(|ReadConfig { config, warnings }| Ok((self.adopt(config, now)?, warnings)));
        let report = match adopted {
            Ok((message, warnings)) => {
                for warning in &warnings {
                    self.log_of_process(Level::Warning, warning);
                }
                ReloadReport { at: now, succeeded: true, message }
            }
            Err(message) => ReloadReport { at: now, succeeded: false, message },
        };
        if report.succeeded {
            self.log_of_process(Level::Notice, &report.message);
        } else {
            self.tell_failed_reload(&report.message);
        }
        self.watch.last_reload = Some(report);
        self.tell_ready();
        if again {
            self.begin_reload(now);
        }
    }

    /// The swap. `Err` leaves everything as it was.
    pub(super) fn adopt(&mut self, config: Config, now: Instant) -> Result<String, String> {
        dial::check_rights(&config).map_err(|error| error.to_string())?;
        let old = Arc::clone(&self.watch.snapshot);
        let bound = self.sockets.bind_all(&config, &old.listeners).map_err(|errors| lines(&errors))?;
        let runtime_sockets = self.admin.bind(&config.global).map_err(|errors| of_runtime_sockets(&errors))?;
        take_places(sockets_of(&bound).chain(runtime_sockets.sockets())).map_err(|errors| lines(&errors))?;
        let threads = config.global.threads.get();
        self.tls.follow(config.global.sessions);
        let workers = self.sockets.workers;
        let snapshot = Arc::new(Snapshot::build(config, Some(&old), bound, &self.tls, workers));
        tell_log_problems(&snapshot);
        let changed = self.watch.turn_to(Arc::clone(&snapshot), now);
        let emptied = self.watch.publish_all_rotations(now);
        self.publish_snapshot();
        self.checks.fit(&self.watch, Start::Spread);
        let handle = self.handle();
        self.admin.adopt(runtime_sockets);
        self.admin.serve(&handle, &self.shared.process.panics);
        for (backend, server, change) in changed {
            self.watch.tell_change(backend, server, change, &Cause::Config);
        }
        for backend in emptied {
            self.watch.tell_no_server_left(backend);
        }
        let mut message = format!("configuration reloaded, generation {}", snapshot.generation);
        if threads != workers {
            message.push_str(&format!("; nbthread {threads} takes effect at the next start, {workers} stay"));
        }
        Ok(message)
    }

    /// Hands the snapshot to the workers: those that look see it at once, the wake-up opens and closes listeners.
    pub(super) fn publish_snapshot(&mut self) {
        let snapshot = Arc::clone(&self.watch.snapshot);
        let generation = snapshot.generation;
        self.shared.snapshot.store(snapshot);
        if self.ending.is_none() {
            self.shared.phase.send_replace(Phase::Running { generation });
        }
    }

    /// The whole story goes to whoever watches the process; a log line has room for one error each.
    fn tell_failed_reload(&self, message: &str) {
        const KEEPS: &str = "reload failed, the old configuration keeps running";
        let errors: Vec<_> = message.lines().filter(|line| line.contains(" error: ")).collect();
        let told = if errors.is_empty() { message.lines().take(1).collect() } else { errors };
        for error in told {
            self.watch.snapshot.logs.send(Level::Err, format!("{KEEPS}: {error}").as_bytes());
        }
        announce(Level::Err, &format!("cannot reload:\n{}", message.trim_end()));
        announce(Level::Err, KEEPS);
    }

    /// Tells the global log targets, and whoever watches the process.
    pub(super) fn log_of_process(&self, level: Level, text: &str) {
        self.watch.snapshot.logs.send(level, text.as_bytes());
        announce(level, text);
    }
}

/// Makes listening sockets, each once.
#[derive(Debug)]
pub(super) struct Sockets {
    last_id: u64,
    workers: usize,
}

impl Sockets {
    /// A socket for each `bind`: one that listens already where there is one, else a new one. All errors at once;
    /// with any, the new ones are closed again.
    fn bind_all(
        &mut self,
        config: &Config,
        before: &[ListenerInForce],
    ) -> Result<Vec<BoundListener>, Vec<ListenError>> {
        let mut open: HashMap<&ListenAddress, Vec<Arc<BoundSocket>>> = HashMap::new();
        for listener in before.iter().rev() {
            open.entry(&listener.socket.address).or_default().push(Arc::clone(&listener.socket));
        }
        let is_ours = |address: &ListenAddress| match address {
            ListenAddress::Unix(wanted) => before.iter().any(
                |listener| matches!(&listener.socket.address, ListenAddress::Unix(old) if old.path == wanted.path),
            ),
            ListenAddress::Tcp { .. } => false,
        };
        let (mut bound, mut errors) = (Vec::new(), Vec::new());
        for frontend in config.frontends.iter().filter(|frontend| !frontend.disabled) {
            for (index, listener) in frontend.listeners.iter().enumerate() {
                let socket = match open.get_mut(&listener.address).and_then(Vec::pop) {
                    Some(socket) => Ok(socket),
                    None => {
                        self.last_id += 1;
                        let ours = is_ours(&listener.address);
                        BoundSocket::bind(self.last_id, &listener.address, frontend.backlog, self.workers, ours)
                            .map(Arc::new)
                    }
                };
                match socket {
                    Ok(socket) => bound.push(BoundListener { frontend: frontend.id, index, socket }),
                    Err(error) => errors.push(ListenError {
                        frontend: Arc::clone(&frontend.name),
                        listener: Arc::clone(&listener.name),
                        error,
                    }),
                }
            }
        }
        if errors.is_empty() { Ok(bound) } else { Err(errors) }
    }
}

fn sockets_of(listeners: &[BoundListener]) -> impl Iterator<Item = &BoundSocket> + Clone {
    listeners.iter().map(|listener| &*listener.socket)
}

fn lines<E: ToString>(errors: &[E]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn of_runtime_sockets(errors: &[BindError]) -> String {
    lines(&errors.iter().map(|error| format!("stats socket: {error}")).collect::<Vec<_>>())
}

/// Spreads checks differently in each process.
fn seed() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_nanos() as u64 ^ u64::from(std::process::id())
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "frontend `{}`, bind `{}`: {}", self.frontend, self.listener, self.error)
    }
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BootError::Listen(errors) => f.write_str(&lines(errors)),
            BootError::Places(errors) => f.write_str(&lines(errors)),
            BootError::RuntimeSockets(errors) => f.write_str(&of_runtime_sockets(errors)),
            BootError::Rights(error) => error.fmt(f),
            BootError::Tls(error) => write!(f, "cannot make TLS session keys: {error}"),
        }
    }
}

impl std::error::Error for BootError {}
