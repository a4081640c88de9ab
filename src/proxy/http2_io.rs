//! The bytes under an HTTP/2 connection, watched: what was read before HTTP/2 began, when the peer last took something,
//! and whether it only keeps us busy.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use super::clock;
use super::stream::Stream;
use crate::wire::http2_frames::FrameGuard;

/// What reading fails with once a peer only keeps us busy: h2 hands on an error's kind, but not what it was.
pub(crate) const FLOODED: io::ErrorKind = io::ErrorKind::QuotaExceeded;

/// One connection's bytes, as h2 gets them.
pub(crate) struct Watched {
    stream: Stream,
    /// Read already; goes first.
    early: Vec<u8>,
    guard: FrameGuard,
    /// When the peer last took bytes.
    wrote_at: Rc<Cell<Instant>>,
    /// Told whenever the peer has said something, or is gone.
    heard: Option<Rc<Heard>>,
}

/// When a peer last said something.
#[derive(Debug)]
pub(crate) struct Heard {
    at: Cell<Instant>,
    ever: Cell<bool>,
    first: Notify,
}

impl Heard {
    pub fn new() -> Rc<Self> {
        Rc::new(Heard { at: Cell::new(clock::now()), ever: Cell::new(false), first: Notify::new() })
    }

    fn note(&self) {
        self.at.set(clock::now());
        if !self.ever.replace(true) {
            self.first.notify_one();
        }
    }

    /// Waits for the first bytes, or the end.
    pub async fn first(&self) {
        self.first.notified().await;
    }

    pub fn last(&self) -> Instant {
        self.at.get()
    }
}

impl Watched {
    pub fn new(stream: Stream, early: Vec<u8>, guard: FrameGuard, wrote_at: Rc<Cell<Instant>>) -> Self {
        Watched { stream, early, guard, wrote_at, heard: None }
    }

    /// Tells whenever bytes have come, or the end.
    pub fn telling(mut self, heard: Rc<Heard>) -> Self {
        self.heard = Some(heard);
        self
    }

    fn note(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count @ 1..)) = written {
            self.guard.sent(count);
            self.wrote_at.set(clock::now());
        }
        written
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let start = buffer.filled().len();
        if self.early.is_empty() {
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
            if let Some(heard) = &self.heard {
                heard.note();
            }
            read?;
        } else {
            let take = self.early.len().min(buffer.remaining());
            buffer.put_slice(&self.early[..take]);
            self.early.drain(..take);
        }
        let read = buffer.filled().get(start..).unwrap_or_default();
        let looked = self.guard.received(read, clock::now());
        Poll::Ready(looked.map_err(|flood| io::Error::new(FLOODED, flood)))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Counts itself for as long as it lives.
#[derive(Debug)]
pub(crate) struct Counted(Rc<Cell<u32>>);

impl Counted {
    pub fn new(count: &Rc<Cell<u32>>) -> Self {
        count.set(count.get() + 1);
        Counted(Rc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
