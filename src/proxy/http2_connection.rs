//! How is one HTTP/2 client connection served? hyper speaks the protocol; each stream becomes a request head as HTTP/1
//! has it and runs the same exchange.
//!
//! Not carried, because hyper's server cannot: interim responses other than what it sends itself. They are left out,
//! never garbled.

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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body::{Body, Frame};
    use http_body_util::{BodyExt, Empty, Full};
    use hyper::client::conn::http2 as client;
    use hyper::{Response, StatusCode};
    use tokio::io::duplex;

    use super::super::downstream::{BodyFraming, HeadOptions};
    use super::super::stream::Plain;
    use super::super::timer::Timers;
    use std::pin::Pin;

    use super::*;
    use crate::http::{BodyLength, ResponseHead, ResponseTo};

    type Bodies = http_body_util::combinators::UnsyncBoxBody<Bytes, std::convert::Infallible>;
    type Sender = client::SendRequest<Bodies>;

    fn none() -> Bodies {
        Empty::new().boxed_unsync()
    }

    fn settings(idle_ms: Option<u64>) -> Http2Settings {
        let idle = idle_ms.map(Duration::from_millis);
        Http2Settings {
            limits: HttpLimits::default(),
            http2: Http2Limits::default(),
            offers_websocket: true,
            idle,
            stalled: idle,
        }
    }

    /// A client of a connection whose requests `run` answers, and the connection itself.
    async fn connect<R: Future<Output = ()> + 'static>(
        settings: Http2Settings,
        leaving: Rc<Cell<bool>>,
        run: impl Fn(Http2Request) -> R + 'static,
    ) -> (Sender, tokio::task::JoinHandle<Result<(), BadHttp2>>, Rc<Timers>) {
        let (near, far) = duplex(64 * 1024);
        let timers = Timers::new(clock::refresh());
        tokio::task::spawn_local(Rc::clone(&timers).drive());
        let for_server = Rc::clone(&timers);
        let served = tokio::task::spawn_local(async move {
            let timer = for_server.timer();
            let take_up = |request, running: Exchanging| -> Work {
                let exchange = run(request);
                Box::pin(async move {
                    exchange.await;
                    drop(running);
                })
            };
            let stream = Stream::Plain(Plain::Memory(near));
            super::run(stream, Vec::new(), settings, &timer, || leaving.get(), take_up).await
        });
        let (sender, connection) = client::handshake(LocalTasks, TokioIo::new(far)).await.unwrap();
        tokio::task::spawn_local(async move {
            let _ = connection.await;
        });
        (sender, served, timers)
    }

    fn tell<F: Future<Output = ()>>(story: F) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            tokio::time::timeout(Duration::from_secs(10), story).await.expect("the story ends in time");
        });
    }

    fn head(status: u16, body: BodyLength, to: ResponseTo) -> ResponseHead {
        let mut head = ResponseHead::new();
        head.start(status, body, to);
        head
    }

    const OPTIONS: HeadOptions = HeadOptions { keep_alive: true, keep_upgrade: false, no_store: false };

    /// A request as an exchange has it.
    struct Held {
        head: RequestHead,
        stream: Http2Stream,
        bad: Option<BadRequest>,
    }

    impl Http2Request {
        fn take(self) -> Held {
            let mut head = RequestHead::new();
            let Taken { stream, read, .. } = self.into_parts(&mut head, &HttpLimits::default());
            Held { head, stream, bad: read.err() }
        }
    }

    impl Held {
        /// The body as an HTTP/1 server would get it.
        async fn body(&mut self, framing: BodyFraming) -> Vec<u8> {
            let mut all = Vec::new();
            let (stream, head) = (&mut self.stream, &mut self.head);
            while !poll_fn(|cx| stream.poll_body(cx, head, framing, &mut all)).await.unwrap() {}
            all
        }

        fn respond(&mut self, answer: &ResponseHead) {
            self.stream.head(&self.head, answer, OPTIONS);
        }

        async fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
            while !bytes.is_empty() {
                let taken = poll_fn(|cx| self.stream.poll_data(cx, bytes)).await?;
                bytes = &bytes[taken..];
            }
            Ok(())
        }
    }

    /// Answers with the method, target, host and body of the request, in pieces.
    async fn echo(request: Http2Request) {
        let mut request = request.take();
        let mut all = Vec::new();
        for word in [request.head.method(), request.head.target(), request.head.host().unwrap_or_default()] {
            all.extend_from_slice(word);
            all.push(b' ');
        }
        all.extend_from_slice(&request.body(BodyFraming::Plain).await);
        let mut answer = head(200, BodyLength::Chunked, ResponseTo::Other);
        answer.add_field(b"Connection", b"x-mine");
        answer.add_field(b"Keep-Alive", b"timeout=5");
        answer.add_field(b"X-Kept", b"yes");
        request.respond(&answer);
        for piece in all.chunks(10_000) {
            request.send(piece).await.unwrap();
        }
        request.stream.finish(b"x-sum: 7\r\n");
        poll_fn(|cx| request.stream.poll_flush(cx)).await.unwrap();
    }

    async fn ask(sender: &mut Sender, method: &str, uri: &str, body: Bodies) -> (Response<()>, Bytes, Option<String>) {
        let request = Request::builder().method(method).uri(uri).body(body).unwrap();
        let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().map(|trailers| format!("{trailers:?}"));
        (Response::from_parts(parts, ()), body.to_bytes(), trailers)
    }

    #[test]
    fn a_stream_becomes_a_request_and_its_answer_a_response() {
        tell(async {
            let (mut sender, _served, _) = connect(settings(None), Rc::default(), echo).await;
            let (response, body, trailers) = ask(&mut sender, "GET", "http://a.example/x?y", none()).await;
            assert_eq!((response.status(), &body[..]), (StatusCode::OK, &b"GET /x?y a.example "[..]));
            assert_eq!(trailers.as_deref(), Some(r#"{"x-sum": "7"}"#));
            assert_eq!(response.headers().len(), 1, "fields of one hop stay behind: {:?}", response.headers());
            assert_eq!(response.headers()["x-kept"], "yes");
        });
    }

    #[test]
    fn large_bodies_stream_both_ways() {
        tell(async {
            let (mut sender, _served, _) = connect(settings(None), Rc::default(), echo).await;
            let sent = Bytes::from(vec![b'z'; 3_000_000]); // more than every window
            let upload = Full::new(sent.clone()).boxed_unsync();
            let (_, body, _) = ask(&mut sender, "POST", "http://a.example/", upload).await;
            let expected = [&b"POST / a.example "[..], &sent].concat();
            assert!(body == expected, "{} bytes of {}", body.len(), expected.len());
        });
    }

    #[test]
    fn a_body_of_unknown_length_reaches_a_server_in_chunks() {
        tell(async {
            let answer = |request: Http2Request| async move {
                let mut request = request.take();
                assert_eq!(request.head.body(), BodyLength::Chunked);
                let body = request.body(BodyFraming::Chunked).await;
                request.respond(&head(200, BodyLength::Length(body.len() as u64), ResponseTo::Other));
                request.send(&body).await.unwrap();
                request.stream.finish(b"");
                poll_fn(|cx| request.stream.poll_flush(cx)).await.expect("a response that was taken went well");
            };
            let (mut sender, _served, _) = connect(settings(None), Rc::default(), answer).await;
            let fields = [("x-end", "1"), ("content-length", "9"), ("host", "b.example")];
            let trailers = fields.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            let trailers = http::HeaderMap::from_iter(trailers);
            let (pieces, body) = tokio::sync::mpsc::unbounded_channel();
            pieces.send(Bytes::from_static(b"some body!")).unwrap();
            drop(pieces);
            let upload = Pieces(body).with_trailers(async move { Some(Ok(trailers)) }).boxed_unsync();
            let (_, body, _) = ask(&mut sender, "POST", "http://a.example/", upload).await;
            assert_eq!(body.escape_ascii().to_string(), r"a\r\nsome body!\r\n0\r\nx-end: 1\r\n\r\n");
        });
    }

    #[test]
    fn an_answer_to_head_tells_its_length_and_ends() {
        tell(async {
            let answer = |request: Http2Request| async move {
                let mut request = request.take();
                assert!(request.head.is_head() && request.stream.body_is_done());
                let mut answer = head(200, BodyLength::Length(5), ResponseTo::Head);
                answer.add_field(b"Content-Length", b"5");
                request.respond(&answer);
            };
            let (mut sender, _served, _) = connect(settings(None), Rc::default(), answer).await;
            let (response, body, _) = ask(&mut sender, "HEAD", "http://a.example/", none()).await;
            assert_eq!((response.headers()["content-length"].as_bytes(), body.len()), (&b"5"[..], 0));
        });
    }

    #[test]
    fn a_request_that_must_be_refused_leaves_the_connection_alive() {
        tell(async {
            let answer = |request: Http2Request| async move {
                let mut request = request.take();
                let status = request.bad.map_or(200, |bad| bad.status());
                request.respond(&head(status, BodyLength::None, ResponseTo::Other));
            };
            let (mut sender, _served, _) = connect(settings(None), Rc::default(), answer).await;
            let request = Request::get("http://user@a.example/").body(none()).unwrap();
            assert_eq!(sender.send_request(request).await.unwrap().status(), 400);
            let request = Request::get("http://a.example/").body(none()).unwrap();
            assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
        });
    }

    #[test]
    fn a_reset_stream_is_noticed() {
        tell(async {
            let (seen, mut gone) = tokio::sync::mpsc::unbounded_channel();
            let answer = move |request: Http2Request| {
                let seen = seen.clone();
                async move {
                    let mut request = request.take();
                    request.respond(&head(200, BodyLength::Chunked, ResponseTo::Other));
                    while request.send(&[0; 9999]).await.is_ok() {}
                    seen.send(()).unwrap();
                }
            };
            let (mut sender, _served, _) = connect(settings(None), Rc::default(), answer).await;
            let request = Request::get("http://a.example/").body(none()).unwrap();
            drop(sender.send_request(request).await.unwrap());
            gone.recv().await.unwrap();
        });
    }

    #[test]
    fn an_exchange_that_gives_up_resets_its_stream() {
        tell(async {
            let answer = |request: Http2Request| async move {
                let mut request = request.take();
                request.respond(&head(200, BodyLength::Chunked, ResponseTo::Other));
                request.send(b"half").await.unwrap();
            };
            let (mut sender, _served, _) = connect(settings(None), Rc::default(), answer).await;
            let request = Request::get("http://a.example/").body(none()).unwrap();
            let mut body = sender.send_request(request).await.expect("what there was arrives").into_body();
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "half");
            assert!(body.frame().await.unwrap().is_err());
        });
    }

    #[test]
    fn an_idle_connection_is_closed() {
        tell(async {
            let (mut sender, served, _) = connect(settings(Some(50)), Rc::default(), echo).await;
            ask(&mut sender, "GET", "http://a.example/", none()).await;
            served.await.unwrap().unwrap();
        });
    }

    /// A body sent piece by piece.
    struct Pieces(tokio::sync::mpsc::UnboundedReceiver<Bytes>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            self.0.poll_recv(cx).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
        }
    }

    #[test]
    fn leaving_finishes_what_runs() {
        tell(async {
            let leaving: Rc<Cell<bool>> = Rc::default();
            let (mut sender, served, timers) = connect(settings(None), Rc::clone(&leaving), echo).await;
            let (frames, body) = tokio::sync::mpsc::unbounded_channel();
            let body = Pieces(body).boxed_unsync();
            let request = Request::post("http://a.example/").body(body).unwrap();
            let pending = tokio::task::spawn_local(sender.send_request(request));
            frames.send(Bytes::from_static(b" first")).unwrap();
            tokio::task::yield_now().await;
            leaving.set(true);
            timers.wake_all();
            frames.send(Bytes::from_static(b" last")).unwrap();
            drop(frames);
            let response = pending.await.unwrap().unwrap().into_body().collect().await.unwrap();
            assert_eq!(&response.to_bytes()[..], b"POST / a.example  first last");
            assert!(served.await.unwrap().is_ok());
        });
    }
}
