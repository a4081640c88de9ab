//! Memory for bytes in flight. Buffers belong to the worker and are lent while bytes are in them, so a parked connection
//! holds none.

use std::cell::RefCell;

use super::splice::Pipe;

/// Capacity of a buffer for a head and what came with it.
pub(crate) const HEAD_BUFFER: usize = 16 * 1024;
/// Capacity of a buffer for a body's bytes: one read.
pub(crate) const BODY_BUFFER: usize = 64 * 1024;
/// Capacity of a buffer for whoever moves more than one read can take. Fits the second-level cache of a core.
pub(crate) const BULK_BUFFER: usize = 256 * 1024;
/// Buffers of a kind kept for the next use; more are given back to the allocator.
const KEPT: usize = 256;
/// The same for the largest ones, and for pipes: each is two descriptors.
const KEPT_BULK: usize = 16;
const KEPT_PIPES: usize = 64;

/// One worker's buffers.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    heads: RefCell<Vec<Vec<u8>>>,
    bodies: RefCell<Vec<Vec<u8>>>,
    bulk: RefCell<Vec<Vec<u8>>>,
    pipes: RefCell<Vec<Pipe>>,
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

    /// An empty pipe; none when the kernel gives no further one.
    pub fn pipe(&self) -> Option<Pipe> {
        let kept = self.pipes.borrow_mut().pop();
        kept.or_else(|| Pipe::new().map_err(|error| tracing::debug!(%error, "no pipe to splice through")).ok())
    }

    /// Takes a pipe back; one that still holds bytes is closed.
    pub fn give_pipe(&self, pipe: Pipe) {
        let mut pipes = self.pipes.borrow_mut();
        if pipe.held() == 0 && pipes.len() < KEPT_PIPES {
            pipes.push(pipe);
        }
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
