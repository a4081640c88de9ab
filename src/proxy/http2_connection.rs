//! How is one HTTP/2 client connection served? h2, the engine of hyper, speaks the protocol; each stream becomes a request
//! head as HTTP/1 has it and runs the same exchange, as a task of its own.
//!
//! h2 and not hyper's server around it: that one wants a response to ask for its body, where an exchange pushes, and knows
//! no interim responses.

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::clock;
use super::downstream::Downstream;
use super::http2_io::{Counted, Cut, FLOODED, Seen, Watched, spent_on_pieces};
use super::http2_stream::Http2Stream;
use super::stream::Stream;
use super::timer::Timer;
use crate::http::{BadRequest, ExtendedConnect, RequestHead, RequestParts};
use crate::model::Global;
use crate::model::frontend::FrontendTimeouts;
use crate::model::global::HttpLimits;
use crate::model::http::Http2Limits;
use crate::moment::Moment;
use crate::wire::http2_frames::{FrameGuard, Refusal};
use crate::wire::websocket;
use bytes::Bytes;
use h2::RecvStream;
use h2::ext::Protocol;
use h2::server::{self, SendResponse};
use http::{Method, Request};

/// Streams a client may open and reset before we have looked at them; more ends the connection ("rapid reset").
const RESETS: usize = 20;
/// Streams we reset because of a client's mistakes before the connection ends.
const MISTAKES: usize = 256;
/// Bytes of one response that h2 may hold back for a slow client.
const SEND_BUFFER: usize = 64 * 1024;

/// A client without requests under way that was told to go has this long to say that it has heard (its answer to the
/// PING behind GOAWAY): a request it sent meanwhile comes before that. One that has closed its sending side while an
/// answer waits for a window, which it cannot open any more, has as long.
const FAREWELL: Duration = Duration::from_millis(500);

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
        let Http2Request { parts, stream } = self;
        let is_websocket = asks_for_websocket(&parts);
        let mut random = [0; websocket::KEY_LEN];
        let key = if is_websocket {
            // Without random numbers the key is a constant: it only proves that the server understood the question.
            let _ = aws_lc_rs::rand::fill(&mut random);
            websocket::key(random)
        } else {
            String::new()
        };
        let asked = RequestParts {
            method: if is_websocket { b"GET" } else { parts.method.as_str().as_bytes() },
            authority: parts.uri.authority().map(|authority| authority.as_str().as_bytes()),
            default_port: match parts.uri.scheme_str() {
                Some("http") => b":80",
                Some("https") => b":443",
                _ => b"",
            },
            path_and_query: parts.uri.path_and_query().map_or("/", |target| target.as_str()).as_bytes(),
            has_body: !stream.body_is_done(),
            extended_connect: is_websocket
                .then_some(ExtendedConnect { protocol: WEBSOCKET.as_bytes(), key: key.as_bytes() }),
        };
        let fields = parts.headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        let read = head.from_parts(asked, fields, limits);
        Taken { stream, read }
    }
}

/// Whether this is an extended CONNECT for a WebSocket (RFC 8441 §4).
fn asks_for_websocket(parts: &http::request::Parts) -> bool {
    let protocol = parts.extensions.get::<Protocol>();
    parts.method == Method::CONNECT && protocol.is_some_and(|protocol| protocol.as_str() == WEBSOCKET)
}

/// A request whose head was written down.
pub(crate) struct Taken {
    pub stream: Http2Stream,
    pub read: Result<(), BadRequest>,
}

/// What one connection is served by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Http2Settings {
    pub limits: HttpLimits,
    pub http2: Http2Limits,
    /// Whether clients are told that WebSockets may come this way.
    pub offers_websocket: bool,
    /// How long the first request may be awaited, and each head take from its first frame to its end.
    pub request: Option<Duration>,
    /// Without any request for so long after the last one, the connection is closed.
    pub idle: Option<Duration>,
    /// A client that does not take its last bytes, or our goodbye, for so long is cut off.
    pub stalled: Option<Duration>,
}

impl Http2Settings {
    /// `timeout http-request`, else `client`; between requests `http-keep-alive`, else these (HAProxy manual 4.2).
    pub fn new(global: &Global, timeouts: &FrontendTimeouts) -> Self {
        let request = timeouts.http_request.or(timeouts.client);
        Http2Settings {
            limits: global.limits,
            http2: global.http2_clients,
            offers_websocket: global.http2_websocket,
            request,
            idle: timeouts.http_keep_alive.or(request),
            stalled: timeouts.client,
        }
    }
}

