//! Request bytes up, response bytes down, at the same time: the moving part of an exchange.
//!
//! One machine polled as a whole. The server-bound half sends what is in `out` and refills it from the client. The
//! client-bound half reads the response's head, lets the rules see it, then moves its body through one lent buffer. A
//! response may come before the request is all sent; then the request's rest is given up, not waited for.

mod body;
mod failure;

use std::future::poll_fn;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::AsyncWrite;

use super::clock;
use super::downstream::{BodyError, BodyFraming, Downstream, HeadOptions, Left};
use super::exchange::{Scratch, Setting, Upstream};
use super::rules_context;
use super::splice::Pipe;
use crate::http::{BodyLength, BodyReader, Progress, RequestHead, ResponseHead, ResponseTo};
use crate::logline::{Cause, Phase};
use crate::model::backend::{HttpConnectionMode, RetryOn};
use crate::state::snapshot::BackendInForce;
use crate::wire::websocket;

pub(crate) use failure::Failure;

/// How a transfer ended well.
pub(crate) enum Transferred {
    Done {
        keep_client: bool,
        keep_server: bool,
    },
    /// 101 has been sent to the client; `early` is what the server sent behind it.
    Switched {
        early: Vec<u8>,
    },
}

/// The largest request that is kept to be sent again, in bytes as the server gets it: HAProxy's `tune.bufsize`.
const RETRY_BUFFER: usize = 16 * 1024;

/// Whether the server authenticates the connection, not the request (NTLM, Negotiate): it is its client's then.
fn asks_for_connection(response: &ResponseHead) -> bool {
    let is =
        |value: &[u8], scheme: &[u8]| value.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    let fields = response.fields();
    let mut asked = fields.all(b"www-authenticate").chain(fields.all(b"proxy-authenticate"));
    asked.any(|value| is(value, b"NTLM") || is(value, b"Negotiate"))
}

/// Whether those chunks of the body that came with the head are malformed: then nothing of it is passed on.
fn has_bad_chunks(response: &ResponseHead) -> bool {
    if response.body() != BodyLength::Chunked {
        return false;
    }
    let (mut reader, mut rest) = (BodyReader::new(response.body()), response.rest());
    while !reader.is_done() && !rest.is_empty() {
        match reader.feed(rest) {
            Ok(fed) => rest = rest.get(fed.consumed..).unwrap_or_default(),
            Err(_) => return true,
        }
    }
    false
}

/// What both sides of a transfer are bound by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sides {
    client: Option<Duration>,
    server: Option<Duration>,
    framing: BodyFraming,
    /// After what the request may be sent again.
    retry_on: RetryOn,
}

impl Sides {
    pub fn new(setting: &Setting<'_>, backend: &BackendInForce, framing: BodyFraming, retry_on: RetryOn) -> Self {
        let client = setting.frontend.config.timeouts.client;
        Sides { client, server: backend.config.timeouts.server, framing, retry_on }
    }
}

enum Down {
    /// Waiting for the response's head, or in the middle of it.
    Head,
    Body {
        reader: BodyReader,
        unread: Range<usize>,
        data: Range<usize>,
    },
    /// All is queued.
    Flush {
        switched: bool,
    },
    /// The server cut its response: the client gets what there was, and no end.
    Cut {
        malformed: bool,
    },
}

pub(crate) struct Transfer<'a, 's, D> {
    setting: &'a Setting<'s>,
    backend: &'a BackendInForce,
    scratch: &'a mut Scratch,
    down: &'a mut D,
    upstream: &'a mut Upstream,
    sides: Sides,
    /// Bytes of `out` that the server has taken.
    sent: usize,
    /// The first of `out` is still there: the request can be sent again.
    replayable: bool,
    /// The server takes no more of the request.
    deaf: bool,
    state: Down,
    /// Response bytes being moved.
    body: Vec<u8>,
    /// The last read filled a buffer: the next one may be larger.
    is_bulk: bool,
    /// The kernel has not refused to splice between these two.
    can_splice: bool,
    /// What a large body is spliced through, while bytes of it are in flight.
    pipe: Option<Pipe>,
    /// Response bytes read in this turn.
    read_in_turn: usize,
    keep_client: bool,
    keep_server: bool,
    started: bool,
    /// An interim response came: the server has begun to answer.
    interim_seen: bool,
    /// The client has not taken all of the interim responses.
    interim_queued: bool,
    kill_generation: u64,
    client_deadline: Option<Instant>,
    server_deadline: Option<Instant>,
}

