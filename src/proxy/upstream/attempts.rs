//! May a request be tried once more, when, and where? What `retries` and `option redispatch` count and decide.

use std::io;
use std::time::Duration;

use super::super::clock;
use super::super::exchange::Setting;
use super::super::record::Account;
use super::super::worker::Worker;
use super::TURN_AROUND;
use super::connect::ConnectError;
use super::reuse::Reuse;
use super::slot::{Slot, Wish};
use crate::logline::{Cause, Phase};
use crate::model::ServerId;
use crate::model::backend::RetryOn;
use crate::model::log::Level;
use crate::state::Event;
use crate::state::snapshot::BackendInForce;

/// How long nothing more is said of sources that are used up.
const SOURCE_TOLD: Duration = Duration::from_secs(1);

/// Why there is none: the status to answer, `None` when nobody is there to be answered, and how it is logged.
pub(crate) type NoUpstream = (Option<u16>, Cause, Phase);

/// Attempts to serve one request (HAProxy manual 4.2, `retries`, `option redispatch`, `retry-on`).
///
/// Those that go to another server go at once: waiting for a dead server helps nobody. Only before the same one is
/// tried again, because there is no other or `option redispatch` says so, is the turn-around waited.
pub(crate) struct Attempts {
    pub failed: u32,
    pub wish: Wish,
    /// Which idle connections the first one may use.
    pub reuse: Reuse,
    most: u32,
    /// The request had to go to the first server.
    bound: bool,
    turn_around: Duration,
}

impl Attempts {
    pub fn new(backend: &BackendInForce, wish: Wish, reuse: Reuse) -> Self {
        Attempts {
            failed: 0,
            wish,
            reuse,
            most: backend.config.retries,
            bound: matches!(wish, Wish::Same(_)),
            turn_around: backend.config.timeouts.connect.unwrap_or(TURN_AROUND).min(TURN_AROUND),
        }
    }

    /// Which idle connections may be tried now: behind a failed connection none that was kept.
    pub fn reuse_now(&self) -> Reuse {
        if self.failed == 0 { self.reuse } else { self.reuse.shared_only() }
    }

    /// One more may follow.
    pub fn left(&self) -> bool {
        self.failed < self.most
    }

    /// Whether the `retry`th retry, from 1, goes to another server. Where nothing binds a request to its server every
    /// one does, whatever the interval is (run against HAProxy 2.6).
    fn redispatches(&self, retry: u32, interval: i32) -> bool {
        match interval {
            0 => false,
            _ if !self.bound => true,
            every @ 1.. => retry.is_multiple_of(every.unsigned_abs()),
            from_last => retry + from_last.unsigned_abs() == self.most + 1,
        }
    }

    /// Counts a connection that did not come about and waits as long as it must be waited. `Some` when there is no
    /// further attempt.
    pub async fn fail(
        &mut self,
        setting: &Setting<'_>,
        backend: &BackendInForce,
        slot: Slot<'_>,
        error: &ConnectError,
        account: &mut Account,
    ) -> Option<NoUpstream> {
        let worker = &setting.connection.worker;
        let failed = slot.server;
        let state = slot.state();
        tracing::debug!(backend = %backend.config.name, server = %state.name, %error, "cannot connect");
        if let ConnectError::Io(error) = error {
            worker.buffers.make_room_after(error);
            if has_no_source(backend, failed, error) {
                tell_source(worker, backend, &state.name, error);
            }
        }
        let handshake = match error {
            ConnectError::Tls(bad) => Some(bad.to_string().into()),
            ConnectError::Io(_) | ConnectError::TimedOut => None,
        };
        let (backend_name, server_name) = (state.backend.clone(), state.name.clone());
        let _ = worker.shared.tell(Event::ConnectFailed { backend: backend_name, server: server_name, handshake });
        account.leave_server(&slot);
        drop(slot);
        let timed_out = matches!(error, ConnectError::TimedOut);
        if !self.left() || !backend.config.retry_on.has(RetryOn::CONN_FAILURE) {
            account.connection_error(worker.index, backend, failed);
            let cause = if timed_out { Cause::ServerTimeout } else { Cause::Server };
            return Some((Some(503), cause, Phase::Connect));
        }
        let another = self.again(backend, failed, account);
        if !another && !timed_out {
            // A change of the rotation ends the wait: whoever serves now can be asked at once.
            setting.timer.set_after(Some(self.turn_around));
            setting.timer.bound(backend.state.changed.notified()).await;
            setting.timer.set(None);
        }
        None
    }

    /// Counts a failed attempt that another one follows. `true` when that goes to another server.
    pub fn again(&mut self, backend: &BackendInForce, failed: ServerId, account: &mut Account) -> bool {
        self.failed += 1;
        account.retry();
        let redispatch = self.redispatches(self.failed, backend.config.redispatch);
        self.wish = if redispatch { Wish::Another(failed) } else { Wish::Same(failed) };
        redispatch && backend.rotation.load().members.iter().any(|member| *member != failed)
    }
}

/// Whether the server was not reached because of where connections to it come from: no port of the range is left, or the
/// address is not this machine's.
fn has_no_source(backend: &BackendInForce, server: ServerId, error: &io::Error) -> bool {
    let dial = backend.config.servers.get(server.index()).and_then(|server| server.dial.as_deref());
    dial.is_some_and(|dial| dial.source.is_some())
        && matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable)
}

/// In HAProxy's words; one that a worker could tell of each connection is told once in [`SOURCE_TOLD`].
fn tell_source(worker: &Worker, backend: &BackendInForce, server: &str, error: &io::Error) {
    let now = clock::now();
    if worker.source_told.get().is_some_and(|told| now < told + SOURCE_TOLD) {
        return;
    }
    worker.source_told.set(Some(now));
    let name = &backend.config.name;
    tracing::warn!(backend = %name, %server, %error, "cannot bind to the source address");
    let text = format!("Cannot bind to source address before connect() for backend {name}.");
    backend.logs.send(Level::Emerg, text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of its retries go to another server, `+`, and which to the same, `.`.
    #[track_caller]
    fn check(bound: bool, retries: u32, interval: i32, expected: &str) {
        let attempts = Attempts {
            failed: 0,
            wish: Wish::Any,
            reuse: Reuse::Later,
            most: retries,
            bound,
            turn_around: TURN_AROUND,
        };
        let goes = |retry| if attempts.redispatches(retry, interval) { '+' } else { '.' };
        assert_eq!((1..=retries).map(goes).collect::<String>(), expected, "{retries} retries, interval {interval}");
    }

    #[test]
    fn retries_are_redispatched_as_haproxy_does() {
        check(true, 3, 0, "...");
        check(true, 3, 1, "+++");
        check(true, 6, 3, "..+..+");
        check(true, 3, -1, "..+");
        check(true, 3, -2, ".+.");
        check(true, 1, -2, ".");
        check(false, 3, 0, "...");
        check(false, 3, -1, "+++");
        check(false, 3, 3, "+++");
    }
}
