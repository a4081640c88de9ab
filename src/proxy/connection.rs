//! One client connection from accept to its protocol: PROXY header, TLS handshake, ALPN.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::io::AsyncReadExt;

use super::exchange::Setting;
use super::listener::Places;
use super::stream::{Plain, Stream};
use super::timer::Timer;
use super::tls::AcceptedTls;
use super::upstream::own::Client;
use super::view::View;
use super::worker::Worker;
use super::{clock, http1_server, http2_server, rules_context, tcp_session, tls};
use crate::http::forwarded::ClientFacts;
use crate::model::Mode;
use crate::model::frontend::AcceptProxy;
use crate::model::http::ClientProtocol;
use crate::model::log::Level;
use crate::model::tcp::TcpRule;
use crate::model::tls::TlsFacts;
use crate::moment::Moment;
use crate::rules::{Changes, TcpVerdict};
use crate::state::Shared;
use crate::state::counters::FrontendShard;
use crate::state::dial;
use crate::state::snapshot::{FrontendInForce, ListenerInForce};
use crate::state::tls::{Acceptance, BadHandshake};
use crate::wire::proxy_protocol::{self, BadProxyHeader, Header, Parsed, Tlvs};

/// What a PROXY header may take to come in at most (the specification asks for at least 3 s).
const PROXY_HEADER_WAIT: Duration = Duration::from_secs(5);

/// What the future of a parked connection may take, in bytes: what is large is boxed while it is needed. With tokio's 104 bytes
/// it is a task of 256; tasks come in powers of two, because mimalloc rounds up what is aligned to 128 as they are.
const PARKED_SIZE: usize = 152;

/// The addresses of a connection's two ends. `None` on unix sockets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    pub peer: Option<SocketAddr>,
    pub local: Option<SocketAddr>,
}

/// A client connection and all it needs to be served.
pub(crate) struct Connection {
    pub worker: Rc<Worker>,
    /// The configuration its current exchange runs by.
    pub view: Rc<View>,
    /// Index of its listener in the view.
    listener: usize,
    /// The client's and our own address, a PROXY header's if there was one, or what rules say.
    pub ends: Cell<Ends>,
    pub tls: Option<Box<TlsFacts>>,
    /// What its requests have in common on their way to servers.
    pub client: Client,
    /// What a PROXY header told besides addresses.
    pub told: Option<Box<Tlvs>>,
    pub accepted: Moment,
    /// PROXY header and TLS handshake together.
    pub handshake: Duration,
    /// The one deadline of this connection.
    pub timer: Timer,
    /// Its listener is gone from the configuration: no further request.
    pub orphaned: bool,
    /// It is clear what the client's first bytes are.
    pub looked_at: bool,
    /// Requests served since others on its worker had their turn.
    pub in_a_row: Cell<u32>,
    _places: Places,
    _tls_counted: Option<TlsCounted>,
}

/// Why a connection ended before its protocol began.
#[derive(Debug)]
enum BadStart {
    Proxy(BadProxyHeader),
    ProxyTimedOut,
    /// Closed by the client in the middle of it.
    ProxyCut,
    ProxyIo(io::Error),
    Tls(BadHandshake),
    TlsTimedOut,
    /// Closed by the client before it had sent a byte, or a whole hello.
    Nothing {
        of: Opening,
    },
}

/// What a client begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opening {
    ProxyHeader,
    Handshake,
}

/// In HAProxy's words (manual 7.3.3 `fc_err_str`), which tools look for; the reason stands behind them.
impl fmt::Display for BadStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadStart::Proxy(BadProxyHeader::NotAHeader) => {
                f.write_str("Received something which does not look like a PROXY protocol header")
            }
            BadStart::Proxy(bad) => write!(f, "Received an invalid PROXY protocol header: {bad}"),
            BadStart::ProxyTimedOut => f.write_str("Timeout while waiting for PROXY protocol header"),
            BadStart::ProxyCut => f.write_str("Truncated PROXY protocol header received"),
            BadStart::ProxyIo(error) => write!(f, "Connection error while waiting for PROXY protocol header: {error}"),
            BadStart::Nothing { of: Opening::ProxyHeader } => {
                f.write_str("Connection closed while waiting for PROXY protocol header")
            }
            BadStart::Tls(bad @ BadHandshake::ClientCertificate { above: false, .. }) => {
                write!(f, "SSL client certificate not trusted: {bad}")
            }
            BadStart::Tls(bad @ BadHandshake::ClientCertificate { above: true, .. }) => {
                write!(f, "SSL client CA chain cannot be verified: {bad}")
            }
            BadStart::Tls(bad) => write!(f, "SSL handshake failure: {bad}"),
            BadStart::TlsTimedOut => f.write_str("Timeout during SSL handshake"),
            BadStart::Nothing { of: Opening::Handshake } => f.write_str("Connection closed during SSL handshake"),
        }
    }
}

