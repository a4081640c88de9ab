//! Which of the bytes just read belong to the body, and is it over? One machine for all kinds of body.

use std::fmt;
use std::ops::Range;

use super::framing::BodyLength;
use super::h1::chunked::{BadChunk, ChunkedDecoder, Piece};

/// Reads one body. Feed it what was read, until it says done; then at the sender's end of stream ask
/// [`at_eof`](BodyReader::at_eof).
#[derive(Debug)]
pub(crate) enum BodyReader {
    /// Bytes still to come; 0 when there is no body or it is over.
    Length(u64),
    Chunked(ChunkedDecoder),
    UntilClose,
}

/// What one call found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fed {
    /// Bytes of the input that are dealt with, the data included. Call again with the rest while it is not empty.
    pub consumed: usize,
    /// Where in the input the data are; may be empty.
    pub data: Range<usize>,
    /// The body is over; the rest of the input belongs to the next message.
    pub done: bool,
}

/// Why a body cannot be read on. Its connection is of no more use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadBody {
    Chunk(BadChunk),
    /// The sender closed before the end.
    Truncated,
}

impl fmt::Display for BadBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadBody::Chunk(bad) => bad.fmt(f),
            BadBody::Truncated => f.write_str("the connection was closed before the body's end"),
        }
    }
}

impl std::error::Error for BadBody {}

impl BodyReader {
    pub fn new(length: BodyLength) -> Self {
        match length {
            BodyLength::None => BodyReader::Length(0),
            BodyLength::Length(length) => BodyReader::Length(length),
            BodyLength::Chunked => BodyReader::Chunked(ChunkedDecoder::new()),
            BodyLength::UntilClose => BodyReader::UntilClose,
        }
    }

    /// What is wrong with those chunks of a body that came with its head: nothing of it needs to be passed on then.
    pub fn check_start(length: BodyLength, start: &[u8]) -> Result<(), BadBody> {
        if length == BodyLength::Chunked {
            let (mut reader, mut rest) = (BodyReader::new(length), start);
            while !reader.is_done() && !rest.is_empty() {
                let fed = reader.feed(rest)?;
                rest = rest.get(fed.consumed..).unwrap_or_default();
            }
        }
        Ok(())
    }

    /// The body is over. Never, for one that ends with its connection.
    pub fn is_done(&self) -> bool {
        match self {
            BodyReader::Length(left) => *left == 0,
            BodyReader::Chunked(decoder) => decoder.is_done(),
            BodyReader::UntilClose => false,
        }
    }

    /// Bytes still to come, where that is known.
    pub fn remaining(&self) -> Option<u64> {
        match self {
            BodyReader::Length(left) => Some(*left),
            BodyReader::Chunked(_) | BodyReader::UntilClose => None,
        }
    }

    /// Takes in what was read, up to the end of the first run of data.
    pub fn feed(&mut self, input: &[u8]) -> Result<Fed, BadBody> {
        match self {
            BodyReader::Length(left) => {
                let len = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                *left -= len as u64;
                Ok(Fed { consumed: len, data: 0..len, done: *left == 0 })
            }
            BodyReader::UntilClose => Ok(Fed { consumed: input.len(), data: 0..input.len(), done: false }),
            BodyReader::Chunked(decoder) => Ok(match decoder.next(input).map_err(BadBody::Chunk)? {
                Piece::Data { from, len } => Fed { consumed: from + len, data: from..from + len, done: false },
                Piece::NeedMore { consumed } => Fed { consumed, data: consumed..consumed, done: false },
                Piece::End { consumed } => Fed { consumed, data: consumed..consumed, done: true },
            }),
        }
    }

    /// So many bytes went past unseen; no more than [`remaining`](BodyReader::remaining) says.
    pub fn skip(&mut self, count: usize) {
        if let BodyReader::Length(left) = self {
            *left = left.saturating_sub(count as u64);
        }
    }

    /// The sender closed: was that the end?
    pub fn at_eof(&self) -> Result<(), BadBody> {
        if self.is_done() || matches!(self, BodyReader::UntilClose) { Ok(()) } else { Err(BadBody::Truncated) }
    }

    /// Trailer lines that may be sent on, each with its CRLF.
    pub fn trailers(&self) -> &[u8] {
        match self {
            BodyReader::Chunked(decoder) => decoder.trailers(),
            BodyReader::Length(_) | BodyReader::UntilClose => b"",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the input in pieces of every size; expected: the data, what is left over, how the end of stream is taken.
    #[track_caller]
    fn check(length: BodyLength, input: &str, data: &str, rest: &str, at_eof: Result<(), BadBody>) {
        for piece_len in 1..=input.len().max(1) {
            let mut reader = BodyReader::new(length);
            let (mut seen, mut consumed) = (Vec::new(), 0);
            let mut done = reader.is_done();
            while !done && consumed < input.len() {
                let piece = &input.as_bytes()[consumed..(consumed + piece_len).min(input.len())];
                let fed = reader.feed(piece).unwrap();
                assert!(fed.consumed > 0);
                seen.extend_from_slice(&piece[fed.data]);
                consumed += fed.consumed;
                done = fed.done;
            }
            assert_eq!(String::from_utf8_lossy(&seen), data);
            assert_eq!(&input[consumed..], rest);
            assert_eq!(reader.at_eof(), at_eof);
            assert_eq!(reader.is_done(), done);
        }
    }

    #[test]
    fn every_kind_of_body_ends_where_it_should() {
        let truncated = Err(BadBody::Truncated);
        check(BodyLength::None, "GET", "", "GET", Ok(()));
        check(BodyLength::Length(0), "GET", "", "GET", Ok(()));
        check(BodyLength::Length(3), "abcGET", "abc", "GET", Ok(()));
        check(BodyLength::Length(9), "abc", "abc", "", truncated);
        check(BodyLength::UntilClose, "abc", "abc", "", Ok(()));
        check(BodyLength::Chunked, "3\r\nabc\r\n0\r\n\r\nGET", "abc", "GET", Ok(()));
        check(BodyLength::Chunked, "3\r\nab", "ab", "", truncated);
        check(BodyLength::Chunked, "3\r\nabc\r\n0\r\n", "abc", "", truncated);
    }

    #[test]
    fn a_bad_start_is_known_before_the_rest_has_come() {
        let is_bad = |length, start: &str| BodyReader::check_start(length, start.as_bytes()).is_err();
        assert!(is_bad(BodyLength::Chunked, "zz\r\n"));
        assert!(is_bad(BodyLength::Chunked, "3\r\nabc\r\n-1\r\n"));
        for start in ["", "3\r\nab", "3\r\nabc\r\n0\r\n\r\nzz\r\n"] {
            assert!(!is_bad(BodyLength::Chunked, start), "{start:?}");
        }
        assert!(!is_bad(BodyLength::Length(9), "zz\r\n"));
    }

    #[test]
    fn a_huge_length_does_not_wrap() {
        let mut reader = BodyReader::new(BodyLength::Length(u64::MAX));
        assert_eq!(reader.feed(b"abc"), Ok(Fed { consumed: 3, data: 0..3, done: false }));
        reader.skip(4);
        assert_eq!(reader.remaining(), Some(u64::MAX - 7));
    }
}
