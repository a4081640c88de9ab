//! What happens when a server's status changes? Counted, written down, told to the logs, and published to the workers.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::history::{Cause, PastTransition};
use super::watch::Watch;
use super::wording::{Scene, no_server_left, tell};
use crate::balance::{Candidate, choose, turns};
use crate::health::{AdminState, Change, Effects, Input};
use crate::model::backend::Role;
use crate::model::log::Level;
use crate::model::{BackendId, ServerId};
use crate::state::Rotation;

impl Watch {
    /// Takes one input for one server in and does all that follows, except for turning checks on and off.
    pub(super) fn apply(
        &mut self,
        backend: BackendId,
        server: ServerId,
        input: Input,
        cause: Cause,
        now: Instant,
    ) -> Effects {
        let entry = &mut self.backends[backend.index()].servers[server.index()];
        let effects = entry.health.apply(input);
        let status = entry.health.status();
        entry.state.maintenance.store(entry.health.admin().state == AdminState::Maint, Relaxed);
        if let Some(change) = effects.change {
            entry.mark_changed(change, now);
            entry.transitions.push(PastTransition { at: now, status, cause: cause.clone() });
        }
        let lost_all = effects.rotation && self.publish_rotation(backend, now);
        if let Some(change) = effects.change {
            self.tell_change(backend, server, change, &cause);
        }
        if lost_all {
            self.tell_no_server_left(backend);
        }
        effects
    }

    /// Builds a backend's rotation anew and hands it to the workers. `true` when its last usable server went.
    pub(super) fn publish_rotation(&mut self, id: BackendId, now: Instant) -> bool {
        let in_force = self.snapshot.backend(id);
        let watch = &mut self.backends[id.index()];
        let candidates: Vec<_> = in_force
            .servers
            .iter()
            .zip(&watch.servers)
            .map(|(server, watch)| Candidate {
                id: server.config.id,
                role: server.config.role,
                weight: watch.weight,
                usable: watch.health.takes_traffic(),
            })
            .collect();
        let chosen = choose(&candidates, in_force.config.all_backups);
        let before = in_force.rotation.load();
        let rotation = Rotation {
            turns: turns(&chosen),
            members: chosen.iter().map(|(id, _)| *id).collect(),
            version: before.version + 1,
        };
        let has_server = !rotation.members.is_empty();
        in_force.publish(rotation);
        let had_server = watch.had_server.replace(has_server);
        if had_server.is_some_and(|had_server| had_server != has_server) {
            watch.changed_at = now;
        }
        watch.downtime.set_down(!has_server && !watch.servers.is_empty(), now);
        let lost_all = had_server == Some(true) && !has_server;
        if lost_all {
            watch.went_down += 1;
        }
        lost_all
    }

    /// For each backend of a snapshot that has just been built, before workers see it. Returns those that lost their
    /// last usable server by it.
    pub(super) fn publish_all_rotations(&mut self, now: Instant) -> Vec<BackendId> {
        let ids: Vec<_> = self.snapshot.backends.iter().map(|backend| backend.config.id).collect();
        for server in self.backends.iter().flat_map(|backend| &backend.servers) {
            server.state.maintenance.store(server.health.admin().state == AdminState::Maint, Relaxed);
        }
        ids.into_iter().filter(|&id| self.publish_rotation(id, now)).collect()
    }

    /// Usable servers: active and backup ones.
    pub(crate) fn usable(&self, id: BackendId) -> (usize, usize) {
        let in_force = self.snapshot.backend(id);
        let count = |role: Role| {
            let servers = in_force.servers.iter().zip(&self.backend(id).servers);
            servers.filter(|(server, watch)| server.config.role == role && watch.is_usable()).count()
        };
        (count(Role::Active), count(Role::Backup))
    }

    pub(super) fn tell_change(&self, backend: BackendId, server: ServerId, change: Change, cause: &Cause) {
        let in_force = self.snapshot.backend(backend);
        let watch = self.server(backend, server);
        let (active_left, backup_left) = self.usable(backend);
        let scene = Scene {
            backend: &in_force.config.name,
            server: &watch.state.name,
            backup: in_force.server(server).config.role == Role::Backup,
            active_left,
            backup_left,
            sessions: watch.state.sessions.now(),
            queued: watch.state.queued.now(),
        };
        for (level, text) in tell(change, cause, &scene) {
            self.log_of_backend(backend, level, &text);
        }
    }

    pub(super) fn tell_no_server_left(&self, backend: BackendId) {
        let name = &self.snapshot.backend(backend).config.name;
        let is_listen = self.snapshot.config.frontends.iter().any(|frontend| frontend.name == *name);
        let (level, text) = no_server_left(name, is_listen);
        self.log_of_backend(backend, level, &text);
    }

    /// Tells a backend's log targets, and whoever watches the process.
    pub(super) fn log_of_backend(&self, backend: BackendId, level: Level, text: &str) {
        self.snapshot.backend(backend).logs.send(level, text.as_bytes());
        announce(level, text);
    }
}

/// The process's own message about something that was also logged.
pub(super) fn announce(level: Level, text: &str) {
    match level {
        Level::Emerg | Level::Alert | Level::Crit | Level::Err => tracing::error!("{text}"),
        Level::Warning => tracing::warn!("{text}"),
        Level::Notice | Level::Info => tracing::info!("{text}"),
        Level::Debug => tracing::debug!("{text}"),
    }
}
