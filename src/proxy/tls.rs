//! TLS on one connection: rustls has the protocol, the worker the bytes.
//!
//! rustls' buffered interface keeps 4 KB for each connection and reads as much at a time. Its unbuffered one works on
//! bytes lent to it, so a connection at rest keeps none, and four records are read, decrypted in place or sent at once.
//!
//! What rustls wants said outside of answers (session tickets, key updates) leaves with the next bytes of ours, or as
//! soon as there is nothing to read.

mod handshake;
#[cfg(any(test, fuzzing))]
pub(super) mod hostile;
mod window;

use std::fmt;
use std::io::{self, IoSlice};
use std::ops::DerefMut;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, UnbufferedConnectionCommon, UnbufferedStatus, WriteTraffic,
};
use rustls::{AlertDescription, Error, InvalidMessage};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(crate) use self::handshake::{AcceptedTls, accept, connect};
pub(crate) use self::window::trim;
use self::window::{RECORD_OVERHEAD, RECORD_PLAINTEXT, WINDOW, Window};
use super::downstream::LINGER_BYTES;
use super::stream::{Plain, Stream};
use crate::state::tls::BadHandshake;

/// What a read asks the socket for, at least: a whole record.
const LEAST_READ: usize = RECORD_PLAINTEXT + RECORD_OVERHEAD;

