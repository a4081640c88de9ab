//! Sockets that are listened on. They outlive snapshots: a reload that keeps an address keeps its sockets and whoever
//! waits in their backlogs.

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::AcqRel};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::model::frontend::{ListenAddress, UnixSocketOptions};
use crate::sys;

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
    /// Non-blocking listening sockets, one per worker; a unix socket is one for all.
    pub sockets: Vec<OwnedFd>,
    /// Workers that have not stopped.
    listening: AtomicUsize,
    file: Option<SocketFile>,
}

/// A socket file we made, removed with the socket when it is still ours.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
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
    /// replaced although it answers.
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
                bind_unix(options, backlog, ours).map(|(socket, file)| (vec![socket.into()], None, file))
            }
        };
        match bound {
            Ok((sockets, local, file)) => {
                let listening = AtomicUsize::new(workers.max(1));
                Ok(BoundSocket { id, address: address.clone(), local, sockets, listening, file })
            }
            Err((step, error)) => Err(BindError { address: address.clone(), step, error }),
        }
    }

    /// The socket of one worker, to be registered with its own runtime.
    ///
    /// # Errors
    /// Out of file descriptors.
    pub fn for_worker(&self, worker: usize) -> io::Result<OwnedFd> {
        self.sockets[worker % self.sockets.len()].try_clone()
    }

    /// Takes no connection any more on this worker's socket; clients are refused from now on. Closing would not do:
    /// snapshots that old connections still use hold the socket too. Once per worker, when it has given up accepting.
    ///
    /// A socket that workers share goes with the last of them: to the others the kernel would say at once that it is
    /// ready and that nobody is there, for ever.
    pub fn stop_listening(&self, worker: usize) {
        let last = self.listening.fetch_sub(1, AcqRel) == 1;
        if self.sockets.len() == 1 && !last {
            return;
        }
        // Fails only when it was done before.
        let _ = rustix::net::shutdown(&self.sockets[worker % self.sockets.len()], rustix::net::Shutdown::Both);
    }
}

impl Drop for BoundSocket {
    fn drop(&mut self) {
        let Some(file) = &self.file else { return };
        let still_ours =
            fs::symlink_metadata(&file.path).is_ok_and(|found| found.dev() == file.device && found.ino() == file.inode);
        if still_ours {
            // Left behind it would only be a stale file, which the next start replaces.
            let _ = fs::remove_file(&file.path);
        }
    }
}

type Step<T> = Result<T, (BindStep, io::Error)>;

