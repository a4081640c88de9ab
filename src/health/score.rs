//! When does a server count as up? Pure rules: no clock, no socket.
//!
//! One number moves between 0 and `rise + fall - 1`; at `rise` or above the server is up. Crossing `rise` jumps to
//! that side's end, so one lucky check does not undo a failing streak. HAProxy keeps the same number, which is why
//! our stats page can print `UP 2/3` the way its users read it.

/// How sure we are of one server, in checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Score {
    /// At most `rise + fall - 1`.
    value: u32,
    rise: u32,
    fall: u32,
}

/// What one check says of the server's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    Failed,
}

/// A crossing between up and down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transition {
    WentUp,
    WentDown,
}

impl Score {
    /// As HAProxy starts a checked server: up, one failure above down. Both thresholds are at least 1.
    pub fn starting_up(rise: u32, fall: u32) -> Self {
        let (rise, fall) = (rise.max(1), fall.max(1));
        Score { value: rise, rise, fall }
    }

    /// Takes one result in. `Some` only when the server crossed between up and down.
    pub fn observe(&mut self, verdict: Verdict) -> Option<Transition> {
        let was_up = self.is_up();
        self.value = match verdict {
            Verdict::Passed if self.rise <= self.value + 1 => self.top(),
            Verdict::Passed => self.value + 1,
            Verdict::Failed if self.value <= self.rise => 0,
            Verdict::Failed => self.value - 1,
        };
        match (was_up, self.is_up()) {
            (false, true) => Some(Transition::WentUp),
            (true, false) => Some(Transition::WentDown),
            _ => None,
        }
    }

    /// An operator's word: fully up.
    pub fn force_up(&mut self) {
        self.value = self.top();
    }

    /// An operator's word: fully down.
    pub fn force_down(&mut self) {
        self.value = 0;
    }

    /// New thresholds from a reload. The server stays on its side and as sure as before, as far as they allow.
    pub fn with_thresholds(self, rise: u32, fall: u32) -> Self {
        let (rise, fall) = (rise.max(1), fall.max(1));
        let value = if self.is_full() {
            rise + fall - 1
        } else if self.is_up() {
            rise + (self.value - self.rise).min(fall - 1)
        } else {
            self.value.min(rise - 1)
        };
        Score { value, rise, fall }
    }

    pub fn is_up(&self) -> bool {
        self.value >= self.rise
    }

    /// As sure as can be that it is up.
    pub fn is_full(&self) -> bool {
        self.value == self.top()
    }

    /// As sure as can be that it is down.
    pub fn is_zero(&self) -> bool {
        self.value == 0
    }

    /// What stands behind the status: failures left to go of `fall` when up, passes so far of `rise` when down.
    pub fn progress(&self) -> (u32, u32) {
        if self.is_up() { (self.value - self.rise + 1, self.fall) } else { (self.value, self.rise) }
    }

    /// `check_health`, `check_rise`, `check_fall` of `show stat`.
    pub fn value(&self) -> u32 {
        self.value
    }

    pub fn rise(&self) -> u32 {
        self.rise
    }

    pub fn fall(&self) -> u32 {
        self.fall
    }

    fn top(&self) -> u32 {
        self.rise + self.fall - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `.` a passed check, `x` a failed one; expected: `U`p or `d`own after each.
    #[track_caller]
    fn check(mut score: Score, results: &str, expected: &str) {
        let seen: String = results
            .chars()
            .map(|result| {
                score.observe(if result == '.' { Verdict::Passed } else { Verdict::Failed });
                if score.is_up() { 'U' } else { 'd' }
            })
            .collect();
        assert_eq!(seen, expected, "after {results}");
    }

    fn full(rise: u32, fall: u32) -> Score {
        let mut score = Score::starting_up(rise, fall);
        score.force_up();
        score
    }

    #[test]
    fn the_first_failure_after_the_start_takes_a_server_down() {
        check(Score::starting_up(2, 3), "x", "d");
        check(Score::starting_up(2, 3), ".xx.xxx", "UUUUUUd");
    }

    #[test]
    fn goes_down_after_fall_failures_in_a_row_and_up_after_rise_passes() {
        check(full(2, 3), "xx.xxx", "UUUUUd"); // the pass in between starts the count again
        check(full(2, 3), "xxx.x..", "UUddddU");
        check(full(1, 1), "x.x.", "dUdU");
        check(full(3, 1), "x..x...", "ddddddU");
    }

    #[test]
    fn progress_reads_as_haproxy_prints_it() {
        let mut score = Score::starting_up(2, 3);
        assert_eq!(score.progress(), (1, 3));
        score.observe(Verdict::Passed);
        assert_eq!(score.progress(), (3, 3));
        score.force_down();
        score.observe(Verdict::Passed);
        assert_eq!(score.progress(), (1, 2));
    }

    #[test]
    fn new_thresholds_leave_a_server_on_its_side() {
        assert!(full(2, 3).with_thresholds(5, 1).is_full());
        let mut down = full(2, 3);
        down.force_down();
        assert!(!down.with_thresholds(1, 1).is_up());
        let mut going_up = Score::starting_up(4, 3);
        going_up.force_down();
        going_up.observe(Verdict::Passed);
        assert_eq!(going_up.with_thresholds(2, 3).progress(), (1, 2));
    }

    proptest! {
        #[test]
        fn agrees_with_counting_streaks(rise in 1u32..6, fall in 1u32..6, results in proptest::collection::vec(any::<bool>(), 0..60)) {
            // The same rule told differently: a streak of `fall` failures from up, of `rise` passes from down.
            let mut score = full(rise, fall);
            let (mut up, mut streak) = (true, 0);
            for passed in results {
                score.observe(if passed { Verdict::Passed } else { Verdict::Failed });
                if passed == up {
                    streak = 0;
                } else {
                    streak += 1;
                    if streak == if up { fall } else { rise } {
                        up = !up;
                        streak = 0;
                    }
                }
                prop_assert_eq!(score.is_up(), up);
            }
        }
    }
}
