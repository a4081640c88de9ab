//! One request and its response as a stream of HTTP/2, for an exchange that speaks HTTP/1.
//!
//! What an exchange writes is read as an HTTP/1 request and given to h2; its response is written out as an
//! HTTP/1 response for it to read. So rules, limits, timeouts and retries are the same for all servers, and what two
//! readers could understand differently is refused once, by our own parser. The price is a few copies of the head.

use std::fmt;
use std::future::Future;
use std::io::{self, Write};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::downstream::LINGER;
use super::super::http2_io::{gone, poll_room, read_trailers};
use super::super::http2_tunnel::Http2Tunnel;
use super::http2::{Http2Connection, Place};
use super::http2_request::http2_request;
use crate::http::response::reason_of;
use crate::http::{BodyReader, Progress, RequestHead, chunk_header, end_chunks, write_trailers};
use crate::model::global::HttpLimits;
use crate::wire::websocket;

/// The request was within the limits before rules added to it.
const OWN_REQUEST: HttpLimits = HttpLimits { head: 1 << 22, fields: 32_767, target: 1 << 22 };

/// One request under way. Dropping it before the response has ended resets the stream.
pub(crate) struct Http2Exchange {
    connection: Rc<Http2Connection>,
    /// Until the stream has ended.
    place: Option<Place>,
    asking: Asking,
    answering: Answering,
    /// HTTP/1 to be read.
    text: Vec<u8>,
    read_of_text: usize,
    /// Body bytes to be read behind it.
    piece: Bytes,
    /// Why no answer will come.
    lost: Option<Lost>,
    /// The client may send trailers behind a body of known length.
    expects_trailers: bool,
    /// Lines that stand behind a response's body of known length.
    trailers: Vec<u8>,
}

/// Why a stream ended before its answer, which decides whether its request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Its connection ended.
    Connection,
    /// Its connection was given up over something malformed, perhaps the answer to this request, perhaps to another.
    Spoilt,
    /// The server goes away and has not looked at the request (RFC 9113 §6.8): it may be sent again, whatever it is.
    GoneAway,
    /// The server has not looked at the request and stays (§8.7).
    Refused,
    /// The server reset the stream for another reason, which is an answer of a kind.
    Reset,
    /// The answer to this request was malformed (§8.1.1).
    Malformed,
}

enum Asking {
    Head(Box<RequestHead>),
    Body(BodyReader, SendStream<Bytes>),
    /// All of a body of known length has come; trailers may.
    End(SendStream<Bytes>),
    Done,
}

enum Answering {
    /// The request's head is not complete.
    Nothing(Option<Waker>),
    Head {
        answer: ResponseFuture,
        /// For a WebSocket: the key its client was given, and the way to the server.
        tunnel: Option<(Vec<u8>, SendStream<Bytes>)>,
        to_head: bool,
    },
    Body {
        body: RecvStream,
        chunked: bool,
        /// Bytes to come, if that was said; without any the end is all that can come.
        left: Option<u64>,
    },
    Over,
    Tunnel(Box<Http2Tunnel>),
}

impl fmt::Debug for Http2Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2Exchange").field("lost", &self.lost).finish_non_exhaustive()
    }
}

impl Http2Exchange {
    pub(super) fn new(connection: Rc<Http2Connection>, place: Place) -> Self {
        Http2Exchange {
            connection,
            place: Some(place),
            asking: Asking::Head(Box::default()),
            answering: Answering::Nothing(None),
            text: Vec::new(),
            read_of_text: 0,
            piece: Bytes::new(),
            lost: None,
            expects_trailers: false,
            trailers: Vec::new(),
        }
    }

    /// Why no answer will come, if none will.
    pub fn lost(&self) -> Option<Lost> {
        self.lost
    }

    pub fn expect_trailers(&mut self, expected: bool) {
        self.expects_trailers = expected;
    }

    /// Sends the end of a request whose body was of known length, if it was held back.
    pub fn end_request(&mut self, trailers: &[u8]) {
        if let Asking::End(send) = &mut self.asking {
            // A stream that is gone is noticed by whoever waits for its answer.
            let _ = match read_trailers(trailers).0 {
                Some(trailers) => send.send_trailers(trailers),
                None => send.send_data(Bytes::new(), true),
            };
            self.asking = Asking::Done;
        }
    }

