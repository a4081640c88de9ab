//! HTTP/2 connections to one server, kept by one worker: many requests at once on each (RFC 9113 §5.1.2).
//!
//! A request takes a stream of a connection that has room. While none has, one request opens the next connection and
//! as many others as will find room there wait for it, so that a burst does not become a burst of connections. They are
//! woken when it is open and when a request ends elsewhere; where nothing of that happens for a moment, one of them opens
//! another one. A connection counts once its server has said something: its limits are known then, and that it speaks
//! HTTP/2 at all.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::SendStream;
use h2::client::{self, ResponseFuture, SendRequest};
use http::Request;
use tokio::sync::Notify;

use super::super::clock;
use super::super::http2_io::{Counted, Cut, Heard, Watched};
use super::super::stream::Stream;
use super::super::timer::Timer;
use super::OnBehalfOf;
use super::connect::{ConnectError, connect};
use super::http2_exchange::Http2Exchange;
use super::pool::{IDLE_LIMIT, may_be_kept};
use crate::model::Global;
use crate::model::backend::PoolSettings;
use crate::model::http::ServerProtocol;
use crate::state::snapshot::ServerInForce;
use crate::wire::http2_frames::FrameGuard;

/// Bytes of one request's body that h2 may hold back for a slow server.
const SEND_BUFFER: usize = 64 * 1024;
/// How long requests wait for a connection that is being opened before one of them opens another.
const OPEN_PATIENCE: Duration = Duration::from_millis(100);
/// Streams reset by mistakes of the server's before its connection ends.
const MISTAKES: usize = 256;

type Link = client::Connection<Watched, Bytes>;

/// A server's connections, kept by one worker.
#[derive(Debug, Default)]
pub(crate) struct Http2Pool {
    connections: RefCell<Vec<Rc<Http2Connection>>>,
    /// When the opening of the last one was begun.
    opening_since: Cell<Option<Instant>>,
    /// Requests at once that the last connection took; `None` before there was one.
    room_of_one: Cell<Option<u32>>,
    waiting: Rc<Waiting>,
    /// Its TLS has agreed on HTTP/1: nobody need wait for a shared connection.
    speaks_http1: Cell<bool>,
}

/// Requests that wait for a stream.
#[derive(Debug, Default)]
struct Waiting {
    count: Rc<Cell<u32>>,
    changed: Notify,
    /// Connections being opened, each by a request.
    opening: Rc<Cell<u32>>,
    /// There is room that none of the others wants.
    spare: Notify,
}

impl Waiting {
    /// A stream has become free.
    fn tell(&self) {
        if self.count.get() > 0 {
            self.changed.notify_one();
        } else if self.opening.get() > 0 {
            self.spare.notify_waiters();
        }
    }
}

/// One connection. Closed when its last request is over and no pool keeps it.
pub(crate) struct Http2Connection {
    /// `None`: it takes no more requests, and closes when those it has are over.
    sender: RefCell<Option<SendRequest<Bytes>>>,
    /// Gone once it has ended, and with it what was given to it too late.
    link: Rc<RefCell<Option<Link>>>,
    /// Requests under way.
    streams: Cell<u32>,
    /// Whom it tells of room; set when it is shared.
    waiting: RefCell<Option<Rc<Waiting>>>,
    /// Whether it may wait for its next request.
    pool: PoolSettings,
    /// Requests at once that we allow ourselves; the server's own limit counts as well.
    most: u32,
    uses: Cell<u32>,
    used_at: Cell<Instant>,
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
    async fn begin(stream: Stream, server: &ServerInForce, global: &Global) -> io::Result<Rc<Self>> {
        let limits = global.http2_servers;
        let is_tls = stream.is_tls();
        let heard = Heard::new();
        let guard = FrameGuard::of_server(limits.glitches, clock::now());
        let watched = Watched::new(stream, Vec::new(), guard, Rc::new(Cell::new(clock::now())));
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
            .max_send_buffer_size(SEND_BUFFER);
        let watched = watched.telling(Rc::clone(&heard));
        let (sender, link) = builder.handshake(watched).await.map_err(io::Error::other)?;
        let (link, cut) = (Rc::new(RefCell::new(Some(link))), Rc::<Cut>::default());
        tokio::task::spawn_local(drive(Rc::clone(&link), Rc::clone(&cut)));
        heard.first().await;
        tokio::task::yield_now().await; // what was heard is understood then
        if link.borrow().is_none() {
            return Err(io::Error::other("the server does not speak HTTP/2"));
        }
        Ok(Rc::new(Http2Connection {
            sender: RefCell::new(Some(sender)),
            link,
            streams: Cell::default(),
            waiting: RefCell::default(),
            pool: server.config.pool,
            most: limits.streams,
            uses: Cell::new(0),
            used_at: Cell::new(clock::now()),
            spoilt_with: Cell::default(),
            heard,
            cut,
            mute: Cell::new(false),
            is_tls,
            authority: server.config.address.to_string(),
        }))
    }

