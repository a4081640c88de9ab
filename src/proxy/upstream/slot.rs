//! Whose turn is it, and is there room? One server for one request, or a place in the queue.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use super::super::clock;
use super::super::timer::Timer;
use crate::balance::queue::{Ticket, Want};
use crate::model::ServerId;
use crate::moment::Moment;
use crate::rules::Handling;
use crate::state::ServerState;
use crate::state::snapshot::{BackendInForce, ServerInForce};
use crate::state::waiting::free;

/// One of a server's slots, given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot<'b> {
    pub server: ServerId,
    backend: &'b BackendInForce,
}

/// Why there is no server for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoServer {
    /// Nothing is up.
    NoneUp,
    /// All are full and `timeout queue` has passed.
    QueueTimedOut,
    /// The client left while waiting.
    ClientGone,
}

/// What the wait for a slot was like, for the log.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Waited {
    pub time: Duration,
    /// How manieth it was to be served since it came, from 1 as HAProxy's log tells it; 0 without a wait.
    pub place: u32,
    pub line: Line,
}

/// Where it waited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Line {
    /// For any server.
    #[default]
    Backend,
    /// For the one it had to go to.
    Server,
}

/// Which server an attempt would like.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Wish {
    #[default]
    Any,
    /// It has just failed, and is passed over while there is another.
    Another(ServerId),
    /// The same again, as long as it is in the rotation.
    Same(ServerId),
}

enum Try<'b> {
    Got(Slot<'b>),
    Full,
    NoneUp,
}

impl<'b> Slot<'b> {
    /// Changes when control wants this server's sessions to end.
    pub fn kill_generation(&self) -> u64 {
        self.state().kill_generation.load(Relaxed)
    }

    /// Runs a future. `None`: control wanted this server's sessions to end first, and has woken all who hold a timer.
    pub async fn unless_killed<F: Future>(&self, future: F) -> Option<F::Output> {
        let generation = self.kill_generation();
        let mut future = pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.kill_generation() != generation => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    pub fn state(&self) -> &'b Arc<ServerState> {
        &self.backend.server(self.server).state
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        free(self.state(), &self.backend.state);
    }
}

/// The next server in turn that has room, or the one that is wished for.
fn try_once(backend: &BackendInForce, wish: Wish) -> Try<'_> {
    let rotation = backend.rotation.load();
    let avoid = match wish {
        Wish::Any => None,
        Wish::Another(avoid) => Some(avoid).filter(|avoid| rotation.members.iter().any(|member| member != avoid)),
        Wish::Same(id) if rotation.members.contains(&id) => return enter(backend, id).map_or(Try::Full, Try::Got),
        Wish::Same(_) => None,
    };
    let first = backend.state.cursor.0.fetch_add(1, Relaxed);
    let mut full_passed_over = false;
    for turn in 0..rotation.turns.len().max(1) as u64 {
        let Some(id) = rotation.turn(first.wrapping_add(turn)) else { return Try::NoneUp };
        if Some(id) == avoid {
            continue;
        }
        if let Some(slot) = enter(backend, id) {
            if turn > 0 && !full_passed_over {
                // `avoid` was passed over: its turn is spent, and the next request starts behind this server.
                backend.state.cursor.0.fetch_add(turn, Relaxed);
            }
            return Try::Got(slot);
        }
        full_passed_over = true;
    }
    Try::Full
}

/// One of the server's slots, if it has one to give.
fn enter(backend: &BackendInForce, id: ServerId) -> Option<Slot<'_>> {
    backend.server(id).state.try_enter(&backend.state).then(|| Slot { server: id, backend })
}

/// A slot at once, if nobody waits for one already.
pub(crate) fn try_acquire(backend: &BackendInForce, wish: Wish) -> Result<Option<Slot<'_>>, NoServer> {
    if !backend.state.room.is_empty() {
        return Ok(None);
    }
    match try_once(backend, wish) {
        Try::Got(slot) => Ok(Some(slot)),
        Try::Full => Ok(None),
        Try::NoneUp => Err(NoServer::NoneUp),
    }
}