    /// The trailer lines of a response whose body of known length has been read, once its end has come. Without any when the
    /// stream is reset instead: the body is whole, and servers reset what they do not want to hear the rest of (§8.1).
    pub fn poll_trailers(&mut self, cx: &mut Context<'_>) -> Poll<&[u8]> {
        while let Answering::Body { .. } = self.answering {
            if ready!(self.poll_body(cx)).is_err() {
                self.answering = Answering::Over;
            }
        }
        Poll::Ready(&self.trailers)
    }

    /// For one that has become a tunnel: its server has reset the stream, or its connection is gone.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.answering {
            Answering::Tunnel(tunnel) => tunnel.poll_gone(cx),
            _ => Poll::Pending,
        }
    }

    /// The server was waited for this long, in vain.
    pub fn timed_out(&self, after: Duration) {
        self.connection.timed_out(after);
    }

    /// The request's head is complete: sends it.
    fn ask(&mut self, head: &RequestHead) -> io::Result<()> {
        let key = head.upgrade().is_some().then(|| {
            let key = head.fields().get(b"sec-websocket-key");
            key.unwrap_or_default().to_vec()
        });
        if key.is_some() && !self.connection.takes_extended_connect() {
            let told = "the server takes no WebSocket over HTTP/2";
            return Err(io::Error::new(io::ErrorKind::Unsupported, told));
        }
        let reader = BodyReader::new(head.body());
        let request = http2_request(head, &self.connection, key.is_some())?;
        let is_held = holds_end_of(&reader, self.expects_trailers);
        let ends = reader.is_done() && key.is_none() && !is_held;
        let (answer, send) = self.connection.send(request, ends).map_err(|error| {
            if error.is_io() || error.is_go_away() {
                self.lost = Some(Lost::GoneAway); // the connection's end, and not the request's fault
            }
            io::Error::other(error)
        })?;
        let (tunnel, send) = match key {
            Some(key) => (Some((key, send)), None),
            None => (None, Some(send)),
        };
        let to_head = head.is_head();
        if let Answering::Nothing(Some(waker)) =
            std::mem::replace(&mut self.answering, Answering::Head { answer, tunnel, to_head })
        {
            waker.wake();
        }
        self.asking = match send {
            Some(send) if is_held => Asking::End(send),
            Some(send) if !reader.is_done() => Asking::Body(reader, send),
            _ => Asking::Done,
        };
        Ok(())
    }

    /// Writes the response's head out as HTTP/1.
    fn answered(
        &mut self,
        response: Response<RecvStream>,
        tunnel: Option<(Vec<u8>, SendStream<Bytes>)>,
        to_head: bool,
    ) {
        let (parts, body) = response.into_parts();
        let status = parts.status.as_u16();
        if let Some((key, mut send)) = tunnel {
            if status == 200 {
                self.write_line(format_args!("HTTP/1.1 101 Switching Protocols"));
                self.write_line(format_args!("connection: upgrade\r\nupgrade: websocket"));
                self.write_line(format_args!("sec-websocket-accept: {}", websocket::accept(&key)));
                self.write_fields(&parts.headers);
                let tunnel = Http2Tunnel::new(body, send, Rc::clone(&self.connection.cut));
                self.answering = Answering::Tunnel(Box::new(tunnel));
                return;
            }
            let _ = send.send_data(Bytes::new(), true); // no tunnel: that is all there is of the request
        }
        self.write_line(format_args!("HTTP/1.1 {status} {}", reason_of(status)));
        let length = parts.headers.get(http::header::CONTENT_LENGTH);
        let has_none = to_head || status == 204 || status == 304;
        let ended = body.is_end_stream();
        let chunked = length.is_none() && !ended && !has_none;
        if chunked {
            self.write_line(format_args!("transfer-encoding: chunked"));
        } else if ended && length.is_none() && !has_none {
            self.write_line(format_args!("content-length: 0"));
        }
        self.write_fields(&parts.headers);
        let announced = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let left = if has_none { Some(0) } else { announced };
        self.answering = if ended { Answering::Over } else { Answering::Body { body, chunked, left } };
    }

    fn write_line(&mut self, line: fmt::Arguments<'_>) {
        // Writing to memory cannot fail.
        let _ = self.text.write_fmt(line);
        self.text.extend_from_slice(b"\r\n");
    }

    fn write_fields(&mut self, fields: &HeaderMap) {
        for (name, value) in fields {
            self.text.extend_from_slice(name.as_str().as_bytes());
            self.text.extend_from_slice(b": ");
            self.text.extend_from_slice(value.as_bytes());
            self.text.extend_from_slice(b"\r\n");
        }
        self.text.extend_from_slice(b"\r\n");
    }

    /// Gets more to read. Nothing when the response is over.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.answering {
            Answering::Nothing(waker) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
            Answering::Head { .. } => self.poll_head(cx),
            Answering::Body { .. } => self.poll_body(cx),
            Answering::Over | Answering::Tunnel(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Answering::Head { answer, .. } = &mut self.answering else { return Poll::Ready(Ok(())) };
        let answer = match ready!(answer.poll_informational(cx)) {
            Some(Ok(interim)) => {
                let status = interim.status().as_u16();
                if status != 101 {
                    // RFC 9113 §8.6: there is no such thing in HTTP/2.
                    self.write_line(format_args!("HTTP/1.1 {status} {}", reason_of(status)));
                    self.write_fields(interim.headers());
                }
                return Poll::Ready(Ok(()));
            }
            Some(Err(error)) => Err(error),
            None => ready!(Pin::new(answer).poll(cx)),
        };
        let before = std::mem::replace(&mut self.answering, Answering::Over);
        let Answering::Head { tunnel, to_head, .. } = before else { return Poll::Ready(Ok(())) };
        match answer {
            Ok(response) => self.answered(response, tunnel, to_head),
            Err(error) => {
                self.lost = Some(self.loss(&error));
                tracing::debug!(%error, lost = ?self.lost, "no answer over HTTP/2");
                return Poll::Ready(Err(io::Error::other(error)));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// What h2 tells a stream of its end. Of malformed fields it makes the end of their connection, without saying which
    /// stream they came for: it is known only where there is one.
    fn loss(&self, error: &h2::Error) -> Lost {
        match (error.is_remote(), error.is_reset(), error.is_go_away()) {
            (true, true, _) if error.reason() == Some(h2::Reason::REFUSED_STREAM) => Lost::Refused,
            (true, true, _) => Lost::Reset,
            (true, _, true) => Lost::GoneAway,
            (false, true, _) => Lost::Malformed,
            (false, _, true) if self.connection.spoilt_with() == 1 => Lost::Malformed,
            (false, _, true) => Lost::Spoilt,
            _ => Lost::Connection,
        }
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Answering::Body { body, chunked, left } = &mut self.answering else { return Poll::Ready(Ok(())) };
        let chunked = *chunked;
        let next = match ready!(body.poll_data(cx)) {
            Some(Ok(data)) => {
                let _ = body.flow_control().release_capacity(data.len()); // a stream that is gone has no window
                *left = left.map(|left| left.saturating_sub(data.len() as u64));
                if chunked && !data.is_empty() {
                    chunk_header(data.len(), &mut self.text);
                }
                self.piece = data;
                return Poll::Ready(Ok(()));
            }
            Some(Err(error)) => Err(error),
            None => ready!(body.poll_trailers(cx)),
        };
        self.answering = Answering::Over;
        Poll::Ready(match next {
            // h2 leaves pseudo-fields out of trailers, where they make a response malformed (RFC 9113 §8.3).
            Ok(Some(trailers)) if trailers.is_empty() => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "trailers without a field"))
            }
            Ok(trailers) => {
                let fields = trailers.iter().flatten();
                let fields = fields.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
                if chunked {
                    end_chunks(fields, &mut self.text);
                } else {
                    write_trailers(fields, &mut self.trailers);
                }
                Ok(())
            }
            Err(error) => Err(io::Error::other(error)),
        })
    }

    /// Moves what is there into the buffer; whether anything was.
    fn read_out(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let start = buffer.filled().len();
        let text = self.text.get(self.read_of_text..).unwrap_or_default();
        let take = text.len().min(buffer.remaining());
        buffer.put_slice(text.get(..take).unwrap_or_default());
        self.read_of_text += take;
        if self.read_of_text == self.text.len() {
            self.text.clear();
            self.read_of_text = 0;
            if !self.piece.is_empty() {
                let take = self.piece.len().min(buffer.remaining());
                buffer.put_slice(&self.piece.split_to(take));
                if self.piece.is_empty() && matches!(self.answering, Answering::Body { chunked: true, .. }) {
                    self.text.extend_from_slice(b"\r\n");
                }
            }
        }
        buffer.filled().len() > start
    }
}

