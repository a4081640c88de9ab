//! Who decides while the proxy runs? One loop over one `enum Event`: every cause of change in one list, handled one
//! after the other on one thread.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::LocalOptions;
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use super::admin::socket::AdminSockets;
use super::certificates::{self, CertificateWatch};
use super::checks::{CheckTasks, FinishedCheck, Start};
use super::desk::Desk;
use super::handshakes::Handshakes;
use super::history::{Cause, PastCheck};
use super::reload::{OnState, ReadConfig, Reload, Sockets, Source};
use super::signals::{self, Asked, Orders};
use super::transitions::announce;
use super::watch::Watch;
use crate::health::{Input, Verdict};
use crate::model::global::AccessLevel;
use crate::model::log::Level;
use crate::state::Shared;
use crate::state::events::{self, Phase};
use crate::state::tls::TlsShared;

/// Events of the control thread's own tasks that may wait; senders wait when it is full.
pub(super) const EVENTS: usize = 4096;

/// How often totals are read for rates.
const SAMPLING: Duration = Duration::from_secs(1);

/// How often an ending process looks whether its last connection has gone.
const ENDING_LOOK: Duration = Duration::from_millis(50);

/// How long connections may go on after SIGTERM when `hard-stop-after` says nothing.
pub(crate) const TERMINATE_DEADLINE: Duration = Duration::from_secs(30);

/// Everything that can change something, or ask.
pub(crate) enum Event {
    Checked(FinishedCheck),
    /// A line of the runtime socket.
    Line(LineRequest),
    /// A stats page asked for, or something a worker noticed.
    FromWorker(events::Event),
    /// A signal came.
    Asked(Asked),
    /// The configuration was read again; the error is the text of its diagnostics.
    Loaded(Box<Result<ReadConfig, String>>),
    /// Certificates on disk were looked at, or read.
    Certificates(certificates::News),
    /// A second went by, or a moment while ending.
    Tick,
}

/// One line of a runtime socket, to be answered with text.
pub(crate) struct LineRequest {
    pub line: String,
    pub level: AccessLevel,
    pub reply: oneshot::Sender<String>,
}

/// What a service manager wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ServiceState {
    Ready,
    Reloading,
    Stopping,
    /// One line for people.
    Status(String),
    /// The control loop turns; said about once a second.
    Alive,
}

/// Why [`Controller::run`] came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Every connection ended by itself.
    Finished,
    /// The deadline came first; what was left is cut.
    DeadlinePassed,
    /// Told to stop at once.
    Stopped,
    /// A worker failed.
    Broken,
}

/// The controller has come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended;

/// How tasks of the control thread reach the controller.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    events: mpsc::Sender<Event>,
}

impl Handle {
    /// Asks for what a signal asks for. Not from within the control thread.
    ///
    /// # Errors
    /// The process is ending: nobody listens any more.
    pub fn order(&self, asked: Asked) -> Result<(), Ended> {
        self.events.blocking_send(Event::Asked(asked)).map_err(|_| Ended)
    }

    /// Puts questions there.
    #[cfg(any(test, fuzzing))]
    pub(super) fn to(events: mpsc::Sender<Event>) -> Self {
        Handle { events }
    }

    /// Answers a line of the runtime socket. `None` when the process is ending.
    pub async fn ask(&self, line: String, level: AccessLevel) -> Option<String> {
        let (reply, answer) = oneshot::channel();
        self.events.send(Event::Line(LineRequest { line, level, reply })).await.ok()?;
        answer.await.ok()
    }
}

pub(crate) struct Controller {
    pub(super) shared: Arc<Shared>,
    pub(super) watch: Watch,
    pub(super) checks: CheckTasks,
    pub(super) sockets: Sockets,
    pub(super) tls: TlsShared,
    pub(super) certificates: CertificateWatch,
    pub(super) source: Source,
    pub(super) on_state: OnState,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) incoming: mpsc::Receiver<Event>,
    pub(super) from_workers: mpsc::Receiver<events::Event>,
    pub(super) reload: Reload,
    pub(super) ending: Option<Ending>,
    pub(super) sampled_at: Instant,
    pub(super) desk: Desk,
    pub(super) admin: AdminSockets,
    pub(super) handshakes: Handshakes,
}

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ending {
    pub deadline: Option<Instant>,
    /// The last look found no connection; a second such look ends it, for one may just be being accepted.
    pub idle_before: bool,
    /// SIGTERM came; a second one stops at once.
    pub terminated: bool,
    pub exit: Option<Exit>,
}

