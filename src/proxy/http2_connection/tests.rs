//! Connections of HTTP/2 clients on streams in memory, told as what hyper's client sees.

use std::io;
use std::pin::Pin;
use std::time::Instant;

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full};
use hyper::client::conn::http2 as client;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::super::downstream::{BodyFraming, HeadOptions};
use super::super::stream::Plain;
use super::super::timer::Timers;
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
        request: idle,
        idle,
        stalled: idle,
    }
}

/// The client's tasks run beside the connection's.
#[derive(Debug, Clone, Copy)]
struct LocalTasks;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for LocalTasks {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}

/// A connection whose requests `run` answers.
fn serve<R: Future<Output = ()> + 'static>(
    settings: Http2Settings,
    near: tokio::io::DuplexStream,
    leaving: Rc<Cell<bool>>,
    run: impl Fn(Http2Request) -> R + 'static,
) -> (tokio::task::JoinHandle<Result<(), BadHttp2>>, Rc<Timers>) {
    let timers = Timers::new(clock::refresh());
    tokio::task::spawn_local(Rc::clone(&timers).drive());
    let for_server = Rc::clone(&timers);
    let served = tokio::task::spawn_local(async move {
        let timer = for_server.timer();
        let take_up = |request, running: Exchanging| {
            let exchange = run(request);
            async move {
                exchange.await;
                drop(running);
            }
        };
        let stream = Stream::Plain(Plain::Memory(near));
        super::run(stream, Vec::new(), settings, &timer, || leaving.get(), take_up, |_| {}).await
    });
    (served, timers)
}

