//! One request of an HTTP/2 connection, from the exchange's side: a body to read, a response to write piece by piece.
//!
//! hyper wants a whole `Response` with a body it polls; an exchange wants to push. Between them stands a [`Pipe`] of
//! one frame: the exchange waits while the client's flow control does not take it, which is the back-pressure.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::http::ResponseHead;

/// The client reset the stream or lost its connection. Nothing more can be told to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientGone;

impl fmt::Display for ClientGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("client reset its stream")
    }
}

impl std::error::Error for ClientGone {}

/// A piece of a request's body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    Data(Bytes),
    Trailers(HeaderMap),
    End,
}

/// What follows a response's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Follows {
    /// No body: the stream ends with the head.
    Nothing,
    Body,
}

/// One stream. Dropping it before its response has ended resets the stream.
#[derive(Debug)]
pub(crate) struct Http2Stream {
    body: Incoming,
    pipe: Rc<RefCell<Pipe>>,
}

/// From an exchange to hyper.
#[derive(Debug, Default)]
struct Pipe {
    head: Option<Response<()>>,
    frame: Option<Frame<Bytes>>,
    state: PipeState,
    /// hyper let go of its end.
    client_gone: bool,
    producer: Option<Waker>,
    consumer: Option<Waker>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum PipeState {
    #[default]
    Open,
    Ended,
    /// The exchange gave up in the middle: the stream is to be reset.
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
        (Http2Stream { body, pipe: Rc::clone(&pipe) }, Reply { pipe, _counted: Counted::new(replies) })
    }

    /// The next piece of the request's body. What is not asked for stays with the client.
    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, ClientGone>> {
        Pin::new(&mut self.body).poll_frame(cx).map(|frame| match frame {
            None => Ok(Received::End),
            Some(Err(_)) => Err(ClientGone),
            Some(Ok(frame)) => Ok(match frame.into_data() {
                Ok(data) => Received::Data(data),
                Err(other) => other.into_trailers().map_or(Received::End, Received::Trailers),
            }),
        })
    }

    pub async fn read(&mut self) -> Result<Received, ClientGone> {
        poll_fn(|cx| self.poll_read(cx)).await
    }

    /// No body comes, or it has been read to its end.
    pub fn has_read_all(&self) -> bool {
        self.body.is_end_stream()
    }

    /// Sends the head. At most once; interim responses cannot be sent over hyper and are left out by the caller.
    pub fn respond(&mut self, head: &ResponseHead, follows: Follows) {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(head.status()).unwrap_or(StatusCode::BAD_GATEWAY);
        for (name, value) in head.end_to_end() {
            append(response.headers_mut(), name, value);
        }
        let mut pipe = self.pipe.borrow_mut();
        pipe.head = Some(response);
        if follows == Follows::Nothing {
            pipe.state = PipeState::Ended;
        }
        pipe.wake_consumer();
    }

    /// Ready when [`send`](Self::send) may be called.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientGone>> {
        let mut pipe = self.pipe.borrow_mut();
        if pipe.client_gone {
            return Poll::Ready(Err(ClientGone));
        }
        if pipe.frame.is_none() {
            return Poll::Ready(Ok(()));
        }
        pipe.producer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Hands over body bytes, after [`poll_ready`](Self::poll_ready). `last`: nothing follows.
    pub fn send(&mut self, bytes: Bytes, last: bool) {
        self.put(Some(Frame::data(bytes)), last);
    }

    /// Ends the response without trailers.
    pub fn end(&mut self) {
        self.put(None, true);
    }

    /// Ends the response with these trailers, after [`poll_ready`](Self::poll_ready).
    pub fn end_with<'f>(&mut self, trailers: impl Iterator<Item = (&'f [u8], &'f [u8])>) {
        let mut map = HeaderMap::new();
        trailers.for_each(|(name, value)| append(&mut map, name, value));
        self.put((!map.is_empty()).then(|| Frame::trailers(map)), true);
    }

    fn put(&mut self, frame: Option<Frame<Bytes>>, last: bool) {
        let mut pipe = self.pipe.borrow_mut();
        debug_assert!(frame.is_none() || pipe.frame.is_none(), "poll_ready was not asked");
        if frame.is_some() {
            pipe.frame = frame;
        }
        if last {
            pipe.state = PipeState::Ended;
        }
        pipe.wake_consumer();
    }

    /// Waits for room, then hands the bytes over.
    pub async fn send_all(&mut self, bytes: Bytes, last: bool) -> Result<(), ClientGone> {
        poll_fn(|cx| self.poll_ready(cx)).await?;
        self.send(bytes, last);
        Ok(())
    }

    /// Ready once the client has reset the stream or is gone.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut pipe = self.pipe.borrow_mut();
        if pipe.client_gone {
            return Poll::Ready(());
        }
        pipe.producer = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// What HTTP/2 cannot carry is left out: names and values were checked by our own parser, which is as strict.
fn append(map: &mut HeaderMap, name: &[u8], value: &[u8]) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
        map.append(name, value);
    }
}

impl Drop for Http2Stream {
    fn drop(&mut self) {
        let mut pipe = self.pipe.borrow_mut();
        if pipe.state == PipeState::Open {
            pipe.state = PipeState::Broken;
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
                Some(head) => Poll::Ready(Ok(head)),
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
        if let Some(frame) = pipe.frame.take() {
            pipe.wake_producer();
            return Poll::Ready(Some(Ok(frame)));
        }
        match pipe.state {
            PipeState::Ended => Poll::Ready(None),
            PipeState::Broken => Poll::Ready(Some(Err(Broken))),
            PipeState::Open => {
                pipe.consumer = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let pipe = self.pipe.borrow();
        pipe.frame.is_none() && pipe.state == PipeState::Ended
    }

    /// Lengths are told by the response's own Content-Length.
    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let mut pipe = self.pipe.borrow_mut();
        pipe.client_gone = true;
        pipe.wake_producer();
    }
}
