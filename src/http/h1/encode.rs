//! What goes on the wire? One pass over a head into one buffer.
//!
//! Runs of received lines that stay as they are go out in one copy each, with their order, case and spacing. What is
//! for one connection only is left out and written anew for the next one.

use super::super::fields::{Field, FieldsView, Known, slice};
use super::super::framing::BodyLength;
use super::super::head::{RequestHead, Version};
use super::super::hop_by_hop::{is_hop_by_hop, is_named};
use super::super::response::ResponseHead;

/// How a request is to be sent to a server.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct EncodeRequest<'a> {
    /// Whether this connection is to be used again; `Connection: close` is sent when not.
    pub keep_alive: bool,
    /// Send the client's wish to switch protocols, if [`RequestHead::upgrade`] has one.
    pub keep_upgrade: bool,
    /// Added at the end, as they are: names and values are the proxy's own.
    pub extra: &'a [(&'a str, &'a [u8])],
}

/// How a response is to be sent to the client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EncodeResponse<'a> {
    pub client: Version,
    /// Whether the client's connection is kept. See [`ResponseHead::can_keep_client`].
    pub keep_alive: bool,
    /// Send `Connection: upgrade` and the server's Upgrade: for a 101 that is taken.
    pub keep_upgrade: bool,
    /// Replace Cache-Control by `no-store`.
    pub no_store: bool,
    /// Added at the end, as they are.
    pub extra: &'a [(&'a str, &'a [u8])],
}

/// How the body bytes of a response are put on the wire for a given client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// The bytes alone; the end is known by length, or there are none.
    Plain,
    /// In chunks, with [`LAST_CHUNK`](super::chunked::LAST_CHUNK) or trailers at the end.
    Chunked,
    /// The bytes alone; the client's connection is closed behind them.
    UntilClose,
}

impl ResponseHead {
    /// How this body goes to such a client. A body that ends with the server's connection goes in chunks to an HTTP/1.1
    /// client, who thus notices when it was cut; an HTTP/1.0 client knows no chunks.
    pub fn framing_for(&self, client: Version) -> Framing {
        match (self.body(), client) {
            (BodyLength::None | BodyLength::Length(_), _) | (_, Version::Http2) => Framing::Plain,
            (BodyLength::Chunked | BodyLength::UntilClose, Version::Http11) => Framing::Chunked,
            (BodyLength::Chunked | BodyLength::UntilClose, Version::Http10) => Framing::UntilClose,
        }
    }

    /// Whether the client's connection can outlive this response.
    pub fn can_keep_client(&self, client: Version) -> bool {
        self.framing_for(client) != Framing::UntilClose && self.status() != 101
    }

    /// The fields that travel on, for clients that get no HTTP/1 (RFC 9113 §8.2.2). Content-Length is among them.
    pub fn end_to_end(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let view = self.fields();
        let no_length = self.announced == BodyLength::Chunked || self.status < 200 || self.status == 204;
        view.entries()
            .filter(move |(field, base)| match field.known {
                Known::Other => !self.options.others || !is_named(view, field.name(base)),
                Known::ContentLength => !no_length,
                known => !is_hop_by_hop(known),
            })
            .map(|(field, base)| (field.name(base), field.value(base)))
    }
}

impl RequestHead {
    /// The fields that travel on to HTTP/2 servers, but Host, which they are told apart.
    pub fn end_to_end(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let view = self.fields();
        view.entries()
            .filter(move |(field, base)| match field.known {
                Known::Other => !self.options.others || !is_named(view, field.name(base)),
                Known::Host => false,
                known => !is_hop_by_hop(known),
            })
            .map(|(field, base)| (field.name(base), field.value(base)))
    }
}

/// Appends the request as HTTP/1.1 in origin form, ready to send, body not included. A request without any Host, which
/// only HTTP/1.0 allows, goes out as HTTP/1.0, since no HTTP/1.1 server would take it.
pub(crate) fn encode_request(head: &RequestHead, options: EncodeRequest<'_>, out: &mut Vec<u8>) {
    let view = head.fields();
    out.reserve(head.head_len + head.fields.arena().len() + 128);
    out.extend_from_slice(head.method());
    out.push(b' ');
    out.extend_from_slice(head.path_and_query());

    let moved_host = view.known_added(Known::Host).or_else(|| head.authority.map(|authority| head.text(authority)));
    match moved_host {
        Some(host) if head.version != Version::Http2 || view.known_added(Known::Host).is_some() => {
            out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
            out.extend_from_slice(host);
            out.extend_from_slice(b"\r\n");
        }
        _ if view.known(Known::Host).is_some() => out.extend_from_slice(b" HTTP/1.1\r\n"),
        _ if head.version == Version::Http10 => out.extend_from_slice(b" HTTP/1.0\r\n"),
        // A rule has taken Host away; without any, the request would not be HTTP/1.1.
        _ => out.extend_from_slice(b" HTTP/1.1\r\nHost: \r\n"),
    }

    let mut length_sent = false;
    let keep = |field: &Field, base: &[u8], received: bool| match field.known {
        Known::Other => !(received && head.options.others && is_named(view, field.name(base))),
        Known::Host => moved_host.is_none(),
        Known::Expect => head.version != Version::Http10,
        Known::ContentLength => received && keeps_length(field, base, head.body, &mut length_sent),
        known => !is_hop_by_hop(known),
    };
    copy_lines(Lines { view, end: head.fields_end, bare_lf: head.bare_lf }, keep, out);
    match head.body {
        BodyLength::Length(length) if !length_sent => content_length(length, out),
        BodyLength::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        _ => {}
    }
    let te = head.te_trailers();
    if te {
        out.extend_from_slice(b"TE: trailers\r\n");
    }
    let upgrade = if options.keep_upgrade { head.upgrade() } else { None };
    match upgrade {
        Some(protocol) => switch_protocol(protocol, out),
        None => match (options.keep_alive, te, head.version == Version::Http10 && out_is_http10(head, moved_host)) {
            (true, false, true) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
            (true, true, _) => out.extend_from_slice(b"Connection: TE\r\n"),
            (true, false, false) => {}
            (false, true, _) => out.extend_from_slice(b"Connection: close, TE\r\n"),
            (false, false, _) => out.extend_from_slice(b"Connection: close\r\n"),
        },
    }
    finish(options.extra, out);
}

