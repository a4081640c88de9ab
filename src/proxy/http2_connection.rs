//! How is one HTTP/2 client connection served? hyper speaks the protocol; each stream becomes a request head as HTTP/1
//! has it and runs the same exchange.
//!
//! Not carried, because hyper's server cannot: interim responses other than what it sends itself. They are left out,
//! never garbled.

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::clock;
use super::downstream::Downstream;
use super::http2_io::{LocalTasks, Watched};
use super::http2_stream::{Counted, Http2Stream, Work};
use super::stream::Stream;
use super::timer::Timer;
use crate::http::{BadRequest, ExtendedConnect, RequestHead, RequestParts};
use crate::model::Global;
use crate::model::frontend::FrontendTimeouts;
use crate::model::global::HttpLimits;
use crate::model::http::Http2Limits;
use crate::wire::http2_frames::{Flood, FrameGuard};
use crate::wire::websocket;
use hyper::Request;
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

/// Streams a client may open and reset before we have looked at them; more ends the connection ("rapid reset").
const RESETS: usize = 20;
/// Streams we reset because of a client's mistakes before the connection ends.
const MISTAKES: usize = 256;
/// Bytes of one response that hyper may hold back for a slow client.
const SEND_BUFFER: usize = 64 * 1024;

/// The one protocol an extended CONNECT may ask for (RFC 8441 §5).
const WEBSOCKET: &str = "websocket";

/// One request as it came in.
pub(crate) struct Http2Request {
    parts: http::request::Parts,
    pub stream: Http2Stream,
}

impl Http2Request {
    /// Writes the head into one that is used again and again, and gives up what it was made of.
    ///
    /// # Errors
    /// The request cannot be passed on. Answer the status; the connection itself is fine.
    pub fn into_parts(self, head: &mut RequestHead, limits: &HttpLimits) -> Taken {
        let Http2Request { mut parts, stream } = self;
        let protocol = parts.extensions.remove::<Protocol>();
        let is_websocket = protocol.is_some_and(|protocol| protocol.as_str() == WEBSOCKET);
        let upgrade = parts.extensions.remove::<OnUpgrade>().filter(|_| is_websocket);
        let mut random = [0; websocket::KEY_LEN];
        let key = match &upgrade {
            // Without random numbers the key is a constant: it only proves that the server understood the question.
            Some(_) => {
                let _ = aws_lc_rs::rand::fill(&mut random);
                websocket::key(random)
            }
            None => String::new(),
        };
        let asked = RequestParts {
            method: if upgrade.is_some() { b"GET" } else { parts.method.as_str().as_bytes() },
            authority: parts.uri.authority().map(|authority| authority.as_str().as_bytes()),
            path_and_query: parts.uri.path_and_query().map_or("/", |target| target.as_str()).as_bytes(),
            has_body: upgrade.is_none() && !stream.body_is_done(),
            extended_connect: upgrade
                .is_some()
                .then_some(ExtendedConnect { protocol: WEBSOCKET.as_bytes(), key: key.as_bytes() }),
        };
        let fields = parts.headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        let read = head.from_parts(asked, fields, limits);
        Taken { stream, upgrade, read }
    }
}

/// A request whose head was written down.
pub(crate) struct Taken {
    pub stream: Http2Stream,
    /// What the stream becomes when its extended CONNECT is answered well.
    pub upgrade: Option<OnUpgrade>,
    pub read: Result<(), BadRequest>,
}

/// What one connection is served by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Http2Settings {
    pub limits: HttpLimits,
    pub http2: Http2Limits,
    /// Whether clients are told that WebSockets may come this way.
    pub offers_websocket: bool,
    /// Without any request for so long, the connection is closed.
    pub idle: Option<Duration>,
    /// A client that does not take its last bytes, or our goodbye, for so long is cut off.
    pub stalled: Option<Duration>,
}

impl Http2Settings {
    /// `timeout http-keep-alive`, else `http-request`, else `client` (HAProxy manual 4.2).
    pub fn new(global: &Global, timeouts: &FrontendTimeouts) -> Self {
        Http2Settings {
            limits: global.limits,
            http2: global.http2_clients,
            offers_websocket: global.http2_websocket,
            idle: timeouts.http_keep_alive.or(timeouts.http_request).or(timeouts.client),
            stalled: timeouts.client,
        }
    }
}

/// The client broke the protocol, or its connection broke.
#[derive(Debug)]
pub(crate) struct BadHttp2(hyper::Error);

impl BadHttp2 {
    /// The client's bytes are no HTTP/2, rather than its connection having broken.
    pub fn is_protocol(&self) -> bool {
        let Some(cause) = std::error::Error::source(&self.0) else { return false };
        let io = cause.downcast_ref::<io::Error>();
        io.is_none_or(|error| error.get_ref().is_some_and(|inner| inner.is::<Flood>()))
    }
}

impl fmt::Display for BadHttp2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::error::Error::source(&self.0) {
            Some(cause) => write!(f, "HTTP/2 connection failed: {cause}"),
            None => write!(f, "HTTP/2 connection failed: {}", self.0),
        }
    }
}

impl std::error::Error for BadHttp2 {}

