//! The controller without sockets to servers: results, orders and configurations go in, what workers and logs get is
//! looked at.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::checks::{FinishedCheck, Start};
use super::command::{Answer, Command, CommandError, NewWeight, ServerName};
use super::controller::{Controller, Event, Exit, LineRequest, ServiceState};
use super::reload::{ReadConfig, boot};
use super::signals::Asked;
use crate::health::{AdminState, ForcedHealth};
use crate::model::backend::{Role, ServerAddress};
use crate::model::check::Check;
use crate::model::global::AccessLevel;
use crate::model::log::Level;
use crate::model::testing::{backend, checked, config, frontend, server};
use crate::model::{Backend, Config, Server};
use crate::state::Snapshot;
use crate::state::events::Event as WorkerEvent;
use crate::state::events::Phase;
use crate::state::logs::LogSinks;
use crate::wire::check_dialog::{CheckPhase, CheckResult, Outcome};

/// A controller with its log lines and what it told the service manager.
struct Stage {
    controller: Controller,
    logs: Receiver<(Level, String)>,
    states: Rc<RefCell<Vec<ServiceState>>>,
    now: Instant,
    tasks: tokio::task::LocalSet,
    _guard: tokio::task::LocalEnterGuard,
}

impl Stage {
    /// One frontend and one backend `be` of these servers.
    fn of(servers: Vec<Server>) -> Self {
        Self::with(config(vec![frontend("web", &["127.0.0.1:0"])], vec![backend("be", servers)]))
    }

    fn with(config: Config) -> Self {
        let states = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&states);
        let never = Arc::new(|| Err("no source in this test".to_owned()));
        let (_, controller) = boot(config, never, Box::new(move |state| seen.borrow_mut().push(state))).unwrap();
        let tasks = tokio::task::LocalSet::new();
        let guard = tasks.enter();
        let (_, logs) = LogSinks::capture();
        let mut stage = Stage { controller, logs, states, now: Instant::now(), tasks, _guard: guard };
        stage.capture_logs();
        stage.controller.checks.fit(&stage.controller.watch, Start::Now);
        stage
    }

    /// Log lines of all proxies go to this test from now on.
    fn capture_logs(&mut self) {
        let (sinks, logs) = LogSinks::capture();
        let mut snapshot = Snapshot::clone(&self.controller.watch.snapshot);
        snapshot.logs = Arc::clone(&sinks);
        snapshot.frontends.iter_mut().for_each(|frontend| frontend.logs = Arc::clone(&sinks));
        snapshot.backends.iter_mut().for_each(|backend| backend.logs = Arc::clone(&sinks));
        self.controller.watch.snapshot = Arc::new(snapshot);
        self.controller.publish_snapshot();
        self.logs = logs;
    }

    fn order(&mut self, command: Command) -> Result<Answer, CommandError> {
        self.controller.execute(command, self.now)
    }

    /// A check of `be/<server>` ended. Returns when the next one is due.
    fn result(&mut self, server: &str, outcome: Outcome) -> Option<Duration> {
        let (next, mut due) = oneshot::channel();
        let task = self.controller.checks.task_of("be", server)?;
        let result = CheckResult {
            outcome,
            phase: CheckPhase::Connect,
            code: None,
            errno: None,
            info: if outcome.passed() { String::new() } else { "Connection refused".to_owned() },
            expected: None,
            got: None,
            duration: Duration::from_millis(3),
        };
        self.controller.take(Event::Checked(FinishedCheck { task, result, next }), self.now);
        due.try_recv().ok()
    }

    fn results(&mut self, server: &str, outcomes: &str) {
        for outcome in outcomes.chars() {
            self.result(server, if outcome == '.' { Outcome::L4Ok } else { Outcome::L4Connection });
        }
    }

    /// Names of the servers in the rotation workers see now, in turns.
    fn turns(&self) -> String {
        let snapshot = self.controller.shared.snapshot.load();
        let backend = &snapshot.backends[0];
        let rotation = backend.rotation.load();
        let names: Vec<_> = rotation.turns.iter().map(|id| &*backend.server(*id).config.name).collect();
        names.join(" ")
    }

    fn status(&self, server: &str) -> String {
        let watch = self.controller.watch();
        let backend = watch.find_backend("be").unwrap();
        watch.server(backend, watch.find_server(backend, server).unwrap()).status().to_string()
    }

    fn log_lines(&self) -> Vec<(Level, String)> {
        self.logs.try_iter().collect()
    }

    fn adopt(&mut self, backends: Vec<Backend>) -> Result<String, String> {
        self.controller.adopt(config(vec![frontend("web", &["127.0.0.1:0"])], backends), self.now)
    }
}

