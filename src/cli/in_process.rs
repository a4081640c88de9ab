//! How does a test run a whole proxy inside itself? As [`run`](super::run) does, without what belongs to a process: no
//! signals, no fork, no pid file, no change of user or limits, no panic hook. Several live side by side.
//!
//! Its own messages and the log lines meant for standard streams go into a pipe of its own: threads inherit whom they
//! speak to. What a stopped proxy has left behind can be asked, and should be nothing. Not an API for anybody else.

use std::io::PipeWriter;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, Weak};
use std::thread::{self, JoinHandle};

use tracing_subscriber::filter::LevelFilter;

use super::source::Source;
use crate::control::ReadConfig;
use crate::control::{self, Asked, Handle, OnState, Orders, ServiceState};
use crate::model::Config;
use crate::model::log::{LogAddress, LogTarget};
use crate::proxy;
use crate::state::{Shared, Snapshot};

/// A proxy that serves until it is stopped.
#[derive(Debug)]
pub struct Running {
    control: JoinHandle<Result<Leftovers, String>>,
    handle: Handle,
}

/// What a proxy still held when all its threads had ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Connections that are counted and gone.
    pub connections: u32,
    pub tls_connections: u32,
    /// Sessions counted at frontends, listeners, backends and servers.
    pub sessions: u32,
    /// Requests counted as waiting for a server.
    pub queued: u32,
    /// Connections counted as idle at servers.
    pub idle: u32,
    /// Whoever still holds the shared state: a worker, a connection, a task.
    pub holders: usize,
    /// Whoever still holds a configuration that was in force at the end.
    pub snapshot_holders: usize,
}

/// What [`Running::order`] asks for, as a signal would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Reload,
    /// Take nothing new, let everything finish.
    SoftStop,
    /// Stop now.
    Stop,
}

/// Reads the files, binds, starts control and workers, and comes back when everything is served.
///
/// # Errors
/// Why it did not start, as the program would say it.
pub fn start(files: Vec<PathBuf>, said: PipeWriter) -> Result<Running, String> {
    let (ready, started) = channel();
    let begin = move || serve(files, said, &ready);
    let control = thread::Builder::new().name("control".to_owned()).spawn(begin).map_err(|error| error.to_string())?;
    match started.recv() {
        Ok(handle) => Ok(Running { control, handle }),
        Err(_) => Err(match control.join() {
            Ok(Err(why)) => why,
            Ok(Ok(_)) => "it ended before it served".to_owned(),
            Err(_) => "the control thread panicked".to_owned(),
        }),
    }
}

impl Running {
    /// Asks and does not wait. One that has ended already needs no order.
    pub fn order(&self, order: Order) {
        let asked = match order {
            Order::Reload => Asked::Reload,
            Order::SoftStop => Asked::SoftStop,
            Order::Stop => Asked::Stop,
        };
        let _ = self.handle.order(asked);
    }

    /// Waits for its end and tells what is left; it has to be ordered to end.
    ///
    /// # Errors
    /// The control thread failed.
    pub fn join(self) -> Result<Leftovers, String> {
        drop(self.handle);
        self.control.join().unwrap_or_else(|_| Err("the control thread panicked".to_owned()))
    }
}

/// The control thread's whole life.
fn serve(files: Vec<PathBuf>, said: PipeWriter, ready: &Sender<Handle>) -> Result<Leftovers, String> {
    // An open end of the pipe stays with this thread: the path leads to it.
    let stream = PathBuf::from(format!("/proc/self/fd/{}", said.as_raw_fd()));
    let _listening = tracing::subscriber::set_default(
        tracing_subscriber::fmt()
            .with_max_level(LevelFilter::INFO)
            .with_writer(Mutex::new(said))
            .with_ansi(false)
            .with_target(false)
            .finish(),
    );
    let source = Source::Files(files);
    let again = move || {
        let mut read = source.load_or_explain()?;
        redirect(&mut read.config, &stream);
        Ok(read)
    };
    let ReadConfig { config, .. } = again()?;
    let threads = config.global.threads.get();
    let (told, tell) = (ready.clone(), Arc::new(Mutex::new(None)));
    let (shared, controller) =
        control::boot(config, Arc::new(again), on_ready(told, Arc::clone(&tell))).map_err(|error| error.to_string())?;
    *tell.lock().map_err(|_| "a lock is broken")? = Some(controller.handle());
    let workers = proxy::spawn_workers(&shared, threads).map_err(|error| format!("cannot start workers: {error}"))?;
    let ended = controller.run(Orders::ByHandle).map_err(|error| format!("the control thread failed: {error}"));
    for worker in workers {
        worker.join().map_err(|_| "a worker panicked")?;
    }
    ended.map(|_| left_behind(shared))
}

/// Hands the controller's handle over, once, when everything is served.
fn on_ready(told: Sender<Handle>, handle: Arc<Mutex<Option<Handle>>>) -> OnState {
    Box::new(move |state| {
        let handle = (state == ServiceState::Ready).then(|| handle.lock().ok()?.take()).flatten();
        // A test that has gone away needs no answer.
        handle.map(|handle| told.send(handle));
    })
}

/// Sends what is meant for the process's standard streams to `stream`.
fn redirect(config: &mut Config, stream: &Path) {
    let turn = |target: &mut LogTarget| {
        if matches!(target.address, LogAddress::Stdout | LogAddress::Stderr) {
            target.address = LogAddress::File(stream.to_owned());
        }
    };
    let turn_all = |targets: &mut Arc<[LogTarget]>| {
        let mut turned = targets.to_vec();
        turned.iter_mut().for_each(turn);
        *targets = turned.into();
    };
    config.global.logs.iter_mut().for_each(turn);
    config.frontends.iter_mut().filter_map(Arc::get_mut).for_each(|frontend| turn_all(&mut frontend.log.targets));
    config.backends.iter_mut().filter_map(Arc::get_mut).for_each(|backend| turn_all(&mut backend.log.targets));
}

fn left_behind(shared: Arc<Shared>) -> Leftovers {
    let snapshot = shared.snapshot.load_full();
    let sessions = |snapshot: &Snapshot| {
        let frontends = snapshot.frontends.iter().map(|frontend| frontend.state.sessions.now());
        let listeners = snapshot.listeners.iter().map(|listener| listener.state.sessions.now());
        let backends = snapshot.backends.iter().map(|backend| backend.state.sessions.now());
        let servers = snapshot.backends.iter().flat_map(|backend| &backend.servers);
        frontends.chain(listeners).chain(backends).chain(servers.map(|server| server.state.sessions.now())).sum()
    };
    let queued = snapshot.backends.iter().map(|backend| backend.state.queued.now()).sum();
    let servers = snapshot.backends.iter().flat_map(|backend| &backend.servers);
    let idle = servers.map(|server| server.state.idle.now()).sum();
    let mut left = Leftovers {
        connections: shared.process.connections.now(),
        tls_connections: shared.process.tls_connections.now(),
        sessions: sessions(&snapshot),
        queued,
        idle,
        holders: Arc::strong_count(&shared) - 1,
        snapshot_holders: 0,
    };
    drop(shared);
    let held: Weak<Snapshot> = Arc::downgrade(&snapshot);
    drop(snapshot);
    left.snapshot_holders = held.strong_count();
    left
}