impl<'a, 's, D: Downstream> Transfer<'a, 's, D> {
    pub fn new(
        setting: &'a Setting<'s>,
        backend: &'a BackendInForce,
        scratch: &'a mut Scratch,
        down: &'a mut D,
        upstream: &'a mut Upstream,
        sides: Sides,
    ) -> Self {
        let kill_generation = upstream.slot.kill_generation();
        scratch.response.clear();
        Transfer {
            setting,
            backend,
            scratch,
            down,
            upstream,
            sides,
            sent: 0,
            replayable: true,
            deaf: false,
            state: Down::Head,
            body: Vec::new(),
            is_bulk: false,
            can_splice: true,
            pipe: None,
            read_in_turn: 0,
            keep_client: false,
            keep_server: false,
            started: false,
            interim_seen: false,
            interim_queued: false,
            kill_generation,
            client_deadline: None,
            server_deadline: None,
        }
    }

    pub async fn run(mut self) -> Result<Transferred, Failure> {
        let result = poll_fn(|cx| self.poll(cx)).await;
        self.setting.timer.set(None);
        let buffers = &self.setting.connection.worker.buffers;
        buffers.give(self.scratch.response.take_input());
        if let Some(pipe) = self.pipe.take() {
            buffers.give_pipe(pipe);
        }
        match result {
            Ok(Transferred::Switched { .. }) => Ok(Transferred::Switched { early: std::mem::take(&mut self.body) }),
            other => {
                buffers.give(std::mem::take(&mut self.body));
                other.map_err(|failure| if self.may_retry(&failure) { Failure::Again } else { failure })
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Transferred, Failure>> {
        clock::count_poll();
        self.read_in_turn = 0;
        if let Some(cause) = self.killed() {
            return Poll::Ready(Err(Failure::Killed { cause, started: self.started }));
        }
        let upward = self.poll_up(cx);
        let downward = self.poll_down(cx);
        match (downward, upward) {
            (Poll::Ready(result), _) => return Poll::Ready(result),
            (Poll::Pending, Err(failure)) => return Poll::Ready(Err(failure)),
            (Poll::Pending, Ok(())) => {}
        }
        if self.down.body_is_done()
            && let Poll::Ready(failure) = self.poll_client(cx)
        {
            return Poll::Ready(Err(failure));
        }
        self.poll_deadlines(cx)
    }

    /// Looks after a client that has nothing more to send: one that is gone is not to be found out by the next byte of
    /// an answer that may take hours (server-sent events).
    fn poll_client(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        let request = &mut self.scratch.request;
        if !matches!(self.state, Down::Head) {
            return self.down.poll_gone(cx, request).map(|_| Failure::ClientGone { phase: Phase::Data });
        }
        self.down.poll_left(cx, request, self.backend.config.abort_on_close).map(|left| match left {
            Left::Broken => Failure::ClientGone { phase: Phase::Headers },
            Left::Closed => Failure::ClientLeft,
        })
    }

    /// No more of the request will be sent: it is the server who is waited for.
    fn all_is_asked(&self) -> bool {
        self.deaf || self.down.body_is_done()
    }

    /// Whether the backend wants the request sent again after this, and it can be: nothing was answered yet, and all
    /// of it is there.
    fn may_retry(&self, failure: &Failure) -> bool {
        let reason = match failure {
            Failure::NoAnswer { empty: true } => RetryOn::EMPTY_RESPONSE,
            Failure::NoAnswer { empty: false } | Failure::BadAnswer => RetryOn::JUNK_RESPONSE,
            Failure::ServerTimedOut => RetryOn::RESPONSE_TIMEOUT,
            _ => return false,
        };
        self.sides.retry_on.has(reason) && self.is_whole()
    }

    /// The whole request is in `out`, and the client has seen nothing of an answer.
    fn is_whole(&self) -> bool {
        self.replayable && self.down.body_is_done() && !self.started && !self.interim_seen
    }

    fn killed(&self) -> Option<Cause> {
        if self.upstream.slot.kill_generation() != self.kill_generation {
            return Some(Cause::Killed);
        }
        matches!(self.setting.connection.worker.phase(), crate::state::events::Phase::Stopping).then_some(Cause::Down)
    }

    /// Sends the request as far as it goes.
    fn poll_up(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        if self.deaf {
            return Ok(());
        }
        if self.replayable && self.sent == 0 && !self.scratch.request.rest().is_empty() && !self.down.body_is_done() {
            // The start of the body came with the head and leaves with it.
            let more = self.down.poll_body(cx, &mut self.scratch.request, self.sides.framing, &mut self.scratch.out);
            if let Poll::Ready(Err(BodyError::Bad(_))) = more {
                return Err(Failure::BadBody);
            }
        }
        loop {
            if self.sent < self.scratch.out.len() {
                let rest = &self.scratch.out[self.sent..];
                match Pin::new(&mut self.upstream.stream).poll_write(cx, rest) {
                    Poll::Ready(Ok(n)) if n > 0 => {
                        self.sent += n;
                        self.server_active();
                        continue;
                    }
                    Poll::Ready(_) => {
                        // It may have answered before it closed: what it says decides.
                        self.deaf = true;
                        return Ok(());
                    }
                    Poll::Pending => {
                        self.wait_for_server();
                        return Ok(());
                    }
                }
            }
            if self.down.body_is_done() {
                return self.flush_up(cx);
            }
            let kept = self.replayable && self.sides.retry_on.after_sending() && self.scratch.out.len() < RETRY_BUFFER;
            if !kept {
                // Only a request that is whole in `out` can be sent again.
                self.replayable &= self.sent == 0;
                self.scratch.out.clear();
                self.sent = 0;
            }
            match self.down.poll_body(cx, &mut self.scratch.request, self.sides.framing, &mut self.scratch.out) {
                Poll::Ready(Ok(_)) => self.client_active(),
                Poll::Ready(Err(BodyError::Bad(_))) => return Err(Failure::BadBody),
                // It was sending data, whatever the server was at.
                Poll::Ready(Err(BodyError::Gone(_))) => return Err(Failure::ClientGone { phase: Phase::Data }),
                Poll::Pending => {
                    self.wait_for_client();
                    return self.flush_up(cx);
                }
            }
        }
    }

    /// The server does not take what there is: until it answers, this is not the client's time.
    fn wait_for_server(&mut self) {
        if !self.started {
            self.client_deadline = None;
            if self.server_deadline.is_none() {
                self.server_active();
            }
        }
    }

    /// The server has all the client has sent: until more comes, this is not the server's time.
    fn wait_for_client(&mut self) {
        if !self.started {
            self.server_deadline = None;
        }
        if self.client_deadline.is_none() {
            self.client_active();
        }
    }

    /// TLS may hold records back; a clear connection has nothing to flush.
    fn flush_up(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        if self.upstream.stream.is_tls() && Pin::new(&mut self.upstream.stream).poll_flush(cx).is_ready() {
            return Ok(());
        }
        Ok(())
    }

    fn poll_down(&mut self, cx: &mut Context<'_>) -> Poll<Result<Transferred, Failure>> {
        loop {
            match &mut self.state {
                Down::Head => match self.poll_head(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(failure)) => return Poll::Ready(Err(failure)),
                    Poll::Pending => return Poll::Pending,
                },
                Down::Body { .. } => match self.poll_body(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(failure)) => return Poll::Ready(Err(failure)),
                    Poll::Pending => return Poll::Pending,
                },
                Down::Cut { malformed } => {
                    let malformed = *malformed;
                    return self
                        .down
                        .poll_flush(cx)
                        .map(|_| Err(if malformed { Failure::BadCut } else { Failure::Cut }));
                }
                Down::Flush { switched } => {
                    let switched = *switched;
                    return match self.down.poll_flush(cx) {
                        Poll::Ready(Ok(())) if switched => Poll::Ready(Ok(Transferred::Switched { early: Vec::new() })),
                        Poll::Ready(Ok(())) => Poll::Ready(Ok(self.done())),
                        Poll::Ready(Err(_)) => Poll::Ready(Err(Failure::ClientGone { phase: Phase::Data })),
                        Poll::Pending => {
                            if self.client_deadline.is_none() {
                                self.client_active();
                            }
                            self.server_deadline = None; // it has said all it had to say
                            Poll::Pending
                        }
                    };
                }
            }
        }
    }

    /// A request that was not read to its end leaves its rest on the client's connection.
    fn done(&self) -> Transferred {
        let whole = self.down.body_is_done();
        let all_sent = whole && self.sent == self.scratch.out.len() && !self.deaf;
        Transferred::Done { keep_client: self.keep_client && whole, keep_server: self.keep_server && all_sent }
    }

    /// Reads until a head is complete, passes interim ones on, and begins the final one.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let worker = &self.setting.connection.worker;
        let limits = &self.setting.view.config.global.limits;
        loop {
            if self.interim_seen {
                // One after the other, or they would pile up before a client that does not take them.
                let flushed = self.down.poll_flush(cx);
                self.interim_queued = flushed.is_pending();
                match flushed {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Failure::ClientGone { phase: Phase::Headers })),
                    Poll::Pending => {
                        self.wait_for_taker();
                        return Poll::Pending;
                    }
                }
            }
            let response = &mut self.scratch.response;
            if !response.input().is_empty() {
                let to = if self.scratch.request.is_head() { ResponseTo::Head } else { ResponseTo::Other };
                match response.parse(limits, to) {
                    Ok(Progress::Complete) if response.is_interim() => {
                        self.interim_seen = true;
                        self.down.interim(&self.scratch.request, response);
                        response.next(0);
                        continue;
                    }
                    Ok(Progress::Complete) => return Poll::Ready(self.begin_response()),
                    Ok(Progress::Partial) => {}
                    Err(bad) => {
                        let state = self.upstream.slot.state();
                        tracing::warn!(backend = %state.backend, server = %state.name, %bad, "bad response");
                        return Poll::Ready(Err(Failure::BadAnswer));
                    }
                }
            }
            let mut input = response.take_input();
            if input.capacity() == 0 {
                input = worker.buffers.body();
            } else if input.len() == input.capacity() {
                input.reserve(limits.head); // the parser says when it is enough
            }
            let read = self.upstream.stream.poll_read_into(cx, &mut input);
            if read.is_pending() && input.is_empty() {
                worker.buffers.give(input);
            } else {
                response.put_input(input);
            }
            match read {
                Poll::Ready(Ok(n)) if n > 0 && self.all_is_asked() => self.server_active(),
                Poll::Ready(Ok(n)) if n > 0 => {} // it is the client who is waited for
                Poll::Ready(_) => {
                    let nothing = self.scratch.response.input().is_empty() && !self.interim_seen;
                    let again = self.replayable && self.scratch.request.is_idempotent();
                    let refused = self.replayable && self.upstream.stream.was_refused();
                    let stale = nothing && (again && self.upstream.reused || refused);
                    let empty = nothing;
                    return Poll::Ready(Err(if stale { Failure::Stale } else { Failure::NoAnswer { empty } }));
                }
                Poll::Pending => {
                    // While the request is being sent the client is the one who is waited for.
                    if self.server_deadline.is_none() && self.all_is_asked() {
                        self.server_active();
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// The final head is here: rules, headers, and the decision what becomes of both connections.
    fn begin_response(&mut self) -> Result<(), Failure> {
        let connection = self.setting.connection;
        if self.sides.retry_on.after_sending()
            && let Some(reason) = RetryOn::status(self.scratch.response.status())
            && self.sides.retry_on.has(reason)
            && self.is_whole()
        {
            return Err(Failure::Again);
        }
        if has_bad_chunks(&self.scratch.response) {
            return Err(Failure::BadAnswer);
        }
        if let Some(answer) = rules_context::response_rules(self.setting, self.backend, self.scratch) {
            self.scratch.account.server_answered(self.scratch.response.status());
            self.scratch.refusal = Some(answer);
            return Err(Failure::Refused);
        }
        let Scratch { request, response, account, .. } = &mut *self.scratch;
        let switched = response.upgrade().is_some() && request.upgrade().is_some();
        if response.status() == 101 && !switched {
            return Err(Failure::BadAnswer); // nobody asked for another protocol
        }
        if request.is_extended_connect() && !answers_websocket(request, response, switched) {
            return Err(Failure::BadAnswer);
        }
        if matches!(response.status(), 401 | 407) {
            self.upstream.private |= asks_for_connection(response);
        }
        account.answered(response, self.setting.frontend);
        let mode = self.setting.frontend.config.connection;
        self.keep_server = response.keep_alive();
        self.keep_client = request.keep_alive()
            && response.can_keep_client(request.version())
            && self.down.body_is_done()
            && mode != HttpConnectionMode::Close
            && self.backend.config.connection != HttpConnectionMode::Close
            && !connection.is_leaving();
        let options = HeadOptions {
            keep_alive: self.keep_client,
            keep_upgrade: switched,
            no_store: self.setting.frontend.config.no_store || self.backend.config.no_store,
        };
        self.down.head(request, response, options);
        self.started = true;
        let reader = BodyReader::new(response.body());
        let done = reader.is_done();
        let head_len = response.head_len();
        self.body = response.take_input();
        if switched {
            self.body.drain(..head_len);
            self.state = Down::Flush { switched: true };
        } else if done {
            // What stands behind a finished response was not asked for: such a connection is not used again.
            self.keep_server &= self.body.len() == head_len;
            self.down.finish(b"");
            self.state = Down::Flush { switched: false };
        } else {
            self.state = Down::Body { reader, unread: head_len..self.body.len(), data: 0..0 };
        }
        Ok(())
    }

    fn server_active(&mut self) {
        self.server_deadline = self.sides.server.and_then(|after| clock::now().checked_add(after));
    }

    fn client_active(&mut self) {
        self.client_deadline = self.sides.client.and_then(|after| clock::now().checked_add(after));
    }

    fn poll_deadlines(&mut self, cx: &mut Context<'_>) -> Poll<Result<Transferred, Failure>> {
        if self.all_is_asked() && matches!(self.state, Down::Head) && !self.interim_queued {
            self.client_deadline = None; // the client has said all it had to say
        }
        let timer = self.setting.timer;
        timer.set(self.client_deadline.into_iter().chain(self.server_deadline).min());
        if !timer.poll_expired(cx) {
            return Poll::Pending;
        }
        let server_first = match (self.client_deadline, self.server_deadline) {
            (Some(client), Some(server)) => server <= client,
            (client, _) => client.is_none(),
        };
        if server_first {
            self.upstream.stream.timed_out(self.sides.server);
        }
        Poll::Ready(Err(match (server_first, self.started) {
            (true, false) => Failure::ServerTimedOut,
            (true, true) => Failure::CutByTimeout,
            (false, false) => Failure::ClientTimedOut { phase: Phase::Headers },
            (false, true) => Failure::ClientTimedOut { phase: Phase::Data },
        }))
    }
}

/// Whether a server's answer to the WebSocket of an HTTP/2 client can be told to that client: the key must have been
/// understood, and a success without a switch would be taken for a tunnel (RFC 8441 §5).
fn answers_websocket(request: &RequestHead, response: &ResponseHead, switched: bool) -> bool {
    if !switched {
        return response.status() >= 300;
    }
    let key = request.fields().get(b"sec-websocket-key").unwrap_or_default();
    response.fields().get(b"sec-websocket-accept") == Some(websocket::accept(key).as_bytes())
}
