//! Numbers that workers count and control reads. Each worker writes its own shard with plain load-and-store, so
//! counting costs no locked instruction; a reader adds the shards up.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// A total with one shard per worker.
macro_rules! counters {
    ($(#[$doc:meta])* $name:ident, $totals:ident { $($(#[$field_doc:meta])* $field:ident,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub(crate) struct $name { $($(#[$field_doc])* pub $field: Count,)* }

        /// The same numbers, added up over all workers (and over what a reset left aside).
        #[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
        pub(crate) struct $totals { $(pub $field: u64,)* }

        impl $name {
            pub fn add_to(&self, totals: &mut $totals) {
                $(totals.$field = totals.$field.wrapping_add(self.$field.get());)*
            }
        }

        impl $totals {
            /// What was counted since `earlier`.
            pub fn since(&self, earlier: &Self) -> Self {
                $totals { $($field: self.$field.wrapping_sub(earlier.$field),)* }
            }
        }
    };
}

/// One number with one writer.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// Only the worker that owns the shard may call this.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// For what goes up and down. Only the worker that owns the shard may call this.
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

counters! {
    /// Counted for a frontend, and for each of its listeners.
    FrontendShard, FrontendTotals {
        /// Connections accepted (`conn_tot`).
        connections,
        /// Sessions (`stot`): connections that got past PROXY header, TLS handshake and the rules for all of them.
        sessions,
        bytes_in,
        bytes_out,
        /// `dreq`, `dresp`, `dcon`, `dses`
        denied_requests,
        denied_responses,
        denied_connections,
        denied_sessions,
        /// `ereq`: broken or aborted while coming in.
        request_errors,
        /// HTTP requests (`req_tot`).
        requests,
        http_1xx, http_2xx, http_3xx, http_4xx, http_5xx, http_other,
        /// Answered by the proxy itself (`intercepted`): stats page, redirects.
        intercepted,
        failed_rewrites,
        internal_errors,
        h1_requests, h2_requests,
        h1_sessions, h2_sessions,
        /// Connections that TLS was to be spoken on (`CumSslConns`), and handshakes that came to something.
        tls_connections, tls_handshakes, tls_resumed, tls_failures,
    }
}

counters! {
    /// Counted for a server, and for its backend.
    BackendShard, BackendTotals {
        /// `stot`: requests (HTTP) or sessions (TCP) given to it.
        sessions,
        bytes_in,
        bytes_out,
        denied_requests,
        denied_responses,
        /// `econ`: no connection could be made.
        connection_errors,
        /// `eresp`: broken or aborted answer.
        response_errors,
        retries,
        redispatches,
        requests,
        http_1xx, http_2xx, http_3xx, http_4xx, http_5xx, http_other,
        client_aborts,
        server_aborts,
        /// `lbtot`: times it was picked.
        picked,
        intercepted,
        failed_rewrites,
        internal_errors,
        /// `connect` and `reuse`.
        connections,
        reuses,
        /// Sums for the averages, in milliseconds, over `timed` finished exchanges.
        queue_ms, connect_ms, response_ms, total_ms, timed,
    }
}

/// Counted for the process.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct ProcessShard {
    /// HTTP requests over all frontends (`CumReq`).
    pub requests: Count,
    /// Bytes that went from socket to socket inside the kernel.
    pub spliced_bytes: Count,
    /// Pipes with bytes in them, and those kept for the next ones, as they were a second ago at most.
    pub pipes_lent: Count,
    pub pipes_kept: Count,
}

/// How many there are now and how many there ever were at once. Any worker writes.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Gauge {
    now: AtomicU32,
    max: AtomicU32,
}

impl Gauge {
    /// Returns the number after this one came.
    pub fn enter(&self) -> u32 {
        let now = self.now.fetch_add(1, Relaxed) + 1;
        self.saw(now);
        now
    }

    fn saw(&self, now: u32) {
        if now > self.max.load(Relaxed) {
            self.max.fetch_max(now, Relaxed);
        }
    }

    /// Enters only while fewer than `limit` are inside.
    pub fn try_enter(&self, limit: u32) -> bool {
        let entered = self.reserve(limit);
        if entered {
            self.arrived();
        }
        entered
    }

    /// The same for who may have to leave at once, and then was never there: [`Self::arrived`] says that it stays.
    pub fn reserve(&self, limit: u32) -> bool {
        self.now.fetch_update(Relaxed, Relaxed, |now| (now < limit).then_some(now + 1)).is_ok()
    }

    pub fn arrived(&self) {
        self.saw(self.now());
    }

    pub fn leave(&self) {
        self.now.fetch_sub(1, Relaxed);
    }

    pub fn now(&self) -> u32 {
        self.now.load(Relaxed)
    }

    pub fn max(&self) -> u32 {
        self.max.load(Relaxed)
    }

    /// `clear counters`.
    pub fn reset_max(&self) {
        self.max.store(self.now(), Relaxed);
    }
}

/// The largest value seen (`qtime_max` and its kin), in milliseconds. Any worker writes.
#[derive(Debug, Default)]
pub(crate) struct Peak(AtomicU64);

impl Peak {
    pub fn observe(&self, value: u64) {
        if value > self.0.load(Relaxed) {
            self.0.fetch_max(value, Relaxed);
        }
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub fn reset(&self) {
        self.0.store(0, Relaxed);
    }
}

/// One shard per worker.
#[derive(Debug)]
pub(crate) struct Sharded<S> {
    shards: Box<[S]>,
}

impl<S: Default> Sharded<S> {
    pub fn new(workers: usize) -> Self {
        Sharded { shards: (0..workers.max(1)).map(|_| S::default()).collect() }
    }
}

impl<S> Sharded<S> {
    /// The shard only worker number `worker` writes to.
    pub fn of(&self, worker: usize) -> &S {
        &self.shards[worker]
    }

    pub fn iter(&self) -> impl Iterator<Item = &S> {
        self.shards.iter()
    }
}

impl Sharded<FrontendShard> {
    pub fn totals(&self) -> FrontendTotals {
        let mut totals = FrontendTotals::default();
        self.iter().for_each(|shard| shard.add_to(&mut totals));
        totals
    }
}

impl Sharded<BackendShard> {
    pub fn totals(&self) -> BackendTotals {
        let mut totals = BackendTotals::default();
        self.iter().for_each(|shard| shard.add_to(&mut totals));
        totals
    }
}

impl Sharded<ProcessShard> {
    /// One of the numbers, over all workers.
    pub fn sum(&self, number: impl Fn(&ProcessShard) -> &Count) -> u64 {
        self.iter().map(|shard| number(shard).get()).fold(0, u64::wrapping_add)
    }

    pub fn requests(&self) -> u64 {
        self.sum(|shard| &shard.requests)
    }

    pub fn spliced_bytes(&self) -> u64 {
        self.sum(|shard| &shard.spliced_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_add_the_shards() {
        let counters: Sharded<FrontendShard> = Sharded::new(2);
        counters.of(0).requests.add(3);
        counters.of(1).requests.add(4);
        assert_eq!(counters.totals().requests, 7);
    }

    #[test]
    fn a_full_gauge_lets_nobody_in() {
        let gauge = Gauge::default();
        assert!(gauge.try_enter(2) && gauge.try_enter(2));
        assert!(!gauge.try_enter(2));
        gauge.leave();
        assert!(gauge.try_enter(2));
        assert_eq!((gauge.now(), gauge.max()), (2, 2));
    }
}
