//! Memory for bytes in flight. Buffers belong to the worker and are lent while bytes are in them, so a parked connection
//! holds none.

use std::cell::{Cell, RefCell};
use std::io;
use std::time::{Duration, Instant};

use super::clock;
use super::splice::Pipe;

/// Capacity of a buffer for a head and what came with it.
pub(crate) const HEAD_BUFFER: usize = 16 * 1024;
/// Capacity of a buffer for a body's bytes: one read.
pub(crate) const BODY_BUFFER: usize = 64 * 1024;
/// Capacity of a buffer for whoever moves more than one read can take. Fits the second-level cache of a core.
pub(crate) const BULK_BUFFER: usize = 256 * 1024;
/// Bytes moved in one direction of one connection before others on its worker get their turn.
pub(crate) const BYTES_IN_A_ROW: usize = 1024 * 1024;
/// Buffers of a kind kept for the next use; more are given back to the allocator.
const KEPT: usize = 256;
/// The same for the largest ones, and for pipes: each is two descriptors.
const KEPT_BULK: usize = 16;
const KEPT_PIPES: usize = 64;
/// How long no pipe is made or kept once descriptors have run out: they are worth more as connections.
const SCARCE: Duration = Duration::from_secs(1);

/// One worker's buffers.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    heads: RefCell<Vec<Vec<u8>>>,
    bodies: RefCell<Vec<Vec<u8>>>,
    bulk: RefCell<Vec<Vec<u8>>>,
    pipes: RefCell<Vec<Pipe>>,
    /// Descriptors have run out; see [`SCARCE`].
    scarce_until: Cell<Option<Instant>>,
}

impl Buffers {
    /// An empty buffer of [`HEAD_BUFFER`] bytes or more.
    pub fn head(&self) -> Vec<u8> {
        self.heads.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(HEAD_BUFFER))
    }

    /// An empty buffer of [`BODY_BUFFER`] bytes or more.
    pub fn body(&self) -> Vec<u8> {
        self.bodies.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(BODY_BUFFER))
    }

    /// An empty buffer of [`BULK_BUFFER`] bytes or more.
    pub fn bulk(&self) -> Vec<u8> {
        self.bulk.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(BULK_BUFFER))
    }

    /// An empty pipe; none when the kernel gives no further one, or has lately given no descriptor.
    pub fn pipe(&self) -> Option<Pipe> {
        if self.are_descriptors_scarce() {
            return None;
        }
        let made = || {
            Pipe::new().inspect_err(|error| {
                tracing::debug!(%error, "no pipe to splice through");
                self.make_room_after(error);
            })
        };
        let kept = self.pipes.borrow_mut().pop();
        kept.or_else(|| made().ok())
    }

    /// Takes a pipe back; one that still holds bytes is closed.
    pub fn give_pipe(&self, pipe: Pipe) {
        let mut pipes = self.pipes.borrow_mut();
        if pipe.held() == 0 && pipes.len() < KEPT_PIPES && !self.are_descriptors_scarce() {
            pipes.push(pipe);
        }
    }

    /// Closes the pipes that are kept, and keeps none for a while, if descriptors have run out: this process's
    /// (EMFILE) or the machine's (ENFILE).
    pub fn make_room_after(&self, error: &io::Error) {
        if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) {
            self.scarce_until.set(Some(clock::now() + SCARCE));
            self.pipes.take();
        }
    }

    fn are_descriptors_scarce(&self) -> bool {
        self.scarce_until.get().is_some_and(|until| clock::now() < until)
    }

    /// Takes a buffer of any kind back.
    pub fn give(&self, mut buffer: Vec<u8>) {
        let (kind, kept) = match buffer.capacity() {
            HEAD_BUFFER..BODY_BUFFER => (&self.heads, KEPT),
            BODY_BUFFER..BULK_BUFFER => (&self.bodies, KEPT),
            BULK_BUFFER.. => (&self.bulk, KEPT_BULK),
            _ => return, // an empty one left behind by a move
        };
        let mut kind = kind.borrow_mut();
        if kind.len() < kept {
            buffer.clear();
            kind.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_make_room_for_connections_once_descriptors_run_out() {
        let buffers = Buffers::default();
        let lent = buffers.pipe().unwrap();
        buffers.give_pipe(buffers.pipe().unwrap());
        buffers.make_room_after(&io::Error::from_raw_os_error(libc::ECONNABORTED));
        assert_eq!(buffers.pipes.borrow().len(), 1);

        buffers.make_room_after(&io::Error::from_raw_os_error(libc::EMFILE));
        assert!(buffers.pipes.borrow().is_empty() && buffers.pipe().is_none());
        buffers.give_pipe(lent);
        assert!(buffers.pipes.borrow().is_empty());

        buffers.scarce_until.set(Some(clock::now()));
        buffers.give_pipe(buffers.pipe().unwrap());
        assert_eq!(buffers.pipes.borrow().len(), 1);
    }
}
