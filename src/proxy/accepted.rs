//! A client's socket, straight from accept: it joins the event loop when it is first waited for.
//!
//! Where clients are accepted in a row, what they want is there by then. It is read at once, and if it is answered without a
//! wait the socket never joins: two system calls and a turn of the loop less for a connection of one request. And the loop
//! is asked for what is waited for only: a fresh socket can be written to, which is no news.

use std::cell::{Cell, Ref, RefCell};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::task::Context;

use rustix::io::Errno;
use rustix::net;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::sys;

/// A socket's part in the event loop.
pub(crate) type Watch = AsyncFd<Rc<OwnedFd>>;

#[derive(Debug)]
pub(crate) struct Accepted {
    watch: RefCell<Option<Watch>>,
    socket: Rc<OwnedFd>,
    /// Nothing is there to be read: the last read took all there was, or the client has only just come.
    is_dry: Cell<bool>,
    /// The loop tells when it can be written to, too.
    watches_writes: Cell<bool>,
}

impl Accepted {
    /// Of a socket that does not block. `is_late`: the client had to wait to be accepted, so it may have said something.
    pub fn new(socket: OwnedFd, is_late: bool) -> Self {
        Accepted {
            watch: RefCell::new(None),
            socket: Rc::new(socket),
            is_dry: Cell::new(!is_late),
            watches_writes: Cell::new(false),
        }
    }

    /// Whether it has joined the event loop.
    pub fn is_watched(&self) -> bool {
        self.watch.borrow().is_some()
    }

    /// Nothing came since the last read, and it is not closed: asked of the kernel, for nobody else has looked.
    pub fn is_quiet(&self) -> bool {
        let peeked = net::recv(&self.socket, &mut [0u8; 1], net::RecvFlags::PEEK);
        matches!(peeked, Err(Errno::AGAIN))
    }

    /// As [`Plain::may_be_read`](super::stream::Plain::may_be_read).
    pub fn may_be_read(&self) -> bool {
        self.watch.borrow().as_ref().is_none_or(|watch| watch.try_io(Interest::READABLE, |_| Ok(())).is_ok())
    }

    /// Its part in the event loop, which tells at once if there is something to read. Whoever waits for room to write is
    /// the first to have that watched: all that is waited for on this socket must be asked again then, so the task is woken.
    ///
    /// # Errors
    /// The kernel has no room for one more (epoll_ctl(2)).
    pub fn watch(&self, ready_to: Interest, cx: &Context<'_>) -> io::Result<Ref<'_, Option<Watch>>> {
        let writes = ready_to.is_writable();
        if !self.is_watched() || (writes && !self.watches_writes.get()) {
            let had = self.watch.take().is_some();
            let interest = if writes { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            self.watch.replace(Some(sys::watch(Rc::clone(&self.socket), interest)?));
            self.watches_writes.set(writes);
            if had {
                cx.waker().wake_by_ref();
            }
        }
        Ok(self.watch.borrow())
    }

    /// Tries without waiting. `None` when there is nothing to be had, or known not to be.
    pub fn try_at_once(
        &self,
        ready_to: Interest,
        asked: usize,
        act: &mut impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Option<io::Result<usize>> {
        let reads = ready_to.is_readable();
        if reads && (self.is_watched() || self.is_dry.get()) {
            return None;
        }
        if !reads && self.watches_writes.get() {
            return None;
        }
        let done = act(self.socket.as_fd());
        match &done {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Ok(count) if reads => self.is_dry.set((1..asked).contains(count)),
            _ => {}
        }
        Some(done)
    }
}

impl AsFd for Accepted {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::super::stream::{Plain, Stream};
    use super::*;

    #[tokio::test]
    async fn what_came_since_the_last_read_is_seen_before_it_is_watched_for() {
        let (near, mut far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let mut stream = Stream::Plain(Plain::Accepted(Box::new(Accepted::new(near.into(), true))));
        far.write_all(b"a request").unwrap();
        let mut buffer = Vec::with_capacity(100);
        std::future::poll_fn(|cx| stream.poll_read_into(cx, &mut buffer)).await.unwrap();
        assert!(stream.is_quiet());
        far.write_all(b"another").unwrap();
        assert!(!stream.is_quiet());
        drop(far);
        assert!(!stream.is_quiet());
    }
}