fn name(server: &str) -> ServerName {
    ServerName::parse(&format!("be/{server}")).unwrap()
}

fn backup(server: Server) -> Server {
    Server { role: Role::Backup, ..server }
}

fn state(server: &str, state: AdminState) -> Command {
    Command::SetState { server: name(server), state }
}

#[test]
fn a_failing_primary_hands_over_to_the_backup_and_takes_back() {
    let mut stage = Stage::of(vec![checked("master", "127.0.0.1:1"), backup(checked("slave", "127.0.0.1:2"))]);
    assert_eq!(stage.turns(), "master");
    stage.results("master", ".xxx");
    stage.results("slave", ".");
    assert_eq!(stage.turns(), "slave");
    let told = stage.log_lines();
    let expected = "Server be/master is DOWN, reason: Layer4 connection problem, info: \"Connection refused\", \
                    check duration: 3ms. 0 active and 1 backup servers left. Running on backup. 0 sessions active, 0 requeued, \
                    0 remaining in queue.";
    assert_eq!(told, [(Level::Alert, expected.to_owned())]);
    stage.results("master", "..");
    assert_eq!(stage.turns(), "master");
    assert_eq!(stage.log_lines().len(), 1);
}

#[test]
fn the_last_server_lost_is_an_emergency_told_once() {
    let mut stage = Stage::of(vec![checked("a", "127.0.0.1:1"), checked("b", "127.0.0.1:2")]);
    stage.results("a", "x");
    stage.results("b", "x");
    stage.results("b", "x");
    assert_eq!(stage.turns(), "");
    let told = stage.log_lines();
    assert_eq!(told.len(), 3);
    assert_eq!(told[2], (Level::Emerg, "backend be has no server available!".to_owned()));
    let watch = &stage.controller.watch().backends[0];
    assert_eq!((watch.went_down, watch.is_up()), (1, false));
    assert_eq!(watch.downtime.total(stage.now + Duration::from_secs(9)), Duration::from_secs(9));
}

#[test]
fn the_next_check_follows_the_score() {
    let mut fast = checked("a", "127.0.0.1:1");
    let mut check = fast.check.as_deref().unwrap().clone();
    check.fast_interval = Some(Duration::from_millis(100));
    check.down_interval = Some(Duration::from_secs(7));
    fast.check = Some(Arc::new(check));
    let mut stage = Stage::of(vec![fast]);
    assert_eq!(stage.result("a", Outcome::L4Ok), Some(Duration::from_secs(2)));
    assert_eq!(stage.result("a", Outcome::L4Timeout), Some(Duration::from_millis(100)));
    stage.results("a", "x");
    assert_eq!(stage.result("a", Outcome::L4Timeout), Some(Duration::from_secs(7)));
}

#[test]
fn a_server_that_clients_could_not_reach_is_checked_faster_until_its_fate_is_clear() {
    let mut stage = Stage::of(vec![checked("a", "127.0.0.1:1")]);
    let usual = Some(Duration::from_secs(2));
    stage.results("a", ".");
    let failed = WorkerEvent::ConnectFailed { backend: "be".into(), server: "a".into(), handshake: None };
    stage.controller.take(Event::FromWorker(failed), stage.now);
    let hurried = stage.result("a", Outcome::L4Connection).unwrap();
    assert!(hurried < Duration::from_secs(1), "{hurried:?}");
    assert_eq!(stage.status("a"), "UP 2/3", "a worker's word alone takes nobody down");
    assert_eq!(stage.result("a", Outcome::L4Ok), usual);
    assert_eq!(stage.result("a", Outcome::L4Connection), usual, "the suspicion is over");
}

