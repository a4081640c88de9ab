//! Request bytes up, response bytes down, at the same time: the moving part of an exchange.
//!
//! One machine polled as a whole. The server-bound half sends what is in `out`, then the rest of the request's body. The
//! client-bound half reads the response's head, lets the rules see it, then moves its body. Bodies go through one lent
//! buffer each, or one pipe. A response may come, and end, before the request is all sent: the rest goes on to the server
//! for as long as that takes it.

mod body;
mod failure;
mod head;
mod request;
mod rest;
#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::ops::Range;
use std::task::{Context, Poll};
use std::time::Duration;

use super::clock;
use super::downstream::{BodyFraming, Downstream, Left};
use super::exchange::{Scratch, Setting, Upstream};
use super::record::{Bytes, COUNT_EVERY};
use super::splice::Splicer;
use crate::http::BodyReader;
use crate::logline::{Cause, Phase};
use crate::model::backend::RetryOn;
use crate::moment::Moment;
use crate::state::snapshot::BackendInForce;

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

/// How long a client is not looked after where that costs something: most answers come sooner.
const WATCH_AFTER: Duration = Duration::from_millis(20);

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
    /// The client has all of the response, and the server not yet all of the request.
    Rest {
        /// The server may still say that it goes.
        listens: bool,
    },
    /// The server cut its response: the client gets what there was, and no end.
    Cut {
        malformed: bool,
    },
}

pub(crate) struct Transfer<'a, 'b, D> {
    setting: &'a Setting<'a>,
    backend: &'a BackendInForce,
    scratch: &'a mut Scratch,
    down: &'a mut D,
    upstream: &'a mut Upstream<'b>,
    sides: Sides,
    /// Bytes of `out` that the server has taken.
    sent: usize,
    /// The first of `out` is still there: the request can be sent again.
    replayable: bool,
    /// The server takes no more of the request.
    deaf: bool,
    /// The server has closed its sending side, and the client's request goes on.
    break_watch: Option<Box<rest::BreakWatch>>,
    /// What a large request body goes through.
    request_splicer: Splicer,
    /// A client that asked whether to send the body was answered without a yes: it may send something else.
    body_is_moot: bool,
    /// Bytes of the request's body taken from the client in this turn.
    taken_in_turn: usize,
    state: Down,
    /// Response bytes being moved.
    body: Vec<u8>,
    /// The last read filled a buffer: the next one may be larger.
    is_bulk: bool,
    /// What a large response body goes through.
    response_splicer: Splicer,
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
    client_deadline: Option<Moment>,
    server_deadline: Option<Moment>,
    /// When to begin looking after the client.
    watch_at: Option<Moment>,
    /// When to count what was moved by then.
    count_at: Moment,
}

