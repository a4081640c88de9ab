//! A request on its way from the client to the server: what is in `out`, then the rest of its body.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

use super::super::downstream::{BodyError, Downstream};
use super::{Failure, Transfer};
use crate::logline::Phase;

/// The largest request that is kept to be sent again, in bytes as the server gets it: HAProxy's `tune.bufsize`.
const RETRY_BUFFER: usize = 16 * 1024;

impl<D: Downstream> Transfer<'_, '_, D> {
    /// Sends the request as far as it goes.
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
}
