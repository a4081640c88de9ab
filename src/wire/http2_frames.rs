//! Does a peer of an HTTP/2 connection work, or does it only keep us busy? Pure: bytes and time in.
//!
//! The library behind the connection bounds memory: streams, header lists, resets it has not looked at. What it answers
//! or skips at once (PING, SETTINGS, PRIORITY, WINDOW_UPDATE, DATA without data) it takes without end, and each such
//! frame costs us more than its sender. So they are counted: every frame that carries nothing costs a point, and useful
//! ones, what we send and time give points back. A peer out of points is cut off. HAProxy calls such frames
//! glitches (`tune.h2.fe.glitches-threshold`).
//!
//! Nor does anything hold back the heads a server sends: interim responses have no flow control, and wait in memory for a
//! client that does not read. So those that a stream gets before its body or its end are counted as well.
//!
//! What we send pays for what a peer may lawfully say to it: one that takes each message of a stream as it comes, such as
//! server-sent events or gRPC, opens two windows again for every one of our DATA frames, however small that is.

mod client_streams;
mod server_heads;

use std::fmt;

pub(crate) use self::client_streams::Refusal;
use self::client_streams::Streams;
use self::server_heads::Heads;

use crate::moment::Moment;

/// Length of a frame's header (RFC 9113 §4.1).
const HEADER: usize = 9;
/// Behind it, in RST_STREAM: the reason.
const REASON: usize = 4;
const REFUSED_STREAM: u32 = 7;
/// The client's preface (§3.4), which is no frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Points given back by a request or response, by a frame with data, and by a second.
const PER_HEAD: u32 = 16;
const PER_DATA: u32 = 1;
const PER_SECOND: u32 = 100;
/// Points given back by a DATA frame of ours: its stream's window and the connection's may be opened (§6.9), and the way
/// be measured by a PING, as gRPC does. The larger it is, the more often.
const PER_DATA_SENT: u32 = 3;
const BYTES_PER_POINT: usize = 1024;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Looks at what is read from one connection, and written to it, in whatever pieces.
#[derive(Debug)]
pub(crate) struct FrameGuard {
    received: Frames,
    sent: Frames,
    head: HeadUnderWay,
    /// A client's alone.
    streams: Option<Streams>,
    points: u32,
    most: u32,
    seen_at: Moment,
    /// A server's alone.
    heads: Option<Heads>,
}

/// Whether a request's head has begun and is not complete.
#[derive(Debug, Clone, Copy, Default)]
struct HeadUnderWay {
    since: Option<Moment>,
    /// CONTINUATION frames are to come.
    continues: bool,
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
    pub fn of_client(most: u32, now: Moment) -> Self {
        let (received, sent) = (Frames::behind(PREFACE), Frames::behind(b""));
        FrameGuard {
            received,
            sent,
            streams: Some(Streams::default()),
            heads: None,
            ..FrameGuard::of_server(most, now)
        }
    }

    pub fn of_server(most: u32, now: Moment) -> Self {
        let (received, sent) = (Frames::behind(b""), Frames::behind(PREFACE));
        let head = HeadUnderWay::default();
        let heads = Some(Heads::default());
        FrameGuard { received, sent, head, streams: None, points: most, most, seen_at: now, heads }
    }

    /// Takes in what the peer took.
    pub fn sent(&mut self, mut bytes: &[u8]) {
        while let Some(frame) = self.sent.next(&mut bytes) {
            if frame.kind == DATA && frame.len > 0 {
                let by_size = u32::try_from(frame.len / BYTES_PER_POINT).unwrap_or(u32::MAX);
                self.earn(by_size.saturating_add(PER_DATA_SENT));
            }
            if let Some(streams) = &mut self.streams {
                streams.sent(&frame);
            }
        }
    }

