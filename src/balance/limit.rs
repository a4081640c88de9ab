//! How many requests may a server have at once? (HAProxy manual 5.2 `maxconn`, `minconn`; 4.2 `fullconn`)

/// The limit of one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    /// `u32::MAX` is none.
    pub most: u32,
    /// As `most` unless `minconn` says otherwise.
    pub least: u32,
    /// Sessions of the backend at which `most` is reached.
    pub full: u32,
}

impl Limit {
    pub const NONE: Limit = Limit { most: u32::MAX, least: u32::MAX, full: 1 };

    pub fn new(maxconn: Option<u32>, minconn: Option<u32>, fullconn: u32) -> Limit {
        match (maxconn, minconn) {
            (None, None) => Limit::NONE,
            (Some(most), None) => Limit { most, least: most, full: fullconn.max(1) },
            // A `minconn` alone, or a larger one, is the limit (run against HAProxy 2.6).
            (most, Some(least)) => Limit { most: most.unwrap_or(least).max(least), least, full: fullconn.max(1) },
        }
    }

    /// What is let in while the backend has `sessions`: in proportion to how full it is, at least `least`.
    pub fn at(self, sessions: u32) -> u32 {
        if self.least >= self.most || sessions >= self.full {
            return self.most;
        }
        let share = u64::from(self.most) * u64::from(sessions) / u64::from(self.full);
        u32::try_from(share).unwrap_or(u32::MAX).max(self.least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(limit: (Option<u32>, Option<u32>, u32), at: &[(u32, u32)]) {
        let limit = Limit::new(limit.0, limit.1, limit.2);
        for (sessions, expected) in at {
            assert_eq!(limit.at(*sessions), *expected, "{limit:?} at {sessions}");
        }
    }

    #[test]
    fn grows_from_minconn_to_maxconn_with_the_backend() {
        check((None, None, 100), &[(0, u32::MAX), (1000, u32::MAX)]);
        check((Some(10), None, 100), &[(0, 10), (50, 10), (1000, 10)]);
        check((Some(10), Some(2), 10), &[(0, 2), (1, 2), (3, 3), (5, 5), (9, 9), (10, 10), (99, 10)]);
        check((Some(1000), Some(100), 10_000), &[(500, 100), (5_000, 500), (10_000, 1000)]);
        check((None, Some(5), 100), &[(0, 5), (100, 5)]);
        check((Some(2), Some(5), 100), &[(0, 5), (100, 5)]);
    }
}
