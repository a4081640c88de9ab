//! One health check over real sockets: connect, PROXY header, TLS, dialog, each under its timeout.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_tcp_quickack;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, UnixStream};
use tokio_rustls::TlsConnector;

use super::probe_http2 as http2;
use crate::model::backend::{ProxyVersion, ServerAddress};
use crate::model::check::{Check, CheckKind, HttpCheck};
use crate::model::global::HttpLimits;
use crate::model::http::ServerProtocol;
use crate::state::dial;
use crate::state::tls::{BadHandshake, TlsToServer, server_name};
use crate::wire::check_dialog::{CheckPhase, CheckResult, HttpDialog, Judgement, Outcome, request};
use crate::wire::proxy_protocol::{Header, encode, encode_v2_telling};

/// Bytes read at a time.
const READ_SIZE: usize = 4096;

/// A check with all that can be prepared once.
pub(crate) struct Probe {
    check: Arc<Check>,
    tls: Option<(TlsToServer, ServerName<'static>)>,
    /// What an HTTP/1 server is asked; empty when nothing is.
    request: Vec<u8>,
    limits: HttpLimits,
}

/// A conversation's end before the dialog had its say.
struct Failure {
    outcome: Outcome,
    phase: CheckPhase,
    errno: Option<i32>,
    info: String,
}

impl Probe {
    pub fn new(check: Arc<Check>, limits: HttpLimits) -> Self {
        let tls =
            check.tls.as_ref().map(|settings| (TlsToServer::new(settings), server_name(settings, &check.target, None)));
        let mut asked = Vec::new();
        if let CheckKind::Http(check) = &check.kind {
            request(check, &mut asked);
        }
        Probe { check, tls, request: asked, limits }
    }

    /// Between two checks of a server in good health.
    pub fn interval(&self) -> Duration {
        self.check.interval
    }

    /// Asks the server once. Ends within the check's own timeouts.
    pub async fn run(&self) -> CheckResult {
        let began = Instant::now();
        #[cfg(test)]
        assert!(self.check.target != ServerAddress::Unix("/injected-panic".into()), "injected in a check");
        let ended = match &self.check.target {
            ServerAddress::Tcp(address) => self.over_tcp(*address, began).await,
            ServerAddress::Unix(path) => match self.connecting(UnixStream::connect(path)).await {
                Ok(stream) => self.over(stream, Header::Unnamed, began).await,
                Err(failure) => Err(failure),
            },
        };
        let duration = began.elapsed();
        match ended {
            Ok((phase, judgement)) => CheckResult {
                outcome: judgement.outcome,
                phase,
                code: judgement.code,
                errno: None,
                info: judgement.info,
                expected: judgement.expected,
                got: judgement.got,
                duration,
            },
            Err(failure) => CheckResult {
                outcome: failure.outcome,
                phase: failure.phase,
                code: None,
                errno: failure.errno,
                info: failure.info,
                expected: None,
                got: None,
                duration,
            },
        }
    }

    async fn over_tcp(&self, address: SocketAddr, began: Instant) -> Result<(CheckPhase, Judgement), Failure> {
        let connect = async {
            // Who speaks first, or ends it with a reset, need not acknowledge the connection before. An HTTP check
            // is eight segments then, not ten.
            if let Some(dial) = &self.check.dial {
                return dial::connect(address, dial, None, |socket| _ = set_tcp_quickack(socket, false)).await;
            }
            let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            let _ = set_tcp_quickack(&socket, false);
            socket.connect(address).await
        };
        let stream = self.connecting(connect).await?;
        if self.only_connects() {
            // Nothing was said, so nothing can be lost: a reset leaves no socket behind in TIME_WAIT.
            let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        } else if !self.asks_at_once() {
            // A question is not to wait for the acknowledgement of the one before, and the socket works without.
            let _ = stream.set_nodelay(true);
        }
        // In v2 this is LOCAL: the proxy speaks for itself. v1 has no such word; HAProxy names the socket's own addresses.
        let header = match self.check.send_proxy.map(|version| (version, stream.local_addr())) {
            Some((ProxyVersion::V1, Ok(source))) => Header::Proxied { source, destination: address },
            _ => Header::Unnamed,
        };
        self.over(stream, header, began).await
    }

    /// What a request is addressed to that names no host.
    fn target_name(&self) -> String {
        match &self.check.target {
            ServerAddress::Tcp(address) => address.to_string(),
            ServerAddress::Unix(_) => "localhost".to_owned(),
        }
    }

    fn only_connects(&self) -> bool {
        matches!(self.check.kind, CheckKind::Connect) && self.tls.is_none() && self.check.send_proxy.is_none()
    }

