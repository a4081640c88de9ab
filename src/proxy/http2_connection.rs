//! How is one HTTP/2 client connection served? The `h2` crate speaks the protocol; each stream becomes a request head as
//! HTTP/1 has it and is handed to an exchange of its own.
//!
//! Knows nothing of configuration: limits and timeouts come in, requests go out.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::{Builder, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::clock;
use super::downstream::Downstream;
use super::http2_stream::Http2Stream;
use super::stream::Stream;
use super::timer::Timer;
use crate::http::{BadRequest, RequestHead};
use crate::model::frontend::FrontendTimeouts;
use crate::model::global::HttpLimits;

/// Requests at once on one connection; HAProxy's default (`tune.h2.max-concurrent-streams`).
const STREAMS: u32 = 100;
/// Streams a client may open and reset before we have looked at them; more ends the connection ("rapid reset").
const RESETS: usize = 20;
/// Streams we reset because of a client's mistakes before the connection ends.
const MISTAKES: usize = 256;
/// Bytes of one request body that may be under way before we took them.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The same for all of a connection's bodies together.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Bytes of one response held back for a slow client.
const SEND_BUFFER: usize = 64 * 1024;
/// A PING, a PING's answer and our settings are shorter: a write beyond this is a response the client takes.
const SMALL_TALK: usize = 64;

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
    pub fn into_parts(self, head: &mut RequestHead, limits: &HttpLimits) -> (Http2Stream, Result<(), BadRequest>) {
        let Http2Request { parts, stream } = self;
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
        let fields = parts.headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        let line = (parts.method.as_str().as_bytes(), authority, target.as_bytes());
        let read = head.from_parts(line, fields, !stream.body_is_done(), limits);
        (stream, read)
    }
}

/// What one connection is served by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Http2Settings {
    pub limits: HttpLimits,
    /// Without any request for so long, the connection is closed.
    pub idle: Option<Duration>,
    /// A client that does not take its last bytes, or our goodbye, for so long is cut off.
    pub stalled: Option<Duration>,
}

impl Http2Settings {
    /// `timeout http-keep-alive`, else `http-request`, else `client` (HAProxy manual 4.2).
    pub fn new(limits: HttpLimits, timeouts: &FrontendTimeouts) -> Self {
        let idle = timeouts.http_keep_alive.or(timeouts.http_request).or(timeouts.client);
        Http2Settings { limits, idle, stalled: timeouts.client }
    }
}

/// The client broke the protocol, or its connection broke.
#[derive(Debug)]
pub(crate) enum BadHttp2 {
    Protocol(h2::Error),
    /// No preface came in time.
    Silent,
}

impl fmt::Display for BadHttp2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadHttp2::Protocol(error) => write!(f, "HTTP/2 connection failed: {error}"),
            BadHttp2::Silent => f.write_str("client did not begin to speak HTTP/2 in time"),
        }
    }
}

impl std::error::Error for BadHttp2 {}

/// Serves until the client closes, breaks the protocol or stays idle too long, or `leaving` says that no more requests
/// are to be taken; those that run are finished. Each request is handed to `take_up` in a task of its own.
///
/// # Errors
/// [`BadHttp2`]; running exchanges notice that their client is gone.
pub(crate) async fn run<R>(
    stream: Stream,
    settings: Http2Settings,
    timer: &Timer,
    leaving: impl Fn() -> bool,
    take_up: impl Fn(Http2Request) -> R,
) -> Result<(), BadHttp2>
where
    R: Future<Output = ()> + 'static,
{
    let activity = Rc::new(Activity::new());
    let io = Watched { stream, activity: Rc::clone(&activity) };
    timer.set_after(settings.idle);
    let begun = timer.bound(builder(&settings).handshake::<_, Bytes>(io)).await;
    let mut connection = begun.ok_or(BadHttp2::Silent)?.map_err(BadHttp2::Protocol)?;
    let mut idleness = Idleness { timer, settings, goodbye_at: None };
    poll_fn(|cx| {
        loop {
            match connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, reply)))) => {
                    let (parts, body) = request.into_parts();
                    let stream = Http2Stream::new(body, reply);
                    spawn(take_up(Http2Request { parts, stream }), &activity);
                    continue;
                }
                // Once told to go, a client may leave as it likes.
                Poll::Ready(Some(Err(error))) if idleness.goodbye_at.is_none() => {
                    return Poll::Ready(Err(BadHttp2::Protocol(error)));
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => {}
            }
            match idleness.look(cx, &activity, &connection, leaving()) {
                Look::Wait => return Poll::Pending,
                Look::SayGoodbye => connection.graceful_shutdown(),
                Look::CutOff => return Poll::Ready(Ok(())),
            }
        }
    })
    .await
}

