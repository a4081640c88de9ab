//! One request of an HTTP/2 connection, as an exchange sees it.
//!
//! An exchange pushes its response into the stream, which takes one piece more once its client's window and the room for
//! what is unsent allow it: that is the back-pressure. The last piece is held back until it is known to be the last, so
//! that it ends the stream itself.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::downstream::{BodyError, BodyFraming, Downstream, HeadOptions, Left};
use super::http2_io::{Counted, Cut, Seen, TooManyFields, append, gone, poll_room, read_trailers};
use super::http2_tunnel::Http2Tunnel;
use crate::http::{BodyLength, RequestHead, ResponseHead, end_chunks, write_trailers};

/// Bytes of interim responses that one stream may have. Nothing holds a client's headers back, so whoever does not take
/// them would make them pile up here; what is more is left out.
const INTERIM_LIMIT: usize = 64 * 1024;
/// What one takes besides its fields, about.
const INTERIM_COST: usize = 64;

/// How much room a piece needs before it is given to the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    /// Any will do: what has none waits in the connection, one piece at most.
    Any,
    /// Room for all of it. Nobody who gives up a client that does not take its last bytes is there behind them.
    Whole,
}

/// One stream. Dropping it before its response has ended resets the stream.
#[derive(Debug)]
pub(crate) struct Http2Stream {
    /// Gone with the tunnel, if the stream has become one.
    body: Option<RecvStream>,
    body_done: bool,
    /// Lines behind a body of known length.
    request_trailers: Vec<u8>,
    respond: SendResponse<Bytes>,
    /// Once the head was sent.
    send: Option<SendStream<Bytes>>,
    /// What is to be sent next, in this order.
    head: Option<Response<()>>,
    data: Option<Bytes>,
    trailers: Option<HeaderMap>,
    /// Nothing follows what is to be sent.
    ended: bool,
    /// The end has been sent, or the stream has become a tunnel.
    closed: bool,
    /// The response's head is more than the library takes: the stream can only be reset.
    unsendable: bool,
    /// What the stream is reset with, unless it ends as it should.
    reset: Reason,
    /// Bytes of interim responses so far.
    interim: usize,
    cut: Rc<Cut>,
    seen: Rc<Seen>,
    /// Once its client's leaving is to end it.
    listening: Option<Counted>,
    /// While there is no room for what it has to send.
    blocked: Option<Counted>,
    /// Its client has taken some of a piece since that was last asked.
    took_some: bool,
    received: u64,
    sent: u64,
}

impl Http2Stream {
    /// `is_tunnel`: what its client sends is no body, but belongs to the tunnel it asks for.
    pub fn new(
        body: RecvStream,
        respond: SendResponse<Bytes>,
        is_tunnel: bool,
        cut: &Rc<Cut>,
        seen: &Rc<Seen>,
    ) -> Self {
        Http2Stream {
            body_done: is_tunnel || body.is_end_stream(),
            body: Some(body),
            request_trailers: Vec::new(),
            respond,
            send: None,
            head: None,
            data: None,
            trailers: None,
            ended: false,
            closed: false,
            unsendable: false,
            reset: Reason::INTERNAL_ERROR,
            interim: 0,
            cut: Rc::clone(cut),
            seen: Rc::clone(seen),
            listening: None,
            blocked: None,
            took_some: false,
            received: 0,
            sent: 0,
        }
    }

    /// The whole response was given to the connection.
    pub fn is_answered(&self) -> bool {
        self.closed
    }

    /// The tunnel it has become by its answer, which has been sent.
    pub fn open_tunnel(&mut self) -> Option<Http2Tunnel> {
        let (body, send) = (self.body.take()?, self.send.take()?);
        self.closed = true;
        self.listen();
        Some(Http2Tunnel::new(body, send, Rc::clone(&self.cut)))
    }

