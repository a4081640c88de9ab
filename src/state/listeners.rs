//! Sockets that are listened on. They outlive snapshots: a reload that keeps an address keeps its sockets and whoever
//! waits in their backlogs.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::AcqRel};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::threads::lock;
use super::unix_places::UnixPlace;
use crate::model::frontend::ListenAddress;

/// Connections that may wait to be accepted when `backlog` says nothing; the kernel's `somaxconn` caps it.
const DEFAULT_BACKLOG: u32 = 65_535;

/// One address, bound once per worker (SO_REUSEPORT), or once for all of them for a unix socket.
#[derive(Debug)]
pub(crate) struct BoundSocket {
    /// Unique in this process.
    pub id: u64,
    pub address: ListenAddress,
    /// What the kernel bound, with the real port where 0 was asked for; `None` for unix sockets.
    pub local: Option<SocketAddr>,
    /// Non-blocking listening sockets, one per worker; a unix socket is one for all. Empty when nobody listens any more
    /// and the address had to be given back.
    sockets: Mutex<Vec<OwnedFd>>,
    /// Workers that have not stopped.
    listening: AtomicUsize,
    /// `None` for TCP.
    place: Option<UnixPlace>,
}

/// Why an address cannot be listened on. The caller adds which `bind` line it was.
#[derive(Debug)]
pub(crate) struct BindError {
    pub address: ListenAddress,
    pub step: BindStep,
    pub error: io::Error,
}

/// What was being done when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BindStep {
    Open,
    SetOptions,
    /// `interface`
    BindToInterface,
    Bind,
    /// The file of a unix socket: its owner, its mode, its place.
    Place,
    Listen,
}

impl BoundSocket {
    /// Opens and binds, once per worker for TCP. `ours` tells that a unix socket there is this process's own and may be
    /// replaced although it answers. A unix socket is out of everybody's reach until [`take_places`].
    ///
    /// # Errors
    /// The step that failed and the system's word on it; nothing stays bound then.
    pub fn bind(
        id: u64,
        address: &ListenAddress,
        backlog: Option<u32>,
        workers: usize,
        ours: bool,
    ) -> Result<Self, BindError> {
        let backlog = i32::try_from(backlog.unwrap_or(DEFAULT_BACKLOG)).unwrap_or(i32::MAX);
        let bound = match address {
            ListenAddress::Tcp { address, v6only, interface, mss } => {
                let options = TcpOptions { v6only: *v6only, interface: interface.as_deref(), mss: *mss };
                bind_tcp(*address, &options, backlog, workers.max(1))
                    .map(|(sockets, local)| (sockets, Some(local), None))
            }
            ListenAddress::Unix(options) => {
                UnixPlace::beside(options, backlog, ours).map(|(socket, place)| (vec![socket], None, Some(place)))
            }
        };
        match bound {
            Ok((sockets, local, place)) => {
                let (sockets, listening) = (Mutex::new(sockets), AtomicUsize::new(workers.max(1)));
                Ok(BoundSocket { id, address: address.clone(), local, sockets, listening, place })
            }
            Err((step, error)) => Err(BindError { address: address.clone(), step, error }),
        }
    }

    /// The socket of one worker, to be registered with its own runtime.
    ///
    /// # Errors
    /// Out of file descriptors; or everybody has stopped listening already.
    pub fn for_worker(&self, worker: usize) -> io::Result<OwnedFd> {
        let sockets = lock(&self.sockets);
        let count = sockets.len().max(1);
        sockets.get(worker % count).ok_or(io::ErrorKind::NotConnected)?.try_clone()
    }

    /// Takes no connection any more on this worker's socket; clients are refused from now on. Closing would not do:
    /// snapshots that old connections still use hold the socket too. Once per worker, when it has given up accepting.
    ///
    /// A socket that workers share goes with the last of them: to the others the kernel would say at once that it is
    /// ready and that nobody is there, for ever.
    pub fn stop_listening(&self, worker: usize) {
        let last = self.listening.fetch_sub(1, AcqRel) == 1;
        let mut sockets = lock(&self.sockets);
        let count = sockets.len().max(1);
        let Some(socket) = sockets.get(worker % count).filter(|_| count > 1 || last) else { return };
        // Fails only when it was done before.
        let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Both);
        if self.place.as_ref().is_some_and(UnixPlace::is_abstract) {
            // Nobody can have the name while anybody has the socket.
            sockets.clear();
        }
    }
}

