//! What does an exchange or a session leave in the counters? Once, when it is over, except for failures, which an exchange
//! may have several of, and for the bytes of one that lasts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{Account, Bytes, InBackend};
use crate::logline::{Cause, Phase, Timers};
use crate::moment::Moment;
use crate::proxy::exchange::Setting;
use crate::proxy::transfer::Failure;
use crate::state::counters::{BackendShard, FrontendShard};
use crate::state::servers::TimePeaks;
use crate::state::snapshot::BackendInForce;

impl Account {
    pub fn fail(&mut self, worker: usize, backend: &BackendInForce, failure: &Failure) {
        self.bad_request |= matches!(failure, Failure::BadBody);
        self.handed_back |= matches!(failure, Failure::HandedBack);
        let Some((_, server)) = &self.server else { return };
        for shard in [backend.state.counters.of(worker), server.counters.of(worker)] {
            match failure {
                Failure::Cut | Failure::HandedBack | Failure::NoAnswer { phase: Phase::Data, .. } => {
                    shard.server_aborts.add(1);
                    shard.response_errors.add(1);
                }
                Failure::CutByTimeout | Failure::ServerTimedOut { phase: Phase::Data } => shard.server_aborts.add(1),
                Failure::Stale
                | Failure::Again
                | Failure::NoAnswer { .. }
                | Failure::BadAnswer
                | Failure::BadCut
                | Failure::ServerTimedOut { .. } => {
                    shard.response_errors.add(1);
                }
                Failure::ClientGone { .. } | Failure::ClientLeft | Failure::ClientTimedOut { .. } => {
                    shard.client_aborts.add(1)
                }
                Failure::Refused => shard.denied_responses.add(1),
                // A bad body is the frontend's to count.
                Failure::BadBody | Failure::Killed { .. } => {}
            }
        }
    }

    /// Its client left while no server had it yet, or none any more.
    pub fn client_left(&mut self, worker: usize, backend: &BackendInForce) {
        backend.state.counters.of(worker).client_aborts.add(1);
        if let Some((_, server)) = &self.server {
            server.counters.of(worker).client_aborts.add(1);
        }
    }

    /// The server has given an interim response: an answer of its own, as HAProxy counts.
    pub fn interim(&self, worker: usize) {
        if let Some((_, server)) = &self.server {
            let shard = server.counters.of(worker);
            shard.requests.add(1);
            shard.http_1xx.add(1);
        }
    }

    /// What an exchange had become did not end well.
    pub fn tunnel_broke(&self, worker: usize) {
        if let Some((_, InBackend(backend))) = &self.backend {
            self.count_abort(backend.counters.of(worker));
        }
        if let Some((_, server)) = &self.server {
            self.count_abort(server.counters.of(worker));
        }
    }

    fn count_abort(&self, shard: &BackendShard) {
        match self.termination {
            Some((Cause::Client | Cause::ClientTimeout, Phase::Data | Phase::Request)) => shard.client_aborts.add(1),
            Some((Cause::ServerTimeout, Phase::Data)) => shard.server_aborts.add(1),
            Some((Cause::Server, Phase::Data)) => {
                shard.server_aborts.add(1);
                shard.response_errors.add(1);
            }
            _ => {}
        }
    }

    /// Puts into the counters what has been moved so far, of which some may be there. To be called now and then: whoever looks
    /// at the counters is to see what lasts for hours (HAProxy manual 4.2, `option contstats`).
    pub fn moved(&mut self, setting: &Setting<'_>, bytes: Bytes) {
        let worker = setting.connection.worker.index;
        let new = bytes.beyond(self.counted);
        self.counted = bytes;
        for shard in
            [setting.frontend.state.counters.of(worker), setting.connection.listener().state.counters.of(worker)]
        {
            shard.bytes_in.add(new.received);
            shard.bytes_out.add(new.sent);
        }
        let backend = self.backend.as_ref().map(|(_, InBackend(state))| state.counters.of(worker));
        let server = self.server.as_ref().map(|(_, state)| state.counters.of(worker));
        for shard in backend.into_iter().chain(server) {
            shard.bytes_in.add(new.received);
            shard.bytes_out.add(new.sent);
        }
    }