#[test]
fn history_keeps_results_and_causes() {
    let mut stage = Stage::of(vec![checked("a", "127.0.0.1:1")]);
    stage.results("a", ".xxx");
    stage.results("a", &"x".repeat(200));
    let server = &stage.controller.watch().backends[0].servers[0];
    assert_eq!(server.checks.iter().len(), 100);
    assert_eq!((server.failed_checks, server.went_down), (3, 1));
    assert!(server.checks.iter().all(|check| check.result.outcome == Outcome::L4Connection));
    let causes: Vec<_> = server.transitions.iter().map(|transition| transition.status.to_string()).collect();
    assert_eq!(causes, ["DOWN"]);
}

#[test]
fn orders_change_the_rotation_at_once() {
    let mut stage = Stage::of(vec![checked("a", "127.0.0.1:1"), server("b", "127.0.0.1:2")]);
    stage.results("a", ".");
    assert_eq!(stage.turns(), "a b");
    stage.order(state("a", AdminState::Drain)).unwrap();
    assert_eq!((stage.turns().as_str(), stage.status("a").as_str()), ("b", "DRAIN"));
    stage.order(state("a", AdminState::Ready)).unwrap();
    assert_eq!(stage.turns(), "a b");
    stage.order(Command::SetWeight { server: name("b"), weight: NewWeight::Absolute(3) }).unwrap();
    assert_eq!(stage.turns(), "b a b b");
    stage.order(Command::SetWeight { server: name("b"), weight: NewWeight::Percent(0) }).unwrap();
    assert_eq!(stage.turns(), "a");
    stage.order(Command::SetHealth { server: name("a"), health: ForcedHealth::Stopping }).unwrap();
    assert_eq!((stage.turns().as_str(), stage.status("a").as_str()), ("", "NOLB"));
}

#[test]
fn maintenance_stops_the_checks_and_ready_starts_them_again() {
    let mut stage = Stage::of(vec![checked("a", "127.0.0.1:1")]);
    stage.results("a", ".");
    stage.order(state("a", AdminState::Maint)).unwrap();
    let server = Arc::clone(&stage.controller.watch().backends[0].servers[0].state);
    assert!(server.maintenance.load(Relaxed));
    assert_eq!(stage.controller.checks.len(), 0);
    stage.order(state("a", AdminState::Ready)).unwrap();
    assert!(!server.maintenance.load(Relaxed));
    assert_eq!((stage.controller.checks.len(), stage.status("a").as_str()), (1, "UP 1/3"));
    assert_eq!(stage.turns(), "a");
}

#[test]
fn a_result_that_comes_after_its_task_ended_counts_for_nothing() {
    let mut stage = Stage::of(vec![checked("a", "127.0.0.1:1")]);
    let task = stage.controller.checks.task_of("be", "a").unwrap();
    stage.order(Command::DisableChecks { server: name("a") }).unwrap();
    let (next, mut due) = oneshot::channel();
    let result = CheckResult {
        outcome: Outcome::L4Connection,
        phase: CheckPhase::Connect,
        code: None,
        errno: None,
        info: String::new(),
        expected: None,
        got: None,
        duration: Duration::ZERO,
    };
    stage.controller.take(Event::Checked(FinishedCheck { task, result, next }), stage.now);
    assert!(due.try_recv().is_err());
    assert_eq!((stage.turns().as_str(), stage.status("a").as_str()), ("a", "no check"));
}

