//! A head that is written the way nearly all are: what is where in it? One pass, for speed only.
//!
//! Whatever is unusual, from a bare line feed to a field that may not be, is `None` here and left to the parser that
//! knows it all and can say what is wrong. So nothing is accepted here that would be refused or read otherwise there,
//! which the tests below hold byte for byte.

use super::meaning::{Line, Meaning};
use super::scan::{TARGET, TOKEN};
use crate::http::fields::Fields;
use crate::http::head::{Text, Version};

/// Where the lines of a head stand.
#[derive(Debug)]
pub(super) struct Usual {
    pub version: Version,
    /// A request's.
    pub method: Text,
    pub target: Text,
    /// A response's.
    pub status: u16,
    pub reason: Text,
    pub fields_end: usize,
    pub meaning: Meaning,
}

impl Usual {
    /// The head's bytes, the empty line included.
    pub fn head_len(&self) -> usize {
        self.fields_end + 2
    }

    /// Reads a request's head. Its fields go into the list, which must be empty; it is left so when nothing is told.
    pub fn request(input: &[u8], most: usize, fields: &mut Fields) -> Option<Self> {
        let method_len = token_len(input);
        let target_at = method_len + 1;
        let target_len = input.get(target_at..)?.iter().position(|byte| !TARGET[usize::from(*byte)])?;
        let version_at = target_at + target_len + 1;
        let line_end = version_at + b"HTTP/1.1\r\n".len();
        let spaces = (input.get(method_len)?, input.get(version_at - 1)?);
        if method_len == 0 || target_len == 0 || spaces != (&b' ', &b' ') {
            return None;
        }
        let version = match input.get(version_at..line_end)? {
            b"HTTP/1.1\r\n" => Version::Http11,
            b"HTTP/1.0\r\n" => Version::Http10,
            _ => return None,
        };
        let (fields_end, meaning) = read_fields(input, line_end, most, fields)?;
        Some(Usual {
            version,
            method: place(0, method_len),
            target: place(target_at, target_len),
            status: 0,
            reason: Text::default(),
            fields_end,
            meaning,
        })
    }

    /// Reads a response's head, as [`request`](Self::request) does.
    pub fn response(input: &[u8], most: usize, fields: &mut Fields) -> Option<Self> {
        let (start, behind) = input.split_first_chunk::<12>()?;
        let version = match &start[..9] {
            b"HTTP/1.1 " => Version::Http11,
            b"HTTP/1.0 " => Version::Http10,
            _ => return None,
        };
        let status = match start[9..] {
            [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
                u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0')
            }
            _ => return None,
        };
        let line_len = value_len(behind);
        let is_line = matches!(behind.first()?, b' ' | b'\r') && behind.get(line_len..line_len + 2)? == b"\r\n";
        if !is_line {
            return None;
        }
        let (fields_end, meaning) = read_fields(input, start.len() + line_len + 2, most, fields)?;
        Some(Usual {
            version,
            method: Text::default(),
            target: Text::default(),
            status,
            reason: place(start.len() + 1, line_len.saturating_sub(1)),
            fields_end,
            meaning,
        })
    }
}

fn place(start: usize, len: usize) -> Text {
    Text { added: false, start: start as u32, len: len as u32 }
}

/// Reads field lines from `at` on, `most` of them at most, and returns where the empty line behind them starts.
fn read_fields(input: &[u8], at: usize, most: usize, fields: &mut Fields) -> Option<(usize, Meaning)> {
    let found = read_lines(input, at, most, fields);
    if found.is_none() {
        fields.clear();
    }
    found
}