fn spawn(exchange: impl Future<Output = ()> + 'static, activity: &Rc<Activity>) {
    activity.exchanges.set(activity.exchanges.get() + 1);
    let running = Running(Rc::clone(activity));
    tokio::task::spawn_local(async move {
        exchange.await;
        drop(running);
    });
}

fn builder(settings: &Http2Settings) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(STREAMS)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(Some(MISTAKES))
        .max_header_list_size(settings.limits.head.try_into().unwrap_or(u32::MAX))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER);
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
    fn look(
        &mut self,
        cx: &Context<'_>,
        activity: &Activity,
        connection: &Connection<Watched, Bytes>,
        leaving: bool,
    ) -> Look {
        if leaving && self.goodbye_at.is_none() {
            return self.say_goodbye();
        }
        activity.set_waker(cx);
        self.timer.set(self.deadline(activity, connection));
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
    fn deadline(&self, activity: &Activity, connection: &Connection<Watched, Bytes>) -> Option<Instant> {
        if activity.exchanges.get() > 0 {
            return None; // they wake us when the last one ends
        }
        let (limit, since) = match self.goodbye_at {
            None => (self.settings.idle?, activity.busy_at.get()),
            Some(at) => (self.settings.stalled?, at.max(activity.busy_at.get())),
        };
        // A client that still takes the end of a response is not idle.
        let since = if connection.has_streams() { since.max(activity.wrote_at.get()) } else { since };
        since.checked_add(limit)
    }
}

/// What happened last on one connection.
struct Activity {
    /// Exchanges that run.
    exchanges: Cell<u32>,
    /// When the last exchange ended.
    busy_at: Cell<Instant>,
    /// When the client last took bytes of a response.
    wrote_at: Cell<Instant>,
    /// The connection's task.
    connection: Cell<Option<Waker>>,
}

impl Activity {
    fn new() -> Self {
        let now = clock::now();
        Activity {
            exchanges: Cell::new(0),
            busy_at: Cell::new(now),
            wrote_at: Cell::new(now),
            connection: Cell::new(None),
        }
    }

    fn set_waker(&self, cx: &Context<'_>) {
        let waker = match self.connection.take() {
            Some(waker) if waker.will_wake(cx.waker()) => waker,
            _ => cx.waker().clone(),
        };
        self.connection.set(Some(waker));
    }
}

/// One exchange, for as long as it runs.
struct Running(Rc<Activity>);

impl Drop for Running {
    fn drop(&mut self) {
        let activity = &self.0;
        activity.exchanges.set(activity.exchanges.get() - 1);
        activity.busy_at.set(clock::now());
        if activity.exchanges.get() == 0
            && let Some(connection) = activity.connection.take()
        {
            connection.wake();
        }
    }
}

/// Notes when the client takes bytes.
struct Watched {
    stream: Stream,
    activity: Rc<Activity>,
}

impl Watched {
    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(written, Poll::Ready(Ok(count)) if count > SMALL_TALK) {
            self.activity.wrote_at.set(clock::now());
        }
        written
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
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

#[cfg(test)]
mod tests {
    use h2::client::SendRequest;
    use http::{HeaderMap, Request, Response, StatusCode};
    use tokio::io::duplex;
    use tokio::task::JoinHandle;

    use super::super::downstream::{BodyFraming, HeadOptions};
    use super::super::stream::Plain;
    use super::super::timer::Timers;
    use super::*;
    use crate::http::{BodyLength, ResponseHead, ResponseTo};

    fn settings(idle_ms: Option<u64>) -> Http2Settings {
        let idle = idle_ms.map(Duration::from_millis);
        Http2Settings { limits: HttpLimits::default(), idle, stalled: idle }
    }

    /// A client of a connection whose requests `take_up` answers.
    struct Story {
        client: SendRequest<Bytes>,
        leaving: Rc<Cell<bool>>,
        timers: Rc<Timers>,
        served: JoinHandle<Result<(), BadHttp2>>,
    }

