//! One HTTP/2 connection to a server, kept by one worker: many requests at once (RFC 9113 §5.1.2).
//!
//! It counts once its server has said something: its limits are known then, and that it speaks HTTP/2 at all. Which
//! connection a request gets is decided in [`http2_pool`](super::http2_pool).

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use h2::client::{self, ResponseFuture, SendRequest};
use http::Request;

use super::super::clock;
use super::super::http2_io::{Cut, Heard, Seen, Watched, spent_on_pieces};
use super::super::stream::Stream;
use super::http2_exchange::Http2Exchange;
use super::http2_idle::{Home, IdlePlace};
use crate::model::Global;
use crate::moment::Moment;
use crate::state::snapshot::ServerInForce;
use crate::wire::http2_frames::FrameGuard;

/// Bytes of one request's body that h2 may hold back for a slow server.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams reset by mistakes of the server's before its connection ends.
const MISTAKES: usize = 256;

type Link = client::Connection<Watched, Bytes>;

/// One connection. Closed when its last request is over and it has no place to wait for the next one.
pub(crate) struct Http2Connection {
    /// `None`: it takes no more requests, and closes when those it has are over.
    sender: RefCell<Option<SendRequest<Bytes>>>,
    /// Gone once it has ended, and with it what was given to it too late.
    link: Rc<RefCell<Option<Link>>>,
    /// Requests under way.
    streams: Cell<u32>,
    /// The pool that keeps it; without one it ends with its requests.
    home: RefCell<Weak<Home>>,
    /// While it has nothing to do.
    idle: Rc<RefCell<Option<IdlePlace>>>,
    /// Requests at once that we allow ourselves; the server's own limit counts as well.
    most: u32,
    uses: Cell<u32>,
    /// Requests that were under way when it was given up over something malformed.
    spoilt_with: Cell<Option<u32>>,
    heard: Rc<Heard>,
    /// Streams to be reset.
    pub cut: Rc<Cut>,
    /// Its server has been silent for so long that no further request is given to it.
    mute: Cell<bool>,
    pub is_tls: bool,
    /// `:authority` of requests that name no host.
    pub authority: String,
}

impl fmt::Debug for Http2Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2Connection").field("streams", &self.streams).field("most", &self.most).finish()
    }
}

impl Http2Connection {
    /// Speaks HTTP/2 over a new connection and waits until the server does.
    pub async fn begin(stream: Stream, server: &ServerInForce, global: &Global) -> io::Result<Rc<Self>> {
        let limits = global.http2_servers;
        let is_tls = stream.is_tls();
        let heard = Heard::new();
        let seen = Seen::new(FrameGuard::of_server(limits.glitches, clock::now()));
        let watched = Watched::new(stream, Vec::new(), seen);
        let mut builder = client::Builder::new();
        builder
            .initial_max_send_streams(limits.streams as usize)
            .enable_push(false)
            .max_local_error_reset_streams(Some(MISTAKES))
            .max_header_list_size(global.limits.head.try_into().unwrap_or(u32::MAX))
            .initial_window_size(limits.stream_window)
            .initial_connection_window_size(limits.connection_window)
            .max_frame_size(limits.frame)
            .header_table_size(limits.header_table)
            .max_send_buffer_size(SEND_BUFFER)
            .data_frame_budget(spent_on_pieces(limits.connection_window));
        let watched = watched.telling(Rc::clone(&heard));
        let (sender, link) = builder.handshake(watched).await.map_err(io::Error::other)?;
        let (link, cut) = (Rc::new(RefCell::new(Some(link))), Rc::<Cut>::default());
        let idle = Rc::default();
        tokio::task::spawn_local(drive(Rc::clone(&link), Rc::clone(&cut), Rc::clone(&idle)));
        heard.first().await;
        tokio::task::yield_now().await; // what was heard is understood then
        if link.borrow().is_none() {
            return Err(io::Error::other("the server does not speak HTTP/2"));
        }
        Ok(Rc::new(Http2Connection {
            sender: RefCell::new(Some(sender)),
            link,
            streams: Cell::default(),
            home: RefCell::default(),
            idle,
            most: limits.streams,
            uses: Cell::new(0),
            spoilt_with: Cell::default(),
            heard,
            cut,
            mute: Cell::new(false),
            is_tls,
            authority: server.config.address.to_string(),
        }))
    }

    /// Whether it takes no more requests: closed, broken, told to go away, or without a sign of life.
    pub fn is_over(&self) -> bool {
        let takes_one = || match &mut *self.sender.borrow_mut() {
            Some(sender) => match sender.poll_ready(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(ready) => ready.is_ok(),
                Poll::Pending => true,
            },
            None => false,
        };
        self.mute.get() || self.link.try_borrow().is_ok_and(|link| link.is_none()) || !takes_one()
    }

