//! Where unix sockets are found: a path in the file system, or an abstract name. A place is taken last of all, when nothing can
//! fail any more, because taking it takes it from somebody: an older socket of this process, or the process this one follows.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once, OnceLock};
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use super::listeners::{BindStep, Step, at};
use super::threads::lock;
use crate::model::frontend::UnixSocketOptions;
use crate::sys;

/// How long a predecessor has to give back an abstract name once it is told to end.
const HANDOVER: Duration = Duration::from_secs(2);
/// Between two looks whether it has.
const LOOK: Duration = Duration::from_millis(2);

/// The place of one listening socket.
#[derive(Debug)]
pub(super) struct UnixPlace {
    path: PathBuf,
    is_abstract: bool,
    backlog: i32,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// Complete, but under another name, so that the place never holds a socket with the wrong owner or mode.
    Beside(SocketFile),
    InPlace(SocketFile),
    /// An abstract name that is ours; it goes with the socket.
    Named,
    /// An abstract name that a predecessor still has: nobody else can, until that one closes its socket.
    Awaited,
}

/// A socket file we made, removed with the socket when it is still ours.
#[derive(Debug, Clone)]
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn remove(&self) {
        let still_ours =
            fs::symlink_metadata(&self.path).is_ok_and(|found| found.dev() == self.device && found.ino() == self.inode);
        if still_ours {
            // Left behind it would only be a stale file, which the next start replaces.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl UnixPlace {
    /// A listening socket that needs only [`Self::take`] to be found.
    pub fn beside(options: &UnixSocketOptions, backlog: i32, ours: bool) -> Step<(OwnedFd, UnixPlace)> {
        let socket = at(BindStep::Open, Socket::new(Domain::UNIX, Type::STREAM, None))?;
        at(BindStep::SetOptions, socket.set_nonblocking(true))?;
        let place = |state| UnixPlace {
            path: options.path.clone(),
            is_abstract: options.is_abstract,
            backlog,
            state: Mutex::new(state),
        };
        if options.is_abstract {
            let name = at(BindStep::Bind, SockAddr::unix(sys::abstract_path(&options.path)))?;
            let state = match socket.bind(&name) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && predecessor_has(&name) => State::Awaited,
                bound => {
                    at(BindStep::Bind, bound)?;
                    at(BindStep::Listen, socket.listen(backlog))?;
                    State::Named
                }
            };
            return Ok((socket.into(), place(state)));
        }
        if !ours {
            at(BindStep::Bind, refuse_taken(&options.path))?;
        }
        let made = beside(&options.path);
        let _ = fs::remove_file(&made); // of a process that died in between
        match make(&socket, options, &made, backlog) {
            Ok(file) => Ok((socket.into(), place(State::Beside(file)))),
            Err(error) => {
                let _ = fs::remove_file(&made); // it may not even be there
                Err(error)
            }
        }
    }

    pub fn is_abstract(&self) -> bool {
        self.is_abstract
    }

    /// Will taking it cost a predecessor all it listens on?
    pub fn is_awaited(&self) -> bool {
        matches!(*lock(&self.state), State::Awaited)
    }

    /// Takes the place for `socket`, which [`Self::beside`] made. A second time changes nothing.
    pub fn take(&self, socket: &OwnedFd) -> Step<()> {
        let mut state = lock(&self.state);
        let taken = match &*state {
            State::InPlace(_) | State::Named => return Ok(()),
            State::Beside(file) => {
                at(BindStep::Place, fs::rename(&file.path, &self.path))?;
                State::InPlace(SocketFile { path: self.path.clone(), ..file.clone() })
            }
            State::Awaited => {
                dismiss_predecessors();
                let name = at(BindStep::Bind, SockAddr::unix(sys::abstract_path(&self.path)))?;
                at(BindStep::Bind, bind_in_time(socket, &name))?;
                at(BindStep::Listen, SockRef::from(socket).listen(self.backlog))?;
                State::Named
            }
        };
        *state = taken;
        Ok(())
    }
}

impl Drop for UnixPlace {
    fn drop(&mut self) {
        if let State::Beside(file) | State::InPlace(file) = &*lock(&self.state) {
            file.remove();
        }
    }
}

fn bind_in_time(socket: &OwnedFd, name: &SockAddr) -> io::Result<()> {
    let until = Instant::now() + HANDOVER;
    loop {
        match SockRef::from(socket).bind(name) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < until => {
                std::thread::sleep(LOOK);
            }
            ended => return ended,
        }
    }
}

