//! What do servers learn about the client? `option forwardfor` and the spoof-proof set of fields.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use super::fields::Fields;
use super::h1::scan::is_token;
use super::head::{RequestHead, Text};
use crate::model::forwarded::{ForwardFor, Forwarded, ForwardedFields};

/// Who is asking, and where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientFacts {
    /// `None` for a client on a unix socket.
    pub client: Option<SocketAddr>,
    /// The address the client reached.
    pub local: Option<SocketAddr>,
    /// The client used TLS.
    pub tls: bool,
}

/// Writes the forwarding fields both proxies ask for. Fields an operator's rule has set stay and are not doubled.
pub(crate) fn apply(head: &mut RequestHead, frontend: &Forwarded, backend: &Forwarded, client: &ClientFacts) {
    if let Some(fields) = backend.fields.as_ref().or(frontend.fields.as_ref()) {
        apply_fields(head, fields, client);
    }
    if frontend.forwardfor.is_some() || backend.forwardfor.is_some() {
        apply_forwardfor(head, frontend.forwardfor.as_ref(), backend.forwardfor.as_ref(), client);
    }
}

/// HAProxy manual 4.2, `option forwardfor`: one line more. The backend's name wins; the addition is made if either
/// wants it always; a client inside either's `except` is not told.
fn apply_forwardfor(
    head: &mut RequestHead,
    frontend: Option<&ForwardFor>,
    backend: Option<&ForwardFor>,
    client: &ClientFacts,
) {
    let Some(address) = client.client else { return };
    let Some(ForwardFor { header, .. }) = backend.or(frontend) else { return };
    let mut both = frontend.into_iter().chain(backend);
    let only_if_none = both.clone().all(|option| option.if_none);
    if both.any(|option| option.except.contains(address.ip()))
        || (only_if_none && head.fields().contains(header.as_bytes()))
    {
        return;
    }
    head.fields.add_with(header.as_bytes(), |out| put(out, address.ip()));
}

/// Replaces what an untrusted client said about itself, adds to what a trusted proxy said. List-like fields get one
/// member more, on one line; Host, Proto, Port and Proxied-Https describe the first hop and are kept once a trusted
/// proxy has set them, because applications compare them as a whole.
fn apply_fields(head: &mut RequestHead, wanted: &ForwardedFields, client: &ClientFacts) {
    let trusted = client.client.is_some_and(|address| wanted.trusted.contains(address.ip()));
    let host = head.host_text();
    let RequestHead { fields, input, .. } = head;
    if !trusted {
        let own_name = wanted.for_header.as_deref().map(str::as_bytes).unwrap_or_default();
        fields.remove_where(input, |name, _, received| received && (is_forwarding(name) || same(name, own_name)));
    }
    let mut writer = Writer { fields, input };
    let ip = client.client.map(|address| address.ip().to_canonical());
    if let (Some(header), Some(ip)) = (&wanted.for_header, ip) {
        writer.append(header.as_bytes(), |out| put(out, ip));
    }
    if let (true, Some(host)) = (wanted.host, host) {
        let input = writer.input;
        writer.set_if_missing(b"X-Forwarded-Host", |out| put_text(out, input, host));
    }
    let proto: &[u8] = if client.tls { b"https" } else { b"http" };
    if wanted.proto {
        writer.set_if_missing(b"X-Forwarded-Proto", |out| out.extend_from_slice(proto));
    }
    if let (true, Some(local)) = (wanted.port, client.local) {
        let mut port = itoa::Buffer::new();
        let port = port.format(local.port()).as_bytes();
        writer.set_if_missing(b"X-Forwarded-Port", |out| out.extend_from_slice(port));
    }
    if let Some(server) = &wanted.server {
        writer.append(b"X-Forwarded-Server", |out| out.extend_from_slice(server.as_bytes()));
    }
    if let (true, Some(value)) = (client.tls, &wanted.proxied_https) {
        writer.set_if_missing(b"X-Proxied-Https", |out| out.extend_from_slice(value.as_bytes()));
    }
    if wanted.rfc7239 {
        let input = writer.input;
        writer.append(b"Forwarded", |out| {
            put_node(out, ip);
            if let Some(host) = host {
                out.extend_from_slice(b";host=");
                let start = out.len();
                put_text(out, input, host);
                quote_unless_token(out, start);
            }
            out.extend_from_slice(b";proto=");
            out.extend_from_slice(proto);
        });
    }
}

/// Fields by which proxies tell about clients, and a client could lie about itself.
fn is_forwarding(name: &[u8]) -> bool {
    const PREFIX: &[u8] = b"x-forwarded-";
    name.get(..PREFIX.len()).is_some_and(|start| same(start, PREFIX))
        || [&b"forwarded"[..], b"x-real-ip", b"x-proxied-https"].iter().any(|other| same(name, other))
}

fn same(name: &[u8], other: &[u8]) -> bool {
    name.eq_ignore_ascii_case(other)
}

