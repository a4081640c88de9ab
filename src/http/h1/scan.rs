//! Which bytes may stand where? Character tables and the slow search for what exactly was wrong.

use super::{BadRequest, BadResponse};

/// Marks the bytes of `set` and the ASCII letters and digits.
const fn alphanumeric_and(set: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut index = 0;
    while index < set.len() {
        table[set[index] as usize] = true;
        index += 1;
    }
    table
}

/// `tchar` (RFC 9110 §5.6.2).
pub(super) static TOKEN: [bool; 256] = alphanumeric_and(b"!#$%&'*+-.^_`|~");

/// `reg-name` without percent signs checked one by one (RFC 3986 §3.2.2).
static HOST: [bool; 256] = alphanumeric_and(b"-._~%!$&'()*+,;=");

/// Visible ASCII but `#`, which never goes on the wire. Wider than RFC 3986 because browsers send `|`, `{`, `"` in
/// queries as they are and HAProxy passes them.
pub(super) static TARGET: [bool; 256] = alphanumeric_and(b"!\"$%&'()*+,-./:;<=>?@[\\]^_`{|}~");

pub(in crate::http) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| TOKEN[usize::from(*byte)])
}

pub(in crate::http) fn is_target(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| TARGET[usize::from(*byte)])
}

/// A field value as received: visible, space, tab or above ASCII (RFC 9110 §5.5).
pub(in crate::http) fn is_field_value(text: &[u8]) -> bool {
    text.iter().all(|byte| matches!(*byte, b'\t' | b' '..=0x7e | 0x80..))
}

/// `uri-host [ ":" port ]` (RFC 9112 §3.2): a name, an IPv4 address or an IPv6 address in brackets. Empty is valid,
/// for a client that has no authority to tell.
pub(in crate::http) fn is_host(text: &[u8]) -> bool {
    let rest = match text {
        [b'[', inside @ ..] => {
            let Some(end) = inside.iter().position(|byte| *byte == b']') else { return false };
            let (address, rest) = inside.split_at(end);
            let literal = std::str::from_utf8(address).ok().and_then(|text| text.parse::<std::net::Ipv6Addr>().ok());
            if literal.is_none() {
                return false;
            }
            rest.get(1..).unwrap_or_default()
        }
        _ => {
            let end = text.iter().position(|byte| !HOST[usize::from(*byte)]).unwrap_or(text.len());
            text.get(end..).unwrap_or_default()
        }
    };
    match rest {
        [] => true,
        [b':', port @ ..] => port.len() <= 5 && port.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// What is wrong with one field line, in either direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadLine {
    Name,
    SpaceBeforeColon,
    ObsFold,
    Value,
    BareCr,
}

impl From<BadLine> for BadRequest {
    fn from(bad: BadLine) -> Self {
        match bad {
            BadLine::Name => BadRequest::FieldName,
            BadLine::SpaceBeforeColon => BadRequest::SpaceBeforeColon,
            BadLine::ObsFold => BadRequest::ObsFold,
            BadLine::Value => BadRequest::FieldValue,
            BadLine::BareCr => BadRequest::BareCr,
        }
    }
}

impl From<BadLine> for BadResponse {
    fn from(bad: BadLine) -> Self {
        match bad {
            BadLine::Name => BadResponse::FieldName,
            BadLine::SpaceBeforeColon => BadResponse::SpaceBeforeColon,
            BadLine::ObsFold => BadResponse::ObsFold,
            BadLine::Value => BadResponse::FieldValue,
            BadLine::BareCr => BadResponse::BareCr,
        }
    }
}

/// Splits a field line (without its line end) at the colon and trims the value.
pub(super) fn split_line(line: &[u8]) -> Result<(&[u8], &[u8]), BadLine> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(BadLine::ObsFold);
    }
    if line.contains(&b'\r') {
        return Err(BadLine::BareCr);
    }
    let colon = memchr::memchr(b':', line).ok_or(BadLine::Name)?;
    let (name, rest) = line.split_at(colon);
    if matches!(name.last(), Some(b' ' | b'\t')) {
        return Err(BadLine::SpaceBeforeColon);
    }
    if !is_token(name) {
        return Err(BadLine::Name);
    }
    let value = rest.get(1..).unwrap_or_default();
    if !is_field_value(value) {
        return Err(BadLine::Value);
    }
    Ok((name, trim(value)))
}

