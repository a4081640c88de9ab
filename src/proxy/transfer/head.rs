//! A response's head on its way from the server to the client: interim ones pass, the final one is looked at by the rules
//! and decides what becomes of both connections.

use std::task::{Context, Poll};

use super::super::buffers::{BYTES_IN_A_ROW, HEAD_IN_A_ROW, LentFor, let_others_run};
use super::super::downstream::{Downstream, HeadOptions};
use super::super::exchange::Scratch;
use super::super::rules_context;
use super::super::upstream::http2_exchange::Lost;
use super::{Down, Failure, Transfer};
use crate::http::{BodyLength, BodyReader, Progress, RequestHead, ResponseHead, ResponseTo};
use crate::logline::Phase;
use crate::model::backend::{HttpConnectionMode, RetryOn};
use crate::wire::websocket;

impl<D: Downstream> Transfer<'_, '_, D> {
    /// Reads until a head is complete, passes interim ones on, and begins the final one.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
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
                        self.scratch.account.interim(worker.index);
                        self.down.interim(&self.scratch.request, response);
                        response.next(0);
                        if self.all_is_asked() {
                            self.server_active();
                        }
                        self.read_in_turn += HEAD_IN_A_ROW;
                        if self.read_in_turn >= BYTES_IN_A_ROW {
                            let_others_run(cx);
                            return Poll::Pending;
                        }
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
            let read = if input.capacity() == 0 {
                let lent = self.upstream.stream.poll_read_lent(cx, &worker.buffers, LentFor::Body);
                lent.map_ok(|lent| {
                    input = lent;
                    input.len()
                })
            } else {
                if input.len() == input.capacity() {
                    input.reserve(limits.head); // the parser says when it is enough
                }
                self.upstream.stream.poll_read_into(cx, &mut input)
            };
            if read.is_pending() && input.is_empty() {
                worker.buffers.give(input);
            } else {
                response.put_input(input);
            }
            match read {
                // A head has its time as a whole, as in HAProxy: a server that drips it is not to hold anybody for hours.
                Poll::Ready(Ok(n)) if n > 0 => {}
                Poll::Ready(end) => {
                    let lost = self.upstream.stream.lost();
                    if lost == Some(Lost::Malformed) {
                        return Poll::Ready(Err(Failure::BadAnswer));
                    }
                    let nothing = self.scratch.response.input().is_empty() && !self.interim_seen;
                    let again = self.replayable && self.scratch.request.is_idempotent();
                    let refused = self.replayable && self.upstream.stream.was_refused();
                    // What ended a new connection may have been another request's answer.
                    let died = match lost {
                        Some(Lost::Reset) => false,
                        Some(Lost::Spoilt) => true,
                        _ => self.upstream.reused,
                    };
                    let stale = nothing && (again && died || refused);
                    // One that breaks the connection does not wait for more of the body either.
                    let broken = end.is_err() && !self.down.body_is_done();
                    let phase = if broken { Phase::Data } else { self.phase_of_server() };
                    let failure = Failure::NoAnswer { empty: nothing, phase };
                    return Poll::Ready(Err(if stale { Failure::Stale } else { failure }));
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
        self.body_is_moot = self.waits_for_continue();
        if self.sides.retry_on.after_sending()
            && let Some(reason) = RetryOn::status(self.scratch.response.status())
            && self.sides.retry_on.has(reason)
            && self.is_whole()
        {
            return Err(Failure::Again);
        }
        if BodyReader::check_start(self.scratch.response.body(), self.scratch.response.rest()).is_err() {
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
            && !self.body_is_moot
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
        } else if done && !self.awaits_trailers() {
            // What stands behind a finished response was not asked for: such a connection is not used again.
            self.keep_server &= self.body.len() == head_len;
            self.down.finish(b"");
            self.state = Down::Flush { switched: false };
        } else {
            self.state = Down::Body { reader, unread: head_len..self.body.len(), data: 0..0 };
        }
        Ok(())
    }

    /// Trailers may stand behind no body as well, where that is not the kind of response that has none.
    fn awaits_trailers(&self) -> bool {
        self.upstream.stream.is_http2()
            && self.down.takes_trailers()
            && self.scratch.response.body() == BodyLength::Length(0)
    }
}

/// Whether the server authenticates the connection, not the request (NTLM, Negotiate): it is its client's then.
fn asks_for_connection(response: &ResponseHead) -> bool {
    let is =
        |value: &[u8], scheme: &[u8]| value.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    let fields = response.fields();
    let mut asked = fields.all(b"www-authenticate").chain(fields.all(b"proxy-authenticate"));
    asked.any(|value| is(value, b"NTLM") || is(value, b"Negotiate"))
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
