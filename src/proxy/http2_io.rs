//! What both sides of HTTP/2 need. The bytes under a connection, watched: what was read before HTTP/2 began, when the peer
//! last took something, and whether it only keeps us busy. And streams: when they take more, how they are reset, and their
//! fields.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use super::clock;
use super::stream::Stream;
use crate::moment::Moment;
use crate::wire::http2_frames::{FrameGuard, Refusal};

/// What reading fails with once a peer only keeps us busy: h2 hands on an error's kind, but not what it was.
pub(crate) const FLOODED: io::ErrorKind = io::ErrorKind::QuotaExceeded;

/// The shortest pieces of which a peer may fill a connection's window before they are read; of those of a few bytes, a
/// stream's. Messages of gRPC and events come so. h2 takes a piece of less than 256 bytes for as large in memory, and ends
/// the connection over what it may spend beyond their bytes.
const SHORTEST_PIECES: usize = 32;
/// No more than so much is spent on short pieces, however large the window is.
const MOST_ON_PIECES: usize = 64 * 1024 * 1024;

/// What h2 may spend on short pieces that have come and are not read yet, in bytes, for a connection with this window. Of
/// itself it spends half a window, which a few thousand messages in one go are more than.
pub(crate) fn spent_on_pieces(connection_window: u32) -> usize {
    let pieces = connection_window as usize / SHORTEST_PIECES;
    (pieces * (256 - SHORTEST_PIECES)).min(MOST_ON_PIECES)
}

/// One connection's bytes, as h2 gets them.
pub(crate) struct Watched {
    stream: Stream,
    /// Read already; goes first.
    early: Vec<u8>,
    seen: Rc<Seen>,
    /// Told whenever the peer has said something, or is gone.
    heard: Option<Rc<Heard>>,
}

/// What a connection's bytes tell whoever runs it.
#[derive(Debug)]
pub(crate) struct Seen {
    guard: RefCell<FrameGuard>,
    /// When the peer last took bytes.
    wrote_at: Cell<Moment>,
    /// What was to be written did not go out at once.
    write_waits: Cell<bool>,
    end: Cell<End>,
    /// Streams that have more to send than they may.
    blocked: Rc<Cell<u32>>,
    /// Who must know at once that the peer has closed its sending side.
    listening: Rc<Cell<u32>>,
}

/// What becomes of it when the peer closes its sending side. The library takes that for the end of the connection and of
/// all streams, although answers would still arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The library gets to know it as it comes.
    Passes,
    /// It will be held back.
    Awaited,
    /// It came then, and is held back.
    Held(Moment),
    /// It has come, and is passed on.
    Passed,
}

impl Seen {
    pub fn new(guard: FrameGuard) -> Rc<Self> {
        Rc::new(Seen {
            guard: RefCell::new(guard),
            wrote_at: Cell::new(clock::now()),
            write_waits: Cell::new(false),
            end: Cell::new(End::Passes),
            blocked: Rc::default(),
            listening: Rc::default(),
        })
    }

    /// Holds the end back until [`Self::pass_end`].
    pub fn hold_end(&self) {
        self.end.set(End::Awaited);
    }

    pub fn holds_end(&self) -> bool {
        matches!(self.end.get(), End::Held(_))
    }

    /// Since when nothing was written although something is there to be, with the end held back: who has closed its sending
    /// side opens no window any more. `answered`: no exchange is under way.
    pub fn stuck_since(&self, answered: bool) -> Option<Moment> {
        let End::Held(at) = self.end.get() else { return None };
        let waits_for_window = (answered || self.blocked.get() > 0) && !self.write_waits.get();
        waits_for_window.then(|| at.max(self.wrote_at.get()))
    }

    /// As long as this lives a stream has more to send than it may. Wake the connection if it holds its end back.
    pub fn block(&self) -> Counted {
        Counted::new(&self.blocked)
    }

    /// The end is more than that of the peer's sending side: it breaks off what is under way.
    pub fn end_matters(&self) -> bool {
        self.listening.get() > 0 || self.guard.borrow().is_amid()
    }

    pub fn pass_end(&self) {
        self.end.set(End::Passed);
    }

    /// As long as this lives the end matters. Wake the connection: it may have come.
    pub fn listen(&self) -> Counted {
        Counted::new(&self.listening)
    }

    pub fn wrote_at(&self) -> Moment {
        self.wrote_at.get()
    }

    /// Since when a request's head is under way.
    pub fn head_since(&self) -> Option<Moment> {
        self.guard.borrow().head_since()
    }

    /// A client's request is handed out, on the stream that is asked for if that matters.
    pub fn taken_up(&self, stream: impl FnOnce() -> u32) {
        self.guard.borrow_mut().taken_up(stream);
    }

    /// One of a client's requests that was refused without having been handed out, once all were that could be.
    pub fn next_refusal(&self) -> Option<Refusal> {
        self.guard.borrow_mut().next_refusal()
    }

    /// Takes in what the peer took of these bytes.
    fn sent<'a>(&self, mut count: usize, slices: impl IntoIterator<Item = &'a [u8]>) {
        let mut guard = self.guard.borrow_mut();
        for bytes in slices {
            let taken = bytes.get(..count).unwrap_or(bytes);
            guard.sent(taken);
            count -= taken.len();
        }
        self.wrote_at.set(clock::now());
    }

    fn received(&self, bytes: &[u8]) -> io::Result<()> {
        let looked = self.guard.borrow_mut().received(bytes, clock::now());
        looked.map_err(|flood| io::Error::new(FLOODED, flood))
    }
}

