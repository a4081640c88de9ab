//! Where does a value come from? (HAProxy manual 7.3.2 to 7.3.6)

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use super::convert::forwarded_address;
use super::{Context, TlsFacts, Value, client_certificate};
use crate::http::{FieldsView, RequestHead, Version};
use crate::model::rule::{Constant, Fetch, HeaderRef};

/// The address a field names, as `hdr_ip` takes it (manual 7.3.6).
pub(crate) fn address_in(field: &HeaderRef, request: &RequestHead) -> Option<IpAddr> {
    forwarded_address(one_header(request.fields(), field)?)
}

/// Every value of a fetch until `visit` takes one; whether it did. For tests, where any value may hit.
pub(super) fn any<'a>(fetch: &'a Fetch, context: &Context<'a>, visit: &mut dyn FnMut(Value<'a>) -> bool) -> bool {
    let mut text = |bytes: &'a [u8]| visit(Value::text(bytes));
    match fetch {
        Fetch::RequestHeader(reference) if reference.occurrence.is_none() => {
            context.request.is_some_and(|head| any_header(head.fields(), reference, &mut text))
        }
        Fetch::ResponseHeader(reference) if reference.occurrence.is_none() => {
            context.response.is_some_and(|head| any_header(head.fields(), reference, &mut text))
        }
        Fetch::Cookie(name) => context.request.is_some_and(|head| cookies(head, name.as_deref(), &mut text)),
        Fetch::UrlParam { name, delimiter } => {
            context.request.is_some_and(|head| parameters(head.target(), name.as_deref(), *delimiter, &mut text))
        }
        _ => one(fetch, context).is_some_and(visit),
    }
}

