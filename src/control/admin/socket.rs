//! Where are the runtime sockets, and who listens on them? They are bound before anything changes and outlive reloads that
//! keep them.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use super::session::{Client, Session};
use crate::control::Handle;
use crate::model::frontend::ListenAddress;
use crate::model::global::{Global, StatsSocket, StatsSocketAddress};
use crate::state::listeners::{BindError, BoundSocket};
use crate::state::panics::{Panics, Witness};

/// Clients that may wait to be accepted, as HAProxy's.
const BACKLOG: u32 = 128;

/// The sockets of one configuration.
#[derive(Debug)]
pub(crate) struct AdminSockets {
    sockets: Vec<AdminSocket>,
    /// A place for each conversation, over all sockets; further clients wait to be accepted.
    places: Arc<Semaphore>,
    manners: Manners,
}

/// `stats maxconn` and `stats timeout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Manners {
    clients: usize,
    idle: Duration,
}

#[derive(Debug)]
struct AdminSocket {
    config: StatsSocket,
    bound: Arc<BoundSocket>,
    /// Accepts, once the control thread runs.
    task: Option<JoinHandle<()>>,
}

/// Sockets made for a configuration that is not in force yet; dropped, the new ones among them are closed again.
#[derive(Debug)]
pub(crate) struct BoundAdminSockets {
    sockets: Vec<(StatsSocket, Arc<BoundSocket>)>,
    manners: Manners,
}

impl BoundAdminSockets {
    pub fn sockets(&self) -> impl Iterator<Item = &BoundSocket> + Clone {
        self.sockets.iter().map(|(_, bound)| &**bound)
    }
}

impl AdminSockets {
    /// Binds what is not bound yet.
    ///
    /// # Errors
    /// All that cannot be bound; nothing has changed then.
    pub fn bind(&self, global: &Global) -> Result<BoundAdminSockets, Vec<BindError>> {
        let (mut bound, mut errors) = (Vec::new(), Vec::new());
        for config in &global.stats_sockets {
            let address = listen_address(config);
            let kept = self.sockets.iter().find(|socket| socket.bound.address == address);
            let ours = self.sockets.iter().any(|socket| same_place(&socket.bound.address, &address));
            let socket = match kept {
                Some(kept) => Ok(Arc::clone(&kept.bound)),
                None => BoundSocket::bind(0, &address, Some(BACKLOG), 1, ours).map(Arc::new),
            };
            match socket {
                Ok(socket) => bound.push((config.clone(), socket)),
                Err(error) => errors.push(error),
            }
        }
        let manners = Manners { clients: global.stats_maxconn.max(1) as usize, idle: global.stats_timeout };
        if errors.is_empty() { Ok(BoundAdminSockets { sockets: bound, manners }) } else { Err(errors) }
    }

    /// Puts these in force. Conversations under way go on; sockets no longer wanted are closed.
    pub fn adopt(&mut self, bound: BoundAdminSockets) {
        let mut before = std::mem::take(&mut self.sockets);
        let same_manners = self.manners == bound.manners;
        if !same_manners {
            self.manners = bound.manners;
            self.places = Arc::new(Semaphore::new(bound.manners.clients));
        }
        for (config, bound) in bound.sockets {
            let same = |old: &AdminSocket| same_manners && old.config == config && Arc::ptr_eq(&old.bound, &bound);
            let task = before.iter_mut().find(|old| same(old)).and_then(|old| old.task.take());
            self.sockets.push(AdminSocket { config, bound, task });
        }
        for gone in before {
            if let Some(task) = gone.task {
                task.abort();
            }
        }
    }

    /// Gives back abstract names, which whoever follows this process cannot have before. Places in the file system are simply
    /// taken over.
    pub fn give_back_names(&mut self) {
        for socket in self.sockets.iter_mut().filter(|socket| is_abstract(&socket.bound.address)) {
            socket.bound.stop_listening(0);
            if let Some(task) = socket.task.take() {
                task.abort();
            }
        }
        self.sockets.retain(|socket| !is_abstract(&socket.bound.address));
    }

    /// Starts to accept where nobody does yet. Only on the control thread, within its tasks.
    pub fn serve(&mut self, handle: &Handle, panics: &Panics) {
        for socket in self.sockets.iter_mut().filter(|socket| socket.task.is_none()) {
            let listener = socket.bound.for_worker(0).and_then(|fd| Listener::new(fd, &socket.config.address));
            match listener {
                Ok(listener) => {
                    let client = Client { level: socket.config.level, idle: self.manners.idle, handle: handle.clone() };
                    let accepting = accept(listener, client, Arc::clone(&self.places), panics.clone());
                    socket.task = Some(tokio::task::spawn_local(accepting));
                }
                Err(error) => tracing::error!(%error, address = %socket.bound.address, "cannot serve a runtime socket"),
            }
        }
    }
}

impl Default for AdminSockets {
    fn default() -> Self {
        AdminSockets {
            sockets: Vec::new(),
            places: Arc::new(Semaphore::new(1)),
            manners: Manners { clients: 1, idle: Duration::ZERO },
        }
    }
}

fn is_abstract(address: &ListenAddress) -> bool {
    matches!(address, ListenAddress::Unix(options) if options.is_abstract)
}

fn listen_address(config: &StatsSocket) -> ListenAddress {
    match &config.address {
        StatsSocketAddress::Unix(options) => ListenAddress::Unix(options.clone()),
        StatsSocketAddress::Tcp(address) => {
            ListenAddress::Tcp { address: *address, v6only: false, interface: None, mss: None }
        }
    }
}