#[test]
fn running_out_of_sockets_takes_no_server_down() {
    let mut stage = Stage::of(vec![checked("a", "127.0.0.1:1")]);
    stage.result("a", Outcome::SocketError);
    assert_eq!((stage.turns().as_str(), stage.status("a").as_str()), ("a", "UP 1/3"));
    assert_eq!(stage.controller.watch().backends[0].servers[0].checks.iter().len(), 1);
}

#[test]
fn refusals_are_haproxys() {
    let mut stage = Stage::of(vec![server("a", "127.0.0.1:1")]);
    let mut refused = |command: Command| stage.order(command).unwrap_err().to_string();
    let nobody = ServerName { backend: "be".into(), server: "zz".into() };
    let nowhere = ServerName { backend: "zz".into(), server: "a".into() };
    assert_eq!(refused(Command::SetState { server: nobody, state: AdminState::Drain }), "No such server.");
    assert_eq!(refused(Command::ShutdownSessions { server: nowhere }), "No such backend.");
    assert_eq!(
        refused(Command::SetWeight { server: name("a"), weight: NewWeight::Absolute(257) }),
        "Absolute weight can only be between 0 and 256 inclusive."
    );
    assert_eq!(
        refused(Command::EnableChecks { server: name("a") }),
        "Health check was not configured on this server, cannot enable."
    );
    assert_eq!(
        refused(Command::EnableAgent { server: name("a") }),
        "Agent was not configured on this server, cannot enable."
    );
    assert_eq!(refused(Command::EnableFrontend { frontend: "web".into() }), "All sockets are already enabled.");
    assert_eq!(refused(Command::DisableFrontend { frontend: "be".into() }), "No such frontend.");
    assert_eq!(refused(Command::SetGlobalMaxconn { maxconn: 1_000_000 }), "Value out of range.");
    assert_eq!(ServerName::parse("be").unwrap_err().to_string(), "Require 'backend/server'.");
}

#[test]
fn a_frontend_can_be_disabled_and_shut_down() {
    let mut stage = Stage::of(vec![]);
    let limit = |stage: &Stage| stage.controller.watch().frontends[0].state.maxconn_override.load(Relaxed);
    assert_eq!(limit(&stage), u32::MAX);
    stage.order(Command::SetFrontendMaxconn { frontend: "web".into(), maxconn: 10 }).unwrap();
    assert_eq!(limit(&stage), 10);
    stage.order(Command::DisableFrontend { frontend: "web".into() }).unwrap();
    assert_eq!(limit(&stage), 0);
    stage.order(Command::EnableFrontend { frontend: "web".into() }).unwrap();
    assert_eq!(limit(&stage), 10);
    stage.order(Command::ShutdownFrontend { frontend: "web".into() }).unwrap();
    assert_eq!(limit(&stage), 0);
    let refused = stage.order(Command::EnableFrontend { frontend: "web".into() }).unwrap_err();
    assert_eq!(refused.to_string(), "Frontend was previously shut down, cannot enable.");
    let told: Vec<_> = stage.log_lines().into_iter().map(|(_, text)| text).collect();
    assert_eq!(
        told,
        ["Paused frontend web.", "Resumed frontend web.", "Proxy web stopped (cumulated conns: FE: 0, BE: 0)."]
    );
}

#[test]
fn an_address_can_be_changed_while_running_and_its_check_follows() {
    let mut stage = Stage::of(vec![checked("a", "127.0.0.1:81")]);
    let mut set = |address: &str, port| {
        let command = Command::SetAddress { server: name("a"), address: address.parse().unwrap(), port };
        match stage.order(command).unwrap() {
            Answer::Told(text) => text,
            Answer::Done => String::new(),
        }
    };
    assert_eq!(set("127.0.0.1", None), "no need to change the addr by 'stats socket command'");
    assert_eq!(set("127.0.0.2", None), "IP changed from '127.0.0.1' to '127.0.0.2' by 'stats socket command'");
    assert_eq!(
        set("127.0.0.2", Some(82)),
        "no need to change the addr, port changed from '81' to '82' by 'stats socket command'"
    );
    let snapshot = stage.controller.shared.snapshot.load_full();
    let server = &snapshot.backends[0].servers[0].config;
    let expected = ServerAddress::Tcp("127.0.0.2:82".parse().unwrap());
    assert_eq!((&server.address, &server.check.as_ref().unwrap().target), (&expected, &expected));
    assert_eq!(snapshot.config.backends[0].servers[0].address, expected);
    assert_eq!(*stage.controller.shared.phase.borrow(), Phase::Running { generation: 3 });
    // The file's word counts again after a reload.
    stage.adopt(vec![backend("be", vec![checked("a", "127.0.0.1:81")])]).unwrap();
    let snapshot = stage.controller.shared.snapshot.load_full();
    assert_eq!(snapshot.backends[0].servers[0].config.address.to_string(), "127.0.0.1:81");
}

