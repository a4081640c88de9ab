//! Idle connections to one server, kept by one worker for all its clients (HAProxy manual 4.2 `http-reuse`).

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::super::stream::Stream;
use super::http2_idle::Home;
use super::http2_pool::Http2Pool;
use crate::balance::idle::{Idle, Kept, Wanted};
use crate::model::backend::PoolSettings;
use crate::moment::Moment;
use crate::state::ServerState;

/// How long a connection may wait for its next request. Shorter than most servers' own keep-alive, so that we close first.
pub(crate) const IDLE_LIMIT: Duration = Duration::from_secs(30);
/// Idle connections kept per server and worker.
pub(crate) const IDLE_COUNT: usize = 512;
/// Wishes for which HTTP/2 connections are shared, per server and worker. Beyond, they are their client's.
const WISHES: usize = 512;
/// A request that must not be sent twice takes only a connection used within this time: a server that closes idle
/// connections has hardly done so yet.
pub(crate) const FRESH: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Pool {
    server: Arc<ServerState>,
    settings: PoolSettings,
    idle: RefCell<Idle<Stream>>,
    http2: Rc<Http2Pool>,
    /// Those opened for what requests wish, which no others may use: a name, an address to come from.
    http2_by_wish: RefCell<HashMap<Box<[u8]>, Rc<Http2Pool>>>,
    /// Idle ones of HTTP/2.
    http2_idle: Rc<Cell<u32>>,
}

/// Counted among a server's idle connections for as long as this lives.
#[derive(Debug)]
pub(super) struct CountedIdle(Arc<ServerState>);

impl CountedIdle {
    /// `None` when there are `most` already, over all workers.
    pub fn enter(server: &Arc<ServerState>, most: Option<u32>) -> Option<Self> {
        server.idle.try_enter(most.unwrap_or(u32::MAX)).then(|| CountedIdle(Arc::clone(server)))
    }
}

impl Drop for CountedIdle {
    fn drop(&mut self) {
        self.0.idle.leave();
    }
}

impl Pool {
    pub fn new(server: Arc<ServerState>, settings: PoolSettings) -> Self {
        let http2_idle = Rc::default();
        let http2 = Http2Pool::new(Home::shared(Arc::clone(&server), settings, Rc::clone(&http2_idle)));
        Pool { server, settings, idle: RefCell::default(), http2, http2_by_wish: RefCell::default(), http2_idle }
    }

    /// A connection that is still open, as far as can be known without asking the kernel.
    pub fn checkout(&self, now: Moment, wanted: Wanted<'_>) -> Option<Kept<Stream>> {
        loop {
            let mut kept = self.idle.borrow_mut().take(now, wanted)?;
            self.server.idle.leave();
            if kept.connection.is_quiet() {
                return Some(kept);
            }
        }
    }

    /// Keeps a connection whose last response has been read to its end, if there is room.
    pub fn checkin(&self, kept: Kept<Stream>) {
        let mut idle = self.idle.borrow_mut();
        let most = self.settings.max_conn.unwrap_or(u32::MAX);
        let welcome = idle.len() < IDLE_COUNT
            && may_be_kept(&self.settings, kept.uses)
            && !self.server.maintenance.load(Relaxed)
            && self.server.idle.try_enter(most);
        if welcome {
            idle.put(kept);
        }
    }

    pub fn take_over(&self, other: &Pool) {
        self.idle.borrow_mut().take_over(&mut other.idle.borrow_mut());
        self.http2.take_over(&other.http2);
        for (wish, other) in other.http2_by_wish.take() {
            if let Some(pool) = self.http2(Some(&wish)) {
                pool.take_over(&other);
            }
        }
    }

    /// Its HTTP/2 connections for requests that wish this, which are shared while they are in use. `None` when there are
    /// connections for too many wishes.
    pub fn http2(&self, wish: Option<&[u8]>) -> Option<Rc<Http2Pool>> {
        let Some(wish) = wish else { return Some(Rc::clone(&self.http2)) };
        let mut pools = self.http2_by_wish.borrow_mut();
        if let Some(pool) = pools.get(wish) {
            return Some(Rc::clone(pool));
        }
        (pools.len() < WISHES).then(|| {
            let home = Home::shared(Arc::clone(&self.server), self.settings, Rc::clone(&self.http2_idle));
            let pool = Http2Pool::new(home);
            pools.insert(wish.into(), Rc::clone(&pool));
            pool
        })
    }

    pub fn purge(&self, now: Moment) {
        let keep = !self.server.maintenance.load(Relaxed);
        self.http2.purge(now, keep);
        self.http2_by_wish.borrow_mut().retain(|_, pool| {
            pool.purge(now, keep);
            !pool.is_empty() || Rc::strong_count(pool) > 1 // somebody may be about to open one
        });
        let mut idle = self.idle.borrow_mut();
        if idle.len() == 0 {
            return;
        }
        let maintenance = self.server.maintenance.load(Relaxed);
        let closed = idle.purge(now, self.settings.purge_delay, |kept| {
            !maintenance && now.saturating_duration_since(kept.since) < IDLE_LIMIT && kept.connection.is_quiet()
        });
        (0..closed).for_each(|_| self.server.idle.leave());
    }
}

/// Whether a connection over which so many requests went may be kept for one more.
pub(super) fn may_be_kept(settings: &PoolSettings, uses: u32) -> bool {
    !settings.purge_delay.is_zero() && settings.max_reuse.is_none_or(|most| uses <= most)
}

impl Drop for Pool {
    fn drop(&mut self) {
        (0..self.idle.borrow().len()).for_each(|_| self.server.idle.leave());
    }
}
