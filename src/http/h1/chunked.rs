//! Where are the data in a chunked body? Strict, one byte stream in, pieces out (RFC 9112 §7.1).
//!
//! Sizes are plain hexadecimal, lines end in CRLF and nothing else, extensions are skipped but bounded: a byte two
//! readers could take differently ends the message instead (the "TE.TE" and "chunk extension" smuggling classes).
//! Whoever sends the body on writes chunks of its own.

use std::fmt;

use super::scan::split_line;
use crate::http::fields::Known;
use crate::http::hop_by_hop::{is_hop_by_hop, is_protected};

/// The last chunk, without trailers.
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// The last chunk's size line; trailers and [`TRAILERS_END`] follow.
pub(crate) const LAST_CHUNK_SIZE: &[u8] = b"0\r\n";
pub(crate) const TRAILERS_END: &[u8] = b"\r\n";
/// Stands behind each chunk's data.
#[cfg(test)]
pub(crate) const CHUNK_END: &[u8] = b"\r\n";

/// Bytes of extensions in one body; they carry nothing anybody uses.
const MAX_EXTENSIONS: u32 = 16 * 1024;
/// Bytes of one chunk's extension.
const MAX_EXTENSION: u32 = 1024;
/// Bytes of all trailer lines.
const MAX_TRAILERS: usize = 8 * 1024;
/// Digits of a chunk size; enough for 2^60, and no number overflows.
const MAX_DIGITS: u8 = 15;

/// What is wrong with a chunked body. The connection it came on is of no more use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadChunk {
    Size,
    LineEnd,
    ExtensionTooLong,
    Extension,
    Trailer,
    TrailersTooLong,
}

impl fmt::Display for BadChunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadChunk::Size => "a chunk size is not a hexadecimal number of at most 15 digits",
            BadChunk::LineEnd => "a chunk's line does not end in CR LF",
            BadChunk::ExtensionTooLong => "chunk extensions are longer than allowed",
            BadChunk::Extension => "a chunk extension has a control character",
            BadChunk::Trailer => "a trailer field is malformed",
            BadChunk::TrailersTooLong => "the trailer fields are longer than allowed",
        })
    }
}

impl std::error::Error for BadChunk {}

/// What the next bytes are. Positions are in the input given to that call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    /// `input[from..from + len]` is data; all up to there is consumed. `len` is at least 1.
    Data { from: usize, len: usize },
    /// All is consumed and the body is not over.
    NeedMore { consumed: usize },
    /// The body ended behind this many bytes.
    End { consumed: usize },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In a size, after this many digits.
    Size {
        digits: u8,
    },
    /// White space behind the size; an extension or the line end may follow.
    SizePadding {
        seen: u32,
    },
    Extension {
        seen: u32,
    },
    /// CR seen, LF must follow.
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of a trailer line or inside one.
    Trailers,
    End,
}

/// Reads one chunked body, in whatever pieces it comes.
#[derive(Debug)]
pub(crate) struct ChunkedDecoder {
    state: State,
    /// Of the chunk being read.
    left: u64,
    extensions: u32,
    /// Raw trailer lines until the empty line; afterwards those that may be sent on.
    trailers: Vec<u8>,
}

impl Default for ChunkedDecoder {
    fn default() -> Self {
        ChunkedDecoder::new()
    }
}

impl ChunkedDecoder {
    pub fn new() -> Self {
        ChunkedDecoder { state: State::Size { digits: 0 }, left: 0, extensions: 0, trailers: Vec::new() }
    }

    pub fn is_done(&self) -> bool {
        self.state == State::End
    }

    /// Trailer lines that may be sent on, each with its CRLF, once the body has ended. Framing, routing, authentication
    /// and other fields a receiver must know before the body are left out (RFC 9110 §6.5.1).
    pub fn trailers(&self) -> &[u8] {
        if self.is_done() { &self.trailers } else { b"" }
    }

