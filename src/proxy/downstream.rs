//! The client's side of an exchange: a body to read, a response to write. HTTP/1 and HTTP/2 differ here and nowhere above.

use std::fmt;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use super::splice::Pipe;
use crate::http::{BadBody, RequestHead, ResponseHead, chunk_header};

/// How long a client that is still sending is listened to after its answer, so that the answer is not lost to a reset
/// (RFC 9112 §9.6), and how much of it.
pub(crate) const LINGER: Duration = Duration::from_secs(2);
pub(crate) const LINGER_BYTES: usize = 1024 * 1024;

/// Why no more of a request's body can be read.
#[derive(Debug)]
pub(crate) enum BodyError {
    Bad(BadBody),
    /// The client is gone.
    Gone(io::Error),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BodyError::Bad(bad) => bad.fmt(f),
            BodyError::Gone(error) => error.fmt(f),
        }
    }
}

/// How body bytes are to be written for the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyFraming {
    /// The bytes alone.
    Plain,
    Chunked,
}

impl BodyFraming {
    /// Appends some of a body's bytes.
    pub fn append(self, data: &[u8], out: &mut Vec<u8>) {
        match self {
            BodyFraming::Chunked if data.is_empty() => {} // an empty chunk would be the last one
            BodyFraming::Chunked => {
                chunk_header(data.len(), out);
                out.extend_from_slice(data);
                out.extend_from_slice(b"\r\n");
            }
            BodyFraming::Plain => out.extend_from_slice(data),
        }
    }
}

/// What is decided about a response's head before it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadOptions {
    pub keep_alive: bool,
    /// For a 101 that is taken.
    pub keep_upgrade: bool,
    pub no_store: bool,
}

/// How a client left that was waited with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    Broken,
    /// It will send no more; an answer would still reach it.
    Closed,
}

/// One request's client. Nothing is written before `poll_data` or `poll_flush`; both may be called again after an error,
/// which they repeat.
pub(crate) trait Downstream {
    /// Appends more of the request's body to `out`, ready for the server; `true` once all of it is there. Appends
    /// nothing while it is pending.
    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        request: &mut RequestHead,
        framing: BodyFraming,
        out: &mut Vec<u8>,
    ) -> Poll<Result<bool, BodyError>>;

    /// Bytes of the request's body that could go into a pipe: all that is to come, where it comes out of a socket as it
    /// is and what had been read is used up; else none.
    fn body_to_splice(&self, _request: &RequestHead) -> u64 {
        0
    }

    /// Takes some of them into an empty pipe, at least one unless pending.
    fn poll_body_spliced(&mut self, _cx: &mut Context<'_>, _pipe: &mut Pipe) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    /// All of the body has been read.
    fn body_is_done(&self) -> bool;

    /// Trailer lines behind a body of known length, each with its line end: only HTTP/2 has them.
    fn request_trailers(&self) -> &[u8] {
        b""
    }

    /// Whether trailers behind a response's body of known length could be told.
    fn takes_trailers(&self) -> bool {
        false
    }

    /// Queues a 1xx head, where the client can take one.
    fn interim(&mut self, request: &RequestHead, response: &ResponseHead);

    /// Queues the response's head. Once per request.
    fn head(&mut self, request: &RequestHead, response: &ResponseHead, options: HeadOptions);

    /// Takes some of the response's body bytes, at least one unless pending. Small ones may stay queued.
    fn poll_data(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// Moves all that is queued to the end of `room`, in front of the bytes that come next, so that both leave as one
    /// piece. Returns how much that was: nothing if it does not fit, or does not belong there.
    fn give_queued(&mut self, _room: &mut [u8]) -> usize {
        0
    }

    /// Whether more than one usual buffer may be in flight for this request. Not where a client may have a hundred of them.
    fn takes_bulk(&self) -> bool {
        true
    }

    /// Whether the body's bytes could come out of a pipe: they go to a socket as they are.
    fn takes_spliced(&self) -> bool {
        false
    }

    /// Takes some of what a pipe holds, at least one byte unless pending. Nothing may be queued.
    fn poll_spliced(&mut self, _cx: &mut Context<'_>, _pipe: &mut Pipe) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    /// Queues the end of the response; trailer lines, each with its line end, go where the client takes them.
    fn finish(&mut self, trailers: &[u8]);

    /// Writes out all that is queued.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Whether the client has taken some of what is queued since this was last asked: its time begins anew then. Only
    /// where much may be queued.
    fn took_some(&mut self) -> bool {
        false
    }

    /// Whether looking after the client costs nothing. If not it can wait a little: most answers come soon.
    fn is_watched_for_free(&self) -> bool {
        true
    }

    /// Whether a client that breaks off can be noticed without reading more of what it sends.
    fn tells_of_leaving(&self) -> bool {
        self.body_is_done()
    }

    /// Ready when the client's connection has broken while nothing was expected from it.
    fn poll_gone(&mut self, cx: &mut Context<'_>, request: &mut RequestHead) -> Poll<io::Error>;

    /// Ready when nobody is there to be answered any more: the connection has broken, or, with `or_closed`, the client
    /// has closed its sending side (`option abortonclose`).
    fn poll_left(&mut self, cx: &mut Context<'_>, request: &mut RequestHead, or_closed: bool) -> Poll<Left> {
        let _ = or_closed; // only where a client can close one side
        self.poll_gone(cx, request).map(|_| Left::Broken)
    }

    /// Tells the client that nothing was done with its request, so that it may send it again itself, in place of an answer.
    /// `false` where the protocol has no word for that, or something was said already.
    fn hand_back(&mut self) -> bool {
        false
    }

    /// Bytes of the request's body read, and bytes of the response written, heads included.
    fn transferred(&self) -> (u64, u64);
}