/// The client broke the protocol, or its connection broke.
#[derive(Debug)]
pub(crate) struct BadHttp2(h2::Error);

impl BadHttp2 {
    /// The client's bytes are no HTTP/2, or too much of it, rather than its connection having broken or the client having
    /// said goodbye over something (GOAWAY with an error).
    pub fn is_protocol(&self) -> bool {
        !self.0.is_remote() && self.0.get_io().is_none_or(|error| error.kind() == FLOODED)
    }
}

impl fmt::Display for BadHttp2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP/2 connection failed: {}", self.0)
    }
}

impl std::error::Error for BadHttp2 {}

/// Serves until the client closes, breaks the protocol or stays idle too long, or `leaving` says that no more requests
/// are to be taken; those that run are finished. `early` was read already. Each request becomes a task that does what
/// `take_up` makes of it; what it is given besides must live as long as that. What the library refuses by itself goes to
/// `refused`.
///
/// # Errors
/// [`BadHttp2`]; running exchanges notice that their client is gone.
pub(crate) async fn run<W: Future<Output = ()> + 'static>(
    stream: Stream,
    early: Vec<u8>,
    settings: Http2Settings,
    timer: &Timer,
    leaving: impl Fn() -> bool,
    take_up: impl Fn(Http2Request, Exchanging) -> W,
    refused: impl Fn(Refusal),
) -> Result<(), BadHttp2> {
    let seen = Seen::new(FrameGuard::of_client(settings.http2.glitches, clock::now()));
    seen.hold_end();
    let activity = Rc::new(Activity::new(seen));
    let begin = |(request, respond): (Request<RecvStream>, SendResponse<Bytes>)| {
        activity.seen.taken_up(|| respond.stream_id().as_u32());
        let (parts, body) = request.into_parts();
        let stream = Http2Stream::new(body, respond, asks_for_websocket(&parts), &activity.cut, &activity.seen);
        activity.taken.set(activity.taken.get().saturating_add(1));
        let running = Exchanging { running: Some(Counted::new(&activity.exchanges)), activity: Rc::clone(&activity) };
        tokio::task::spawn_local(take_up(Http2Request { parts, stream }, running));
    };
    let watched = Watched::new(stream, early, Rc::clone(&activity.seen));
    let mut speaker = Speaker::Greeting { handshake: builder(&settings).handshake(watched), goodbye: false };
    let mut idleness = Idleness { timer, settings, goodbye_at: None };
    poll_fn(|cx| {
        loop {
            let polled = speaker.poll(cx, &activity.cut, begin);
            while let Some(refusal) = activity.seen.next_refusal() {
                refused(refusal);
            }
            if let Poll::Ready(ended) = polled {
                // Once told to go, a client may leave as it likes.
                let left = idleness.goodbye_at.is_some();
                return Poll::Ready(ended.or_else(|error| if left { Ok(()) } else { Err(BadHttp2(error)) }));
            }
            if activity.must_pass_end(speaker.has_streams()) {
                activity.seen.pass_end();
                continue;
            }
            let enough = settings.http2.total_streams.is_some_and(|most| activity.taken.get() >= most);
            match idleness.look(cx, &activity, &speaker, enough || leaving()) {
                Look::Wait => return Poll::Pending,
                Look::SayGoodbye => speaker.say_goodbye(),
                Look::PassEnd => activity.seen.pass_end(),
                Look::CutOff => return Poll::Ready(Ok(())),
            }
        }
    })
    .await
}

/// Our end of the protocol.
enum Speaker {
    Greeting {
        handshake: server::Handshake<Watched, Bytes>,
        /// We are leaving; it is said as soon as that can be.
        goodbye: bool,
    },
    Serving(server::Connection<Watched, Bytes>),
}

impl Speaker {
    /// Gives every request that comes to `begin`. Ready when the connection has ended.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        cut: &Cut,
        begin: impl Fn((Request<RecvStream>, SendResponse<Bytes>)),
    ) -> Poll<Result<(), h2::Error>> {
        if let Speaker::Greeting { handshake, goodbye } = self {
            let mut connection = ready!(Pin::new(handshake).poll(cx))?;
            if *goodbye {
                connection.graceful_shutdown();
            }
            *self = Speaker::Serving(connection);
        }
        let Speaker::Serving(connection) = self else { return Poll::Pending };
        cut.poll_with(cx, |cx| {
            loop {
                match ready!(connection.poll_accept(cx)) {
                    Some(request) => begin(request?),
                    None => return Poll::Ready(Ok(())),
                }
            }
        })
    }

    /// Some request, or the end of some response, is still under way.
    fn has_streams(&self) -> bool {
        matches!(self, Speaker::Serving(connection) if connection.has_streams())
    }

    /// The client has said that it speaks HTTP/2.
    fn is_greeted(&self) -> bool {
        matches!(self, Speaker::Serving(_))
    }

    /// Takes no more requests, and says so.
    fn say_goodbye(&mut self) {
        match self {
            Speaker::Greeting { goodbye, .. } => *goodbye = true,
            Speaker::Serving(connection) => connection.graceful_shutdown(),
        }
    }
}

