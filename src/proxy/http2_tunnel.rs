//! Bytes both ways inside one stream of HTTP/2, a client's or a server's (RFC 8441): what a WebSocket becomes once both
//! sides agreed.
//!
//! A stream that is reset, for whichever reason, is a connection that has broken (§5: it stands for TCP's reset): nobody
//! is there any more to be waited for.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::http2_io::{Cut, gone, poll_room};

/// A stream that is a connection now. Dropping it before it was shut down resets the stream.
pub(crate) struct Http2Tunnel {
    receive: RecvStream,
    /// What came and was not read yet. The peer's window opens when it is read.
    unread: Bytes,
    /// `None` once this is dropped.
    send: Option<SendStream<Bytes>>,
    /// Our end was sent.
    ended: bool,
    cut: Rc<Cut>,
}

impl Http2Tunnel {
    pub fn new(receive: RecvStream, send: SendStream<Bytes>, cut: Rc<Cut>) -> Self {
        Http2Tunnel { receive, unread: Bytes::new(), send: Some(send), ended: false, cut }
    }

    /// Ready when the peer has reset the stream, or its connection is gone. What it sent before may be unread.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.send.as_mut().map_or(Poll::Ready(()), |send| send.poll_reset(cx).map(|_| ()))
    }
}

impl fmt::Debug for Http2Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Http2Tunnel")
    }
}

impl AsyncRead for Http2Tunnel {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            match ready!(self.receive.poll_data(cx)) {
                Some(Ok(data)) => self.unread = data,
                Some(Err(error)) => return Poll::Ready(Err(gone(error))),
                None => break,
            }
        }
        let count = self.unread.len().min(buffer.remaining());
        buffer.put_slice(&self.unread[..count]);
        self.unread.advance(count);
        let _ = self.receive.flow_control().release_capacity(count); // a stream that is gone has no window
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Http2Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let ended = self.ended;
        let Some(send) = self.send.as_mut().filter(|_| !ended) else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let count = ready!(poll_room(send, bytes.len(), cx))?.min(bytes.len());
        send.send_data(Bytes::copy_from_slice(&bytes[..count]), false).map_err(gone)?;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.ended, true)
            && let Some(send) = &mut self.send
        {
            send.send_data(Bytes::new(), true).map_err(gone)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Http2Tunnel {
    fn drop(&mut self) {
        if let Some(send) = self.send.take().filter(|_| !self.ended) {
            self.cut.later(send, Reason::CANCEL);
        }
    }
}
