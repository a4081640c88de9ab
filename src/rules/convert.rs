//! What happens to a value on its way? (HAProxy manual 7.3.1)

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use regex::bytes::{Captures, Regex};

use super::Value;
use crate::model::rule::{Converter, Part};

/// `None` as soon as one converter cannot do its work.
pub(super) fn apply_all<'a>(converters: &[Converter], value: Value<'a>) -> Option<Value<'a>> {
    converters.iter().try_fold(value, |value, converter| apply(converter, value))
}

fn apply<'a>(converter: &Converter, value: Value<'a>) -> Option<Value<'a>> {
    Some(match converter {
        Converter::Lower => map_bytes(value, <[u8]>::make_ascii_lowercase),
        Converter::Base64 => Value::Bytes(Cow::Owned(STANDARD.encode(value.into_bytes()).into_bytes())),
        Converter::Hex => Value::Bytes(Cow::Owned(hexadecimal(&value.into_bytes()))),
        Converter::Upper => map_bytes(value, <[u8]>::make_ascii_uppercase),
        Converter::Length => Value::Integer(i64::try_from(value.length()).ok()?),
        Converter::Field(part) => {
            let text = value.into_bytes();
            let range = field(&text, part)?;
            cut(text, range)
        }
        Converter::Word(part) => {
            let text = value.into_bytes();
            let range = word(&text, part);
            cut(text, range)
        }
        Converter::RegSub { regex, replacement, all } => {
            let text = value.into_bytes();
            Value::Bytes(Cow::Owned(substitute(&text, regex, replacement.as_bytes(), *all)))
        }
        Converter::UrlDecode { form } => Value::Bytes(Cow::Owned(url_decode(&value.into_bytes(), *form)?)),
        Converter::Concat { before, after } => {
            let mut text = value.into_bytes().into_owned();
            text.extend_from_slice(before.as_bytes());
            text.extend_from_slice(after.as_bytes());
            Value::Bytes(Cow::Owned(text))
        }
        Converter::Not => Value::Boolean(!value.to_boolean()?),
        Converter::HostOnly => {
            let text = value.into_bytes();
            let range = 0..host_and_port(&text).0;
            map_bytes(cut(text, range), <[u8]>::make_ascii_lowercase)
        }
        Converter::PortOnly => Value::Integer(host_and_port(&value.into_bytes()).1),
        Converter::ToInteger => Value::Integer(value.to_integer()?),
        Converter::ToAddress => Value::Address(forwarded_address(&value.into_bytes())?),
    })
}

/// Upper-case, as HAProxy writes it.
fn hexadecimal(bytes: &[u8]) -> Vec<u8> {
    let digit = |value: u8| b"0123456789ABCDEF".get(usize::from(value)).copied();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0x0f)]).flatten().collect()
}

/// Changes letters in place; copies only a text that would change.
fn map_bytes<'a>(value: Value<'a>, change: fn(&mut [u8])) -> Value<'a> {
    let bytes = value.into_bytes();
    if !bytes.iter().any(u8::is_ascii_alphabetic) {
        return Value::Bytes(bytes);
    }
    let mut bytes = bytes.into_owned();
    change(&mut bytes);
    Value::Bytes(Cow::Owned(bytes))
}

fn cut<'a>(text: Cow<'a, [u8]>, range: Range<usize>) -> Value<'a> {
    Value::Bytes(match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(range).unwrap_or_default()),
        Cow::Owned(text) => Cow::Owned(text.get(range).unwrap_or_default().to_vec()),
    })
}

/// Each delimiter ends a part, so parts may be empty. `None` where there are not that many.
fn field(text: &[u8], part: &Part) -> Option<Range<usize>> {
    pick(&parts(text, &part.delimiters), part)
}

/// Delimiters in a row count as one, at the ends not at all. Empty where there are not that many.
fn word(text: &[u8], part: &Part) -> Range<usize> {
    let mut words = parts(text, &part.delimiters);
    words.retain(|word| !word.is_empty());
    pick(&words, part).unwrap_or(0..0)
}

fn parts(text: &[u8], delimiters: &str) -> Vec<Range<usize>> {
    let mut list = Vec::new();
    let mut start = 0;
    for (at, byte) in text.iter().enumerate() {
        if delimiters.as_bytes().contains(byte) {
            list.push(start..at);
            start = at + 1;
        }
    }
    list.push(start..text.len());
    list
}

/// Forward from a positive index, backward from a negative one; 0 parts are all that are left that way.
fn pick(parts: &[Range<usize>], part: &Part) -> Option<Range<usize>> {
    let distance = usize::try_from(part.index.unsigned_abs()).ok()?;
    let count = if part.count == 0 { parts.len() } else { part.count };
    let (first, last) = if part.index > 0 {
        let first = distance.checked_sub(1)?;
        (first, first.saturating_add(count - 1).min(parts.len().checked_sub(1)?))
    } else {
        let last = parts.len().checked_sub(distance)?;
        (last.saturating_sub(count - 1), last)
    };
    Some(parts.get(first)?.start..parts.get(last)?.end)
}

