//! Does a peer of an HTTP/2 connection work, or does it only keep us busy? Pure: bytes and time in.
//!
//! The library behind the connection bounds memory: streams, header lists, resets it has not looked at. What it answers
//! or skips at once (PING, SETTINGS, PRIORITY, WINDOW_UPDATE, DATA without data) it takes without end, and each such
//! frame costs us more than its sender. So they are counted: every frame that carries nothing costs a point, and useful
//! ones, bytes we could send and time give points back. A peer out of points is cut off. HAProxy calls such frames
//! glitches (`tune.h2.fe.glitches-threshold`).

use std::fmt;
use std::time::Instant;

/// Length of a frame's header (RFC 9113 §4.1).
const HEADER: usize = 9;
/// The client's preface (§3.4), which is no frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Points given back by a request or response, by a frame with data, for so many bytes sent, and by a second.
const PER_HEAD: u32 = 16;
const PER_DATA: u32 = 1;
const BYTES_PER_POINT: usize = 1024;
const PER_SECOND: u32 = 100;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const END_STREAM: u8 = 1;

/// Looks at what is read from one connection, in whatever pieces it comes.
#[derive(Debug)]
pub(crate) struct FrameGuard {
    /// Bytes of the preface still to come.
    preface: usize,
    header: [u8; HEADER],
    header_len: usize,
    /// Bytes of the frame's payload still to come.
    payload: usize,
    points: u32,
    most: u32,
    seen_at: Instant,
}

/// The peer sent more idle frames than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flood;

impl fmt::Display for Flood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many frames that carry nothing")
    }
}

impl std::error::Error for Flood {}

impl FrameGuard {
    /// `most`: idle frames a peer may be ahead.
    pub fn of_client(most: u32, now: Instant) -> Self {
        FrameGuard { preface: PREFACE.len(), ..FrameGuard::of_server(most, now) }
    }

    pub fn of_server(most: u32, now: Instant) -> Self {
        FrameGuard { preface: 0, header: [0; HEADER], header_len: 0, payload: 0, points: most, most, seen_at: now }
    }

    /// The peer took this many bytes: window updates answer them.
    pub fn sent(&mut self, bytes: usize) {
        self.earn(u32::try_from(bytes.div_ceil(BYTES_PER_POINT)).unwrap_or(u32::MAX));
    }

    /// Takes in what was read.
    ///
    /// # Errors
    /// [`Flood`]: close the connection.
    pub fn received(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Flood> {
        let seconds = now.saturating_duration_since(self.seen_at).as_secs();
        if seconds > 0 {
            self.seen_at = now;
            self.earn(u32::try_from(seconds).unwrap_or(u32::MAX).saturating_mul(PER_SECOND));
        }
        let skip = self.preface.min(bytes.len());
        self.preface -= skip;
        bytes = bytes.get(skip..).unwrap_or_default();
        while !bytes.is_empty() {
            if self.payload > 0 {
                let skip = self.payload.min(bytes.len());
                self.payload -= skip;
                bytes = bytes.get(skip..).unwrap_or_default();
                continue;
            }
            let take = (HEADER - self.header_len).min(bytes.len());
            let (more, rest) = bytes.split_at(take);
            if let Some(room) = self.header.get_mut(self.header_len..self.header_len + take) {
                room.copy_from_slice(more);
            }
            self.header_len += take;
            bytes = rest;
            if self.header_len == HEADER {
                self.header_len = 0;
                self.frame()?;
            }
        }
        Ok(())
    }

    fn frame(&mut self) -> Result<(), Flood> {
        let [a, b, c, kind, flags, ..] = self.header;
        let len = u32::from_be_bytes([0, a, b, c]);
        self.payload = len as usize;
        // A request and its reset together still cost: both were work for nothing.
        let cost = if kind == RST_STREAM { PER_HEAD + 1 } else { 1 };
        match kind {
            HEADERS => self.earn(PER_HEAD),
            DATA if len > 0 => self.earn(PER_DATA),
            // The usual end of a body whose length was not known.
            DATA if flags & END_STREAM != 0 => {}
            _ => self.points = self.points.checked_sub(cost).ok_or(Flood)?,
        }
        Ok(())
    }

    fn earn(&mut self, points: u32) {
        self.points = self.points.saturating_add(points).min(self.most);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn frame(kind: u8, flags: u8, len: usize) -> Vec<u8> {
        let [.., a, b, c] = (len as u32).to_be_bytes();
        let mut bytes = vec![a, b, c, kind, flags, 0, 0, 0, 1];
        bytes.resize(HEADER + len, b'x');
        bytes
    }

    /// How many times these frames pass a guard of 10 points, fed in pieces of `piece` bytes; 1000 is for ever.
    #[track_caller]
    fn check(frames: &[Vec<u8>], expected: usize) {
        for piece in [1, 7, 9, 10, 1000] {
            let now = Instant::now();
            let mut guard = FrameGuard::of_client(10, now);
            guard.received(PREFACE, now).unwrap();
            let bytes = frames.concat();
            let passed = (0..1000).take_while(|_| bytes.chunks(piece).all(|part| guard.received(part, now).is_ok()));
            assert_eq!(passed.count(), expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn frames_that_carry_nothing_are_counted() {
        const PING: u8 = 6;
        for kind in [2, 4, PING, 8, 9, 77] {
            check(&[frame(kind, 0, 8)], 10);
        }
        check(&[frame(DATA, 0, 0)], 10);
        check(&[frame(HEADERS, 0, 20)], 1000);
        check(&[frame(DATA, 0, 1)], 1000);
        check(&[frame(HEADERS, 0, 20), frame(DATA, END_STREAM, 0)], 1000);
        check(&[frame(HEADERS, 0, 20), frame(PING, 0, 8)], 1000);
        check(&[frame(PING, 0, 8), frame(PING, 0, 8), frame(DATA, 0, 100)], 9);
    }

    #[test]
    fn time_and_bytes_sent_give_points_back() {
        let start = Instant::now();
        let mut guard = FrameGuard::of_server(5, start);
        let ping = frame(6, 0, 8);
        let mut pings = |count: usize, bytes: usize, now| {
            guard.sent(bytes);
            guard.received(&ping.repeat(count), now)
        };
        assert_eq!(pings(5, 0, start), Ok(()));
        assert_eq!(pings(3, 3000, start), Ok(()));
        assert_eq!(pings(5, 0, start + Duration::from_secs(1)), Ok(()));
        assert_eq!(pings(1, 0, start + Duration::from_secs(1)), Err(Flood));
    }
}
