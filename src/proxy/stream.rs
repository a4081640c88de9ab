//! One connection's bytes, whatever carries them: TCP or a unix socket, clear or TLS, client's or server's.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::net;
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::accepted::Accepted;
use super::buffers::{Buffers, LentFor};
use super::http2_tunnel::Http2Tunnel;
use super::tls::Tls;
use super::upstream::http2_exchange::{Http2Exchange, Lost};
use crate::state::dial;
use crate::sys;

/// Writes up to here are tried without asking the event loop first.
const SMALL_WRITE: usize = 16 * 1024;

#[derive(Debug)]
pub(crate) enum Plain {
    /// A client's, TCP or unix.
    Accepted(Box<Accepted>),
    Tcp(TcpStream),
    Unix(UnixStream),
    /// Tests without sockets.
    #[cfg(any(test, fuzzing))]
    Memory(tokio::io::DuplexStream),
}

#[derive(Debug)]
pub(crate) enum Stream {
    Plain(Plain),
    /// A client's TLS, terminated here.
    Client(Box<Tls<UnbufferedServerConnection>>),
    /// TLS to a server.
    Server(Box<Tls<UnbufferedClientConnection>>),
    /// Inside one stream of a client's HTTP/2.
    Tunnel(Box<Http2Tunnel>),
    /// One request to a server as a stream of HTTP/2, read and written as HTTP/1.
    Http2(Box<Http2Exchange>),
}

impl Plain {
    /// Does something with the socket itself whenever it is ready, until that no longer says "try again". What moves
    /// fewer than `asked` bytes has used the socket up, so the call that would only learn that is saved.
    pub fn poll_io(
        &self,
        cx: &mut Context<'_>,
        ready_to: Interest,
        asked: usize,
        act: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        self.poll_act::<false>(cx, ready_to, asked, act)
    }

    /// As [`poll_io`](Self::poll_io). `TRY`: what is known to be ready is not asked to wake anybody first. That also takes nothing
    /// of what the runtime allows a task in a row, so it is for who has a limit of its own.
    fn poll_act<const TRY: bool>(
        &self,
        cx: &mut Context<'_>,
        ready_to: Interest,
        asked: usize,
        mut act: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let mut tries = TRY;
        // `$try` has the event loop make an attempt and note when that would have to wait.
        macro_rules! on {
            ($watch:expr, $socket:expr, |$attempt:ident| $try:expr) => {
                loop {
                    if std::mem::take(&mut tries) {
                        // Says "try again" by itself when nothing is known to be ready.
                    } else if ready_to.is_readable() {
                        let _ready = ready!($watch.poll_read_ready(cx))?;
                    } else {
                        let _ready = ready!($watch.poll_write_ready(cx))?;
                    }
                    let mut less = 0;
                    #[allow(unused_mut)] // where it is called from a closure of its own
                    let mut $attempt = || match act($socket.as_fd()) {
                        Ok(count) if 0 < count && count < asked => {
                            less = count;
                            Err(io::ErrorKind::WouldBlock.into())
                        }
                        done => done,
                    };
                    match $try {
                        Err(_) if less > 0 => return Poll::Ready(Ok(less)),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        done => return Poll::Ready(done),
                    }
                }
            };
        }
        // A socket nearly always has room for what is small; only where it has none is the event loop asked.
        let small = ready_to.is_writable() && asked <= SMALL_WRITE;
        macro_rules! at_once {
            ($socket:expr) => {
                if small {
                    match act($socket.as_fd()) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        done => return Poll::Ready(done),
                    }
                }
            };
        }
        match self {
            Plain::Accepted(accepted) => {
                if let Some(done) = accepted.try_at_once(ready_to, asked, &mut act) {
                    return Poll::Ready(done);
                }
                let watch = accepted.watch(ready_to, cx)?;
                let Some(watch) = &*watch else { return Poll::Pending };
                on!(watch, accepted, |attempt| watch.try_io(ready_to, |_| attempt()))
            }
            Plain::Tcp(socket) => {
                at_once!(socket);
                on!(socket, socket, |attempt| socket.try_io(ready_to, attempt))
            }
            Plain::Unix(socket) => {
                at_once!(socket);
                on!(socket, socket, |attempt| socket.try_io(ready_to, attempt))
            }
            #[cfg(any(test, fuzzing))]
            Plain::Memory(_) => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }

    /// The socket itself.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Plain::Accepted(accepted) => Some(accepted.as_fd()),
            Plain::Tcp(socket) => Some(socket.as_fd()),
            Plain::Unix(socket) => Some(socket.as_fd()),
            #[cfg(any(test, fuzzing))]
            Plain::Memory(_) => None,
        }
    }

    /// Whether the event loop may know of something to read. False only where a read would have to wait, and whoever has
    /// waited for one before is still going to be woken.
    pub fn may_be_read(&self) -> bool {
        let known = |tried: io::Result<()>| tried.is_ok();
        match self {
            Plain::Accepted(accepted) => accepted.may_be_read(),
            Plain::Tcp(socket) => known(socket.try_io(Interest::READABLE, || Ok(()))),
            Plain::Unix(socket) => known(socket.try_io(Interest::READABLE, || Ok(()))),
            #[cfg(any(test, fuzzing))]
            Plain::Memory(_) => true,
        }
    }

    /// Reads once into the buffer's spare capacity.
    ///
    /// The system call is made directly: the C library's is a point where a thread may be cancelled, which it prepares
    /// for each time.
    fn poll_recv(&mut self, cx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        #[cfg(any(test, fuzzing))]
        if let Plain::Memory(memory) = self {
            return sys::poll_read_into(memory, cx, buffer);
        }
        let room = buffer.capacity() - buffer.len();
        self.poll_io(cx, Interest::READABLE, room, |socket| {
            Ok(net::recv(socket, spare_capacity(buffer), net::RecvFlags::empty())?.0)
        })
    }

    /// As [`Stream::poll_read_lent`], into a buffer that is lent here.
    fn poll_recv_lent(
        &self,
        cx: &mut Context<'_>,
        buffers: &Buffers,
        purpose: LentFor,
        buffer: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        self.poll_act::<true>(cx, Interest::READABLE, purpose.capacity(), |socket| {
            if buffer.capacity() == 0 {
                *buffer = buffers.lend(purpose);
            }
            Ok(net::recv(socket, spare_capacity(buffer), net::RecvFlags::empty())?.0)
        })
    }

    /// Reads once into memory that is initialised.
    pub fn poll_recv_slice(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        #[cfg(any(test, fuzzing))]
        if let Plain::Memory(memory) = self {
            let mut buffer = ReadBuf::new(into);
            return Pin::new(memory).poll_read(cx, &mut buffer).map_ok(|()| buffer.filled().len());
        }
        self.poll_io(cx, Interest::READABLE, into.len(), |socket| {
            Ok(net::recv(socket, &mut *into, net::RecvFlags::empty())?.0)
        })
    }
}

impl AsyncRead for Plain {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let count = ready!(self.get_mut().poll_recv_slice(cx, buffer.initialize_unfilled()))?;
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Plain {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        #[cfg(any(test, fuzzing))]
        if let Plain::Memory(memory) = this {
            return Pin::new(memory).poll_write(cx, bytes);
        }
        this.poll_io(cx, Interest::WRITABLE, bytes.len(), |socket| {
            Ok(net::send(socket, bytes, net::SendFlags::NOSIGNAL)?)
        })
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        #[cfg(any(test, fuzzing))]
        if let Plain::Memory(memory) = this {
            return Pin::new(memory).poll_write_vectored(cx, slices);
        }
        let len = slices.iter().map(|slice| slice.len()).sum();
        this.poll_io(cx, Interest::WRITABLE, len, |socket| Ok(rustix::io::writev(socket, slices)?))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Plain::Accepted(_) => Poll::Ready(Ok(())),
            Plain::Tcp(socket) => Pin::new(socket).poll_flush(cx),
            Plain::Unix(socket) => Pin::new(socket).poll_flush(cx),
            #[cfg(any(test, fuzzing))]
            Plain::Memory(memory) => Pin::new(memory).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Plain::Accepted(accepted) => Poll::Ready(match net::shutdown(&**accepted, net::Shutdown::Write) {
                Err(rustix::io::Errno::NOTCONN) => Ok(()), // the client was quicker
                done => Ok(done?),
            }),
            Plain::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Plain::Unix(socket) => Pin::new(socket).poll_shutdown(cx),
            #[cfg(any(test, fuzzing))]
            Plain::Memory(memory) => Pin::new(memory).poll_shutdown(cx),
        }
    }
}

