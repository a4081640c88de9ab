//! One worker: a thread with its own event loop, listening sockets, timers, buffers and idle connections. Nothing in here
//! is shared with other workers but what `state` publishes.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use tokio::runtime::LocalOptions;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use super::buffers::Buffers;
use super::clock;
use super::exchange::Exchanges;
use super::listener;
use super::timer::Timers;
use super::tls;
use super::upstream::own::Owned;
use super::upstream::slot::Slot;
use super::view::View;
use crate::logline::Cause;
use crate::moment::Moment;
use crate::state::counters::ProcessShard;
use crate::state::events::{Event, Phase};
use crate::state::listeners::BoundSocket;
use crate::state::{Shared, Snapshot, threads};

/// How often idle server connections and kept buffers are looked through.
const PURGE_EVERY: Duration = Duration::from_secs(1);
/// What connections get to end and be logged once everything stops.
const LAST_MOMENT: Duration = Duration::from_millis(250);

pub(crate) struct Worker {
    /// Its shard of every counter.
    pub index: usize,
    pub shared: Arc<Shared>,
    pub timers: Rc<Timers>,
    pub buffers: Buffers,
    pub exchanges: Exchanges,
    /// Connections to servers that belong to one client.
    pub owned: Owned,
    /// This machine's name.
    pub hostname: String,
    view: RefCell<Rc<View>>,
    phase: Cell<Phase>,
    /// Connections served now.
    pub connections: Cell<usize>,
    /// When it was told last that a server could not be reached from where it must be.
    pub source_told: Cell<Option<Moment>>,
}

impl Worker {
    /// Serves nothing yet.
    pub fn new(index: usize, shared: Arc<Shared>) -> Rc<Self> {
        let phase = *shared.phase.borrow();
        Rc::new(Worker {
            index,
            timers: Timers::new(clock::refresh()),
            buffers: Buffers::default(),
            exchanges: Exchanges::default(),
            owned: Owned::default(),
            hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            view: RefCell::new(View::new(shared.snapshot.load_full(), None)),
            phase: Cell::new(phase),
            connections: Cell::new(0),
            source_told: Cell::new(None),
            shared,
        })
    }

    /// Its shard of what is counted for the process.
    pub fn counts(&self) -> &ProcessShard {
        self.shared.process.counters.of(self.index)
    }

    /// The configuration to begin an exchange with.
    pub fn view(&self) -> Rc<View> {
        Rc::clone(&self.view.borrow())
    }

    /// Whether this is still the configuration to begin an exchange with.
    pub fn is_view(&self, view: &Rc<View>) -> bool {
        Rc::ptr_eq(&self.view.borrow(), view)
    }

    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// No further request is to be taken from a connection that has just finished one.
    pub fn is_leaving(&self) -> bool {
        !matches!(self.phase.get(), Phase::Running { .. })
    }
}

/// Starts the workers and waits until each listens on every address of the snapshot in force.
///
/// # Errors
/// A thread or an event loop could not be made, or a socket not be registered with it.
pub(crate) fn spawn_workers(shared: &Arc<Shared>, count: usize) -> io::Result<Vec<thread::JoinHandle<()>>> {
    let (ready, started) = mpsc::channel();
    let workers = (0..count)
        .map(|index| {
            let shared = Arc::clone(shared);
            let ready = ready.clone();
            threads::spawn(format!("worker-{index}"), move || run_or_tell(index, shared, &ready))
        })
        .collect::<io::Result<Vec<_>>>()?;
    drop(ready);
    for _ in 0..count {
        started.recv().map_err(|_| io::Error::other("a worker ended before it was ready"))??;
    }
    Ok(workers)
}

/// A connection's panic ends that connection. One of the worker's own loops leaves listeners that nobody serves: control
/// is told, which ends the process.
fn run_or_tell(index: usize, shared: Arc<Shared>, ready: &mpsc::Sender<io::Result<()>>) {
    let events = shared.events.clone();
    let ran = std::panic::catch_unwind(AssertUnwindSafe(|| run(index, shared, ready)));
    if ran.is_err() {
        // Control may have ended before.
        let _ = events.blocking_send(Event::WorkerFailed { worker: index });
    }
}

fn run(index: usize, shared: Arc<Shared>, ready: &mpsc::Sender<io::Result<()>>) {
    #[cfg(test)]
    super::testing::count_allocations(&shared);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_unpark(|| {
            clock::refresh();
        })
        .build_local(LocalOptions::default());
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    runtime.block_on(serve(index, shared, ready));
}