/// One side of TLS.
pub(crate) trait Session: DerefMut<Target = UnbufferedConnectionCommon<Self::Side>> {
    type Side;
    fn process<'c, 'i>(&'c mut self, received: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Side>;
}

impl Session for UnbufferedServerConnection {
    type Side = ServerConnectionData;
    fn process<'c, 'i>(&'c mut self, received: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Side> {
        self.process_tls_records(received)
    }
}

impl Session for UnbufferedClientConnection {
    type Side = ClientConnectionData;
    fn process<'c, 'i>(&'c mut self, received: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Side> {
        self.process_tls_records(received)
    }
}

pub(crate) struct Tls<S: Session> {
    plain: Plain,
    session: S,
    /// Received: a record that is not all there yet.
    incoming: Window,
    /// Decrypted, and more than was asked for.
    plaintext: Window,
    /// Encrypted, and not sent yet.
    outgoing: Window,
    /// The peer has said that nothing follows.
    ended: bool,
    /// We have.
    closing: bool,
    /// What came breaks the protocol: no more of it is looked at, and nothing is said but the alert about it.
    failed: bool,
    /// It gave up, and told us why.
    refused: Option<AlertDescription>,
}

/// What we would like to tell the peer.
enum Say<'a> {
    Nothing,
    Data(&'a [u8]),
    /// Nothing follows (RFC 8446 §6.1).
    Goodbye,
}

/// Reads once, `least` bytes or more if they are there. `Ok(0)` is the end of the connection. A buffer that stays empty
/// is given back.
///
/// # Errors
/// The socket's. [`io::ErrorKind::InvalidData`] when a message of a handshake does not end within a [`WINDOW`]: it is at
/// most 64 KB, but rustls keeps the records it comes in, and they may hold a byte each.
fn poll_receive(
    plain: &mut Plain,
    cx: &mut Context<'_>,
    incoming: &mut Window,
    least: usize,
) -> Poll<io::Result<usize>> {
    if incoming.len() >= WINDOW {
        return Poll::Ready(Err(broken(InvalidMessage::HandshakePayloadTooLarge.into())));
    }
    let spare = incoming.spare(least);
    let received = plain.poll_recv_slice(cx, spare);
    match &received {
        Poll::Ready(Ok(count)) => incoming.fill(*count),
        _ => incoming.give_back_if_empty(),
    }
    received
}

fn broken(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Takes what it has room for and tells how much that was.
trait Taker: FnMut(&[u8]) -> usize {}
impl<T: FnMut(&[u8]) -> usize> Taker for T {}

impl Stream {
    /// What a client's bytes go over in the end; `None` where they share it with others'.
    pub fn carrier(&self) -> Option<&Plain> {
        match self {
            Stream::Plain(plain) => Some(plain),
            Stream::Client(tls) => Some(&tls.plain),
            Stream::Server(tls) => Some(&tls.plain),
            Stream::Tunnel(_) | Stream::Http2(_) => None,
        }
    }

    /// Why a server ended the connection, where its alert said so. In TLS 1.3 it judges our certificate when the handshake is
    /// over for us.
    pub fn refused_by_server(&self) -> Option<BadHandshake> {
        match self {
            Stream::Server(tls) => tls.refused.map(BadHandshake::Alert),
            _ => None,
        }
    }
}

impl<S: Session> Tls<S> {
    fn new(plain: Plain, session: S) -> Self {
        Tls {
            plain,
            session,
            incoming: Window::default(),
            plaintext: Window::default(),
            outgoing: Window::default(),
            ended: false,
            closing: false,
            failed: false,
            refused: None,
        }
    }

    pub fn session(&self) -> &S {
        &self.session
    }

    /// Lets rustls look at all that was received. What it decrypts goes to `taker`, what that has no room for is kept;
    /// what it wants said, and what we say if it is time for that, becomes outgoing. Returns how much of our data did.
    fn turn(&mut self, mut taker: impl Taker, say: Say<'_>) -> io::Result<usize> {
        if self.failed {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut failed = None;
        let mut said = 0;
        loop {
            let UnbufferedStatus { mut discard, state } = self.session.process(self.incoming.bytes_mut());
            let goes_on = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(broken)?;
                        discard += record.discard;
                        let taken = if self.plaintext.is_empty() { taker(record.payload) } else { 0 };
                        self.plaintext.append(record.payload.get(taken..).unwrap_or_default());
                    }
                    // Most often that was all.
                    discard < self.incoming.len() || self.session.wants_write() || !matches!(say, Say::Nothing)
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    let mut room = LEAST_READ;
                    loop {
                        match data.encode(self.outgoing.spare(room)) {
                            Ok(count) => break self.outgoing.fill(count),
                            Err(EncodeError::InsufficientSize(size)) => room = size.required_size,
                            Err(error) => return Err(io::Error::other(error)),
                        }
                    }
                    true
                }
                Ok(ConnectionState::TransmitTlsData(sent)) => {
                    sent.done();
                    true
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.ended = true;
                    true
                }
                Ok(ConnectionState::WriteTraffic(traffic)) => {
                    said = match say {
                        Say::Nothing => 0,
                        Say::Data(bytes) => encrypt(traffic, bytes, &mut self.outgoing)?,
                        Say::Goodbye => say_goodbye(traffic, &mut self.outgoing)?,
                    };
                    false
                }
                Ok(_) => false,
                Err(error) => {
                    if let Error::AlertReceived(alert) = &error {
                        self.refused = Some(*alert);
                    }
                    failed = Some(error);
                    true
                }
            };
            self.incoming.consume(discard);
            // After an error nothing is to be looked at any more, but the peer is to be told.
            match failed.take_if(|_| !self.session.wants_write()) {
                Some(error) => {
                    self.failed = true;
                    self.incoming.consume(self.incoming.len());
                    return Err(broken(error));
                }
                None if goes_on => {}
                None => return Ok(said),
            }
        }
    }