    /// The same, as names and values.
    #[cfg(test)]
    pub fn trailer_fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        trailer_lines(self.trailers()).filter_map(|line| split_line(line).ok())
    }

    /// Consumes input up to and including the next data.
    pub fn next(&mut self, input: &[u8]) -> Result<Piece, BadChunk> {
        let mut at = 0;
        while let Some(byte) = input.get(at).copied() {
            match self.state {
                State::Data => {
                    let available = input.len() - at;
                    let len = usize::try_from(self.left).map_or(available, |left| left.min(available));
                    self.left -= len as u64;
                    if self.left == 0 {
                        self.state = State::DataCr;
                    }
                    return Ok(Piece::Data { from: at, len });
                }
                State::Trailers => {
                    let rest = input.get(at..).unwrap_or_default();
                    at += self.take_trailer(rest)?;
                }
                State::End => break,
                _ => {
                    self.step(byte)?;
                    at += 1;
                }
            }
            if self.state == State::End {
                break;
            }
        }
        Ok(if self.is_done() { Piece::End { consumed: at } } else { Piece::NeedMore { consumed: at } })
    }

    /// One byte of a size line or of the CRLF behind data.
    fn step(&mut self, byte: u8) -> Result<(), BadChunk> {
        self.state = match (self.state, byte) {
            (State::Size { digits }, _) if byte.is_ascii_hexdigit() => {
                if digits == MAX_DIGITS {
                    return Err(BadChunk::Size);
                }
                self.left = self.left << 4 | u64::from(hex_value(byte));
                State::Size { digits: digits + 1 }
            }
            (State::Size { digits: 0 }, _) => return Err(BadChunk::Size),
            (State::Size { .. } | State::SizePadding { .. } | State::Extension { .. }, b'\r') => State::SizeLf,
            (State::Size { .. } | State::SizePadding { .. }, b';') => State::Extension { seen: 0 },
            // Some servers pad sizes with spaces to a fixed width.
            (State::Size { .. }, b' ' | b'\t') => State::SizePadding { seen: 1 },
            (State::SizePadding { seen }, b' ' | b'\t') if seen < 16 => State::SizePadding { seen: seen + 1 },
            (State::Size { .. } | State::SizePadding { .. }, b'\n') => return Err(BadChunk::LineEnd),
            (State::Size { .. } | State::SizePadding { .. }, _) => return Err(BadChunk::Size),
            (State::Extension { .. }, b'\n') => return Err(BadChunk::LineEnd),
            (State::Extension { seen }, b'\t' | b' '..=0x7e | 0x80..) => {
                self.extensions += 1;
                if seen >= MAX_EXTENSION || self.extensions > MAX_EXTENSIONS {
                    return Err(BadChunk::ExtensionTooLong);
                }
                State::Extension { seen: seen + 1 }
            }
            (State::Extension { .. }, _) => return Err(BadChunk::Extension),
            (State::SizeLf, b'\n') if self.left == 0 => State::Trailers,
            (State::SizeLf, b'\n') => State::Data,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size { digits: 0 },
            (State::SizeLf | State::DataCr | State::DataLf, _) => return Err(BadChunk::LineEnd),
            // `next` handles these itself.
            (state @ (State::Data | State::Trailers | State::End), _) => state,
        };
        Ok(())
    }

    /// Takes bytes up to the next line end; returns how many.
    fn take_trailer(&mut self, input: &[u8]) -> Result<usize, BadChunk> {
        if self.trailers.is_empty() && input.starts_with(b"\r\n") {
            self.state = State::End; // none, as nearly always: nothing has to be kept
            return Ok(2);
        }
        let len = memchr::memchr(b'\n', input).map_or(input.len(), |at| at + 1);
        if self.trailers.len() + len > MAX_TRAILERS {
            return Err(BadChunk::TrailersTooLong);
        }
        self.trailers.extend_from_slice(input.get(..len).unwrap_or_default());
        let ends_line = self.trailers.last() == Some(&b'\n');
        if ends_line && !self.trailers.ends_with(b"\r\n") {
            return Err(BadChunk::LineEnd);
        }
        if ends_line && (self.trailers == b"\r\n" || self.trailers.ends_with(b"\r\n\r\n")) {
            self.finish_trailers()?;
            self.state = State::End;
        }
        Ok(len)
    }

    /// Checks every line, keeps what may be sent on.
    fn finish_trailers(&mut self) -> Result<(), BadChunk> {
        let raw = std::mem::take(&mut self.trailers);
        for line in trailer_lines(&raw) {
            let (name, value) = split_line(line).map_err(|_| BadChunk::Trailer)?;
            if may_be_trailer(name) {
                self.trailers.extend_from_slice(name);
                self.trailers.extend_from_slice(b": ");
                self.trailers.extend_from_slice(value);
                self.trailers.extend_from_slice(b"\r\n");
            }
        }
        Ok(())
    }
}