/// Without the spaces and tabs around it.
pub(super) fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// Lines of a head behind its leading empty lines, without their line ends. The last may be cut.
fn lines(input: &[u8]) -> impl Iterator<Item = &[u8]> {
    let start = input.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(input.len());
    let text = input.get(start..).unwrap_or_default();
    text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

fn bad_field_line(input: &[u8], otherwise: BadLine) -> BadLine {
    lines(input)
        .skip(1)
        .take_while(|line| !line.is_empty())
        .find_map(|line| split_line(line).err())
        .unwrap_or(otherwise)
}

/// Looks for the cause of an error the fast parser found. Costs a second pass, on refused requests only.
pub(super) fn explain_request(input: &[u8], error: httparse::Error) -> BadRequest {
    use httparse::Error;
    let first = lines(input).next().unwrap_or_default();
    match error {
        Error::TooManyHeaders => BadRequest::TooManyFields,
        Error::HeaderName => bad_field_line(input, BadLine::Name).into(),
        Error::HeaderValue => bad_field_line(input, BadLine::Value).into(),
        Error::NewLine | Error::Status if first.contains(&b'\r') => BadRequest::BareCr,
        Error::NewLine | Error::Status => match bad_field_line(input, BadLine::BareCr) {
            _ if !is_request_line(first) => BadRequest::RequestLine,
            bad => bad.into(),
        },
        Error::Token | Error::Version => {
            let mut words = first.split(|byte| *byte == b' ');
            let (method, target) = (words.next().unwrap_or_default(), words.next());
            let version = words.next();
            match (target, version) {
                _ if !is_token(method) => BadRequest::Method,
                (Some(target), _) if !target.is_empty() && !is_target(target) => BadRequest::Target,
                (Some(_), Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor]))
                    if major.is_ascii_digit() && minor.is_ascii_digit() && words.next().is_none() =>
                {
                    BadRequest::Version
                }
                _ => BadRequest::RequestLine,
            }
        }
    }
}

/// The third word of a request's first line.
pub(super) fn request_version(input: &mut [u8]) -> Option<&mut [u8]> {
    first_line(input).split_mut(|byte| *byte == b' ').nth(2)
}

/// The first word of a response's first line.
pub(super) fn response_version(input: &mut [u8]) -> Option<&mut [u8]> {
    first_line(input).split_mut(|byte| *byte == b' ').next()
}

/// Of what may be a head, behind its leading empty lines and without its line end.
fn first_line(input: &mut [u8]) -> &mut [u8] {
    let start = input.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(input.len());
    let text = input.get_mut(start..).unwrap_or_default();
    let end = text.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(text.len());
    text.get_mut(..end).unwrap_or_default()
}

fn is_request_line(line: &[u8]) -> bool {
    line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0")
}

pub(super) fn explain_response(input: &[u8], error: httparse::Error) -> BadResponse {
    use httparse::Error;
    let first = lines(input).next().unwrap_or_default();
    match error {
        Error::TooManyHeaders => BadResponse::TooManyFields,
        Error::HeaderName => bad_field_line(input, BadLine::Name).into(),
        Error::HeaderValue => bad_field_line(input, BadLine::Value).into(),
        _ if first.contains(&b'\r') => BadResponse::BareCr,
        Error::Version if first.starts_with(b"HTTP/") => BadResponse::Version,
        Error::Status if first.starts_with(b"HTTP/1.") => BadResponse::Status,
        Error::NewLine => bad_field_line(input, BadLine::BareCr).into(),
        _ => BadResponse::StatusLine,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for good in [
            "",
            "a",
            "a.b:80",
            "10.0.0.1",
            "[::1]",
            "[2001:db8::1]:8080",
            "a_b",
            "xn--a",
            "a:",
            "%41",
            "app-1.internal:65535",
        ] {
            assert!(is_host(good.as_bytes()), "{good:?}");
        }
        for bad in [
            "a b", "a,b:x", "a:80:90", "[::1", "[zz]", "[::1]x", "a/b", "u@a", "a:123456", "a\u{e9}", "a\\b", "[::1]80",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad:?}");
        }
    }

    #[test]
    fn lines_split_at_the_colon() {
        assert_eq!(split_line(b"a:\t b c \t"), Ok((&b"a"[..], &b"b c"[..])));
        assert_eq!(split_line(b"a:"), Ok((&b"a"[..], &b""[..])));
        assert_eq!(split_line(b"a"), Err(BadLine::Name));
        assert_eq!(split_line(b": b"), Err(BadLine::Name));
        assert_eq!(split_line(b"a : b"), Err(BadLine::SpaceBeforeColon));
        assert_eq!(split_line(b" a: b"), Err(BadLine::ObsFold));
        assert_eq!(split_line(b"a: \x01"), Err(BadLine::Value));
        assert_eq!(split_line(b"a: b\rc"), Err(BadLine::BareCr));
    }
}
