//! Does a peer of an HTTP/2 connection work, or does it only keep us busy? Pure: bytes and time in.
//!
//! The library behind the connection bounds memory: streams, header lists, resets it has not looked at. What it answers
//! or skips at once (PING, SETTINGS, PRIORITY, WINDOW_UPDATE, DATA without data) it takes without end, and each such
//! frame costs us more than its sender. So they are counted: every frame that carries nothing costs a point, and useful
//! ones, bytes we could send and time give points back. A peer out of points is cut off. HAProxy calls such frames
//! glitches (`tune.h2.fe.glitches-threshold`).
//!
//! Nor does anything hold back the heads a server sends: interim responses have no flow control, and wait in memory for a
//! client that does not read. So those that a stream gets before its body or its end are counted as well.

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

/// Heads of a server's that one stream may be ahead of its body or end, at once and per second: interim responses, and the
/// final one. HAProxy, which reads no further, has no such number.
const HEADS_IN_A_ROW: u32 = 64;
const HEADS_PER_SECOND: u32 = 16;
/// Streams whose heads are counted. Of more, those with the fewest are forgotten.
const STREAMS_COUNTED: usize = 1024;

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
    /// Towards servers: streams that got heads, and how many, without a body or an end behind them.
    heads: Option<Vec<(u32, u32)>>,
}

/// The peer sent more idle frames, or more heads in a row, than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flood;

impl fmt::Display for Flood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many frames that carry nothing, or interim responses in a row")
    }
}

impl std::error::Error for Flood {}

impl FrameGuard {
    /// `most`: idle frames a peer may be ahead.
    pub fn of_client(most: u32, now: Instant) -> Self {
        FrameGuard { preface: PREFACE.len(), heads: None, ..FrameGuard::of_server(most, now) }
    }

    pub fn of_server(most: u32, now: Instant) -> Self {
        let heads = Some(Vec::new());
        FrameGuard {
            preface: 0,
            header: [0; HEADER],
            header_len: 0,
            payload: 0,
            points: most,
            most,
            seen_at: now,
            heads,
        }
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
            let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
            self.earn(seconds.saturating_mul(PER_SECOND));
            self.forgive_heads(seconds.saturating_mul(HEADS_PER_SECOND));
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
        let [a, b, c, kind, flags, stream @ ..] = self.header;
        let len = u32::from_be_bytes([0, a, b, c]);
        self.payload = len as usize;
        // A request and its reset together still cost: both were work for nothing.
        let cost = if kind == RST_STREAM { PER_HEAD + 1 } else { 1 };
        let in_a_row = self.heads_in_a_row(kind, flags, u32::from_be_bytes(stream))?;
        match kind {
            HEADERS if in_a_row > 1 => {} // an interim response at best
            HEADERS => self.earn(PER_HEAD),
            DATA if len > 0 => self.earn(PER_DATA),
            // The usual end of a body whose length was not known.
            DATA if flags & END_STREAM != 0 => {}
            _ => self.points = self.points.checked_sub(cost).ok_or(Flood)?,
        }
        Ok(())
    }

    /// Counts a server's heads. Returns how many this stream got in a row.
    fn heads_in_a_row(&mut self, kind: u8, flags: u8, stream: u32) -> Result<u32, Flood> {
        let Some(heads) = &mut self.heads else { return Ok(0) };
        let counted = heads.iter().position(|(counted, _)| *counted == stream);
        match (kind, counted) {
            (HEADERS, _) if flags & END_STREAM != 0 => {}
            (HEADERS, Some(at)) => {
                let Some((_, count)) = heads.get_mut(at) else { return Ok(0) };
                *count += 1;
                return if *count > HEADS_IN_A_ROW { Err(Flood) } else { Ok(*count) };
            }
            (HEADERS, None) => {
                if heads.len() >= STREAMS_COUNTED
                    && let Some(fewest) = (0..heads.len()).min_by_key(|at| heads[*at].1)
                {
                    heads.swap_remove(fewest);
                }
                heads.push((stream, 1));
                return Ok(1);
            }
            (DATA | RST_STREAM, _) => {}
            _ => return Ok(0),
        }
        if let Some(at) = counted {
            heads.swap_remove(at);
        }
        Ok(0)
    }

    fn forgive_heads(&mut self, count: u32) {
        if let Some(heads) = &mut self.heads {
            heads.iter_mut().for_each(|(_, counted)| *counted = counted.saturating_sub(count));
            heads.retain(|(_, counted)| *counted > 0);
        }
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

    /// How many of these frames a server may send, `h`eads, `d`ata and `e`nds on stream 1, `H`eads on others.
    #[track_caller]
    fn check_heads(frames: &str, expected: usize) {
        let now = Instant::now();
        let mut guard = FrameGuard::of_server(10, now);
        let mut other = 1u32;
        let passed = frames.chars().take_while(|kind| {
            let mut bytes = match kind {
                'd' => frame(DATA, 0, 10),
                'e' => frame(HEADERS, END_STREAM, 10),
                _ => frame(HEADERS, 0, 10),
            };
            if *kind == 'H' {
                other += 2;
                bytes[5..HEADER].copy_from_slice(&other.to_be_bytes());
            }
            guard.received(&bytes, now).is_ok()
        });
        assert_eq!(passed.count(), expected, "{frames}");
    }

    #[test]
    fn a_server_sends_so_many_heads_before_a_body_or_an_end() {
        let most = HEADS_IN_A_ROW as usize;
        check_heads(&"h".repeat(most + 1), most);
        check_heads(&"hHH".repeat(most + 1), 3 * most);
        check_heads(&"H".repeat(5000), 5000);
        let (of_one, with_data) = ("h".repeat(most), 4 * (most + 1));
        check_heads(&format!("{of_one}d").repeat(4), with_data);
        check_heads(&format!("{of_one}e").repeat(4), with_data);
        let start = Instant::now();
        let mut guard = FrameGuard::of_server(10, start);
        let second = frame(HEADERS, 0, 10).repeat(HEADS_PER_SECOND as usize);
        for seconds in 0..1000 {
            assert_eq!(guard.received(&second, start + Duration::from_secs(seconds)), Ok(()), "after {seconds} s");
        }
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
