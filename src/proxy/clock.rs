//! What time is it on this worker? The clock is read once per turn of the event loop, not once per question.
//!
//! The runtime calls [`refresh`] whenever it comes back from waiting in the kernel; a worker that never waits refreshes
//! every [`POLLS_BETWEEN_READS`] polls of a connection, so the answer is never older than a fraction of a millisecond.

use std::cell::Cell;
use std::sync::OnceLock;
use std::time::Instant;

/// Connection polls after which the clock is read although the loop did not wait.
const POLLS_BETWEEN_READS: u32 = 32;

thread_local! {
    static NOW: Cell<Option<Instant>> = const { Cell::new(None) };
    static POLLS: Cell<u32> = const { Cell::new(0) };
}

/// The time of this turn.
pub(crate) fn now() -> Instant {
    NOW.get().unwrap_or_else(refresh)
}

/// The moment this process's times are counted from, on all workers.
pub(crate) fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(now)
}

/// Reads the kernel's clock.
#[allow(clippy::disallowed_methods)] // the one place on a worker where the clock is read
pub(crate) fn refresh() -> Instant {
    let now = Instant::now();
    NOW.set(Some(now));
    POLLS.set(0);
    now
}

/// Counts one poll of a connection.
pub(crate) fn count_poll() {
    let polls = POLLS.get() + 1;
    POLLS.set(polls);
    if polls >= POLLS_BETWEEN_READS {
        refresh();
    }
}
