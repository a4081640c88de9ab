//! Memory for bytes in flight. Buffers belong to the worker and are lent while bytes are in them, so a parked connection
//! holds none.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::pin;
use std::task::Context;
use std::time::Duration;

use super::clock;
use super::splice::{self, Pipe};
use crate::moment::Moment;

/// Capacity of a buffer for a head and what came with it.
pub(crate) const HEAD_BUFFER: usize = 16 * 1024;
/// Capacity of a buffer for a body's bytes: one read.
pub(crate) const BODY_BUFFER: usize = 64 * 1024;
/// Capacity of a buffer for whoever moves more than one read can take. Fits the second-level cache of a core.
pub(crate) const BULK_BUFFER: usize = 256 * 1024;
/// Bytes moved in one direction of one connection before others on its worker get their turn.
pub(crate) const BYTES_IN_A_ROW: usize = 1024 * 1024;
/// What a chunk of a body counts for among those bytes at least, and what an interim head does: the work they make.
pub(crate) const PIECE_IN_A_ROW: usize = 512;
pub(crate) const HEAD_IN_A_ROW: usize = 8 * 1024;
/// Buffers of a kind kept for the next use; more are given back to the allocator.
const KEPT: usize = 256;
/// The same for the largest ones, and for large pipes: a user has a share of 64 of them.
const KEPT_BULK: usize = 16;
/// The same for all pipes: each is two descriptors.
const KEPT_PIPES: usize = 64;
/// How long no pipe is made or kept once descriptors have run out: they are worth more as connections.
const SCARCE: Duration = Duration::from_secs(1);

/// Has this task polled again after the others, and after the kernel was asked who else is to be served: a plain wake leaves
/// that to every 61st poll of the runtime's.
pub(crate) fn let_others_run(cx: &mut Context<'_>) {
    let _ = pin!(tokio::task::yield_now()).poll(cx);
}

/// Things kept for the next use. Those that nobody has needed for a while go: after a rush a worker is not to keep what the
/// rush took.
#[derive(Debug)]
pub(super) struct Kept<T> {
    kept: Vec<T>,
    /// The fewest there were since the last look: so many have not been needed.
    unneeded: usize,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Kept::new()
    }
}

impl<T> Kept<T> {
    pub const fn new() -> Self {
        Kept { kept: Vec::new(), unneeded: 0 }
    }

    pub fn take(&mut self) -> Option<T> {
        let taken = self.kept.pop();
        self.unneeded = self.unneeded.min(self.kept.len());
        taken
    }

    /// Lets go of it if there are `most` already.
    pub fn give(&mut self, thing: T, most: usize) {
        if self.kept.len() < most {
            self.kept.push(thing);
        }
    }

    /// Lets go of half of what has not been needed since the last time.
    pub fn trim(&mut self) {
        self.kept.truncate(self.kept.len() - self.unneeded / 2);
        self.unneeded = self.kept.len();
    }
}

/// What a buffer is to be lent for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LentFor {
    Head,
    Body,
}

impl LentFor {
    /// The capacity it has at least.
    pub fn capacity(self) -> usize {
        match self {
            LentFor::Head => HEAD_BUFFER,
            LentFor::Body => BODY_BUFFER,
        }
    }
}

/// One worker's buffers.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    heads: RefCell<Kept<Vec<u8>>>,
    bodies: RefCell<Kept<Vec<u8>>>,
    bulk: RefCell<Kept<Vec<u8>>>,
    pipes: RefCell<Kept<Pipe>>,
    /// Descriptors have run out; see [`SCARCE`].
    scarce_until: Cell<Option<Moment>>,
}

impl Buffers {
    pub fn lend(&self, purpose: LentFor) -> Vec<u8> {
        match purpose {
            LentFor::Head => self.head(),
            LentFor::Body => self.body(),
        }
    }

    /// An empty buffer of [`HEAD_BUFFER`] bytes or more.
    pub fn head(&self) -> Vec<u8> {
        self.heads.borrow_mut().take().unwrap_or_else(|| Vec::with_capacity(HEAD_BUFFER))
    }

    /// An empty buffer of [`BODY_BUFFER`] bytes or more.
    pub fn body(&self) -> Vec<u8> {
        self.bodies.borrow_mut().take().unwrap_or_else(|| Vec::with_capacity(BODY_BUFFER))
    }

    /// An empty buffer of [`BULK_BUFFER`] bytes or more.
    pub fn bulk(&self) -> Vec<u8> {
        self.bulk.borrow_mut().take().unwrap_or_else(|| Vec::with_capacity(BULK_BUFFER))
    }

    /// An empty pipe; none when the kernel gives no further one, or has lately given no descriptor.
    pub fn pipe(&self) -> Option<Pipe> {
        if self.are_descriptors_scarce() {
            return None;
        }
        let made = || {
            Pipe::new().inspect_err(|error| {
                tracing::debug!(%error, "no pipe to splice through");
                self.make_room_after(error);
            })
        };
        let kept = self.pipes.borrow_mut().take();
        kept.or_else(|| made().ok())
    }