    impl Story {
        async fn begin<R: Future<Output = ()> + 'static>(
            settings: Http2Settings,
            take_up: impl Fn(Http2Request) -> R + 'static,
        ) -> Self {
            let (near, far) = duplex(64 * 1024);
            let timers = Timers::new(clock::refresh());
            tokio::task::spawn_local(Rc::clone(&timers).drive());
            let leaving: Rc<Cell<bool>> = Rc::default();
            let (for_server, is_leaving) = (Rc::clone(&timers), Rc::clone(&leaving));
            let served = tokio::task::spawn_local(async move {
                let timer = for_server.timer();
                run(Stream::Plain(Plain::Memory(near)), settings, &timer, || is_leaving.get(), take_up).await
            });
            let (client, connection) = h2::client::handshake(far).await.unwrap();
            tokio::task::spawn_local(async move {
                let _ = connection.await;
            });
            Story { client, leaving, timers, served }
        }

        async fn send(
            &mut self,
            method: &str,
            uri: &str,
            ends: bool,
        ) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
            let request = Request::builder().method(method).uri(uri).body(()).unwrap();
            std::future::poll_fn(|cx| self.client.poll_ready(cx)).await.unwrap();
            self.client.send_request(request, ends).unwrap()
        }

        async fn ask(&mut self, method: &str, uri: &str) -> Result<Answer, h2::Error> {
            let (response, _) = self.send(method, uri, true).await;
            Answer::read(response.await?).await
        }
    }

    #[derive(Debug)]
    struct Answer {
        head: Response<()>,
        body: Vec<u8>,
        trailers: Option<HeaderMap>,
    }

    impl Answer {
        async fn read(response: Response<h2::RecvStream>) -> Result<Answer, h2::Error> {
            let (parts, mut stream) = response.into_parts();
            let mut body = Vec::new();
            while let Some(data) = stream.data().await {
                let data = data?;
                body.extend_from_slice(&data);
                stream.flow_control().release_capacity(data.len())?;
            }
            let trailers = stream.trailers().await?;
            Ok(Answer { head: Response::from_parts(parts, ()), body, trailers })
        }
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
    struct Taken {
        head: RequestHead,
        stream: Http2Stream,
        bad: Option<BadRequest>,
    }

    impl Http2Request {
        fn take(self) -> Taken {
            let mut head = RequestHead::new();
            let (stream, read) = self.into_parts(&mut head, &HttpLimits::default());
            Taken { head, stream, bad: read.err() }
        }
    }

    impl Taken {
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

    /// Answers with the method, target, host and body of the request, in pieces, with a trailer behind.
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

    #[test]
    fn a_stream_becomes_a_request_and_its_answer_a_response() {
        tell(async {
            let mut story = Story::begin(settings(None), echo).await;
            let answer = story.ask("GET", "http://a.example/x?y").await.unwrap();
            assert_eq!((answer.head.status(), &answer.body[..]), (StatusCode::OK, &b"GET /x?y a.example "[..]));
            assert_eq!(answer.trailers.unwrap()["x-sum"], "7");
            let fields = answer.head.headers();
            assert_eq!(fields.len(), 1, "fields of one hop stay behind: {fields:?}");
            assert_eq!(fields["x-kept"], "yes");
        });
    }

    #[test]
    fn large_bodies_stream_both_ways() {
        tell(async {
            let mut story = Story::begin(settings(None), echo).await;
            let (response, mut upload) = story.send("POST", "http://a.example/", false).await;
            let sent = vec![b'z'; 3_000_000]; // more than every window
            upload.send_data(Bytes::from(sent.clone()), true).unwrap();
            let body = Answer::read(response.await.unwrap()).await.unwrap().body;
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
            };
            let mut story = Story::begin(settings(None), answer).await;
            let (response, mut upload) = story.send("POST", "http://a.example/", false).await;
            upload.send_data(Bytes::from_static(b"some body!"), false).unwrap();
            let fields = [("x-end", "1"), ("content-length", "9"), ("host", "b.example")];
            let trailers = fields.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            upload.send_trailers(HeaderMap::from_iter(trailers)).unwrap();
            let body = Answer::read(response.await.unwrap()).await.unwrap().body;
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
            let mut story = Story::begin(settings(None), answer).await;
            let answer = story.ask("HEAD", "http://a.example/").await.unwrap();
            assert_eq!((answer.head.headers()["content-length"].as_bytes(), answer.body.len()), (&b"5"[..], 0));
        });
    }

    #[test]
    fn interim_responses_come_before_the_answer() {
        tell(async {
            let answer = |request: Http2Request| async move {
                let mut request = request.take();
                let mut hints = head(103, BodyLength::None, ResponseTo::Other);
                hints.add_field(b"Link", b"</style.css>");
                request.stream.interim(&request.head, &hints);
                request.respond(&head(204, BodyLength::None, ResponseTo::Other));
            };
            let mut story = Story::begin(settings(None), answer).await;
            let (mut response, _) = story.send("GET", "http://a.example/", true).await;
            let hints = poll_fn(|cx| response.poll_informational(cx)).await.unwrap().unwrap();
            assert_eq!((hints.status().as_u16(), &hints.headers()["link"]), (103, &"</style.css>".parse().unwrap()));
            assert_eq!(response.await.unwrap().status(), 204);
        });
    }

    #[test]
    fn a_request_that_must_be_refused_leaves_the_connection_alive() {
        tell(async {
            let answer = |request: Http2Request| async move {
                let mut request = request.take();
                let status = request.bad.map_or(200, BadRequest::status);
                request.respond(&head(status, BodyLength::None, ResponseTo::Other));
            };
            let mut story = Story::begin(settings(None), answer).await;
            assert_eq!(story.ask("GET", "http://user@a.example/").await.unwrap().head.status(), 400);
            assert_eq!(story.ask("GET", "http://a.example/").await.unwrap().head.status(), 200);
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
                    if request.head.path() == b"/silent" {
                        poll_fn(|cx| request.stream.poll_gone(cx, &mut request.head)).await;
                    } else {
                        request.respond(&head(200, BodyLength::Chunked, ResponseTo::Other));
                        while request.send(&[0; 9999]).await.is_ok() {}
                    }
                    seen.send(()).unwrap();
                }
            };
            let mut story = Story::begin(settings(None), answer).await;
            drop(story.send("GET", "http://a.example/", true).await.0.await.unwrap());
            gone.recv().await.unwrap();
            let (response, mut stream) = story.send("GET", "http://a.example/silent", true).await;
            stream.send_reset(h2::Reason::CANCEL);
            drop(response);
            gone.recv().await.unwrap();
        });
    }

    #[test]
    fn an_exchange_that_gives_up_resets_its_stream() {
        tell(async {
            let answer = |request: Http2Request| async move {
                let mut request = request.take();
                request.respond(&head(200, BodyLength::Length(100), ResponseTo::Other));
                request.send(b"half").await.unwrap();
            };
            let mut story = Story::begin(settings(None), answer).await;
            let error = story.ask("GET", "http://a.example/").await.unwrap_err();
            assert!(error.is_reset(), "{error}");
        });
    }

    #[test]
    fn an_idle_connection_is_closed() {
        tell(async {
            let mut story = Story::begin(settings(Some(50)), echo).await;
            story.ask("GET", "http://a.example/").await.unwrap();
            story.served.await.unwrap().unwrap();
        });
    }

    #[test]
    fn a_client_that_never_begins_is_cut_off() {
        tell(async {
            let (near, _far) = duplex(1000);
            let timers = Timers::new(clock::refresh());
            tokio::task::spawn_local(Rc::clone(&timers).drive());
            let timer = timers.timer();
            let ended = run(Stream::Plain(Plain::Memory(near)), settings(Some(30)), &timer, || false, echo).await;
            assert!(matches!(ended, Err(BadHttp2::Silent)));
        });
    }

    #[test]
    fn leaving_finishes_what_runs() {
        tell(async {
            let mut story = Story::begin(settings(None), echo).await;
            let (response, mut upload) = story.send("POST", "http://a.example/", false).await;
            upload.send_data(Bytes::from_static(b"first "), false).unwrap();
            tokio::task::yield_now().await;
            story.leaving.set(true);
            story.timers.wake_all();
            tokio::task::yield_now().await;
            upload.send_data(Bytes::from_static(b"last"), true).unwrap();
            let answer = Answer::read(response.await.unwrap()).await.unwrap();
            assert_eq!(answer.body, b"POST / a.example first last");
            drop(story.client);
            story.served.await.unwrap().unwrap();
        });
    }
}
