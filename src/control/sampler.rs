//! How many per second, and how long on average? Once a second the totals are read and their growth is kept.

use std::collections::VecDeque;

use crate::state::counters::BackendTotals;

/// Seconds kept for sparklines.
pub(crate) const KEPT_SECONDS: usize = 120;

/// Exchanges an average reaches back over, as HAProxy's `qtime`, `ctime`, `rtime` and `ttime` do.
const AVERAGED_EXCHANGES: u64 = 1024;

/// Events per second, sampled once a second.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rate {
    /// Total at the last sample; `None` before the first.
    total: Option<u64>,
    now: u32,
    max: u32,
    seconds: VecDeque<u32>,
}

impl Rate {
    /// Takes in the total counted so far, `elapsed_ms` after the sample before.
    pub fn sample(&mut self, total: u64, elapsed_ms: u64) {
        let grown = total.saturating_sub(self.total.unwrap_or(0));
        let per_second = grown.saturating_mul(1000).div_ceil(elapsed_ms.max(1));
        self.total = Some(total);
        self.now = u32::try_from(per_second).unwrap_or(u32::MAX);
        self.max = self.max.max(self.now);
        if self.seconds.len() == KEPT_SECONDS {
            self.seconds.pop_front();
        }
        self.seconds.push_back(self.now);
    }

    /// During the last whole second.
    pub fn now(&self) -> u32 {
        self.now
    }

    /// The most in any second since the start or `clear counters`.
    pub fn max(&self) -> u32 {
        self.max
    }

    /// One number a second, oldest first, at most [`KEPT_SECONDS`].
    pub fn seconds(&self) -> impl ExactSizeIterator<Item = u32> + '_ {
        self.seconds.iter().copied()
    }

    pub fn reset_max(&mut self) {
        self.max = self.now;
    }
}

/// An average over about the last 1024 exchanges, in milliseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Average {
    value: f64,
    seen: u64,
}

impl Average {
    /// Takes in `count` more exchanges that took `sum_ms` together.
    pub fn observe(&mut self, count: u64, sum_ms: u64) {
        if count == 0 {
            return;
        }
        self.seen = self.seen.saturating_add(count);
        let weight = (count as f64 / self.seen.min(AVERAGED_EXCHANGES) as f64).min(1.0);
        self.value += (sum_ms as f64 / count as f64 - self.value) * weight;
    }

    pub fn ms(&self) -> u64 {
        self.value.round() as u64
    }
}

/// The four averages of a backend or server.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TimeAverages {
    pub queue: Average,
    pub connect: Average,
    pub response: Average,
    pub total: Average,
    last: BackendTotals,
}

impl TimeAverages {
    pub fn sample(&mut self, totals: &BackendTotals) {
        let grown = totals.since(&self.last);
        self.last = *totals;
        self.queue.observe(grown.timed, grown.queue_ms);
        self.connect.observe(grown.timed, grown.connect_ms);
        self.response.observe(grown.timed, grown.response_ms);
        self.total.observe(grown.timed, grown.total_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_the_growth_of_a_second() {
        let mut rate = Rate::default();
        rate.sample(0, 1000);
        rate.sample(30, 1000);
        assert_eq!((rate.now(), rate.max()), (30, 30));
        rate.sample(40, 2000); // a late sample is scaled
        assert_eq!((rate.now(), rate.max()), (5, 30));
        rate.reset_max();
        assert_eq!(rate.max(), 5);
        assert_eq!(rate.seconds().collect::<Vec<_>>(), [0, 30, 5]);
    }

    #[test]
    fn an_average_forgets_after_about_a_thousand_exchanges() {
        let mut average = Average::default();
        average.observe(10, 1000);
        assert_eq!(average.ms(), 100);
        average.observe(10, 0);
        assert_eq!(average.ms(), 50);
        average.observe(5000, 5000 * 7);
        assert_eq!(average.ms(), 7);
    }
}
