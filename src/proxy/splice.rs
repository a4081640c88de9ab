//! Moving bytes between two sockets without bringing them here: splice(2) through a pipe.
//!
//! It pays for bulk only: two calls that copy nothing beside two that copy, but on messages of a few kilobytes the pipe costs
//! more than it saves. So whoever moves bytes begins by copying and comes here once a read has shown that there are many
//! ([`WORTH_IT`]). A pipe is filled only while it is empty; then "try again" can only mean the socket.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;

use super::buffers::Buffers;
use super::stream::Plain;

/// A read of so many bytes, or a body of twice as many still to come, is worth a pipe.
pub(crate) const WORTH_IT: usize = 16 * 1024;
/// What a pipe is asked to hold, in bytes.
const PIPE_SIZE: usize = 256 * 1024;
/// The same once so much in a row was taken as soon as it came. Who takes it so fast waits for more each time, and is woken half
/// as often then: over loopback TCP in bulk takes 1.7 times as long with the smaller size only. For a body of a megabyte the
/// larger one gains nothing. An unprivileged process may have no more than this (pipe-max-size).
const LARGE_PIPE_SIZE: usize = 1024 * 1024;
/// A pipe that holds less is worth nothing. The kernel makes it so (two pages) for a user who has used up the share of pages
/// (pipe-user-pages-soft, 64 MiB).
const LEAST_PIPE_SIZE: usize = 64 * 1024;

thread_local! {
    /// This worker's pipes, lent and kept.
    static OPEN: Cell<usize> = const { Cell::new(0) };
}

/// How many pipes this worker has.
pub(super) fn open_pipes() -> usize {
    OPEN.get()
}

/// A buffer in the kernel.
#[derive(Debug)]
pub(crate) struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
    size: usize,
    held: usize,
    /// Bytes that were taken as soon as they came.
    in_a_row: usize,
}

impl Pipe {
    /// # Errors
    /// Out of descriptors (EMFILE, ENFILE), or of the pages a user may have in pipes.
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
        let size = match fcntl_setpipe_size(&writer, PIPE_SIZE) {
            Ok(size) => size,
            Err(_) => fcntl_getpipe_size(&writer)?, // one that is a little smaller works as well
        };
        if size < LEAST_PIPE_SIZE {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        OPEN.set(OPEN.get() + 1);
        Ok(Pipe { reader, writer, size, held: 0, in_a_row: 0 })
    }

    /// As good as new, if it is empty.
    pub fn emptied(mut self) -> Option<Self> {
        self.in_a_row = 0;
        (self.held == 0).then_some(self)
    }

    pub fn is_large(&self) -> bool {
        self.size >= LARGE_PIPE_SIZE
    }

    /// Bytes inside.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Takes in up to `limit` bytes; the pipe must be empty. `Ok(0)` is the end of the stream.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, from: &Plain, limit: u64) -> Poll<io::Result<usize>> {
        debug_assert!(self.held == 0, "a pipe with bytes in it may be full");
        let at_once = if self.in_a_row < LARGE_PIPE_SIZE { PIPE_SIZE } else { LARGE_PIPE_SIZE };
        let count = usize::try_from(limit).unwrap_or(at_once).min(at_once);
        if self.size < count && at_once == LARGE_PIPE_SIZE {
            // Beyond the user's share it stays as it is, and is not asked again.
            self.size = fcntl_setpipe_size(&self.writer, LARGE_PIPE_SIZE).unwrap_or(LARGE_PIPE_SIZE);
        }
        let writer = self.writer.as_fd();
        let moved = ready!(from.poll_io(cx, Interest::READABLE, 0, |socket| move_bytes(socket, writer, count)))?;
        self.held = moved;
        Poll::Ready(Ok(moved))
    }

    /// Lets out what the socket takes of it, one byte at least.
    pub fn poll_drain(&mut self, cx: &mut Context<'_>, to: &Plain) -> Poll<io::Result<usize>> {
        let (reader, held) = (self.reader.as_fd(), self.held);
        let moved = ready!(to.poll_io(cx, Interest::WRITABLE, 0, |socket| move_bytes(reader, socket, held)))?;
        if moved == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.held -= moved.min(held);
        self.in_a_row = if self.held == 0 { self.in_a_row.saturating_add(moved) } else { 0 };
        Poll::Ready(Ok(moved))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        OPEN.set(OPEN.get().saturating_sub(1));
    }
}

