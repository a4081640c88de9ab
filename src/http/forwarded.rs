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

/// HAProxy manual 4.2, `option forwardfor`: one line more. The backend's name wins; the addition is made if either wants it
/// always; a client inside either's `except` is not told.
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

/// Replaces what an untrusted client said about itself, adds to what a trusted proxy said. List-like fields get one member
/// more, on one line; Host, Proto, Port and Proxied-Https describe the first hop and are kept once a trusted proxy has set
/// them, because applications compare them as a whole.
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

/// Appends an address; writing into memory cannot fail.
fn put(out: &mut Vec<u8>, address: IpAddr) {
    let _ = write!(out, "{address}");
}

/// `for=` with a node (RFC 7239 §6): IPv6 in brackets and so quoted.
fn put_node(out: &mut Vec<u8>, address: Option<IpAddr>) {
    let _ = match address {
        None => write!(out, "for=unknown"),
        Some(IpAddr::V4(address)) => write!(out, "for={address}"),
        Some(IpAddr::V6(address)) => write!(out, "for=\"[{address}]\""),
    };
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
