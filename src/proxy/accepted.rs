//! A client's socket, straight from accept: it joins the event loop when it is first waited for.
//!
//! What a client wants is often there by the time it is accepted, and is answered without a wait. A connection for one
//! request then costs two system calls and a turn of the loop less.

use std::cell::{Cell, OnceCell};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::sys;

/// A socket's part in the event loop.
pub(crate) type Watch = AsyncFd<Rc<OwnedFd>>;

#[derive(Debug)]
pub(crate) struct Accepted {
    watch: OnceCell<Watch>,
    socket: Rc<OwnedFd>,
    /// The last read took all there was: asking again would only learn that.
    is_dry: Cell<bool>,
}

impl Accepted {
    /// Of a socket that does not block.
    pub fn new(socket: OwnedFd) -> Self {
        Accepted { watch: OnceCell::new(), socket: Rc::new(socket), is_dry: Cell::new(false) }
    }

    /// Its part in the event loop, if it has joined.
    pub fn watch(&self) -> Option<&Watch> {
        self.watch.get()
    }

    /// Joins the event loop, which tells at once if there is something to read.
    ///
    /// # Errors
    /// The kernel has no room for one more (epoll_ctl(2)).
    pub fn begin_watch(&self) -> io::Result<&Watch> {
        if let Some(watch) = self.watch.get() {
            return Ok(watch);
        }
        let watch = sys::watch(Rc::clone(&self.socket), Interest::READABLE | Interest::WRITABLE)?;
        Ok(self.watch.get_or_init(|| watch))
    }

    /// Tries without waiting. `None` when there is nothing to be had, or known not to be.
    pub fn try_at_once(
        &self,
        reads: bool,
        asked: usize,
        act: &mut impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Option<io::Result<usize>> {
        if reads && self.is_dry.get() {
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
