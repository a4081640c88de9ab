//! A connection to a server, with all that has to be set before it is made.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpSocket, TcpStream};

use crate::model::dial::{Dial, KeepAlive, Presented, Source};
use crate::model::{Config, Name};
use crate::sys;

/// Ports of all ranges are taken in turn by all workers, so that a port just closed rests for a while.
static NEXT_PORT: AtomicU32 = AtomicU32::new(0);
/// Ports tried for one connection, and as many again with those in TIME_WAIT: a range without a free one must not hold up
/// everybody else on the worker with system calls. The next connection goes on behind them.
const TRIES: u32 = 512;

/// Which ports of a range will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ports {
    /// Those that nobody uses.
    Free,
    /// Also those whose last connection still lingers in TIME_WAIT. Whether one is in use shows only when it connects.
    Lingering,
}

/// Connects from where `dial` says. `client` is whom the connection is made for, or whoever is to be shown instead, if
/// anybody. `prepare` has the socket before it connects.
///
/// # Errors
/// The kernel's: an address that is not this machine's, no port left in the range, no right to present foreign ones; or
/// the server's no.
pub(crate) async fn connect(
    to: SocketAddr,
    dial: &Dial,
    client: Option<SocketAddr>,
    prepare: impl Fn(&Socket),
) -> io::Result<TcpStream> {
    let mut tries = TRIES;
    let mut ports = Ports::Free;
    let ranged = dial.source.as_ref().is_some_and(|source| source.ports.is_some());
    loop {
        let socket = match socket(to, dial, client, ports, &mut tries) {
            Err(error) if ranged && ports == Ports::Free && error.kind() == io::ErrorKind::AddrInUse => {
                (ports, tries) = (Ports::Lingering, TRIES);
                continue;
            }
            opened => opened?,
        };
        prepare(&socket);
        match TcpSocket::from_std_stream(socket.into()).connect(to).await {
            // This server still has a connection from that port.
            Err(error) if ports == Ports::Lingering && error.kind() == io::ErrorKind::AddrNotAvailable => {}
            ended => return ended,
        }
    }
}

/// A non-blocking socket with all that is to be set; `tries` says how many ports may be tried still.
fn socket(
    to: SocketAddr,
    dial: &Dial,
    client: Option<SocketAddr>,
    ports: Ports,
    tries: &mut u32,
) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if let Some(source) = &dial.source {
        come_from(&socket, to, source, client, ports, tries)?;
    }
    if let Some(keep_alive) = &dial.keep_alive {
        probe(&SockRef::from(&socket), keep_alive)?;
    }
    if dial.user_timeout.is_some() {
        socket.set_tcp_user_timeout(dial.user_timeout)?;
    }
    if dial.nolinger {
        break_at_close(&SockRef::from(&socket))?;
    }
    Ok(socket)
}

fn come_from(
    socket: &Socket,
    to: SocketAddr,
    source: &Source,
    client: Option<SocketAddr>,
    ports: Ports,
    tries: &mut u32,
) -> io::Result<()> {
    if let Some(interface) = &source.interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    let foreign = match &source.presented {
        Presented::Own => None,
        Presented::ClientIp | Presented::Field(_) => {
            client.map(|client| SocketAddr::new(client.ip().to_canonical(), 0))
        }
        Presented::Client => client.map(|client| SocketAddr::new(client.ip().to_canonical(), client.port())),
        Presented::Fixed(address) => Some(*address),
    };
    // A client of the other family cannot be presented: the connection comes from our own address, as HAProxy's does.
    if let Some(foreign) = foreign.filter(|foreign| foreign.is_ipv4() == to.is_ipv4()) {
        allow_foreign(socket, to.ip())?;
        return bind(socket, foreign);
    }
    if source.address.is_ipv4() != to.is_ipv4() {
        return Ok(());
    }
    match source.ports {
        Some(range) => bind_in_range(socket, source.address, range, ports, tries),
        None if source.address.is_unspecified() => Ok(()),
        None => bind(socket, SocketAddr::new(source.address, 0)),
    }
}

