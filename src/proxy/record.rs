//! What is counted and logged of one exchange. Collected while it runs, written once when it is over.

mod counting;

use std::sync::Arc;
use std::time::Duration;

use super::clock;
use super::exchange::{Setting, ms_between};
use super::upstream::attempts::Attempts;
use super::upstream::slot::{Line, Slot, Waited};
use crate::http::{RequestHead, ResponseHead};
use crate::logline::{self, Cause, ConnectionCounts, Phase, Record, RequestLine, ServerLabel, Termination, Timers};
use crate::model::log::{Capture, Level, LogFormat};
use crate::model::{BackendId, Name, ServerId};
use crate::moment::Moment;
use crate::state::snapshot::{BackendInForce, FrontendInForce};
use crate::state::{BackendState, ServerState};

/// How often the bytes of what lasts are put into the counters.
pub(crate) const COUNT_EVERY: Duration = Duration::from_secs(1);

/// The story of one exchange so far.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// When the request's first byte came.
    started: Option<Moment>,
    /// When its head was complete.
    head_complete: Option<Moment>,
    timers: Timers,
    status: Option<u16>,
    /// What the server answered, if it did: the proxy's own answers do not count as its.
    server_status: Option<u16>,
    termination: Option<(Cause, Phase)>,
    backend: Option<(BackendId, InBackend)>,
    server: Option<(ServerId, Arc<ServerState>)>,
    /// Whom the server served besides, when this one had ended. Its slot may be somebody else's by the time it is logged.
    beside: u32,
    /// Of its bytes, those that are in the counters already.
    counted: Bytes,
    /// When the current server was chosen, and when its connection stood.
    chosen: Option<Moment>,
    connected: Option<Moment>,
    /// Milliseconds in a queue since then.
    waited_again: i64,
    retries: u32,
    redispatched: bool,
    backend_queue: u32,
    server_queue: u32,
    /// Answered by the proxy itself.
    intercepted: bool,
    denied: bool,
    denied_response: bool,
    refused: bool,
    /// Its body turned out to be malformed.
    bad_request: bool,
    /// It was given back to its client, to be sent again: no answer to be counted.
    handed_back: bool,
    request_captures: Vec<Option<Vec<u8>>>,
    response_captures: Vec<Option<Vec<u8>>>,
    answered_by_stats: bool,
    /// What rules say of its log line; `Some(None)` writes none.
    log_level: Option<Option<Level>>,
}

/// Counted among a backend's sessions for as long as this lives.
#[derive(Debug)]
struct InBackend(Arc<BackendState>);

impl Drop for InBackend {
    fn drop(&mut self) {
        self.0.sessions.leave();
    }
}

/// What the caller knows of the bytes when an exchange is over.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bytes {
    /// Request head and body.
    pub received: u64,
    /// Response head and body.
    pub sent: u64,
}

impl Bytes {
    fn beyond(self, counted: Bytes) -> Bytes {
        Bytes { received: self.received.saturating_sub(counted.received), sent: self.sent.saturating_sub(counted.sent) }
    }
}

impl Account {
    pub fn clear(&mut self) {
        self.request_captures.clear();
        self.response_captures.clear();
        *self = Account {
            request_captures: std::mem::take(&mut self.request_captures),
            response_captures: std::mem::take(&mut self.response_captures),
            ..Account::default()
        };
    }

    /// The request's first byte came at `started`, after `idle` of waiting; its head is complete now.
    pub fn begin(&mut self, started: Moment, idle: Duration, handshake: Duration) {
        let now = clock::now();
        self.started = Some(started);
        self.head_complete = Some(now);
        self.timers.request = ms_between(started, now);
        self.timers.idle = i64::try_from(idle.as_millis()).unwrap_or(i64::MAX);
        self.timers.handshake = i64::try_from(handshake.as_millis()).unwrap_or(i64::MAX);
    }