impl<'a, 'b, D: Downstream> Transfer<'a, 'b, D> {
    pub fn new(
        setting: &'a Setting<'a>,
        backend: &'a BackendInForce,
        scratch: &'a mut Scratch,
        down: &'a mut D,
        upstream: &'a mut Upstream<'b>,
        sides: Sides,
    ) -> Self {
        let kill_generation = upstream.slot.kill_generation();
        let watch_at = (!down.is_watched_for_free()).then(|| clock::now() + WATCH_AFTER);
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
            break_watch: None,
            request_splicer: Splicer::new(true),
            body_is_moot: false,
            taken_in_turn: 0,
            state: Down::Head,
            body: Vec::new(),
            is_bulk: false,
            response_splicer: Splicer::new(true),
            read_in_turn: 0,
            keep_client: false,
            keep_server: false,
            started: false,
            interim_seen: false,
            interim_queued: false,
            kill_generation,
            client_deadline: None,
            server_deadline: None,
            watch_at,
            count_at: clock::now() + COUNT_EVERY,
        }
    }

    #[allow(clippy::manual_async_fn)] // the future of one would hold the transfer twice
    pub fn run(mut self) -> impl Future<Output = Result<Transferred, Failure>> + use<'a, 'b, D> {
        async move {
            let result = poll_fn(|cx| self.poll(cx)).await;
            self.setting.timer.set(None);
            let buffers = &self.setting.connection.worker.buffers;
            buffers.give(self.scratch.response.take_input());
            self.request_splicer.give_back(buffers);
            self.response_splicer.give_back(buffers);
            match result {
                Ok(Transferred::Switched { .. }) => Ok(Transferred::Switched { early: std::mem::take(&mut self.body) }),
                other => {
                    buffers.give(std::mem::take(&mut self.body));
                    other.map_err(|failure| if self.may_retry(&failure) { Failure::Again } else { failure })
                }
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Transferred, Failure>> {
        clock::count_poll();
        (self.taken_in_turn, self.read_in_turn) = (0, 0);
        if let Some(cause) = self.killed() {
            return Poll::Ready(Err(Failure::Killed { cause, started: self.started }));
        }
        let upward = if matches!(self.state, Down::Rest { .. }) { Ok(()) } else { self.poll_up(cx) };
        let downward = self.poll_down(cx);
        match (downward, upward) {
            (Poll::Ready(result), _) => return Poll::Ready(result),
            (Poll::Pending, Err(failure)) => return Poll::Ready(Err(failure)),
            (Poll::Pending, Ok(())) => {}
        }
        if self.down.tells_of_leaving()
            && let Poll::Ready(failure) = self.poll_client(cx)
        {
            return Poll::Ready(Err(failure));
        }
        self.poll_deadlines(cx)
    }

    /// Looks after a client from which nothing is taken: one that is gone is not to be found out by the next byte of an
    /// answer that may take hours (server-sent events), nor when its server takes more of an upload.
    fn poll_client(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        if self.watch_at.is_some_and(|at| clock::now() < at) {
            return Poll::Pending;
        }
        self.watch_at = None;
        let request = &mut self.scratch.request;
        if !matches!(self.state, Down::Head) || !self.down.body_is_done() {
            return self.down.poll_gone(cx, request).map(|_| Failure::ClientGone { phase: Phase::Data });
        }
        self.down.poll_left(cx, request, self.backend.config.abort_on_close).map(|left| match left {
            Left::Broken => Failure::ClientGone { phase: Phase::Headers },
            Left::Closed => Failure::ClientLeft,
        })
    }

    /// No more of the request will be sent: it is the server who is waited for.
    fn all_is_asked(&self) -> bool {
        self.deaf || self.down.body_is_done() || self.waits_for_continue()
    }

    /// The client waits to be told to send its body, and has not been told.
    fn waits_for_continue(&self) -> bool {
        !self.down.body_is_done()
            && !self.interim_seen
            && self.down.transferred().0 == 0
            && self.scratch.request.expects_continue()
    }

    /// Whether the backend wants the request sent again after this, and it can be: nothing was answered yet, and all
    /// of it is there.
    fn may_retry(&self, failure: &Failure) -> bool {
        let reason = match failure {
            Failure::NoAnswer { empty: true, .. } => RetryOn::EMPTY_RESPONSE,
            // Half a head is junk by the manual's word (4.2 `retry-on`), and empty by HAProxy 2.6's deed.
            Failure::NoAnswer { empty: false, .. } => RetryOn::JUNK_RESPONSE.and(RetryOn::EMPTY_RESPONSE),
            Failure::BadAnswer => RetryOn::JUNK_RESPONSE,
            Failure::ServerTimedOut { .. } => RetryOn::RESPONSE_TIMEOUT,
            _ => return false,
        };
        self.sides.retry_on.has(reason) && self.is_whole()
    }

    /// The whole request is in `out`, no larger than it may be, and the client has seen nothing of an answer.
    fn is_whole(&self) -> bool {
        self.replayable && self.down.body_is_done() && !self.started && !self.interim_seen && self.fits_retry()
    }

    /// What a server is at before it answers, for the log: to take the request's body (data) or to answer. One that leaves
    /// or is waited for in vain while there is something for it has failed at the former, as in HAProxy.
    fn phase_of_server(&self) -> Phase {
        let takes_body = !self.down.body_is_done() && (self.deaf || self.has_unsent());
        if takes_body { Phase::Data } else { Phase::Headers }
    }

    fn killed(&self) -> Option<Cause> {
        if self.upstream.slot.kill_generation() != self.kill_generation {
            return Some(Cause::Killed);
        }
        matches!(self.setting.connection.worker.phase(), crate::state::events::Phase::Stopping).then_some(Cause::Down)
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
                        Poll::Ready(Ok(())) if self.has_rest() => {
                            self.state = Down::Rest { listens: true };
                            continue;
                        }
                        Poll::Ready(Ok(())) => Poll::Ready(Ok(self.done())),
                        Poll::Ready(Err(_)) => Poll::Ready(Err(Failure::ClientGone { phase: Phase::Data })),
                        Poll::Pending => {
                            self.wait_for_taker(); // the server has said all it had to say
                            Poll::Pending
                        }
                    };
                }
                Down::Rest { .. } => return self.poll_rest(cx),
            }
        }
    }

    /// A request that was not read to its end leaves its rest on the client's connection.
    fn done(&self) -> Transferred {
        let whole = self.down.body_is_done();
        Transferred::Done { keep_client: self.keep_client && whole, keep_server: self.keep_server && self.is_sent() }
    }

    fn server_active(&mut self) {
        self.server_deadline = self.sides.server.and_then(|after| clock::now().checked_add(after));
    }

    fn client_active(&mut self) {
        self.client_deadline = self.sides.client.and_then(|after| clock::now().checked_add(after));
    }

    fn poll_deadlines(&mut self, cx: &mut Context<'_>) -> Poll<Result<Transferred, Failure>> {
        if clock::now() >= self.count_at {
            self.count_at = clock::now() + COUNT_EVERY;
            let (received, sent) = self.down.transferred();
            self.scratch.account.moved(self.setting, Bytes { received, sent });
        }
        if self.all_is_asked() && matches!(self.state, Down::Head) && !self.interim_queued {
            self.client_deadline = None; // the client has said all it had to say
        }
        let timer = self.setting.timer;
        let deadline = earlier(self.client_deadline, self.server_deadline);
        timer.set(earlier(deadline, self.watch_at));
        if !timer.poll_expired(cx) {
            return Poll::Pending;
        }
        if let Some(at) = self.watch_at.take()
            && deadline.is_none_or(|deadline| at < deadline)
        {
            if self.down.body_is_done()
                && let Poll::Ready(failure) = self.poll_client(cx)
            {
                return Poll::Ready(Err(failure));
            }
            return self.poll_deadlines(cx);
        }
        let server_first = match (self.client_deadline, self.server_deadline) {
            (Some(client), Some(server)) => server <= client,
            (client, _) => client.is_none(),
        };
        if server_first {
            self.upstream.stream.timed_out(self.sides.server);
        }
        Poll::Ready(Err(match (server_first, self.started) {
            (true, false) => Failure::ServerTimedOut { phase: self.phase_of_server() },
            (true, true) => Failure::CutByTimeout,
            (false, false) => Failure::ClientTimedOut { phase: Phase::Headers },
            (false, true) => Failure::ClientTimedOut { phase: Phase::Data },
        }))
    }
}

fn earlier(one: Option<Moment>, other: Option<Moment>) -> Option<Moment> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