/// One direction's way through the kernel: a pipe that is lent while bytes are in flight, until the kernel refuses.
#[derive(Debug)]
pub(crate) struct Splicer {
    pipe: Option<Pipe>,
    is_possible: bool,
}

impl Splicer {
    pub fn new(is_possible: bool) -> Self {
        Splicer { pipe: None, is_possible }
    }

    /// As far as is known yet.
    pub fn is_possible(&self) -> bool {
        self.is_possible
    }

    /// Whether the next bytes of a body of which so many are to come should be spliced.
    pub fn pays_for(&self, left: u64) -> bool {
        self.is_possible && (left >= 2 * WORTH_IT as u64 || self.is_lent())
    }

    /// A pipe is lent: bytes are in flight.
    pub fn is_lent(&self) -> bool {
        self.pipe.is_some()
    }

    /// The pipe, while there are bytes in it.
    pub fn filled(&mut self) -> Option<&mut Pipe> {
        self.pipe.as_mut().filter(|pipe| pipe.held > 0)
    }

    /// Bytes in the pipe.
    pub fn held(&self) -> usize {
        self.pipe.as_ref().map_or(0, Pipe::held)
    }

    /// Lets `fill` take bytes into an empty pipe, which goes back while there are none. `None` where it is not possible,
    /// now and from now on: copying always works.
    pub fn poll_fill(
        &mut self,
        buffers: &Buffers,
        fill: impl FnOnce(&mut Pipe) -> Poll<io::Result<usize>>,
    ) -> Option<Poll<io::Result<usize>>> {
        if !self.is_possible {
            return None;
        }
        if self.pipe.is_none() {
            self.pipe = buffers.pipe();
        }
        match self.pipe.as_mut().map(fill) {
            Some(Poll::Ready(Err(error))) if is_unsupported(&error) => {}
            None => {}
            Some(filled) => {
                if filled.is_pending() {
                    self.give_back(buffers);
                }
                return Some(filled);
            }
        }
        self.close();
        None
    }

    /// No more is spliced. What is in the pipe is lost.
    pub fn close(&mut self) {
        (self.pipe, self.is_possible) = (None, false);
    }

    /// Nothing is in flight, or what is will not be asked for.
    pub fn give_back(&mut self, buffers: &Buffers) {
        if let Some(pipe) = self.pipe.take() {
            buffers.give_pipe(pipe);
        }
    }
}

fn move_bytes(from: BorrowedFd<'_>, to: BorrowedFd<'_>, count: usize) -> io::Result<usize> {
    Ok(splice(from, None, to, None, count, SpliceFlags::MOVE | SpliceFlags::NONBLOCK)?)
}