/// A rule has refused the connection. Neither logged nor answered (HAProxy manual 4.2, `tcp-request connection reject`).
struct Denied;

/// Serves an accepted connection in a task of its own.
pub(crate) fn spawn(worker: &Rc<Worker>, view: Rc<View>, listener: usize, places: Places, stream: Plain, ends: Ends) {
    let connection = Connection::accepted(worker, view, listener, places, ends);
    let serving = serve(connection, stream);
    debug_assert!(size_of_val(&serving) <= PARKED_SIZE, "a connection's future has grown to {}", size_of_val(&serving));
    tokio::task::spawn_local(serving);
}

/// What is parked is HTTP/1's future and no more: what is done once is boxed so that it can be forgotten, an `async fn` would
/// hold what it is given twice, and a name outside of the block what it was made of.
#[allow(clippy::manual_async_fn)]
fn serve(connection: Box<Connection>, plain: Plain) -> impl Future<Output = ()> {
    let opening = Box::pin(connection.opened(plain));
    async move {
        {
            let Some((connection, stream)) = opening.await else { return };
            let speaks_h2 = match connection.protocol() {
                ClientProtocol::Http1 => false,
                ClientProtocol::Http2 => true,
                ClientProtocol::Detected | ClientProtocol::Negotiated => connection.alpn() == Some(b"h2"),
            };
            match connection.frontend().config.mode {
                Mode::Tcp => return Box::pin(tcp_session::serve(connection, stream)).await,
                Mode::Http if speaks_h2 => {
                    return Box::pin(http2_server::serve(connection, stream, Vec::new())).await;
                }
                Mode::Http => http1_server::serve(connection, stream, Vec::new()),
            }
        }
        .await;
    }
}

impl Connection {
    pub(super) fn accepted(
        worker: &Rc<Worker>,
        view: Rc<View>,
        listener: usize,
        places: Places,
        ends: Ends,
    ) -> Box<Connection> {
        Box::new(Connection {
            worker: Rc::clone(worker),
            view,
            listener,
            ends: Cell::new(ends),
            tls: None,
            client: Client::new(worker),
            told: None,
            accepted: clock::now(),
            handshake: Duration::ZERO,
            timer: worker.timers.timer(),
            orphaned: false,
            looked_at: false,
            in_a_row: Cell::new(0),
            _places: places,
            _tls_counted: None,
        })
    }

    pub fn listener(&self) -> &ListenerInForce {
        &self.view.listeners[self.listener]
    }

    fn protocol(&self) -> ClientProtocol {
        self.frontend().config.listeners[self.listener().index].protocol
    }

    fn alpn(&self) -> Option<&[u8]> {
        self.tls.as_ref()?.alpn.as_deref()
    }

    /// Whether the client's first bytes may turn out to be HTTP/2: nothing has been agreed on (as HAProxy has it, manual
    /// 4.2 `option disable-h2-upgrade`).
    pub fn detects_http2(&self) -> bool {
        !self.looked_at && self.protocol() == ClientProtocol::Detected && self.alpn().is_none()
    }

    /// Its listener's number within its frontend, from 1.
    pub fn listener_number(&self) -> u32 {
        self.listener().index as u32 + 1
    }

    pub fn frontend(&self) -> &FrontendInForce {
        self.view.frontend(self.listener().frontend)
    }

    /// This worker's shard of the frontend's counters.
    pub fn count(&self) -> &FrontendShard {
        self.frontend().state.counters.of(self.worker.index)
    }

    pub fn facts(&self) -> ClientFacts {
        let Ends { peer, local } = self.ends.get();
        ClientFacts { client: peer, local, tls: self.tls.is_some() }
    }

    /// The host a TLS client asked for.
    pub fn sni(&self) -> Option<&[u8]> {
        self.tls.as_ref()?.sni.as_deref().map(str::as_bytes)
    }

    /// Wall-clock time of an instant on this worker's clock.
    pub fn wall_time(&self, at: Moment) -> SystemTime {
        #[allow(clippy::disallowed_methods)] // told to people only, nothing is decided by it
        let now = SystemTime::now();
        now - clock::now().saturating_duration_since(at)
    }

    /// Goes over to the configuration in force, between two exchanges.
    pub fn follow_reload(&mut self) {
        let newest = self.worker.view();
        if Rc::ptr_eq(&newest, &self.view) {
            return;
        }
        let socket = self.listener().socket.id;
        match newest.listener_of(socket).map(|(index, _)| index) {
            Some(index) => {
                self.listener = index;
                self.view = newest;
            }
            None => self.orphaned = true,
        }
    }

    /// No further request will be taken.
    pub fn is_leaving(&self) -> bool {
        self.orphaned || self.worker.is_leaving()
    }

