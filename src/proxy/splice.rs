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

fn move_bytes(from: BorrowedFd<'_>, to: BorrowedFd<'_>, count: usize) -> io::Result<usize> {
    Ok(splice(from, None, to, None, count, SpliceFlags::MOVE | SpliceFlags::NONBLOCK)?)
}

/// Whether the kernel cannot do it between these two at all (manual page: EINVAL), so that copying must go on.
pub(crate) fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP))
}
