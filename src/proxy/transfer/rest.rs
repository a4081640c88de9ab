//! A request that is longer under way than its response: servers may answer before they have read everything, and read on.

use std::task::{Context, Poll};

use super::super::downstream::Downstream;
use super::{Down, Failure, Transfer, Transferred};

impl<D: Downstream> Transfer<'_, '_, D> {
    /// The server has got the whole request.
    pub(super) fn is_sent(&self) -> bool {
        self.down.body_is_done() && !self.has_unsent() && !self.deaf
    }

    /// There is more of the request for the server. Not where the client was answered instead of being told to send its
    /// body: the next bytes may be of another request (RFC 9110 §10.1.1).
    pub(super) fn has_rest(&self) -> bool {
        !self.is_sent() && !self.body_is_moot
    }

    /// Moves the request on. A server that takes no more of it has failed its client, as in HAProxy; one that cancels its
    /// stream has said that it needs no more (RFC 9113 §8.1).
    pub(super) fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Result<Transferred, Failure>> {
        if let Err(failure) = self.poll_up(cx) {
            return Poll::Ready(Err(failure));
        }
        let broken = !self.deaf && !self.is_sent() && self.is_broken(cx);
        if self.is_sent() || self.upstream.stream.is_http2() && (self.deaf || broken) {
            return Poll::Ready(Ok(self.done()));
        }
        if self.deaf || broken {
            return Poll::Ready(Err(Failure::Cut));
        }
        Poll::Pending
    }

    /// The server's connection is of no more use. One that it has closed on its side only may still take bytes.
    fn is_broken(&mut self, cx: &mut Context<'_>) -> bool {
        let Down::Rest { listens: true } = self.state else { return false };
        let buffers = &self.setting.connection.worker.buffers;
        if self.body.capacity() == 0 {
            self.body = buffers.head();
        }
        self.body.clear();
        let heard = self.upstream.stream.poll_read_into(cx, &mut self.body);
        buffers.give(std::mem::take(&mut self.body));
        match heard {
            Poll::Pending => false,
            Poll::Ready(Err(_)) => true,
            Poll::Ready(Ok(_)) => {
                // The end, or what nobody has asked for.
                self.keep_server = false;
                self.state = Down::Rest { listens: false };
                false
            }
        }
    }
}