fn bind(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if address.port() == 0 {
        // The port is chosen when the destination is known, so that it need not be free for every other one too.
        sys::bind_address_no_port(socket)?;
    } else {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&SockAddr::from(address))
}

/// Takes the next port that will do.
fn bind_in_range(
    socket: &Socket,
    address: IpAddr,
    (first, last): (u16, u16),
    ports: Ports,
    tries: &mut u32,
) -> io::Result<()> {
    let count = u32::from(last.saturating_sub(first)) + 1;
    *tries = count.min(*tries);
    socket.set_reuse_address(ports == Ports::Lingering)?;
    while *tries > 0 {
        *tries -= 1;
        let offset = NEXT_PORT.fetch_add(1, Relaxed) % count;
        let port = first.saturating_add(u16::try_from(offset).unwrap_or_default());
        match socket.bind(&SockAddr::from(SocketAddr::new(address, port))) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            // The kernel lends a port that lingers only when who left it would have lent it too.
            bound => return bound.and_then(|()| socket.set_reuse_address(true)),
        }
    }
    Err(rustix::io::Errno::ADDRINUSE.into())
}

fn allow_foreign(socket: &Socket, to: IpAddr) -> io::Result<()> {
    if to.is_ipv4() { socket.set_ip_transparent_v4(true) } else { socket.set_ip_transparent_v6(true) }
}

/// What is unsent when the socket is closed is thrown away, and the other side told by a reset (socket(7), SO_LINGER).
pub(crate) fn break_at_close(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_linger(Some(Duration::ZERO))
}

/// Closing the connection will tell its client nothing, or as little as can be: without the right to keep silent, a reset
/// that dies at the first router (HAProxy manual 4.2, `silent-drop`).
pub(crate) fn vanish(socket: &SockRef<'_>) {
    // Nothing can be done where one of these fails: the connection is gone all the same.
    let _ = break_at_close(socket);
    if sys::silence(&**socket).is_err() {
        let _ = socket.set_ttl_v4(1);
        let _ = socket.set_unicast_hops_v6(1);
    }
}

/// What rules say about packets to a client. It works without, as with HAProxy; what is missing is a right.
pub(crate) fn mark_packets(socket: &SockRef<'_>, tos: Option<u8>, mark: Option<u32>) {
    let failed = |what: &str, error: io::Error| tracing::debug!(%error, "cannot set the {what} of packets");
    if let Some(tos) = tos {
        // An IPv6 socket may carry IPv4 packets.
        let set = socket.set_tos_v4(tos.into());
        if let Err(error) = set.or_else(|_| socket.set_tclass_v6(tos.into())) {
            failed("type of service", error);
        }
    }
    if let Some(mark) = mark
        && let Err(error) = socket.set_mark(mark)
    {
        failed("mark", error);
    }
}

/// Switches probes on for a connection, or a listening socket's.
pub(crate) fn probe(socket: &SockRef<'_>, keep_alive: &KeepAlive) -> io::Result<()> {
    let mut settings = TcpKeepalive::new();
    if let Some(idle) = keep_alive.idle {
        settings = settings.with_time(idle);
    }
    if let Some(interval) = keep_alive.interval {
        settings = settings.with_interval(interval);
    }
    if let Some(count) = keep_alive.count {
        settings = settings.with_retries(count);
    }
    socket.set_keepalive(true)?;
    socket.set_tcp_keepalive(&settings)
}

/// A server is to see foreign addresses (`usesrc`), and the kernel lets only processes with CAP_NET_ADMIN or CAP_NET_RAW
/// present them.
#[derive(Debug)]
pub(crate) struct NoRights {
    pub backend: Name,
    pub server: Name,
    pub error: io::Error,
}

impl fmt::Display for NoRights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NoRights { backend, server, error } = self;
        write!(f, "server {backend}/{server}: `usesrc` needs CAP_NET_ADMIN or CAP_NET_RAW: {error}")
    }
}

impl std::error::Error for NoRights {}