/// Adds fields that an operator's rule has not set already.
struct Writer<'a> {
    fields: &'a mut Fields,
    input: &'a [u8],
}

impl Writer<'_> {
    fn set_by_rule(&self, name: &[u8]) -> bool {
        let arena = self.fields.arena();
        self.fields.added().iter().any(|field| !field.removed && same(field.name(arena), name))
    }

    /// One line of all received values and one more.
    fn append(&mut self, name: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        if !self.set_by_rule(name) {
            self.fields.join(self.input, name, Some(write));
        }
    }

    /// Keeps the received value, on one line, or adds one.
    fn set_if_missing(&mut self, name: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        if self.set_by_rule(name) {
            return;
        }
        match self.fields.view(self.input).count(name) {
            0 => self.fields.add_with(name, write),
            1 => {}
            _ => self.fields.join(self.input, name, None::<fn(&mut Vec<u8>)>),
        }
    }
}

/// Appends a piece of the head to the arena, in which it may lie itself.
fn put_text(arena: &mut Vec<u8>, input: &[u8], text: Text) {
    let range = text.start as usize..(text.start as usize + text.len as usize);
    if !text.added {
        arena.extend_from_slice(input.get(range).unwrap_or_default());
    } else if range.end <= arena.len() {
        arena.extend_from_within(range);
    }
}

/// Appends an address. Each request pays for this, so IPv4 goes without the formatting machinery.
fn put(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (index, octet) in address.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                out.extend_from_slice(itoa::Buffer::new().format(octet).as_bytes());
            }
        }
        // Writing into memory cannot fail.
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
}

/// `for=` with a node (RFC 7239 §6): IPv6 in brackets and so quoted.
fn put_node(out: &mut Vec<u8>, address: Option<IpAddr>) {
    out.extend_from_slice(b"for=");
    match address {
        None => out.extend_from_slice(b"unknown"),
        Some(address @ IpAddr::V4(_)) => put(out, address),
        Some(address @ IpAddr::V6(_)) => {
            out.extend_from_slice(b"\"[");
            put(out, address);
            out.extend_from_slice(b"]\"");
        }
    }
}