/// Whether the kernel cannot do it between these two at all (manual page: EINVAL), so that copying must go on.
fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP))
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::net::UnixStream;

    use super::*;

    /// How the pipe was filled, then: what came of it, is a pipe still lent, may it be tried again.
    #[track_caller]
    fn check(filled: Poll<io::Result<usize>>, outcome: &str, is_lent: bool, is_possible: bool) {
        let (buffers, mut splicer) = (Buffers::default(), Splicer::new(true));
        let seen = splicer.poll_fill(&buffers, |pipe| {
            pipe.held = if let Poll::Ready(Ok(count)) = &filled { *count } else { 0 };
            filled
        });
        let seen = match seen {
            None => "copy",
            Some(Poll::Pending) => "wait",
            Some(Poll::Ready(Ok(_))) => "bytes",
            Some(Poll::Ready(Err(_))) => "broken",
        };
        assert_eq!((seen, splicer.is_lent(), splicer.is_possible()), (outcome, is_lent, is_possible));
        assert_eq!(splicer.filled().is_some(), outcome == "bytes");
        let again = splicer.poll_fill(&buffers, |_| Poll::Ready(Ok(0)));
        assert_eq!(again.is_some(), is_possible);
    }

    #[test]
    fn a_pipe_is_lent_while_bytes_are_in_flight_and_the_kernel_lets_it() {
        let fails = |errno| Poll::Ready(Err(io::Error::from_raw_os_error(errno)));
        check(Poll::Ready(Ok(5)), "bytes", true, true);
        check(Poll::Pending, "wait", false, true);
        check(fails(libc::ECONNRESET), "broken", true, true);
        check(fails(libc::EINVAL), "copy", false, false);
    }

    /// Moves bytes through the pipe. Returns how many.
    async fn pass(pipe: &mut Pipe, (near, from): (&UnixStream, &Plain), to: &Plain) -> usize {
        near.try_write(&[7; 128 * 1024]).unwrap();
        poll_fn(|cx| pipe.poll_fill(cx, from, u64::MAX)).await.unwrap();
        poll_fn(|cx| pipe.poll_drain(cx, to)).await.unwrap()
    }

    async fn read(sink: &UnixStream, mut count: usize) {
        let mut buffer = vec![0; count];
        while count > 0 {
            sink.readable().await.unwrap();
            count -= sink.try_read(&mut buffer).unwrap_or(0);
        }
    }

    #[tokio::test]
    async fn a_pipe_holds_more_once_much_was_taken_as_soon_as_it_came() {
        let ((near, far), (to, sink)) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
        let (far, to) = (Plain::Unix(far), Plain::Unix(to));
        let mut pipe = Pipe::new().unwrap();
        while pipe.in_a_row < LARGE_PIPE_SIZE {
            assert_eq!(pipe.size, PIPE_SIZE);
            read(&sink, pass(&mut pipe, (&near, &far), &to).await).await;
            assert!(pipe.held == 0 && pipe.in_a_row > 0);
        }
        read(&sink, pass(&mut pipe, (&near, &far), &to).await).await;
        assert_eq!(pipe.size, LARGE_PIPE_SIZE);

        // Nobody reads any more: what does not fit is not taken as soon as it came.
        for _ in 0..8 {
            assert!(pipe.in_a_row >= LARGE_PIPE_SIZE);
            pass(&mut pipe, (&near, &far), &to).await;
            if pipe.held > 0 {
                break;
            }
        }
        assert!(pipe.held > 0 && pipe.in_a_row == 0);
        assert!(pipe.emptied().is_none());
    }

    #[test]
    fn few_large_pipes_are_kept() {
        let buffers = Buffers::default();
        let large = || {
            let mut pipe = Pipe::new().unwrap();
            pipe.size = LARGE_PIPE_SIZE;
            pipe
        };
        let rush: Vec<_> = (0..20).map(|_| large()).collect();
        rush.into_iter().for_each(|pipe| buffers.give_pipe(pipe));
        let taken: Vec<_> = (0..20).filter_map(|_| buffers.pipe()).collect();
        assert_eq!(taken.iter().filter(|pipe| pipe.is_large()).count(), 16);
    }

    #[test]
    fn only_bulk_pays() {
        let (buffers, mut splicer) = (Buffers::default(), Splicer::new(true));
        assert!(splicer.pays_for(32 * 1024) && !splicer.pays_for(32 * 1024 - 1));
        let _ = splicer.poll_fill(&buffers, |_| Poll::Ready(Ok(0)));
        assert!(splicer.pays_for(1), "the end of what is being spliced");
        splicer.close();
        assert!(!splicer.pays_for(u64::MAX) && !splicer.is_lent());
    }
}
