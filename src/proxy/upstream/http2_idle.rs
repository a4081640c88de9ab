//! May an HTTP/2 connection whose last request is over wait for the next one, and where is it counted meanwhile?
//!
//! Those that all share are a server's idle connections, together with those of HTTP/1 and over all workers: HAProxy counts
//! and limits them so (manual 5.2 `pool-max-conn`). Those of one client are neither counted nor limited there, as in HAProxy.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::super::http2_io::Counted;
use super::http2_pool::Waiting;
use super::own::MOST_PER_CLIENT;
use super::pool::{CountedIdle, IDLE_COUNT};
use crate::model::backend::PoolSettings;
use crate::moment::Moment;
use crate::state::ServerState;

/// What a connection knows of the pool that keeps it.
#[derive(Debug)]
pub(super) struct Home {
    server: Arc<ServerState>,
    pub settings: PoolSettings,
    pub whose: Whose,
    /// Idle ones, here and in pools of the same owner.
    idle: Rc<Cell<u32>>,
    pub waiting: Waiting,
}

/// Who may use a pool's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    Everybodys,
    /// Until that client goes.
    OneClients,
}

/// A connection's place while it has nothing to do. It is counted as idle for as long as this lives.
#[derive(Debug)]
pub(super) struct IdlePlace {
    since: Moment,
    _here: Counted,
    _of_server: Option<CountedIdle>,
}

impl IdlePlace {
    pub fn since(&self) -> Moment {
        self.since
    }
}

impl Home {
    /// One that all clients share; `idle` counts what idles in all of a server's.
    pub fn shared(server: Arc<ServerState>, settings: PoolSettings, idle: Rc<Cell<u32>>) -> Self {
        Home { server, settings, whose: Whose::Everybodys, idle, waiting: Waiting::default() }
    }

    /// One of a client's; `idle` counts what idles in all of them.
    pub fn of_client(server: Arc<ServerState>, settings: PoolSettings, idle: Rc<Cell<u32>>) -> Self {
        Home { server, settings, whose: Whose::OneClients, idle, waiting: Waiting::default() }
    }

    /// A place for a connection that took so many requests. `None`: it may not wait.
    pub fn place(&self, uses: u32, since: Moment) -> Option<IdlePlace> {
        if self.settings.max_reuse.is_some_and(|most| uses > most) || self.server.maintenance.load(Relaxed) {
            return None;
        }
        let of_server = match self.whose {
            Whose::Everybodys => {
                let keeps = !self.settings.purge_delay.is_zero() && self.idle.get() < IDLE_COUNT as u32;
                Some(keeps.then(|| CountedIdle::enter(&self.server, self.settings.max_conn)).flatten()?)
            }
            Whose::OneClients if self.idle.get() < MOST_PER_CLIENT as u32 => None,
            Whose::OneClients => return None,
        };
        Some(IdlePlace { since, _here: Counted::new(&self.idle), _of_server: of_server })
    }
}
