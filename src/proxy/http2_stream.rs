//! One request of an HTTP/2 connection, as an exchange sees it.
//!
//! hyper wants a whole `Response` with a body it polls; an exchange wants to push. Between them stands a [`Pipe`] with
//! room for one piece: the exchange waits while the client's flow control does not take it, which is the back-pressure.
//!
//! The exchange runs inside hyper's own task of the stream until the response's head is there, and to its end when all of
//! the response came at once, as most do. Only what goes on longer becomes a task of its own: hyper does not poll a body
//! while the client's flow control blocks it, and an upload and the timeouts must go on then.
//!
//! Left out, because hyper's server cannot send it: interim responses.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::downstream::{BodyError, BodyFraming, Downstream, HeadOptions};
use crate::http::{BodyLength, RequestHead, ResponseHead, end_chunks};

/// One stream. Dropping it before its response has ended resets the stream.
#[derive(Debug)]
pub(crate) struct Http2Stream {
    body: Incoming,
    body_done: bool,
    pipe: Rc<RefCell<Pipe>>,
    received: u64,
    sent: u64,
}

/// An exchange that is not over.
pub(crate) type Work = Pin<Box<dyn Future<Output = ()>>>;

/// From an exchange to hyper.
#[derive(Debug, Default)]
struct Pipe {
    head: Option<Response<()>>,
    data: Option<Bytes>,
    trailers: Option<HeaderMap>,
    state: PipeState,
    /// hyper let go of its end: the client reset the stream, or its connection is gone.
    client_gone: bool,
    producer: Option<Waker>,
    consumer: Option<Waker>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum PipeState {
    #[default]
    Open,
    Ended,
    /// The exchange gave up in the middle: the stream is to be reset, once the connection had a turn to write what
    /// there was. A reset drops what is queued.
    Breaking,
    Broken,
}

impl Pipe {
    fn wake_consumer(&mut self) {
        if let Some(consumer) = self.consumer.take() {
            consumer.wake();
        }
    }

    fn wake_producer(&mut self) {
        if let Some(producer) = self.producer.take() {
            producer.wake();
        }
    }

    /// Wakes hyper's task when there is something for it.
    fn wait_for_producer(&mut self, cx: &Context<'_>) {
        keep_waker(&mut self.consumer, cx);
    }

    /// Ready when hyper has taken all it was given.
    fn poll_empty(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.client_gone {
            return Poll::Ready(Err(gone()));
        }
        if self.head.is_none() && self.data.is_none() {
            return Poll::Ready(Ok(()));
        }
        keep_waker(&mut self.producer, cx);
        Poll::Pending
    }
}

/// Cloning a waker costs an atomic operation, and it is the same one nearly always.
fn keep_waker(place: &mut Option<Waker>, cx: &Context<'_>) {
    if !place.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
        *place = Some(cx.waker().clone());
    }
}

fn gone() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
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

impl Http2Stream {
    /// The exchange's end, and hyper's, which lives until all of the response is handed to the connection.
    pub fn new(body: Incoming, replies: &Rc<Cell<u32>>) -> (Self, Reply) {
        let pipe = Rc::new(RefCell::new(Pipe::default()));
        let body_done = body.is_end_stream();
        let stream = Http2Stream { body, body_done, pipe: Rc::clone(&pipe), received: 0, sent: 0 };
        (stream, Reply { pipe, work: None, _counted: Counted::new(replies) })
    }

    /// The whole response was given to the connection.
    pub fn is_answered(&self) -> bool {
        self.pipe.borrow().state == PipeState::Ended
    }

    fn end_body(&mut self, trailers: Option<&HeaderMap>, framing: BodyFraming, out: &mut Vec<u8>) {
        self.body_done = true;
        if framing == BodyFraming::Chunked {
            let fields = trailers.into_iter().flatten();
            end_chunks(fields.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())), out);
        }
    }
}

