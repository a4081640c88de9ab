//! Which idle connection does a request get, and which are closed? Pure: what a connection is does not matter here.
//!
//! The youngest is used first, so that the others may grow old and go.

use std::time::Duration;

use crate::moment::Moment;

/// A connection that waits for its next request, and what decides who may have it.
#[derive(Debug)]
pub(crate) struct Kept<C> {
    pub connection: C,
    /// When its last response was read to its end.
    pub since: Moment,
    /// Requests sent over it so far.
    pub uses: u32,
    /// What it was opened for, where that is the request's wish: a name (`sni req.hdr(host)`), an address to come from.
    pub wish: Option<Box<[u8]>>,
}

/// What a request asks of a connection that others have used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wanted<'a> {
    /// It has been used more than once: its server keeps what it says it keeps (`http-reuse aggressive`).
    pub proven: bool,
    /// Used within this time.
    pub within: Option<Duration>,
    pub wish: Option<&'a [u8]>,
}

#[derive(Debug)]
pub(crate) struct Idle<C> {
    /// In the order they came, so by age.
    kept: Vec<Kept<C>>,
    purge: Purge,
}

impl<C> Default for Idle<C> {
    fn default() -> Self {
        Idle { kept: Vec::new(), purge: Purge::default() }
    }
}

/// How many connections go because nobody needs them: once in each delay half of those that have been idle all that time
/// (HAProxy manual 5.2 `pool-purge-delay`).
#[derive(Debug, Default)]
pub(crate) struct Purge {
    /// The last time some were due.
    last: Option<Moment>,
}

impl Purge {
    /// How many go now, the oldest first. `unneeded` counts those that have been idle for `delay`.
    pub fn due(&mut self, now: Moment, delay: Duration, unneeded: impl FnOnce() -> usize) -> usize {
        let last = *self.last.get_or_insert(now);
        if now.saturating_duration_since(last) < delay {
            return 0;
        }
        self.last = Some(now);
        unneeded().div_ceil(2)
    }
}

impl<C> Idle<C> {
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    pub fn put(&mut self, kept: Kept<C>) {
        self.kept.push(kept);
    }

    /// The youngest connection that will do.
    pub fn take(&mut self, now: Moment, wanted: Wanted<'_>) -> Option<Kept<C>> {
        let fits = |kept: &Kept<C>| (!wanted.proven || kept.uses > 1) && kept.wish.as_deref() == wanted.wish;
        let young = |kept: &Kept<C>| wanted.within.is_none_or(|most| now.saturating_duration_since(kept.since) <= most);
        let at = self.kept.iter().rposition(fits)?;
        if !young(&self.kept[at]) {
            return None; // those before it are older
        }
        Some(self.kept.remove(at))
    }

    /// All of another set, as it was.
    pub fn take_over(&mut self, other: &mut Idle<C>) {
        self.kept.append(&mut other.kept);
    }