/// sed's `s/regex/replacement/`: `\0` to `\9` stand for what groups matched, another escaped byte for itself.
fn substitute(text: &[u8], regex: &Regex, replacement: &[u8], all: bool) -> Vec<u8> {
    let expand = |captures: &Captures<'_>| {
        let mut out = Vec::with_capacity(replacement.len());
        let mut bytes = replacement.iter();
        while let Some(byte) = bytes.next() {
            match byte {
                b'\\' => match bytes.next() {
                    Some(digit @ b'0'..=b'9') => {
                        let group = captures.get(usize::from(digit - b'0'));
                        out.extend_from_slice(group.map_or(b"", |group| group.as_bytes()));
                    }
                    Some(escaped) => out.push(*escaped),
                    None => out.push(b'\\'),
                },
                byte => out.push(*byte),
            }
        }
        out
    };
    let limit = if all { 0 } else { 1 };
    regex.replacen(text, limit, expand).into_owned()
}

/// `None` for `%` without two hexadecimal digits.
fn url_decode(text: &[u8], form: bool) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut in_query = form;
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                let value = digit(bytes.next()?)? * 16 + digit(bytes.next()?)?;
                out.push(u8::try_from(value).ok()?);
            }
            b'+' if in_query => out.push(b' '),
            byte => {
                in_query |= *byte == b'?';
                out.push(*byte);
            }
        }
    }
    Some(out)
}

/// Where the host ends in a Host field's value, and its port, 0 when there is none.
fn host_and_port(text: &[u8]) -> (usize, i64) {
    let Some(colon) = memchr::memrchr(b':', text) else {
        return (text.len(), 0);
    };
    let digits = &text[colon + 1..];
    if !digits.iter().all(u8::is_ascii_digit) {
        return (text.len(), 0);
    }
    (colon, Value::text(digits).to_integer().unwrap_or(0))
}

/// An address as RFC 7239 writes it, IPv4 also with a port (manual 7.3.6, `req.hdr_ip`).
pub(super) fn forwarded_address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let (address, port) = text.split_once(':')?;
    port.parse::<u16>().ok()?;
    address.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, converter: Converter, expected: Option<&str>) {
        let value = apply(&converter, Value::text(text.as_bytes()));
        let shown = value.map(|value| String::from_utf8_lossy(&value.into_bytes()).into_owned());
        assert_eq!(shown.as_deref(), expected, "{text} {converter:?}");
    }

    fn part(index: i32, delimiters: &str, count: usize) -> Part {
        Part { index, delimiters: delimiters.to_string(), count }
    }

    #[test]
    fn fields_and_words_as_the_manual_has_them() {
        let text = "f1_f2_f3__f5";
        for (index, count, as_field, as_word) in [
            (5, 1, Some("f5"), ""),
            (2, 0, Some("f2_f3__f5"), "f2_f3__f5"),
            (2, 2, Some("f2_f3"), "f2_f3"),
            (-2, 3, Some("f2_f3_"), "f1_f2_f3"),
            (-3, 0, Some("f1_f2_f3"), "f1_f2"),
            (4, 1, Some(""), "f5"),
            (3, 2, Some("f3_"), "f3__f5"),
            (9, 1, None, ""),
            (-9, 1, None, ""),
            (1, 99, Some(text), text),
            (-1, 99, Some(text), text),
        ] {
            check(text, Converter::Field(part(index, "_", count)), as_field);
            check(text, Converter::Word(part(index, "_", count)), Some(as_word));
        }
        check("/f1/f2/f3/f4", Converter::Word(part(1, "/", 1)), Some("f1"));
        check("", Converter::Word(part(1, "/", 1)), Some(""));
        check("", Converter::Field(part(1, "/", 1)), Some(""));
    }

    #[test]
    fn decoding_fails_on_broken_escapes() {
        check("a%20b%2fc+d?e+f", Converter::UrlDecode { form: false }, Some("a b/c+d?e f"));
        check("a+b%2B", Converter::UrlDecode { form: true }, Some("a b+"));
        check("a%zz", Converter::UrlDecode { form: false }, None);
        check("a%2", Converter::UrlDecode { form: false }, None);
    }

    #[test]
    fn hosts_and_ports() {
        for (text, host, port) in [
            ("Hostname:80", "hostname", "80"),
            ("hostname", "hostname", "0"),
            ("[::1]:80", "[::1]", "80"),
            ("[::1]", "[::1]", "0"),
            ("nohost:", "nohost", "0"),
            ("", "", "0"),
        ] {
            check(text, Converter::HostOnly, Some(host));
            check(text, Converter::PortOnly, Some(port));
        }
    }

    #[test]
    fn addresses_of_forwarding_headers() {
        check("10.1.2.3", Converter::ToAddress, Some("10.1.2.3"));
        check("10.1.2.3:80", Converter::ToAddress, Some("10.1.2.3"));
        check("2001:db8::1", Converter::ToAddress, Some("2001:db8::1"));
        check("10.1.2.3:99999", Converter::ToAddress, None);
        check("10.1.2.3x", Converter::ToAddress, None);
        check("unknown", Converter::ToAddress, None);
    }
}
