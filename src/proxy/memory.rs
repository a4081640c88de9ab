//! What does a whole worker make of bytes, without a socket? For tests and fuzz targets: a client's bytes go in, a server's
//! bytes stand ready behind a pooled connection, and afterwards nothing may be left.

use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;

use super::connection::{self, Connection, Ends};
use super::listener::Places;
use super::stream::{Plain, Stream};
use super::worker::Worker;
use super::{clock, http2_server};
use crate::balance::idle::Kept;
use crate::model::{BackendId, Config, ServerId};
use crate::state::events::{EVENT_QUEUE, Event, Phase, Process};
use crate::state::listeners::{BoundSocket, take_places};
use crate::state::snapshot::BoundListener;
use crate::state::tls::TlsShared;
use crate::state::{Rotation, Shared, Snapshot};

/// Bytes under way in each direction.
const PIPE: usize = 16 * 1024;
/// Connections to the server that stand ready.
const SERVERS: usize = 4;
/// Turns of the event loop that an exchange in memory takes at most.
const TURNS: usize = 100;
/// How long a client may take to be done with, once it has ended its side.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a client speaks on a connection of the first listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    Http1,
    Http2,
}

/// Every address bound, every server of every backend in its rotation.
pub(crate) fn all_in_rotation(config: Config) -> Snapshot {
    let workers = config.global.threads.get();
    let mut sockets = Vec::new();
    for frontend in &config.frontends {
        for (index, listener) in frontend.listeners.iter().enumerate() {
            let socket = BoundSocket::bind(sockets.len() as u64, &listener.address, None, workers, false);
            let socket = socket.expect("a free port");
            sockets.push(BoundListener { frontend: frontend.id, index, socket: Arc::new(socket) });
        }
    }
    take_places(sockets.iter().map(|bound| &*bound.socket)).expect("places for unix sockets");
    let tls = TlsShared::new(config.global.sessions, clock::refresh().instant()).expect("keys for tickets");
    let snapshot = Snapshot::build(config, None, sockets, &tls, workers);
    for backend in &snapshot.backends {
        let members: Box<[ServerId]> = backend.config.servers.iter().map(|server| server.id).collect();
        let turns = members.clone();
        backend.publish(Rotation { turns, members, ..Rotation::default() });
    }
    snapshot
}

/// What workers share, and the end of it that control would hold.
pub(crate) fn shared(snapshot: Snapshot, workers: usize) -> (Arc<Shared>, mpsc::Receiver<Event>) {
    let (events_in, events) = mpsc::channel(EVENT_QUEUE);
    let shared = Arc::new(Shared {
        snapshot: Arc::new(snapshot).into(),
        phase: watch::channel(Phase::Running { generation: 1 }).0,
        events: events_in,
        dropped_events: Default::default(),
        process: Process::new(workers),
    });
    (shared, events)
}

/// Lets one client say all it has to say to a new worker, and gives what it got. Servers of the first backend answer each
/// connection with `from_server` once they were asked something.
pub(crate) fn talk(shared: &Arc<Shared>, speaks: Speaks, from_client: &[u8], from_server: &[u8]) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("an event loop");
    let tasks = LocalSet::new();
    let got = tasks.block_on(&runtime, async {
        clock::refresh();
        let worker = Worker::new(0, Arc::clone(shared));
        tokio::task::spawn_local(Rc::clone(&worker.timers).drive());
        for _ in 0..SERVERS {
            let (near, far) = duplex(PIPE);
            tokio::task::spawn_local(answer(far, from_server.to_vec()));
            let connection = Stream::Plain(Plain::Memory(near));
            let ready = Kept { connection, since: clock::now(), uses: 2, wish: None };
            worker.view().pool(BackendId(0), ServerId(0)).checkin(ready);
        }
        let (near, far) = duplex(PIPE);
        accept(&worker, speaks, far);
        tokio::time::timeout(PATIENCE, converse(near, speaks, from_client))
            .await
            .expect("the client is never done with")
    });
    drop(tasks);
    assert_nothing_is_left(shared);
    got
}

/// Serves one client on the first listener.
pub(super) fn accept(worker: &Rc<Worker>, speaks: Speaks, stream: DuplexStream) {
    let view = worker.view();
    let Some(places) = Places::take(worker, &view, &view.listeners[0]) else { return };
    let at = |last, port| Some(SocketAddr::from((Ipv4Addr::new(192, 0, 2, last), port)));
    let ends = Ends { peer: at(7, 54_321), local: at(1, 80) };
    let plain = Plain::Memory(stream);
    match speaks {
        Speaks::Http1 => connection::spawn(worker, view, 0, places, plain, ends),
        Speaks::Http2 => {
            let connection = Connection::accepted(worker, view, 0, places, ends);
            tokio::task::spawn_local(http2_server::serve(connection, Stream::Plain(plain), Vec::new()));
        }
    }
}

/// Sends and reads at the same time, to the end of both.
async fn converse(client: DuplexStream, speaks: Speaks, from_client: &[u8]) -> Vec<u8> {
    let (mut reading, mut writing) = tokio::io::split(client);
    let mut got = Vec::new();
    let write = async {
        // The proxy may have had enough before.
        let _ = writing.write_all(from_client).await;
        if speaks == Speaks::Http2 {
            // With its end, a client gives up what it asked for: let everything that can happen without it happen before.
            for _ in 0..TURNS {
                tokio::task::yield_now().await;
            }
        }
        let _ = writing.shutdown().await;
    };
    let (_, read) = tokio::join!(write, reading.read_to_end(&mut got));
    let _ = read;
    got
}

async fn answer(mut far: DuplexStream, bytes: Vec<u8>) {
    let mut buffer = [0; 1024];
    if matches!(far.read(&mut buffer).await, Ok(1..)) {
        let _ = far.write_all(&bytes).await;
        let _ = far.shutdown().await;
        while matches!(far.read(&mut buffer).await, Ok(1..)) {}
    }
}

fn assert_nothing_is_left(shared: &Arc<Shared>) {
    let snapshot = shared.snapshot.load();
    let frontend = &snapshot.frontends[0].state;
    let backends = snapshot.backends.iter().map(|backend| &backend.state);
    let servers = snapshot.backends.iter().flat_map(|backend| &backend.servers).map(|server| &server.state);
    let sessions = backends.clone().map(|backend| backend.sessions.now());
    let queued = backends.map(|backend| backend.queued.now());
    let of_servers = servers.flat_map(|server| [server.sessions.now(), server.idle.now()]);
    let mut left = vec![shared.process.connections.now(), frontend.sessions.now()];
    left.extend(sessions.chain(queued).chain(of_servers));
    assert!(left.iter().all(|count| *count == 0), "left behind: {left:?}");
}