/// Makes what stands behind `start` a quoted string unless it is a token (RFC 7239 §4).
fn quote_unless_token(out: &mut Vec<u8>, start: usize) {
    if is_token(out.get(start..).unwrap_or_default()) {
        return;
    }
    out.insert(start, b'"');
    let mut at = start + 1;
    while let Some(byte) = out.get(at).copied() {
        if matches!(byte, b'"' | b'\\') {
            out.insert(at, b'\\');
            at += 1;
        }
        at += 1;
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::forwarded::{Network, Networks};
    use crate::model::global::HttpLimits;

    fn networks(text: &str) -> Networks {
        let network = |text: &str| {
            let (address, prefix) = text.split_once('/').unwrap();
            Network { address: address.parse().unwrap(), prefix: prefix.parse().unwrap() }
        };
        Networks::new(text.split_whitespace().map(network).collect())
    }

    fn facts(client: &str, tls: bool) -> ClientFacts {
        let address = |text: &str| text.parse().map(|ip| SocketAddr::new(ip, 4711)).ok();
        let local = Some(SocketAddr::from(([192, 0, 2, 1], if tls { 443 } else { 80 })));
        ClientFacts { client: address(client), local, tls }
    }

    fn head(fields: &str) -> RequestHead {
        let mut head = RequestHead::new();
        let text = format!("GET / HTTP/1.1|Host: h:8|{fields}|").replace('|', "\r\n");
        head.input().extend_from_slice(text.as_bytes());
        head.parse(&HttpLimits::default()).unwrap();
        head
    }

    fn show(head: &RequestHead) -> String {
        let lines = head
            .fields()
            .iter()
            .skip(1)
            .map(|(name, value)| format!("{}: {}|", String::from_utf8_lossy(name), String::from_utf8_lossy(value)));
        lines.collect()
    }

    fn forwardfor(header: &str, except: &str, if_none: bool) -> Forwarded {
        let option = ForwardFor { except: networks(except), header: header.to_owned(), if_none };
        Forwarded { forwardfor: Some(option), fields: None }
    }

    /// The lines are what HAProxy 2.6.12 does with the same options.
    #[test]
    fn option_forwardfor_does_as_haproxy_does() {
        #[track_caller]
        fn check(frontend: &Forwarded, backend: &Forwarded, fields: &str, expected: &str) {
            let mut head = head(fields);
            apply(&mut head, frontend, backend, &facts("127.0.0.1", false));
            assert_eq!(show(&head), expected);
        }
        const XFF: &str = "X-Forwarded-For";
        let none = Forwarded::default();
        let plain = forwardfor(XFF, "", false);
        let except = forwardfor(XFF, "127.0.0.0/8", false);
        let if_none = forwardfor(XFF, "", true);
        let named = forwardfor("X-Fe", "", false);
        check(&none, &none, "X-Forwarded-For: 9|", "X-Forwarded-For: 9|");
        check(&plain, &none, "", "X-Forwarded-For: 127.0.0.1|");
        check(&plain, &plain, "X-Forwarded-For: 9|", "X-Forwarded-For: 9|X-Forwarded-For: 127.0.0.1|");
        check(&except, &plain, "", "");
        check(&plain, &except, "", "");
        check(&except, &none, "X-Forwarded-For: 9|", "X-Forwarded-For: 9|");
        check(&if_none, &plain, "X-Forwarded-For: 9|", "X-Forwarded-For: 9|X-Forwarded-For: 127.0.0.1|");
        check(&if_none, &if_none, "x-forwarded-for: 9|", "x-forwarded-for: 9|");
        check(&if_none, &if_none, "X-Fe: 9|", "X-Fe: 9|X-Forwarded-For: 127.0.0.1|");
        check(&named, &none, "", "X-Fe: 127.0.0.1|");
        check(&named, &plain, "", "X-Forwarded-For: 127.0.0.1|");
        check(&plain, &named, "", "X-Fe: 127.0.0.1|");
    }

    fn all(trusted: &str) -> Forwarded {
        let fields = ForwardedFields {
            for_header: Some("X-Forwarded-For".to_owned()),
            host: true,
            proto: true,
            port: true,
            server: Some("px".to_owned()),
            proxied_https: Some("true".to_owned()),
            rfc7239: true,
            trusted: networks(trusted),
        };
        Forwarded { forwardfor: None, fields: Some(fields) }
    }

    #[track_caller]
    fn check(client: &ClientFacts, fields: &str, expected: &str) {
        let mut head = head(fields);
        apply(&mut head, &all("10.0.0.0/8 fd00::/8"), &Forwarded::default(), client);
        assert_eq!(show(&head), expected);
    }

    const SPOOFED: &str = "A: 1|x-forwarded-for: 6.6.6.6|X-Forwarded-Evil: x|X-Real-IP: 6.6.6.6|Forwarded: for=6.6.6.6|\
                           X-Proxied-Https: true|X-Forwarded-Proto: https|X-Forwarded-For: 7.7.7.7|";

    #[test]
    fn an_untrusted_clients_own_words_are_replaced() {
        check(
            &facts("198.51.100.7", false),
            SPOOFED,
            "A: 1|X-Forwarded-For: 198.51.100.7|X-Forwarded-Host: h:8|X-Forwarded-Proto: http|X-Forwarded-Port: 80|\
             X-Forwarded-Server: px|Forwarded: for=198.51.100.7;host=\"h:8\";proto=http|",
        );
        check(
            &facts("2001:db8::7", true),
            "",
            "X-Forwarded-For: 2001:db8::7|X-Forwarded-Host: h:8|X-Forwarded-Proto: https|X-Forwarded-Port: 443|\
             X-Forwarded-Server: px|X-Proxied-Https: true|Forwarded: for=\"[2001:db8::7]\";host=\"h:8\";proto=https|",
        );
        check(
            &ClientFacts { client: None, local: None, tls: false },
            SPOOFED,
            "A: 1|X-Forwarded-Host: h:8|X-Forwarded-Proto: http|X-Forwarded-Server: px|\
             Forwarded: for=unknown;host=\"h:8\";proto=http|",
        );
    }

    #[test]
    fn a_trusted_proxys_words_are_added_to_on_one_line() {
        check(
            &facts("::ffff:10.1.2.3", false),
            "X-Forwarded-For: 6.6.6.6|A: 1|x-forwarded-for: 7.7.7.7|X-Forwarded-Proto: https|X-Forwarded-Host: o|\
             X-Forwarded-Server: p1|Forwarded: for=6.6.6.6|X-Proxied-Https: true|",
            "A: 1|X-Forwarded-Proto: https|X-Forwarded-Host: o|X-Proxied-Https: true|\
             X-Forwarded-For: 6.6.6.6, 7.7.7.7, 10.1.2.3|X-Forwarded-Port: 80|X-Forwarded-Server: p1, px|\
             Forwarded: for=6.6.6.6, for=10.1.2.3;host=\"h:8\";proto=http|",
        );
    }

    #[test]
    fn what_an_operators_rule_has_set_stays() {
        let mut head = head("X-Forwarded-Proto: spoofed|");
        head.set_field(b"X-Forwarded-Proto", b"wss");
        head.set_field(b"Host", b"rewritten");
        apply(&mut head, &Forwarded::default(), &all(""), &facts("1.2.3.4", true));
        let text = show(&head);
        assert_eq!(head.fields().get(b"X-Forwarded-Proto"), Some(&b"wss"[..]));
        assert!(text.contains("X-Forwarded-Host: rewritten|"), "{text}");
        assert!(text.contains("host=rewritten;"), "{text}");
        assert_eq!(head.fields().count(b"x-forwarded-proto"), 1);
    }
}
