//! A run of bytes in a lent buffer: TLS records on their way in or out.
//!
//! The buffers are the worker's, kept per thread, and lent while bytes are in them: a connection at rest has none. They
//! are initialised once, so that records can be written into them without zeroing them each time.

use std::cell::RefCell;
use std::ops::Range;

use super::super::buffers::Kept;

/// What a record adds to its plaintext, at most, in bytes: header, content type or nonce, tag (RFC 8446 §5.2; RFC 5288
/// §3).
pub(super) const RECORD_OVERHEAD: usize = 32;
/// Plaintext of one record, at most (RFC 8446 §5.1).
pub(super) const RECORD_PLAINTEXT: usize = 16 * 1024;
/// Capacity of a buffer: four whole records, with a head in front.
pub(super) const WINDOW: usize = 4 * (RECORD_PLAINTEXT + RECORD_OVERHEAD) + 2048;
/// Buffers kept by one thread for the next use; more are given back to the allocator.
const KEPT: usize = 64;

thread_local! {
    static BUFFERS: RefCell<Kept<Box<[u8]>>> = const { RefCell::new(Kept::new()) };
}

#[derive(Debug, Default)]
pub(super) struct Window {
    /// Empty while nothing is lent.
    buffer: Box<[u8]>,
    /// Where the bytes are.
    filled: Range<usize>,
}

impl Window {
    pub fn is_empty(&self) -> bool {
        self.filled.is_empty()
    }

    /// Nothing is lent.
    #[cfg(any(test, fuzzing))]
    pub fn has_no_buffer(&self) -> bool {
        self.buffer.is_empty()
    }

    pub fn len(&self) -> usize {
        self.filled.len()
    }

    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(self.filled.clone()).unwrap_or_default()
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.buffer.get_mut(self.filled.clone()).unwrap_or_default()
    }

    /// What can be filled, at least `room` bytes of it.
    pub fn spare(&mut self, room: usize) -> &mut [u8] {
        if self.buffer.is_empty() {
            let kept = if room <= WINDOW { BUFFERS.with_borrow_mut(Kept::take) } else { None };
            self.buffer = kept.unwrap_or_else(|| vec![0; room.max(WINDOW)].into_boxed_slice());
        }
        if self.buffer.len() - self.filled.end < room {
            self.make_room(room);
        }
        &mut self.buffer[self.filled.end..]
    }

    /// Moves the bytes to the front, into a larger buffer if need be.
    fn make_room(&mut self, room: usize) {
        let len = self.len();
        if self.buffer.len() - len < room {
            let mut larger = vec![0; len + room].into_boxed_slice();
            larger[..len].copy_from_slice(self.bytes());
            give(std::mem::replace(&mut self.buffer, larger));
        } else {
            self.buffer.copy_within(self.filled.clone(), 0);
        }
        self.filled = 0..len;
    }

    /// How many bytes can be filled without moving or growing.
    pub fn room(&self) -> usize {
        if self.buffer.is_empty() { WINDOW } else { self.buffer.len() - self.filled.end }
    }

    /// So many bytes of what was spare are there now.
    pub fn fill(&mut self, count: usize) {
        self.filled.end = self.buffer.len().min(self.filled.end + count);
    }

    pub fn append(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.spare(bytes.len())[..bytes.len()].copy_from_slice(bytes);
            self.fill(bytes.len());
        }
    }

    /// Forgets the first `count` bytes; gives the buffer back with the last.
    pub fn consume(&mut self, count: usize) {
        self.filled.start = self.filled.end.min(self.filled.start + count);
        self.give_back_if_empty();
    }

    pub fn give_back_if_empty(&mut self) {
        if self.filled.is_empty() {
            self.filled = 0..0;
            give(std::mem::take(&mut self.buffer));
        }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        give(std::mem::take(&mut self.buffer));
    }
}

fn give(buffer: Box<[u8]>) {
    if buffer.len() != WINDOW {
        return;
    }
    // A thread that ends has no buffers any more.
    let _ = BUFFERS.try_with(|buffers| buffers.borrow_mut().give(buffer, KEPT));
}

/// Gives back what this thread has not needed since the last time.
pub(crate) fn trim() {
    BUFFERS.with_borrow_mut(Kept::trim);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_lent_while_bytes_are_in_it() {
        let mut window = Window::default();
        window.append(b"hello");
        assert_eq!((window.bytes(), window.buffer.len()), (&b"hello"[..], WINDOW));
        window.consume(2);
        assert_eq!(window.bytes(), b"llo");
        let at = window.buffer.as_ptr();
        window.consume(3);
        assert!(window.buffer.is_empty() && window.is_empty());
        window.append(b"again");
        assert_eq!(window.buffer.as_ptr(), at, "the same buffer is lent again");
    }

    #[test]
    fn what_is_filled_is_moved_or_grows_when_there_is_no_room_behind_it() {
        let mut window = Window::default();
        window.append(&[1; WINDOW - 1]);
        window.consume(WINDOW - 11);
        window.append(&[2; 100]);
        assert_eq!((window.len(), window.buffer.len()), (110, WINDOW));
        window.append(&[3; WINDOW]);
        assert_eq!(window.len(), 110 + WINDOW);
        let (ones, rest) = window.bytes().split_at(10);
        let (twos, threes) = rest.split_at(100);
        assert!(ones == [1; 10] && twos == [2; 100] && threes.iter().all(|byte| *byte == 3));
    }
}