    /// All it has to say is one question.
    fn asks_at_once(&self) -> bool {
        self.tls.is_none() && self.check.send_proxy.is_none() && self.check.protocol != ServerProtocol::Http2
    }

    async fn connecting<S>(&self, connect: impl Future<Output = io::Result<S>>) -> Result<S, Failure> {
        match tokio::time::timeout(self.check.connect_timeout, connect).await {
            Err(_) => Err(timed_out(Outcome::L4Timeout, CheckPhase::Connect)),
            Ok(Err(error)) => {
                let outcome = if is_local(&error) { Outcome::SocketError } else { Outcome::L4Connection };
                Err(failed(outcome, CheckPhase::Connect, &error))
            }
            Ok(Ok(stream)) => Ok(stream),
        }
    }

    /// Everything behind the connection.
    async fn over<S>(&self, mut stream: S, header: Header, began: Instant) -> Result<(CheckPhase, Judgement), Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // `timeout check` counts from the connection, the interval from the start.
        let left = match self.check.timeout {
            Some(timeout) => timeout,
            None => self.check.interval.saturating_sub(began.elapsed()),
        };
        let deadline = tokio::time::Instant::now() + left;
        if let Some(version) = self.check.send_proxy {
            let mut bytes = Vec::new();
            match version {
                ProxyVersion::V1 => encode(version, header, &mut bytes),
                ProxyVersion::V2 => encode_v2_telling(header, self.check.proxy_options, None, &mut bytes),
            }
            sending(deadline, stream.write_all(&bytes)).await?;
        }
        // What few checks need lives in a box of its own, so that all others need not carry room for it.
        match &self.tls {
            Some((tls, name)) => {
                let handshake = TlsConnector::from(tls.config()).connect(name.clone(), stream);
                Box::pin(self.over_tls(handshake, deadline)).await
            }
            None => {
                let http2 = self.check.protocol == ServerProtocol::Http2;
                self.converse(stream, deadline, Outcome::L4Ok, http2).await
            }
        }
    }

    async fn over_tls<S>(
        &self,
        handshake: tokio_rustls::Connect<S>,
        deadline: tokio::time::Instant,
    ) -> Result<(CheckPhase, Judgement), Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        match tokio::time::timeout_at(deadline, handshake).await {
            Err(_) => Err(timed_out(Outcome::L6Timeout, CheckPhase::Tls)),
            Ok(Err(error)) => {
                let errno = error.raw_os_error();
                let info = format!("SSL handshake failure ({})", BadHandshake::from(error));
                Err(Failure { outcome: Outcome::L6Response, phase: CheckPhase::Tls, errno, info })
            }
            Ok(Ok(stream)) => {
                let agreed = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let http2 = match self.check.protocol {
                    ServerProtocol::Http1 => false,
                    ServerProtocol::Http2 => true,
                    ServerProtocol::Negotiated => agreed,
                };
                self.converse(stream, deadline, Outcome::L6Ok, http2).await
            }
        }
    }

    async fn converse<S>(
        &self,
        mut stream: S,
        deadline: tokio::time::Instant,
        connected: Outcome,
        http2: bool,
    ) -> Result<(CheckPhase, Judgement), Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let ended = match &self.check.kind {
            CheckKind::Connect => {
                let phase = if connected == Outcome::L6Ok { CheckPhase::Tls } else { CheckPhase::Connect };
                let passed =
                    Judgement { outcome: connected, code: None, info: String::new(), expected: None, got: None };
                Ok((phase, passed))
            }
            CheckKind::Http(check) if http2 => {
                let target = self.target_name();
                let judged = Box::pin(http2::ask(stream, check, &target, self.tls.is_some(), self.limits));
                return match tokio::time::timeout_at(deadline, judged).await {
                    Err(_) => Err(timed_out(Outcome::L7Timeout, CheckPhase::Response)),
                    Ok(Err(error)) => Err(Failure {
                        outcome: Outcome::L7Response,
                        phase: CheckPhase::Response,
                        errno: None,
                        info: error.to_string(),
                    }),
                    Ok(Ok(judgement)) => Ok((CheckPhase::Response, judgement)),
                };
            }
            CheckKind::Http(check) => {
                self.ask(&mut stream, check, deadline).await.map(|judgement| (CheckPhase::Response, judgement))
            }
        };
        if ended.is_ok() && self.tls.is_some() {
            // A polite end; whether it arrives says nothing about the server's health.
            let _ = tokio::time::timeout_at(deadline, stream.shutdown()).await;
        }
        ended
    }

    async fn ask<S>(
        &self,
        stream: &mut S,
        check: &HttpCheck,
        deadline: tokio::time::Instant,
    ) -> Result<Judgement, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        sending(deadline, async {
            stream.write_all(&self.request).await?;
            stream.flush().await
        })
        .await?;
        let mut dialog = HttpDialog::new(check, self.limits);
        let mut buffer = Vec::with_capacity(READ_SIZE);
        loop {
            buffer.clear();
            let read = match tokio::time::timeout_at(deadline, stream.read_buf(&mut buffer)).await {
                Err(_) => return Err(timed_out(Outcome::L7Timeout, CheckPhase::Response)),
                // A TLS server that closes without saying so still closed.
                Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
                Ok(Err(error)) => return Err(failed(Outcome::SocketError, CheckPhase::Response, &error)),
                Ok(Ok(read)) => read,
            };
            if read == 0 {
                return Ok(dialog.closed());
            }
            if let Some(judgement) = dialog.feed(&buffer) {
                return Ok(judgement);
            }
        }
    }
}

