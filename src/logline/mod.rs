//! What does one line of the traffic log say? Pure: a [`Record`] in, bytes out (HAProxy manual chapter 8).

pub(crate) mod date;
pub(crate) mod frame;
mod json;
mod refused;
pub(crate) mod render;

pub(crate) use refused::render_refused;
pub(crate) use render::render;

use std::net::SocketAddr;
use std::time::SystemTime;

use crate::model::Mode;

/// All that is known of one exchange (HTTP) or session (TCP) when it ends. Borrowed: it is written out at once.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    /// `None` for unix socket clients.
    pub client: Option<SocketAddr>,
    /// The address the client reached.
    pub local: Option<SocketAddr>,
    /// Number of the listener from 1, printed as the port of unix socket clients.
    pub listener: u32,
    pub mode: Mode,
    /// When the connection was accepted (tcplog) or the request's first byte came (httplog).
    pub accepted_at: SystemTime,
    pub frontend: &'a str,
    /// `~` behind the frontend's name: the client used TLS.
    pub tls: bool,
    /// The frontend's own name when no backend was chosen.
    pub backend: &'a str,
    /// `None` prints `<NOSRV>`, or `<STATS>` for the stats page.
    pub server: ServerLabel<'a>,
    pub timers: Timers,
    /// `None` prints -1.
    pub status: Option<u16>,
    /// Sent to the client, head included.
    pub bytes_read: u64,
    /// Received from the client (`%U`).
    pub bytes_uploaded: u64,
    pub termination: Termination,
    /// actconn/feconn/beconn/srv_conn.
    pub connections: ConnectionCounts,
    pub retries: u32,
    /// `+` in front of the retries.
    pub redispatched: bool,
    pub server_queue: u32,
    pub backend_queue: u32,
    /// In the order configured; `None` where the field was absent.
    pub request_captures: &'a [Option<Vec<u8>>],
    pub response_captures: &'a [Option<Vec<u8>>],
    /// `None` prints `<BADREQ>`.
    pub request: Option<RequestLine<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerLabel<'a> {
    Server(&'a str),
    None,
    Stats,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestLine<'a> {
    pub method: &'a [u8],
    pub uri: &'a [u8],
    /// `HTTP/1.1`, `HTTP/2.0`.
    pub version: &'a str,
}

/// In milliseconds; -1 when the phase was never reached (manual 8.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timers {
    /// `%TR`: the request's head, from its first byte.
    pub request: i64,
    /// `%Tw`
    pub queue: i64,
    /// `%Tc`
    pub connect: i64,
    /// `%Tr`: the server's head.
    pub response: i64,
    /// `%Ta` (HTTP: from the request's first byte) or `%Tt` (TCP: from accept).
    pub total: i64,
    /// `%Th`, `%Ti`: handshakes, and idle before the request.
    pub handshake: i64,
    pub idle: i64,
}

impl Default for Timers {
    fn default() -> Self {
        Timers { request: -1, queue: -1, connect: -1, response: -1, total: 0, handshake: 0, idle: 0 }
    }
}

/// How it ended: cause and phase (manual 8.5). The two cookie characters are `--` until cookies are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Termination {
    pub cause: Cause,
    pub phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Cause {
    Normal = b'-',
    /// The client aborted.
    Client = b'C',
    /// The server aborted or refused.
    Server = b'S',
    /// The proxy refused: deny, redirect, bad message.
    Proxy = b'P',
    /// Answered locally (stats, redirect, return).
    Local = b'L',
    /// The server was marked down and its sessions killed.
    Down = b'D',
    /// Killed by an operator.
    Killed = b'K',
    ClientTimeout = b'c',
    ServerTimeout = b's',
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    Normal = b'-',
    Request = b'R',
    Queue = b'Q',
    Connect = b'C',
    Headers = b'H',
    Data = b'D',
    Tarpit = b'T',
}

/// Concurrent connections when the line was written, this one included (manual 8.2.3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ConnectionCounts {
    pub process: u32,
    pub frontend: u32,
    pub backend: u32,
    pub server: u32,
}

/// The manual's own examples, for the renderers' tests.
#[cfg(test)]
mod samples {
    use std::sync::LazyLock;
    use std::time::Duration;

    use super::*;

    static CAPTURED: LazyLock<[Option<Vec<u8>>; 1]> = LazyLock::new(|| [Some(b"1wt.eu".to_vec())]);

    pub(super) fn http() -> Record<'static> {
        Record {
            client: "10.0.1.2:33317".parse().ok(),
            local: "10.0.3.31:8012".parse().ok(),
            listener: 2,
            mode: Mode::Http,
            accepted_at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_233_922_454_655),
            frontend: "http-in",
            tls: false,
            backend: "static",
            server: ServerLabel::Server("srv1"),
            timers: Timers { request: 10, queue: 0, connect: 30, response: 69, total: 109, handshake: 0, idle: 0 },
            status: Some(200),
            bytes_read: 2750,
            bytes_uploaded: 77,
            termination: Termination { cause: Cause::Normal, phase: Phase::Normal },
            connections: ConnectionCounts { process: 1, frontend: 1, backend: 1, server: 1 },
            retries: 0,
            redispatched: false,
            server_queue: 0,
            backend_queue: 0,
            request_captures: &*CAPTURED,
            response_captures: &[None],
            request: Some(RequestLine { method: b"GET", uri: b"/index.html", version: "HTTP/1.1" }),
        }
    }

    pub(super) fn tcp() -> Record<'static> {
        Record {
            client: "10.0.1.2:33313".parse().ok(),
            mode: Mode::Tcp,
            frontend: "fnt",
            backend: "bck",
            timers: Timers { queue: 0, connect: 0, total: 5007, ..Timers::default() },
            status: None,
            bytes_read: 212,
            connections: ConnectionCounts::default(),
            retries: 3,
            request_captures: &[],
            response_captures: &[],
            request: None,
            ..http()
        }
    }
}