/// Whether the request line said HTTP/1.0.
fn out_is_http10(head: &RequestHead, moved_host: Option<&[u8]>) -> bool {
    moved_host.is_none() && head.fields().known(Known::Host).is_none()
}

/// Appends the response's head, ready to send. The status line says HTTP/1.1 to HTTP/1.0 clients too, as HAProxy does
/// and RFC 9110 §2.5 wants; which body they get is another matter: see [`ResponseHead::framing_for`].
pub(crate) fn encode_response(head: &ResponseHead, options: EncodeResponse<'_>, out: &mut Vec<u8>) {
    let view = head.fields();
    out.reserve(head.head_len + head.fields.arena().len() + 128);
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(head.status()).as_bytes());
    out.push(b' ');
    out.extend_from_slice(head.reason());
    out.extend_from_slice(b"\r\n");

    let status = head.status();
    // RFC 9110 §8.6: neither framing field in 1xx and 204.
    let announced = if status < 200 || status == 204 { BodyLength::None } else { head.announced };
    let mut length_sent = false;
    let keep = |field: &Field, base: &[u8], received: bool| match field.known {
        Known::Other if options.no_store && field.name(base).eq_ignore_ascii_case(b"cache-control") => false,
        Known::Other => !(received && head.options.others && is_named(view, field.name(base))),
        Known::ContentLength => received && keeps_length(field, base, announced, &mut length_sent),
        known => !is_hop_by_hop(known),
    };
    copy_lines(Lines { view, end: head.fields_end, bare_lf: head.bare_lf }, keep, out);
    let framing = head.framing_for(options.client);
    match announced {
        BodyLength::Length(length) if !length_sent => content_length(length, out),
        // To HEAD, as the same GET would be answered.
        BodyLength::Chunked if head.body == BodyLength::None && options.client == Version::Http11 => {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        _ if framing == Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        _ => {}
    }
    if options.no_store {
        out.extend_from_slice(b"Cache-Control: no-store\r\n");
    }
    match view.known(Known::Upgrade) {
        Some(protocol) if options.keep_upgrade => switch_protocol(protocol, out),
        // Which protocol is asked for (RFC 9110 §15.5.22).
        Some(protocol) if status == 426 => {
            out.extend_from_slice(if options.keep_alive { b"" } else { b"Connection: close\r\n" });
            switch_protocol(protocol, out);
        }
        _ if status < 200 => {}
        _ if !options.keep_alive || framing == Framing::UntilClose => out.extend_from_slice(b"Connection: close\r\n"),
        _ if options.client == Version::Http10 => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        _ => {}
    }
    finish(options.extra, out);
}

fn switch_protocol(protocol: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"Connection: upgrade\r\nUpgrade: ");
    out.extend_from_slice(protocol);
    out.extend_from_slice(b"\r\n");
}

fn content_length(length: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Content-Length: ");
    out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn finish(extra: &[(&str, &[u8])], out: &mut Vec<u8>) {
    for (name, value) in extra {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// A received Content-Length line goes on as it is when it tells the body's length in the plainest spelling; any other
/// spelling is written anew, so that no reader behind us can take it differently.
fn keeps_length(field: &Field, base: &[u8], body: BodyLength, sent: &mut bool) -> bool {
    let plain = slice(base, field.start + field.name_len, field.value_start - field.start - field.name_len) == b": ";
    let ends = slice(base, field.value_start + field.value_len, 2) == b"\r\n";
    let keeps = plain && ends && !*sent && matches!(body, BodyLength::Length(_));
    *sent |= keeps;
    keeps
}

/// The lines of a head on their way out.
struct Lines<'a> {
    view: FieldsView<'a>,
    /// Where the last received line ends.
    end: u32,
    bare_lf: bool,
}

/// Copies every line `keep` wants (asked with the field, its buffer and whether it was received): received lines in
/// runs as long as they get, added ones each.
fn copy_lines(lines: Lines<'_>, mut keep: impl FnMut(&Field, &[u8], bool) -> bool, out: &mut Vec<u8>) {
    let (received, added, input, arena) = lines.view.parts();
    let mut run = received.first().map_or(lines.end, |field| field.start);
    for (index, field) in received.iter().enumerate() {
        let line_end = received.get(index + 1).map_or(lines.end, |next| next.start);
        if !field.removed && keep(field, input, true) {
            if lines.bare_lf {
                whole_line(field, input, out);
                run = line_end;
            }
            continue;
        }
        out.extend_from_slice(input.get(run as usize..field.start as usize).unwrap_or_default());
        run = line_end;
    }
    out.extend_from_slice(input.get(run as usize..lines.end as usize).unwrap_or_default());
    for field in added {
        if !field.removed && keep(field, arena, false) {
            whole_line(field, arena, out);
        }
    }
}

fn whole_line(field: &Field, base: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(field.name(base));
    out.extend_from_slice(b": ");
    out.extend_from_slice(field.value(base));
    out.extend_from_slice(b"\r\n");
}