fn at<T>(step: BindStep, result: io::Result<T>) -> Step<T> {
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

fn bind_unix(options: &UnixSocketOptions, backlog: i32, ours: bool) -> Step<(Socket, Option<SocketFile>)> {
    let socket = at(BindStep::Open, Socket::new(Domain::UNIX, Type::STREAM, None))?;
    at(BindStep::SetOptions, socket.set_nonblocking(true))?;
    if options.is_abstract {
        let name = at(BindStep::Bind, SockAddr::unix(sys::abstract_path(&options.path)))?;
        at(BindStep::Bind, socket.bind(&name))?;
        at(BindStep::Listen, socket.listen(backlog))?;
        return Ok((socket, None));
    }
    if !ours {
        at(BindStep::Bind, refuse_taken(&options.path))?;
    }
    // Made under another name and moved, so that the place never holds a socket with the wrong owner or mode.
    let made = beside(&options.path);
    let _ = fs::remove_file(&made); // of a process that died in between
    let placed = place_unix(&socket, options, &made, backlog);
    if placed.is_err() {
        let _ = fs::remove_file(&made); // it may not even be there
    }
    placed.map(|file| (socket, Some(file)))
}

fn place_unix(socket: &Socket, options: &UnixSocketOptions, made: &Path, backlog: i32) -> Step<SocketFile> {
    let name = at(BindStep::Bind, SockAddr::unix(made))?;
    at(BindStep::Bind, socket.bind(&name))?;
    if let Some(mode) = options.mode {
        at(BindStep::Place, fs::set_permissions(made, fs::Permissions::from_mode(mode)))?;
    }
    if options.user.is_some() || options.group.is_some() {
        at(BindStep::Place, chown(made, options.user, options.group))?;
    }
    at(BindStep::Listen, socket.listen(backlog))?;
    let found = at(BindStep::Place, fs::symlink_metadata(made))?;
    at(BindStep::Place, fs::rename(made, &options.path))?;
    Ok(SocketFile { path: options.path.clone(), device: found.dev(), inode: found.ino() })
}

/// Processes that end once this one serves (`-sf`, `-st`): what they listen on may be taken over.
static PREDECESSORS: OnceLock<Vec<u32>> = OnceLock::new();

/// Names the processes this one takes over from. Once, before anything is bound.
pub(crate) fn take_over_from(processes: Vec<u32>) {
    // Only tests start twice in one process, without predecessors.
    let _ = PREDECESSORS.set(processes);
}

fn is_predecessors(listening: &UnixStream) -> bool {
    let predecessors = PREDECESSORS.get().map(Vec::as_slice).unwrap_or_default();
    // Who called listen(2), which is who bound it (unix(7), SO_PEERCRED).
    let owner = rustix::net::sockopt::socket_peercred(listening).ok().map(|owner| owner.pid.as_raw_nonzero().get());
    owner.and_then(|pid| u32::try_from(pid).ok()).is_some_and(|pid| predecessors.contains(&pid))
}

/// A stale socket file may be replaced, and a predecessor's; a live socket or any other file may not.
fn refuse_taken(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is not a socket is in its place"));
    }
    match UnixStream::connect(path) {
        Ok(listening) if is_predecessors(&listening) => Ok(()),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there")),
        Err(_) => Ok(()),
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    PathBuf::from(name)
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

    fn unix(path: &Path, mode: Option<u32>) -> ListenAddress {
        ListenAddress::Unix(UnixSocketOptions {
            path: path.to_owned(),
            is_abstract: false,
            mode,
            user: None,
            group: None,
        })
    }

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("lockgate-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        path
    }

    #[test]
    fn all_workers_share_the_port_the_kernel_chose() {
        let bound = BoundSocket::bind(1, &tcp("127.0.0.1:0"), None, 3, false).unwrap();
        let local = bound.local.unwrap();
        assert_ne!(local.port(), 0);
        for socket in &bound.sockets {
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

    #[test]
    fn a_stale_socket_file_is_replaced_and_taken_away_at_the_end() {
        let directory = directory("stale");
        let path = directory.join("s.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let bound = BoundSocket::bind(1, &unix(&path, Some(0o600)), None, 2, false).unwrap();
        UnixStream::connect(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(bound.for_worker(0).is_ok(), bound.for_worker(1).is_ok());
        drop(bound);
        assert!(!path.exists());
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
        fs::remove_dir(directory).unwrap();
    }

    #[test]
    fn a_living_socket_and_a_plain_file_are_left_alone() {
        let directory = directory("living");
        let (living, plain) = (directory.join("l.sock"), directory.join("file"));
        let _listener = std::os::unix::net::UnixListener::bind(&living).unwrap();
        fs::write(&plain, "precious").unwrap();
        for (path, kind) in [(&living, io::ErrorKind::AddrInUse), (&plain, io::ErrorKind::AlreadyExists)] {
            let error = BoundSocket::bind(1, &unix(path, None), None, 1, false).unwrap_err();
            assert_eq!(error.error.kind(), kind, "{error}");
        }
        let ours = BoundSocket::bind(1, &unix(&living, None), None, 1, true);
        assert!(ours.is_ok(), "its own socket may be replaced");
        assert_eq!(fs::read_to_string(&plain).unwrap(), "precious");
        fs::remove_dir_all(directory).unwrap();
    }
}
