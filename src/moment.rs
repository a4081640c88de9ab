//! A point in time that is cheap to hold, compare and move.

use std::ops::Add;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

static ORIGIN: OnceLock<Instant> = OnceLock::new();

const NANOS_PER_SECOND: u64 = 1_000_000_000;
const NANOS_PER_MS: u64 = 1_000_000;

/// Nanoseconds since this process first asked; lasts 584 years. An [`Instant`] is twice as large and takes twenty
/// instructions where this takes one, and a request asks some thirty times how far two of them are apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    /// When this process first asked: what is counted from some fixed point can be counted from here.
    pub const ORIGIN: Moment = Moment(0);

    /// What was before this process first asked is taken for that.
    pub fn of(instant: Instant) -> Self {
        Moment(nanos(instant.saturating_duration_since(*ORIGIN.get_or_init(|| instant))))
    }

    /// For those who know no moments; those beyond what the clock knows end now.
    pub fn instant(self) -> Instant {
        let origin = *ORIGIN.get_or_init(Instant::now);
        origin.checked_add(Duration::from_nanos(self.0)).unwrap_or(origin)
    }

    /// `None` beyond the end of all moments.
    pub fn checked_add(self, after: Duration) -> Option<Self> {
        self.0.checked_add(nanos(after)).map(Moment)
    }

    /// Zero when `earlier` is later.
    pub fn saturating_duration_since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The same in whole milliseconds.
    pub fn ms_since(self, earlier: Moment) -> u64 {
        self.0.saturating_sub(earlier.0) / NANOS_PER_MS
    }

    /// How many whole `units` (not zero) lie between.
    pub fn units_since(self, earlier: Moment, unit: Duration) -> u64 {
        self.0.saturating_sub(earlier.0) / nanos(unit)
    }
}

/// Ends at the end of all moments.
impl Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, after: Duration) -> Moment {
        Moment(self.0.saturating_add(nanos(after)))
    }
}

const fn nanos(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(NANOS_PER_SECOND).saturating_add(duration.subsec_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_keeps_what_an_instant_knows() {
        #[allow(clippy::disallowed_methods)]
        let now = Instant::now();
        let (first, second) = (Moment::of(now), Moment::of(now + Duration::from_micros(1_999_999)));
        assert_eq!(second.saturating_duration_since(first), Duration::from_micros(1_999_999));
        assert_eq!((second.ms_since(first), first.ms_since(second)), (1999, 0));
        assert_eq!(second.units_since(first, Duration::from_millis(10)), 199);
        assert_eq!(first.checked_add(Duration::from_micros(1_999_999)), Some(second));
        assert!(first < second && Moment::ORIGIN <= first);
    }

    #[test]
    fn there_is_an_end_of_moments() {
        let day = Duration::from_secs(86_400);
        let far = Moment::ORIGIN + day * 365 * 500;
        assert_eq!(far.saturating_duration_since(Moment::ORIGIN), day * 365 * 500);
        assert_eq!(far.checked_add(day * 365 * 100), None);
        assert_eq!(far + day * 365 * 100, Moment(u64::MAX));
        assert_eq!(Moment::ORIGIN + Duration::MAX, Moment(u64::MAX));
    }
}