    pub(super) fn count_session(&self, setting: &Setting<'_>, bytes: Bytes, now: Moment) {
        let bytes = bytes.beyond(self.counted);
        let worker = setting.connection.worker.index;
        for shard in
            [setting.frontend.state.counters.of(worker), setting.connection.listener().state.counters.of(worker)]
        {
            shard.bytes_in.add(bytes.received);
            shard.bytes_out.add(bytes.sent);
            // Also what a backend's rules refuse (run against HAProxy 2.6).
            if self.denied {
                shard.denied_requests.add(1);
            }
            if matches!(self.termination, Some((Cause::Client | Cause::ClientTimeout, Phase::Request))) {
                shard.request_errors.add(1);
            }
        }
        let uptime_ms = setting.connection.worker.shared.uptime_ms(now);
        let count = |shard: &BackendShard, peaks: &TimePeaks, last_session_ms: &AtomicU64| {
            shard.bytes_in.add(bytes.received);
            shard.bytes_out.add(bytes.sent);
            self.count_times(shard);
            self.count_abort(shard);
            observe(peaks, &self.timers);
            last_session_ms.store(uptime_ms, Relaxed);
        };
        if let Some((_, InBackend(backend))) = &self.backend {
            count(backend.counters.of(worker), &backend.peaks, &backend.last_session_ms);
        }
        if let Some((_, server)) = &self.server {
            count(server.counters.of(worker), &server.peaks, &server.last_session_ms);
        }
    }

    pub(super) fn count(&self, setting: &Setting<'_>, bytes: Bytes, now: Moment) {
        let bytes = bytes.beyond(self.counted);
        let worker = setting.connection.worker.index;
        setting.connection.worker.counts().requests.add(1);
        let frontend = setting.frontend.state.counters.of(worker);
        frontend.requests.add(1);
        if !self.handed_back {
            count_frontend_status(frontend, self.status);
        }
        let at_fault = self.refused
            || self.bad_request
            || matches!(self.termination, Some((Cause::Client | Cause::ClientTimeout, Phase::Request)));
        // The listener counts beside its frontend what both have a column for.
        for shard in [frontend, setting.connection.listener().state.counters.of(worker)] {
            shard.bytes_in.add(bytes.received);
            shard.bytes_out.add(bytes.sent);
            shard.request_errors.add(u64::from(at_fault));
            shard.denied_requests.add(u64::from(self.denied));
            shard.denied_responses.add(u64::from(self.denied_response));
        }
        if self.intercepted {
            frontend.intercepted.add(1);
        }
        let Some((_, InBackend(backend))) = &self.backend else { return };
        let uptime_ms = setting.connection.worker.shared.uptime_ms(now);
        let shard = backend.counters.of(worker);
        if !self.handed_back {
            shard.requests.add(1);
            count_status(shard, self.status);
        }
        self.count_upstream(shard, bytes);
        backend.last_session_ms.store(uptime_ms, Relaxed);
        if self.denied {
            shard.denied_requests.add(1);
        }
        observe(&backend.peaks, &self.timers);
        let Some((_, server)) = &self.server else { return };
        let shard = server.counters.of(worker);
        if self.server_status.is_some() {
            shard.requests.add(1);
            count_status(shard, self.server_status);
        }
        self.count_upstream(shard, bytes);
        server.last_session_ms.store(uptime_ms, Relaxed);
        observe(&server.peaks, &self.timers);
    }

    fn count_upstream(&self, shard: &BackendShard, bytes: Bytes) {
        shard.bytes_in.add(bytes.received);
        shard.bytes_out.add(bytes.sent);
        self.count_times(shard);
    }

    fn count_times(&self, shard: &BackendShard) {
        shard.queue_ms.add(self.timers.queue.max(0) as u64);
        shard.connect_ms.add(self.timers.connect.max(0) as u64);
        shard.response_ms.add(self.timers.response.max(0) as u64);
        shard.total_ms.add(self.timers.total.max(0) as u64);
        shard.timed.add(1);
    }
}

fn observe(peaks: &TimePeaks, timers: &Timers) {
    peaks.queue.observe(timers.queue.max(0) as u64);
    peaks.connect.observe(timers.connect.max(0) as u64);
    peaks.response.observe(timers.response.max(0) as u64);
    peaks.total.observe(timers.total.max(0) as u64);
}

fn count_frontend_status(shard: &FrontendShard, status: Option<u16>) {
    match status.map(|status| status / 100) {
        Some(1) => &shard.http_1xx,
        Some(2) => &shard.http_2xx,
        Some(3) => &shard.http_3xx,
        Some(4) => &shard.http_4xx,
        Some(5) => &shard.http_5xx,
        _ => &shard.http_other,
    }
    .add(1);
}

fn count_status(shard: &BackendShard, status: Option<u16>) {
    match status.map(|status| status / 100) {
        Some(1) => &shard.http_1xx,
        Some(2) => &shard.http_2xx,
        Some(3) => &shard.http_3xx,
        Some(4) => &shard.http_4xx,
        Some(5) => &shard.http_5xx,
        _ => &shard.http_other,
    }
    .add(1);
}
