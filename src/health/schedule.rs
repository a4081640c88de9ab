//! When is the next check of a server due? Pure: `now` and chance come in as arguments.

use std::time::Duration;

use super::score::Score;

/// The three intervals of HAProxy manual 5.2 (`inter`, `fastinter`, `downinter`) and `spread-checks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Schedule {
    pub interval: Duration,
    pub fast: Option<Duration>,
    pub down: Option<Duration>,
    /// In percent of the interval, 0 to 50: how far a check may be moved either way.
    pub spread: u8,
}

impl Schedule {
    /// How long after the start the first check goes out: checks of `count` servers are spread over the interval, in
    /// the order `index` they stand in, so that a thousand servers are not all asked at once.
    pub fn first(&self, index: usize, count: usize) -> Duration {
        let count = count.max(1);
        self.interval.mul_f64((index % count) as f64 / count as f64)
    }

    /// The interval that rules now: `fast` while between up and down, `down` while fully down.
    pub fn interval(&self, score: &Score) -> Duration {
        if score.is_full() {
            self.interval
        } else if score.is_zero() {
            self.down.unwrap_or(self.interval)
        } else {
            self.fast.unwrap_or(self.interval)
        }
    }

    /// How long after a check began the next one begins. `chance` is in 0.0 to 1.0.
    pub fn next(&self, score: &Score, chance: f64) -> Duration {
        let interval = self.interval(score);
        if self.spread == 0 {
            return interval;
        }
        let reach = f64::from(self.spread.min(50)) / 100.0;
        interval.mul_f64(1.0 + reach * (2.0 * chance.clamp(0.0, 1.0) - 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::score::Verdict;

    const PLAIN: Schedule = Schedule {
        interval: Duration::from_millis(2000),
        fast: Some(Duration::from_millis(500)),
        down: Some(Duration::from_millis(9000)),
        spread: 0,
    };

    #[track_caller]
    fn check(schedule: Schedule, results: &[Verdict], chance: f64, expected_ms: u64) {
        let mut score = Score::starting_up(2, 2);
        results.iter().for_each(|&result| {
            score.observe(result);
        });
        assert_eq!(schedule.next(&score, chance), Duration::from_millis(expected_ms));
    }

    #[test]
    fn in_between_is_fast_and_down_is_its_own() {
        use Verdict::{Failed, Passed};
        check(PLAIN, &[], 0.5, 500); // one failure above down
        check(PLAIN, &[Passed], 0.5, 2000);
        check(PLAIN, &[Passed, Failed], 0.5, 500);
        check(PLAIN, &[Failed], 0.5, 9000);
        check(PLAIN, &[Failed, Passed], 0.5, 500);
        check(Schedule { fast: None, down: None, ..PLAIN }, &[Failed], 0.5, 2000);
    }

    #[test]
    fn spreading_moves_a_check_at_most_that_far() {
        let spread = Schedule { spread: 50, ..PLAIN };
        check(spread, &[Verdict::Passed], 0.0, 1000);
        check(spread, &[Verdict::Passed], 0.5, 2000);
        check(spread, &[Verdict::Passed], 1.0, 3000);
    }

    #[test]
    fn the_first_checks_are_spread_over_the_interval() {
        let firsts: Vec<_> = (0..4).map(|index| PLAIN.first(index, 4).as_millis()).collect();
        assert_eq!(firsts, [0, 500, 1000, 1500]);
    }
}