    /// A request whose head never became complete.
    pub fn begin_broken(&mut self, started: Moment) {
        self.started = Some(started);
        self.refused = true;
    }

    pub fn capture_request(&mut self, request: &RequestHead, captures: &[Capture]) {
        for capture in captures {
            let value = request.fields().get(capture.header.as_bytes());
            self.request_captures.push(value.map(|value| cut(value, capture.max_len)));
        }
    }

    pub fn enter_backend(&mut self, worker: usize, id: BackendId, backend: &BackendInForce) {
        backend.state.sessions.enter();
        backend.state.counters.of(worker).sessions.add(1);
        self.backend = Some((id, InBackend(Arc::clone(&backend.state))));
    }

    pub fn waited(&mut self, waited: &Waited) {
        let time = i64::try_from(waited.time.as_millis()).unwrap_or(i64::MAX);
        self.timers.queue = self.timers.queue.max(0) + time;
        self.waited_again = if self.chosen.is_some() { time } else { 0 };
        match waited.line {
            Line::Backend => self.backend_queue = waited.place,
            Line::Server => self.server_queue = waited.place,
        }
    }

    /// A server was chosen for the next attempt.
    pub fn give_to(&mut self, worker: usize, backend: &BackendInForce, slot: &Slot<'_>, attempts: &Attempts) {
        let selected = self.server.as_ref().is_none_or(|(id, _)| *id != slot.server);
        if selected {
            // The time until the last choice counts as waiting, whatever it was spent with; that until the server is
            // reached as connecting, with all attempts (HAProxy 2.6).
            let now = clock::now();
            self.timers.queue = self.head_complete.map_or(0, |at| ms_between(at, now));
            self.chosen = Some(now);
        } else {
            self.timers.queue -= self.waited_again; // it is part of the time to reach the server
        }
        self.waited_again = 0;
        let state = slot.state();
        if attempts.failed > 0
            && let Some((id, failed)) = &self.server
        {
            // Either the one or the other, and the failed server's (measured with HAProxy).
            let shards = [backend.state.counters.of(worker), failed.counters.of(worker)];
            if *id == slot.server {
                shards.iter().for_each(|shard| shard.retries.add(1));
            } else {
                self.redispatched = true;
                shards.iter().for_each(|shard| shard.redispatches.add(1));
            }
        }
        self.server = Some((slot.server, Arc::clone(state)));
        // Every attempt is a session of its server's, as HAProxy counts them.
        state.counters.of(worker).sessions.add(1);
        if selected {
            state.counters.of(worker).picked.add(1);
            backend.state.counters.of(worker).picked.add(1);
        }
    }

    /// A new connection is tried; failed ones count as well (HAProxy manual 9.1, `connect`).
    pub fn connecting(&self, worker: usize, backend: &BackendInForce, slot: &Slot<'_>) {
        backend.state.counters.of(worker).connections.add(1);
        slot.state().counters.of(worker).connections.add(1);
    }

    pub fn connected(&mut self) {
        let now = clock::now();
        self.timers.connect = self.chosen.map_or(0, |at| ms_between(at, now));
        self.connected = Some(now);
    }

    /// An idle connection is used again.
    pub fn reused(&mut self, worker: usize, backend: &BackendInForce, slot: &Slot<'_>) {
        self.connected();
        backend.state.counters.of(worker).reuses.add(1);
        slot.state().counters.of(worker).reuses.add(1);
    }

    /// Another attempt follows.
    pub fn retry(&mut self) {
        self.retries += 1;
    }

    /// The last attempt failed.
    pub fn connection_error(&mut self, worker: usize, backend: &BackendInForce, server: ServerId) {
        backend.state.counters.of(worker).connection_errors.add(1);
        backend.server(server).state.counters.of(worker).connection_errors.add(1);
    }

    /// A rule lets its client wait for a refusal.
    pub fn tarpit(&mut self) {
        self.denied = true;
        self.end(Cause::Proxy, Phase::Tarpit);
    }

