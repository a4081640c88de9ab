//! Where finished log lines leave the process, without ever making a worker wait.
//!
//! A [`LogSinks`] is what one proxy logs to. Behind it, every distinct address of the process has one [`Sink`]: a
//! bounded queue and a thread that writes. Two proxies, or two generations of one, that name the same address share the
//! sink, so a file is opened once and survives reloads; it closes when nobody names it any more.
//!
//! Threads do not survive a fork: daemonize before opening.

mod output;
mod sink;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use crate::logline::frame::FrameStyle;
pub(crate) use crate::logline::frame::LogIdentity;
use crate::model::log::{Level, LogAddress, LogTarget};
use sink::Sink;

/// Every sink of the process, for sharing and for [`flush_all`]. Entries die with their last user.
static REGISTRY: Mutex<Option<HashMap<LogAddress, Weak<Sink>>>> = Mutex::new(None);

/// Lines dropped since the process started, over all sinks, closed ones included.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// The open targets of one proxy.
#[derive(Debug, Default)]
pub(crate) struct LogSinks {
    outlets: Vec<Outlet>,
    captured: Option<mpsc::Sender<(Level, String)>>,
}

/// One `log` line in force.
#[derive(Debug)]
struct Outlet {
    sink: Arc<Sink>,
    level: Level,
    min_level: Level,
    style: FrameStyle,
    identity: Arc<LogIdentity>,
}

/// Why a target takes no lines now. It is tried again every second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SinkProblem {
    pub address: LogAddress,
    pub error: String,
}

impl LogSinks {
    /// Opens what is not open yet. Never fails: a target that cannot be opened is in [`LogSinks::problems`], drops its
    /// lines and is tried again.
    pub fn open(targets: &[LogTarget], identity: &LogIdentity) -> Arc<LogSinks> {
        let identity = Arc::new(identity.clone());
        let outlets = targets
            .iter()
            .map(|target| Outlet {
                sink: shared_sink(&target.address),
                level: target.level,
                min_level: target.min_level,
                style: FrameStyle { framing: target.framing, facility: target.facility, max_len: target.max_len },
                identity: Arc::clone(&identity),
            })
            .collect();
        Arc::new(LogSinks { outlets, captured: None })
    }

    /// Sends every message to a channel instead, for tests.
    #[cfg(test)]
    pub fn capture() -> (Arc<LogSinks>, mpsc::Receiver<(Level, String)>) {
        let (sender, receiver) = mpsc::channel();
        (Arc::new(LogSinks { outlets: Vec::new(), captured: Some(sender) }), receiver)
    }

    /// Whether any target takes messages of this level.
    pub fn wants(&self, level: Level) -> bool {
        self.captured.is_some() || self.outlets.iter().any(|outlet| level <= outlet.level)
    }

    /// Hands a message over, without its line end. Never blocks; a full queue drops it and counts it.
    pub fn send(&self, level: Level, message: &[u8]) {
        if let Some(captured) = &self.captured {
            // A test that dropped its receiver does not care.
            let _ = captured.send((level, String::from_utf8_lossy(message).into_owned()));
        }
        if self.outlets.is_empty() {
            return;
        }
        let at = SystemTime::now();
        for outlet in &self.outlets {
            if level <= outlet.level {
                let level = level.max(outlet.min_level);
                outlet.sink.push(outlet.style, &outlet.identity, level, at, message);
            }
        }
    }

    /// Lines lost by these targets, to a full queue or an error. A shared target counts its other users' lines too.
    #[cfg(test)]
    pub fn dropped(&self) -> u64 {
        self.outlets.iter().map(|outlet| outlet.sink.dropped()).sum()
    }

    /// What is wrong now.
    pub fn problems(&self) -> Vec<SinkProblem> {
        let problem = |outlet: &Outlet| {
            let error = outlet.sink.problem()?;
            Some(SinkProblem { address: outlet.sink.address().clone(), error })
        };
        self.outlets.iter().filter_map(problem).collect()
    }

    /// Waits until all that was sent is written; `false` when `deadline` came first.
    #[cfg(test)]
    pub fn flush(&self, deadline: Instant) -> bool {
        self.outlets.iter().all(|outlet| outlet.sink.flush(deadline))
    }
}

/// Lines lost since the process started (`DroppedLogs` in `show info`).
pub(crate) fn dropped_total() -> u64 {
    DROPPED.load(Relaxed)
}

/// Waits until every sink of the process has written what it has; `false` when `timeout` came first. For the end of
/// the process.
pub(crate) fn flush_all(timeout: Duration) -> bool {
    let deadline = Instant::now() + timeout;
    open_sinks().iter().all(|sink| sink.flush(deadline))
}

fn open_sinks() -> Vec<Arc<Sink>> {
    let registry = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
    registry.iter().flat_map(|sinks| sinks.values().filter_map(Weak::upgrade)).collect()
}

fn shared_sink(address: &LogAddress) -> Arc<Sink> {
    let mut registry = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
    let sinks = registry.get_or_insert_default();
    if let Some(sink) = sinks.get(address).and_then(Weak::upgrade) {
        return sink;
    }
    sinks.retain(|_, sink| sink.strong_count() > 0);
    let sink = Arc::new(Sink::open(address.clone()));
    sinks.insert(address.clone(), Arc::downgrade(&sink));
    sink
}

#[cfg(test)]
mod tests;