/// Another mode or owner of the same file: a new socket that replaces ours.
fn same_place(old: &ListenAddress, new: &ListenAddress) -> bool {
    matches!((old, new), (ListenAddress::Unix(old), ListenAddress::Unix(new)) if old.path == new.path)
}

enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listener {
    fn new(fd: OwnedFd, address: &StatsSocketAddress) -> io::Result<Self> {
        Ok(match address {
            StatsSocketAddress::Unix(_) => {
                let listener = std::os::unix::net::UnixListener::from(fd);
                listener.set_nonblocking(true)?;
                Listener::Unix(UnixListener::from_std(listener)?)
            }
            StatsSocketAddress::Tcp(_) => {
                let listener = std::net::TcpListener::from(fd);
                listener.set_nonblocking(true)?;
                Listener::Tcp(TcpListener::from_std(listener)?)
            }
        })
    }
}

/// How long accepting pauses when the system has no file descriptors left.
const PAUSE: Duration = Duration::from_millis(200);

async fn accept(listener: Listener, client: Client, places: Arc<Semaphore>, panics: Panics) {
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = match &listener {
            Listener::Unix(listener) => listener.accept().await.map(|(stream, _)| {
                let session = Session::new(stream, client.clone());
                tokio::task::spawn_local(talk(session.run(), place, panics.witness()));
            }),
            Listener::Tcp(listener) => listener.accept().await.map(|(stream, _)| {
                let session = Session::new(stream, client.clone());
                tokio::task::spawn_local(talk(session.run(), place, panics.witness()));
            }),
        };
        if let Err(error) = accepted {
            tracing::warn!(%error, "cannot accept on a runtime socket");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn talk(session: impl Future<Output = io::Result<()>>, place: OwnedSemaphorePermit, _witness: Witness) {
    if let Err(error) = session.await {
        tracing::debug!(%error, "a client of a runtime socket went away");
    }
    drop(place);
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::path::PathBuf;

    use super::*;
    use crate::model::frontend::UnixSocketOptions;
    use crate::model::global::AccessLevel;
    use crate::model::testing;
    use crate::state::listeners::take_places;

    /// A configuration with one runtime socket, in a directory of this test's own.
    fn global(path: &std::path::Path, mode: u32, level: AccessLevel) -> Global {
        let options =
            UnixSocketOptions { path: path.to_owned(), is_abstract: false, mode: Some(mode), user: None, group: None };
        Global {
            stats_sockets: vec![StatsSocket { address: StatsSocketAddress::Unix(options), level }],
            ..testing::global()
        }
    }

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("lockgate-{name}-{}.sock", std::process::id()))
    }

    fn put(sockets: &mut AdminSockets, global: &Global) {
        let bound = sockets.bind(global).unwrap();
        take_places(bound.sockets()).unwrap();
        sockets.adopt(bound);
    }

    fn bound(sockets: &AdminSockets) -> Option<Arc<BoundSocket>> {
        sockets.sockets.first().map(|socket| Arc::clone(&socket.bound))
    }

    #[test]
    fn sockets_outlive_reloads_that_keep_them() {
        let path = path("kept");
        let mut sockets = AdminSockets::default();
        put(&mut sockets, &global(&path, 0o600, AccessLevel::Admin));
        let first = bound(&sockets).unwrap();

        put(&mut sockets, &global(&path, 0o600, AccessLevel::User));
        assert!(Arc::ptr_eq(&first, &bound(&sockets).unwrap()), "another level needs no other socket");

        put(&mut sockets, &global(&path, 0o660, AccessLevel::User));
        assert!(!Arc::ptr_eq(&first, &bound(&sockets).unwrap()), "another mode does");
        drop(first);
        assert!(path.exists(), "the old socket took the new one's file with it");

        put(&mut sockets, &testing::global());
        assert!(!path.exists(), "a socket no longer wanted leaves its file");
    }

    #[test]
    fn what_cannot_be_bound_changes_nothing() {
        let mut wrong = global(&path("wrong"), 0o600, AccessLevel::Admin);
        let nowhere = UnixSocketOptions {
            path: "/nonexistent/lockgate.sock".into(),
            is_abstract: false,
            mode: None,
            user: None,
            group: None,
        };
        wrong.stats_sockets.push(StatsSocket { address: StatsSocketAddress::Unix(nowhere), level: AccessLevel::User });
        assert_eq!(AdminSockets::default().bind(&wrong).map(|_| ()).map_err(|errors| errors.len()), Err(1));
        assert!(!path("wrong").exists(), "the good one stayed bound");
    }

    #[test]
    fn a_real_client_is_served() {
        let path = path("served");
        let (events, mut incoming) = tokio::sync::mpsc::channel(4);
        let mut sockets = AdminSockets::default();
        put(&mut sockets, &global(&path, 0o600, AccessLevel::User));
        let client = std::thread::spawn(move || {
            let mut stream = UnixStream::connect(path).unwrap();
            stream.write_all(b"show cli level;show version\n").unwrap();
            let mut heard = String::new();
            stream.read_to_string(&mut heard).unwrap();
            heard
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            sockets.serve(&Handle::to(events), &Panics::default());
            let Some(crate::control::controller::Event::Line(request)) = incoming.recv().await else {
                panic!("no line")
            };
            assert_eq!((request.line.as_str(), request.level), ("show version", AccessLevel::User));
            request.reply.send("3\n".to_owned()).unwrap();
            let heard = tokio::task::spawn_blocking(move || client.join().unwrap()).await.unwrap();
            assert_eq!(heard, "user\n\n3\n\n");
        });
    }
}