/// Appends the end of a chunked body: the last chunk and those trailers that may be sent on.
pub(crate) fn end_chunks<'f>(trailers: impl Iterator<Item = (&'f [u8], &'f [u8])>, out: &mut Vec<u8>) {
    out.extend_from_slice(LAST_CHUNK_SIZE);
    write_trailers(trailers, out);
    out.extend_from_slice(TRAILERS_END);
}

/// Appends those trailers that may be sent on, as lines.
pub(crate) fn write_trailers<'f>(trailers: impl Iterator<Item = (&'f [u8], &'f [u8])>, out: &mut Vec<u8>) {
    for (name, value) in trailers.filter(|(name, _)| may_be_trailer(name)) {
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
}

/// The same for trailer lines that were looked at already, each with its line end.
pub(crate) fn end_chunks_with(trailers: &[u8], out: &mut Vec<u8>) {
    for part in [LAST_CHUNK_SIZE, trailers, TRAILERS_END] {
        out.extend_from_slice(part);
    }
}

fn trailer_lines(raw: &[u8]) -> impl Iterator<Item = &[u8]> {
    raw.split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| !line.is_empty())
}

/// What Connection may not remove a trailer may not bring either: it would be believed.
fn may_be_trailer(name: &[u8]) -> bool {
    let known = Known::of(name);
    let other = [&b"trailer"[..], b"max-forwards", b"pragma", b"te", b"retry-after", b"warning"];
    let is_etag = name.eq_ignore_ascii_case(b"etag");
    known == Known::Other
        && !is_hop_by_hop(known)
        && (is_etag || !is_protected(name))
        && !other.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden))
}

fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// Appends the size line of a chunk of `len` bytes; the data and [`CHUNK_END`] follow. `len` is not 0: that would end
/// the body.
pub(crate) fn chunk_header(len: usize, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digits = (usize::BITS - len.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        out.push(HEX[(len >> (4 * digit)) & 15]);
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Decoded = (Vec<u8>, usize, Vec<u8>);

    /// Decodes input given in pieces of this size; returns data, bytes consumed and trailers, or `None` while
    /// unfinished.
    fn decode(input: &[u8], piece_len: usize) -> Result<Option<Decoded>, BadChunk> {
        let mut decoder = ChunkedDecoder::new();
        let (mut data, mut total) = (Vec::new(), 0);
        for piece in input.chunks(piece_len.max(1)) {
            let mut at = 0;
            loop {
                match decoder.next(&piece[at..])? {
                    Piece::Data { from, len } => {
                        assert!(len > 0);
                        data.extend_from_slice(&piece[at + from..at + from + len]);
                        at += from + len;
                    }
                    Piece::NeedMore { consumed } => {
                        assert_eq!(at + consumed, piece.len());
                        break;
                    }
                    Piece::End { consumed } => {
                        return Ok(Some((data, total + at + consumed, decoder.trailers().to_vec())));
                    }
                }
            }
            total += piece.len();
        }
        Ok(None)
    }

    /// `|` stands for CR LF. Expected: data, what is left behind the end, trailers.
    #[track_caller]
    fn check(text: &str, expected: Result<Option<(&str, &str, &str)>, BadChunk>) {
        let input = text.replace('|', "\r\n").into_bytes();
        for piece_len in 1..=input.len() {
            let decoded = decode(&input, piece_len).map(|done| {
                done.map(|(data, consumed, trailers)| {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace("\r\n", "|");
                    (text(&data), text(&input[consumed..]), text(&trailers))
                })
            });
            let expected =
                expected.map(|done| done.map(|(data, rest, trailers)| (data.into(), rest.into(), trailers.into())));
            assert_eq!(decoded, expected, "{text:?} in pieces of {piece_len}");
        }
    }

    #[test]
    fn sound_bodies_are_read_in_any_pieces() {
        check("0||", Ok(Some(("", "", ""))));
        check("5|hello|0||GET", Ok(Some(("hello", "GET", ""))));
        check("5|hello|00a|, chunked!|0||", Ok(Some(("hello, chunked!", "", ""))));
        check("5;a=b;c=\"d;e\"|hello|0;x||", Ok(Some(("hello", "", ""))));
        check("5  |hello|0 ;x||", Ok(Some(("hello", "", ""))));
        check("2|||0||", Ok(Some(("|", "", ""))));
        check("5|hel", Ok(None));
        check("5|hello|0|", Ok(None));
    }

    #[test]
    fn trailers_are_kept_unless_they_would_be_believed() {
        check("0|X-Sum: 1|grpc-status:0||rest", Ok(Some(("", "rest", "X-Sum: 1|grpc-status: 0|"))));
        check(
            "0|Content-Length: 3|Transfer-Encoding: chunked|Host: evil|Authorization: x|Cookie: y|Connection: z|\
             X-Forwarded-For: 1|Forwarded: x|Content-Type: a|Set-Cookie: c|Cache-Control: d|Trailer: e|TE: f|ETag: g||",
            Ok(Some(("", "", "ETag: g|"))),
        );
        check("0|X : 1||", Err(BadChunk::Trailer));
        check("0|X: 1| folded||", Err(BadChunk::Trailer));
        check("0|X||", Err(BadChunk::Trailer));
        check("0|X: 1\n\n", Err(BadChunk::LineEnd));
        check("0|X: \0||", Err(BadChunk::Trailer));
        let mut decoder = ChunkedDecoder::new();
        assert_eq!(decoder.next(b"0\r\nA: 1\r\nb:2 \r\n\r\n"), Ok(Piece::End { consumed: 17 }));
        let fields: Vec<_> = decoder.trailer_fields().collect();
        assert_eq!(fields, [(&b"A"[..], &b"1"[..]), (&b"b"[..], &b"2"[..])]);
    }

    #[test]
    fn what_two_readers_could_take_differently_is_refused() {
        for (text, bad) in [
            ("|", BadChunk::Size),
            ("x|", BadChunk::Size),
            ("+5|hello|", BadChunk::Size),
            ("-5|", BadChunk::Size),
            ("0x5|hello|", BadChunk::Size),
            (" 5|hello|", BadChunk::Size),
            ("5 5|hello|", BadChunk::Size),
            ("5_|", BadChunk::Size),
            ("1000000000000000|", BadChunk::Size),
            ("0000000000000005|", BadChunk::Size),
            ("5\nhello|0||", BadChunk::LineEnd),
            ("5\rhello|0||", BadChunk::LineEnd),
            ("5;a\nhello|0||", BadChunk::LineEnd),
            ("5;a\rb|hello|0||", BadChunk::LineEnd),
            ("5;\0|hello|0||", BadChunk::Extension),
            ("5|hello\n0||", BadChunk::LineEnd),
            ("5|hello0||", BadChunk::LineEnd),
            ("5|hellox|0||", BadChunk::LineEnd),
            ("5|hello|0\n|", BadChunk::LineEnd),
        ] {
            check(text, Err(bad));
        }
        check("0|\n", Err(BadChunk::LineEnd));
    }

    #[test]
    fn extensions_and_trailers_have_limits() {
        let long = |len: usize| "x".repeat(len);
        assert!(decode(format!("1;{}\r\na\r\n0\r\n\r\n", long(1024)).as_bytes(), 99).is_ok());
        assert_eq!(decode(format!("1;{}", long(1025)).as_bytes(), 99), Err(BadChunk::ExtensionTooLong));
        let chunk = format!("1;{}\r\na\r\n", long(1000));
        assert_eq!(decode(chunk.repeat(17).as_bytes(), 99), Err(BadChunk::ExtensionTooLong));
        assert_eq!(decode(format!("0\r\nX: {}", long(9000)).as_bytes(), 99), Err(BadChunk::TrailersTooLong));
    }

    #[test]
    fn headers_of_own_chunks() {
        for (len, expected) in [(1, "1"), (15, "f"), (16, "10"), (0xabc, "abc"), (usize::MAX, "ffffffffffffffff")] {
            let mut out = Vec::new();
            chunk_header(len, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), format!("{expected}\r\n"));
        }
    }

    fn wire_byte() -> impl Strategy<Value = u8> {
        prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'1'), Just(b'0'), Just(b';'), any::<u8>()]
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_in_any_pieces(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..6),
            piece_len in 1..50usize,
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                chunk_header(chunk.len(), &mut wire);
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(CHUNK_END);
            }
            wire.extend_from_slice(LAST_CHUNK);
            let len = wire.len();
            wire.extend_from_slice(b"next");
            prop_assert_eq!(decode(&wire, piece_len), Ok(Some((chunks.concat(), len, Vec::new()))));
        }

        #[test]
        fn any_bytes_mean_the_same_in_any_pieces(
            input in proptest::collection::vec(wire_byte(), 0..60),
            piece_len in 1..20usize,
        ) {
            prop_assert_eq!(decode(&input, piece_len), decode(&input, input.len()));
        }
    }
}
