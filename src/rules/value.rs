//! The types a value can have, and how one becomes another (HAProxy manual 7.1).

use std::borrow::Cow;
use std::io::Write;
use std::net::IpAddr;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Bytes(Cow<'a, [u8]>),
    Integer(i64),
    Boolean(bool),
    Address(IpAddr),
}

impl<'a> Value<'a> {
    pub fn text(bytes: &'a [u8]) -> Self {
        Value::Bytes(Cow::Borrowed(bytes))
    }

    /// As it is written: booleans are `1` and `0`.
    pub fn into_bytes(self) -> Cow<'a, [u8]> {
        match self {
            Value::Bytes(bytes) => bytes,
            Value::Boolean(true) => Cow::Borrowed(b"1"),
            Value::Boolean(false) => Cow::Borrowed(b"0"),
            Value::Integer(number) => Cow::Owned(itoa::Buffer::new().format(number).as_bytes().to_vec()),
            Value::Address(address) => {
                let mut text = Vec::new();
                push_ip(address, &mut text);
                Cow::Owned(text)
            }
        }
    }

    /// What a number is read from: a text's leading digits, 0 when there are none. Addresses are no numbers.
    pub fn to_integer(&self) -> Option<i64> {
        match self {
            Value::Bytes(bytes) => Some(leading_integer(bytes)),
            Value::Integer(number) => Some(*number),
            Value::Boolean(value) => Some(i64::from(*value)),
            Value::Address(_) => None,
        }
    }

    /// Not zero. Addresses are neither.
    pub fn to_boolean(&self) -> Option<bool> {
        self.to_integer().map(|number| number != 0)
    }

    pub fn to_address(&self) -> Option<IpAddr> {
        match self {
            Value::Address(address) => Some(*address),
            Value::Bytes(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// In bytes, as written.
    pub fn length(&self) -> usize {
        match self {
            Value::Bytes(bytes) => bytes.len(),
            other => other.clone().into_bytes().len(),
        }
    }
}

pub(super) fn push_number(number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// IPv6 without brackets.
pub(super) fn push_ip(address: IpAddr, out: &mut Vec<u8>) {
    // A Vec takes all that is written.
    let _ = write!(out, "{address}");
}

/// `-7`, `12abc` is 12; numbers too large stay at the end of the range.
fn leading_integer(bytes: &[u8]) -> i64 {
    let (negative, digits) = match bytes {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let mut number: i64 = 0;
    for byte in digits.iter().take_while(|byte| byte.is_ascii_digit()) {
        let digit = i64::from(byte - b'0');
        number = number.saturating_mul(10);
        number = if negative { number.saturating_sub(digit) } else { number.saturating_add(digit) };
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_numbers_by_their_leading_digits() {
        for (text, expected) in [
            ("42", 42),
            ("-7", -7),
            ("12abc", 12),
            ("", 0),
            ("-", 0),
            ("abc", 0),
            ("+5", 0),
            ("99999999999999999999", i64::MAX),
            ("-99999999999999999999", i64::MIN),
        ] {
            assert_eq!(Value::text(text.as_bytes()).to_integer(), Some(expected), "{text}");
        }
    }

    #[test]
    fn values_are_written_as_haproxy_writes_them() {
        for (value, expected) in [
            (Value::Boolean(true), "1"),
            (Value::Boolean(false), "0"),
            (Value::Integer(-5), "-5"),
            (Value::Address("10.0.0.1".parse().unwrap()), "10.0.0.1"),
            (Value::Address("2001:db8::1".parse().unwrap()), "2001:db8::1"),
        ] {
            assert_eq!(value.length(), expected.len());
            assert_eq!(&*value.into_bytes(), expected.as_bytes());
        }
    }
}