    /// Takes in what was read.
    ///
    /// # Errors
    /// [`Flood`]: close the connection.
    pub fn received(&mut self, mut bytes: &[u8], now: Moment) -> Result<(), Flood> {
        let seconds = now.saturating_duration_since(self.seen_at).as_secs();
        if seconds > 0 {
            self.seen_at = now;
            let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
            self.earn(seconds.saturating_mul(PER_SECOND));
            if let Some(heads) = &mut self.heads {
                heads.seconds_passed(seconds);
            }
        }
        while let Some(frame) = self.received.next(&mut bytes) {
            self.judge(&frame)?;
            self.follow_head(&frame, now);
            if let Some(streams) = &mut self.streams {
                streams.received(&frame);
            }
        }
        if !self.head.continues && self.received.payload == 0 {
            self.head.since = None;
        }
        Ok(())
    }

    /// Since when a request's head is under way.
    pub fn head_since(&self) -> Option<Moment> {
        self.head.since
    }

    /// A client has more to send of what it has begun: a frame, a head, a request.
    pub fn is_amid(&self) -> bool {
        let frames = &self.received;
        let frame = frames.preface + frames.header_len + frames.payload > 0;
        frame || self.head.continues || self.streams.as_ref().is_some_and(Streams::is_sending)
    }

    /// A client's request is handed out, on the stream that is asked for if that matters.
    pub fn taken_up(&mut self, stream: impl FnOnce() -> u32) {
        let Some(streams) = &mut self.streams else { return };
        streams.hand_out(stream);
        streams.settle(self.head.since.is_some());
    }

    /// One of a client's requests that nobody has seen. Ask when all that could be handed out have been.
    pub fn next_refusal(&mut self) -> Option<Refusal> {
        let streams = self.streams.as_mut()?;
        streams.settle(self.head.since.is_some());
        streams.next_refusal()
    }

    fn follow_head(&mut self, frame: &Frame, now: Moment) {
        match frame.kind {
            HEADERS => self.head = HeadUnderWay { since: Some(now), continues: frame.flags & END_HEADERS == 0 },
            CONTINUATION => self.head.continues &= frame.flags & END_HEADERS == 0,
            _ => self.head = HeadUnderWay::default(),
        }
    }

    fn judge(&mut self, frame: &Frame) -> Result<(), Flood> {
        // A request and its reset together still cost: both were work for nothing.
        let cost = if frame.kind == RST_STREAM { PER_HEAD + 1 } else { 1 };
        let in_a_row = self.heads.as_mut().map_or(Ok(0), |heads| heads.received(frame))?;
        match frame.kind {
            HEADERS if in_a_row > 1 => {} // an interim response at best
            HEADERS => self.earn(PER_HEAD),
            DATA if frame.len > 0 => self.earn(PER_DATA),
            // The usual end of a body whose length was not known.
            DATA if frame.flags & END_STREAM != 0 => {}
            _ => self.points = self.points.checked_sub(cost).ok_or(Flood)?,
        }
        Ok(())
    }

    fn earn(&mut self, points: u32) {
        self.points = self.points.saturating_add(points).min(self.most);
    }
}

/// What a frame's header says.
#[derive(Debug, Clone, Copy)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    len: usize,
    /// Of a reset.
    reason: u32,
}

/// Finds the frames in what goes one way, in whatever pieces that comes.
#[derive(Debug)]
struct Frames {
    /// Bytes of the preface still to come.
    preface: usize,
    header: [u8; HEADER + REASON],
    header_len: usize,
    /// Bytes of the frame's payload still to come.
    payload: usize,
}

impl Frames {
    fn behind(preface: &[u8]) -> Self {
        Frames { preface: preface.len(), header: [0; HEADER + REASON], header_len: 0, payload: 0 }
    }

    /// The next frame whose header is complete, with its reason where it has one. Takes off `bytes` what it has looked at.
    fn next(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        skip(&mut self.preface, bytes);
        skip(&mut self.payload, bytes);
        if !self.fill(HEADER, bytes) {
            return None;
        }
        let [a, b, c, kind, flags, s, t, u, v, ..] = self.header;
        let len = u32::from_be_bytes([0, a, b, c]) as usize;
        let looked_at = if kind == RST_STREAM { len.min(REASON) } else { 0 };
        if !self.fill(HEADER + looked_at, bytes) {
            return None;
        }
        self.header_len = 0;
        self.payload = len - looked_at;
        let [.., w, x, y, z] = self.header;
        let stream = u32::from_be_bytes([s & 0x7f, t, u, v]);
        Some(Frame { kind, flags, stream, len, reason: u32::from_be_bytes([w, x, y, z]) })
    }

