//! Where does a message's body end? The one place that decides it, for both sides (RFC 9112 §6.3).
//!
//! Whatever two readers could understand differently is refused, never repaired: that is how requests are
//! smuggled past a proxy.

/// How the end of a body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyLength {
    /// There is no body.
    None,
    /// This many bytes; may be 0.
    Length(u64),
    Chunked,
    /// Until the sender closes. Responses only.
    UntilClose,
}

impl BodyLength {
    /// No byte of body will come.
    pub fn is_empty(self) -> bool {
        matches!(self, BodyLength::None | BodyLength::Length(0))
    }
}

/// A `Content-Length` value: plain digits, nothing else (RFC 9110 §8.6). `None` when it is anything else, also an
/// empty value, a sign, a list, or a number that does not fit.
pub(super) fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 {
        return None;
    }
    let mut length = 0u64;
    for byte in value {
        if !byte.is_ascii_digit() {
            return None;
        }
        length = length * 10 + u64::from(byte - b'0');
    }
    Some(length)
}

/// Exactly `chunked`: no other coding, no list, no parameter.
pub(super) fn is_chunked(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(b"chunked")
}

/// `Connection` options of one message, over all its lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ConnectionOptions {
    pub close: bool,
    pub keep_alive: bool,
    pub upgrade: bool,
    /// Names fields beyond the ones every hop removes anyway.
    pub others: bool,
}

impl ConnectionOptions {
    pub fn add(&mut self, value: &[u8]) {
        for token in tokens(value) {
            if token.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if token.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if token.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else {
                self.others = true;
            }
        }
    }
}

/// The members of a comma-separated list, trimmed, without empty ones (RFC 9110 §5.6.1).
pub(super) fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_length_is_plain_digits_only() {
        for (value, expected) in [
            ("0", Some(0)),
            ("42", Some(42)),
            ("007", Some(7)),
            ("9999999999999999999", Some(9_999_999_999_999_999_999)),
            ("18446744073709551615", None),
            ("", None),
            ("+1", None),
            ("-1", None),
            ("1, 1", None),
            ("1 ", None),
            ("0x10", None),
            ("1_0", None),
        ] {
            assert_eq!(content_length(value.as_bytes()), expected, "{value:?}");
        }
    }

    #[test]
    fn connection_options_add_up_over_lines() {
        let mut options = ConnectionOptions::default();
        options.add(b"Keep-Alive");
        options.add(b" ,X-Foo,, UPGRADE");
        assert_eq!(options, ConnectionOptions { close: false, keep_alive: true, upgrade: true, others: true });
    }
}
