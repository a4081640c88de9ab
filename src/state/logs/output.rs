//! The far end of a log sink: a standard stream, a file or a syslog socket, opened, written, opened again.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fd::{AsFd, BorrowedFd};

use crate::model::log::LogAddress;

/// A target that failed is tried again after this.
const RETRY: Duration = Duration::from_secs(1);

/// How often a file is looked at for having been moved away.
const FILE_LOOK: Duration = Duration::from_secs(1);

/// Lines that did not leave, and why.
#[derive(Debug)]
pub(super) struct Lost {
    pub lines: u64,
    pub error: io::Error,
}

#[derive(Debug)]
pub(super) struct Output {
    address: LogAddress,
    channel: Option<Channel>,
    /// Not before this is a closed target tried again, and a file looked at.
    look_at: Option<Instant>,
    /// The path leads to another file than the open one, and that cannot be opened. Told once.
    stuck: bool,
}

#[derive(Debug)]
enum Channel {
    Stdout,
    Stderr,
    File(File),
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl Output {
    /// Opens at once, so that what is wrong can be told at start, before privileges are given up.
    pub fn open(address: &LogAddress) -> (Output, Option<String>) {
        let (channel, problem) = match Channel::open(address) {
            Ok(channel) => (Some(channel), None),
            Err(error) => (None, Some(error.to_string())),
        };
        (Output { address: address.clone(), channel, look_at: None, stuck: false }, problem)
    }

    /// Writes whole lines; `ends` tells where each stops.
    ///
    /// # Errors
    /// [`Lost`] with the lines that could not be written; the target is opened again later.
    pub fn write(&mut self, batch: &[u8], ends: &[usize], now: Instant) -> Result<(), Lost> {
        let all = ends.len() as u64;
        self.make_ready(now).map_err(|error| Lost { lines: all, error })?;
        let Some(channel) = &mut self.channel else {
            return Err(Lost { lines: all, error: io::ErrorKind::NotConnected.into() });
        };
        let (sent, error) = match channel {
            Channel::Stdout => write_stream(io::stdout().as_fd(), batch),
            Channel::Stderr => write_stream(io::stderr().as_fd(), batch),
            Channel::File(file) => match file.write_all(batch) {
                Ok(()) => return Ok(()),
                // How much was written is not known; the file system is full or gone.
                Err(error) => (0, error),
            },
            Channel::Udp(socket) => return send_each(batch, ends, |line| resend_once(|| socket.send(line))),
            Channel::Unix(socket) => {
                let result = send_each(batch, ends, |line| socket.send(line));
                if result.is_err() {
                    self.fail(now);
                }
                return result;
            }
        };
        if sent == batch.len() {
            return Ok(());
        }
        let lines = ends.iter().filter(|end| **end > sent).count() as u64;
        self.fail(now);
        Err(Lost { lines, error })
    }

    fn fail(&mut self, now: Instant) {
        self.channel = None;
        self.look_at = Some(now + RETRY);
    }

    /// Opens a closed target when it is time to, and a file again that was moved or removed.
    fn make_ready(&mut self, now: Instant) -> io::Result<()> {
        let due = self.look_at.is_none_or(|at| at <= now);
        match &self.channel {
            Some(Channel::File(_)) if due => self.follow_file(now),
            Some(_) => {}
            None if !due => return Err(io::Error::other("still not reachable")),
            None => match Channel::open(&self.address) {
                Ok(channel) => self.channel = Some(channel),
                Err(error) => {
                    self.fail(now);
                    return Err(error);
                }
            },
        }
        Ok(())
    }

    /// Opens a file again that was moved or removed. When that cannot be done, because privileges were given up or the
    /// path is not seen from inside a `chroot`, the open one is written on: a line in a moved file is not lost.
    fn follow_file(&mut self, now: Instant) {
        self.look_at = Some(now + FILE_LOOK);
        let (Some(Channel::File(file)), LogAddress::File(path)) = (&self.channel, &self.address) else { return };
        if is_same_file(file, path) {
            self.stuck = false;
            return;
        }
        match Channel::open(&self.address) {
            Ok(channel) => {
                self.channel = Some(channel);
                self.stuck = false;
            }
            Err(error) if !self.stuck => {
                self.stuck = true;
                let path = path.display();
                tracing::warn!("log file {path} cannot be opened again ({error}): the file that is open is written on");
            }
            Err(_) => {}
        }
    }
}

impl Channel {
    fn open(address: &LogAddress) -> io::Result<Channel> {
        Ok(match address {
            LogAddress::Stdout => Channel::Stdout,
            LogAddress::Stderr => Channel::Stderr,
            LogAddress::File(path) => Channel::File(OpenOptions::new().append(true).create(true).open(path)?),
            LogAddress::SyslogUdp(to) => {
                let from: SocketAddr = match to {
                    SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                    SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
                };
                let socket = UdpSocket::bind(from)?;
                // Connected, so that the kernel tells when nobody listens there.
                socket.connect(to)?;
                Channel::Udp(socket)
            }
            LogAddress::SyslogUnix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                Channel::Unix(socket)
            }
        })
    }
}

fn is_same_file(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(named)) => open.dev() == named.dev() && open.ino() == named.ino(),
        _ => false,
    }
}

/// A refusal reported by a send belongs to an earlier datagram: this one was not sent, so try once more.
fn resend_once(mut send: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    match send() {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            send()?;
            Err(error)
        }
        result => result,
    }
}

fn send_each(batch: &[u8], ends: &[usize], mut send: impl FnMut(&[u8]) -> io::Result<usize>) -> Result<(), Lost> {
    let mut start = 0;
    let mut lost: Option<Lost> = None;
    for end in ends {
        let line = batch.get(start..*end).unwrap_or_default();
        start = *end;
        if let Err(error) = send(line) {
            let lines = lost.map_or(0, |lost| lost.lines) + 1;
            lost = Some(Lost { lines, error });
        }
    }
    lost.map_or(Ok(()), Err)
}

/// Writes all, waiting where the stream is a slow pipe somebody else made non-blocking. Gives back how much left and
/// what stopped it.
fn write_stream(stream: BorrowedFd<'_>, batch: &[u8]) -> (usize, io::Error) {
    let mut sent = 0;
    while sent < batch.len() {
        match rustix::io::write(stream, &batch[sent..]) {
            Ok(0) => return (sent, io::ErrorKind::WriteZero.into()),
            Ok(count) => sent += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => {
                let mut poll = [rustix::event::PollFd::from_borrowed_fd(stream, rustix::event::PollFlags::OUT)];
                if let Err(error) = rustix::event::poll(&mut poll, None)
                    && error != rustix::io::Errno::INTR
                {
                    return (sent, error.into());
                }
            }
            Err(error) => return (sent, error.into()),
        }
    }
    (sent, io::ErrorKind::Other.into())
}