impl Controller {
    /// What reports read.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// For tasks that ask.
    pub fn handle(&self) -> Handle {
        Handle { events: self.events.clone() }
    }

    /// Runs until the process is to end. Workers are told to stop before it returns; join them then.
    ///
    /// # Errors
    /// The kernel refused what the control thread itself needs: an event queue, signal handlers.
    pub fn run(mut self, orders: Orders) -> io::Result<Exit> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        let exit = runtime.block_on(self.serve(orders));
        self.shared.phase.send_replace(Phase::Stopping);
        // A reload that hangs in a name lookup must not keep the process alive.
        runtime.shutdown_background();
        exit
    }

    async fn serve(&mut self, orders: Orders) -> io::Result<Exit> {
        if orders == Orders::BySignal {
            signals::listen(&self.events)?;
        }
        let handle = self.handle();
        self.admin.serve(&handle, &self.shared.process.panics);
        self.checks.fit(&self.watch, Start::Spread);
        self.tell_ready();
        let mut second = tokio::time::interval(SAMPLING);
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look = tokio::time::interval(ENDING_LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let event = tokio::select! {
                Some(event) = self.incoming.recv() => event,
                Some(event) = self.from_workers.recv() => Event::FromWorker(event),
                _ = second.tick() => Event::Tick,
                _ = look.tick(), if self.ending.is_some() => Event::Tick,
            };
            self.take(event, Instant::now());
            if let Some(exit) = self.ending.and_then(|ending| ending.exit) {
                self.checks.stop();
                return Ok(exit);
            }
        }
    }

    /// Takes one event in.
    pub(super) fn take(&mut self, event: Event, now: Instant) {
        match event {
            Event::Checked(finished) => self.take_result(finished, now),
            Event::Line(request) => self.contain(|controller| controller.answer_line(request, now)),
            Event::FromWorker(events::Event::Page(request)) => {
                self.contain(|controller| controller.answer_page(request, now));
            }
            Event::FromWorker(events::Event::WorkerFailed { worker }) => self.end_broken(worker),
            Event::FromWorker(events::Event::ConnectFailed { backend, server, handshake }) => {
                let told = handshake.and_then(|why| self.handshakes.failed(&backend, &server, why, now));
                if let Some(told) = told {
                    self.log_of_process(Level::Warning, &told);
                }
                self.checks.suspect(backend, server, now);
            }
            Event::Asked(Asked::Reload) => self.begin_reload(now),
            Event::Asked(asked) => self.end(asked, now),
            Event::Loaded(loaded) => self.end_reload(*loaded, now),
            Event::Certificates(news) => self.take_certificates(news, now),
            Event::Tick => self.tick(now),
        }
    }

    fn take_result(&mut self, finished: FinishedCheck, now: Instant) {
        let Some((backend, id)) = self.checks.place(finished.task) else { return };
        let Some(check) = self.watch.snapshot.backend(backend).server(id).config.check.clone() else { return };
        let result = finished.result;
        let verdict = if result.outcome.passed() { Verdict::Passed } else { Verdict::Failed };
        let server = &mut self.watch.backends[backend.index()].servers[id.index()];
        server.checks.push(PastCheck { at: now, result: result.clone() });
        if result.is_own_shortage() {
            tracing::warn!("cannot check {}/{}: {}", server.state.backend, server.state.name, result.info);
        } else {
            if verdict == Verdict::Failed && server.health.is_up() {
                server.failed_checks += 1;
            }
            self.watch.apply(backend, id, Input::Checked(verdict), Cause::Check(result), now);
        }
        let spread = self.watch.snapshot.config.global.spread_checks;
        let next = self.checks.schedule_next(finished.task, &check, spread, self.watch.server(backend, id));
        // A task that was ended meanwhile needs no answer.
        let _ = finished.next.send(next);
    }

    fn tick(&mut self, now: Instant) {
        if now.saturating_duration_since(self.sampled_at) >= SAMPLING / 2 {
            let elapsed = now.saturating_duration_since(self.sampled_at);
            self.sampled_at = now;
            self.watch.sample(&self.shared.process, elapsed);
            (self.on_state)(ServiceState::Alive);
            self.tick_desk(now);
            self.tls.rotate(now);
            self.tick_certificates(now);
        }
        let connections = self.shared.process.connections.now();
        let Some(ending) = &mut self.ending else { return };
        if ending.deadline.is_some_and(|deadline| deadline <= now) {
            ending.exit = Some(Exit::DeadlinePassed);
        } else if connections > 0 {
            ending.idle_before = false;
        } else if ending.idle_before {
            ending.exit = Some(Exit::Finished);
        } else {
            ending.idle_before = true;
        }
    }

    /// Answers a question. A panic costs its asker the answer and nobody else anything; what decides about traffic is not
    /// contained, for health that silently stands still is worse than an end that is seen.
    fn contain(&mut self, answer: impl FnOnce(&mut Self)) {
        let witness = self.shared.process.panics.witness();
        let answered = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let _witness = witness;
            answer(self);
        }));
        if answered.is_err() {
            tracing::error!("a question could not be answered");
        }
    }

    /// Listeners that nobody serves would swallow connections: whoever supervises us starts a whole process instead.
    fn end_broken(&mut self, worker: usize) {
        let text = format!("worker {worker} has failed, the process ends");
        self.watch.snapshot.logs.send(Level::Emerg, text.as_bytes());
        announce(Level::Emerg, &text);
        let exit = Some(Exit::Broken);
        self.ending = Some(Ending { deadline: None, idle_before: false, terminated: true, exit });
        (self.on_state)(ServiceState::Stopping);
    }

    /// A signal asked for the end.
    fn end(&mut self, asked: Asked, now: Instant) {
        let hard_stop = self.watch.snapshot.config.global.hard_stop_after;
        let patience = match asked {
            Asked::Reload => return,
            Asked::SoftStop => hard_stop,
            Asked::Terminate => Some(hard_stop.unwrap_or(TERMINATE_DEADLINE)),
            Asked::Stop => Some(Duration::ZERO),
        };
        let deadline = patience.map(|patience| now + patience);
        let terminated = asked == Asked::Terminate;
        let again = terminated && self.ending.is_some_and(|ending| ending.terminated);
        let exit = (asked == Asked::Stop || again).then_some(Exit::Stopped);
        self.ending = Some(Ending { deadline, idle_before: false, terminated, exit });
        (self.on_state)(ServiceState::Stopping);
        self.admin.give_back_names();
        let connections = self.shared.process.connections.now();
        if exit.is_some() {
            tracing::info!("stopping, {connections} connections are cut");
            self.shared.phase.send_replace(Phase::Stopping);
        } else {
            match patience {
                Some(patience) => {
                    tracing::info!("finishing {connections} connections, for {} s at most", patience.as_secs());
                }
                None => tracing::info!("finishing {connections} connections"),
            }
            self.shared.phase.send_replace(Phase::Draining { until: deadline });
        }
    }

    pub(super) fn tell_ready(&mut self) {
        let status = self.status_line();
        (self.on_state)(ServiceState::Ready);
        (self.on_state)(ServiceState::Status(status));
    }

    /// For `systemctl status`.
    fn status_line(&self) -> String {
        let servers = self.watch.backends.iter().flat_map(|backend| &backend.servers);
        let (usable, all) =
            servers.fold((0, 0), |(usable, all), server| (usable + usize::from(server.is_usable()), all + 1));
        format!("generation {}: {usable} of {all} servers usable", self.watch.snapshot.generation)
    }
}