impl Stream {
    pub fn is_tls(&self) -> bool {
        matches!(self, Stream::Client(_) | Stream::Server(_))
    }

    /// It carries one request only; what is shared is behind it.
    pub fn is_http2(&self) -> bool {
        matches!(self, Stream::Http2(_))
    }

    /// Why no answer will come over HTTP/2, as far as that is known.
    pub fn lost(&self) -> Option<Lost> {
        match self {
            Stream::Http2(exchange) => exchange.lost(),
            _ => None,
        }
    }

    /// The server has not looked at the request, so it may be sent again, whatever it is.
    pub fn was_refused(&self) -> bool {
        matches!(self.lost(), Some(Lost::GoneAway | Lost::Refused))
    }

    /// Trailers may follow the request's body, whatever length it has: its end waits for [`end_request`](Self::end_request).
    pub fn expect_trailers(&mut self, expected: bool) {
        if let Stream::Http2(exchange) = self {
            exchange.expect_trailers(expected);
        }
    }

    /// No more of the request will come but these trailer lines, where they can be told.
    pub fn end_request(&mut self, trailers: &[u8]) {
        if let Stream::Http2(exchange) = self {
            exchange.end_request(trailers);
        }
    }

    /// Waits for the end of a response whose body of known length has been read, for the trailers that may stand there.
    pub fn poll_trailers(&mut self, cx: &mut Context<'_>) -> Poll<&[u8]> {
        match self {
            Stream::Http2(exchange) => exchange.poll_trailers(cx),
            _ => Poll::Ready(b""),
        }
    }

    /// A server was waited for this long, in vain. What it shares with other requests may be of no more use to them.
    pub fn timed_out(&self, after: Option<Duration>) {
        if let (Stream::Http2(exchange), Some(after)) = (self, after) {
            exchange.timed_out(after);
        }
    }

    /// TLS with a server has agreed on HTTP/2.
    pub fn agreed_on_http2(&self) -> bool {
        matches!(self, Stream::Server(tls) if tls.session().alpn_protocol() == Some(b"h2"))
    }

    /// The socket, where nothing stands between it and the bytes.
    pub fn as_socket(&self) -> Option<&Plain> {
        match self {
            #[cfg(any(test, fuzzing))]
            Stream::Plain(Plain::Memory(_)) => None,
            Stream::Plain(plain) => Some(plain),
            Stream::Client(_) | Stream::Server(_) | Stream::Tunnel(_) | Stream::Http2(_) => None,
        }
    }

    /// Bytes that have come and that nobody has read, where the kernel holds them as they are.
    pub fn unread(&self) -> u64 {
        let asked = match self {
            Stream::Plain(Plain::Accepted(socket)) => rustix::io::ioctl_fionread(&**socket),
            Stream::Plain(Plain::Tcp(socket)) => rustix::io::ioctl_fionread(socket),
            Stream::Plain(Plain::Unix(socket)) => rustix::io::ioctl_fionread(socket),
            _ => Ok(0),
        };
        asked.unwrap_or(0)
    }

    /// What was sent over it is not all there was to be: closing it is to look like a failure, not like the end. TLS and
    /// HTTP/2 say so by themselves.
    pub fn break_at_close(&self) {
        if let Stream::Plain(Plain::Tcp(socket)) = self {
            let _ = dial::break_at_close(&SockRef::from(socket)); // else it ends as it would have
        }
    }

