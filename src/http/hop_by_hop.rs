//! Which fields are for this connection only and must not travel on? (RFC 9110 §7.6.1)

use super::fields::{FieldsView, Known};
use super::framing::tokens;

/// Fields every hop removes, named by Connection or not. Framing fields are written anew by whoever sends.
pub(super) fn is_hop_by_hop(known: Known) -> bool {
    match known {
        Known::Connection
        | Known::KeepAlive
        | Known::ProxyConnection
        | Known::Te
        | Known::Upgrade
        | Known::Http2Settings
        | Known::TransferEncoding => true,
        Known::Other | Known::Host | Known::ContentLength | Known::Expect => false,
    }
}

/// Fields a Connection line may not take away, whatever it says: a client could otherwise have us remove what a
/// server's decisions rest on ("hop-by-hop header abuse").
const PROTECTED: &[&[u8]] = &[
    b"accept",
    b"age",
    b"authorization",
    b"cache-control",
    b"cookie",
    b"date",
    b"etag",
    b"expect",
    b"expires",
    b"forwarded",
    b"host",
    b"location",
    b"origin",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"range",
    b"referer",
    b"server",
    b"set-cookie",
    b"strict-transport-security",
    b"user-agent",
    b"vary",
    b"via",
    b"www-authenticate",
    b"x-proxied-https",
    b"x-real-ip",
    b"x-request-id",
];

const PROTECTED_PREFIXES: &[&[u8]] = &[b"content-", b"x-forwarded-", b"access-control-", b"if-", b"sec-"];

/// Whether Connection may not remove this field.
pub(super) fn is_protected(name: &[u8]) -> bool {
    let starts = |prefix: &&[u8]| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    PROTECTED.iter().any(|protected| name.eq_ignore_ascii_case(protected)) || PROTECTED_PREFIXES.iter().any(starts)
}

/// Whether a Connection line of this message takes this field away.
pub(super) fn is_named(view: FieldsView<'_>, name: &[u8]) -> bool {
    let named = view
        .entries()
        .filter(|(field, _)| field.known == Known::Connection)
        .any(|(field, base)| tokens(field.value(base)).any(|token| token.eq_ignore_ascii_case(name)));
    named && !is_protected(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decisions_rest_on_is_protected() {
        for name in ["Host", "content-length", "X-Forwarded-For", "AUTHORIZATION", "Cookie", "Forwarded", "X-Real-IP"] {
            assert!(is_protected(name.as_bytes()), "{name}");
        }
        for name in ["X-Foo", "keep-alive", "trailer", "x-forwarded", "hosts"] {
            assert!(!is_protected(name.as_bytes()), "{name}");
        }
    }
}
