//! Who is asked when? One small task per checked server: it waits, probes, tells the controller and learns when to ask
//! again. A reload stops and starts only the tasks whose settings changed.

use std::cell::Cell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::AbortHandle;

use super::controller::Event;
use super::probe::Probe;
use super::watch::{ServerWatch, Watch};
use crate::health::machine::ChecksTurn;
use crate::health::schedule::Schedule;
use crate::model::check::Check;
use crate::model::{BackendId, Name, Server, ServerId};
use crate::state::panics::Panics;
use crate::wire::check_dialog::CheckResult;

/// A check that ended, on its way to the controller.
pub(crate) struct FinishedCheck {
    pub task: u64,
    pub result: CheckResult,
    /// How long after the check began the next one is due. Dropped: the task ends.
    pub next: oneshot::Sender<Duration>,
}

/// All running check tasks.
#[derive(Debug)]
pub(crate) struct CheckTasks {
    events: mpsc::Sender<Event>,
    tasks: HashMap<(Name, Name), Task>,
    /// Tasks of servers that a client could not reach, and when their check was last brought forward. Out of here as soon
    /// as a check passes or the server is down. A server is down when its checks say so, `fall` of them, never sooner.
    suspects: HashMap<u64, Instant>,
    /// Where each task's server is in the snapshot in force.
    places: HashMap<u64, (BackendId, ServerId)>,
    last_id: u64,
    chance: Chance,
    panics: Panics,
    /// Where the grid begins that checks go out on.
    grid: Instant,
}

#[derive(Debug)]
struct Task {
    id: u64,
    /// The settings it runs by, as they print: `Check` holds compiled expressions, which cannot be compared otherwise.
    settings: String,
    _running: Running,
    /// Wakes the task before its check is due.
    hurry: Rc<Notify>,
}

/// Between two checks of a server that clients could not reach.
const SUSPECT_PACE: Duration = Duration::from_millis(250);

/// Ends the task with itself.
#[derive(Debug)]
struct Running {
    abort: AbortHandle,
    checking: Rc<Cell<bool>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.abort.abort();
        self.checking.set(false);
    }
}

/// When the first checks of tasks started together go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// Spread over the shortest interval, so that not everybody is asked at once.
    Spread,
    Now,
}

impl CheckTasks {
    pub fn new(events: mpsc::Sender<Event>, seed: u64, panics: Panics) -> Self {
        CheckTasks {
            events,
            tasks: HashMap::new(),
            places: HashMap::new(),
            last_id: 0,
            suspects: HashMap::new(),
            chance: Chance { state: seed },
            panics,
            grid: tokio::time::Instant::now().into_std(),
        }
    }

    /// Makes the tasks fit what is watched: ends those of servers that went, that changed or that are not checked now;
    /// starts what is missing. Must be called within the control thread's local task set.
    pub fn fit(&mut self, watch: &Watch, start: Start) {
        let mut before = std::mem::take(&mut self.tasks);
        self.places.clear();
        self.suspects.clear();
        let mut fresh = Vec::new();
        for (in_force, backend) in watch.snapshot.backends.iter().zip(&watch.backends) {
            let servers = in_force.servers.iter().zip(&backend.servers);
            for (server, server_watch) in servers.filter(|_| !in_force.config.disabled) {
                let Some(check) = server.config.check.as_ref().filter(|_| server_watch.health.checks_run()) else {
                    continue;
                };
                let key = (Arc::clone(&in_force.config.name), Arc::clone(&server.config.name));
                let settings = settings_of(&server.config, check);
                let place = (in_force.config.id, server.config.id);
                match before.remove(&key).filter(|task| task.settings == settings) {
                    Some(task) => {
                        self.places.insert(task.id, place);
                        self.tasks.insert(key, task);
                    }
                    None => fresh.push((key, settings, place, Arc::clone(check), server_watch)),
                }
            }
        }
        drop(before);
        let count = fresh.len();
        let shortest = fresh.iter().map(|(_, _, _, check, _)| check.interval).min().unwrap_or_default();
        for (index, (key, settings, place, check, server_watch)) in fresh.into_iter().enumerate() {
            let delay = match start {
                Start::Spread => Schedule { interval: shortest, ..schedule(&check, 0) }.first(index, count),
                Start::Now => Duration::ZERO,
            };
            let id = self.start(watch, check, server_watch, delay, key, settings);
            self.places.insert(id, place);
        }
    }

    /// One server's checks were paused or may go on.
    pub fn turn(&mut self, watch: &Watch, backend: BackendId, id: ServerId, turn: ChecksTurn) {
        let in_force = watch.snapshot.backend(backend);
        let server = &in_force.server(id).config;
        let key = (Arc::clone(&in_force.config.name), Arc::clone(&server.name));
        if let Some(task) = self.tasks.remove(&key) {
            self.places.remove(&task.id);
        }
        if let (ChecksTurn::Resumed, Some(check), false) = (turn, &server.check, in_force.config.disabled) {
            let settings = settings_of(server, check);
            let task = self.start(watch, Arc::clone(check), watch.server(backend, id), Duration::ZERO, key, settings);
            self.places.insert(task, (backend, id));
        }
    }

    /// Which server a task checks; `None` for a task that was ended meanwhile.
    pub fn place(&self, task: u64) -> Option<(BackendId, ServerId)> {
        self.places.get(&task).copied()
    }

    /// Answers a task after its result was taken in.
    pub fn schedule_next(&mut self, task: u64, check: &Check, spread: u8, watch: &ServerWatch) -> Duration {
        let next = schedule(check, spread).next(&watch.health.score(), self.chance.next());
        if !self.suspects.contains_key(&task) {
            return next;
        }
        if watch.is_failing() {
            return next.min(SUSPECT_PACE);
        }
        self.suspects.remove(&task);
        next
    }