    /// Whether it takes no more requests: closed, broken, told to go away, or without a sign of life.
    fn is_over(&self) -> bool {
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

    fn has_room(&self) -> bool {
        self.streams.get() < self.room()
    }

    /// Requests at once that it takes.
    fn room(&self) -> u32 {
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
    fn open(self: &Rc<Self>) -> Stream {
        self.uses.set(self.uses.get().saturating_add(1));
        self.used_at.set(clock::now());
        self.streams.set(self.streams.get() + 1);
        Stream::Http2(Box::new(Http2Exchange::new(Rc::clone(self), Place(Rc::clone(self)))))
    }

    /// One request is over: there is room for another, or it is of no more use.
    fn leave(&self) {
        self.streams.set(self.streams.get().saturating_sub(1));
        if self.streams.get() == 0 && !self.may_wait() {
            self.sender.take();
            self.cut.wake_connection();
        } else if let Some(waiting) = &*self.waiting.borrow() {
            waiting.tell();
        }
    }

    fn may_wait(&self) -> bool {
        self.pool.max_conn != Some(0) && may_be_kept(&self.pool, self.uses.get())
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
        self.cut.wake_connection();
    }
}

/// Runs a connection to its end. What was sent over it too late is dropped with it, which its senders notice.
async fn drive(link: Rc<RefCell<Option<Link>>>, cut: Rc<Cut>) {
    let ran = poll_fn(|cx| match &mut *link.borrow_mut() {
        Some(link) => cut.poll_with(cx, |cx| Pin::new(&mut *link).poll(cx)),
        None => Poll::Ready(Ok(())),
    })
    .await;
    let ended = link.borrow_mut().take();
    drop(ended);
    if let Err(error) = ran {
        tracing::debug!(%error, "HTTP/2 connection to a server ended");
    }
}

impl Http2Pool {
    /// A stream of a connection that has room. `most_uses`: requests after which a connection is not used again.
    pub fn open_stream(&self, most_uses: Option<u32>) -> Option<Stream> {
        let mut connections = self.connections.borrow_mut();
        if connections.is_empty() {
            return None;
        }
        connections
            .retain(|connection| !connection.is_over() && most_uses.is_none_or(|most| connection.uses.get() <= most));
        connections.iter().find(|connection| connection.has_room()).map(|connection| connection.open())
    }

    pub fn take_over(&self, other: &Http2Pool) {
        other.connections.take().iter().for_each(|connection| self.add(connection));
    }

    /// Closes what nobody uses; all of it when `keep` is false, as soon as its requests are over.
    pub fn purge(&self, now: Instant, keep: bool) {
        self.connections.borrow_mut().retain(|connection| {
            let idle = connection.streams.get() == 0;
            let old = idle && now.saturating_duration_since(connection.used_at.get()) >= IDLE_LIMIT;
            keep && !old && !connection.is_over()
        });
    }
}

/// How a connection may be shared with other requests.
pub(crate) struct Sharing<'a> {
    /// `None`: not at all.
    pub pool: Option<&'a Http2Pool>,
    pub most_uses: Option<u32>,
}

/// A way to send one request: a connection of its own, or a stream of one that it may have opened. The second value says
/// whether it was there before.
///
/// # Errors
/// As [`connect`]; also when the server does not speak HTTP/2 although it should.
pub(crate) async fn reach(
    server: &ServerInForce,
    timeout: Option<Duration>,
    client: OnBehalfOf<'_>,
    host: Option<&[u8]>,
    timer: &Timer,
    sharing: Sharing<'_>,
    global: &Global,
) -> Result<(Stream, bool), ConnectError> {
    let protocol = server.config.protocol;
    if protocol == ServerProtocol::Http1 {
        return connect(server, timeout, client, host, timer).await.map(|stream| (stream, false));
    }
    let _opening = match sharing.pool {
        Some(pool) => match pool.wait_for_turn(timeout, timer, sharing.most_uses).await? {
            Turn::Stream(stream) => return Ok((stream, true)),
            Turn::Open(opening) => Some(opening),
        },
        None => None,
    };
    let opened = open(server, timeout, client, host, timer, sharing.pool, global);
    let Some(pool) = sharing.pool else { return opened.await };
    tokio::select! {
        biased;
        opened = opened => opened,
        stream = pool.room_after_all(sharing.most_uses) => {
            timer.set(None);
            Ok((stream, true))
        }
    }
}

/// A new connection, and a stream of it where it speaks HTTP/2.
async fn open(
    server: &ServerInForce,
    timeout: Option<Duration>,
    client: OnBehalfOf<'_>,
    host: Option<&[u8]>,
    timer: &Timer,
    pool: Option<&Http2Pool>,
    global: &Global,
) -> Result<(Stream, bool), ConnectError> {
    let protocol = server.config.protocol;
    let stream = connect(server, timeout, client, host, timer).await?;
    let agreed = stream.agreed_on_http2();
    if let Some(pool) = pool {
        pool.speaks_http1.set(protocol == ServerProtocol::Negotiated && !agreed);
    }
    if protocol == ServerProtocol::Negotiated && !agreed {
        return Ok((stream, false));
    }
    timer.set_after(timeout);
    let begun = timer.bound(Http2Connection::begin(stream, server, global)).await;
    timer.set(None);
    let connection = begun.unwrap_or(Err(io::ErrorKind::TimedOut.into())).map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => ConnectError::TimedOut,
        _ => ConnectError::Io(error),
    })?;
    if let Some(pool) = pool {
        pool.add(&connection);
    }
    Ok((connection.open(), false))
}

