//! HTTP/2 connections to one server, kept by one worker: many requests at once on each (RFC 9113 §5.1.2).
//!
//! A request takes a stream of a connection that has room. While none has, one request opens the next connection and
//! the others wait for it, so that a burst does not become a burst of connections. A connection counts once its server
//! has said something: its limits are known then, and that it speaks HTTP/2 at all.

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
use super::super::http2_io::{Counted, Cut, Heard, Seen, Watched};
use super::super::stream::Stream;
use super::super::timer::Timer;
use super::OnBehalfOf;
use super::connect::{ConnectError, connect};
use super::http2_exchange::Http2Exchange;
use super::pool::IDLE_LIMIT;
use crate::model::Global;
use crate::model::http::ServerProtocol;
use crate::state::snapshot::ServerInForce;
use crate::wire::http2_frames::FrameGuard;

/// Bytes of one request's body that h2 may hold back for a slow server.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams reset by mistakes of the server's before its connection ends.
const MISTAKES: usize = 256;

type Link = client::Connection<Watched, Bytes>;

/// A server's connections, kept by one worker.
#[derive(Debug, Default)]
pub(crate) struct Http2Pool {
    connections: RefCell<Vec<Rc<Http2Connection>>>,
    /// One request is opening a connection.
    opening: Cell<bool>,
    opened: Notify,
    /// Its TLS has agreed on HTTP/1: nobody need wait for a shared connection.
    speaks_http1: Cell<bool>,
}

/// One connection. Closed when its last request is over and no pool keeps it.
pub(crate) struct Http2Connection {
    sender: SendRequest<Bytes>,
    /// Gone once it has ended, and with it what was given to it too late.
    link: Rc<RefCell<Option<Link>>>,
    /// Requests under way.
    streams: Rc<Cell<u32>>,
    /// Requests at once that we allow ourselves; the server's own limit counts as well.
    most: u32,
    uses: Cell<u32>,
    used_at: Cell<Instant>,
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
            sender,
            link,
            streams: Rc::default(),
            most: limits.streams,
            uses: Cell::new(0),
            used_at: Cell::new(clock::now()),
            heard,
            cut,
            mute: Cell::new(false),
            is_tls,
            authority: server.config.address.to_string(),
        }))
    }

    /// Whether it takes no more requests: closed, broken, told to go away, or without a sign of life.
    fn is_over(&self) -> bool {
        let takes_one = || match self.sender.clone().poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(ready) => ready.is_ok(),
            Poll::Pending => true,
        };
        self.mute.get() || self.link.try_borrow().is_ok_and(|link| link.is_none()) || !takes_one()
    }

    /// A request over it got no answer for this long. If nothing else was heard meanwhile either, the server may have
    /// lost the connection without our knowing: others try a new one. Those that run keep their own time.
    pub fn timed_out(&self, after: Duration) {
        let silent = clock::now().saturating_duration_since(self.heard.last());
        self.mute.set(self.mute.get() || silent >= after);
    }

    fn has_room(&self) -> bool {
        let now = self.streams.get();
        now < self.most && (now as usize) < self.sender.current_max_send_streams()
    }

    /// Whether WebSockets may go through it (RFC 8441 §3).
    pub fn takes_extended_connect(&self) -> bool {
        self.sender.is_extended_connect_protocol_enabled()
    }

    /// Sends a request's head: what comes of it, and the way for its body. `ends`: it has none.
    ///
    /// # Errors
    /// It has not left.
    pub fn send(&self, request: Request<()>, ends: bool) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        self.sender.clone().send_request(request, ends)
    }

    /// One more request, counted until it is over.
    fn open(self: &Rc<Self>) -> Stream {
        self.uses.set(self.uses.get().saturating_add(1));
        self.used_at.set(clock::now());
        let counted = Counted::new(&self.streams);
        Stream::Http2(Box::new(Http2Exchange::new(Rc::clone(self), counted)))
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
        self.connections.borrow_mut().append(&mut other.connections.borrow_mut());
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
    let stream = connect(server, timeout, client, host, timer).await?;
    let agreed = stream.agreed_on_http2();
    if let Some(pool) = sharing.pool {
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
    if let Some(pool) = sharing.pool {
        pool.connections.borrow_mut().push(Rc::clone(&connection));
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
struct Opening<'a>(&'a Http2Pool);

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.0.opening.set(false);
        self.0.opened.notify_waiters();
    }
}

impl Http2Pool {
    async fn wait_for_turn(
        &self,
        timeout: Option<Duration>,
        timer: &Timer,
        most_uses: Option<u32>,
    ) -> Result<Turn<'_>, ConnectError> {
        timer.set_after(timeout);
        while self.opening.get() && !self.speaks_http1.get() {
            timer.bound(self.opened.notified()).await.ok_or(ConnectError::TimedOut)?;
            if let Some(stream) = self.open_stream(most_uses) {
                timer.set(None);
                return Ok(Turn::Stream(stream));
            }
        }
        timer.set(None);
        self.opening.set(true);
        Ok(Turn::Open(Opening(self)))
    }
}