    /// A worker could not connect to this server: the checks that would notice are brought forward.
    pub fn suspect(&mut self, backend: Name, server: Name, now: Instant) {
        let Some(task) = self.tasks.get(&(backend, server)) else { return };
        let hurried = self.suspects.get(&task.id);
        if hurried.is_some_and(|hurried| now.saturating_duration_since(*hurried) < SUSPECT_PACE) {
            return;
        }
        self.suspects.insert(task.id, now);
        task.hurry.notify_one();
    }

    /// Ends all tasks.
    pub fn stop(&mut self) {
        self.tasks.clear();
        self.places.clear();
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    #[cfg(test)]
    pub fn task_of(&self, backend: &str, server: &str) -> Option<u64> {
        self.tasks.get(&(Name::from(backend), Name::from(server))).map(|task| task.id)
    }

    fn start(
        &mut self,
        watch: &Watch,
        check: Arc<Check>,
        server: &ServerWatch,
        delay: Duration,
        key: (Name, Name),
        settings: String,
    ) -> u64 {
        self.last_id += 1;
        let id = self.last_id;
        let probe = Probe::new(check, watch.snapshot.config.global.limits);
        let checking = Rc::clone(&server.checking);
        let hurry = Rc::new(Notify::new());
        let asking = Asking { id, probe, checking: Rc::clone(&checking), panics: self.panics.clone() };
        let task = run(asking, delay, self.grid, Rc::clone(&hurry), self.events.clone());
        let abort = tokio::task::spawn_local(task).abort_handle();
        self.tasks.insert(key, Task { id, settings, _running: Running { abort, checking }, hurry });
        id
    }
}

/// What a task asks with.
struct Asking {
    id: u64,
    probe: Probe,
    checking: Rc<Cell<bool>>,
    panics: Panics,
}

impl Asking {
    /// One check. A panic in it says nothing about the server and ends no task: a server that nobody checks any more
    /// would keep the health it had for ever.
    async fn ask(&self) -> CheckResult {
        // Boxed, so that the thousands that wait do not each hold room for a whole conversation.
        let mut probing = Box::pin(self.probe.run());
        poll_fn(|cx| {
            let polled = catch_unwind(AssertUnwindSafe(|| {
                let _witness = self.panics.witness();
                probing.as_mut().poll(cx)
            }));
            polled.unwrap_or_else(|_| Poll::Ready(CheckResult::defect()))
        })
        .await
    }
}

/// Checks go out at multiples of this, so that thousands of them wake the thread a hundred times a second and not
/// thousands of times: every 10 ms, and of servers asked less often every 20 or 40. They are late by less than it, which
/// from `inter 1s` on is a hundredth of the interval, and at most a hundredth of all servers are asked at once.
fn grid_of(interval: Duration) -> Duration {
    Duration::from_millis(match interval.as_millis() {
        4_000.. => 40,
        2_000.. => 20,
        _ => 10,
    })
}

async fn run(asking: Asking, delay: Duration, grid: Instant, hurry: Rc<Notify>, events: mpsc::Sender<Event>) {
    let mut due = tokio::time::Instant::now() + delay;
    let mut step = grid_of(asking.probe.interval());
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(on_grid(due.into_std(), grid, step).into()) => {}
            () = hurry.notified() => {}
        }
        let began = tokio::time::Instant::now();
        asking.checking.set(true);
        let result = asking.ask().await;
        asking.checking.set(false);
        let (next, answer) = oneshot::channel();
        if events.send(Event::Checked(FinishedCheck { task: asking.id, result, next })).await.is_err() {
            return;
        }
        let Ok(interval) = answer.await else { return };
        (due, step) = (began + interval, grid_of(interval));
    }
}

/// The first instant of the grid that is not before `due`. `step` divides a second.
fn on_grid(due: Instant, grid: Instant, step: Duration) -> Instant {
    let since = due.saturating_duration_since(grid);
    let over = since.subsec_nanos() % step.subsec_nanos();
    if over == 0 { due } else { due + step - Duration::from_nanos(u64::from(over)) }
}

fn schedule(check: &Check, spread: u8) -> Schedule {
    Schedule { interval: check.interval, fast: check.fast_interval, down: check.down_interval, spread }
}

fn settings_of(server: &Server, check: &Check) -> String {
    format!("{:?} {check:?}", server.address)
}

/// Small random numbers for spreading checks (SplitMix64); nothing secret hangs on them.
#[derive(Debug)]
struct Chance {
    state: u64,
}

impl Chance {
    /// 0.0 to 1.0
    fn next(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_go_out_on_the_grid_and_never_early() {
        let grid = tokio::time::Instant::now().into_std();
        let check = |interval_ms: u64, after_us: u64, expected_ms: u64| {
            let step = grid_of(Duration::from_millis(interval_ms));
            let due = on_grid(grid + Duration::from_micros(after_us), grid, step);
            assert_eq!(due - grid, Duration::from_millis(expected_ms), "inter {interval_ms}, {after_us} us");
        };
        for interval in [1, 100, 1_999] {
            check(interval, 0, 0);
            check(interval, 1, 10);
            check(interval, 9_999, 10);
            check(interval, 10_000, 10);
            check(interval, 1_999_001, 2_000);
            check(interval, 2_000_000, 2_000);
        }
        for (interval, step) in [(2_000, 20), (3_999, 20), (4_000, 40), (3_600_000, 40)] {
            check(interval, 1, step);
            check(interval, step * 1_000, step);
            check(interval, step * 1_000 + 1, step * 2);
            check(interval, 1_000_000, 1_000);
            check(interval, 1_000_001, 1_000 + step);
        }
    }
}
