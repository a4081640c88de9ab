//! What does control know of each proxy and server? Plain structs with one writer, the controller; reports on the same
//! thread read them. Counters live in `state`; here is what is derived from them, and what workers never need.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use super::history::{KEPT_CHECKS, KEPT_TRANSITIONS, PastCheck, PastTransition, Ring};
use super::sampler::{Rate, TimeAverages};
use crate::health::{Change, Health, Status};
use crate::model::{BackendId, FrontendId, ServerId};
use crate::state::counters::{BackendTotals, FrontendTotals, Gauge};
use crate::state::events::Process;
use crate::state::snapshot::Snapshot;
use crate::state::{BackendState, FrontendState, ListenerState, ServerState};

/// Everything control keeps, indexed as the snapshot in force is.
#[derive(Debug)]
pub(crate) struct Watch {
    pub snapshot: Arc<Snapshot>,
    /// Indexed by [`FrontendId`].
    pub frontends: Vec<FrontendWatch>,
    /// Indexed by [`BackendId`].
    pub backends: Vec<BackendWatch>,
    pub process: ProcessWatch,
    pub last_reload: Option<ReloadReport>,
    /// `maxconn` as configured: what `set maxconn global` may go up to.
    pub configured_maxconn: u32,
}

/// What came of the last attempt to read the configuration again.
#[derive(Debug, Clone)]
pub(crate) struct ReloadReport {
    pub at: Instant,
    pub succeeded: bool,
    /// The errors when it failed, one line when it went well.
    pub message: String,
}

/// Rates of the whole process.
#[derive(Debug, Default)]
pub(crate) struct ProcessWatch {
    pub connections: Rate,
    pub requests: Rate,
    pub sessions: Rate,
    pub tls: Rate,
    pub bytes_out: Rate,
}

#[derive(Debug)]
pub(crate) struct FrontendWatch {
    pub state: Arc<FrontendState>,
    /// Those listened on, in the order of the configuration.
    pub listeners: Vec<ListenerWatch>,
    pub serving: Serving,
    /// `set maxconn frontend`.
    pub maxconn: Option<u32>,
    pub sessions: Rate,
    pub requests: Rate,
    pub connections: Rate,
    /// Counted before the last `clear counters all`.
    pub baseline: FrontendTotals,
}

impl ProcessWatch {
    pub(super) fn clear_maxima(&mut self) {
        [&mut self.connections, &mut self.requests, &mut self.sessions, &mut self.tls, &mut self.bytes_out]
            .into_iter()
            .for_each(Rate::reset_max);
    }
}

/// Does a frontend take connections? (`disable frontend`, `shutdown frontend`)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Serving {
    Open,
    /// Until `enable frontend`.
    Disabled,
    /// Until a reload.
    ShutDown,
}

#[derive(Debug)]
pub(crate) struct ListenerWatch {
    /// Index in the frontend's listeners.
    pub index: usize,
    pub state: Arc<ListenerState>,
    pub sessions: Rate,
    pub connections: Rate,
    pub baseline: FrontendTotals,
}

#[derive(Debug)]
pub(crate) struct BackendWatch {
    pub state: Arc<BackendState>,
    /// Indexed by [`ServerId`].
    pub servers: Vec<ServerWatch>,
    /// Whether it had a usable server at the last look; `None` before the first.
    pub had_server: Option<bool>,
    /// When it last went between having a usable server and having none.
    pub changed_at: Instant,
    /// Times it lost its last usable server (`chkdown`).
    pub went_down: u64,
    pub downtime: Downtime,
    pub sessions: Rate,
    pub requests: Rate,
    pub averages: TimeAverages,
    pub baseline: BackendTotals,
}

#[derive(Debug)]
pub(crate) struct ServerWatch {
    pub state: Arc<ServerState>,
    pub health: Health,
    /// In force now, and as configured.
    pub weight: u16,
    pub initial_weight: u16,
    /// A check is on its way; its task says so.
    pub checking: Rc<Cell<bool>>,
    pub checks: Ring<PastCheck>,
    pub transitions: Ring<PastTransition>,
    /// Failed checks while up (`chkfail`), and times it went down (`chkdown`).
    pub failed_checks: u64,
    pub went_down: u64,
    pub changed_at: Instant,
    pub downtime: Downtime,
    pub sessions: Rate,
    pub requests: Rate,
    pub averages: TimeAverages,
    pub baseline: BackendTotals,
}

