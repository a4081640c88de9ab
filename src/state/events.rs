//! What the process shares: the snapshot down, events and page requests up.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Relaxed, SeqCst},
    fence,
};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::counters::{Gauge, ProcessShard, Sharded};
use super::panics::Panics;
use super::snapshot::Snapshot;
use crate::model::Name;
use crate::model::stats::StatsPage;
use crate::moment::Moment;

/// Events that may wait for control before further ones are dropped and counted.
pub(crate) const EVENT_QUEUE: usize = 4096;

/// The one place that workers and control both hold.
pub(crate) struct Shared {
    pub snapshot: ArcSwap<Snapshot>,
    /// Wakes workers: a new snapshot, or the end.
    pub phase: watch::Sender<Phase>,
    pub events: mpsc::Sender<Event>,
    pub dropped_events: AtomicU64,
    pub process: Process,
}

/// How the process is doing as a whole; workers follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Serving this generation. A change means: adopt the new snapshot, open and close listeners.
    Running { generation: u64 },
    /// No new connections; running ones may finish, keep-alive ones are closed after their response. Workers
    /// cut what is left at `until`; `None` waits for ever.
    Draining { until: Option<Instant> },
    /// Everything ends now.
    Stopping,
}

/// Facts of the process.
#[derive(Debug)]
pub(crate) struct Process {
    pub started: Moment,
    pub started_at: SystemTime,
    /// Client connections over all frontends, held against the global `maxconn`.
    pub connections: Gauge,
    /// Wakes accept loops that wait for room.
    pub room: Room,
    pub total_connections: AtomicU64,
    pub counters: Sharded<ProcessShard>,
    pub tls_connections: Gauge,
    /// Defects met so far: tasks that panicked and were cut off from the rest.
    pub panics: Panics,
    pub workers: usize,
}

/// Where accept loops wait while the process or their frontend is full.
#[derive(Debug, Default)]
pub(crate) struct Room {
    made: Notify,
    waiting: AtomicU32,
}

impl Room {
    /// A connection has gone.
    pub fn made(&self) {
        fence(SeqCst);
        if self.waiting.load(SeqCst) > 0 {
            self.made.notify_waiters();
        }
    }

    /// Waits until [`Self::made`] was called or `at_most` has passed, unless `has_room` says that none has to wait.
    pub async fn wait(&self, at_most: Duration, has_room: impl Fn() -> bool) {
        let mut made = pin!(self.made.notified());
        made.as_mut().enable();
        self.waiting.fetch_add(1, SeqCst);
        let _waiting = Waiting(&self.waiting);
        fence(SeqCst);
        if !has_room() {
            let _ = tokio::time::timeout(at_most, made).await;
        }
    }
}

struct Waiting<'a>(&'a AtomicU32);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Process {
    pub fn new(workers: usize) -> Self {
        Process {
            started: Moment::of(Instant::now()),
            started_at: SystemTime::now(),
            connections: Gauge::default(),
            room: Room::default(),
            total_connections: AtomicU64::new(0),
            counters: Sharded::new(workers),
            tls_connections: Gauge::default(),
            panics: Panics::default(),
            workers,
        }
    }
}

/// What workers tell control. Bounded: a full channel drops the event and counts it.
pub(crate) enum Event {
    Page(PageRequest),
    /// A connection for a client failed: worth a look at this server before its next check is due.
    ConnectFailed {
        backend: Name,
        server: Name,
        /// Why TLS came to nothing, if that it was, also when the server said so only afterwards.
        handshake: Option<Box<str>>,
    },
    /// A worker's own loop panicked: nobody serves its listeners any more.
    WorkerFailed {
        worker: usize,
    },
}

/// A request for the stats page or the metrics, to be rendered by control.
pub(crate) struct PageRequest {
    pub page: Arc<StatsPage>,
    /// The frontend or backend that has the page.
    pub proxy: Name,
    pub kind: PageKind,
    pub method: String,
    /// Path and query, as received.
    pub uri: String,
    /// The `Authorization` field's value.
    pub authorization: Option<String>,
    /// The `Host` field's value (or `:authority`).
    pub host: Option<String>,
    /// The `Origin` field's value, else that of `Referer`: a browser sends one with each form, and a form sent
    /// from elsewhere must not change anything.
    pub origin: Option<String>,
    /// A POST's body, at most [`PAGE_BODY_LIMIT`] bytes.
    pub body: Vec<u8>,
    /// `stats admin if …` held for this request.
    pub admin: bool,
    pub reply: oneshot::Sender<PageReply>,
}

/// Bytes of a POST to the stats page.
pub(crate) const PAGE_BODY_LIMIT: usize = 16 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PageKind {
    Stats,
    Prometheus,
}

pub(crate) struct PageReply {
    pub status: u16,
    /// Without Content-Length and Connection: those are the worker's.
    pub headers: Vec<(&'static str, String)>,
    pub body: PageBody,
}

pub(crate) enum PageBody {
    Whole(Bytes),
    /// Server-sent events: ends when the sender is dropped.
    Stream(mpsc::Receiver<Bytes>),
}

impl Shared {
    /// Hands an event to control without waiting. `Err` gives it back when control is too busy.
    pub fn tell(&self, event: Event) -> Result<(), Box<Event>> {
        self.events.try_send(event).map_err(|refused| {
            self.dropped_events.fetch_add(1, Relaxed);
            Box::new(match refused {
                mpsc::error::TrySendError::Full(event) | mpsc::error::TrySendError::Closed(event) => event,
            })
        })
    }

    /// Time since the process started: the clock of `last_session_ms` and its like.
    pub fn uptime(&self, now: Instant) -> Duration {
        Moment::of(now).saturating_duration_since(self.process.started)
    }

    /// The same as workers count it.
    pub fn uptime_ms(&self, now: Moment) -> u64 {
        now.ms_since(self.process.started)
    }
}
