//! The configuration as one worker sees it: the snapshot in force and this worker's own idle connections to its servers.

use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use super::upstream::own::leads_where;
use super::upstream::pool::Pool;
use crate::model::{BackendId, ServerId};
use crate::moment::Moment;
use crate::state::Snapshot;
use crate::state::snapshot::{BackendInForce, ListenerInForce, ServerInForce};

/// Cloned by each exchange, so that it sees one configuration to its end.
#[derive(Debug)]
pub(crate) struct View {
    snapshot: Arc<Snapshot>,
    /// By backend, by server.
    pools: Vec<Vec<Pool>>,
}

impl View {
    /// Adopts a snapshot. Idle connections to servers that stayed as they were are taken over from the view before.
    pub fn new(snapshot: Arc<Snapshot>, before: Option<&View>) -> Rc<Self> {
        let pools = snapshot.backends.iter().map(|backend| pools_of(backend, before)).collect();
        Rc::new(View { snapshot, pools })
    }

    pub fn is_of(&self, snapshot: &Arc<Snapshot>) -> bool {
        Arc::ptr_eq(&self.snapshot, snapshot)
    }

    /// The listener behind a bound socket, if this configuration still has it.
    pub fn listener_of(&self, socket: u64) -> Option<(usize, &ListenerInForce)> {
        let index = *self.snapshot.listener_by_socket.get(&socket)?;
        Some((index, self.snapshot.listeners.get(index)?))
    }

    pub fn pool(&self, backend: BackendId, server: ServerId) -> &Pool {
        &self.pools[backend.index()][server.index()]
    }

    /// Closes idle connections that have waited too long, were closed by their server, or lead to one in maintenance.
    pub fn purge_idle(&self, now: Moment) {
        self.pools.iter().flatten().for_each(|pool| pool.purge(now));
    }
}

impl Deref for View {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.snapshot
    }
}

fn pools_of(backend: &BackendInForce, before: Option<&View>) -> Vec<Pool> {
    backend
        .servers
        .iter()
        .map(|server| {
            let pool = Pool::new(Arc::clone(&server.state), server.config.pool);
            if let Some(old) = before.and_then(|view| view.pool_of_same(server)) {
                pool.take_over(old);
            }
            pool
        })
        .collect()
}

impl View {
    /// The pool whose connections lead where those of `server` would.
    fn pool_of_same(&self, server: &ServerInForce) -> Option<&Pool> {
        for (backend, pools) in self.snapshot.backends.iter().zip(&self.pools) {
            for (old, pool) in backend.servers.iter().zip(pools) {
                if Arc::ptr_eq(&old.state, &server.state) {
                    return leads_where(&old.config, &server.config).then_some(pool);
                }
            }
        }
        None
    }
}