/// Serves until the client closes, breaks the protocol or stays idle too long, or `leaving` says that no more requests
/// are to be taken; those that run are finished. `early` was read already. Each request becomes what `take_up` makes of
/// it, boxed at once because it is large; what it is given besides must live as long as that.
///
/// # Errors
/// [`BadHttp2`]; running exchanges notice that their client is gone.
pub(crate) async fn run(
    stream: Stream,
    early: Vec<u8>,
    settings: Http2Settings,
    timer: &Timer,
    leaving: impl Fn() -> bool,
    take_up: impl Fn(Http2Request, Exchanging) -> Work,
) -> Result<(), BadHttp2> {
    let activity = Rc::new(Activity::new());
    let service = service_fn(|request: Request<Incoming>| {
        let (parts, body) = request.into_parts();
        let (stream, reply) = Http2Stream::new(body, &activity.replies);
        activity.taken.set(activity.taken.get().saturating_add(1));
        let running = Exchanging { running: Some(Counted::new(&activity.exchanges)), activity: Rc::clone(&activity) };
        reply.head(take_up(Http2Request { parts, stream }, running))
    });
    let guard = FrameGuard::of_client(settings.http2.glitches, clock::now());
    let io = TokioIo::new(Watched::new(stream, early, guard, Rc::clone(&activity.wrote_at)));
    let mut connection = pin!(builder(&settings).serve_connection(io, service));
    let mut idleness = Idleness { timer, settings, goodbye_at: None };
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                // Once told to go, a client may leave as it likes.
                let left = idleness.goodbye_at.is_some();
                return Poll::Ready(ended.or_else(|error| if left { Ok(()) } else { Err(BadHttp2(error)) }));
            }
            let enough = settings.http2.total_streams.is_some_and(|most| activity.taken.get() >= most);
            match idleness.look(cx, &activity, enough || leaving()) {
                Look::Wait => return Poll::Pending,
                Look::SayGoodbye => connection.as_mut().graceful_shutdown(),
                Look::CutOff => return Poll::Ready(Ok(())),
            }
        }
    })
    .await
}

fn builder(settings: &Http2Settings) -> http2::Builder<LocalTasks> {
    let mut builder = http2::Builder::new(LocalTasks);
    builder
        .max_concurrent_streams(settings.http2.streams)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(MISTAKES)
        .max_header_list_size(settings.limits.head.try_into().unwrap_or(u32::MAX))
        .initial_stream_window_size(settings.http2.stream_window)
        .initial_connection_window_size(settings.http2.connection_window)
        .max_frame_size(settings.http2.frame)
        .header_table_size(settings.http2.header_table)
        .max_send_buf_size(SEND_BUFFER)
        .auto_date_header(false); // the server's own, or none
    if settings.offers_websocket {
        builder.enable_connect_protocol();
    }
    builder
}

/// When a connection has had its time.
struct Idleness<'a> {
    timer: &'a Timer,
    settings: Http2Settings,
    /// When the client was told that no more requests are taken.
    goodbye_at: Option<Instant>,
}

enum Look {
    Wait,
    SayGoodbye,
    CutOff,
}

impl Idleness<'_> {
    fn look(&mut self, cx: &Context<'_>, activity: &Activity, leaving: bool) -> Look {
        if leaving && self.goodbye_at.is_none() {
            return self.say_goodbye();
        }
        activity.keep_waker(cx);
        self.timer.set(self.deadline(activity));
        if !self.timer.poll_expired(cx) {
            return Look::Wait;
        }
        if self.goodbye_at.is_none() { self.say_goodbye() } else { Look::CutOff }
    }

    fn say_goodbye(&mut self) -> Look {
        self.goodbye_at = Some(clock::now());
        Look::SayGoodbye
    }

    /// None while exchanges run: they have their own timeouts.
    fn deadline(&self, activity: &Activity) -> Option<Instant> {
        if activity.exchanges.get() > 0 {
            return None; // they wake us when the last one ends
        }
        let (limit, since) = match self.goodbye_at {
            None => (self.settings.idle?, activity.busy_at.get()),
            // Whoever was told to go does not stay for ever, whichever timeout there is.
            Some(at) => (self.settings.stalled.or(self.settings.idle)?, at.max(activity.busy_at.get())),
        };
        // A client that still takes the end of a response is not idle.
        let since = if activity.replies.get() > 0 { since.max(activity.wrote_at.get()) } else { since };
        since.checked_add(limit)
    }
}

/// What happened last on one connection.
struct Activity {
    /// Exchanges that run.
    exchanges: Rc<Cell<u32>>,
    /// Requests so far.
    taken: Cell<u32>,
    /// Responses that hyper has not wholly taken.
    replies: Rc<Cell<u32>>,
    /// When the last exchange ended.
    busy_at: Cell<Instant>,
    /// When the client last took bytes.
    wrote_at: Rc<Cell<Instant>>,
    /// The connection's task.
    connection: RefCell<Option<Waker>>,
}

impl Activity {
    fn new() -> Self {
        let now = clock::now();
        Activity {
            exchanges: Rc::default(),
            taken: Cell::new(0),
            replies: Rc::default(),
            busy_at: Cell::new(now),
            wrote_at: Rc::new(Cell::new(now)),
            connection: RefCell::default(),
        }
    }

    fn keep_waker(&self, cx: &Context<'_>) {
        let mut connection = self.connection.borrow_mut();
        if !connection.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *connection = Some(cx.waker().clone());
        }
    }

    fn exchange_ended(&self) {
        self.busy_at.set(clock::now());
        if self.exchanges.get() == 0
            && let Some(connection) = &*self.connection.borrow()
        {
            connection.wake_by_ref();
        }
    }
}

/// One exchange under way. Its end is noted however it comes, by a panic too.
pub(crate) struct Exchanging {
    running: Option<Counted>,
    activity: Rc<Activity>,
}

impl Drop for Exchanging {
    fn drop(&mut self) {
        self.running = None;
        self.activity.exchange_ended();
    }
}