/// Whether this process may do all that the configuration's `usesrc` ask for.
///
/// # Errors
/// The first server that asks in vain.
pub(crate) fn check_rights(config: &Config) -> Result<(), NoRights> {
    let foreign = |dial: &Dial| dial.source.as_ref().is_some_and(|source| source.presented != Presented::Own);
    for backend in &config.backends {
        let asks = backend.servers.iter().find(|server| server.dial.as_deref().is_some_and(foreign));
        let Some(server) = asks else { continue };
        Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))
            .and_then(|socket| socket.set_ip_transparent_v4(true))
            .map_err(|error| NoRights {
                backend: Arc::clone(&backend.name),
                server: Arc::clone(&server.name),
                error,
            })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn source(address: &str, ports: Option<(u16, u16)>) -> Dial {
        let source = Source { address: address.parse().unwrap(), ports, presented: Presented::Own, interface: None };
        Dial { source: Some(source), ..Dial::default() }
    }

    fn connected(to: SocketAddr, dial: &Dial) -> io::Result<std::net::TcpStream> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { connect(to, dial, None, |_| ()).await?.into_std() })
    }

    /// Where a connection opened this way comes from.
    fn seen(dial: &Dial) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = connected(listener.local_addr().unwrap(), dial)?;
        Ok(listener.accept().unwrap().1)
    }

    /// The first of two ports somewhere below the kernel's own, found free at this moment.
    fn two_free_ports(address: &str) -> u16 {
        let free = |port: u16| TcpListener::bind((address, port)).is_ok();
        (20_000..30_000).find(|port| free(*port) && free(port + 1)).unwrap()
    }

    #[test]
    fn a_connection_comes_from_the_address_it_is_told_to() {
        assert_eq!(seen(&source("127.0.0.2", None)).unwrap().ip().to_string(), "127.0.0.2");
        assert_eq!(seen(&source("0.0.0.0", None)).unwrap().ip().to_string(), "127.0.0.1");
        assert_eq!(seen(&Dial::default()).unwrap().ip().to_string(), "127.0.0.1");
        assert!(seen(&source("203.0.113.77", None)).is_err(), "not an address of this machine");
    }

    #[test]
    fn ports_of_a_range_are_taken_until_none_is_left() {
        let first = two_free_ports("127.0.0.9");
        let dial = source("127.0.0.9", Some((first, first + 1)));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let (one, two) = (connected(to, &dial).unwrap(), connected(to, &dial).unwrap());
        let port = |stream: &std::net::TcpStream| stream.local_addr().unwrap().port();
        let mut ports = [port(&one), port(&two)];
        ports.sort_unstable();
        assert_eq!(ports, [first, first + 1]);
        assert!(connected(to, &dial).is_err(), "both are taken");
    }

    #[test]
    fn a_port_that_lingers_is_taken_again_where_no_other_is_left() {
        let first = two_free_ports("127.0.0.10");
        let dial = source("127.0.0.10", Some((first, first + 1)));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let open = || connected(to, &dial).map(|client| (client, listener.accept().unwrap().0));
        let (kept, _its_end) = open().unwrap();
        for _ in 0..5 {
            let (client, server) = open().unwrap();
            assert_ne!(client.local_addr().unwrap(), kept.local_addr().unwrap());
            drop(client); // it closes first, so TIME_WAIT is its own
            drop(server);
        }
        let _last = connected(to, &dial).unwrap();
        assert!(connected(to, &dial).is_err(), "both are taken");
    }

    #[test]
    fn probes_and_timeouts_are_set() {
        let keep_alive =
            KeepAlive { count: Some(4), idle: Some(Duration::from_secs(33)), interval: Some(Duration::from_secs(7)) };
        let user_timeout = Some(Duration::from_millis(1500));
        let dial = Dial { source: None, keep_alive: Some(keep_alive), user_timeout, nolinger: true };
        let socket = socket("127.0.0.1:1".parse().unwrap(), &dial, None, Ports::Free, &mut 1).unwrap();
        assert!(socket.keepalive().unwrap() && socket.tcp_nodelay().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(33));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(7));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 4);
        assert_eq!(socket.tcp_user_timeout().unwrap(), user_timeout);
        assert_eq!(socket.linger().unwrap(), Some(Duration::ZERO));
    }
}