    /// There is no room for what it has to send.
    fn block(&mut self) {
        if self.blocked.is_none() {
            self.blocked = Some(self.seen.block());
            if self.seen.holds_end() {
                self.cut.wake_connection();
            }
        }
    }

    /// From now on the end of its client's sending side is the end.
    fn listen(&mut self) {
        if self.listening.is_none() {
            self.listening = Some(self.seen.listen());
            self.cut.wake_connection();
        }
    }

    fn end_body(&mut self, trailers: Option<&HeaderMap>, framing: BodyFraming, out: &mut Vec<u8>) {
        self.body_done = true;
        let fields = trailers.into_iter().flatten().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        match framing {
            BodyFraming::Chunked => end_chunks(fields, out),
            BodyFraming::Plain => write_trailers(fields, &mut self.request_trailers),
        }
    }
}

impl Http2Stream {
    /// Sends what is to be sent as far as the client takes it; ready when nothing is left.
    fn poll_send(&mut self, cx: &mut Context<'_>, wanted: Room) -> Poll<io::Result<()>> {
        self.send_head()?;
        while let (Some(data), Some(send)) = (&mut self.data, &mut self.send) {
            let needed = if wanted == Room::Whole { data.len() } else { 1 };
            let room = poll_room(send, needed, cx);
            if room.is_pending() {
                self.block();
                return Poll::Pending;
            }
            self.blocked = None;
            let room = ready!(room)?;
            if room >= needed {
                break;
            }
            send.send_data(data.split_to(room), false).map_err(gone)?;
            self.took_some = true;
        }
        Poll::Ready(self.send_rest())
    }