    /// It waited so long for that.
    pub fn tarpitted(&mut self, time: Duration, client_left: bool) {
        self.timers.queue = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        self.timers.request = -1; // HAProxy's line has none either
        if client_left {
            self.termination = Some((Cause::Client, Phase::Tarpit));
        }
    }

    /// The server's final head is here.
    pub fn answered(&mut self, response: &ResponseHead, frontend: &FrontendInForce) {
        self.timers.response = self.connected.map_or(0, |at| ms_between(at, clock::now()));
        self.status = Some(response.status());
        self.server_status = self.status;
        for capture in frontend.config.log.response_captures.iter() {
            let value = response.fields().get(capture.header.as_bytes());
            self.response_captures.push(value.map(|value| cut(value, capture.max_len)));
        }
    }

    /// The slot is about to be given back.
    pub fn leave_server(&mut self, slot: &Slot<'_>) {
        self.beside = slot.state().sessions.now().saturating_sub(1);
    }

    /// The server answered, and a rule refuses that.
    pub fn server_answered(&mut self, status: u16) {
        self.server_status = Some(status);
    }

    /// Nobody was there for it, or had room for it in time: an error of the backend's, and of no server's.
    pub fn unserved(&self, worker: usize, backend: &BackendInForce) {
        backend.state.counters.of(worker).connection_errors.add(1);
    }

    /// The proxy answers by itself.
    pub fn answered_locally(&mut self, status: u16) {
        self.status = Some(status);
        self.intercepted = matches!(self.termination, Some((Cause::Local, _)));
    }

    /// A rule may say how important its log line is; the last one wins.
    pub fn log_at(&mut self, level: Option<Option<Level>>) {
        self.log_level = level.or(self.log_level);
    }

    pub fn answered_by_stats(&mut self) {
        self.answered_by_stats = true;
    }

    pub fn backend(&self) -> Option<BackendId> {
        self.backend.as_ref().map(|(id, _)| *id)
    }

    pub fn is_denied(&self) -> bool {
        self.denied
    }

    pub fn server_name(&self) -> Option<Name> {
        self.server.as_ref().map(|(_, state)| Arc::clone(&state.name))
    }

    /// A rule refused the request, or the response.
    pub fn deny(&mut self, response: bool) {
        self.denied = !response;
        self.denied_response = response;
        self.end(Cause::Proxy, if response { Phase::Headers } else { Phase::Request });
    }

    /// How it ended. The first cause stays: what follows from it is not news.
    pub fn end(&mut self, cause: Cause, phase: Phase) {
        self.termination.get_or_insert((cause, phase));
    }

    /// Counts and logs the exchange.
    pub fn write(&mut self, setting: &Setting<'_>, request: &RequestHead, bytes: Bytes) {
        let now = clock::now();
        self.timers.total = self.started.map_or(0, |at| ms_between(at, now));
        self.count(setting, bytes, now);
        let config = &setting.frontend.config.log;
        let ended_well = self.termination.is_none_or(|(cause, _)| cause == Cause::Local);
        let normal = ended_well && self.retries == 0 && self.status.is_none_or(|status| status < 500);
        // Refused without having sent a byte: a client that only connected, not one whose bytes were the trouble.
        let malformed = matches!(self.termination, Some((Cause::Proxy, _)));
        let null = config.dont_log_null && self.refused && !malformed && bytes.received == 0;
        let Some(level) = self.log_level.unwrap_or(Some(Level::Info)) else { return };
        if setting.frontend.logs.wants(level) && !null && !(config.dont_log_normal && normal) {
            self.log(setting, level, Some(request), bytes);
        }
    }