impl AsyncRead for Http2Exchange {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.read_out(buffer) {
                return Poll::Ready(Ok(()));
            }
            match &mut self.answering {
                Answering::Tunnel(tunnel) => return Pin::new(&mut **tunnel).poll_read(cx, buffer),
                Answering::Over => return Poll::Ready(Ok(())),
                _ => ready!(self.poll_more(cx))?,
            }
        }
    }
}

impl AsyncWrite for Http2Exchange {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if let Answering::Tunnel(tunnel) = &mut this.answering {
            return Pin::new(&mut **tunnel).poll_write(cx, bytes);
        }
        match &mut this.asking {
            Asking::Head(head) => {
                let before = head.input().len();
                head.input().extend_from_slice(bytes);
                match head.parse(&OWN_REQUEST) {
                    Ok(Progress::Partial) => return Poll::Ready(Ok(bytes.len())),
                    Ok(Progress::Complete) => {}
                    Err(bad) => {
                        let error = io::Error::new(io::ErrorKind::InvalidInput, bad);
                        this.answering = Answering::Over;
                        return Poll::Ready(Err(error));
                    }
                }
                let used = head.head_len() - before;
                let Asking::Head(head) = std::mem::replace(&mut this.asking, Asking::Done) else {
                    return Poll::Ready(Ok(used));
                };
                if let Err(error) = this.ask(&head) {
                    tracing::debug!(%error, "request cannot go over HTTP/2");
                    this.answering = Answering::Over;
                    return Poll::Ready(Err(error));
                }
                Poll::Ready(Ok(used))
            }
            Asking::Body(reader, send) => {
                // Any room will do: what has none waits in the stream, one piece at most.
                ready!(poll_room(send, 1, cx))?;
                let (mut at, mut data) = (0, BytesMut::new());
                while at < bytes.len() && !reader.is_done() {
                    let rest = bytes.get(at..).unwrap_or_default();
                    let fed = reader.feed(rest).map_err(|bad| io::Error::new(io::ErrorKind::InvalidInput, bad))?;
                    data.extend_from_slice(rest.get(fed.data).unwrap_or_default());
                    at += fed.consumed;
                }
                let done = reader.is_done();
                let trailers = done.then(|| read_trailers(reader.trailers()).0).flatten();
                let is_held = holds_end_of(reader, this.expects_trailers);
                let ends = done && trailers.is_none() && !is_held;
                if ends || !data.is_empty() {
                    send.send_data(data.freeze(), ends).map_err(gone)?;
                }
                if let Some(trailers) = trailers {
                    send.send_trailers(trailers).map_err(gone)?;
                }
                if done {
                    this.asking = match std::mem::replace(&mut this.asking, Asking::Done) {
                        Asking::Body(_, send) if is_held => Asking::End(send),
                        _ => Asking::Done,
                    };
                }
                Poll::Ready(Ok(at))
            }
            Asking::End(_) | Asking::Done => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.answering {
            Answering::Tunnel(tunnel) => Pin::new(&mut **tunnel).poll_flush(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.answering {
            Answering::Tunnel(tunnel) => Pin::new(&mut **tunnel).poll_shutdown(cx),
            _ => Poll::Ready(Ok(())),
        }
    }
}

/// Whether all of a request's body of known length is here, and trailers may stand behind it.
fn holds_end_of(reader: &BodyReader, expects_trailers: bool) -> bool {
    reader.is_done() && expects_trailers && reader.remaining().is_some()
}

impl Drop for Http2Exchange {
    fn drop(&mut self) {
        if let Answering::Body { body, left: Some(0), .. } = std::mem::replace(&mut self.answering, Answering::Over)
            && matches!(self.asking, Asking::Done)
        {
            tokio::task::spawn_local(until_its_end(body, self.place.take()));
        }
    }
}

/// All of a response is here but the stream's end, which comes as a frame of its own: letting go would reset the stream,
/// and servers count resets against those who send many.
async fn until_its_end(mut body: RecvStream, place: Option<Place>) {
    let _ = tokio::time::timeout(LINGER, body.data()).await;
    drop(body);
    drop(place);
}
