//! Connections that only one client's requests may use: they carry its name (a PROXY header), were authenticated as it
//! (NTLM), or are not shared because it was said so (`http-reuse never`). Kept by the worker until that client goes.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::super::stream::Stream;
use super::super::worker::Worker;
use super::http2_idle::Home;
use super::http2_pool::Http2Pool;
use super::pool::may_be_kept;
use crate::balance::idle::Kept;
use crate::model::{Server, ServerId};
use crate::moment::Moment;
use crate::state::ServerState;
use crate::state::snapshot::{BackendInForce, ServerInForce};

/// Connections kept for one client, of HTTP/1 and of HTTP/2 (HAProxy manual 4.2 `max-session-srv-conns`).
pub(super) const MOST_PER_CLIENT: usize = 5;

/// A client connection as the way to servers knows it.
pub(crate) struct Client {
    worker: Rc<Worker>,
    number: u64,
    /// A request of it has been on the way to a server: it is known to come back when a connection breaks.
    asked: Cell<bool>,
    /// Where its last request went, while the next one should go there too.
    last: RefCell<Option<Last>>,
}

#[derive(Debug)]
struct Last {
    server: Arc<ServerState>,
    bond: Bond,
}

/// Why a client's next request should go where the last one went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bond {
    /// `option prefer-last-server`
    Wish,
    /// It was asked who it is, and nobody else knows what to make of its answer.
    Challenge,
}

impl Client {
    pub fn new(worker: &Rc<Worker>) -> Self {
        let number = worker.owned.next_number();
        Client { worker: Rc::clone(worker), number, asked: Cell::new(false), last: RefCell::default() }
    }

    /// Whether this is its first request on the way to a server; the next one is not.
    pub fn asks_first(&self) -> bool {
        !self.asked.replace(true)
    }

    /// The server its next request should go to. `None` forgets.
    pub fn stick_to(&self, server: Option<(&Arc<ServerState>, Bond)>) {
        if server.is_some() || self.last.borrow().is_some() {
            let last = server.map(|(server, bond)| Last { server: Arc::clone(server), bond });
            *self.last.borrow_mut() = last;
        }
    }

    /// The server of this backend its request should go to.
    pub fn last_of(&self, backend: &BackendInForce) -> Option<ServerId> {
        let last = self.last.borrow();
        let last = last.as_ref()?;
        let server = backend.servers.iter().find(|server| Arc::ptr_eq(&server.state, &last.server))?;
        let would_wait = || {
            let state = &server.state;
            state.has_limit() && state.sessions.now() >= state.limit().at(backend.state.sessions.now())
        };
        let too_long = backend.config.max_keep_alive_queue.is_some_and(|most| {
            last.bond == Bond::Wish && would_wait() && backend.state.room.waiting_for(server.state.key) >= most as usize
        });
        (!too_long).then_some(server.config.id)
    }

    /// Its own connection to a server, if it is still open, and the requests sent over it.
    pub fn checkout(&self, server: &ServerInForce, wish: Option<&[u8]>) -> Option<(Stream, u32)> {
        self.worker.owned.checkout(self.number, server, wish)
    }

    /// Its own HTTP/2 connections to a server, for requests that ask for this.
    pub fn http2(&self, server: &ServerInForce, wish: Option<&[u8]>) -> Rc<Http2Pool> {
        self.worker.owned.http2(self.number, server, wish)
    }

    /// Keeps a connection for it whose last response has been read to its end.
    pub fn checkin(&self, server: &ServerInForce, kept: Kept<Stream>) {
        self.worker.owned.checkin(self.number, server, kept);
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.worker.owned.forget(self.number);
    }
}

/// All such connections of one worker. They are not among a server's idle ones, which wait for anybody (as in HAProxy).
#[derive(Debug, Default)]
pub(crate) struct Owned {
    /// By the client connection's number.
    by_client: RefCell<HashMap<u64, Belongings>>,
    next_number: Cell<u64>,
}

/// What belongs to one client.
#[derive(Debug, Default)]
struct Belongings {
    http1: Vec<OwnedConnection>,
    http2: Vec<OwnedPool>,
    /// Idle ones of HTTP/2, in all of its pools.
    idle_http2: Rc<Cell<u32>>,
}

