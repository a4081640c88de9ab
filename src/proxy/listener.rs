//! Takes connections in while there is room for them; when there is none, they wait in the kernel's backlog.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rustix::event::{self, PollFd, PollFlags, Timespec};
use rustix::net::{self, SocketFlags};
use tokio::io::Interest;

use super::accepted::{Accepted, Watch};
use super::clock;
use super::connection::{self, Ends};
use super::stream::Plain;
use super::view::View;
use super::worker::Worker;
use crate::moment::Moment;
use crate::state::listeners::BoundSocket;
use crate::state::snapshot::ListenerInForce;
use crate::state::{FrontendState, ListenerState};
use crate::sys;

/// How often a full process or frontend is asked whether it has room again although no connection has gone: its limit may
/// have been raised.
const ROOM_LOOK: Duration = Duration::from_millis(200);
/// What to wait when the kernel gives no connection (out of descriptors).
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// One listening socket registered with this worker's event loop.
pub(crate) struct Acceptor {
    listener: Watch,
    kind: Kind,
    /// The last connection was waited for, so it may have come alone.
    alone: Cell<bool>,
}

enum Kind {
    Tcp { local: Option<SocketAddr> },
    Unix,
}

impl Acceptor {
    pub fn open(socket: &BoundSocket, worker: usize) -> io::Result<Self> {
        let fd: OwnedFd = socket.for_worker(worker)?;
        rustix::io::ioctl_fionbio(&fd, true)?;
        let kind = match socket.local {
            // A wildcard says nothing about the address a client reached.
            Some(local) => Kind::Tcp { local: (!local.ip().is_unspecified()).then_some(local) },
            None => Kind::Unix,
        };
        Ok(Acceptor { listener: sys::watch(Rc::new(fd), Interest::READABLE)?, kind, alone: Cell::new(false) })
    }

    async fn accept(&self) -> io::Result<(Plain, Ends)> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let accept = |listener: &Rc<OwnedFd>| {
            if self.alone.take() && !has_one_more(listener) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(net::acceptfrom_with(listener, flags)?)
        };
        let mut accepting = pin!(self.listener.async_io(Interest::READABLE, accept));
        let mut waited = false;
        let (socket, peer) = poll_fn(|cx| {
            let accepted = accepting.as_mut().poll(cx);
            waited |= accepted.is_pending();
            accepted
        })
        .await?;
        self.alone.set(waited);
        let ends = match self.kind {
            Kind::Unix => Ends { peer: None, local: None },
            Kind::Tcp { local } => {
                let own = || net::getsockname(&socket).ok()?.try_into().ok();
                Ends { peer: peer.and_then(|peer| peer.try_into().ok()), local: local.or_else(own) }
            }
        };
        Ok((Plain::Accepted(Box::new(Accepted::new(socket, !waited))), ends))
    }
}

/// Whether a connection may wait to be accepted: only the kernel's plain no is one, for who is told that waits for the next
/// client. To ask costs much less than to try: the kernel makes a socket before it looks.
fn has_one_more(listener: &Rc<OwnedFd>) -> bool {
    let mut asked = [PollFd::new(listener, PollFlags::IN)];
    event::poll(&mut asked, Some(&Timespec::default())) != Ok(0)
}

/// The places one connection takes in its process, frontend and listener, given back when dropped.
pub(crate) struct Places {
    worker: Rc<Worker>,
    frontend: Arc<FrontendState>,
    listener: Arc<ListenerState>,
}