/// The value of a fetch; of several the last, of parameters the first, as the manual has it.
pub(super) fn one<'a>(fetch: &'a Fetch, context: &Context<'a>) -> Option<Value<'a>> {
    let facts = context.facts;
    match fetch {
        Fetch::Method => Some(Value::text(context.request?.method())),
        Fetch::Path => path(context.request?).map(Value::text),
        Fetch::PathQuery => {
            path(context.request?).map(|_| ()).and(context.request).map(|head| Value::text(head.path_and_query()))
        }
        Fetch::Url => Some(Value::text(context.request?.target())),
        Fetch::Query => context.request?.query().map(Value::text),
        Fetch::Base { query } => Some(Value::Bytes(base(context.request?, *query))),
        Fetch::UrlParam { name, delimiter } => {
            let mut found = None;
            parameters(context.request?.target(), name.as_deref(), *delimiter, &mut |value| {
                found = Some(value);
                true
            });
            found.map(Value::text)
        }
        Fetch::Version => Some(Value::text(match context.request?.version() {
            Version::Http10 => b"1.0",
            Version::Http11 => b"1.1",
            Version::Http2 => b"2.0",
        })),
        Fetch::RequestHeader(reference) => one_header(context.request?.fields(), reference).map(Value::text),
        Fetch::ResponseHeader(reference) => one_header(context.response?.fields(), reference).map(Value::text),
        Fetch::RequestHeaderCount(reference) => Some(count(context.request?.fields(), reference)),
        Fetch::ResponseHeaderCount(reference) => Some(count(context.response?.fields(), reference)),
        Fetch::Cookie(name) => {
            let mut found = None;
            // Without a name the first one is meant (manual 7.3.6, `req.cook`).
            let first = name.is_none();
            cookies(context.request?, name.as_deref(), &mut |value| {
                found = Some(value);
                first
            });
            found.map(Value::text)
        }
        Fetch::CookieCount(name) => {
            let mut number = 0;
            cookies(context.request?, name.as_deref(), &mut |_| {
                number += 1;
                false
            });
            Some(Value::Integer(number))
        }
        Fetch::Status => Some(Value::Integer(i64::from(context.response?.status()))),
        Fetch::Src => facts.src.map(address),
        Fetch::SrcPort => facts.src.map(port),
        Fetch::Dst => facts.dst.map(address),
        Fetch::DstPort => facts.dst.map(port),
        Fetch::SslFc => Some(Value::Boolean(facts.tls.is_some())),
        Fetch::SslFcSni => facts.tls?.sni.map(|sni| Value::text(sni.as_bytes())),
        Fetch::SslFcHasSni => Some(Value::Boolean(facts.tls.is_some_and(|tls: TlsFacts| tls.sni.is_some()))),
        Fetch::SslFcAlpn => facts.tls?.alpn.map(Value::text),
        Fetch::SslFcProtocol => Some(Value::text(facts.tls?.protocol.as_bytes())),
        Fetch::SslFcIsResumed => Some(Value::Boolean(facts.tls.is_some_and(|tls| tls.resumed))),
        Fetch::SslFcUseKeysize => facts.tls.map(|tls| Value::Integer(key_bits(tls.cipher))),
        Fetch::ClientCertificate(field) => client_certificate::value(field, facts.tls?),
        Fetch::SslFcCipher => Some(Value::text(facts.tls?.cipher.as_bytes())),
        Fetch::FrontendName => Some(Value::text(facts.frontend.as_bytes())),
        Fetch::BackendName => Some(Value::text(facts.backend.unwrap_or(facts.frontend).as_bytes())),
        Fetch::ServerName => facts.server.map(|name| Value::text(name.as_bytes())),
        Fetch::UsableServers(backend) => Some(Value::Integer(i64::from((facts.usable_servers)(*backend)))),
        Fetch::Constant(Constant::Text(text)) => Some(Value::text(text.as_bytes())),
        Fetch::Constant(Constant::Integer(number)) => Some(Value::Integer(*number)),
        Fetch::Constant(Constant::Boolean(value)) | Fetch::Always(value) => Some(Value::Boolean(*value)),
        Fetch::Hostname => Some(Value::text(facts.hostname.as_bytes())),
        Fetch::Date { offset } => {
            let since = facts.now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
            Some(Value::Integer(seconds.saturating_add(*offset)))
        }
        Fetch::UniqueId => facts.unique_id.map(|id| Value::text(id.as_bytes())),
        Fetch::ProxyTold(kind) => facts.told?.get(*kind).map(Value::text),
        // Where nothing is waited for, the end of waiting is always there.
        Fetch::WaitEnd if facts.first_bytes.is_none() => Some(Value::Boolean(true)),
        Fetch::HelloType
        | Fetch::HelloServerName
        | Fetch::HelloVersion
        | Fetch::HelloAlpn
        | Fetch::HelloGroups
        | Fetch::HelloTicket
        | Fetch::FirstLength
        | Fetch::FirstPayload { .. }
        | Fetch::SpeaksHttp
        | Fetch::WaitEnd => facts.first_bytes?.value(fetch),
    }
}

/// Bits of the cipher's key.
fn key_bits(cipher: &str) -> i64 {
    if cipher.contains("AES128") || cipher.contains("AES_128") { 128 } else { 256 }
}

/// Absent for `*`, which has no path.
fn path(head: &RequestHead) -> Option<&[u8]> {
    Some(head.path()).filter(|path| path.starts_with(b"/"))
}

/// The Host field's first value, and the path (manual 7.3.6, `base`).
fn base(head: &RequestHead, query: bool) -> Cow<'_, [u8]> {
    let mut base = head.fields().first(b"host").unwrap_or_default().to_vec();
    if let Some(path) = path(head) {
        base.extend_from_slice(if query { head.path_and_query() } else { path });
    }
    Cow::Owned(base)
}

fn address(of: SocketAddr) -> Value<'static> {
    // As it came, as in the log: an IPv4 client of a socket that takes both kinds is `::ffff:10.1.2.3`.
    Value::Address(of.ip())
}

fn port(of: SocketAddr) -> Value<'static> {
    Value::Integer(i64::from(of.port()))
}

fn any_header<'a>(fields: FieldsView<'a>, reference: &HeaderRef, visit: &mut dyn FnMut(&'a [u8]) -> bool) -> bool {
    let mut lines = fields.all(reference.name.as_bytes());
    if reference.whole_line {
        return lines.any(visit);
    }
    lines.any(|line| comma_parts(line).any(&mut *visit))
}

