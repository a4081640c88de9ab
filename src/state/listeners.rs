//! Sockets that are listened on. They outlive snapshots: a reload that keeps an address keeps its sockets and whoever
//! waits in their backlogs.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use crate::model::frontend::ListenAddress;

/// One address, bound once per worker (SO_REUSEPORT), or once for all of them for a unix socket.
#[derive(Debug)]
pub(crate) struct BoundSocket {
    /// Unique in this process.
    pub id: u64,
    pub address: ListenAddress,
    /// What the kernel bound, with the real port where 0 was asked for; `None` for unix sockets.
    pub local: Option<SocketAddr>,
    /// Non-blocking listening sockets, one per worker.
    pub sockets: Vec<OwnedFd>,
}

impl BoundSocket {
    /// The socket of one worker, to be registered with its own runtime.
    ///
    /// # Errors
    /// Out of file descriptors.
    pub fn for_worker(&self, worker: usize) -> io::Result<OwnedFd> {
        self.sockets[worker % self.sockets.len()].try_clone()
    }
}