/// What a request may do when it found no room.
enum Turn<'a> {
    /// There is room now.
    Stream(Stream),
    Open(Opening<'a>),
}

/// A connection is being opened for as long as this lives.
struct Opening<'a> {
    pool: &'a Http2Pool,
    counted: Option<Counted>,
}

impl<'a> Opening<'a> {
    fn begin(pool: &'a Http2Pool) -> Self {
        pool.opening_since.set(Some(clock::now()));
        Opening { pool, counted: Some(Counted::new(&pool.waiting.opening)) }
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.counted = None;
        self.pool.waiting.changed.notify_waiters();
    }
}

impl Http2Pool {
    /// A stream, or leave to open a connection.
    ///
    /// # Errors
    /// There was neither within `timeout`.
    async fn wait_for_turn(
        &self,
        timeout: Option<Duration>,
        timer: &Timer,
        most_uses: Option<u32>,
    ) -> Result<Turn<'_>, ConnectError> {
        let give_up_at = timeout.and_then(|after| clock::now().checked_add(after));
        while !self.speaks_http1.get() {
            let now = clock::now();
            let impatient_at = self.opening_since.get().map_or(now, |since| since + OPEN_PATIENCE);
            if self.lacks_connections() || impatient_at <= now {
                break;
            }
            timer.set(give_up_at.into_iter().chain([impatient_at]).min());
            let waiting = Counted::new(&self.waiting.count);
            let woken = timer.bound(self.waiting.changed.notified()).await;
            timer.set(None);
            drop(waiting);
            if let Some(stream) = self.open_stream(most_uses) {
                return Ok(Turn::Stream(stream));
            }
            if woken.is_none() && give_up_at.is_some_and(|at| at <= clock::now()) {
                return Err(ConnectError::TimedOut);
            }
        }
        Ok(Turn::Open(Opening::begin(self)))
    }

    /// A stream that becomes free elsewhere, for a request whose own connection takes so long that it may never come.
    async fn room_after_all(&self, most_uses: Option<u32>) -> Stream {
        tokio::time::sleep(OPEN_PATIENCE).await;
        loop {
            if let Some(stream) = self.open_stream(most_uses) {
                return stream;
            }
            self.waiting.spare.notified().await;
        }
    }

    /// Whether those who wait, and one more, find no room in what is being opened.
    fn lacks_connections(&self) -> bool {
        let opening = self.waiting.opening.get();
        let room = self.room_of_one.get().unwrap_or(u32::MAX).saturating_mul(opening);
        opening == 0 || self.waiting.count.get() + opening >= room
    }

    /// Takes in a connection that was opened.
    fn add(&self, connection: &Rc<Http2Connection>) {
        self.room_of_one.set(Some(connection.room().max(1)));
        *connection.waiting.borrow_mut() = Some(Rc::clone(&self.waiting));
        self.connections.borrow_mut().push(Rc::clone(connection));
    }
}
