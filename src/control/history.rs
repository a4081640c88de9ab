//! What happened to one server lately, and why? Bounded rings that the stats page, the runtime socket and the metrics read.

use std::collections::VecDeque;
use std::time::Instant;

use crate::health::Status;
use crate::wire::check_dialog::CheckResult;

/// Check results kept per server.
pub(crate) const KEPT_CHECKS: usize = 100;

/// Changes of status kept per server.
pub(crate) const KEPT_TRANSITIONS: usize = 100;

/// The newest `limit` entries, oldest first.
#[derive(Debug, Clone)]
pub(crate) struct Ring<T> {
    entries: VecDeque<T>,
    limit: usize,
}

impl<T> Ring<T> {
    pub fn new(limit: usize) -> Self {
        Ring { entries: VecDeque::new(), limit: limit.max(1) }
    }

    /// Drops the oldest when full.
    pub fn push(&mut self, entry: T) {
        if self.entries.len() == self.limit {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }

    /// Oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> + ExactSizeIterator {
        self.entries.iter()
    }
}

/// One check that ended.
#[derive(Debug, Clone)]
pub(crate) struct PastCheck {
    /// When it ended.
    pub at: Instant,
    pub result: CheckResult,
}

/// One change of a server's status.
#[derive(Debug, Clone)]
pub(crate) struct PastTransition {
    pub at: Instant,
    /// The status after it.
    pub status: Status,
    pub cause: Cause,
}

/// What brought a change about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    Check(CheckResult),
    /// The runtime socket or the stats page.
    Operator,
    /// A reload.
    Config,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_keeps_the_newest() {
        let mut ring = Ring::new(3);
        (1..=5).for_each(|n| ring.push(n));
        assert_eq!(ring.iter().copied().collect::<Vec<_>>(), [3, 4, 5]);
    }
}
