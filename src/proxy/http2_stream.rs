//! One request of an HTTP/2 connection, as an exchange sees it.
//!
//! hyper wants a whole `Response` with a body it polls; an exchange wants to push. Between them stands a [`Pipe`] with
//! room for one piece: the exchange waits while the client's flow control does not take it, which is the back-pressure.
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
use crate::http::{BodyLength, RequestHead, ResponseHead, chunk_header, end_chunks};

/// One stream. Dropping it before its response has ended resets the stream.
#[derive(Debug)]
pub(crate) struct Http2Stream {
    body: Incoming,
    body_done: bool,
    pipe: Rc<RefCell<Pipe>>,
    received: u64,
    sent: u64,
}

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

    /// Ready when hyper has taken all it was given.
    fn poll_empty(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.client_gone {
            return Poll::Ready(Err(gone()));
        }
        if self.head.is_none() && self.data.is_none() {
            return Poll::Ready(Ok(()));
        }
        self.producer = Some(cx.waker().clone());
        Poll::Pending
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
        (stream, Reply { pipe, _counted: Counted::new(replies) })
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
            self.end_body(None, framing, out);
            return Poll::Ready(Ok(true));
        };
        let frame = frame.map_err(|_| BodyError::Gone(gone()))?;
        match frame.into_data() {
            Ok(data) => {
                self.received += data.len() as u64;
                if framing == BodyFraming::Chunked && !data.is_empty() {
                    chunk_header(data.len(), out);
                    out.extend_from_slice(&data);
                    out.extend_from_slice(b"\r\n");
                } else {
                    out.extend_from_slice(&data);
                }
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
        *head.status_mut() = StatusCode::from_u16(response.status()).unwrap_or(StatusCode::BAD_GATEWAY);
        for (name, value) in response.end_to_end() {
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
        pipe.producer = Some(cx.waker().clone());
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
#[derive(Debug)]
pub(crate) struct Reply {
    pipe: Rc<RefCell<Pipe>>,
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
    /// The response, once the exchange has sent its head.
    pub async fn head(self) -> Result<Response<Reply>, Broken> {
        let head = poll_fn(|cx| {
            let mut pipe = self.pipe.borrow_mut();
            match pipe.head.take() {
                Some(head) => {
                    pipe.wake_producer();
                    Poll::Ready(Ok(head))
                }
                None if pipe.state != PipeState::Open => Poll::Ready(Err(Broken)),
                None => {
                    pipe.consumer = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await?;
        Ok(head.map(|()| self))
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let mut pipe = self.pipe.borrow_mut();
        if let Some(data) = pipe.data.take() {
            pipe.wake_producer();
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        match pipe.state {
            PipeState::Ended => Poll::Ready(pipe.trailers.take().map(|trailers| Ok(Frame::trailers(trailers)))),
            PipeState::Breaking => {
                pipe.state = PipeState::Broken;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            PipeState::Broken => Poll::Ready(Some(Err(Broken))),
            PipeState::Open => {
                pipe.consumer = Some(cx.waker().clone());
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
    }
}
