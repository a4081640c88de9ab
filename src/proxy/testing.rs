//! A worker with real sockets and no control thread: what this floor's own tests run against.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc;

use super::memory;
use crate::model::frontend::FrontendTimeouts;
use crate::model::log::Level;
use crate::model::testing::{backend, config, frontend, server};
use crate::model::{Backend, Config, Frontend, FrontendId};
use crate::state::events::Phase;
use crate::state::logs::LogSinks;
use crate::state::{Event, Shared};
use crate::sys::counting;

/// What the workers of each process in this test ask of the allocator, by the address of what they share.
static ALLOCATIONS: Mutex<Vec<(usize, &'static AtomicU64)>> = Mutex::new(Vec::new());

/// Counts this worker's allocations from now on.
pub(crate) fn count_allocations(shared: &Arc<Shared>) {
    let counter: &'static AtomicU64 = Box::leak(Box::default());
    ALLOCATIONS.lock().unwrap().push((Arc::as_ptr(shared).addr(), counter));
    counting::count_this_thread(counter);
}

/// How long a test waits for bytes that should come.
const PATIENCE: Duration = Duration::from_secs(5);

/// A running worker. Stops when dropped.
pub(crate) struct Rig {
    pub address: SocketAddr,
    pub shared: Arc<Shared>,
    /// What the worker told control.
    pub events: mpsc::Receiver<Event>,
    /// Log lines of all frontends.
    pub lines: std::sync::mpsc::Receiver<(Level, String)>,
    workers: Vec<JoinHandle<()>>,
}

/// A frontend on a free loopback port with short timeouts.
pub(crate) fn front() -> Frontend {
    let timeouts = FrontendTimeouts { client: Some(PATIENCE), ..FrontendTimeouts::default() };
    Frontend { timeouts, ..frontend("front", &["127.0.0.1:0"]) }
}

pub(crate) fn back(servers: &[SocketAddr]) -> Backend {
    let servers = servers.iter().enumerate().map(|(index, at)| server(&format!("s{index}"), &at.to_string()));
    let mut backend = backend("back", servers.collect());
    backend.timeouts.connect = Some(PATIENCE);
    backend.timeouts.server = Some(PATIENCE);
    backend
}

impl Rig {
    pub fn start(frontend: Frontend, backend: Backend) -> Rig {
        Rig::start_config(config(vec![frontend], vec![backend]))
    }

    /// All servers of all backends are in their rotations.
    pub fn start_config(config: Config) -> Rig {
        let workers = config.global.threads.get();
        let mut snapshot = memory::all_in_rotation(config);
        let (logs, lines) = LogSinks::capture();
        snapshot.frontends.iter_mut().for_each(|frontend| frontend.logs = Arc::clone(&logs));
        let address = snapshot.listeners[FrontendId(0).index()].socket.local.unwrap();
        let (shared, events) = memory::shared(snapshot, workers);
        let workers = super::spawn_workers(&shared, workers).unwrap();
        Rig { address, shared, events, lines, workers }
    }

    pub fn connect(&self) -> Client {
        Client::to(self.address)
    }

    /// What its workers have asked of the allocator.
    pub fn allocations(&self) -> u64 {
        let mine = Arc::as_ptr(&self.shared).addr();
        let counters = ALLOCATIONS.lock().unwrap();
        counters.iter().filter(|(whose, _)| *whose == mine).map(|(_, counter)| counter.load(Relaxed)).sum()
    }

    /// The next log line, from behind its date.
    pub fn line(&self) -> String {
        let (_, line) = self.lines.recv_timeout(PATIENCE).unwrap();
        line.split_once("] ").map_or(line.clone(), |(_, rest)| rest.to_owned())
    }

    /// One request on a connection of its own: everything the proxy sends until it closes.
    pub fn ask(&self, request: &str) -> String {
        let mut client = self.connect();
        client.send(request);
        client.rest()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.shared.phase.send_replace(Phase::Stopping);
        self.workers.drain(..).for_each(|worker| worker.join().unwrap());
    }
}

/// A client's (or a server's) end of a connection, in blocking calls.
pub(crate) struct Client(pub TcpStream);

impl Client {
    pub fn to(address: SocketAddr) -> Client {
        Client::over(TcpStream::connect(address).unwrap())
    }

    pub fn over(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client(stream)
    }

    pub fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    /// Reads until `end` has come.
    #[track_caller]
    pub fn until(&mut self, end: &str) -> String {
        let mut got = Vec::new();
        let mut byte = [0];
        while !got.ends_with(end.as_bytes()) {
            match self.0.read(&mut byte) {
                Ok(1) => got.push(byte[0]),
                other => panic!("{other:?} while waiting for {end:?}, got {:?}", String::from_utf8_lossy(&got)),
            }
        }
        String::from_utf8(got).unwrap()
    }

    pub fn head(&mut self) -> String {
        self.until("\r\n\r\n")
    }

    /// Reads until the other side closes.
    pub fn rest(&mut self) -> String {
        let mut got = Vec::new();
        self.0.read_to_end(&mut got).unwrap();
        String::from_utf8(got).unwrap()
    }
}

/// A server the test plays by hand.
pub(crate) struct Origin(TcpListener);

impl Origin {
    pub fn new() -> Origin {
        Origin(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// The next connection the proxy makes.
    pub fn accept(&self) -> Client {
        Client::over(self.0.accept().unwrap().0)
    }
}

/// An address nobody listens on, nor will for as long as the test runs: the port stays taken.
pub(crate) fn nobody() -> SocketAddr {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    std::mem::forget(socket);
    address
}