#[test]
fn clearing_counters_leaves_the_workers_alone() {
    let mut stage = Stage::of(vec![checked("a", "127.0.0.1:1")]);
    stage.results("a", ".x");
    let state = Arc::clone(&stage.controller.watch().backends[0].servers[0].state);
    state.counters.of(0).sessions.add(7);
    state.sessions.enter();
    state.sessions.leave();
    stage.order(Command::ClearCounters { all: false }).unwrap();
    let seen = |stage: &Stage| {
        let server = &stage.controller.watch().backends[0].servers[0];
        (server.totals().sessions, server.state.sessions.max(), server.failed_checks)
    };
    assert_eq!(seen(&stage), (7, 0, 1));
    stage.order(Command::ClearCounters { all: true }).unwrap();
    assert_eq!(seen(&stage), (0, 0, 0));
    state.counters.of(0).sessions.add(2);
    assert_eq!(seen(&stage).0, 2);
}

#[test]
fn a_reload_keeps_health_orders_counters_and_checks() {
    let mut stage =
        Stage::of(vec![checked("a", "127.0.0.1:1"), checked("b", "127.0.0.1:2"), server("c", "127.0.0.1:3")]);
    stage.results("a", ".xxx");
    stage.results("b", ".");
    stage.order(Command::SetWeight { server: name("c"), weight: NewWeight::Absolute(2) }).unwrap();
    stage.order(state("b", AdminState::Drain)).unwrap();
    let task = stage.controller.checks.task_of("be", "a");
    stage.controller.watch().backends[0].servers[0].state.counters.of(0).sessions.add(5);

    // `b` goes first, `d` is new, `c` keeps its place at the end.
    let servers = vec![
        checked("b", "127.0.0.1:2"),
        checked("a", "127.0.0.1:1"),
        checked("d", "127.0.0.1:4"),
        server("c", "127.0.0.1:3"),
    ];
    let message = stage.adopt(vec![backend("be", servers)]).unwrap();
    assert_eq!(message, "configuration reloaded, generation 2");
    let statuses: Vec<_> = ["a", "b", "c", "d"].iter().map(|server| stage.status(server)).collect();
    assert_eq!(statuses, ["DOWN", "DRAIN", "no check", "UP 1/3"]);
    assert_eq!(stage.turns(), "c d c");
    assert_eq!(stage.controller.watch().backends[0].servers[1].totals().sessions, 5);
    assert_eq!(stage.controller.checks.task_of("be", "a"), task, "the same check goes on");
    assert_eq!(stage.controller.checks.len(), 3);
    stage.results("a", "..");
    assert_eq!(stage.status("a"), "UP", "and its results find their server");
}

#[test]
fn what_the_file_changes_is_told_and_kept() {
    let mut stage = Stage::of(vec![checked("a", "127.0.0.1:1"), server("b", "127.0.0.1:2")]);
    stage.results("a", ".xxx");
    stage.log_lines();
    let disabled = Server { disabled: true, ..server("b", "127.0.0.1:2") };
    stage.adopt(vec![backend("be", vec![checked("a", "127.0.0.1:9"), disabled])]).unwrap();
    assert_eq!(stage.status("a"), "UP 1/3", "another address is another server");
    assert_eq!(stage.status("b"), "MAINT");
    assert_eq!(stage.turns(), "a");
    let causes: Vec<_> = stage.controller.watch().backends[0].servers[1].transitions.iter().collect();
    assert_eq!((causes.len(), &causes[0].cause), (1, &super::history::Cause::Config));
}