    /// Sends what is outgoing.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            let sent = ready!(Pin::new(&mut self.plain).poll_write(cx, self.outgoing.bytes()))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outgoing.consume(sent);
        }
        Poll::Ready(Ok(()))
    }

    /// Tells the peer why nothing more is said, and forgets what else it has sent: closing with something unread makes the
    /// kernel reset, and the alert may be lost to that.
    fn tell_why(&mut self, cx: &mut Context<'_>) {
        let _ = self.poll_send(cx);
        let mut forgotten = 0;
        while forgotten < LINGER_BYTES {
            self.incoming.consume(self.incoming.len());
            match poll_receive(&mut self.plain, cx, &mut self.incoming, LEAST_READ) {
                Poll::Ready(Ok(count @ 1..)) => forgotten += count,
                _ => break,
            }
        }
    }

    /// Reads what `taker` has room for; `room` is about how much that is. `Ok(0)` is the end: the peer has said so.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when the connection ends without that; rustls' as [`io::ErrorKind::InvalidData`].
    fn poll_take(&mut self, cx: &mut Context<'_>, room: usize, mut taker: impl Taker) -> Poll<io::Result<usize>> {
        if self.failed {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        loop {
            if !self.plaintext.is_empty() {
                let taken = taker(self.plaintext.bytes());
                self.plaintext.consume(taken);
                return Poll::Ready(Ok(taken));
            }
            if self.ended {
                return Poll::Ready(Ok(0));
            }
            let least = room.saturating_sub(self.incoming.len()).clamp(LEAST_READ, WINDOW - LEAST_READ);
            let received = match poll_receive(&mut self.plain, cx, &mut self.incoming, least) {
                Poll::Ready(received) => received?,
                Poll::Pending => {
                    if let Poll::Ready(sent) = self.poll_send(cx) {
                        sent?;
                    }
                    return Poll::Pending;
                }
            };
            if received == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            let mut taken = 0;
            let turned = self.turn(
                |bytes| {
                    let count = taker(bytes);
                    taken += count;
                    count
                },
                Say::Nothing,
            );
            if let Err(error) = turned {
                self.tell_why(cx);
                return Poll::Ready(Err(error));
            }
            if taken > 0 {
                return Poll::Ready(Ok(taken));
            }
        }
    }

    /// Reads once into the buffer's spare capacity.
    pub fn poll_read_into(&mut self, cx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        let room = buffer.capacity() - buffer.len();
        self.poll_take(cx, room, |bytes| {
            let count = bytes.len().min(buffer.capacity() - buffer.len());
            buffer.extend_from_slice(&bytes[..count]);
            count
        })
    }
}

/// Encrypts as much as there is room for, behind what is outgoing.
fn encrypt<S>(mut traffic: WriteTraffic<'_, S>, bytes: &[u8], outgoing: &mut Window) -> io::Result<usize> {
    let room = outgoing.room();
    let records = room / (RECORD_PLAINTEXT + RECORD_OVERHEAD);
    let count = bytes.len().min(room.saturating_sub((records + 1) * RECORD_OVERHEAD));
    let mut least = (count / RECORD_PLAINTEXT + 1) * RECORD_OVERHEAD + count;
    loop {
        match traffic.encrypt(&bytes[..count], outgoing.spare(least)) {
            Ok(written) => {
                outgoing.fill(written);
                return Ok(count);
            }
            Err(EncryptError::InsufficientSize(size)) => least = size.required_size,
            Err(error) => return Err(io::Error::other(error)),
        }
    }
}

fn say_goodbye<S>(mut traffic: WriteTraffic<'_, S>, outgoing: &mut Window) -> io::Result<usize> {
    let count = traffic.queue_close_notify(outgoing.spare(LEAST_READ)).map_err(io::Error::other)?;
    outgoing.fill(count);
    Ok(0)
}

impl<S: Session> fmt::Debug for Tls<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("plain", &self.plain).field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl<S: Session + Unpin> AsyncRead for Tls<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = self.get_mut().poll_take(cx, buffer.remaining(), |bytes| {
            let count = bytes.len().min(buffer.remaining());
            buffer.put_slice(&bytes[..count]);
            count
        });
        read.map_ok(|_| ())
    }
}

impl<S: Session + Unpin> AsyncWrite for Tls<S> {
    /// Encrypts and sends. What the socket does not take stays behind, for [`AsyncWrite::poll_flush`] or the next write.
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.outgoing.room() < LEAST_READ {
            ready!(this.poll_send(cx))?;
        }
        let mut count = 0;
        for slice in slices.iter().filter(|slice| !slice.is_empty()) {
            let taken = this.turn(|_| 0, Say::Data(slice))?;
            count += taken;
            if taken < slice.len() {
                break;
            }
        }
        match this.poll_send(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(count)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !std::mem::replace(&mut this.closing, true) && !this.failed {
            this.turn(|_| 0, Say::Goodbye)?;
        }
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.plain).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
