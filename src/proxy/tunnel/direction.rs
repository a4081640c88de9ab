//! How do bytes get from one side to the other? Half of a tunnel: read, by copying or splicing, write what was read, pass the
//! end on.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::super::buffers::{BODY_BUFFER, BULK_BUFFER, BYTES_IN_A_ROW, Buffers};
use super::super::splice::{self, Splicer};
use super::super::stream::Stream;

/// Reads in a row before others on this worker get their turn.
const READS_IN_A_ROW: u32 = 8;

/// Bytes from one side to the other.
#[derive(Debug)]
pub(super) struct Direction {
    /// What was read and not yet written; without capacity while nothing is in flight.
    buffer: Vec<u8>,
    /// Bytes of `buffer` already written.
    sent: usize,
    pub written: u64,
    /// Of `written`, what came through the pipe.
    pub spliced: u64,
    pub state: State,
    /// The last read was a large one: the next one is done by splicing or into a larger buffer.
    is_bulk: bool,
    splicer: Splicer,
    /// The writer holds bytes of ours back (TLS records that did not fit into the socket).
    unflushed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Open,
    /// The reader has ended; what is left is to be written and the end to be passed on.
    Ending,
    Closed,
    /// Reading failed. Nothing is left to be written: only empty buffers are read into.
    Unreadable,
    /// Writing failed; what was not written is lost.
    Unwritable,
}

/// What one call of [`Direction::advance`] did.
#[derive(Debug, Default)]
pub(super) struct Moved {
    pub read: bool,
    pub wrote: bool,
    /// It stopped only to let others run.
    pub more: bool,
}

impl Direction {
    /// `can_splice`: both sides are sockets.
    pub fn new(early: Vec<u8>, can_splice: bool) -> Self {
        Direction {
            buffer: early,
            sent: 0,
            written: 0,
            spliced: 0,
            state: State::Open,
            is_bulk: false,
            splicer: Splicer::new(can_splice),
            unflushed: false,
        }
    }

    fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.splicer.held() == 0
    }

    pub fn awaits_reader(&self) -> bool {
        self.state == State::Open && self.is_empty()
    }

    pub fn awaits_writer(&self) -> bool {
        !self.is_empty() || self.unflushed || self.state == State::Ending
    }

    /// Moves bytes until one side has to be waited for.
    pub fn advance(&mut self, cx: &mut Context<'_>, from: &mut Stream, to: &mut Stream, buffers: &Buffers) -> Moved {
        let mut moved = Moved { more: true, ..Moved::default() };
        let enough = self.written + BYTES_IN_A_ROW as u64;
        for _ in 0..READS_IN_A_ROW {
            let ready = match self.write(cx, to, &mut moved.wrote) {
                Poll::Ready(Ok(())) => self.state == State::Open && self.read(cx, from, &mut moved.read, buffers),
                Poll::Ready(Err(_)) => {
                    self.state = State::Unwritable;
                    self.unflushed = false;
                    self.buffer.clear();
                    self.splicer.close();
                    false
                }
                Poll::Pending => false,
            };
            if !ready {
                moved.more = false;
                break;
            }
            if self.written >= enough {
                break;
            }
        }
        if !moved.more && self.is_empty() {
            self.give_back(buffers);
        }
        moved
    }

    /// Nothing is in flight, or the tunnel is over.
    pub fn give_back(&mut self, buffers: &Buffers) {
        buffers.give(std::mem::take(&mut self.buffer));
        self.splicer.give_back(buffers);
    }

    /// Reads once while nothing is in flight. True when that brought bytes, or the end.
    fn read(&mut self, cx: &mut Context<'_>, from: &mut Stream, read: &mut bool, buffers: &Buffers) -> bool {
        let count = match self.take_in(cx, from, buffers) {
            Poll::Ready(count) => count,
            Poll::Pending => return false,
        };
        match count {
            Ok(0) => self.state = State::Ending,
            Ok(count) => {
                *read = true;
                self.is_bulk = count >= if self.splicer.is_possible() { splice::WORTH_IT } else { BODY_BUFFER };
            }
            // TLS without a goodbye: bytes of unknown meaning have no other end either.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.state = State::Ending,
            Err(_) => self.state = State::Unreadable,
        }
        self.state != State::Unreadable
    }

    fn take_in(&mut self, cx: &mut Context<'_>, from: &mut Stream, buffers: &Buffers) -> Poll<io::Result<usize>> {
        if self.is_bulk
            && self.splicer.is_possible()
            && let Some(socket) = from.as_socket()
        {
            buffers.give(std::mem::take(&mut self.buffer));
            if let Some(filled) = self.splicer.poll_fill(buffers, |pipe| pipe.poll_fill(cx, socket, u64::MAX)) {
                return filled;
            }
        }
        if self.is_bulk && self.buffer.capacity() < BULK_BUFFER {
            buffers.give(std::mem::replace(&mut self.buffer, buffers.bulk()));
        } else if self.buffer.capacity() == 0 {
            self.buffer = buffers.body();
        }
        from.poll_read_into(cx, &mut self.buffer)
    }

    /// Writes what is there, and passes the end on when it has come. Ready when nothing is left to be written.
    fn write(&mut self, cx: &mut Context<'_>, to: &mut Stream, wrote: &mut bool) -> Poll<io::Result<()>> {
        let mut to = Pin::new(to);
        while let Some(bytes) = self.buffer.get(self.sent..).filter(|bytes| !bytes.is_empty()) {
            let count = ready!(to.as_mut().poll_write(cx, bytes))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += count;
            self.written += count as u64;
            self.unflushed = to.is_tls();
            *wrote = true;
        }
        self.sent = 0;
        self.buffer.clear();
        while let (Some(pipe), Some(socket)) = (self.splicer.filled(), to.as_socket()) {
            let count = ready!(pipe.poll_drain(cx, socket))? as u64;
            self.written += count;
            self.spliced += count;
            *wrote = true;
        }
        if self.unflushed {
            ready!(to.as_mut().poll_flush(cx))?;
            self.unflushed = false;
        }
        if self.state == State::Ending {
            match ready!(to.as_mut().poll_shutdown(cx)) {
                // The other side has gone already: nobody is left to be told.
                Err(error) if error.kind() != io::ErrorKind::NotConnected => return Poll::Ready(Err(error)),
                _ => self.state = State::Closed,
            }
        }
        Poll::Ready(Ok(()))
    }
}