impl Places {
    /// None while one of the three is full.
    pub(super) fn take(worker: &Rc<Worker>, view: &View, listener: &ListenerInForce) -> Option<Self> {
        let (process, frontend) = (&worker.shared.process, &view.frontend(listener.frontend).state);
        let limits = Limits::of(view, listener);
        if !process.connections.reserve(limits.process) {
            return None;
        }
        if !frontend.sessions.reserve(limits.frontend) {
            process.connections.leave();
            return None;
        }
        if !listener.state.sessions.reserve(limits.listener) {
            frontend.sessions.leave();
            process.connections.leave();
            return None;
        }
        for gauge in [&process.connections, &frontend.sessions, &listener.state.sessions] {
            gauge.arrived();
        }
        process.total_connections.fetch_add(1, Relaxed);
        worker.connections.set(worker.connections.get() + 1);
        for shard in [frontend.counters.of(worker.index), listener.state.counters.of(worker.index)] {
            shard.connections.add(1);
        }
        Some(Places {
            worker: Rc::clone(worker),
            frontend: Arc::clone(frontend),
            listener: Arc::clone(&listener.state),
        })
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        self.listener.sessions.leave();
        self.frontend.sessions.leave();
        self.worker.shared.process.connections.leave();
        self.worker.shared.process.panics.count_if_panicking();
        self.worker.shared.process.room.made();
        self.worker.connections.set(self.worker.connections.get() - 1);
    }
}

/// How many connections there may be.
struct Limits {
    process: u32,
    frontend: u32,
    listener: u32,
}

impl Limits {
    fn of(view: &View, listener: &ListenerInForce) -> Self {
        let frontend = view.frontend(listener.frontend);
        let changed = frontend.state.maxconn_override.load(Relaxed);
        Limits {
            process: view.config.global.maxconn,
            frontend: if changed == u32::MAX { frontend.config.maxconn.unwrap_or(u32::MAX) } else { changed },
            listener: frontend.config.listeners[listener.index].maxconn.unwrap_or(u32::MAX),
        }
    }
}

/// Whether one more connection may come in through this listener. Another worker may be quicker to let one in.
fn has_room(worker: &Worker, view: &View, listener: &ListenerInForce) -> bool {
    let limits = Limits::of(view, listener);
    worker.shared.process.connections.now() < limits.process
        && view.frontend(listener.frontend).state.sessions.now() < limits.frontend
        && listener.state.sessions.now() < limits.listener
}

/// Accepts until aborted.
pub(crate) async fn accept_loop(worker: Rc<Worker>, socket: u64, acceptor: Acceptor) {
    loop {
        let room = || {
            let view = worker.view();
            view.listener_of(socket).is_some_and(|(_, listener)| has_room(&worker, &view, listener))
        };
        if !room() {
            worker.shared.process.room.wait(ROOM_LOOK, room).await;
            continue;
        }
        match acceptor.accept().await {
            Ok((stream, ends)) => {
                hold(&worker, socket).await;
                loop {
                    let view = worker.view();
                    let Some((index, listener)) = view.listener_of(socket) else { return };
                    #[cfg(test)]
                    super::panic_tests::inject("accept", view.frontend(listener.frontend).config.name.as_bytes());
                    if let Some(places) = Places::take(&worker, &view, listener) {
                        connection::spawn(&worker, view, index, places, stream, ends);
                        break;
                    }
                    worker.shared.process.room.wait(ROOM_LOOK, room).await;
                }
            }
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                worker.buffers.make_room_after(&error);
                tracing::warn!(worker = worker.index, %error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// Holds an accepted connection as long as its frontend has let in too many in this second (`rate-limit sessions`); those
/// behind it wait in the backlog.
async fn hold(worker: &Worker, socket: u64) {
    loop {
        let wait = {
            let view = worker.view();
            let Some((_, listener)) = view.listener_of(socket) else { return };
            let frontend = view.frontend(listener.frontend);
            let Some(most) = frontend.config.session_rate else { return };
            let mut rate = frontend.state.rate.lock().unwrap_or_else(PoisonError::into_inner);
            let now_ms = clock::now().ms_since(Moment::ORIGIN);
            rate.admit(now_ms, most)
        };
        match wait {
            Ok(()) => return,
            Err(wait_ms) => tokio::time::sleep(Duration::from_millis(wait_ms)).await,
        }
    }
}

/// The client gave up while it waited in the backlog.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}