    /// Whether so much of the header is there.
    fn fill(&mut self, wanted: usize, bytes: &mut &[u8]) -> bool {
        let take = wanted.saturating_sub(self.header_len).min(bytes.len());
        let (more, rest) = bytes.split_at(take);
        if let Some(room) = self.header.get_mut(self.header_len..self.header_len + take) {
            room.copy_from_slice(more);
        }
        *bytes = rest;
        self.header_len += take;
        self.header_len >= wanted
    }
}

/// Takes off `bytes` what is `left` to be passed over.
fn skip(left: &mut usize, bytes: &mut &[u8]) {
    let count = (*left).min(bytes.len());
    *left -= count;
    *bytes = bytes.get(count..).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::server_heads::{HEADS_IN_A_ROW, HEADS_PER_SECOND};
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
            let now = Moment::ORIGIN;
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
        let now = Moment::ORIGIN;
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
        let start = Moment::ORIGIN;
        let mut guard = FrameGuard::of_server(10, start);
        let second = frame(HEADERS, 0, 10).repeat(HEADS_PER_SECOND as usize);
        for seconds in 0..1000 {
            assert_eq!(guard.received(&second, start + Duration::from_secs(seconds)), Ok(()), "after {seconds} s");
        }
    }

    /// How much of these bytes has to come until no head is under way any more, `None` for never.
    #[track_caller]
    fn check_head(frames: &[Vec<u8>], expected: Option<usize>) {
        let now = Moment::ORIGIN;
        let mut guard = FrameGuard::of_server(10, now);
        let mut begun = None;
        for (index, byte) in frames.concat().iter().enumerate() {
            guard.received(&[*byte], now + Duration::from_secs(1)).unwrap();
            begun = begun.or(guard.head_since());
            if begun.is_some() && guard.head_since().is_none() {
                return assert_eq!(Some(index + 1), expected);
            }
        }
        assert_eq!(begun.and(None), expected, "begun: {begun:?}");
    }

    #[test]
    fn a_head_is_under_way_until_its_last_byte() {
        check_head(&[frame(HEADERS, END_HEADERS, 5), frame(DATA, 0, 5)], Some(14));
        let (first, last) = (frame(HEADERS, END_STREAM, 5), frame(CONTINUATION, END_HEADERS, 3));
        check_head(&[first.clone(), frame(CONTINUATION, 0, 3)], None);
        check_head(&[first, frame(CONTINUATION, 0, 3), last], Some(14 + 12 + 12));
        check_head(&[frame(6, 0, 8)], None);
    }

    /// Whether a client that has sent these frames, and was sent `answer`, owes the rest of something.
    #[track_caller]
    fn check_amid(frames: &[Vec<u8>], answer: &[u8], expected: bool) {
        let now = Moment::ORIGIN;
        let mut guard = FrameGuard::of_client(100, now);
        guard.received(PREFACE, now).unwrap();
        guard.received(&frames.concat(), now).unwrap();
        guard.sent(answer);
        assert_eq!(guard.is_amid(), expected, "{guard:?}");
    }

    #[test]
    fn a_client_owes_what_it_has_begun() {
        let (request, part) = (frame(HEADERS, END_HEADERS, 5), frame(DATA, 0, 5));
        check_amid(&[frame(HEADERS, END_HEADERS | END_STREAM, 5)], b"", false);
        check_amid(&[frame(HEADERS, END_STREAM, 5)], b"", true);
        check_amid(&[request.clone(), part.clone()], b"", true);
        check_amid(&[request.clone(), part.clone(), frame(DATA, END_STREAM, 0)], b"", false);
        check_amid(&[request.clone(), part.clone(), frame(HEADERS, END_HEADERS | END_STREAM, 5)], b"", false);
        check_amid(&[request.clone(), frame(RST_STREAM, 0, 4)], b"", false);
        check_amid(&[request], &frame(RST_STREAM, 0, 4), false);
        check_amid(&[vec![0, 0]], b"", true);
    }

    #[test]
    fn a_request_that_nobody_has_seen_is_told_of() {
        let now = Moment::ORIGIN;
        let mut guard = FrameGuard::of_client(100, now);
        let on = |kind, stream, reason: u8| [&[0, 0, 4, kind, 5, 0, 0, 0, stream, 0, 0, 0], &[reason][..]].concat();
        guard.received(PREFACE, now).unwrap();
        let requests = |guard: &mut FrameGuard, streams: &[u8]| {
            let requests = streams.iter().flat_map(|stream| on(HEADERS, *stream, 0)).collect::<Vec<_>>();
            requests.chunks(5).for_each(|piece| guard.received(piece, now).unwrap());
        };
        requests(&mut guard, &[1]);
        guard.taken_up(|| unreachable!("nothing was refused"));
        requests(&mut guard, &[3, 5, 7, 9]);
        // A reset after an answer, a malformed one, one that is handed out all the same, one too many, one too large.
        let answers = [
            on(HEADERS, 1, 0),
            on(RST_STREAM, 1, 1),
            on(RST_STREAM, 3, 1),
            on(RST_STREAM, 5, 1),
            on(RST_STREAM, 7, REFUSED_STREAM as u8),
            on(HEADERS, 9, 0),
        ];
        answers.concat().chunks(5).for_each(|piece| guard.sent(piece));
        guard.taken_up(|| 5);
        let told = std::iter::from_fn(|| guard.next_refusal()).collect::<Vec<_>>();
        assert_eq!(told, [Refusal::TooLarge, Refusal::Malformed]);
        // One whose head comes in pieces cannot be refused before its end.
        let head = frame(HEADERS, END_STREAM | END_HEADERS, 20);
        let head = [&head[..8], &[11], &head[9..]].concat();
        for piece in head.chunks(11) {
            assert_eq!(guard.next_refusal(), None);
            guard.received(piece, now).unwrap();
        }
        guard.sent(&on(RST_STREAM, 11, 1));
        assert_eq!(guard.next_refusal(), Some(Refusal::Malformed));
    }

    #[test]
    fn time_and_data_sent_give_points_back() {
        let start = Moment::ORIGIN;
        let mut guard = FrameGuard::of_client(5, start);
        guard.received(PREFACE, start).unwrap();
        let ping = frame(6, 0, 8);
        let mut pings = |count: usize, sent: &[u8], now| {
            guard.sent(sent);
            guard.received(&ping.repeat(count), now)
        };
        assert_eq!(pings(5, b"", start), Ok(()));
        assert_eq!(pings(4, &frame(DATA, 0, 1024), start), Ok(()));
        // What carries nothing gives nothing.
        assert_eq!(pings(0, &[frame(DATA, END_STREAM, 0), frame(6, 1, 8).repeat(100)].concat(), start), Ok(()));
        assert_eq!(pings(5, b"", start + Duration::from_secs(1)), Ok(()));
        assert_eq!(pings(1, b"", start + Duration::from_secs(1)), Err(Flood));
    }

    #[test]
    fn small_messages_may_each_be_answered_with_the_windows_they_used() {
        const WINDOW_UPDATE: u8 = 8;
        let now = Moment::ORIGIN;
        let (message, update) = (frame(DATA, 0, 20), frame(WINDOW_UPDATE, 0, 4));
        let preface = PREFACE.to_vec();
        for (mut guard, first) in [
            (FrameGuard::of_client(10, now), [preface.clone(), vec![]]),
            (FrameGuard::of_server(10, now), [vec![], preface]),
        ] {
            guard.received(&first[0], now).unwrap();
            guard.sent(&first[1]);
            for _ in 0..1000 {
                // Many messages leave as one piece, and a piece may end anywhere.
                message.repeat(5).chunks(31).for_each(|piece| guard.sent(piece));
                assert_eq!(guard.received(&update.repeat(10), now), Ok(()));
            }
            assert_eq!(guard.received(&update.repeat(11), now), Err(Flood));
        }
    }
}