#[test]
fn requests_of_the_snapshot_before_keep_a_rotation_that_fits_it() {
    let mut stage = Stage::of(vec![server("a", "127.0.0.1:1"), server("b", "127.0.0.1:2")]);
    let old = stage.controller.shared.snapshot.load_full();
    stage.adopt(vec![backend("be", vec![server("b", "127.0.0.1:2")])]).unwrap();
    let names: Vec<_> = old.backends[0]
        .rotation
        .load()
        .turns
        .iter()
        .map(|id| old.backends[0].server(*id).config.name.to_string())
        .collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(stage.turns(), "b");
}

#[test]
fn a_reload_keeps_listening_sockets_and_one_that_cannot_bind_changes_nothing() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut stage = Stage::of(vec![server("a", "127.0.0.1:1")]);
    let before = stage.controller.shared.snapshot.load_full();
    stage.adopt(vec![backend("be", vec![server("a", "127.0.0.1:1")])]).unwrap();
    let after = stage.controller.shared.snapshot.load_full();
    assert!(Arc::ptr_eq(&before.listeners[0].socket, &after.listeners[0].socket));
    assert!(Arc::ptr_eq(&before.frontends[0].state, &after.frontends[0].state));

    let address = taken.local_addr().unwrap().to_string();
    let bad =
        config(vec![frontend("web", &["127.0.0.1:0"]), frontend("api", &[&address])], vec![backend("be", vec![])]);
    stage.controller.reload = super::reload::Reload::Running;
    stage.controller.take(Event::Loaded(Box::new(Ok(ReadConfig { config: bad, warnings: Vec::new() }))), stage.now);
    let report = stage.controller.watch().last_reload.clone().unwrap();
    assert!(!report.succeeded);
    let expected = format!("frontend `api`, bind `{address}`: cannot bind to {address}: Address already in use");
    assert!(report.message.starts_with(&expected), "{}", report.message);
    assert!(Arc::ptr_eq(&after, &stage.controller.shared.snapshot.load_full()));
    assert_eq!(stage.turns(), "a");
}

#[test]
fn a_file_that_cannot_be_read_is_told_and_changes_nothing() {
    let mut stage = Stage::of(vec![server("a", "127.0.0.1:1")]);
    stage.controller.take(Event::Loaded(Box::new(Err("site.yaml:3:1: error: nonsense".to_owned()))), stage.now);
    let report = stage.controller.watch().last_reload.clone().unwrap();
    assert!(!report.succeeded);
    assert_eq!(stage.turns(), "a");
    let told = stage.log_lines();
    assert!(told[0].1.contains("site.yaml:3:1: error: nonsense"), "{told:?}");
    assert!(stage.states.borrow().contains(&ServiceState::Ready));
}

#[test]
fn a_soft_stop_ends_when_the_last_connection_has_gone() {
    let mut stage = Stage::of(vec![]);
    let shared = Arc::clone(&stage.controller.shared);
    shared.process.connections.enter();
    stage.controller.take(Event::Asked(Asked::SoftStop), stage.now);
    assert_eq!(*shared.phase.borrow(), Phase::Draining { until: None });
    let exit = |stage: &mut Stage, after: u64| {
        stage.controller.take(Event::Tick, stage.now + Duration::from_secs(after));
        stage.controller.ending.and_then(|ending| ending.exit)
    };
    assert_eq!(exit(&mut stage, 3600), None);
    shared.process.connections.leave();
    assert_eq!(exit(&mut stage, 3601), None);
    assert_eq!(exit(&mut stage, 3602), Some(Exit::Finished));
}

