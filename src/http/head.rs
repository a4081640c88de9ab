//! What did the client ask? A request head that owns its bytes and is used again for the next request.
//!
//! Parsing is in `h1/parse`, sending on in `h1/encode`. All positions are offsets into the read buffer, so the
//! buffer can be lent away and put back while the head is kept.

use super::fields::{Field, Fields, FieldsView, Known, slice};
use super::framing::{BodyLength, ConnectionOptions, content_length, tokens};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    Http10,
    Http11,
    Http2,
}

impl Version {
    /// As a log line prints it.
    pub fn as_str(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Http2 => "HTTP/2.0",
        }
    }
}

/// Whether a head has come in whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    Complete,
    /// Well-formed as far as it goes: append more to the input and parse again.
    Partial,
}

/// A piece of the read buffer or of the arena.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Text {
    pub added: bool,
    pub start: u32,
    pub len: u32,
}

/// A request's head. Empty until `parse` (HTTP/1) or `from_parts` (HTTP/2) succeeds.
#[derive(Debug)]
pub(crate) struct RequestHead {
    pub(super) input: Vec<u8>,
    /// Bytes of the head, leading empty lines and the empty line at the end included; 0 until complete.
    pub(super) head_len: usize,
    /// How much of `input` the last unsuccessful parse has seen.
    pub(super) seen: usize,
    /// Where the last field line ends, before the empty line.
    pub(super) fields_end: u32,
    /// Some line ended in a lone LF, so lines must be rewritten one by one.
    pub(super) bare_lf: bool,
    pub(super) fields: Fields,
    pub(super) version: Version,
    pub(super) method: Text,
    pub(super) target: Text,
    /// Never empty once complete: `/…`, `/?…` or `*`.
    pub(super) path_and_query: Text,
    pub(super) path_len: u32,
    /// Of an absolute-form target.
    pub(super) authority: Option<Text>,
    /// `:authority`, which stands among the fields as Host.
    pub(super) pseudo_authority: Option<Text>,
    pub(super) body: BodyLength,
    pub(super) options: ConnectionOptions,
    /// Came as an extended CONNECT (RFC 8441) and is passed on as a wish to switch protocols.
    pub(super) extended_connect: bool,
}

impl Default for RequestHead {
    fn default() -> Self {
        RequestHead::new()
    }
}

