//! Per-proxy and per-server state that outlives snapshots, keyed by name. A reload finds the entries of what it still
//! has and carries them over, so no counter, connection count or health state starts again.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::counters::{BackendShard, FrontendShard, Gauge, Peak, Sharded};
use super::waiting::WaitingRoom;
use crate::balance::limit::Limit;
use crate::balance::queue::ServerKey;
use crate::balance::rate::Rate;
use crate::model::{Name, ServerId};

/// What a frontend counts.
#[derive(Debug)]
pub(crate) struct FrontendState {
    pub name: Name,
    /// Client connections.
    pub sessions: Gauge,
    pub counters: Sharded<FrontendShard>,
    /// `disable frontend` / `set maxconn frontend`; `u32::MAX` leaves the configured limit.
    pub maxconn_override: AtomicU32,
    /// Connections let in lately, for `rate-limit sessions`.
    pub rate: Mutex<Rate>,
}

/// What one `bind` counts.
#[derive(Debug)]
pub(crate) struct ListenerState {
    pub name: Name,
    pub sessions: Gauge,
    pub counters: Sharded<FrontendShard>,
}

/// What a backend counts, and who of its servers gets traffic now.
#[derive(Debug)]
pub(crate) struct BackendState {
    pub name: Name,
    pub sessions: Gauge,
    /// Requests waiting for a slot on any server.
    pub queued: Gauge,
    pub counters: Sharded<BackendShard>,
    pub peaks: TimePeaks,
    /// Position in the pick table, shared by all workers so that turns stay strict.
    pub cursor: Cursor,
    /// Milliseconds of the process clock at the last exchange; 0 before the first.
    pub last_session_ms: AtomicU64,
    /// Those who wait for a slot on one of its servers.
    pub room: WaitingRoom,
    /// Told when the rotation changes.
    pub changed: Notify,
}

/// What a server counts, and the few facts of its state that a worker needs.
#[derive(Debug)]
pub(crate) struct ServerState {
    pub backend: Name,
    pub name: Name,
    /// Running requests or sessions; `maxconn` is measured against it.
    pub sessions: Gauge,
    pub queued: Gauge,
    pub counters: Sharded<BackendShard>,
    pub peaks: TimePeaks,
    pub last_session_ms: AtomicU64,
    /// Established connections, idle ones included, and idle ones.
    pub idle: Gauge,
    /// Raised by control to end running sessions (`shutdown sessions server`, `on-marked-down`).
    pub kill_generation: AtomicU64,
    /// In maintenance: running requests end, idle connections are closed.
    pub maintenance: AtomicBool,
    /// In its backend's rotation, as control published it.
    pub in_rotation: AtomicBool,
    /// Its number, unlike any other server's in this process.
    pub key: ServerKey,
    /// `maxconn`, `minconn` and `fullconn` of the configuration in force.
    limit: [AtomicU32; 3],
}

/// The longest times seen, in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct TimePeaks {
    pub queue: Peak,
    pub connect: Peak,
    pub response: Peak,
    pub total: Peak,
}

impl TimePeaks {
    pub fn reset(&self) {
        [&self.queue, &self.connect, &self.response, &self.total].into_iter().for_each(Peak::reset);
    }
}

/// A counter on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Cursor(pub AtomicU64);

/// The servers of one backend that may get traffic now, with their pick table: one value, so no reader sees half a change.
#[derive(Debug, Default)]
pub(crate) struct Rotation {
    /// Servers in the order of their turns, each as often as its weight says (smooth weighted round-robin,
    /// unrolled over one period). Empty when nothing is up: 503 at once.
    pub turns: Box<[ServerId]>,
    /// Each server in the rotation once, in configuration order.
    pub members: Box<[ServerId]>,
    /// Counts the rotations of this backend, for logs and tests.
    pub version: u64,
}

impl Rotation {
    /// Whose turn it is at this position of the shared cursor. `None` when nobody can serve.
    pub fn turn(&self, position: u64) -> Option<ServerId> {
        let turns = self.turns.len() as u64;
        self.turns.get(position.checked_rem(turns)? as usize).copied()
    }
}

impl FrontendState {
    pub fn new(name: Name, workers: usize) -> Arc<Self> {
        Arc::new(FrontendState {
            name,
            sessions: Gauge::default(),
            counters: Sharded::new(workers),
            maxconn_override: AtomicU32::new(u32::MAX),
            rate: Mutex::default(),
        })
    }
}

impl ListenerState {
    pub fn new(name: Name, workers: usize) -> Arc<Self> {
        Arc::new(ListenerState { name, sessions: Gauge::default(), counters: Sharded::new(workers) })
    }
}

impl BackendState {
    pub fn new(name: Name, workers: usize) -> Arc<Self> {
        Arc::new(BackendState {
            name,
            sessions: Gauge::default(),
            queued: Gauge::default(),
            counters: Sharded::new(workers),
            peaks: TimePeaks::default(),
            cursor: Cursor::default(),
            last_session_ms: AtomicU64::new(0),
            room: WaitingRoom::default(),
            changed: Notify::new(),
        })
    }
}

/// The next server's number.
static NEXT_KEY: AtomicU64 = AtomicU64::new(0);

impl ServerState {
    /// How many requests it may have at once.
    pub fn limit(&self) -> Limit {
        let [most, least, full] = self.limit.each_ref().map(|part| part.load(Relaxed));
        Limit { most, least, full }
    }

    /// Whether there is a limit at all.
    pub fn has_limit(&self) -> bool {
        let [most, ..] = &self.limit;
        most.load(Relaxed) != Limit::NONE.most
    }

    /// A reload or an order changes it; requests it already has may be more.
    pub fn set_limit(&self, limit: Limit) {
        for (part, value) in self.limit.iter().zip([limit.most, limit.least, limit.full]) {
            part.store(value, Relaxed);
        }
    }

    /// Whether requests that wait may be given to it.
    pub fn takes_traffic(&self) -> bool {
        self.in_rotation.load(Relaxed)
    }

    pub fn new(backend: Name, name: Name, workers: usize) -> Arc<Self> {
        Arc::new(ServerState {
            backend,
            name,
            sessions: Gauge::default(),
            queued: Gauge::default(),
            counters: Sharded::new(workers),
            peaks: TimePeaks::default(),
            last_session_ms: AtomicU64::new(0),
            idle: Gauge::default(),
            kill_generation: AtomicU64::new(0),
            maintenance: AtomicBool::new(false),
            in_rotation: AtomicBool::new(false),
            key: ServerKey(NEXT_KEY.fetch_add(1, Relaxed)),
            limit: [Limit::NONE.most, Limit::NONE.least, Limit::NONE.full].map(AtomicU32::new),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_go_round_and_survive_the_end_of_the_counter() {
        let rotation = Rotation { turns: [0, 1, 0].map(ServerId).into(), ..Rotation::default() };
        let turns: Vec<_> = (0..7).filter_map(|position| rotation.turn(position)).map(|id| id.0).collect();
        assert_eq!(turns, [0, 1, 0, 0, 1, 0, 0]);
        assert_eq!(rotation.turn(u64::MAX), Some(ServerId(0)));
        assert_eq!(Rotation::default().turn(3), None);
    }
}