fn one_header<'a>(fields: FieldsView<'a>, reference: &HeaderRef) -> Option<&'a [u8]> {
    let name = reference.name.as_bytes();
    let Some(occurrence) = reference.occurrence else {
        let line = fields.get(name)?;
        return if reference.whole_line { Some(line) } else { comma_parts(line).last() };
    };
    let wanted = if occurrence > 0 {
        usize::try_from(occurrence).ok()? - 1
    } else {
        number(fields, reference).checked_sub(usize::try_from(occurrence.unsigned_abs()).ok()?)?
    };
    if reference.whole_line {
        return fields.all(name).nth(wanted);
    }
    fields.all(name).flat_map(comma_parts).nth(wanted)
}

fn count(fields: FieldsView<'_>, reference: &HeaderRef) -> Value<'static> {
    Value::Integer(i64::try_from(number(fields, reference)).unwrap_or(i64::MAX))
}

fn number(fields: FieldsView<'_>, reference: &HeaderRef) -> usize {
    let lines = fields.all(reference.name.as_bytes());
    if reference.whole_line { lines.count() } else { lines.flat_map(comma_parts).count() }
}

/// The values of one line: commas separate them unless quoted, blanks around them go. An empty line has one, empty
/// (run against HAProxy 2.6).
fn comma_parts(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let (part, behind) = match unquoted(line, b',') {
            Some(comma) => (&line[..comma], Some(&line[comma + 1..])),
            None => (line, None),
        };
        rest = behind;
        Some(part.trim_ascii())
    })
}