    /// How many pipes are lent, and how many are kept.
    pub fn count_pipes(&self) -> (usize, usize) {
        let kept = self.pipes.borrow().kept.len();
        (splice::open_pipes().saturating_sub(kept), kept)
    }

    /// Takes a pipe back; one that still holds bytes is closed.
    pub fn give_pipe(&self, pipe: Pipe) {
        if let Some(pipe) = pipe.emptied()
            && !self.are_descriptors_scarce()
        {
            let kept = if pipe.is_large() { KEPT_BULK } else { KEPT_PIPES };
            self.pipes.borrow_mut().give(pipe, kept);
        }
    }

    /// Closes the pipes that are kept, and keeps none for a while, if descriptors have run out: this process's
    /// (EMFILE) or the machine's (ENFILE).
    pub fn make_room_after(&self, error: &io::Error) {
        if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) {
            self.scarce_until.set(Some(clock::now() + SCARCE));
            self.pipes.take();
        }
    }

    fn are_descriptors_scarce(&self) -> bool {
        self.scarce_until.get().is_some_and(|until| clock::now() < until)
    }

    /// Takes a buffer of any kind back.
    pub fn give(&self, mut buffer: Vec<u8>) {
        let (kind, kept) = match buffer.capacity() {
            HEAD_BUFFER..BODY_BUFFER => (&self.heads, KEPT),
            BODY_BUFFER..BULK_BUFFER => (&self.bodies, KEPT),
            BULK_BUFFER.. => (&self.bulk, KEPT_BULK),
            _ => return, // an empty one left behind by a move
        };
        buffer.clear();
        kind.borrow_mut().give(buffer, kept);
    }

    /// Gives back what has not been needed since the last time. To be called every second or so.
    pub fn trim(&self) {
        for kind in [&self.heads, &self.bodies, &self.bulk] {
            kind.borrow_mut().trim();
        }
        self.pipes.borrow_mut().trim();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::super::stream::{Plain, Stream};
    use super::*;

    #[test]
    fn what_a_rush_took_goes_again_and_what_is_in_use_stays() {
        let buffers = Buffers::default();
        let rush: Vec<_> = (0..100).map(|_| buffers.head()).collect();
        rush.into_iter().for_each(|buffer| buffers.give(buffer));
        let kept = || buffers.heads.borrow().kept.len();
        assert_eq!(kept(), 100);
        buffers.trim();
        assert_eq!(kept(), 100, "all have been needed since the beginning");
        for _ in 0..20 {
            let used: Vec<_> = (0..3).map(|_| buffers.head()).collect();
            used.into_iter().for_each(|buffer| buffers.give(buffer));
            buffers.trim();
        }
        assert_eq!(kept(), 4, "three in use, and one that half is not worth");
    }

    #[tokio::test]
    async fn who_waits_for_bytes_holds_no_buffer() {
        let buffers = Buffers::default();
        let (near, far) = tokio::net::UnixStream::pair().unwrap();
        let mut stream = Stream::Plain(Plain::Unix(near));
        let kept = || buffers.heads.borrow().kept.len();
        let mut waiting = Box::pin(poll_fn(|cx| stream.poll_read_lent(cx, &buffers, LentFor::Head)));
        assert!(waiting.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())).is_pending());
        assert_eq!(kept(), 0, "none has been lent yet");
        far.writable().await.unwrap();
        far.try_write(b"a request").unwrap();
        let read = waiting.await.unwrap();
        assert_eq!(read, b"a request");
        buffers.give(read);
        drop(far);
        let end = poll_fn(|cx| stream.poll_read_lent(cx, &buffers, LentFor::Head)).await.unwrap();
        assert!(end.is_empty() && end.capacity() == 0 && kept() == 1, "it has gone back at the end");
    }

    #[test]
    fn pipes_make_room_for_connections_once_descriptors_run_out() {
        let buffers = Buffers::default();
        let lent = buffers.pipe().unwrap();
        buffers.give_pipe(buffers.pipe().unwrap());
        assert_eq!(buffers.count_pipes(), (1, 1));
        buffers.make_room_after(&io::Error::from_raw_os_error(libc::ECONNABORTED));
        assert_eq!(buffers.pipes.borrow().kept.len(), 1);

        buffers.make_room_after(&io::Error::from_raw_os_error(libc::EMFILE));
        assert!(buffers.pipes.borrow().kept.is_empty() && buffers.pipe().is_none());
        buffers.give_pipe(lent);
        assert_eq!(buffers.count_pipes(), (0, 0));

        buffers.scarce_until.set(Some(clock::now()));
        buffers.give_pipe(buffers.pipe().unwrap());
        assert_eq!(buffers.pipes.borrow().kept.len(), 1);
    }
}