/// Where something leads.
#[derive(Debug)]
struct Target {
    state: Arc<ServerState>,
    /// What it was opened by: after a reload it may lead elsewhere than its server's name.
    config: Arc<Server>,
}

impl Target {
    fn of(server: &ServerInForce) -> Self {
        Target { state: Arc::clone(&server.state), config: Arc::clone(&server.config) }
    }

    fn is(&self, server: &ServerInForce) -> bool {
        Arc::ptr_eq(&self.state, &server.state) && leads_where(&self.config, &server.config)
    }

    fn in_maintenance(&self) -> bool {
        self.state.maintenance.load(Relaxed)
    }
}

#[derive(Debug)]
struct OwnedConnection {
    kept: Kept<Stream>,
    target: Target,
}

#[derive(Debug)]
struct OwnedPool {
    pool: Rc<Http2Pool>,
    target: Target,
    wish: Option<Box<[u8]>>,
}

impl Owned {
    fn next_number(&self) -> u64 {
        let number = self.next_number.get();
        self.next_number.set(number + 1);
        number
    }

    fn checkout(&self, client: u64, server: &ServerInForce, wish: Option<&[u8]>) -> Option<(Stream, u32)> {
        let mut by_client = self.by_client.borrow_mut();
        let own = &mut by_client.get_mut(&client)?.http1;
        let at = own.iter().position(|own| own.kept.wish.as_deref() == wish && own.target.is(server))?;
        let OwnedConnection { mut kept, .. } = own.swap_remove(at);
        kept.connection.is_quiet().then_some((kept.connection, kept.uses))
    }

    fn checkin(&self, client: u64, server: &ServerInForce, kept: Kept<Stream>) {
        if !may_be_kept(&server.config.pool, kept.uses) || server.state.maintenance.load(Relaxed) {
            return;
        }
        let mut by_client = self.by_client.borrow_mut();
        let own = &mut by_client.entry(client).or_default().http1;
        if own.len() >= MOST_PER_CLIENT {
            own.remove(0);
        }
        own.push(OwnedConnection { kept, target: Target::of(server) });
    }

    fn http2(&self, client: u64, server: &ServerInForce, wish: Option<&[u8]>) -> Rc<Http2Pool> {
        let mut by_client = self.by_client.borrow_mut();
        let Belongings { http2, idle_http2, .. } = by_client.entry(client).or_default();
        if let Some(own) = http2.iter().find(|own| own.wish.as_deref() == wish && own.target.is(server)) {
            return Rc::clone(&own.pool);
        }
        if http2.len() >= MOST_PER_CLIENT {
            // Requests under way on it are not disturbed; nothing follows them.
            http2.remove(http2.iter().position(|own| own.pool.is_idle()).unwrap_or(0));
        }
        let home = Home::of_client(Arc::clone(&server.state), server.config.pool, Rc::clone(idle_http2));
        let pool = Http2Pool::new(home);
        http2.push(OwnedPool { pool: Rc::clone(&pool), target: Target::of(server), wish: wish.map(Box::from) });
        pool
    }

    /// The client's connection is gone.
    fn forget(&self, client: u64) {
        let mut by_client = self.by_client.borrow_mut();
        if !by_client.is_empty() {
            by_client.remove(&client);
        }
    }

    /// Closes what servers closed, and what leads to one in maintenance.
    pub fn purge(&self, now: Moment) {
        self.by_client.borrow_mut().retain(|_, Belongings { http1, http2, .. }| {
            http1.retain_mut(|own| !own.target.in_maintenance() && own.kept.connection.is_quiet());
            http2.iter().for_each(|own| own.pool.purge(now, !own.target.in_maintenance()));
            !http1.is_empty() || !http2.is_empty()
        });
    }
}

/// Whether a connection opened by the one is what would be opened by the other.
pub(crate) fn leads_where(old: &Arc<Server>, new: &Arc<Server>) -> bool {
    Arc::ptr_eq(old, new)
        || (old.address == new.address
            && old.send_proxy == new.send_proxy
            && old.proxy_options == new.proxy_options
            && old.proxy_values.is_empty()
            && new.proxy_values.is_empty()
            && old.dial == new.dial
            && old.tls.is_none()
            && new.tls.is_none())
}