/// Where a byte first stands outside of double quotes.
fn unquoted(text: &[u8], wanted: u8) -> Option<usize> {
    let first = memchr::memchr2(wanted, b'"', text)?;
    if text[first] == wanted {
        return Some(first);
    }
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in text.iter().enumerate().skip(first) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            byte if *byte == wanted && !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// Values of the cookies called `name`, or of all (RFC 6265 §4.2.1).
fn cookies<'a>(head: &'a RequestHead, name: Option<&str>, visit: &mut dyn FnMut(&'a [u8]) -> bool) -> bool {
    for line in head.fields().all(b"cookie") {
        let mut rest = Some(line);
        while let Some(line) = rest {
            let (pair, behind) = match unquoted(line, b';') {
                Some(end) => (&line[..end], Some(&line[end + 1..])),
                None => (line, None),
            };
            rest = behind;
            let Some(equals) = memchr::memchr(b'=', pair) else {
                continue;
            };
            let (found, value) = (pair[..equals].trim_ascii(), pair[equals + 1..].trim_ascii());
            if name.is_none_or(|name| name.as_bytes() == found) && visit(value) {
                return true;
            }
        }
    }
    false
}

/// Values of the parameters called `name`, or of all. They start behind `?` or the delimiter, whichever comes first
/// (manual 7.3.6, `url_param`).
fn parameters<'a>(
    target: &'a [u8],
    name: Option<&str>,
    delimiter: u8,
    visit: &mut dyn FnMut(&'a [u8]) -> bool,
) -> bool {
    let Some(start) = memchr::memchr2(b'?', delimiter, target) else {
        return false;
    };
    let separates = |byte: &u8| *byte == b'&' || *byte == b';' || (*byte == delimiter && delimiter != b'?');
    for pair in target[start + 1..].split(separates) {
        let Some(equals) = memchr::memchr(b'=', pair) else {
            continue;
        };
        if name.is_none_or(|name| name.as_bytes() == &pair[..equals]) && visit(&pair[equals + 1..]) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_parts(line: &str, expected: &[&str]) {
        let parts: Vec<_> = comma_parts(line.as_bytes()).map(|part| String::from_utf8_lossy(part)).collect();
        assert_eq!(parts, expected, "{line}");
    }

    #[test]
    fn commas_separate_unless_quoted() {
        check_parts("a,b , c", &["a", "b", "c"]);
        check_parts("", &[""]);
        check_parts(",a,,b,", &["", "a", "", "b", ""]);
        check_parts("\"a,b\", c", &["\"a,b\"", "c"]);
        check_parts("\"a\\\",b\", c", &["\"a\\\",b\"", "c"]);
        check_parts("\"a,b", &["\"a,b"]);
    }

    #[track_caller]
    fn check(fetch: Fetch, facts: &crate::rules::Facts<'_>, expected: Option<&str>) {
        let head = crate::rules::testing::request(b"GET /a?b HTTP/1.1\r\nHost: h\r\n\r\n");
        let answer = crate::rules::testing::response(b"HTTP/1.1 404 No\r\nX: a, b\r\nX: c\r\n\r\n");
        let context = Context { request: Some(&head), response: Some(&answer), facts };
        let value = one(&fetch, &context).map(|value| String::from_utf8_lossy(&value.into_bytes()).into_owned());
        assert_eq!(value.as_deref(), expected, "{fetch:?}");
    }

    fn header(occurrence: Option<i32>, whole_line: bool) -> HeaderRef {
        HeaderRef { name: "x".to_string(), occurrence, whole_line }
    }

    #[test]
    fn connections_tell_their_ends_and_their_tls() {
        let mut facts = crate::rules::testing::facts();
        facts.src = "[::ffff:10.1.2.3]:99".parse().ok();
        check(Fetch::Src, &facts, Some("::ffff:10.1.2.3")); // run against HAProxy 2.6
        check(Fetch::SrcPort, &facts, Some("99"));
        check(Fetch::SslFc, &facts, Some("0"));
        for fetch in [Fetch::SslFcSni, Fetch::SslFcAlpn, Fetch::SslFcProtocol, Fetch::SslFcCipher] {
            check(fetch, &facts, None);
        }
        check(Fetch::SslFcHasSni, &facts, Some("0"));
        facts.src = None;
        check(Fetch::Src, &facts, None);
        facts.tls = Some(TlsFacts {
            sni: Some("a.b"),
            alpn: Some(b"h2"),
            protocol: "TLSv1.3",
            cipher: "C",
            ..TlsFacts::default()
        });
        check(Fetch::SslFc, &facts, Some("1"));
        check(Fetch::SslFcSni, &facts, Some("a.b"));
        check(Fetch::SslFcHasSni, &facts, Some("1"));
        check(Fetch::SslFcAlpn, &facts, Some("h2"));
        check(Fetch::SslFcProtocol, &facts, Some("TLSv1.3"));
        check(Fetch::SslFcCipher, &facts, Some("C"));
    }

    #[test]
    fn responses_and_names() {
        let mut facts = crate::rules::testing::facts();
        check(Fetch::Status, &facts, Some("404"));
        check(Fetch::ResponseHeader(header(None, false)), &facts, Some("c"));
        check(Fetch::ResponseHeader(header(Some(1), false)), &facts, Some("a"));
        check(Fetch::ResponseHeader(header(Some(1), true)), &facts, Some("a, b"));
        check(Fetch::ResponseHeaderCount(header(None, false)), &facts, Some("3"));
        check(Fetch::ResponseHeaderCount(header(None, true)), &facts, Some("2"));
        check(Fetch::BackendName, &facts, Some("web"));
        check(Fetch::ServerName, &facts, None);
        facts.backend = Some("be");
        facts.server = Some("s1");
        facts.unique_id = Some("id-1");
        check(Fetch::BackendName, &facts, Some("be"));
        check(Fetch::ServerName, &facts, Some("s1"));
        check(Fetch::UniqueId, &facts, Some("id-1"));
        check(Fetch::Hostname, &facts, Some("proxy1"));
        check(Fetch::Date { offset: 1 }, &facts, Some("1795174335"));
    }

    #[test]
    fn a_tcp_session_has_no_messages() {
        let facts = crate::rules::testing::facts();
        let context = Context { request: None, response: None, facts: &facts };
        for fetch in [Fetch::Path, Fetch::Method, Fetch::Cookie(None), Fetch::Status] {
            assert_eq!(one(&fetch, &context), None);
            assert!(!any(&fetch, &context, &mut |_| true));
        }
        assert!(one(&Fetch::Src, &context).is_some());
    }
}