    /// Asks `tcp-request connection` rules: whether a PROXY header is due, or why there is nothing to serve.
    fn enter(&self, plain: &Plain) -> Result<bool, Denied> {
        let rules = &self.frontend().config.tcp_request.connection;
        let verdict = if rules.is_empty() { TcpVerdict::Accept } else { self.ask(rules, Some(plain)) };
        let shards = [self.count(), self.listener().state.counters.of(self.worker.index)];
        let denied = |shard: &FrontendShard| match verdict {
            TcpVerdict::Reject => shard.denied_connections.add(1),
            _ => shard.denied_requests.add(1), // as HAProxy 2.6 counts them
        };
        if matches!(verdict, TcpVerdict::Reject | TcpVerdict::SilentDrop) {
            shards.iter().for_each(|shard| denied(shard));
            return Err(Denied);
        }
        Ok(verdict == TcpVerdict::ExpectProxy)
    }

    /// The client's socket, for what is set on TCP.
    fn tcp_socket<'p>(&self, plain: &'p Plain) -> Option<socket2::SockRef<'p>> {
        match plain {
            Plain::Accepted(accepted) if self.listener().socket.local.is_some() => Some((&**accepted).into()),
            Plain::Tcp(stream) => Some(stream.into()),
            _ => None,
        }
    }

    /// What is asked for on the client's socket. It works without: whoever has gone meanwhile is found out later.
    fn set_options(&self, plain: &Plain) {
        let frontend = &self.frontend().config;
        let user_timeout = frontend.listeners[self.listener().index].user_timeout;
        if frontend.keep_alive.is_none() && user_timeout.is_none() && !frontend.nolinger {
            return;
        }
        let Some(socket) = self.tcp_socket(plain) else { return };
        if let Some(keep_alive) = &frontend.keep_alive {
            let _ = dial::probe(&socket, keep_alive);
        }
        if user_timeout.is_some() {
            let _ = socket.set_tcp_user_timeout(user_timeout);
        }
        if frontend.nolinger {
            let _ = dial::break_at_close(&socket);
        }
    }

    /// Asks `tcp-request session` rules. Behind them it is a session.
    fn admit(&self, stream: &Stream) -> Result<(), Denied> {
        let rules = &self.frontend().config.tcp_request.session;
        let verdict = if rules.is_empty() { TcpVerdict::Accept } else { self.ask(rules, stream.carrier()) };
        for shard in [self.count(), self.listener().state.counters.of(self.worker.index)] {
            match verdict {
                TcpVerdict::Accept => shard.sessions.add(1),
                TcpVerdict::SilentDrop => shard.denied_requests.add(1),
                _ => shard.denied_sessions.add(1),
            }
        }
        if verdict == TcpVerdict::Accept { Ok(()) } else { Err(Denied) }
    }

    fn ask(&self, rules: &[TcpRule], socket: Option<&Plain>) -> TcpVerdict {
        let setting = Setting { connection: self, view: &self.view, frontend: self.frontend(), timer: &self.timer };
        let (verdict, changes) = rules_context::tcp_rules(&setting, rules, None, None, Changes::default());
        self.change(verdict, &changes, socket);
        verdict
    }

    /// Does to the connection what rules said.
    pub fn change(&self, verdict: TcpVerdict, changes: &Changes, socket: Option<&Plain>) {
        let Ends { peer, local } = self.ends.get();
        self.ends.set(Ends { peer: changes.src.or(peer), local: changes.dst.or(local) });
        let Some(socket) = socket.and_then(|plain| self.tcp_socket(plain)) else { return };
        if verdict == TcpVerdict::SilentDrop {
            dial::vanish(&socket);
        } else if changes.tos.is_some() || changes.mark.is_some() {
            dial::mark_packets(&socket, changes.tos, changes.mark);
        }
    }

    async fn opened(mut self: Box<Self>, plain: Plain) -> Option<(Box<Self>, Stream)> {
        let stream = self.open(plain).await?;
        Some((self, stream))
    }

    /// All that comes before the first byte of the protocol. `None` when it came to nothing, which has been told then.
    async fn open(&mut self, mut plain: Plain) -> Option<Stream> {
        // Whom a PROXY header is taken from is no rule's to change.
        let peer = self.ends.get().peer;
        let expect_proxy = self.enter(&plain).ok()?;
        self.set_options(&plain);
        let opened = match self.start(&mut plain, peer, expect_proxy).await {
            Ok(None) => Ok(Stream::Plain(plain)),
            Ok(Some(acceptance)) => self.handshake(plain, &acceptance).await,
            Err(bad) => Err(bad),
        };
        let stream = opened.map_err(|bad| self.refuse(&bad)).ok()?;
        self.admit(&stream).ok().map(|()| stream)
    }

    /// Reads the PROXY header where one is due. Returns how to speak TLS, if it is spoken.
    async fn start(
        &mut self,
        plain: &mut Plain,
        peer: Option<SocketAddr>,
        expect_proxy: bool,
    ) -> Result<Option<Arc<Acceptance>>, BadStart> {
        let listener = &self.frontend().config.listeners[self.listener().index];
        let due = match &listener.accept_proxy {
            AcceptProxy::No => false,
            AcceptProxy::Always => true,
            AcceptProxy::From(networks) => peer.is_some_and(|peer| networks.contains(peer.ip())),
        };
        if due || expect_proxy {
            let timeouts = &self.frontend().config.timeouts;
            let patience = timeouts.client_handshake.or(timeouts.client);
            self.timer.set_after(Some(patience.map_or(PROXY_HEADER_WAIT, |patience| patience.min(PROXY_HEADER_WAIT))));
            let read = self.timer.bound(read_proxy_header(plain)).await.ok_or(BadStart::ProxyTimedOut)??;
            let (header, told) = read;
            self.timer.set(None);
            self.told = told.map(Box::new);
            if let Header::Proxied { source, destination } = header {
                self.ends.set(Ends { peer: Some(source), local: Some(destination) });
            }
        }
        Ok(self.listener().tls.clone())
    }

    async fn handshake(&mut self, plain: Plain, acceptance: &Acceptance) -> Result<Stream, BadStart> {
        self.count().tls_connections.add(1);
        let timeouts = &self.frontend().config.timeouts;
        self.timer.set_after(timeouts.client_handshake.or(timeouts.client));
        let accepted = self.timer.bound(tls::accept(plain, acceptance)).await;
        self.timer.set(None);
        let AcceptedTls { tls, terms, sni, made_with } = match accepted.ok_or(BadStart::TlsTimedOut)? {
            Ok(accepted) => accepted,
            Err(BadHandshake::NoHello) => return Err(BadStart::Nothing { of: Opening::Handshake }),
            Err(bad) => return Err(BadStart::Tls(bad)),
        };
        let facts = TlsFacts { made_with, ..terms.facts(tls.session(), sni) };
        self.count().tls_handshakes.add(1);
        if facts.resumed {
            self.count().tls_resumed.add(1);
        }
        self.tls = Some(Box::new(facts));
        self._tls_counted = Some(TlsCounted::enter(&self.worker));
        self.handshake = clock::now().saturating_duration_since(self.accepted);
        Ok(Stream::Client(Box::new(tls)))
    }

    /// Counts and logs a connection that came to nothing (HAProxy manual 8.2.5, error log format).
    fn refuse(&self, bad: &BadStart) {
        if matches!(bad, BadStart::Tls(_) | BadStart::TlsTimedOut) {
            self.count().tls_failures.add(1);
        }
        let frontend = self.frontend();
        let silent =
            matches!(bad, BadStart::Nothing { .. } | BadStart::ProxyIo(_)) && frontend.config.log.dont_log_null;
        if silent || !frontend.logs.wants(Level::Info) {
            return;
        }
        let listener = &frontend.config.listeners[self.listener().index].name;
        let mut line = Vec::with_capacity(128);
        crate::logline::render_refused(
            self.ends.get().peer,
            self.wall_time(self.accepted),
            &frontend.config.name,
            listener,
            &bad.to_string(),
            &mut line,
        );
        frontend.logs.send(Level::Info, &line);
    }
}

