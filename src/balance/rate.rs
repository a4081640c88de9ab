//! May one more come in this second? (HAProxy manual 4.2 `rate-limit sessions`)
//!
//! Two counters, this second's and the last one's, which counts for as much as is left of it: what came in any second
//! is known to a fraction, without remembering each moment.

/// How many came lately. Times are milliseconds of any one clock.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rate {
    second: u64,
    now: u32,
    before: u32,
}

const SECOND_MS: u64 = 1000;

impl Rate {
    fn turn(&mut self, at_ms: u64) {
        let second = at_ms / SECOND_MS;
        if second > self.second {
            self.before = if second == self.second + 1 { self.now } else { 0 };
            self.now = 0;
            self.second = second;
        }
    }

    /// Lets one in if fewer than `most` came in the second before `at_ms`; else how long until one may, in milliseconds.
    ///
    /// # Errors
    /// The wait, at least 1.
    pub fn admit(&mut self, at_ms: u64, most: u32) -> Result<(), u64> {
        self.turn(at_ms);
        let into = at_ms % SECOND_MS;
        let before = u64::from(self.before) * (SECOND_MS - into) / SECOND_MS;
        if before + u64::from(self.now) < u64::from(most) {
            self.now = self.now.saturating_add(1);
            return Ok(());
        }
        // The last second's count must fall below what is left of `most`.
        let (counted, left, until) = match most.saturating_sub(self.now) {
            0 => (self.now, most, SECOND_MS - into), // not before this second is the last one
            left => (self.before, left, 0),
        };
        let free_at = SECOND_MS.saturating_sub(u64::from(left) * SECOND_MS / u64::from(counted.max(1))) + 1;
        Err(if until > 0 { until + free_at } else { free_at.saturating_sub(into).max(1) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Arrivals at these milliseconds; `+` let in, `.` not.
    #[track_caller]
    fn check(most: u32, arrivals: &[u64], expected: &str) {
        let mut rate = Rate::default();
        let seen: String = arrivals.iter().map(|at| if rate.admit(*at, most).is_ok() { '+' } else { '.' }).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn lets_in_so_many_in_any_second() {
        check(2, &[0, 0, 0, 500, 999], "++...");
        check(2, &[0, 0, 1000, 1400, 1501, 1502, 2000, 2600], "++.++..+");
        check(1, &[0, 5000, 5001, 7000], "++.+");
        check(10, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1100, 1100, 1999], "++++++++++.+.+");
    }

    #[test]
    fn the_wait_leads_to_a_moment_that_is_free() {
        for most in [1, 3, 50] {
            let (mut rate, mut at, mut let_in) = (Rate::default(), 0, Vec::new());
            while at < 20_000 {
                match rate.admit(at, most) {
                    Ok(()) => let_in.push(at),
                    Err(wait) => at += wait,
                }
            }
            let mean = let_in.len() as f64 / 20.0;
            assert!(mean > f64::from(most) * 0.5 && mean <= f64::from(most) * 1.1, "{most}: {mean}");
        }
    }
}
