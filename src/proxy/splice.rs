//! Moving bytes between two sockets without bringing them here: splice(2) through a pipe.
//!
//! It pays for bulk only: two calls that copy nothing beside two that copy, but on messages of a few kilobytes the pipe costs
//! more than it saves. So whoever moves bytes begins by copying and comes here once a read has shown that there are many
//! ([`WORTH_IT`]). A pipe is filled only while it is empty; then "try again" can only mean the socket.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;

use super::buffers::Buffers;
use super::stream::Plain;

/// A read of so many bytes, or a body of twice as many still to come, is worth a pipe.
pub(crate) const WORTH_IT: usize = 16 * 1024;
/// What a pipe is asked to hold, in bytes. The kernel counts pages: an unprivileged process gets 64 of them, and network
/// buffers of several pages count as one.
const PIPE_SIZE: usize = 256 * 1024;
/// What one call may move, in bytes.
const AT_ONCE: usize = 1024 * 1024;

/// A buffer in the kernel.
#[derive(Debug)]
pub(crate) struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
    held: usize,
}

impl Pipe {
    /// # Errors
    /// Out of descriptors, or of the pages a user may have in pipes.
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
        // Refused beyond the user's share (pipe-user-pages-soft): a smaller pipe works as well.
        let _ = fcntl_setpipe_size(&writer, PIPE_SIZE);
        Ok(Pipe { reader, writer, held: 0 })
    }

    /// Bytes inside.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Takes in up to `limit` bytes; the pipe must be empty. `Ok(0)` is the end of the stream.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, from: &Plain, limit: u64) -> Poll<io::Result<usize>> {
        debug_assert!(self.held == 0, "a pipe with bytes in it may be full");
        let count = usize::try_from(limit).unwrap_or(AT_ONCE).min(AT_ONCE);
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
        Poll::Ready(Ok(moved))
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