impl Downstream for Http2Stream {
    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        _request: &mut RequestHead,
        framing: BodyFraming,
        out: &mut Vec<u8>,
    ) -> Poll<Result<bool, BodyError>> {
        if self.body_done {
            return Poll::Ready(Ok(true));
        }
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else {
            if !self.body.is_end_stream() {
                // Reset with NO_ERROR: the library takes that for an end, but no server may take half a request for all.
                return Poll::Ready(Err(BodyError::Gone(gone())));
            }
            self.end_body(None, framing, out);
            return Poll::Ready(Ok(true));
        };
        let frame = frame.map_err(|_| BodyError::Gone(gone()))?;
        match frame.into_data() {
            Ok(data) => {
                self.received += data.len() as u64;
                framing.append(&data, out);
                if self.body.is_end_stream() {
                    self.end_body(None, framing, out);
                }
            }
            Err(other) => self.end_body(other.trailers_ref(), framing, out),
        }
        Poll::Ready(Ok(self.body_done))
    }

    fn body_is_done(&self) -> bool {
        self.body_done
    }

    fn interim(&mut self, _request: &RequestHead, _response: &ResponseHead) {}

    fn head(&mut self, _request: &RequestHead, response: &ResponseHead, options: HeadOptions) {
        let mut head = Response::new(());
        // What HTTP/1 calls switching protocols is a success here (RFC 8441 §5).
        let switched = options.keep_upgrade && response.status() == 101;
        let status = if switched { 200 } else { response.status() };
        *head.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        head.headers_mut().reserve(response.fields().len());
        for (name, value) in response.end_to_end() {
            if switched && name.eq_ignore_ascii_case(b"sec-websocket-accept") {
                continue; // answers the key that only the server knows
            }
            self.sent += append(head.headers_mut(), name, value);
        }
        if options.no_store {
            head.headers_mut().insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        let mut pipe = self.pipe.borrow_mut();
        pipe.head = Some(head);
        if matches!(response.body(), BodyLength::None | BodyLength::Length(0)) {
            pipe.state = PipeState::Ended;
        }
        pipe.wake_consumer();
    }

    fn poll_data(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut pipe = self.pipe.borrow_mut();
        if pipe.data.is_some() || pipe.client_gone {
            ready!(pipe.poll_empty(cx))?;
        }
        self.sent += bytes.len() as u64;
        pipe.data = Some(Bytes::copy_from_slice(bytes));
        pipe.wake_consumer();
        Poll::Ready(Ok(bytes.len()))
    }

    fn takes_bulk(&self) -> bool {
        false
    }

    fn finish(&mut self, trailers: &[u8]) {
        let mut map = HeaderMap::new();
        for line in trailers.split(|byte| *byte == b'\n') {
            let line = line.trim_ascii_end();
            if let Some(colon) = memchr::memchr(b':', line) {
                self.sent += append(&mut map, &line[..colon], line[colon + 1..].trim_ascii_start());
            }
        }
        let mut pipe = self.pipe.borrow_mut();
        pipe.trailers = (!map.is_empty()).then_some(map);
        pipe.state = PipeState::Ended;
        pipe.wake_consumer();
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe.borrow_mut().poll_empty(cx)
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>, _request: &mut RequestHead) -> Poll<io::Error> {
        let mut pipe = self.pipe.borrow_mut();
        if pipe.client_gone {
            return Poll::Ready(gone());
        }
        keep_waker(&mut pipe.producer, cx);
        Poll::Pending
    }

    /// Fields count as HTTP/1 would have sent them, so that numbers compare.
    fn transferred(&self) -> (u64, u64) {
        (self.received, self.sent)
    }
}

/// Returns the bytes this field would take in HTTP/1. What HTTP/2 cannot carry is left out: names and values were
/// checked by our own parser, which is as strict.
fn append(map: &mut HeaderMap, name: &[u8], value: &[u8]) -> u64 {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
        map.append(name, value);
    }
    (name.len() + value.len() + 4) as u64
}

impl Drop for Http2Stream {
    fn drop(&mut self) {
        let mut pipe = self.pipe.borrow_mut();
        if pipe.state == PipeState::Open {
            pipe.state = PipeState::Breaking;
        }
        pipe.wake_consumer();
    }
}

/// hyper's end of the pipe: waits for the head, then is the body.
pub(crate) struct Reply {
    pipe: Rc<RefCell<Pipe>>,
    /// The exchange, while it runs in here.
    work: Option<Work>,
    _counted: Counted,
}

/// The exchange ended without a whole response.
#[derive(Debug)]
pub(crate) struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("response was cut")
    }
}

impl std::error::Error for Broken {}

impl Reply {
    /// The response, once the exchange `work` has sent its head.
    pub async fn head(mut self, work: Work) -> Result<Response<Reply>, Broken> {
        self.work = Some(work);
        let head = poll_fn(|cx| {
            self.poll_work(cx);
            let mut pipe = self.pipe.borrow_mut();
            match pipe.head.take() {
                Some(head) => {
                    pipe.wake_producer();
                    Poll::Ready(Ok(head))
                }
                None if pipe.state != PipeState::Open => Poll::Ready(Err(Broken)),
                None => {
                    pipe.wait_for_producer(cx);
                    Poll::Pending
                }
            }
        })
        .await?;
        if !self.all_is_there() {
            self.set_free();
        }
        Ok(head.map(|()| self))
    }

    fn all_is_there(&self) -> bool {
        self.pipe.borrow().state == PipeState::Ended
    }

    fn poll_work(&mut self, cx: &mut Context<'_>) {
        // Taken out while it is polled: one that panics is not polled again.
        if let Some(mut work) = self.work.take()
            && work.as_mut().poll(cx).is_pending()
        {
            self.work = Some(work);
        }
    }

    /// Lets the exchange go on by itself.
    fn set_free(&mut self) {
        if let Some(work) = self.work.take() {
            tokio::task::spawn_local(work);
        }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        let data = this.pipe.borrow_mut().data.take();
        if let Some(data) = data {
            this.pipe.borrow_mut().wake_producer();
            if this.work.is_some() {
                // All of the response is there: what is left to do is to account for it. A client that is still sending
                // is listened to elsewhere.
                this.poll_work(cx);
                this.set_free();
            }
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let mut pipe = this.pipe.borrow_mut();
        match pipe.state {
            PipeState::Ended => Poll::Ready(pipe.trailers.take().map(|trailers| Ok(Frame::trailers(trailers)))),
            PipeState::Breaking => {
                pipe.state = PipeState::Broken;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            PipeState::Broken => Poll::Ready(Some(Err(Broken))),
            PipeState::Open => {
                pipe.wait_for_producer(cx);
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let pipe = self.pipe.borrow();
        pipe.data.is_none() && pipe.trailers.is_none() && pipe.state == PipeState::Ended
    }

    /// Lengths are told by the response's own Content-Length.
    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let mut pipe = self.pipe.borrow_mut();
        // With all of it taken, this is how a response ends well.
        pipe.client_gone = pipe.state != PipeState::Ended || pipe.head.is_some() || pipe.data.is_some();
        pipe.wake_producer();
        drop(pipe);
        self.set_free();
    }
}
