//! One log address: a queue that workers fill under a short lock, and the thread that empties it.
//!
//! The writer collects lines for [`BATCH`] before it writes, and is woken only when it has nothing to do at all, so that
//! a busy proxy pays no system call per line on the worker's side.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::DROPPED;
use super::output::{Lost, Output};
use crate::logline::frame::{FrameStyle, Framer, LogIdentity};
use crate::model::log::{Level, LogAddress};
use crate::state::threads::{self, lock};
use crate::sys;

/// Bytes that may wait to be written; what comes then is dropped and counted.
pub(super) const QUEUE_BYTES: usize = 4 * 1024 * 1024;

/// How long lines are collected before they are written together.
const BATCH: Duration = Duration::from_millis(20);

/// Bytes waiting that end the collecting early.
const NUDGE_BYTES: usize = 256 * 1024;

/// Buffers larger than this are given back once they are no longer filled.
const KEEP_BYTES: usize = 64 * 1024;

/// The users' end. Dropping the last one lets the writer finish and end.
#[derive(Debug)]
pub(super) struct Sink {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    address: LogAddress,
    queue: Mutex<Queue>,
    /// Tells the writer.
    wake: Condvar,
    /// Tells who flushes.
    written: Condvar,
    dropped: AtomicU64,
    problem: Mutex<Option<String>>,
}

#[derive(Debug)]
struct Queue {
    /// Whole lines, one behind the other.
    bytes: Vec<u8>,
    /// Where each line ends, for sockets that send one datagram a line.
    ends: Vec<usize>,
    framer: Framer,
    /// The writer waits for a first line.
    parked: bool,
    /// The writer is busy with what it took.
    writing: bool,
    /// Somebody waits for the queue to be empty.
    flushing: bool,
    closed: bool,
}

impl Sink {
    pub fn open(address: LogAddress) -> Sink {
        let (output, problem) = Output::open(&address);
        let inner = Arc::new(Inner {
            address,
            queue: Mutex::new(Queue {
                bytes: Vec::new(),
                ends: Vec::new(),
                framer: Framer::new(),
                parked: false,
                writing: false,
                flushing: false,
                closed: false,
            }),
            wake: Condvar::new(),
            written: Condvar::new(),
            dropped: AtomicU64::new(0),
            problem: Mutex::new(problem),
        });
        let for_writer = Arc::clone(&inner);
        let writing = threads::spawn("log".to_string(), move || write_until_closed(&for_writer, output));
        if let Err(error) = writing {
            // Nobody would ever empty the queue: refuse all lines.
            inner.lock().closed = true;
            inner.set_problem(Some(format!("cannot start its thread: {error}")));
        }
        Sink { inner }
    }

    pub fn address(&self) -> &LogAddress {
        &self.inner.address
    }

    #[cfg(test)]
    pub fn dropped(&self) -> u64 {
        self.inner.dropped.load(Relaxed)
    }

    pub fn problem(&self) -> Option<String> {
        lock(&self.inner.problem).clone()
    }

    pub fn push(&self, style: FrameStyle, identity: &LogIdentity, level: Level, at: SystemTime, message: &[u8]) {
        let mut queue = self.inner.lock();
        let before = queue.bytes.len();
        if queue.closed || before + message.len() > QUEUE_BYTES {
            drop(queue);
            return self.inner.count_dropped(1);
        }
        let Queue { bytes, ends, framer, .. } = &mut *queue;
        framer.frame(style, identity, level, at, sys::local_offset, message, bytes);
        ends.push(bytes.len());
        let crossed = before < NUDGE_BYTES && bytes.len() >= NUDGE_BYTES;
        let wake = std::mem::take(&mut queue.parked) || crossed;
        drop(queue);
        if wake {
            self.inner.wake.notify_one();
        }
    }

    pub fn flush(&self, deadline: Instant) -> bool {
        let mut queue = self.inner.lock();
        while !queue.closed && (queue.writing || !queue.bytes.is_empty()) {
            queue.flushing = true;
            self.inner.wake.notify_one();
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            queue = self.inner.written.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.inner.lock().closed = true;
        self.inner.wake.notify_one();
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }

    fn count_dropped(&self, lines: u64) {
        self.dropped.fetch_add(lines, Relaxed);
        DROPPED.fetch_add(lines, Relaxed);
    }

    /// Tells the first of a row of errors, and its end.
    fn set_problem(&self, problem: Option<String>) {
        let mut known = lock(&self.problem);
        match (&*known, &problem) {
            (None, Some(error)) => {
                tracing::warn!("log target {}: {error}; its lines are dropped until it works again", self.address);
            }
            (Some(_), None) => {
                let dropped = self.dropped.load(Relaxed);
                tracing::info!("log target {} works again; {dropped} lines lost since start", self.address);
            }
            _ => {}
        }
        *known = problem;
    }
}

/// The writer's life: wait for lines, collect a batch, write it.
fn write_until_closed(inner: &Inner, mut output: Output) {
    let mut batch = Vec::new();
    let mut ends = Vec::new();
    loop {
        let mut queue = inner.lock();
        queue.writing = false;
        if queue.bytes.is_empty() {
            queue.flushing = false;
            inner.written.notify_all();
        }
        while queue.bytes.is_empty() && !queue.closed {
            queue.parked = true;
            queue = inner.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.parked = false;
        let collecting = |queue: &mut Queue| !queue.flushing && !queue.closed && queue.bytes.len() < NUDGE_BYTES;
        queue = inner.wake.wait_timeout_while(queue, BATCH, collecting).unwrap_or_else(PoisonError::into_inner).0;
        if queue.closed && queue.bytes.is_empty() {
            return;
        }
        std::mem::swap(&mut queue.bytes, &mut batch);
        std::mem::swap(&mut queue.ends, &mut ends);
        queue.writing = true;
        drop(queue);

        match output.write(&batch, &ends, Instant::now()) {
            Ok(()) => inner.set_problem(None),
            Err(Lost { lines, error }) => {
                inner.count_dropped(lines);
                inner.set_problem(Some(error.to_string()));
            }
        }
        if batch.len() < KEEP_BYTES {
            batch.shrink_to(KEEP_BYTES);
        }
        batch.clear();
        ends.clear();
    }
}
