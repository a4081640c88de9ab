//! One health check over real sockets: connect, PROXY header, TLS, dialog, each under its timeout.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::model::backend::ServerAddress;
use crate::model::check::{Check, CheckKind, HttpCheck};
use crate::model::global::HttpLimits;
use crate::state::tls::{BadHandshake, client_config, server_name};
use crate::wire::check_dialog::{CheckPhase, CheckResult, HttpDialog, Judgement, Outcome, request};
use crate::wire::proxy_protocol::{Header, encode};

/// Bytes read at a time.
const READ_SIZE: usize = 4096;

/// A check with all that can be prepared once.
pub(crate) struct Probe {
    check: Arc<Check>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
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
        let tls = check.tls.as_ref().map(|settings| {
            let config: Arc<ClientConfig> = client_config(settings);
            (TlsConnector::from(config), server_name(settings, &check.target, None))
        });
        Probe { check, tls, limits }
    }

    /// Asks the server once. Ends within the check's own timeouts.
    pub async fn run(&self) -> CheckResult {
        let began = Instant::now();
        let ended = match &self.check.target {
            ServerAddress::Tcp(address) => self.over_tcp(*address, began).await,
            ServerAddress::Unix(path) => match self.connecting(UnixStream::connect(path), began).await {
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
        let stream = self.connecting(TcpStream::connect(address), began).await?;
        // Many small packets make no sense here, and the socket works without.
        let _ = stream.set_nodelay(true);
        if self.only_connects() {
            // Nothing was said, so nothing can be lost: a reset leaves no socket behind in TIME_WAIT.
            let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
        // In v2 this is LOCAL: the proxy speaks for itself. v1 has no such word; HAProxy names the socket's own addresses.
        let header = match (self.check.send_proxy, stream.local_addr()) {
            (Some(crate::model::backend::ProxyVersion::V1), Ok(source)) => {
                Header::Proxied { source, destination: address }
            }
            _ => Header::Unnamed,
        };
        self.over(stream, header, began).await
    }

    fn only_connects(&self) -> bool {
        matches!(self.check.kind, CheckKind::Connect) && self.tls.is_none() && self.check.send_proxy.is_none()
    }

    async fn connecting<S>(&self, connect: impl Future<Output = io::Result<S>>, _began: Instant) -> Result<S, Failure> {
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
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // `timeout check` counts from the connection, the interval from the start.
        let left = match self.check.timeout {
            Some(timeout) => timeout,
            None => self.check.interval.saturating_sub(began.elapsed()),
        };
        let deadline = tokio::time::Instant::now() + left;
        if let Some(version) = self.check.send_proxy {
            let mut bytes = Vec::new();
            encode(version, header, &mut bytes);
            sending(deadline, stream.write_all(&bytes)).await?;
        }
        let Some((connector, name)) = &self.tls else {
            return self.converse(stream, deadline, Outcome::L4Ok).await;
        };
        match tokio::time::timeout_at(deadline, connector.connect(name.clone(), stream)).await {
            Err(_) => Err(timed_out(Outcome::L6Timeout, CheckPhase::Tls)),
            Ok(Err(error)) => {
                let errno = error.raw_os_error();
                let info = format!("SSL handshake failure ({})", BadHandshake::from(error));
                Err(Failure { outcome: Outcome::L6Response, phase: CheckPhase::Tls, errno, info })
            }
            Ok(Ok(stream)) => self.converse(stream, deadline, Outcome::L6Ok).await,
        }
    }

    async fn converse<S>(
        &self,
        mut stream: S,
        deadline: tokio::time::Instant,
        connected: Outcome,
    ) -> Result<(CheckPhase, Judgement), Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let ended = match &self.check.kind {
            CheckKind::Connect => {
                let phase = if connected == Outcome::L6Ok { CheckPhase::Tls } else { CheckPhase::Connect };
                let passed =
                    Judgement { outcome: connected, code: None, info: String::new(), expected: None, got: None };
                Ok((phase, passed))
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
        let mut bytes = Vec::new();
        request(check, &mut bytes);
        sending(deadline, async {
            stream.write_all(&bytes).await?;
            stream.flush().await
        })
        .await?;
        let mut dialog = HttpDialog::new(check, self.limits);
        let mut buffer = [0; READ_SIZE];
        loop {
            let read = match tokio::time::timeout_at(deadline, stream.read(&mut buffer)).await {
                Err(_) => return Err(timed_out(Outcome::L7Timeout, CheckPhase::Response)),
                // A TLS server that closes without saying so still closed.
                Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
                Ok(Err(error)) => return Err(failed(Outcome::SocketError, CheckPhase::Response, &error)),
                Ok(Ok(read)) => read,
            };
            if read == 0 {
                return Ok(dialog.closed());
            }
            if let Some(judgement) = dialog.feed(buffer.get(..read).unwrap_or_default()) {
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

/// The system's word alone, as HAProxy logs it: `Connection refused`.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text.get(..end).unwrap_or_default().to_owned(),
        None => text,
    }
}

/// Our own shortage, not the server's fault: file descriptors, ports, memory.
fn is_local(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let shortages = [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL, Errno::NOBUFS, Errno::NOMEM, Errno::ACCESS];
    error.raw_os_error().is_some_and(|errno| shortages.iter().any(|shortage| shortage.raw_os_error() == errno))
}
