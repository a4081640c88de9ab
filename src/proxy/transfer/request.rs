//! A request on its way from the client to the server: what is in `out`, its head first, then the rest of its body. That is
//! spliced where it is possible and pays, else it goes through `out`, too.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::super::buffers::{BYTES_IN_A_ROW, let_others_run};
use super::super::downstream::{BodyError, Downstream};
use super::{Down, Failure, Transfer};
use crate::http::BodyLength;
use crate::logline::Phase;

impl<D: Downstream> Transfer<'_, '_, D> {
    /// Moves the request on as far as it goes.
    pub(super) fn poll_up(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
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
            if self.has_unsent() {
                match self.poll_send(cx) {
                    Poll::Ready(Ok(count)) if count > 0 => self.server_active(),
                    Poll::Ready(_) => {
                        // It may have answered before it closed: what it says decides.
                        self.deaf = true;
                        self.request_splicer.close();
                        return Ok(());
                    }
                    Poll::Pending => {
                        self.wait_for_server();
                        return Ok(());
                    }
                }
            } else if self.down.body_is_done() {
                self.upstream.stream.end_request(self.down.request_trailers());
                self.flush_up(cx);
                return Ok(());
            } else if self.taken_in_turn >= BYTES_IN_A_ROW {
                let_others_run(cx);
                return Ok(());
            } else {
                match self.poll_take(cx) {
                    Poll::Ready(Ok(count)) => {
                        self.taken_in_turn += count;
                        self.client_active();
                    }
                    Poll::Ready(Err(BodyError::Bad(_))) => return Err(Failure::BadBody),
                    // It was sending data, whatever the server was at.
                    Poll::Ready(Err(BodyError::Gone(_))) => return Err(Failure::ClientGone { phase: Phase::Data }),
                    Poll::Pending => {
                        self.wait_for_client();
                        self.flush_up(cx);
                        return Ok(());
                    }
                }
            }
        }
    }

    /// The server has not taken all that was read of the request.
    pub(super) fn has_unsent(&self) -> bool {
        self.sent < self.scratch.out.len() || self.request_splicer.held() > 0
    }

    /// Gives the server some of what there is for it.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if let (Some(pipe), Some(server)) = (self.request_splicer.filled(), self.upstream.stream.as_socket()) {
            let count = ready!(pipe.poll_drain(cx, server))?;
            self.count_spliced(count);
            return Poll::Ready(Ok(count));
        }
        let trailers_may_come = !self.down.body_is_done() || !self.down.request_trailers().is_empty();
        self.upstream.stream.expect_trailers(trailers_may_come);
        let unsent = &self.scratch.out[self.sent..];
        let count = ready!(Pin::new(&mut self.upstream.stream).poll_write(cx, unsent))?;
        self.sent += count;
        Poll::Ready(Ok(count))
    }

    /// Takes more of the body from the client, when the server has all that came before. Returns how many bytes, as the
    /// server gets them.
    fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, BodyError>> {
        let keep = self.is_kept();
        let left = self.down.body_to_splice(&self.scratch.request);
        if left > 0
            && !keep
            && self.request_splicer.pays_for(left)
            && self.upstream.stream.as_socket().is_some()
            && let Some(filled) = self.poll_splice_in(cx)
        {
            return filled.map_err(BodyError::Gone);
        }
        if !keep {
            self.forget_sent();
        }
        let before = self.scratch.out.len();
        let taken = self.down.poll_body(cx, &mut self.scratch.request, self.sides.framing, &mut self.scratch.out);
        taken.map_ok(|_| self.scratch.out.len() - before)
    }

    /// What was sent stays in `out` while more of the body comes. Servers of HTTP/2 tell of requests they have not looked
    /// at, so for them that is done without `retry-on`, too, and for the start of a large one.
    fn is_kept(&self) -> bool {
        let may_be_refused = || self.upstream.stream.is_http2() && self.fits(self.down.transferred().0);
        self.replayable && (self.sides.retry_on.after_sending() && self.fits_retry() || may_be_refused())
    }

    /// Whether the request is small enough to be sent again by `retry-on`: its head as the server gets it and its body as
    /// the client sends it have, together, the room of a head (`tune.bufsize` less `tune.maxrewrite`, as in HAProxy). How
    /// they arrived makes no difference.
    pub(super) fn fits_retry(&self) -> bool {
        match self.scratch.request.body() {
            BodyLength::None | BodyLength::Length(0) => true,
            BodyLength::Length(length) => self.fits(length),
            BodyLength::Chunked | BodyLength::UntilClose => self.fits(self.down.transferred().0),
        }
    }

    fn fits(&self, body: u64) -> bool {
        let limit = self.setting.view.config.global.limits.head;
        body.saturating_add(self.scratch.out_head as u64) <= limit as u64
    }

    /// Takes it into a pipe. `None` where that is not possible after all. What is spliced is too large to be sent again.
    fn poll_splice_in(&mut self, cx: &mut Context<'_>) -> Option<Poll<io::Result<usize>>> {
        let (down, buffers) = (&mut *self.down, &self.setting.connection.worker.buffers);
        let filled = self.request_splicer.poll_fill(buffers, |pipe| down.poll_body_spliced(cx, pipe))?;
        if filled.is_ready() {
            self.forget_sent();
        }
        Some(filled)
    }

    /// Makes room in `out`. Only a request that is whole in there can be sent again.
    fn forget_sent(&mut self) {
        self.replayable = false;
        self.scratch.out.clear();
        self.sent = 0;
    }

    /// The server does not take what there is: until it answers, this is not the client's time.
    fn wait_for_server(&mut self) {
        if self.has_the_floor() {
            self.client_deadline = None;
            if self.server_deadline.is_none() {
                self.server_active();
            }
        }
    }

    /// The server has all the client has sent: until more comes, this is not the server's time.
    fn wait_for_client(&mut self) {
        if self.waits_for_continue() && !self.started {
            return self.wait_for_server();
        }
        if self.has_the_floor() {
            self.server_deadline = None;
        }
        if self.client_deadline.is_none() {
            self.client_active();
        }
    }

    /// Nothing but the request is under way.
    fn has_the_floor(&self) -> bool {
        !self.started || matches!(self.state, Down::Rest { .. })
    }

    /// TLS may hold records back; a clear connection has nothing to flush.
    fn flush_up(&mut self, cx: &mut Context<'_>) {
        if self.upstream.stream.is_tls() {
            // What goes wrong is met by the next write or read.
            let _ = Pin::new(&mut self.upstream.stream).poll_flush(cx);
        }
    }
}