fn make(socket: &Socket, options: &UnixSocketOptions, made: &Path, backlog: i32) -> Step<SocketFile> {
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
    Ok(SocketFile { path: made.to_owned(), device: found.dev(), inode: found.ino() })
}

/// Processes that end once this one serves (`-sf`, `-st`): what they listen on may be taken over.
struct Predecessors {
    processes: Vec<u32>,
    told: Once,
    tell: Box<dyn Fn() + Send + Sync>,
}

static PREDECESSORS: OnceLock<Predecessors> = OnceLock::new();

/// Names the processes this one takes over from, and how to tell them to end. Once, before anything is bound.
pub(crate) fn take_over_from(processes: Vec<u32>, tell: impl Fn() + Send + Sync + 'static) {
    // Only tests start twice in one process, without predecessors.
    let _ = PREDECESSORS.set(Predecessors { processes, told: Once::new(), tell: Box::new(tell) });
}

/// Tells them to end, if they have not been told yet.
pub(crate) fn dismiss_predecessors() {
    if let Some(predecessors) = PREDECESSORS.get() {
        predecessors.told.call_once(&predecessors.tell);
    }
}

fn is_predecessors(listening: &impl AsFd) -> bool {
    let predecessors = PREDECESSORS.get().map(|known| known.processes.as_slice()).unwrap_or_default();
    // Who called listen(2), which is who bound it (unix(7), SO_PEERCRED).
    let owner = rustix::net::sockopt::socket_peercred(listening).ok().map(|owner| owner.pid.as_raw_nonzero().get());
    owner.and_then(|pid| u32::try_from(pid).ok()).is_some_and(|pid| predecessors.contains(&pid))
}

fn predecessor_has(name: &SockAddr) -> bool {
    let asking = Socket::new(Domain::UNIX, Type::STREAM, None);
    asking.is_ok_and(|asking| asking.connect(name).is_ok() && is_predecessors(&asking))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::frontend::ListenAddress;
    use crate::state::listeners::{BindError, BoundSocket, take_places};

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

    /// Bound and in its place.
    fn placed(address: &ListenAddress, workers: usize, ours: bool) -> Result<BoundSocket, BindError> {
        let bound = BoundSocket::bind(1, address, None, workers, ours)?;
        take_places(std::iter::once(&bound)).unwrap();
        Ok(bound)
    }

    #[test]
    fn a_stale_socket_file_is_replaced_and_taken_away_at_the_end() {
        let directory = directory("stale");
        let path = directory.join("s.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let bound = placed(&unix(&path, Some(0o600)), 2, false).unwrap();
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
        let ours = placed(&unix(&living, None), 1, true);
        assert!(ours.is_ok(), "its own socket may be replaced");
        assert_eq!(fs::read_to_string(&plain).unwrap(), "precious");
        fs::remove_dir_all(directory).unwrap();
    }
    #[test]
    fn a_place_is_left_to_whoever_has_it_until_it_is_taken() {
        let directory = directory("left");
        let path = directory.join("s.sock");
        let old = placed(&unix(&path, None), 1, false).unwrap();
        let inode = || fs::symlink_metadata(&path).unwrap().ino();
        let before = inode();
        drop(BoundSocket::bind(2, &unix(&path, Some(0o600)), None, 1, true).unwrap()); // something else failed
        assert_eq!((inode(), fs::read_dir(&directory).unwrap().count()), (before, 1));
        let new = placed(&unix(&path, Some(0o600)), 1, true).unwrap();
        drop(old);
        assert_ne!(inode(), before);
        UnixStream::connect(&path).unwrap();
        drop(new);
        fs::remove_dir(directory).unwrap();
    }

    #[test]
    fn an_abstract_name_is_free_as_soon_as_nobody_listens() {
        let options = UnixSocketOptions {
            path: format!("lockgate-free-{}", std::process::id()).into(),
            is_abstract: true,
            mode: None,
            user: None,
            group: None,
        };
        let address = ListenAddress::Unix(options);
        // Old connections' snapshots hold it on.
        let old = placed(&address, 2, false).unwrap();
        old.stop_listening(0);
        assert!(placed(&address, 2, false).is_err(), "a worker listens still");
        old.stop_listening(1);
        assert!(old.for_worker(0).is_err());
        placed(&address, 2, false).unwrap();
    }
}