/// A client of a connection whose requests `run` answers, and the connection itself.
async fn connect<R: Future<Output = ()> + 'static>(
    settings: Http2Settings,
    leaving: Rc<Cell<bool>>,
    run: impl Fn(Http2Request) -> R + 'static,
) -> (Sender, tokio::task::JoinHandle<Result<(), BadHttp2>>, Rc<Timers>) {
    let (near, far) = duplex(64 * 1024);
    let (served, timers) = serve(settings, near, leaving, run);
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
fn interim_responses_are_told_as_long_as_they_do_not_pile_up() {
    tell(async {
        let answer = |request: Http2Request| async move {
            let mut request = request.take();
            let mut hint = head(103, BodyLength::None, ResponseTo::Other);
            hint.add_field(b"Link", &[b'x'; 10_000]);
            for _ in 0..1000 {
                request.stream.interim(&request.head, &hint);
            }
            request.respond(&head(200, BodyLength::None, ResponseTo::Other));
        };
        let (near, far) = duplex(64 * 1024);
        serve(settings(None), near, Rc::default(), answer);
        let (mut sender, connection) = h2::client::handshake(far).await.unwrap();
        tokio::task::spawn_local(async move {
            let _ = connection.await;
        });
        let request = Request::get("http://a.example/").body(()).unwrap();
        let (mut response, _) = sender.send_request(request, true).unwrap();
        let mut hints = 0;
        while let Some(hint) = poll_fn(|cx| response.poll_informational(cx)).await {
            assert_eq!(hint.unwrap().status(), StatusCode::EARLY_HINTS);
            hints += 1;
        }
        assert_eq!((response.await.unwrap().status(), hints), (StatusCode::OK, 6), "64 KiB of them");
    });
}

#[test]
fn a_response_with_more_fields_than_the_library_takes_resets_its_stream_alone() {
    tell(async {
        let answer = |request: Http2Request| async move {
            let mut request = request.take();
            let mut answer = head(200, BodyLength::None, ResponseTo::Other);
            let fields = if request.head.target() == b"/large" { 30_000 } else { 10 };
            (0..fields).for_each(|index| answer.add_field(format!("x-{index}").as_bytes(), b"1"));
            request.stream.interim(&request.head, &answer);
            request.respond(&answer);
            let _ = poll_fn(|cx| request.stream.poll_flush(cx)).await;
        };
        let (mut sender, _served, _) = connect(settings(None), Rc::default(), answer).await;
        let request = Request::get("http://a.example/large").body(none()).unwrap();
        assert!(sender.send_request(request).await.is_err());
        let (response, ..) = ask(&mut sender, "GET", "http://a.example/", none()).await;
        assert_eq!(response.headers().len(), 10);
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
fn a_tunnel_that_breaks_is_reset_behind_its_last_bytes() {
    tell(async {
        let answer = |request: Http2Request| async move {
            let mut request = request.take();
            let switched = head(101, BodyLength::None, ResponseTo::Other);
            request.stream.head(&request.head, &switched, HeadOptions { keep_upgrade: true, ..OPTIONS });
            poll_fn(|cx| request.stream.poll_flush(cx)).await.unwrap();
            let mut tunnel = request.stream.open_tunnel().unwrap();
            let mut said = [0; 5];
            tunnel.read_exact(&mut said).await.unwrap();
            tunnel.write_all(&said).await.unwrap();
        };
        let (near, far) = duplex(64 * 1024);
        serve(settings(None), near, Rc::default(), answer);
        let (mut sender, connection) = h2::client::handshake(far).await.unwrap();
        tokio::task::spawn_local(async move {
            let _ = connection.await;
        });
        while !sender.is_extended_connect_protocol_enabled() {
            tokio::task::yield_now().await;
        }
        let websocket = Protocol::from_static("websocket");
        let request = Request::connect("http://a.example/chat").extension(websocket).body(()).unwrap();
        let (response, mut send) = sender.send_request(request, false).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        send.send_data(Bytes::from_static(b"words"), false).unwrap();
        let mut received = response.into_body();
        assert_eq!(received.data().await.unwrap().unwrap(), "words");
        assert_eq!(received.data().await.unwrap().unwrap_err().reason(), Some(h2::Reason::CANCEL));
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

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// A client that says this and no more is not waited for longer than for a request, whatever else may take its time.
#[track_caller]
fn is_not_waited_for(said: &[&[u8]]) {
    tell(async {
        let hour = Some(Duration::from_secs(3600));
        let settings =
            Http2Settings { request: Some(Duration::from_millis(50)), idle: hour, stalled: hour, ..settings(None) };
        let (near, mut far) = duplex(64 * 1024);
        let (served, _timers) = serve(settings, near, Rc::default(), echo);
        far.write_all(&said.concat()).await.unwrap();
        served.await.unwrap().unwrap();
    });
}

#[test]
fn a_request_that_does_not_come_or_not_whole_ends_its_connection() {
    is_not_waited_for(&[]);
    is_not_waited_for(&[&PREFACE[..10]]);
    is_not_waited_for(&[PREFACE]);
    is_not_waited_for(&[PREFACE, SETTINGS]);
    // Half a frame, and a frame that others should follow.
    is_not_waited_for(&[PREFACE, SETTINGS, &[0, 0, 9, 1, 4, 0, 0, 0, 1, 0x82]]);
    is_not_waited_for(&[PREFACE, SETTINGS, &[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82]]);
}

#[test]
fn a_head_may_take_its_own_time_behind_an_earlier_request() {
    tell(async {
        let ms = |ms| Some(Duration::from_millis(ms));
        let settings = Http2Settings { request: ms(3_600_000), idle: ms(50), ..settings(None) };
        let (near, mut far) = duplex(64 * 1024);
        let (_served, timers) = serve(settings, near, Rc::default(), echo);
        let get = |stream, flags| [0, 0, 6, 1, flags, 0, 0, 0, stream, 0x82, 0x86, 0x84, 0x41, 0x01, b'a'];
        far.write_all(&[PREFACE, SETTINGS, &get(1, 5), &get(3, 1)].concat()).await.unwrap();
        let (wait, started) = (timers.timer(), Instant::now());
        while started.elapsed() < Duration::from_millis(150) {
            wait.set_after(ms(10));
            poll_fn(|cx| if wait.poll_expired(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
        }
        far.write_all(&[0, 0, 0, 9, 4, 0, 0, 0, 3]).await.unwrap();
        let mut said = Vec::new();
        // The second answer's end: `x-sum` of a stream 3 as trailers.
        while !said.windows(9).any(|header| header[3] == 1 && header[4] == 5 && header[5..9] == [0, 0, 0, 3]) {
            assert_ne!(far.read_buf(&mut said).await.unwrap(), 0, "{said:?}");
        }
    });
}

/// What becomes of an exchange when its client says this and closes its sending side.
async fn close_behind<R: Future<Output = ()> + 'static>(
    said: &[&[u8]],
    run: impl Fn(Http2Request) -> R + 'static,
) -> Vec<u8> {
    let (near, mut far) = duplex(64 * 1024);
    let (served, _timers) = serve(settings(None), near, Rc::default(), run);
    far.write_all(&[&[PREFACE, SETTINGS], said].concat().concat()).await.unwrap();
    far.shutdown().await.unwrap();
    let mut answer = Vec::new();
    far.read_to_end(&mut answer).await.unwrap();
    served.await.unwrap().unwrap();
    answer
}

const GET: &[u8] = &[0, 0, 6, 1, 5, 0, 0, 0, 1, 0x82, 0x86, 0x84, 0x41, 0x01, b'a'];
const POST: &[u8] = &[0, 0, 6, 1, 4, 0, 0, 0, 1, 0x83, 0x86, 0x84, 0x41, 0x01, b'a'];

#[test]
fn a_client_that_has_closed_its_sending_side_gets_its_answer() {
    tell(async {
        let answer = |request: Http2Request| async move {
            let mut request = request.take();
            for _ in 0..100 {
                tokio::task::yield_now().await; // the end has come long since
            }
            assert_eq!(request.body(BodyFraming::Plain).await, b"");
            request.respond(&head(200, BodyLength::Chunked, ResponseTo::Other));
            request.send(&[b'z'; 60_000]).await.unwrap();
            request.stream.finish(b"");
            poll_fn(|cx| request.stream.poll_flush(cx)).await.unwrap();
        };
        let ended = |said: &[u8]| said.windows(9).any(|header| header[3..] == [0, 1, 0, 0, 0, 1]);
        for request in [&[GET][..], &[POST, &[0, 0, 0, 0, 1, 0, 0, 0, 1]]] {
            let said = close_behind(request, answer).await;
            assert!(said.len() > 60_000 && ended(&said), "{} bytes", said.len());
        }
    });
}

#[test]
fn an_answer_that_waits_for_a_window_is_given_up_when_none_can_come() {
    tell(async {
        for whole in [true, false] {
            // Of the usual window, 65,535 bytes, nothing is left.
            close_behind(&[GET], move |request: Http2Request| async move {
                let mut request = request.take();
                request.respond(&head(200, BodyLength::Chunked, ResponseTo::Other));
                while !whole && request.send(&[b'z'; 50_000]).await.is_ok() {}
                let _ = request.send(&[b'z'; 50_000]).await;
                let _ = request.send(&[b'z'; 50_000]).await;
            })
            .await;
        }
    });
}

#[test]
fn who_waits_for_more_of_a_client_learns_that_it_has_closed() {
    tell(async {
        close_behind(&[POST, &[0, 0, 1, 0, 0, 0, 0, 0, 1, b'x']], |request: Http2Request| async move {
            let mut request = request.take();
            let mut body = Vec::new();
            let Held { stream, head, .. } = &mut request;
            while poll_fn(|cx| stream.poll_body(cx, head, BodyFraming::Plain, &mut body)).await.is_ok() {}
        })
        .await;
        // `option abortonclose`.
        close_behind(&[GET], |request: Http2Request| async move {
            let Held { mut stream, mut head, .. } = request.take();
            poll_fn(|cx| stream.poll_left(cx, &mut head, true)).await;
        })
        .await;
    });
}

/// A body sent piece by piece.
struct Pieces(tokio::sync::mpsc::UnboundedReceiver<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
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