/// Time spent down, in past stretches and in the one that lasts.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Downtime {
    past: Duration,
    since: Option<Instant>,
}

impl Downtime {
    pub fn set_down(&mut self, down: bool, now: Instant) {
        match (down, self.since) {
            (true, None) => self.since = Some(now),
            (false, Some(since)) => {
                self.past += now.saturating_duration_since(since);
                self.since = None;
            }
            _ => {}
        }
    }

    pub fn total(&self, now: Instant) -> Duration {
        self.past + self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    pub fn clear(&mut self, now: Instant) {
        self.past = Duration::ZERO;
        self.since = self.since.map(|_| now);
    }
}

impl FrontendWatch {
    pub fn new(state: Arc<FrontendState>) -> Self {
        FrontendWatch {
            state,
            listeners: Vec::new(),
            serving: Serving::Open,
            maxconn: None,
            sessions: Rate::default(),
            requests: Rate::default(),
            connections: Rate::default(),
            baseline: FrontendTotals::default(),
        }
    }

    /// Since the start or `clear counters all`.
    pub fn totals(&self) -> FrontendTotals {
        self.state.counters.totals().since(&self.baseline)
    }

    /// What workers are to go by in [`FrontendState::maxconn_override`]: 0 takes nobody.
    pub fn publish_limit(&self) {
        let limit = match self.serving {
            Serving::Open => self.maxconn.unwrap_or(u32::MAX),
            Serving::Disabled | Serving::ShutDown => 0,
        };
        self.state.maxconn_override.store(limit, Relaxed);
    }
}

impl ListenerWatch {
    pub fn new(index: usize, state: Arc<ListenerState>) -> Self {
        ListenerWatch {
            index,
            state,
            sessions: Rate::default(),
            connections: Rate::default(),
            baseline: FrontendTotals::default(),
        }
    }

    pub fn totals(&self) -> FrontendTotals {
        self.state.counters.totals().since(&self.baseline)
    }
}

impl BackendWatch {
    pub fn new(state: Arc<BackendState>, now: Instant) -> Self {
        BackendWatch {
            state,
            servers: Vec::new(),
            had_server: None,
            changed_at: now,
            went_down: 0,
            downtime: Downtime::default(),
            sessions: Rate::default(),
            requests: Rate::default(),
            averages: TimeAverages::default(),
            baseline: BackendTotals::default(),
        }
    }

    pub fn totals(&self) -> BackendTotals {
        self.state.counters.totals().since(&self.baseline)
    }

    pub(super) fn clear_maxima(&mut self) {
        [&self.state.sessions, &self.state.queued].into_iter().for_each(Gauge::reset_max);
        self.state.peaks.reset();
        [&mut self.sessions, &mut self.requests].into_iter().for_each(Rate::reset_max);
    }

    /// Some server may be picked. A backend without any server is up too: HAProxy says so.
    pub fn is_up(&self) -> bool {
        self.servers.is_empty() || self.servers.iter().any(ServerWatch::is_usable)
    }
}

impl ServerWatch {
    pub fn new(state: Arc<ServerState>, health: Health, weight: u16, now: Instant) -> Self {
        ServerWatch {
            state,
            health,
            weight,
            initial_weight: weight,
            checking: Rc::default(),
            checks: Ring::new(KEPT_CHECKS),
            transitions: Ring::new(KEPT_TRANSITIONS),
            failed_checks: 0,
            went_down: 0,
            changed_at: now,
            downtime: Downtime::default(),
            sessions: Rate::default(),
            requests: Rate::default(),
            averages: TimeAverages::default(),
            baseline: BackendTotals::default(),
        }
    }

    /// Still up, but not every check of late has passed.
    pub fn is_failing(&self) -> bool {
        let score = self.health.score();
        score.is_up() && !score.is_full()
    }