    fn send_head(&mut self) -> io::Result<()> {
        if self.unsendable {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let Some(head) = self.head.take() else { return Ok(()) };
        let is_all = self.ended && self.data.is_none() && self.trailers.is_none();
        self.send = Some(self.respond.send_response(head, is_all).map_err(gone)?);
        self.closed = is_all;
        Ok(())
    }

    fn send_rest(&mut self) -> io::Result<()> {
        let Some(send) = &mut self.send else { return Ok(()) };
        if let Some(data) = self.data.take() {
            self.closed = self.ended && self.trailers.is_none();
            send.send_data(data, self.closed).map_err(gone)?;
        }
        if self.ended && !self.closed {
            self.closed = true;
            match self.trailers.take() {
                Some(trailers) => send.send_trailers(trailers),
                None => send.send_data(Bytes::new(), true),
            }
            .map_err(gone)?;
        }
        Ok(())
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
        let Some(body) = self.body.as_mut().filter(|_| !self.body_done) else { return Poll::Ready(Ok(true)) };
        let lost = |error| BodyError::Gone(gone(error));
        match ready!(body.poll_data(cx)) {
            Some(data) => {
                let data = data.map_err(lost)?;
                let _ = body.flow_control().release_capacity(data.len()); // a stream that is gone has no window
                self.received += data.len() as u64;
                framing.append(&data, out);
                if body.is_end_stream() {
                    self.end_body(None, framing, out);
                }
            }
            None => {
                let trailers = ready!(body.poll_trailers(cx)).map_err(lost)?;
                self.end_body(trailers.as_ref(), framing, out);
            }
        }
        Poll::Ready(Ok(self.body_done))
    }

    fn body_is_done(&self) -> bool {
        self.body_done
    }

    fn request_trailers(&self) -> &[u8] {
        &self.request_trailers
    }

    fn takes_trailers(&self) -> bool {
        true
    }

    fn interim(&mut self, _request: &RequestHead, response: &ResponseHead) {
        let Ok(status) = StatusCode::from_u16(response.status()) else { return };
        let (mut head, mut bytes) = (Response::new(()), 0);
        *head.status_mut() = status;
        for (name, value) in response.end_to_end() {
            let Ok(taken) = append(head.headers_mut(), name, value) else { return };
            bytes += taken;
        }
        self.interim += bytes as usize + INTERIM_COST;
        // One that cannot be told is left out; what follows meets the same trouble.
        if self.interim <= INTERIM_LIMIT && self.respond.send_informational(head).is_ok() {
            self.sent += bytes;
        }
    }

    fn head(&mut self, _request: &RequestHead, response: &ResponseHead, options: HeadOptions) {
        // What HTTP/1 calls switching protocols is a success here (RFC 8441 §5).
        let switched = options.keep_upgrade && response.status() == 101;
        match response_head(response, switched, options.no_store) {
            Ok((head, bytes)) => {
                self.head = Some(head);
                self.sent += bytes;
                self.ended = !switched && response.body() == BodyLength::None;
            }
            Err(many) => {
                tracing::debug!(%many, "response cannot go over HTTP/2");
                self.unsendable = true;
            }
        }
    }

    fn poll_data(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.data.is_some() {
            ready!(self.poll_send(cx, Room::Any))?;
        }
        self.sent += bytes.len() as u64;
        self.data = Some(Bytes::copy_from_slice(bytes));
        Poll::Ready(Ok(bytes.len()))
    }

    fn takes_bulk(&self) -> bool {
        false
    }

    fn finish(&mut self, trailers: &[u8]) {
        let (map, bytes) = read_trailers(trailers);
        self.sent += bytes;
        self.trailers = map;
        self.ended = true;
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(cx, Room::Whole)
    }

    fn took_some(&mut self) -> bool {
        std::mem::take(&mut self.took_some)
    }

    fn tells_of_leaving(&self) -> bool {
        true
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>, _request: &mut RequestHead) -> Poll<io::Error> {
        let reset = match &mut self.send {
            _ if self.closed => return Poll::Pending, // nobody is left to wait for
            Some(send) => send.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        };
        reset.map(|_| io::ErrorKind::ConnectionReset.into())
    }

    fn poll_left(&mut self, cx: &mut Context<'_>, request: &mut RequestHead, or_closed: bool) -> Poll<Left> {
        if or_closed {
            self.listen();
        }
        self.poll_gone(cx, request).map(|_| Left::Broken)
    }

    /// By a reset that says so (RFC 9113 §8.7).
    fn hand_back(&mut self) -> bool {
        let silent = self.interim == 0 && self.head.is_none() && self.send.is_none();
        if silent {
            self.reset = Reason::REFUSED_STREAM;
        }
        silent
    }

    /// Fields count as HTTP/1 would have sent them, so that numbers compare.
    fn transferred(&self) -> (u64, u64) {
        (self.received, self.sent)
    }
}

/// A response's head as the library wants it, and the bytes its fields would take in HTTP/1.
fn response_head(
    response: &ResponseHead,
    switched: bool,
    no_store: bool,
) -> Result<(Response<()>, u64), TooManyFields> {
    let (mut head, mut bytes) = (Response::new(()), 0);
    let status = if switched { 200 } else { response.status() };
    *head.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let fields = head.headers_mut();
    fields.try_reserve(response.fields().len()).map_err(|_| TooManyFields)?;
    for (name, value) in response.end_to_end() {
        if switched && name.eq_ignore_ascii_case(b"sec-websocket-accept") {
            continue; // answers the key that only the server knows
        }
        bytes += append(fields, name, value)?;
    }
    if no_store {
        fields.try_insert(CACHE_CONTROL, HeaderValue::from_static("no-store")).map_err(|_| TooManyFields)?;
    }
    Ok((head, bytes))
}

impl Drop for Http2Stream {
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        // What there is goes out, whether there is room for it or not: it is one piece at most.
        let sent = self.send_head().and_then(|()| self.send_rest());
        // What has no room was given up: it must not wait in the connection for ever, and take a stream's place there.
        if self.closed && sent.is_ok() && self.blocked.is_none() {
            return;
        }
        match self.send.take() {
            Some(send) => self.cut.later(send, self.reset),
            None => self.respond.send_reset(self.reset),
        }
    }
}
