//! Whose turn is it, and is there room? One server for one request, or a place in the queue.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::super::clock;
use super::super::timer::Timer;
use crate::model::ServerId;
use crate::state::snapshot::BackendInForce;
use crate::state::{BackendState, ServerState};

/// One of a server's slots, given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    pub server: ServerId,
    state: Arc<ServerState>,
    backend: Arc<BackendState>,
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
    /// Its place in the backend's queue, from 1 as HAProxy's log tells it; 0 without a wait.
    pub place: u32,
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

enum Try {
    Got(Slot),
    Full,
    NoneUp,
}

impl Slot {
    /// Changes when control wants this server's sessions to end.
    pub fn kill_generation(&self) -> u64 {
        self.state.kill_generation.load(Relaxed)
    }

    pub fn state(&self) -> &Arc<ServerState> {
        &self.state
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.state.sessions.leave();
        if self.backend.queued.now() > 0 {
            self.backend.freed.notify_one();
        }
    }
}

/// The next server in turn that has room, or the one that is wished for.
fn try_once(backend: &BackendInForce, wish: Wish) -> Try {
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
fn enter(backend: &BackendInForce, id: ServerId) -> Option<Slot> {
    let server = backend.server(id);
    match server.config.maxconn {
        None => {
            server.state.sessions.enter();
        }
        Some(limit) if server.state.sessions.try_enter(limit) => {}
        Some(_) => return None,
    }
    Some(Slot { server: id, state: Arc::clone(&server.state), backend: Arc::clone(&backend.state) })
}

/// A slot at once, if nobody waits for one already.
pub(crate) fn try_acquire(backend: &BackendInForce, wish: Wish) -> Result<Option<Slot>, NoServer> {
    if backend.state.queued.now() > 0 {
        return Ok(None);
    }
    match try_once(backend, wish) {
        Try::Got(slot) => Ok(Some(slot)),
        Try::Full => Ok(None),
        Try::NoneUp => Err(NoServer::NoneUp),
    }
}

/// Waits for a slot behind those who wait already, for `timeout queue` at most. `gone` resolves when the client leaves.
pub(crate) async fn acquire(
    backend: &BackendInForce,
    wish: Wish,
    timer: &Timer,
    gone: impl Future<Output = ()>,
) -> Result<(Slot, Waited), NoServer> {
    if let Some(slot) = try_acquire(backend, wish)? {
        return Ok((slot, Waited::default()));
    }
    let state = &backend.state;
    let started: Instant = clock::now();
    let place = state.queued.enter();
    let _place = Place(state);
    let deadline = backend.config.timeouts.queue.or(backend.config.timeouts.connect);
    timer.set_after(deadline);
    let wait = async {
        loop {
            let mut freed = pin!(state.freed.notified());
            freed.as_mut().enable();
            match try_once(backend, wish) {
                Try::Got(slot) => return Ok(slot),
                Try::NoneUp => return Err(NoServer::NoneUp),
                Try::Full => freed.await,
            }
        }
    };
    let wait = async {
        tokio::select! {
            biased;
            found = wait => found,
            () = gone => Err(NoServer::ClientGone),
        }
    };
    let found = timer.bound(wait).await;
    timer.set(None);
    let slot = found.unwrap_or(Err(NoServer::QueueTimedOut))?;
    Ok((slot, Waited { time: clock::now().saturating_duration_since(started), place }))
}

struct Place<'a>(&'a BackendState);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.queued.leave();
    }
}