/// Counts one TLS connection for as long as it lives.
struct TlsCounted(Arc<Shared>);

impl TlsCounted {
    fn enter(worker: &Worker) -> Self {
        worker.shared.process.tls_connections.enter();
        TlsCounted(Arc::clone(&worker.shared))
    }
}

impl Drop for TlsCounted {
    fn drop(&mut self) {
        self.0.process.tls_connections.leave();
    }
}

/// Reads a PROXY header and not a byte more: what follows belongs to TLS or the protocol behind.
async fn read_proxy_header(plain: &mut Plain) -> Result<(Header, Option<Tlvs>), BadStart> {
    let mut bytes = Vec::with_capacity(proxy_protocol::V1_LIMIT);
    loop {
        match proxy_protocol::parse(&bytes).map_err(BadStart::Proxy)? {
            Parsed::Complete { header, .. } => return Ok((header, proxy_protocol::tlvs(&bytes))),
            Parsed::NeedMore => {
                let want = proxy_protocol::bytes_to_read(&bytes);
                let start = bytes.len();
                bytes.resize(start + want, 0);
                let read = plain.read(&mut bytes[start..]).await.map_err(BadStart::ProxyIo)?;
                bytes.truncate(start + read);
                if read == 0 {
                    return Err(if start == 0 {
                        BadStart::Nothing { of: Opening::ProxyHeader }
                    } else {
                        BadStart::ProxyCut
                    });
                }
            }
        }
    }
}