    /// Counts and logs a TCP session.
    pub fn write_session(&mut self, setting: &Setting<'_>, bytes: Bytes) {
        let now = clock::now();
        self.timers.total = self.started.map_or(0, |at| ms_between(at, now));
        self.count_session(setting, bytes, now);
        let config = &setting.frontend.config.log;
        let null = config.dont_log_null && bytes.received == 0;
        let normal = config.dont_log_normal && self.termination.is_none() && self.retries == 0;
        let Some(level) = self.log_level.unwrap_or(Some(Level::Info)) else { return };
        if setting.frontend.logs.wants(level) && !null && !normal {
            self.log(setting, level, None, bytes);
        }
    }

    fn log(&mut self, setting: &Setting<'_>, level: Level, request: Option<&RequestHead>, bytes: Bytes) {
        // Without a server's answer every captured field is absent, but the braces stand (HAProxy 2.6).
        let captures = setting.frontend.config.log.response_captures.len();
        self.response_captures.resize(captures, None);
        let format = setting.frontend.config.log.format;
        let mut record = self.record(setting, request, bytes);
        let absolute = request
            .filter(|_| format == LogFormat::Http)
            .and_then(|request| absolute_uri(request, setting.connection.tls.is_some()));
        if let (Some(absolute), Some(line)) = (&absolute, &mut record.request) {
            line.uri = absolute;
        }
        let mut line = setting.connection.worker.buffers.head();
        logline::render(format, &record, &mut line);
        setting.frontend.logs.send(level, &line);
        setting.connection.worker.buffers.give(line);
    }

    fn record<'a>(&'a self, setting: &'a Setting<'_>, request: Option<&'a RequestHead>, bytes: Bytes) -> Record<'a> {
        let connection = setting.connection;
        let frontend = setting.frontend;
        let backend = self.backend.as_ref().map(|(_, InBackend(state))| state);
        let server = self.server.as_ref().map(|(_, state)| state);
        let started = self.started.unwrap_or(connection.accepted);
        let (cause, phase) = self.termination.unwrap_or((Cause::Normal, Phase::Normal));
        Record {
            client: connection.ends.get().peer,
            local: connection.ends.get().local,
            listener: connection.listener_number(),
            mode: frontend.config.mode,
            accepted_at: connection.wall_time(started),
            frontend: &frontend.config.name,
            tls: connection.tls.is_some(),
            backend: backend.map_or(&frontend.config.name, |state| &state.name),
            server: match server {
                Some(state) => ServerLabel::Server(&state.name),
                None if self.answered_by_stats => ServerLabel::Stats,
                None => ServerLabel::None,
            },
            timers: self.timers,
            status: self.status,
            bytes_read: bytes.sent,
            bytes_uploaded: bytes.received,
            termination: Termination { cause, phase },
            connections: ConnectionCounts {
                process: connection.worker.shared.process.connections.now(),
                frontend: frontend.state.sessions.now(),
                // This one is over; HAProxy's line does not count it here either.
                backend: backend.map_or(0, |state| state.sessions.now().saturating_sub(1)),
                server: self.beside,
            },
            retries: self.retries,
            redispatched: self.redispatched,
            server_queue: self.server_queue,
            backend_queue: self.backend_queue,
            request_captures: &self.request_captures,
            response_captures: &self.response_captures,
            request: request.filter(|_| !self.refused).map(|request| RequestLine {
                method: request.method(),
                uri: request.target(),
                version: request.version().as_str(),
            }),
        }
    }
}

/// HAProxy logs an HTTP/2 request with its scheme and authority, as the client sent them (2.6, and the manual's 8.2.3
/// `%HU`), where it sent one, and without the `*` of OPTIONS.
fn absolute_uri(request: &RequestHead, is_tls: bool) -> Option<Vec<u8>> {
    let host = request.pseudo_authority()?;
    let scheme: &[u8] = if is_tls { b"https://" } else { b"http://" };
    let path = if request.target() == b"*" { b"" } else { request.target() };
    Some([scheme, host, path].concat())
}

fn cut(value: &[u8], len: usize) -> Vec<u8> {
    value[..value.len().min(len)].to_vec()
}
