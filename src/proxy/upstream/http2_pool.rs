//! Which HTTP/2 connection of a server does a request get a stream of, and when is another one opened?
//!
//! A request takes a stream of a connection that has room. While none has, one request opens the next connection and
//! as many others as will find room there wait for it, so that a burst does not become a burst of connections. They are
//! woken when it is open and when a request ends elsewhere; where nothing of that happens for a moment, one of them opens
//! another one.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;

use super::super::clock;
use super::super::http2_io::Counted;
use super::super::stream::Stream;
use super::super::timer::Timer;
use super::OnBehalfOf;
use super::connect::{ConnectError, connect};
use super::http2::Http2Connection;
use super::http2_idle::{Home, Whose};
use super::pool::IDLE_LIMIT;
use crate::balance::idle::Purge;
use crate::model::Global;
use crate::model::http::ServerProtocol;
use crate::moment::Moment;
use crate::state::snapshot::ServerInForce;

/// How long requests wait for a connection that is being opened before one of them opens another.
const OPEN_PATIENCE: Duration = Duration::from_millis(100);

/// A server's connections, kept by one worker: for all its clients, or for one.
#[derive(Debug)]
pub(crate) struct Http2Pool {
    connections: RefCell<Vec<Rc<Http2Connection>>>,
    home: Rc<Home>,
    purge: RefCell<Purge>,
    /// When the opening of the last one was begun.
    opening_since: Cell<Option<Moment>>,
    /// Requests at once that the last connection took; `None` before there was one.
    room_of_one: Cell<Option<u32>>,
    /// Its TLS has agreed on HTTP/1: nobody need wait for a shared connection.
    speaks_http1: Cell<bool>,
}

/// Requests that wait for a stream.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    count: Rc<Cell<u32>>,
    changed: Notify,
    /// Connections being opened, each by a request.
    opening: Rc<Cell<u32>>,
    /// There is room that none of the others wants.
    spare: Notify,
}

impl Waiting {
    /// A stream has become free.
    pub fn tell(&self) {
        if self.count.get() > 0 {
            self.changed.notify_one();
        } else if self.opening.get() > 0 {
            self.spare.notify_waiters();
        }
    }
}

impl Http2Pool {
    pub(super) fn new(home: Home) -> Rc<Self> {
        Rc::new(Http2Pool {
            connections: RefCell::default(),
            home: Rc::new(home),
            purge: RefCell::default(),
            opening_since: Cell::default(),
            room_of_one: Cell::default(),
            speaks_http1: Cell::default(),
        })
    }

    /// A stream of a connection that has room. `most_uses`: requests after which a connection is not used again.
    pub fn open_stream(&self, most_uses: Option<u32>) -> Option<Stream> {
        let mut connections = self.connections.borrow_mut();
        if connections.is_empty() {
            return None;
        }
        connections
            .retain(|connection| !connection.is_over() && most_uses.is_none_or(|most| connection.uses() <= most));
        connections.iter().find(|connection| connection.has_room()).map(|connection| connection.open())
    }

    pub fn take_over(&self, other: &Http2Pool) {
        other.connections.take().iter().for_each(|connection| self.add(connection));
    }

    pub fn is_empty(&self) -> bool {
        self.connections.borrow().is_empty()
    }

    /// Whether no request is under way.
    pub fn is_idle(&self) -> bool {
        self.connections.borrow().iter().all(|connection| connection.idle_since().is_some() || connection.is_over())
    }

    /// Lets go of what is over, and closes what nobody needs. A client's own stays as long as that. All of it ends, as soon as
    /// its requests are over, when `keep` is false.
    pub fn purge(&self, now: Moment, keep: bool) {
        let mut connections = self.connections.borrow_mut();
        if connections.is_empty() {
            return;
        }
        if !keep {
            connections.drain(..).for_each(|connection| connection.close());
            return;
        }
        if self.home.whose == Whose::Everybodys {
            self.close_unneeded(now, &connections);
        }
        connections.retain(|connection| !connection.is_over());
    }

    fn close_unneeded(&self, now: Moment, connections: &[Rc<Http2Connection>]) {
        let delay = self.home.settings.purge_delay;
        let idle_for = |connection: &Rc<Http2Connection>| {
            connection.idle_since().map(|since| now.saturating_duration_since(since))
        };
        let is_old =
            |least| move |connection: &&Rc<Http2Connection>| idle_for(connection).is_some_and(|idle| idle >= least);
        connections.iter().filter(is_old(IDLE_LIMIT)).for_each(|connection| connection.close());
        let mut unneeded: Vec<_> = connections.iter().filter(is_old(delay)).collect();
        unneeded.sort_by_key(|connection| connection.idle_since());
        let due = self.purge.borrow_mut().due(now, delay, || unneeded.len());
        unneeded.iter().take(due).for_each(|connection| connection.close());
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
    let mut opened = Box::pin(open(server, timeout, client, host, timer, sharing.pool, global));
    let Some(pool) = sharing.pool else { return opened.await };
    tokio::select! {
        biased;
        opened = &mut opened => opened,
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
        Opening { pool, counted: Some(Counted::new(&pool.home.waiting.opening)) }
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.counted = None;
        self.pool.home.waiting.changed.notify_waiters();
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
            let waiting = Counted::new(&self.home.waiting.count);
            let woken = timer.bound(self.home.waiting.changed.notified()).await;
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
            self.home.waiting.spare.notified().await;
        }
    }

    /// Whether those who wait, and one more, find no room in what is being opened.
    fn lacks_connections(&self) -> bool {
        let opening = self.home.waiting.opening.get();
        let room = self.room_of_one.get().unwrap_or(u32::MAX).saturating_mul(opening);
        opening == 0 || self.home.waiting.count.get() + opening >= room
    }

    /// Takes in a connection that was opened.
    fn add(&self, connection: &Rc<Http2Connection>) {
        if let room @ 1.. = connection.room() {
            self.room_of_one.set(Some(room));
        }
        connection.move_to(&self.home);
        self.connections.borrow_mut().push(Rc::clone(connection));
    }
}