    /// Reads once into the buffer's spare capacity. `Ok(0)` is the end of the stream.
    ///
    /// A client that closes without TLS's goodbye has ended its side all the same (RFC 9112 §9.8: servers are to be
    /// prepared for it). What it announced and did not send is missed by whoever waits for it. With servers the end of
    /// the stream may be the end of a response, so there it is an error.
    pub fn poll_read_into(&mut self, cx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        debug_assert!(buffer.len() < buffer.capacity(), "a full buffer reads as the end of the stream");
        match self {
            Stream::Plain(plain) => plain.poll_recv(cx, buffer),
            Stream::Client(tls) => match tls.poll_read_into(cx, buffer) {
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(0)),
                read => read,
            },
            Stream::Server(tls) => tls.poll_read_into(cx, buffer),
            Stream::Tunnel(tunnel) => sys::poll_read_into(&mut **tunnel, cx, buffer),
            Stream::Http2(exchange) => sys::poll_read_into(&mut **exchange, cx, buffer),
        }
    }

    /// Reads once into a buffer lent for it, and only when there may be something to read: whoever waits holds none. Without
    /// a byte, at the end of the stream, it has gone back.
    pub fn poll_read_lent(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &Buffers,
        purpose: LentFor,
    ) -> Poll<io::Result<Vec<u8>>> {
        let mut buffer = Vec::new();
        let read = match self {
            Stream::Plain(plain @ (Plain::Accepted(_) | Plain::Tcp(_) | Plain::Unix(_))) => {
                plain.poll_recv_lent(cx, buffers, purpose, &mut buffer)
            }
            _ => {
                buffer = buffers.lend(purpose);
                self.poll_read_into(cx, &mut buffer)
            }
        };
        if !matches!(read, Poll::Ready(Ok(1..))) {
            buffers.give(std::mem::take(&mut buffer));
        }
        read.map_ok(|_| buffer)
    }

    /// Ready when a peer that has ended its side is gone altogether. Only a stream of HTTP/2 tells: what TCP would say is
    /// found by writing.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Stream::Tunnel(tunnel) => tunnel.poll_gone(cx),
            Stream::Http2(exchange) => exchange.poll_gone(cx),
            _ => Poll::Pending,
        }
    }

    /// Whether an idle connection is still good: nothing to read and not closed. Costs no system call when nothing happened,
    /// where the event loop would have told.
    pub fn is_quiet(&mut self) -> bool {
        let nothing = |tried: io::Result<_>| matches!(tried, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        match self {
            Stream::Plain(Plain::Accepted(accepted)) if !accepted.is_watched() => return accepted.is_quiet(),
            Stream::Plain(Plain::Tcp(socket)) => return nothing(socket.try_io(Interest::READABLE, || peek(&*socket))),
            Stream::Plain(Plain::Unix(socket)) => return nothing(socket.try_io(Interest::READABLE, || peek(&*socket))),
            _ => {}
        }
        let mut byte = [0u8; 1];
        let mut buffer = ReadBuf::new(&mut byte);
        let mut cx = Context::from_waker(Waker::noop());
        Pin::new(self).poll_read(&mut cx, &mut buffer).is_pending()
    }
}

fn peek(socket: &impl AsFd) -> io::Result<usize> {
    Ok(net::recv(socket, &mut [0u8; 1], net::RecvFlags::PEEK)?.0)
}

macro_rules! each {
    ($self:ident, $inner:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Plain($inner) => $call,
            Stream::Client(tls) => {
                let $inner = &mut **tls;
                $call
            }
            Stream::Server(tls) => {
                let $inner = &mut **tls;
                $call
            }
            Stream::Tunnel(tunnel) => {
                let $inner = &mut **tunnel;
                $call
            }
            Stream::Http2(exchange) => {
                let $inner = &mut **exchange;
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, inner => Pin::new(inner).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, inner => Pin::new(inner).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, inner => Pin::new(inner).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, inner => Pin::new(inner).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, inner => Pin::new(inner).poll_shutdown(cx))
    }
}
