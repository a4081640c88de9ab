//! What did the server answer? A response head that owns its bytes and is used again for the next response.
//!
//! Also built from nothing, for what the proxy answers by itself, so that HTTP/1 and HTTP/2 clients get it the
//! same way.

use super::fields::{Fields, FieldsView, Known, slice};
use super::framing::{BodyLength, ConnectionOptions};
use super::head::{Text, Version};

/// What is being answered; it decides whether a body follows (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResponseTo {
    Head,
    Other,
}

/// A response's head. Empty until `parse` or [`start`](ResponseHead::start).
#[derive(Debug)]
pub(crate) struct ResponseHead {
    pub(super) input: Vec<u8>,
    pub(super) head_len: usize,
    pub(super) seen: usize,
    pub(super) fields_end: u32,
    pub(super) bare_lf: bool,
    pub(super) fields: Fields,
    pub(super) version: Version,
    pub(super) status: u16,
    pub(super) reason: Text,
    pub(super) body: BodyLength,
    /// What the framing fields say, also where no body follows (HEAD, 304).
    pub(super) announced: BodyLength,
    pub(super) options: ConnectionOptions,
    /// Both Content-Length and Transfer-Encoding came: the connection ends with this response.
    pub(super) ambiguous: bool,
}

impl Default for ResponseHead {
    fn default() -> Self {
        ResponseHead::new()
    }
}

impl ResponseHead {
    pub fn new() -> Self {
        ResponseHead {
            input: Vec::new(),
            head_len: 0,
            seen: 0,
            fields_end: 0,
            bare_lf: false,
            fields: Fields::default(),
            version: Version::Http11,
            status: 0,
            reason: Text::default(),
            body: BodyLength::None,
            announced: BodyLength::None,
            options: ConnectionOptions::default(),
            ambiguous: false,
        }
    }

    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.input.clear();
        self.forget();
    }

    pub(super) fn forget(&mut self) {
        self.head_len = 0;
        self.seen = 0;
        self.fields_end = 0;
        self.bare_lf = false;
        self.fields.clear();
        self.version = Version::Http11;
        self.status = 0;
        self.reason = Text::default();
        self.body = BodyLength::None;
        self.announced = BodyLength::None;
        self.options = ConnectionOptions::default();
        self.ambiguous = false;
    }

    /// Begins an answer of our own with the usual reason and no field. Its body is what `body` says; for `to`
    /// [`ResponseTo::Head`] the length is told but no body follows.
    pub fn start(&mut self, status: u16, body: BodyLength, to: ResponseTo) {
        self.clear();
        self.status = status;
        let (start, len) = self.fields.stash(|out| out.extend_from_slice(reason_of(status).as_bytes()));
        self.reason = Text { added: true, start, len };
        self.announced = body;
        self.body = if has_body(status, to) { body } else { BodyLength::None };
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

    /// Done with this head (a 1xx, say): drops it and the first `consumed` bytes behind it.
    pub fn next(&mut self, consumed: usize) {
        let used = (self.head_len + consumed).min(self.input.len());
        self.input.drain(..used);
        self.forget();
    }

    /// In bytes, as received; 0 until the head is complete.
    pub fn head_len(&self) -> usize {
        self.head_len
    }

    /// The bytes behind the head.
    pub fn rest(&self) -> &[u8] {
        self.input.get(self.head_len..).unwrap_or_default()
    }

    /// 100 to 599.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// May be empty.
    pub fn reason(&self) -> &[u8] {
        slice(if self.reason.added { self.fields.arena() } else { &self.input }, self.reason.start, self.reason.len)
    }

    pub fn set_status_reason(&mut self, status: u16, reason: &[u8]) {
        self.status = status;
        let clean = |byte: &u8| if byte.is_ascii_control() { b' ' } else { *byte };
        let (start, len) = self.fields.stash(|out| out.extend(reason.iter().map(clean)));
        self.reason = Text { added: true, start, len };
    }

    /// 1xx: the real answer follows, except after 101.
    pub fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    pub fn fields(&self) -> FieldsView<'_> {
        self.fields.view(&self.input)
    }

    /// Removes every field of this name and adds one at the end. The name must be a token.
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

    /// How the body ends, HEAD, 1xx, 204 and 304 considered.
    pub fn body(&self) -> BodyLength {
        self.body
    }

    /// Whether the server's connection may be used again once the body has been read whole. Not when the body ends with
    /// the connection, nor when framing was ambiguous, nor once the protocol was switched.
    pub fn keep_alive(&self) -> bool {
        let wanted = match self.version {
            Version::Http10 => self.options.keep_alive && !self.options.close,
            Version::Http11 | Version::Http2 => !self.options.close,
        };
        wanted && !self.ambiguous && self.body != BodyLength::UntilClose && self.status != 101
    }

    /// The protocol a 101 switches to.
    pub fn upgrade(&self) -> Option<&[u8]> {
        if self.status != 101 || !self.options.upgrade {
            return None;
        }
        self.fields().known(Known::Upgrade).filter(|protocol| !protocol.is_empty())
    }
}

/// Whether a response of this status has a body at all (RFC 9112 §6.3, rule 1).
pub(super) fn has_body(status: u16, to: ResponseTo) -> bool {
    to == ResponseTo::Other && status >= 200 && status != 204 && status != 304
}

/// The usual reason phrase (IANA's HTTP status code registry); empty for codes nobody registered.
pub(crate) fn reason_of(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        102 => "Processing",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        511 => "Network Authentication Required",
        _ => "",
    }
}
