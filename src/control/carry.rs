//! What does control still know after a reload? Everything of what kept its name: health, orders, history, baselines.
//!
//! An operator's order stays unless the file changed that very setting; what only the process can know (a shut-down
//! frontend, an address set by hand) ends with the snapshot it was ordered under.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::history::{Cause, PastTransition};
use super::watch::{BackendWatch, FrontendWatch, ListenerWatch, ProcessWatch, ServerWatch, Serving, Watch};
use crate::health::{Change, Health};
use crate::model::{Backend, BackendId, Name, Server, ServerId};
use crate::state::snapshot::{BackendInForce, FrontendInForce};
use crate::state::{ServerState, Snapshot};

/// A status that a reload changed, to be told once the rotations are built.
pub(super) type ChangedByFile = (BackendId, ServerId, Change);

impl Watch {
    /// What is known under the first snapshot.
    pub fn of(snapshot: Arc<Snapshot>, now: Instant) -> Self {
        let mut watch = Watch {
            frontends: Vec::new(),
            backends: Vec::new(),
            process: ProcessWatch::default(),
            last_reload: None,
            configured_maxconn: snapshot.config.global.maxconn,
            snapshot,
        };
        watch.fill(Vec::new(), Vec::new(), now);
        watch
    }

    /// Turns to a new snapshot and carries over what has a place there. Returns what the file itself changed.
    pub(super) fn turn_to(&mut self, snapshot: Arc<Snapshot>, now: Instant) -> Vec<ChangedByFile> {
        let configs = self.snapshot.backends.iter().map(|backend| Arc::clone(&backend.config));
        let backends = configs.zip(self.backends.drain(..)).collect();
        let frontends = self.frontends.drain(..).collect();
        self.configured_maxconn = snapshot.config.global.maxconn;
        self.snapshot = snapshot;
        self.fill(frontends, backends, now)
    }

    fn fill(
        &mut self,
        frontends: Vec<FrontendWatch>,
        backends: Vec<(Arc<Backend>, BackendWatch)>,
        now: Instant,
    ) -> Vec<ChangedByFile> {
        let snapshot = Arc::clone(&self.snapshot);
        let mut frontends: HashMap<Name, FrontendWatch> =
            frontends.into_iter().map(|watch| (Arc::clone(&watch.state.name), watch)).collect();
        let mut backends: HashMap<Name, (Arc<Backend>, BackendWatch)> =
            backends.into_iter().map(|entry| (Arc::clone(&entry.0.name), entry)).collect();
        let mut changed = Vec::new();
        for in_force in &snapshot.frontends {
            let before = frontends.remove(&in_force.state.name);
            self.frontends.push(carry_frontend(before, in_force, &snapshot));
        }
        for in_force in &snapshot.backends {
            let before = backends.remove(&in_force.state.name);
            self.backends.push(carry_backend(before, in_force, now, &mut changed));
        }
        changed
    }
}

fn carry_frontend(before: Option<FrontendWatch>, in_force: &FrontendInForce, snapshot: &Snapshot) -> FrontendWatch {
    let mut watch = before.unwrap_or_else(|| FrontendWatch::new(Arc::clone(&in_force.state)));
    let listeners = snapshot.listeners.iter().filter(|listener| listener.frontend == in_force.config.id);
    let mut known = std::mem::take(&mut watch.listeners);
    watch.listeners = listeners
        .map(|listener| match known.iter().position(|known| Arc::ptr_eq(&known.state, &listener.state)) {
            Some(at) => ListenerWatch { index: listener.index, ..known.swap_remove(at) },
            None => ListenerWatch::new(listener.index, Arc::clone(&listener.state)),
        })
        .collect();
    if watch.serving == Serving::ShutDown {
        watch.serving = Serving::Open;
    }
    watch.publish_limit();
    watch
}

fn carry_backend(
    before: Option<(Arc<Backend>, BackendWatch)>,
    in_force: &BackendInForce,
    now: Instant,
    changed: &mut Vec<ChangedByFile>,
) -> BackendWatch {
    let (configured, mut watch) = match before {
        Some((config, watch)) => (Some(config), watch),
        None => (None, BackendWatch::new(Arc::clone(&in_force.state), now)),
    };
    let configured = configured.as_deref().map(|backend| backend.servers.as_slice()).unwrap_or_default();
    let mut known: HashMap<&str, (&Arc<Server>, ServerWatch)> = configured
        .iter()
        .zip(watch.servers.drain(..))
        .map(|(config, server)| (&*config.name, (config, server)))
        .collect();
    watch.servers = in_force
        .servers
        .iter()
        .map(|server| match known.remove(&*server.config.name) {
            None => ServerWatch::of(&server.config, Arc::clone(&server.state), now),
            Some((old, mut watch)) => {
                if let Some(change) = watch.turn_to(old, &server.config, now) {
                    changed.push((in_force.config.id, server.config.id, change));
                }
                watch
            }
        })
        .collect();
    watch
}

impl ServerWatch {
    /// A server that has just been configured.
    fn of(config: &Server, state: Arc<ServerState>, now: Instant) -> Self {
        let health = Health::new(thresholds(config), config.disabled);
        ServerWatch::new(state, health, config.weight, now)
    }

    /// The same server under a configuration read anew. Returns how that changed its status, if it did.
    fn turn_to(&mut self, before: &Server, config: &Server, now: Instant) -> Option<Change> {
        let was = self.health;
        self.health = was.under(thresholds(config), before.disabled, config.disabled);
        if before.address != config.address {
            self.health = self.health.restarted();
        }
        if before.weight != config.weight {
            self.weight = config.weight;
        }
        self.initial_weight = config.weight;
        let change = self.health.change_since(&was)?;
        let status = self.health.status();
        self.mark_changed(change, now);
        self.transitions.push(PastTransition { at: now, status, cause: Cause::Config });
        Some(change)
    }
}

fn thresholds(server: &Server) -> Option<(u32, u32)> {
    server.check.as_ref().map(|check| (check.rise, check.fall))
}
