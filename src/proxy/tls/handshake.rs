//! TLS handshakes: with a client, whose hello is read before anything is decided, and with a server.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::{Acceptor, UnbufferedServerConnection};
use rustls::{ClientConfig, Error, PeerIncompatible, ProtocolVersion, ServerConfig};

use super::super::stream::Plain;
use super::window::Window;
use super::{LEAST_READ, Say, Session, Tls, broken, poll_receive};
use crate::model::tls::MadeWith;
use crate::state::tls::{Acceptance, AcceptedTerms, BadHandshake};
use crate::wire::client_hello::{self, Parsed};

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
/// [`BadHandshake`], of which the client has been told what can be told.
pub(crate) async fn accept(plain: Plain, acceptance: &Acceptance) -> Result<AcceptedTls, BadHandshake> {
    let mut hello = Hello { plain, incoming: Window::default(), acceptor: Acceptor::default() };
    let wanted = poll_fn(|cx| hello.poll(cx, acceptance)).await.map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => BadHandshake::NoHello,
        _ => BadHandshake::from(error),
    });
    let Wanted { config, terms, sni, made_with, is_outdated } = wanted?;
    let session = UnbufferedServerConnection::new(config)?;
    let mut tls = Tls { incoming: hello.incoming, ..Tls::new(hello.plain, session) };
    poll_fn(|cx| {
        tls.poll_handshake(cx).map_err(|error| {
            let bad =
                if is_outdated { BadHandshake::Version } else { BadHandshake::with_client(error, sni.as_deref()) };
            tls.refuse(cx, &bad);
            bad
        })
    })
    .await?;
    Ok(AcceptedTls { tls, terms, sni, made_with })
}

/// Shakes hands with a server.
///
/// # Errors
/// The socket's; [`io::ErrorKind::UnexpectedEof`] when the server closes in the middle; rustls' as
/// [`io::ErrorKind::InvalidData`].
pub(crate) async fn connect(
    plain: Plain,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> io::Result<Tls<UnbufferedClientConnection>> {
    let session = UnbufferedClientConnection::new(config, name).map_err(broken)?;
    let mut tls = Tls::new(plain, session);
    poll_fn(|cx| {
        tls.poll_handshake(cx).map_err(|error| {
            tls.tell_why(cx);
            error
        })
    })
    .await?;
    Ok(tls)
}

/// What a client is served with, and the host it asked for.
struct Wanted {
    config: Arc<ServerConfig>,
    terms: Arc<AcceptedTerms>,
    sni: Option<Box<str>>,
    made_with: Option<Arc<MadeWith>>,
    /// It speaks nothing newer than TLS 1.1.
    is_outdated: bool,
}

impl Wanted {
    /// By a client whose hello is none, or none of today's.
    fn nothing(acceptance: &Acceptance, is_outdated: bool) -> Self {
        let terms = Arc::clone(acceptance.usual());
        Wanted { config: Arc::clone(&terms.config), terms, sni: None, made_with: None, is_outdated }
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
                    return Poll::Ready(Ok(Wanted::nothing(acceptance, false)));
                }
                match self.acceptor.accept() {
                    Ok(None) => {}
                    Ok(Some(accepted)) => {
                        let hello = accepted.client_hello();
                        let terms = Arc::clone(acceptance.for_client(&hello));
                        return Poll::Ready(Ok(Wanted {
                            config: Arc::clone(terms.config_for(&hello)),
                            terms,
                            sni: hello.server_name().map(|name| as_sent(name, self.incoming.bytes())),
                            made_with: acceptance.made_with(&hello),
                            is_outdated: false,
                        }));
                    }
                    Err((error, _)) => {
                        let is_outdated = is_outdated(&error, self.incoming.bytes());
                        return Poll::Ready(Ok(Wanted::nothing(acceptance, is_outdated)));
                    }
                }
            }
        }
    }
}

/// The name asked for as the client writes it, which rustls tells in lower case.
fn as_sent(name: &str, hello: &[u8]) -> Box<str> {
    if memchr::memmem::find(hello, name.as_bytes()).is_some() {
        return name.into(); // most often
    }
    let Ok(Parsed::Complete(hello)) = client_hello::parse(hello) else { return name.into() };
    let sent = hello.server_name.as_deref().and_then(|sent| std::str::from_utf8(sent).ok());
    sent.filter(|sent| sent.eq_ignore_ascii_case(name)).unwrap_or(name).into()
}

/// Whether this error, of that hello, is about a client of before TLS 1.2. rustls looks for what such clients do not send
/// before it looks at versions.
fn is_outdated(error: &Error, hello: &[u8]) -> bool {
    let misleading = PeerIncompatible::SignatureAlgorithmsExtensionRequired;
    *error == misleading.into()
        && matches!(
            client_hello::parse(hello),
            Ok(Parsed::Complete(hello)) if hello.legacy_version < u16::from(ProtocolVersion::TLSv1_2)
        )
}

impl Tls<UnbufferedServerConnection> {
    /// Tells the client why there will be no connection.
    fn refuse(&mut self, cx: &mut Context<'_>, bad: &BadHandshake) {
        if let Some(better) = bad.alert(self.session.protocol_version())
            // An alert that is not encrypted (RFC 5246 §7.2).
            && let [.., 21, 3, _, 0, 2, _, alert] = self.outgoing.bytes_mut()
        {
            *alert = better.into();
        }
        self.tell_why(cx);
    }
}

impl<S: Session> Tls<S> {
    /// After an error the peer is still to be told: what rustls says about it is outgoing.
    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.turn(|_| 0, Say::Nothing)?;
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

#[cfg(test)]
mod tests;