    /// Closes those that `keep` refuses, and those that are due for want of need ([`Purge`]). Returns how many.
    pub fn purge(&mut self, now: Moment, delay: Duration, keep: impl FnMut(&mut Kept<C>) -> bool) -> usize {
        let before = self.kept.len();
        self.kept.retain_mut(keep);
        let unneeded = || self.kept.partition_point(|kept| now.saturating_duration_since(kept.since) >= delay);
        let due = self.purge.due(now, delay, unneeded);
        self.kept.drain(..due);
        before - self.kept.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Moment {
        Moment::ORIGIN + Duration::from_secs(second)
    }

    fn kept(connection: char, second: u64, uses: u32, host: Option<&str>) -> Kept<char> {
        Kept { connection, since: at(second), uses, wish: host.map(|host| host.as_bytes().into()) }
    }

    fn set() -> Idle<char> {
        let mut idle = Idle::default();
        for (connection, second, uses, host) in
            [('a', 0, 1, None), ('b', 1, 2, None), ('c', 2, 1, Some("x")), ('d', 3, 1, None)]
        {
            idle.put(kept(connection, second, uses, host));
        }
        idle
    }

    /// What is taken at second 4, one after the other.
    #[track_caller]
    fn check(wanted: Wanted<'_>, expected: &str) {
        let mut idle = set();
        let taken: String = std::iter::from_fn(|| idle.take(at(4), wanted)).map(|kept| kept.connection).collect();
        assert_eq!(taken, expected, "{wanted:?}");
        assert_eq!(idle.len() + taken.len(), 4);
    }

    #[test]
    fn the_youngest_that_will_do_is_taken() {
        let any = Wanted::default();
        check(any, "dba");
        check(Wanted { proven: true, ..any }, "b");
        check(Wanted { wish: Some(b"x"), ..any }, "c");
        check(Wanted { wish: Some(b"y"), ..any }, "");
        check(Wanted { within: Some(Duration::from_secs(1)), ..any }, "d");
        check(Wanted { within: Some(Duration::from_secs(3)), ..any }, "db");
    }

    #[test]
    fn half_of_the_unneeded_go_in_each_delay() {
        let delay = Duration::from_secs(5);
        let mut idle = set();
        assert_eq!(idle.purge(at(4), delay, |_| true), 0, "the first look begins the first interval");
        assert_eq!(idle.purge(at(8), delay, |_| true), 0);
        assert_eq!(idle.purge(at(9), delay, |_| true), 2);
        idle.put(kept('e', 9, 1, None));
        assert_eq!(idle.purge(at(10), delay, |_| true), 0);
        assert_eq!(idle.purge(at(14), delay, |_| true), 2, "c, and d or e: half of three");
        assert_eq!(idle.purge(at(14), delay, |kept| kept.connection != 'e'), 1);
        assert_eq!(idle.len(), 0);
    }

    /// One step of a pool's life.
    #[derive(Debug, Clone, Copy)]
    enum Step {
        /// A response is over: a connection in use comes back, or a new one comes.
        Put {
            host: Option<u8>,
        },
        Take {
            proven: bool,
            within: Option<u64>,
            host: Option<u8>,
        },
        /// A second passes and the pool is looked through; servers have closed every connection whose number is odd.
        Purge {
            some_closed: bool,
        },
    }

    fn step() -> impl proptest::strategy::Strategy<Value = Step> {
        use proptest::prelude::*;
        let host = || proptest::option::weighted(0.3, 0..2u8);
        prop_oneof![
            4 => host().prop_map(|host| Step::Put { host }),
            4 => (any::<bool>(), proptest::option::of(0..5u64), host())
                .prop_map(|(proven, within, host)| Step::Take { proven, within, host }),
            2 => proptest::bool::weighted(0.2).prop_map(|some_closed| Step::Purge { some_closed }),
        ]
    }

    proptest::proptest! {
        /// A shadow keeps every connection with what is known of it: none is had by two, none is lost, and who takes one
        /// gets the youngest that will do.
        #[test]
        fn no_connection_is_lost_or_had_twice(steps in proptest::collection::vec(step(), 1..200)) {
            let delay = Duration::from_secs(3);
            let (mut idle, mut second, mut number) = (Idle::default(), 0, 0u32);
            let mut in_use: Vec<(u32, u32)> = Vec::new();
            let mut shadow: Vec<(u32, u64, u32, Option<u8>)> = Vec::new();
            for step in steps {
                match step {
                    Step::Put { host } => {
                        let (connection, uses) = in_use.pop().unwrap_or_else(|| {
                            number += 1;
                            (number, 0)
                        });
                        let name = host.map(|host| Box::from([host]));
                        idle.put(Kept { connection, since: at(second), uses: uses + 1, wish: name });
                        shadow.push((connection, second, uses + 1, host));
                    }
                    Step::Take { proven, within, host } => {
                        let name = host.map(|host| [host]);
                        let wanted = Wanted {
                            proven,
                            within: within.map(Duration::from_secs),
                            wish: name.as_ref().map(|name| &name[..]),
                        };
                        let fits = |(_, since, uses, of): &(u32, u64, u32, Option<u8>)| {
                            *of == host && (!proven || *uses > 1) && within.is_none_or(|most| second - since <= most)
                        };
                        let expected = shadow.iter().rposition(fits).map(|place| shadow.remove(place));
                        let got = idle.take(at(second), wanted).map(|kept| (kept.connection, kept.uses));
                        assert_eq!(got, expected.map(|(connection, _, uses, _)| (connection, uses)));
                        in_use.extend(got);
                    }
                    Step::Purge { some_closed } => {
                        second += 1;
                        let before = shadow.len();
                        let closed = idle.purge(at(second), delay, |kept| !(some_closed && kept.connection % 2 == 1));
                        let mut left: Vec<u32> = idle.kept.iter().map(|kept| kept.connection).collect();
                        assert_eq!(left.len() + closed, before);
                        shadow.retain(|(connection, ..)| left.contains(connection));
                        assert_eq!(shadow.len(), left.len());
                        left.sort_unstable();
                        left.dedup();
                        assert_eq!(left.len(), shadow.len(), "each is there once");
                    }
                }
                assert!(in_use.iter().all(|(used, _)| shadow.iter().all(|(idle, ..)| idle != used)));
            }
        }
    }
}