impl RequestHead {
    pub fn new() -> Self {
        RequestHead {
            input: Vec::new(),
            head_len: 0,
            seen: 0,
            fields_end: 0,
            bare_lf: false,
            fields: Fields::default(),
            version: Version::Http11,
            method: Text::default(),
            target: Text::default(),
            path_and_query: Text::default(),
            path_len: 0,
            authority: None,
            pseudo_authority: None,
            body: BodyLength::None,
            options: ConnectionOptions::default(),
            extended_connect: false,
        }
    }

    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.input.clear();
        self.forget();
    }

    /// Forgets what was parsed, keeps the input.
    pub(super) fn forget(&mut self) {
        self.head_len = 0;
        self.seen = 0;
        self.fields_end = 0;
        self.bare_lf = false;
        self.fields.clear();
        self.version = Version::Http11;
        self.method = Text::default();
        self.target = Text::default();
        self.path_and_query = Text::default();
        self.path_len = 0;
        self.authority = None;
        self.pseudo_authority = None;
        self.body = BodyLength::None;
        self.options = ConnectionOptions::default();
        self.extended_connect = false;
    }

    /// The raw bytes as read. Append only, until the head is complete.
    pub fn input(&mut self) -> &mut Vec<u8> {
        &mut self.input
    }

    /// Lends the read buffer away. What the head tells is empty until it is put back.
    pub fn take_input(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.input)
    }

    pub fn put_input(&mut self, input: Vec<u8>) {
        self.input = input;
    }

    /// Done with this request: drops its head and the first `consumed` bytes of [`rest`](Self::rest), which
    /// were its body. What is left is the start of the next request.
    pub fn next(&mut self, consumed: usize) {
        let used = (self.head_len + consumed).min(self.input.len());
        self.input.drain(..used);
        self.forget();
    }

    /// In bytes, as received; 0 until the head is complete.
    pub fn head_len(&self) -> usize {
        self.head_len
    }

    /// The bytes behind the head: body, or the next pipelined request.
    pub fn rest(&self) -> &[u8] {
        self.input.get(self.head_len..).unwrap_or_default()
    }

    pub(super) fn text(&self, text: Text) -> &[u8] {
        slice(if text.added { self.fields.arena() } else { &self.input }, text.start, text.len)
    }

    pub fn method(&self) -> &[u8] {
        self.text(self.method)
    }

    pub fn is_head(&self) -> bool {
        self.method() == b"HEAD"
    }

    pub fn is_options(&self) -> bool {
        self.method() == b"OPTIONS"
    }

    pub fn is_connect(&self) -> bool {
        self.method() == b"CONNECT"
    }

    /// Doing it twice does no more than doing it once, so it may be retried (RFC 9110 §9.2.2).
    pub fn is_idempotent(&self) -> bool {
        matches!(self.method(), b"GET" | b"HEAD" | b"PUT" | b"DELETE" | b"OPTIONS" | b"TRACE")
    }

    /// As received, or as a rule set it.
    pub fn target(&self) -> &[u8] {
        self.text(self.target)
    }

    /// Without the query; `/` when an absolute target has none, `*` for the whole server.
    pub fn path(&self) -> &[u8] {
        self.path_and_query().get(..self.path_len as usize).unwrap_or_default()
    }

    /// Without the `?`; `None` when there is no `?`.
    pub fn query(&self) -> Option<&[u8]> {
        self.path_and_query().get(self.path_len as usize + 1..)
    }

    /// What the server is asked for: the target in origin form.
    pub fn path_and_query(&self) -> &[u8] {
        self.text(self.path_and_query)
    }

    /// Which host is asked, with its port if one was given: a Host that a rule set, else the target's authority,
    /// which wins over the received Host (RFC 9112 §3.2.2).
    pub fn host(&self) -> Option<&[u8]> {
        self.host_text().map(|text| self.text(text))
    }

    /// `:authority` of HTTP/2 as the client sent it, if it did.
    pub fn pseudo_authority(&self) -> Option<&[u8]> {
        self.pseudo_authority.map(|text| self.text(text))
    }

    pub(super) fn host_text(&self) -> Option<Text> {
        let place = |field: &Field, added| Text { added, start: field.value_start, len: field.value_len };
        if let Some(field) = self.fields().known_added_field(Known::Host) {
            return Some(place(field, true));
        }
        let received = || self.fields.received().iter().find(|field| field.known == Known::Host && !field.removed);
        self.authority.or_else(|| received().map(|field| place(field, false)))
    }

    /// What the client speaks.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Asks the server for something else. Takes the origin form (`/path?query`) or `*`; bytes no target may have are
    /// percent-encoded, so no rule can be tricked into writing a second line.
    #[cfg(test)]
    pub fn set_target(&mut self, target: &[u8]) {
        let (start, len) = self.fields.stash(|out| {
            if !target.starts_with(b"/") && target != b"*" {
                out.push(b'/');
            }
            for byte in target {
                match byte {
                    0x21..=0x7e => out.push(*byte),
                    _ => out.extend_from_slice(&percent_encoded(*byte)),
                }
            }
        });
        self.target = Text { added: true, start, len };
        self.set_path_and_query(self.target);
    }

    pub(super) fn set_path_and_query(&mut self, text: Text) {
        self.path_and_query = text;
        let bytes = self.text(text);
        self.path_len = memchr::memchr(b'?', bytes).unwrap_or(bytes.len()) as u32;
    }

    pub fn fields(&self) -> FieldsView<'_> {
        self.fields.view(&self.input)
    }

    /// Removes every field of this name and adds one at the end, as HAProxy's `set-header` does. Must not point into
    /// this head. The name must be a token: names come from the configuration, which checked them.
    pub fn set_field(&mut self, name: &[u8], value: &[u8]) {
        self.remove_field(name);
        self.fields.add(name, value);
    }

    /// Adds a field at the end. Line breaks in the value become spaces.
    pub fn add_field(&mut self, name: &[u8], value: &[u8]) {
        self.fields.add(name, value);
    }

    /// Returns how many lines went.
    pub fn remove_field(&mut self, name: &[u8]) -> usize {
        self.remove_fields_where(|candidate| candidate.eq_ignore_ascii_case(name))
    }

    /// Removes all fields whose name `gone` takes; returns how many lines went.
    pub fn remove_fields_where(&mut self, mut gone: impl FnMut(&[u8]) -> bool) -> usize {
        self.fields.remove_where(&self.input, |name, _, _| gone(name))
    }

    /// How the body ends; its first bytes may already be in [`rest`](Self::rest).
    pub fn body(&self) -> BodyLength {
        self.body
    }

    /// Whether the client wants its connection kept. HTTP/1.1 does unless it says close, 1.0 must ask.
    pub fn keep_alive(&self) -> bool {
        match self.version {
            Version::Http10 => self.options.keep_alive && !self.options.close,
            Version::Http11 => !self.options.close,
            Version::Http2 => true,
        }
    }

    /// The protocol a client wants to switch to. `None` unless it is safe to ask the server for: HTTP/1.1, no body
    /// (whose end could be disputed), named by Connection, and not HTTP/2, which is not tunnelled through.
    pub fn upgrade(&self) -> Option<&[u8]> {
        let can_switch = self.version == Version::Http11 || self.extended_connect;
        if !can_switch || !self.options.upgrade || !self.body.is_empty() {
            return None;
        }
        let protocol = self.fields().known(Known::Upgrade)?;
        let plain = tokens(protocol).all(|token| !token.eq_ignore_ascii_case(b"h2c"));
        (plain && !protocol.is_empty()).then_some(protocol)
    }

    /// A WebSocket of an HTTP/2 client. Its server's answer has to fit the key it was given.
    pub fn is_extended_connect(&self) -> bool {
        self.extended_connect
    }

    /// Counts this hop off Max-Forwards, which only TRACE and OPTIONS have (RFC 9110 §7.6.2). `false`: it is the last one,
    /// and the request must be answered here.
    pub fn take_hop(&mut self) -> bool {
        if !matches!(self.method(), b"TRACE" | b"OPTIONS") {
            return true;
        }
        match self.fields().get(b"max-forwards").and_then(content_length) {
            Some(0) => false,
            Some(left) => {
                self.set_field(b"Max-Forwards", itoa::Buffer::new().format(left - 1).as_bytes());
                true
            }
            None => true, // not said, or not a number: the server may judge it
        }
    }

    /// The client may wait to be told before it sends the body (RFC 9110 §10.1.1).
    pub fn expects_continue(&self) -> bool {
        self.version != Version::Http10 && self.fields().known(Known::Expect).is_some()
    }

    /// The client takes trailers: `TE` lists `trailers`.
    pub fn te_trailers(&self) -> bool {
        self.fields()
            .entries()
            .filter(|(field, _)| field.known == Known::Te)
            .any(|(field, base)| tokens(field.value(base)).any(|token| token.eq_ignore_ascii_case(b"trailers")))
    }
}

#[cfg(test)]
fn percent_encoded(byte: u8) -> [u8; 3] {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    [b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]
}