    /// A request over it got no answer for this long. If nothing else was heard meanwhile either, the server may have
    /// lost the connection without our knowing: others try a new one. Those that run keep their own time.
    pub fn timed_out(&self, after: Duration) {
        let silent = clock::now().saturating_duration_since(self.heard.last());
        self.mute.set(self.mute.get() || silent >= after);
    }

    /// How many requests were under way when it was given up: asked by each of them, the first time by the first that
    /// has noticed.
    pub fn spoilt_with(&self) -> u32 {
        let count = self.spoilt_with.get().unwrap_or_else(|| self.streams.get());
        self.spoilt_with.set(Some(count));
        count
    }

    /// Since when it has had nothing to do.
    pub fn idle_since(&self) -> Option<Moment> {
        self.idle.borrow().as_ref().map(IdlePlace::since)
    }

    /// Requests sent over it so far.
    pub fn uses(&self) -> u32 {
        self.uses.get()
    }

    /// From now on it is kept there, and those who wait there are told of each stream that becomes free.
    pub(super) fn move_to(&self, home: &Rc<Home>) {
        *self.home.borrow_mut() = Rc::downgrade(home);
        if let Some(since) = self.idle_since() {
            self.rest(since);
        }
    }

    /// Nobody keeps it any more: it takes no further requests, and ends when those it has are over.
    pub fn close(&self) {
        self.home.take();
        if self.streams.get() == 0 {
            self.idle.take();
            self.sender.take();
            self.cut.wake_connection();
        }
    }

    pub fn has_room(&self) -> bool {
        self.streams.get() < self.room()
    }

    /// Requests at once that it takes.
    pub fn room(&self) -> u32 {
        let theirs = self.sender.borrow().as_ref().map_or(0, SendRequest::current_max_send_streams);
        self.most.min(u32::try_from(theirs).unwrap_or(u32::MAX))
    }

    /// Whether WebSockets may go through it (RFC 8441 §3).
    pub fn takes_extended_connect(&self) -> bool {
        self.sender.borrow().as_ref().is_some_and(SendRequest::is_extended_connect_protocol_enabled)
    }

    /// Sends a request's head: what comes of it, and the way for its body. `ends`: it has none.
    ///
    /// # Errors
    /// It has not left.
    pub fn send(&self, request: Request<()>, ends: bool) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        match &*self.sender.borrow() {
            Some(sender) => sender.clone().send_request(request, ends),
            None => Err(h2::Error::from(h2::Reason::REFUSED_STREAM)), // not while one of its requests has yet to be sent
        }
    }

    /// One more request, counted until it is over.
    pub fn open(self: &Rc<Self>) -> Stream {
        self.uses.set(self.uses.get().saturating_add(1));
        self.idle.take();
        self.streams.set(self.streams.get() + 1);
        Stream::Http2(Box::new(Http2Exchange::new(Rc::clone(self), Place(Rc::clone(self)))))
    }

    /// One request is over: there is room for another, or it is of no more use.
    fn leave(&self) {
        self.streams.set(self.streams.get().saturating_sub(1));
        let home = self.home.borrow().upgrade();
        if self.streams.get() == 0 {
            self.rest(clock::now());
        }
        // Also when it is gone: one of those who wait may open the next one.
        if let Some(home) = home {
            home.waiting.tell();
        }
    }

    /// It has had nothing to do since then: it waits for the next request where it may, and ends where it may not.
    fn rest(&self, since: Moment) {
        self.idle.take(); // one place at a time
        let home = self.home.borrow().upgrade().filter(|_| !self.is_over());
        match home.and_then(|home| home.place(self.uses(), since)) {
            Some(place) => *self.idle.borrow_mut() = Some(place),
            None => self.close(),
        }
    }
}

/// One request's place on a connection, given back when dropped.
pub(super) struct Place(Rc<Http2Connection>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// A connection that nobody holds any more closes itself, if it is polled.
impl Drop for Http2Connection {
    fn drop(&mut self) {
        self.idle.take(); // whoever drives it knows of it, too
        self.cut.wake_connection();
    }
}

/// Runs a connection to its end, at which it is not idle any more. What was sent over it too late is dropped with it, which
/// its senders notice.
async fn drive(link: Rc<RefCell<Option<Link>>>, cut: Rc<Cut>, idle: Rc<RefCell<Option<IdlePlace>>>) {
    let ran = poll_fn(|cx| match &mut *link.borrow_mut() {
        Some(link) => cut.poll_with(cx, |cx| Pin::new(&mut *link).poll(cx)),
        None => Poll::Ready(Ok(())),
    })
    .await;
    let ended = link.borrow_mut().take();
    drop(ended);
    idle.take();
    if let Err(error) = ran {
        tracing::debug!(%error, "HTTP/2 connection to a server ended");
    }
}
