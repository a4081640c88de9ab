//! Idle connections to one server, kept by one worker. The youngest is used first, so that the others may grow old and go.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::super::stream::Stream;
use crate::state::ServerState;

/// How long a connection may wait for its next request. Shorter than most servers' own keep-alive, so that we close first.
pub(crate) const IDLE_LIMIT: Duration = Duration::from_secs(30);
/// Idle connections kept per server and worker.
pub(crate) const IDLE_COUNT: usize = 512;
/// A request that must not be sent twice takes only a connection used within this time: a server that closes idle
/// connections has hardly done so yet.
pub(crate) const FRESH: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Pool {
    server: Arc<ServerState>,
    idle: RefCell<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    stream: Stream,
    since: Instant,
}

impl Pool {
    pub fn new(server: Arc<ServerState>) -> Self {
        Pool { server, idle: RefCell::default() }
    }

    /// A connection that is still open, as far as can be known without asking the kernel.
    pub fn checkout(&self, now: Instant, only_fresh: bool) -> Option<Stream> {
        loop {
            let mut idle = self.idle.borrow_mut();
            if only_fresh && idle.last().is_some_and(|last| now.saturating_duration_since(last.since) > FRESH) {
                return None;
            }
            let mut last = idle.pop()?;
            drop(idle);
            self.server.idle.leave();
            if last.stream.is_quiet() {
                return Some(last.stream);
            }
        }
    }

    /// Keeps a connection whose last response has been read to its end.
    pub fn checkin(&self, stream: Stream, now: Instant) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= IDLE_COUNT || self.server.maintenance.load(Relaxed) {
            return;
        }
        self.server.idle.enter();
        idle.push(Idle { stream, since: now });
    }

    pub fn take_over(&self, other: &Pool) {
        self.idle.borrow_mut().append(&mut other.idle.borrow_mut());
    }

    pub fn purge(&self, now: Instant) {
        let maintenance = self.server.maintenance.load(Relaxed);
        self.idle.borrow_mut().retain_mut(|idle| {
            let keep = !maintenance && now.saturating_duration_since(idle.since) < IDLE_LIMIT && idle.stream.is_quiet();
            if !keep {
                self.server.idle.leave();
            }
            keep
        });
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.idle.borrow().iter().for_each(|_| self.server.idle.leave());
    }
}