/// Waits for a slot among those who wait already, for `timeout queue` at most. `gone` resolves when the client leaves.
pub(crate) async fn acquire<'b>(
    backend: &'b BackendInForce,
    wish: Wish,
    handling: Handling,
    timer: &Timer,
    gone: impl Future<Output = ()>,
) -> (Result<Slot<'b>, NoServer>, Waited) {
    match try_acquire(backend, wish) {
        Ok(Some(slot)) => return (Ok(slot), Waited::default()),
        Ok(None) => {}
        Err(none) => return (Err(none), Waited::default()),
    }
    let started: Moment = clock::now();
    let mut place = Place::join(backend, wish, handling, started);
    timer.set_after(backend.config.timeouts.queue.or(backend.config.timeouts.connect));
    let wait = async {
        tokio::select! {
            // First: what frees a slot may be the end of the connection whose next request waits here.
            biased;
            () = gone => Err(NoServer::ClientGone),
            found = poll_fn(|cx| place.poll(cx)) => found,
        }
    };
    let found = timer.bound(wait).await;
    timer.set(None);
    let time = clock::now().saturating_duration_since(started);
    place.look();
    let waited = Waited { time, place: place.number, line: place.line() };
    (found.unwrap_or(Err(NoServer::QueueTimedOut)), waited)
}

/// A place in the room where requests wait.
struct Place<'a> {
    backend: &'a BackendInForce,
    want: Want,
    /// `None` once it was left.
    ticket: Option<Ticket>,
    number: u32,
    server: Option<&'a Arc<ServerState>>,
}

impl<'a> Place<'a> {
    fn join(backend: &'a BackendInForce, wish: Wish, handling: Handling, now: Moment) -> Self {
        let server = match wish {
            Wish::Same(id) if backend.rotation.load().members.contains(&id) => Some(backend.server(id)),
            _ => None,
        };
        // Who finds its server's own line too long goes to any other (HAProxy manual 5.2 `maxqueue`).
        let room = &backend.state.room;
        let fits = |server: &&ServerInForce| {
            server.config.maxqueue.is_none_or(|most| room.waiting_for(server.state.key) < most as usize)
        };
        let server = server.filter(fits).map(|server| &server.state);
        let want = server.map_or(Want::Any, |server| Want::Only(server.key));
        let now_ms = i64::try_from(now.ms_since(Moment::ORIGIN)).unwrap_or(i64::MAX);
        let ticket = room.join(now_ms, handling.priority_class, handling.priority_offset_ms, want);
        server.map_or(&backend.state.queued, |server| &server.queued).enter();
        let place = Place { backend, want, ticket: Some(ticket), number: 1, server };
        place.offer_all();
        place
    }

    /// Notes which it is, as long as it has a ticket.
    fn look(&mut self) {
        if let Some(ticket) = self.ticket {
            self.number = self.backend.state.room.place(ticket);
        }
    }

    fn line(&self) -> Line {
        if self.server.is_some() { Line::Server } else { Line::Backend }
    }

    /// Slots that became free before anybody waited, and those that more sessions of the backend allow (`minconn`).
    fn offer_all(&self) {
        let state = &self.backend.state;
        let rotation = self.backend.rotation.load();
        for id in &rotation.members {
            let server = &self.backend.server(*id).state;
            if server.sessions.now() < server.limit().at(state.sessions.now()) {
                state.room.offer(server, || server.try_enter(state));
            }
        }
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<Slot<'a>, NoServer>> {
        let Some(ticket) = self.ticket else { return Poll::Ready(Err(NoServer::NoneUp)) };
        let backend = self.backend;
        let room = &backend.state.room;
        while room.is_granted(ticket, cx.waker()) {
            self.look();
            let Some(state) = room.leave(ticket) else { break };
            let known = backend.servers.iter().find(|server| Arc::ptr_eq(&server.state, &state));
            if let Some(server) = known {
                self.left();
                return Poll::Ready(Ok(Slot { server: server.config.id, backend }));
            }
            // Of a server that came with a reload, which this request does not know: for those behind it.
            free(&state, &backend.state);
            room.rejoin(ticket, self.want);
        }
        if backend.rotation.load().members.is_empty() {
            return Poll::Ready(Err(NoServer::NoneUp));
        }
        // Woken without a slot: something changed.
        self.offer_all();
        Poll::Pending
    }

    fn left(&mut self) {
        self.ticket = None;
        self.server.map_or(&self.backend.state.queued, |server| &server.queued).leave();
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let granted = self.backend.state.room.leave(ticket);
            self.left();
            if let Some(server) = granted {
                free(&server, &self.backend.state);
            }
        }
    }
}