/// When a peer last said something.
#[derive(Debug)]
pub(crate) struct Heard {
    at: Cell<Moment>,
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

    pub fn last(&self) -> Moment {
        self.at.get()
    }
}

impl Watched {
    pub fn new(stream: Stream, early: Vec<u8>, seen: Rc<Seen>) -> Self {
        Watched { stream, early, seen, heard: None }
    }

    /// Tells whenever bytes have come, or the end.
    pub fn telling(mut self, heard: Rc<Heard>) -> Self {
        self.heard = Some(heard);
        self
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.seen.end.get() {
            End::Passes | End::Awaited => {}
            End::Held(_) => return Poll::Pending, // whoever lets it pass polls the connection
            End::Passed => return Poll::Ready(Ok(())),
        }
        let start = buffer.filled().len();
        if self.early.is_empty() {
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
            if let Some(heard) = &self.heard {
                heard.note();
            }
            // TLS without a goodbye is an end of the client's side as well.
            let ended = match &read {
                Ok(()) => buffer.filled().len() == start && buffer.remaining() > 0,
                Err(error) => error.kind() == io::ErrorKind::UnexpectedEof,
            };
            if ended && self.seen.end.get() == End::Awaited {
                self.seen.end.set(End::Held(clock::now()));
                return Poll::Pending;
            }
            read?;
        } else {
            let take = self.early.len().min(buffer.remaining());
            buffer.put_slice(&self.early[..take]);
            self.early.drain(..take);
        }
        Poll::Ready(self.seen.received(buffer.filled().get(start..).unwrap_or_default()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.seen.write_waits.set(written.is_pending());
        let count = ready!(written)?;
        self.seen.sent(count, [bytes]);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.seen.write_waits.set(written.is_pending());
        let count = ready!(written)?;
        self.seen.sent(count, slices.iter().map(|slice| &**slice));
        Poll::Ready(Ok(count))
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

/// Streams of one connection whose responses were cut. They are reset once the connection had a turn to write what there
/// was of them: a reset drops what is queued.
#[derive(Debug, Default)]
pub(crate) struct Cut {
    streams: RefCell<Vec<(SendStream<Bytes>, Reason)>>,
    /// The connection's task.
    connection: RefCell<Option<Waker>>,
}

impl Cut {
    pub fn later(&self, stream: SendStream<Bytes>, reason: Reason) {
        self.streams.borrow_mut().push((stream, reason));
        self.wake_connection();
    }

    pub fn wake_connection(&self) {
        if let Some(connection) = &*self.connection.borrow() {
            connection.wake_by_ref();
        }
    }

    /// Polls the connection, and resets what is to be reset behind that.
    pub fn poll_with<T>(&self, cx: &mut Context<'_>, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        self.keep_waker(cx);
        loop {
            let streams = self.streams.take();
            let polled = poll(cx);
            if polled.is_ready() || streams.is_empty() {
                return polled;
            }
            // What there was of them has been written as far as it could be.
            streams.into_iter().for_each(|(mut stream, reason)| stream.send_reset(reason));
        }
    }

    fn keep_waker(&self, cx: &Context<'_>) {
        let mut connection = self.connection.borrow_mut();
        if !connection.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *connection = Some(cx.waker().clone());
        }
    }
}

/// The stream was reset, or its connection is gone.
pub(crate) fn gone(_: h2::Error) -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

/// Ready with how many bytes the stream takes at once, at least one, when `wanted` are to be sent.
pub(crate) fn poll_room(
    stream: &mut SendStream<Bytes>,
    wanted: usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    stream.reserve_capacity(wanted);
    while stream.capacity() == 0 {
        match ready!(stream.poll_capacity(cx)) {
            Some(Ok(_)) => {} // may be none yet
            Some(Err(error)) => return Poll::Ready(Err(gone(error))),
            None => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }
    Poll::Ready(Ok(stream.capacity()))
}

/// More fields than the library takes in one message. Its map has a limit of its own (24,576 fields), which the
/// configuration keeps away from but rules may add to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooManyFields;

impl std::fmt::Display for TooManyFields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("more fields than HTTP/2 takes here")
    }
}

impl std::error::Error for TooManyFields {}

/// Returns the bytes this field would take in HTTP/1. What HTTP/2 cannot carry is left out: names and values were
/// checked by our own parser, which is as strict.
///
/// # Errors
/// The message cannot be sent.
pub(crate) fn append(map: &mut HeaderMap, name: &[u8], value: &[u8]) -> Result<u64, TooManyFields> {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
        map.try_append(name, value).map_err(|_| TooManyFields)?;
    }
    Ok((name.len() + value.len() + 4) as u64)
}

/// Trailer lines of HTTP/1 as fields, `None` without any, and the bytes they take. Trailers may be left out (RFC 9110
/// §6.5.1): what is too much is.
pub(crate) fn read_trailers(lines: &[u8]) -> (Option<HeaderMap>, u64) {
    let (mut map, mut bytes) = (HeaderMap::new(), 0);
    for line in lines.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii_end();
        if let Some(colon) = memchr::memchr(b':', line) {
            let (name, value) = line.split_at(colon);
            bytes += append(&mut map, name, value.get(1..).unwrap_or_default().trim_ascii_start()).unwrap_or(0);
        }
    }
    ((!map.is_empty()).then_some(map), bytes)
}
