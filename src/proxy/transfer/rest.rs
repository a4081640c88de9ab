//! A request that is longer under way than its response: servers may answer before they have read everything, and read on.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::super::downstream::Downstream;
use super::super::stream::Plain;
use super::{Down, Failure, Transfer, Transferred};
use crate::sys;

/// Tells when a server that has closed its sending side breaks the connection altogether: what its client sends is of no
/// use then, and a client that has stopped sending would not find that out. It has a place of its own in the event loop,
/// because a socket that has told of its end is always ready to be read.
pub(super) struct BreakWatch(AsyncFd<Rc<OwnedFd>>);

impl BreakWatch {
    /// `None` when there is no descriptor or no place for it: the next write tells, too.
    fn new(socket: &Plain) -> Option<Box<Self>> {
        let socket = socket.descriptor()?.try_clone_to_owned().ok()?;
        sys::watch(Rc::new(socket), Interest::WRITABLE).ok().map(|watch| Box::new(BreakWatch(watch)))
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Ok(mut ready) = ready!(self.0.poll_write_ready(cx)) else { return Poll::Ready(()) };
            if ready.ready().is_write_closed() {
                return Poll::Ready(());
            }
            ready.clear_ready();
        }
    }
}

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
        let Down::Rest { listens: true } = self.state else { return self.is_gone(cx) };
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
                self.break_watch = self.upstream.stream.as_socket().and_then(BreakWatch::new);
                self.is_gone(cx)
            }
        }
    }

    fn is_gone(&self, cx: &mut Context<'_>) -> bool {
        self.break_watch.as_ref().is_some_and(|watch| watch.poll(cx).is_ready())
    }
}