fn builder(settings: &Http2Settings) -> server::Builder {
    let mut builder = server::Builder::new();
    builder
        .max_concurrent_streams(settings.http2.streams)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(Some(MISTAKES))
        .max_header_list_size(settings.limits.head.try_into().unwrap_or(u32::MAX))
        .initial_window_size(settings.http2.stream_window)
        .initial_connection_window_size(settings.http2.connection_window)
        .max_frame_size(settings.http2.frame)
        .header_table_size(settings.http2.header_table)
        .max_send_buffer_size(SEND_BUFFER)
        .data_frame_budget(spent_on_pieces(settings.http2.connection_window));
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
    goodbye_at: Option<Moment>,
}

enum Look {
    Wait,
    SayGoodbye,
    PassEnd,
    CutOff,
}

impl Idleness<'_> {
    fn look(&mut self, cx: &Context<'_>, activity: &Activity, speaker: &Speaker, leaving: bool) -> Look {
        if leaving && self.goodbye_at.is_none() {
            return self.say_goodbye();
        }
        self.timer.set(self.deadline(activity, speaker.has_streams()));
        if !self.timer.poll_expired(cx) {
            return Look::Wait;
        }
        if activity.stuck_since().is_some() {
            return Look::PassEnd;
        }
        if self.goodbye_at.is_none() && speaker.is_greeted() { self.say_goodbye() } else { Look::CutOff }
    }

    fn say_goodbye(&mut self) -> Look {
        self.goodbye_at = Some(clock::now());
        Look::SayGoodbye
    }

    /// None while exchanges run: they have their own timeouts.
    fn deadline(&self, activity: &Activity, has_streams: bool) -> Option<Moment> {
        if let Some(since) = activity.stuck_since() {
            return since.checked_add(FAREWELL);
        }
        if activity.exchanges.get() > 0 {
            return None; // they wake us when the last one ends
        }
        let settings = &self.settings;
        let (limit, since) = match (self.goodbye_at, activity.seen.head_since()) {
            // Whoever was told to go does not stay for ever, whichever timeout there is.
            (Some(at), _) => {
                let stalled = settings.stalled.or(settings.idle);
                let limit = if has_streams { stalled? } else { stalled.unwrap_or(FAREWELL).min(FAREWELL) };
                (limit, at.max(activity.busy_at.get()))
            }
            (None, Some(since)) => (settings.request?, since),
            (None, None) if activity.taken.get() == 0 => (settings.request?, activity.busy_at.get()),
            (None, None) => (settings.idle?, activity.busy_at.get()),
        };
        // A client that still takes the end of a response is not idle.
        let since = if has_streams { since.max(activity.seen.wrote_at()) } else { since };
        since.checked_add(limit)
    }
}

/// What happened last on one connection.
struct Activity {
    /// Exchanges that run.
    exchanges: Rc<Cell<u32>>,
    /// Requests so far.
    taken: Cell<u32>,
    /// Streams to be reset.
    cut: Rc<Cut>,
    /// When the last exchange ended.
    busy_at: Cell<Moment>,
    /// What its bytes tell.
    seen: Rc<Seen>,
}

impl Activity {
    fn new(seen: Rc<Seen>) -> Self {
        Activity {
            exchanges: Rc::default(),
            taken: Cell::new(0),
            cut: Rc::default(),
            busy_at: Cell::new(clock::now()),
            seen,
        }
    }

    /// The client has closed its sending side, and no answer is left that could reach it, or somebody waits for more of it.
    fn must_pass_end(&self, has_streams: bool) -> bool {
        let answering = self.exchanges.get() > 0 || has_streams;
        self.seen.holds_end() && (!answering || self.seen.end_matters())
    }

    fn stuck_since(&self) -> Option<Moment> {
        self.seen.stuck_since(self.exchanges.get() == 0)
    }

    fn exchange_ended(&self) {
        self.busy_at.set(clock::now());
        if self.exchanges.get() == 0 {
            self.cut.wake_connection();
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
