//! TLS handshakes: with a client, whose hello is read before anything is decided, and with a server.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::{Acceptor, UnbufferedServerConnection};
use rustls::{ClientConfig, ProtocolVersion};

use super::super::stream::Plain;
use super::window::Window;
use super::{LEAST_READ, Say, Session, Tls, broken, poll_receive};
use crate::model::tls::MadeWith;
use crate::state::tls::{Acceptance, AcceptedTerms};

/// A finished handshake with a client.
pub(crate) struct AcceptedTls {
    pub tls: Tls<UnbufferedServerConnection>,
    pub terms: Arc<AcceptedTerms>,
    /// The host it asked for.
    pub sni: Option<Box<str>>,
    /// What the certificate it was shown is made with.
    pub made_with: Option<Arc<MadeWith>>,
}

/// Shakes hands with a client. Its hello is read first: terms may depend on it.
///
/// # Errors
/// The socket's; [`io::ErrorKind::UnexpectedEof`] when the client closes in the middle; rustls' as
/// [`io::ErrorKind::InvalidData`].
pub(crate) async fn accept(plain: Plain, acceptance: &Acceptance) -> io::Result<AcceptedTls> {
    let mut hello = Hello { plain, incoming: Window::default(), acceptor: Acceptor::default() };
    let Wanted { terms, sni, made_with } = poll_fn(|cx| hello.poll(cx, acceptance)).await?;
    let session = UnbufferedServerConnection::new(Arc::clone(&terms.config)).map_err(broken)?;
    let mut tls = Tls { incoming: hello.incoming, ..Tls::new(hello.plain, session) };
    poll_fn(|cx| tls.poll_handshake(cx)).await?;
    Ok(AcceptedTls { tls, terms, sni, made_with })
}

/// Shakes hands with a server.
///
/// # Errors
/// As [`accept`].
pub(crate) async fn connect(
    plain: Plain,
    config: &Arc<ClientConfig>,
    name: ServerName<'static>,
) -> io::Result<Tls<UnbufferedClientConnection>> {
    let session = UnbufferedClientConnection::new(Arc::clone(config), name).map_err(broken)?;
    let mut tls = Tls::new(plain, session);
    poll_fn(|cx| tls.poll_handshake(cx)).await?;
    Ok(tls)
}

/// What a client is served with, and the host it asked for.
struct Wanted {
    terms: Arc<AcceptedTerms>,
    sni: Option<Box<str>>,
    made_with: Option<Arc<MadeWith>>,
}

impl Wanted {
    /// By a client whose hello is none.
    fn nothing(acceptance: &Acceptance) -> Self {
        Wanted { terms: Arc::clone(acceptance.usual()), sni: None, made_with: None }
    }
}

/// A client of whom nothing is known yet.
struct Hello {
    plain: Plain,
    incoming: Window,
    acceptor: Acceptor,
}

impl Hello {
    /// Reads until the hello is there. A broken one is left to the session, which tells the client.
    fn poll(&mut self, cx: &mut Context<'_>, acceptance: &Acceptance) -> Poll<io::Result<Wanted>> {
        loop {
            let received = ready!(poll_receive(&mut self.plain, cx, &mut self.incoming, LEAST_READ))?;
            if received == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            let seen = self.incoming.len() - received;
            let mut new = self.incoming.bytes().get(seen..).unwrap_or_default();
            while !new.is_empty() {
                if !matches!(self.acceptor.read_tls(&mut new), Ok(1..)) {
                    return Poll::Ready(Ok(Wanted::nothing(acceptance)));
                }
                match self.acceptor.accept() {
                    Ok(None) => {}
                    Ok(Some(accepted)) => {
                        let hello = accepted.client_hello();
                        let sni = hello.server_name().map(Into::into);
                        let terms = Arc::clone(acceptance.for_client(&hello));
                        return Poll::Ready(Ok(Wanted { terms, sni, made_with: acceptance.made_with(&hello) }));
                    }
                    Err(_) => return Poll::Ready(Ok(Wanted::nothing(acceptance))),
                }
            }
        }
    }
}

impl<S: Session> Tls<S> {
    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Err(error) = self.turn(|_| 0, Say::Nothing) {
                self.tell_why(cx);
                return Poll::Ready(Err(error));
            }
            let over = !self.session.is_handshaking();
            if over && self.session.protocol_version() == Some(ProtocolVersion::TLSv1_3) {
                // The peer is not waiting for what is outgoing: it leaves with the first data.
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_send(cx))?;
            if over {
                return Poll::Ready(Ok(()));
            }
            if ready!(poll_receive(&mut self.plain, cx, &mut self.incoming, LEAST_READ))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}