async fn serve(index: usize, shared: Arc<Shared>, ready: &mpsc::Sender<io::Result<()>>) {
    let mut phases = shared.phase.subscribe();
    let worker = Worker::new(index, shared);
    // The runtime's list of those that let others run is made when the first one does: not in the middle of a request.
    tokio::task::yield_now().await;
    let mut loops = JoinSet::new();
    loops.spawn_local(Rc::clone(&worker.timers).drive());
    loops.spawn_local(purge(Rc::clone(&worker)));
    let mut listening = Listening { open: HashMap::new(), loops };
    let opened = listening.adopt(&worker);
    let failed = opened.is_err();
    let _ = ready.send(opened);
    if failed {
        return;
    }
    follow(&worker, &mut phases, &mut listening).await;
    listening.close_all(worker.index);
    worker.phase.set(Phase::Stopping);
    worker.timers.wake_all();
    let last = clock::refresh() + LAST_MOMENT;
    while worker.connections.get() > 0 && clock::refresh() < last {
        tokio::time::sleep(super::timer::TICK).await;
    }
}

/// Does what control says until it says stop, or the drain's deadline has passed.
async fn follow(worker: &Rc<Worker>, phases: &mut watch::Receiver<Phase>, listening: &mut Listening) {
    loop {
        let phase = *phases.borrow_and_update();
        worker.phase.set(phase);
        match phase {
            Phase::Running { .. } => {
                let snapshot = worker.shared.snapshot.load_full();
                if !worker.view().is_of(&snapshot) {
                    adopt(worker, snapshot);
                }
                if let Err(error) = listening.adopt(worker) {
                    tracing::error!(worker = worker.index, %error, "cannot listen on a new address");
                }
            }
            Phase::Draining { .. } => listening.close_all(worker.index),
            Phase::Stopping => return,
        }
        worker.timers.wake_all();
        let until = match phase {
            Phase::Draining { until } => until,
            _ => None,
        };
        let deadline = async {
            match until {
                Some(until) => tokio::time::sleep_until(until.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = phases.changed() => {
                if changed.is_err() {
                    return; // control is gone
                }
            }
            () = deadline => return,
            () = listening.broken() => {}
        }
    }
}

fn adopt(worker: &Worker, snapshot: Arc<Snapshot>) {
    let before = worker.view();
    *worker.view.borrow_mut() = View::new(snapshot, Some(&before));
}

async fn purge(worker: Rc<Worker>) {
    loop {
        tokio::time::sleep(PURGE_EVERY).await;
        worker.view().purge_idle(clock::now());
        worker.owned.purge(clock::now());
        worker.buffers.trim();
        tls::trim();
        let (lent, kept) = worker.buffers.count_pipes();
        worker.counts().pipes_lent.set(lent as u64);
        worker.counts().pipes_kept.set(kept as u64);
    }
}

/// The loops this worker cannot do without: timers, the purge, and one accept loop for each socket.
struct Listening {
    /// By the id of the socket.
    open: HashMap<u64, (AbortHandle, Arc<BoundSocket>)>,
    loops: JoinSet<()>,
}

impl Listening {
    /// Opens what the view has and this worker has not, closes what the view has no more.
    fn adopt(&mut self, worker: &Rc<Worker>) -> io::Result<()> {
        let view = worker.view();
        self.open.retain(|id, (accepting, socket)| {
            let keep = view.listener_by_socket.contains_key(id);
            if !keep {
                accepting.abort();
                socket.stop_listening(worker.index);
            }
            keep
        });
        for listener in &view.listeners {
            let id = listener.socket.id;
            if let Entry::Vacant(place) = self.open.entry(id) {
                let acceptor = listener::Acceptor::open(&listener.socket, worker.index)?;
                let accepting = self.loops.spawn_local(listener::accept_loop(Rc::clone(worker), id, acceptor));
                place.insert((accepting, Arc::clone(&listener.socket)));
            }
        }
        Ok(())
    }

    /// Goes on with the panic of a loop, if one panics: this worker cannot be what it should be any more.
    async fn broken(&mut self) {
        while let Some(ended) = self.loops.join_next().await {
            if let Err(error) = ended
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
        std::future::pending().await
    }

    fn close_all(&mut self, worker: usize) {
        for (_, (accepting, socket)) in self.open.drain() {
            accepting.abort();
            socket.stop_listening(worker);
        }
    }
}

/// When a wait that began at `since` ends.
pub(crate) fn deadline(since: Moment, after: Option<Duration>) -> Option<Moment> {
    after.and_then(|after| since.checked_add(after))
}

/// Why a tunnel must end now, if it must: its server's sessions are killed, or everything stops.
pub(crate) fn must_stop(worker: &Worker, slot: &Slot<'_>, generation: u64) -> Option<Cause> {
    if slot.kill_generation() != generation {
        return Some(Cause::Killed);
    }
    (worker.phase() == Phase::Stopping).then_some(Cause::Down)
}