fn read_lines(input: &[u8], mut at: usize, most: usize, fields: &mut Fields) -> Option<(usize, Meaning)> {
    let mut meaning = Meaning::default();
    loop {
        let line = input.get(at..)?;
        let name_len = token_len(line);
        match line.get(name_len..name_len + 2)? {
            [b':', _] if name_len > 0 && fields.len() < most => {}
            b"\r\n" if name_len == 0 => return Some((at, meaning)),
            _ => return None,
        }
        let (name, behind) = (&line[..name_len], &line[name_len + 1..]);
        let len = value_len(behind);
        if behind.get(len..len + 2)? != b"\r\n" {
            return None;
        }
        let value = &behind[..len];
        let spaces = value.iter().take_while(|byte| is_space(**byte)).count();
        let value = &value[spaces..];
        let spaces_behind = value.iter().rev().take_while(|byte| is_space(**byte)).count();
        let value = &value[..value.len() - spaces_behind];
        meaning.take(Line { at, name, value_at: at + name_len + 1 + spaces, value }, fields).ok()?;
        at += name_len + 1 + len + 2;
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// How many bytes in front may stand in a name (RFC 9110 §5.6.2).
fn token_len(text: &[u8]) -> usize {
    text.iter().take_while(|byte| TOKEN[usize::from(**byte)]).count()
}

const EVERY: u64 = u64::from_ne_bytes([1; 8]);
const TOP_BITS: u64 = EVERY << 7;

/// How many bytes in front may stand in a value (RFC 9110 §5.5): not control characters but tab. Looked at by eights, where
/// the lowest byte that is marked is one that may not; those above it may be marked for its sake.
fn value_len(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(eight) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let eight = u64::from_le_bytes(*eight);
        let control = eight.wrapping_sub(EVERY * 0x20);
        let delete = (eight ^ (EVERY * 0x7f)).wrapping_sub(EVERY);
        let others = (control | delete) & !eight & TOP_BITS;
        if others != 0 {
            at += others.trailing_zeros() as usize / 8;
            break;
        }
        at += 8;
    }
    let is_fine = |byte: &&u8| matches!(byte, b'\t' | b' '..=0x7e | 0x80..);
    at + text.get(at..).unwrap_or_default().iter().take_while(is_fine).count()
}

#[cfg(test)]
mod tests {
    use super::super::parse::Reading;
    use super::*;
    use crate::http::response::{ResponseHead, ResponseTo};
    use crate::http::{Progress, RequestHead};
    use crate::model::global::HttpLimits;

    const LIMITS: HttpLimits = HttpLimits { head: 4096, fields: 4, target: 64 };

    /// What is told of a head, however it was read.
    fn request(text: &[u8], reading: Reading) -> (Result<Progress, impl std::fmt::Debug + PartialEq>, String) {
        let mut head = RequestHead::new();
        head.input().extend_from_slice(text);
        let read = head.parse_by(&LIMITS, reading);
        (read, format!("{head:?}"))
    }

    fn response(text: &[u8], reading: Reading) -> (Result<Progress, impl std::fmt::Debug + PartialEq>, String) {
        let mut head = ResponseHead::new();
        head.put_input(text.to_vec());
        let read = head.parse_by(&LIMITS, ResponseTo::Other, reading);
        (read, format!("{head:?}"))
    }

    /// Read the usual way or by the parser that knows it all: the same comes of it.
    #[track_caller]
    fn check(text: &[u8]) {
        let shown = String::from_utf8_lossy(text).into_owned();
        assert_eq!(request(text, Reading::UsualFirst), request(text, Reading::Full), "{shown:?}");
        assert_eq!(response(text, Reading::UsualFirst), response(text, Reading::Full), "{shown:?}");
    }

    const REQUEST: &[u8] = b"GET /a?b HTTP/1.1\r\nHost: a.b\r\nX-Y:  c\td \t\r\nZ:\r\nContent-Length: 3\r\n\r\nabc";
    const RESPONSE: &[u8] = b"HTTP/1.0 200 All is well\r\nServer: a b\r\nZ: \r\ncontent-length:3\r\n\r\nabc";

    #[test]
    fn usual_heads_are_read_here() {
        let mut fields = Fields::default();
        assert!(Usual::request(REQUEST, 4, &mut fields).is_some_and(|usual| usual.head_len() + 3 == REQUEST.len()));
        assert!(Usual::request(REQUEST, 3, &mut fields).is_none(), "more fields than are allowed");
        assert!(Usual::response(RESPONSE, 3, &mut fields).is_some_and(|usual| usual.head_len() + 3 == RESPONSE.len()));
    }

    #[test]
    fn any_byte_anywhere_means_what_it_means_to_the_full_parser() {
        for text in [REQUEST, RESPONSE, b"HTTP/1.1 204\r\n\r\n", b"A * HTTP/1.0\r\n\r\n"] {
            for at in 0..=text.len() {
                check(&text[..at]);
                for byte in 0..=255 {
                    let (before, behind) = text.split_at(at);
                    check(&[before, &[byte], behind].concat());
                    if let [_, behind @ ..] = behind {
                        check(&[before, &[byte], behind].concat());
                    }
                }
            }
        }
    }

    #[test]
    fn the_first_byte_that_may_not_stand_in_a_name_or_value_is_found() {
        for (at, byte) in (0..24).flat_map(|at| (0..=255u8).map(move |byte| (at, byte))) {
            let mut text = vec![b'a'; 24];
            text[at] = byte;
            let in_value = if matches!(byte, b'\t' | b' '..=0x7e | 0x80..) { 24 } else { at };
            let in_name = if TOKEN[usize::from(byte)] { 24 } else { at };
            assert_eq!((token_len(&text), value_len(&text)), (in_name, in_value), "{byte} at {at}");
            text[23] = 0;
            let (in_name, in_value) = (in_name.min(23), in_value.min(23));
            assert_eq!((token_len(&text), value_len(&text)), (in_name, in_value), "{byte} at {at}, and 0 behind");
        }
    }

    proptest::proptest! {
        #[test]
        fn heads_of_such_pieces_too(pieces in proptest::collection::vec(proptest::sample::select(vec![
            "GET", "HTTP/1.1", "HTTP/1.0", " ", "/", "200", "\r\n", "\n", "\r", ":", ": ", "Host", "a", "Content-Length", "7",
            "Transfer-Encoding", "chunked", "Connection", "close", "\t", "\u{e4}", "http://a", "?", "Expect", "\r\n\r\n",
        ]), 0..40)) {
            check(pieces.concat().as_bytes());
            check(["GET / HTTP/1.1\r\n", &pieces.concat()].concat().as_bytes());
            check(["HTTP/1.1 200 OK\r\n", &pieces.concat()].concat().as_bytes());
        }
    }
}
