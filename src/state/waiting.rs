//! The room where a backend's requests wait for a server with a free slot, on whichever worker each may be.
//!
//! A slot is an atomic count, so that no request pays for a queue that is empty; the queue itself is behind a lock.
//! The two meet so: who finds all servers full joins the queue and then looks at the servers once more; who frees a
//! slot looks at the queue after that. One of them sees the other, so no slot is left lying while somebody waits. Who
//! comes while others wait goes behind them, without a look at the servers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst, fence};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;

use super::servers::{BackendState, ServerState};
use super::threads::lock;
use crate::balance::queue::{Queue, ServerKey, Standing, Ticket, Want};

#[derive(Debug, Default)]
pub(crate) struct WaitingRoom {
    room: Mutex<Room>,
    /// How many are in the room, for those who only pass by.
    inside: AtomicU32,
}

#[derive(Debug, Default)]
struct Room {
    queue: Queue,
    wakers: HashMap<Ticket, Waker>,
    /// Whose slots were granted and not taken yet.
    granted: HashMap<Ticket, Arc<ServerState>>,
}

impl WaitingRoom {
    /// Whether somebody waits: who comes now goes behind them.
    pub fn is_empty(&self) -> bool {
        self.inside.load(SeqCst) == 0
    }

    /// Requests that wait for this server alone.
    pub fn waiting_for(&self, server: ServerKey) -> usize {
        if self.is_empty() { 0 } else { self.lock().queue.waiting_for(server) }
    }

    /// Joins those who wait. The caller must [`Self::offer`] every server's slots next: one may have become free before
    /// anybody waited for it.
    pub fn join(&self, now_ms: i64, class: i16, offset_ms: i32, want: Want) -> Ticket {
        let mut room = self.lock();
        let ticket = room.queue.join(now_ms, class, offset_ms, want);
        self.inside.fetch_add(1, SeqCst);
        drop(room);
        fence(SeqCst);
        ticket
    }

    /// As [`Queue::place`].
    pub fn place(&self, ticket: Ticket) -> u32 {
        u32::try_from(self.lock().queue.place(ticket)).unwrap_or(u32::MAX)
    }

    /// Gives a server's free slots to those who wait, one by one, as long as `take` gets one.
    pub fn offer(&self, server: &Arc<ServerState>, mut take: impl FnMut() -> bool) {
        let mut woken = Vec::new();
        let mut room = self.lock();
        while let Some(first) = room.queue.first_for(server.key) {
            if !take() {
                break;
            }
            room.queue.grant(first, server.key);
            room.granted.insert(first, Arc::clone(server));
            woken.extend(room.wakers.remove(&first));
        }
        drop(room);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Whether a slot was taken for it; [`Self::leave`] gives it. If not, `waker` is woken when that may have changed.
    pub fn is_granted(&self, ticket: Ticket, waker: &Waker) -> bool {
        let mut room = self.lock();
        if matches!(room.queue.standing(ticket), Some(Standing::Granted(_))) {
            return true;
        }
        match room.wakers.get_mut(&ticket) {
            Some(known) => known.clone_from(waker),
            None => drop(room.wakers.insert(ticket, waker.clone())),
        }
        false
    }

    /// Leaves. A slot that was taken for it meanwhile is the caller's: to use, or to [`free`].
    #[must_use = "a granted slot would be lost"]
    pub fn leave(&self, ticket: Ticket) -> Option<Arc<ServerState>> {
        let mut room = self.lock();
        room.wakers.remove(&ticket);
        let granted = room.queue.leave(ticket);
        self.inside.fetch_sub(1, SeqCst);
        granted.and_then(|_| room.granted.remove(&ticket))
    }

    /// Takes its place again after [`Self::leave`].
    pub fn rejoin(&self, ticket: Ticket, want: Want) {
        self.lock().queue.rejoin(ticket, want);
        self.inside.fetch_add(1, SeqCst);
        fence(SeqCst);
    }

    /// The backend's servers have changed: those that are `gone` have no line of their own any more, and everyone looks
    /// again.
    pub fn changed(&self, gone: impl IntoIterator<Item = ServerKey>) {
        let mut room = self.lock();
        gone.into_iter().for_each(|server| room.queue.forget(server));
        let woken: Vec<Waker> = room.wakers.drain().map(|(_, waker)| waker).collect();
        drop(room);
        woken.into_iter().for_each(Waker::wake);
    }

    /// A panic of another holder left no half-made change: every step is one call of the queue.
    fn lock(&self) -> MutexGuard<'_, Room> {
        lock(&self.room)
    }
}

impl ServerState {
    /// Takes one of its slots if there is one: for a request that does not wait, or one that is offered it.
    pub fn try_enter(&self, backend: &BackendState) -> bool {
        if !self.has_limit() {
            self.sessions.enter();
            return true;
        }
        self.sessions.try_enter(self.limit().at(backend.sessions.now()))
    }
}

/// Gives a slot back, and to whoever waits for it.
pub(crate) fn free(server: &Arc<ServerState>, backend: &BackendState) {
    server.sessions.leave();
    if server.has_limit() {
        fence(SeqCst);
        pass_on(server, backend);
    } // else nobody has to wait for it
}

/// The second half of that: between the two anybody may have come.
fn pass_on(server: &Arc<ServerState>, backend: &BackendState) {
    if !backend.room.is_empty() && server.takes_traffic() {
        backend.room.offer(server, || server.try_enter(backend));
    }
}

#[cfg(test)]
mod simulation;