#[test]
fn a_termination_has_a_deadline_and_asked_twice_none() {
    let mut stage = Stage::of(vec![]);
    let shared = Arc::clone(&stage.controller.shared);
    shared.process.connections.enter();
    stage.controller.take(Event::Asked(Asked::Terminate), stage.now);
    let until = stage.now + super::controller::TERMINATE_DEADLINE;
    assert_eq!(*shared.phase.borrow(), Phase::Draining { until: Some(until) });
    stage.controller.take(Event::Tick, until);
    assert_eq!(stage.controller.ending.and_then(|ending| ending.exit), Some(Exit::DeadlinePassed));

    let mut twice = Stage::of(vec![]);
    twice.controller.shared.process.connections.enter();
    twice.controller.take(Event::Asked(Asked::Terminate), twice.now);
    twice.controller.take(Event::Asked(Asked::Terminate), twice.now);
    assert_eq!(twice.controller.ending.and_then(|ending| ending.exit), Some(Exit::Stopped));
    assert_eq!(*twice.controller.shared.phase.borrow(), Phase::Stopping);
}

#[test]
fn rates_follow_the_counters() {
    let mut stage = Stage::of(vec![server("a", "127.0.0.1:1")]);
    stage.controller.watch().backends[0].servers[0].state.counters.of(0).sessions.add(40);
    stage.controller.take(Event::Tick, stage.now + Duration::from_secs(1));
    let server = &stage.controller.watch().backends[0].servers[0];
    assert!((38..=40).contains(&server.sessions.now()), "{}", server.sessions.now());
}

#[test]
fn a_question_that_panics_costs_its_asker_the_answer_and_nobody_else_anything() {
    let mut stage = Stage::of(vec![checked("a", "127.0.0.1:1")]);
    let mut ask = |line: &str| {
        let (reply, mut answer) = oneshot::channel();
        let request = LineRequest { line: line.to_owned(), level: AccessLevel::Admin, reply };
        stage.controller.take(Event::Line(request), stage.now);
        (answer.try_recv().ok(), stage.controller.shared.process.panics.total())
    };
    assert_eq!(ask("injected panic"), (None, 1));
    let (answer, panics) = ask("get weight be/a");
    assert_eq!((answer.as_deref(), panics), (Some("1 (initial 1)\n"), 1));
}

#[test]
fn a_failed_worker_ends_the_process() {
    let mut stage = Stage::of(vec![checked("a", "127.0.0.1:1")]);
    stage.controller.take(Event::FromWorker(WorkerEvent::WorkerFailed { worker: 3 }), stage.now);
    assert_eq!(stage.controller.ending.and_then(|ending| ending.exit), Some(Exit::Broken));
    assert_eq!(stage.log_lines(), [(Level::Emerg, "worker 3 has failed, the process ends".to_owned())]);
}

#[test]
fn a_check_that_panics_says_nothing_about_its_server_and_goes_on() {
    let mut unlucky = checked("a", "127.0.0.1:1");
    let check = unlucky.check.as_deref().unwrap().clone();
    unlucky.check = Some(Arc::new(Check { target: ServerAddress::Unix("/injected-panic".into()), ..check }));
    let mut stage = Stage::of(vec![unlucky]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tasks = std::mem::take(&mut stage.tasks);
    let before = stage.status("a");
    for times in 1..=2 {
        let event = tasks.block_on(&runtime, async { stage.controller.incoming.recv().await });
        let Some(Event::Checked(mut finished)) = event else { panic!("no result") };
        assert!(finished.result.is_own_shortage(), "{:?}", finished.result);
        assert_eq!(stage.controller.shared.process.panics.total(), times);
        // The task learns when to ask again from the controller; here, at once.
        let (unused, _) = oneshot::channel();
        std::mem::replace(&mut finished.next, unused).send(Duration::ZERO).unwrap();
        stage.controller.take(Event::Checked(finished), stage.now);
    }
    assert_eq!(stage.status("a"), before);
}