async fn sending(deadline: tokio::time::Instant, write: impl Future<Output = io::Result<()>>) -> Result<(), Failure> {
    match tokio::time::timeout_at(deadline, write).await {
        Err(_) => Err(timed_out(Outcome::L7Timeout, CheckPhase::Send)),
        Ok(Err(error)) => Err(failed(Outcome::SocketError, CheckPhase::Send, &error)),
        Ok(Ok(())) => Ok(()),
    }
}

fn timed_out(outcome: Outcome, phase: CheckPhase) -> Failure {
    Failure { outcome, phase, errno: None, info: String::new() }
}

fn failed(outcome: Outcome, phase: CheckPhase, error: &io::Error) -> Failure {
    Failure { outcome, phase, errno: error.raw_os_error(), info: reason(error) }
}

/// The system's word alone, as HAProxy logs it: `Connection refused`. What TLS says is told in our words: servers refuse
/// our certificate, or want one, when the handshake is over for us.
fn reason(error: &io::Error) -> String {
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return BadHandshake::from(tls.clone()).to_string();
    }
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text.get(..end).unwrap_or_default().to_owned(),
        None => text,
    }
}

/// Our own shortage, not the server's fault: file descriptors, ports, memory.
fn is_local(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let shortages = [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL, Errno::NOBUFS, Errno::NOMEM];
    error.raw_os_error().is_some_and(|errno| shortages.iter().any(|shortage| shortage.raw_os_error() == errno))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;
    use std::sync::mpsc;

    use super::*;
    use crate::model::testing;
    use crate::state::tls::testing as tls;
    use crate::state::tls::testing::{server_config, shared};

    /// A server for one connection: reads once, answers, closes. The channel brings what it read.
    fn server(answer: &'static [u8]) -> (ServerAddress, mpsc::Receiver<Vec<u8>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = ServerAddress::Tcp(listener.local_addr().unwrap());
        let (sender, received) = mpsc::channel();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            serve_once(&mut stream, answer, &sender);
        });
        (address, received)
    }

    fn serve_once<S: Read + Write>(stream: &mut S, answer: &[u8], sender: &mpsc::Sender<Vec<u8>>) {
        let mut buffer = [0; 2048];
        let read = stream.read(&mut buffer).unwrap_or(0);
        stream.write_all(answer).unwrap();
        // The test may have ended already.
        let _ = sender.send(buffer[..read].to_vec());
    }

    fn http(target: ServerAddress) -> Check {
        testing::check(target, CheckKind::Http(testing::http_check()))
    }

    fn run(check: Check) -> CheckResult {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(Probe::new(Arc::new(check), HttpLimits::default()).run())
    }

    #[track_caller]
    fn check(probed: Check, outcome: Outcome, phase: CheckPhase, info: &str) -> CheckResult {
        let result = run(probed);
        assert_eq!((result.outcome, result.phase, result.info.as_str()), (outcome, phase, info));
        result
    }

    #[test]
    fn a_connection_is_enough_or_refused() {
        let (address, _received) = server(b"");
        check(testing::check(address, CheckKind::Connect), Outcome::L4Ok, CheckPhase::Connect, "");
        // Bound and not listened at, so that nobody else can take it.
        let held = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        held.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let nobody = held.local_addr().unwrap().as_socket().unwrap();
        let refused = testing::check(ServerAddress::Tcp(nobody), CheckKind::Connect);
        let result = check(refused, Outcome::L4Connection, CheckPhase::Connect, "Connection refused");
        assert_eq!(result.errno, Some(rustix::io::Errno::CONNREFUSED.raw_os_error()));
    }

    /// It is moved into its box for each check: room that few checks need would cost all of them.
    #[test]
    fn a_check_is_small() {
        let (address, _received) = server(b"");
        let probe = Probe::new(Arc::new(http(address)), HttpLimits::default());
        let size = size_of_val(&probe.run());
        assert!(size <= 2048, "{size} bytes");
    }

    #[test]
    fn http_answers_are_judged() {
        let (address, received) = server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        let passed = check(http(address), Outcome::L7Ok, CheckPhase::Response, "");
        assert_eq!(passed.code, Some(200));
        let asked = String::from_utf8(received.recv().unwrap()).unwrap();
        assert_eq!(asked, "GET /health HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n");
        let (address, _received) = server(b"HTTP/1.1 503 Service Unavailable\r\n\r\n");
        let failed = check(http(address), Outcome::L7Status, CheckPhase::Response, "Service Unavailable");
        assert_eq!(failed.code, Some(503));
        let (address, _received) = server(b"");
        check(http(address), Outcome::L7Response, CheckPhase::Response, "the server closed without an answer");
    }

    #[test]
    fn a_silent_server_times_out_where_it_fell_silent() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap(); // the kernel accepts, nobody answers
        let address = ServerAddress::Tcp(listener.local_addr().unwrap());
        let interval = Duration::from_millis(80);
        let bounded = |check: Check| Check { interval, connect_timeout: interval, ..check };
        let result = check(bounded(http(address.clone())), Outcome::L7Timeout, CheckPhase::Response, "");
        assert!(result.duration >= interval && result.duration < Duration::from_secs(5), "{:?}", result.duration);
        let over_tls = Check {
            tls: Some(Arc::new(tls::to_server(crate::model::tls::ServerVerify::None))),
            timeout: Some(interval),
            ..bounded(http(address))
        };
        check(over_tls, Outcome::L6Timeout, CheckPhase::Tls, "");
    }

    #[test]
    fn checks_go_over_unix_sockets() {
        let path = std::env::temp_dir().join(format!("lockgate-probe-{}.sock", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let (sender, _received) = mpsc::channel();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            serve_once(&mut stream, b"HTTP/1.1 204 No Content\r\n\r\n", &sender);
        });
        let result = check(http(ServerAddress::Unix(path.clone())), Outcome::L7Ok, CheckPhase::Response, "");
        assert_eq!(result.code, Some(204));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_proxy_header_goes_first() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        let (address, received) = server(answer);
        run(Check { send_proxy: Some(ProxyVersion::V2), ..http(address) });
        let got = received.recv().unwrap();
        assert_eq!(got[..14], *b"\r\n\r\n\0\r\nQUIT\n\x20\0", "version 2, LOCAL");
        let (address, received) = server(answer);
        let port = match &address {
            ServerAddress::Tcp(address) => address.port(),
            ServerAddress::Unix(_) => 0,
        };
        run(Check { send_proxy: Some(ProxyVersion::V1), ..http(address) });
        let got = String::from_utf8(received.recv().unwrap()).unwrap();
        let line = got.lines().next().unwrap();
        assert!(line.starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 ") && line.ends_with(&format!(" {port}")), "{line}");
    }

    /// A TLS server for one connection, with a certificate for `app.test`.
    fn tls_server(answer: &'static [u8]) -> ServerAddress {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = ServerAddress::Tcp(listener.local_addr().unwrap());
        let config = server_config(&tls::listener(vec![tls::certificate(&["app.test"])]), &shared());
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let connection = rustls::ServerConnection::new(config).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream);
            serve_once(&mut stream, answer, &mpsc::channel().0);
        });
        address
    }

    #[test]
    fn checks_speak_tls_and_verify_when_told_to() {
        use crate::model::tls::ServerVerify;
        let over_tls =
            |verify: ServerVerify, check: Check| Check { tls: Some(Arc::new(tls::to_server(verify))), ..check };
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        check(over_tls(ServerVerify::None, http(tls_server(answer))), Outcome::L7Ok, CheckPhase::Response, "");
        let handshake = testing::check(tls_server(answer), CheckKind::Connect);
        check(over_tls(ServerVerify::None, handshake), Outcome::L6Ok, CheckPhase::Tls, "");
        let nobody_trusted =
            ServerVerify::Required { roots: Arc::new(rustls::RootCertStore::empty()), revoked: Arc::default() };
        let result = run(over_tls(nobody_trusted, http(tls_server(answer))));
        assert_eq!((result.outcome, result.phase), (Outcome::L6Response, CheckPhase::Tls));
        let (plain, _received) = server(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired);
        let wanted = "peer refused the TLS handshake: it wants a client certificate";
        assert_eq!(super::reason(&io::Error::new(io::ErrorKind::InvalidData, alert)), wanted);
        let result = run(over_tls(ServerVerify::None, http(plain)));
        assert_eq!(result.outcome, Outcome::L6Response);
        assert!(result.info.starts_with("SSL handshake failure"), "{}", result.info);
    }
}