/// Puts unix sockets where their clients look for them. To be called when nothing else can fail: who is there now, an older
/// socket of this process or a predecessor, serves until then.
///
/// # Errors
/// The sockets that did not get their places.
pub(crate) fn take_places<'a>(sockets: impl Iterator<Item = &'a BoundSocket> + Clone) -> Result<(), Vec<BindError>> {
    let mut errors = Vec::new();
    for last in [false, true] {
        let of_turn = |place: &&UnixPlace| place.is_awaited() == last;
        for bound in sockets.clone() {
            let Some(place) = bound.place.as_ref().filter(of_turn) else { continue };
            let taken = match lock(&bound.sockets).first() {
                Some(socket) => place.take(socket),
                None => Ok(()),
            };
            if let Err((step, error)) = taken {
                errors.push(BindError { address: bound.address.clone(), step, error });
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
    }
    Ok(())
}

pub(super) type Step<T> = Result<T, (BindStep, io::Error)>;

pub(super) fn at<T>(step: BindStep, result: io::Result<T>) -> Step<T> {
    result.map_err(|error| (step, error))
}

fn bind_tcp(
    address: SocketAddr,
    options: &TcpOptions<'_>,
    backlog: i32,
    workers: usize,
) -> Step<(Vec<OwnedFd>, SocketAddr)> {
    let mut local = address;
    let mut sockets = Vec::with_capacity(workers);
    for _ in 0..workers {
        let socket = at(BindStep::Open, Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP)))?;
        at(BindStep::SetOptions, options.set(&socket, address))?;
        if let Some(interface) = options.interface {
            at(BindStep::BindToInterface, socket.bind_device(Some(interface.as_bytes())))?;
        }
        at(BindStep::Bind, socket.bind(&SockAddr::from(local)))?;
        // Where any port would do, the first socket's port is everyone's.
        let bound = at(BindStep::Bind, socket.local_addr())?;
        local = bound.as_socket().unwrap_or(local);
        sockets.push(socket);
    }
    // Only now, so that nobody connects to an address that is given up again.
    for socket in &sockets {
        at(BindStep::Listen, socket.listen(backlog))?;
    }
    Ok((sockets.into_iter().map(OwnedFd::from).collect(), local))
}

/// What a `bind` line says about its socket.
struct TcpOptions<'a> {
    v6only: bool,
    interface: Option<&'a str>,
    mss: Option<u16>,
}

impl TcpOptions<'_> {
    fn set(&self, socket: &Socket, address: SocketAddr) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.set_tcp_nodelay(true)?; // accepted sockets inherit it
        if let Some(mss) = self.mss {
            socket.set_tcp_mss(mss.into())?;
        }
        if address.is_ipv6() {
            socket.set_only_v6(self.v6only)?;
        }
        Ok(())
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.step {
            BindStep::Open => "cannot open a socket for",
            BindStep::SetOptions => "cannot set the socket options of",
            BindStep::BindToInterface => "cannot bind to the interface of",
            BindStep::Bind => "cannot bind to",
            BindStep::Place => "cannot put the socket file in place at",
            BindStep::Listen => "cannot listen on",
        };
        write!(f, "{what} {}: {}", self.address, self.error)?;
        if self.error.kind() == io::ErrorKind::PermissionDenied
            && matches!(&self.address, ListenAddress::Tcp { address, .. } if address.port() < 1024)
        {
            f.write_str(" (ports below 1024 need root or CAP_NET_BIND_SERVICE)")?;
        }
        Ok(())
    }
}

impl std::error::Error for BindError {}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpStream};

    use super::*;

    fn tcp(address: &str) -> ListenAddress {
        ListenAddress::Tcp { address: address.parse().unwrap(), v6only: false, interface: None, mss: None }
    }

    #[test]
    fn all_workers_share_the_port_the_kernel_chose() {
        let bound = BoundSocket::bind(1, &tcp("127.0.0.1:0"), None, 3, false).unwrap();
        let local = bound.local.unwrap();
        assert_ne!(local.port(), 0);
        for socket in lock(&bound.sockets).iter() {
            let socket = Socket::from(socket.try_clone().unwrap());
            assert_eq!(socket.local_addr().unwrap().as_socket(), Some(local));
            assert!(socket.tcp_nodelay().unwrap());
        }
        TcpStream::connect(local).unwrap();
    }

    #[test]
    fn a_port_taken_by_someone_else_is_told() {
        let other = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = tcp(&other.local_addr().unwrap().to_string());
        let error = BoundSocket::bind(1, &address, None, 1, false).unwrap_err();
        assert_eq!((error.step, error.error.kind()), (BindStep::Bind, io::ErrorKind::AddrInUse));
        assert!(error.to_string().starts_with("cannot bind to 127.0.0.1:"), "{error}");
    }
}