    pub fn status(&self) -> Status {
        self.health.status()
    }

    pub fn totals(&self) -> BackendTotals {
        self.state.counters.totals().since(&self.baseline)
    }

    pub(super) fn clear_maxima(&mut self) {
        [&self.state.sessions, &self.state.queued, &self.state.idle].into_iter().for_each(Gauge::reset_max);
        self.state.peaks.reset();
        [&mut self.sessions, &mut self.requests].into_iter().for_each(Rate::reset_max);
    }

    /// Counts a change of status that has just happened.
    pub(super) fn mark_changed(&mut self, change: Change, now: Instant) {
        if matches!(change, Change::WentDown | Change::EnteredMaint { was_up: true, .. }) {
            self.went_down += 1;
        }
        self.changed_at = now;
        self.downtime.set_down(matches!(self.status(), Status::Down { .. } | Status::Maint), now);
    }

    /// It can be picked: healthy, ready and of some weight.
    pub fn is_usable(&self) -> bool {
        self.health.takes_traffic() && self.weight > 0
    }
}

impl Watch {
    pub fn backend(&self, id: BackendId) -> &BackendWatch {
        &self.backends[id.index()]
    }

    pub fn server(&self, backend: BackendId, server: ServerId) -> &ServerWatch {
        &self.backends[backend.index()].servers[server.index()]
    }

    /// Reads all totals and derives the rates from their growth; once a second.
    pub(super) fn sample(&mut self, process: &Process, elapsed: Duration) {
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let mut all = FrontendTotals::default();
        for frontend in &mut self.frontends {
            let totals = frontend.state.counters.totals();
            frontend.sessions.sample(totals.sessions, elapsed_ms);
            frontend.requests.sample(totals.requests, elapsed_ms);
            frontend.connections.sample(totals.connections, elapsed_ms);
            all.sessions += totals.sessions;
            all.tls_handshakes += totals.tls_handshakes;
            all.bytes_out += totals.bytes_out;
            for listener in &mut frontend.listeners {
                let totals = listener.state.counters.totals();
                listener.sessions.sample(totals.sessions, elapsed_ms);
                listener.connections.sample(totals.connections, elapsed_ms);
            }
        }
        for backend in &mut self.backends {
            let totals = backend.state.counters.totals();
            backend.sessions.sample(totals.sessions, elapsed_ms);
            backend.requests.sample(totals.requests, elapsed_ms);
            backend.averages.sample(&totals);
            for server in &mut backend.servers {
                let totals = server.state.counters.totals();
                server.sessions.sample(totals.sessions, elapsed_ms);
                server.requests.sample(totals.requests, elapsed_ms);
                server.averages.sample(&totals);
            }
        }
        self.process.connections.sample(process.total_connections.load(Relaxed), elapsed_ms);
        self.process.requests.sample(process.counters.requests(), elapsed_ms);
        self.process.sessions.sample(all.sessions, elapsed_ms);
        self.process.tls.sample(all.tls_handshakes, elapsed_ms);
        self.process.bytes_out.sample(all.bytes_out, elapsed_ms);
    }

    /// By name, as an operator writes it.
    pub fn find_backend(&self, name: &str) -> Option<BackendId> {
        self.snapshot.config.backends.iter().find(|backend| &*backend.name == name).map(|backend| backend.id)
    }

    pub fn find_server(&self, backend: BackendId, name: &str) -> Option<ServerId> {
        let servers = &self.snapshot.backend(backend).config.servers;
        servers.iter().find(|server| &*server.name == name).map(|server| server.id)
    }

    pub fn find_frontend(&self, name: &str) -> Option<FrontendId> {
        self.snapshot.config.frontends.iter().find(|frontend| &*frontend.name == name).map(|frontend| frontend.id)
    }
}

/// The wall clock's time of a moment of the process clock.
pub(crate) fn wall_clock(at: Instant, started: Instant, started_at: SystemTime) -> SystemTime {
    match at.checked_duration_since(started) {
        Some(after) => started_at + after,
        None => started_at.checked_sub(started.duration_since(at)).unwrap_or(started_at),
    }
}
