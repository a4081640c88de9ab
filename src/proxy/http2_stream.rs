//! One request of an HTTP/2 connection, as an exchange sees it.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::downstream::{BodyError, BodyFraming, Downstream, HeadOptions};
use crate::http::{BodyLength, RequestHead, ResponseHead, chunk_header, end_chunks};

/// One stream. Dropping it before its response has ended resets the stream, behind the bytes it was given.
pub(crate) struct Http2Stream {
    body: RecvStream,
    body_state: BodyState,
    reply: SendResponse<Bytes>,
    response: ResponseState,
    received: u64,
    sent: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyState {
    Data,
    Trailers,
    Done,
}

enum ResponseState {
    Due,
    /// `left`: bytes of the body still to be sent, where its length is known.
    Body {
        stream: SendStream<Bytes>,
        left: Option<u64>,
    },
    Ended,
    /// The client was gone before it could be told anything.
    Lost,
}

fn gone() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

impl Http2Stream {
    pub fn new(body: RecvStream, reply: SendResponse<Bytes>) -> Self {
        let body_state = if body.is_end_stream() { BodyState::Done } else { BodyState::Data };
        Http2Stream { body, body_state, reply, response: ResponseState::Due, received: 0, sent: 0 }
    }

    fn take_data(&mut self, data: &[u8], framing: BodyFraming, out: &mut Vec<u8>) {
        self.received += data.len() as u64;
        if framing == BodyFraming::Chunked && !data.is_empty() {
            chunk_header(data.len(), out);
            out.extend_from_slice(data);
            out.extend_from_slice(b"\r\n");
        } else {
            out.extend_from_slice(data);
        }
        // The client may send as much again. An error means that the stream has ended, which the next read tells.
        let _ = self.body.flow_control().release_capacity(data.len());
        if self.body.is_end_stream() {
            self.end_body(None, framing, out);
        }
    }

    fn end_body(&mut self, trailers: Option<&HeaderMap>, framing: BodyFraming, out: &mut Vec<u8>) {
        self.body_state = BodyState::Done;
        if framing == BodyFraming::Chunked {
            let fields = trailers.into_iter().flatten();
            end_chunks(fields.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())), out);
        }
    }

    fn fields_of(&mut self, response: &ResponseHead) -> Response<()> {
        let mut head = Response::new(());
        *head.status_mut() = StatusCode::from_u16(response.status()).unwrap_or(StatusCode::BAD_GATEWAY);
        for (name, value) in response.end_to_end() {
            self.sent += append(head.headers_mut(), name, value);
        }
        head
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
        if self.body_state == BodyState::Data {
            match ready!(self.body.poll_data(cx)) {
                Some(Ok(data)) => self.take_data(&data, framing, out),
                Some(Err(_)) => return Poll::Ready(Err(BodyError::Gone(gone()))),
                None => self.body_state = BodyState::Trailers,
            }
        }
        if self.body_state == BodyState::Trailers {
            let trailers = ready!(self.body.poll_trailers(cx)).map_err(|_| BodyError::Gone(gone()))?;
            self.end_body(trailers.as_ref(), framing, out);
        }
        Poll::Ready(Ok(self.body_is_done()))
    }

    fn body_is_done(&self) -> bool {
        self.body_state == BodyState::Done
    }

    fn interim(&mut self, _request: &RequestHead, response: &ResponseHead) {
        let head = self.fields_of(response);
        // A client that is gone is found out about by whoever waits for it.
        let _ = self.reply.send_informational(head);
    }

    fn head(&mut self, _request: &RequestHead, response: &ResponseHead, options: HeadOptions) {
        let mut head = self.fields_of(response);
        if options.no_store {
            head.headers_mut().insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        let left = match response.body() {
            BodyLength::None => Some(0),
            BodyLength::Length(length) => Some(length),
            BodyLength::Chunked | BodyLength::UntilClose => None,
        };
        self.response = match self.reply.send_response(head, left == Some(0)) {
            Err(_) => ResponseState::Lost,
            Ok(_) if left == Some(0) => ResponseState::Ended,
            Ok(stream) => ResponseState::Body { stream, left },
        };
    }

    fn poll_data(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let ResponseState::Body { stream, left } = &mut self.response else { return Poll::Ready(Err(gone())) };
        stream.reserve_capacity(bytes.len());
        let mut capacity = stream.capacity();
        while capacity == 0 {
            capacity = match ready!(stream.poll_capacity(cx)) {
                Some(Ok(capacity)) => capacity,
                Some(Err(_)) | None => return Poll::Ready(Err(gone())),
            };
        }
        let bytes = &bytes[..bytes.len().min(capacity)];
        let last = left.as_mut().is_some_and(|left| {
            *left = left.saturating_sub(bytes.len() as u64);
            *left == 0
        });
        stream.send_data(Bytes::copy_from_slice(bytes), last).map_err(|_| gone())?;
        self.sent += bytes.len() as u64;
        if last {
            self.response = ResponseState::Ended;
        }
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
        let ResponseState::Body { stream, .. } = &mut self.response else { return };
        let ended = if map.is_empty() { stream.send_data(Bytes::new(), true) } else { stream.send_trailers(map) };
        self.response = if ended.is_ok() { ResponseState::Ended } else { ResponseState::Lost };
    }

    /// What was sent is with the connection, which writes it as the client takes it.
    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(if matches!(self.response, ResponseState::Lost) { Err(gone()) } else { Ok(()) })
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>, _request: &mut RequestHead) -> Poll<io::Error> {
        let reset = match &mut self.response {
            ResponseState::Due => self.reply.poll_reset(cx),
            ResponseState::Body { stream, .. } => stream.poll_reset(cx),
            ResponseState::Ended => return Poll::Pending,
            ResponseState::Lost => return Poll::Ready(gone()),
        };
        reset.map(|_| gone())
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
