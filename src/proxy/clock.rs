//! What time is it on this worker? The clock is read once per turn of the event loop, not once per question.
//!
//! The runtime calls [`refresh`] whenever it comes back from waiting in the kernel; a worker that never waits refreshes
//! every [`POLLS_BETWEEN_READS`] polls of a connection, so the answer is never older than a fraction of a millisecond.

use std::cell::Cell;
use std::time::Instant;

use crate::moment::Moment;

/// Connection polls after which the clock is read although the loop did not wait.
const POLLS_BETWEEN_READS: u32 = 32;

thread_local! {
    /// The origin: not read yet.
    static NOW: Cell<Moment> = const { Cell::new(Moment::ORIGIN) };
    static POLLS: Cell<u32> = const { Cell::new(0) };
}

/// The time of this turn.
pub(crate) fn now() -> Moment {
    let now = NOW.get();
    if now == Moment::ORIGIN { refresh() } else { now }
}

/// Reads the kernel's clock.
#[allow(clippy::disallowed_methods)] // the one place on a worker where the clock is read
pub(crate) fn refresh() -> Moment {
    let now = Moment::of(Instant::now());
    NOW.set(now);
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
