//! Is this a head we may act on? Splitting is httparse's, but for heads that are written the [usual](super::usual) way; every
//! judgement about meaning is here.
//!
//! One pass over the fields decides framing, connection and Host. A head that comes in pieces is parsed again only when
//! a line was completed or enough came, so a client sending byte by byte cannot make us work quadratically.

use std::mem::MaybeUninit;

use httparse::Header;

use super::meaning::{Meaning, end_of_fields};
use super::scan::{explain_request, explain_response, is_host, is_target, request_version, response_version};
use super::usual::Usual;
use super::{BadRequest, BadResponse};
use crate::http::framing::BodyLength;
use crate::http::head::{Progress, RequestHead, Text, Version};
use crate::http::response::{ResponseHead, ResponseTo, has_body};
use crate::model::global::HttpLimits;

/// Fields parsed without allocating; heads with more, where the limit allows them, take a buffer from the heap.
const FIELDS_ON_STACK: usize = 128;

/// How a head is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// In one quick pass if it is written as nearly all are.
    UsualFirst,
    #[cfg(test)]
    Full,
}

/// A partial head is looked at again after this many bytes even without a line end.
const LOOK_AGAIN: usize = 512;

/// Whether a second look at a partial head can tell more than the first.
fn worth_a_look(input: &[u8], seen: usize, limit: usize) -> bool {
    let new = input.get(seen..).unwrap_or_default();
    seen == 0 || input.len() >= limit || new.len() >= LOOK_AGAIN || memchr::memchr(b'\n', new).is_some()
}

/// The part of the input a head may take.
fn window<'a>(input: &'a [u8], limits: &HttpLimits) -> &'a [u8] {
    input.get(..limits.head).unwrap_or(input)
}

/// Makes a version of HTTP/1 beyond 1.1 that: who knows no more of them is to process the message as if it were of the
/// highest one known (RFC 9110 §2.5). `false` where there is another version, or none.
fn lower_minor(version: Option<&mut [u8]>) -> bool {
    let Some([b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'2'..=b'9']) = version else { return false };
    *minor = b'1';
    true
}

/// Calls `parse` with room for as many fields as the limits allow; `too_many` recognizes the error to try again on.
macro_rules! with_room_for_fields {
    ($limits:expr, $too_many:pat, $parse:expr) => {{
        let mut stack = [const { MaybeUninit::uninit() }; FIELDS_ON_STACK];
        let room = stack.get_mut(..$limits.fields.min(FIELDS_ON_STACK)).unwrap_or_default();
        match ($parse)(room) {
            Err($too_many) if $limits.fields > FIELDS_ON_STACK => {
                let mut heap: Vec<MaybeUninit<Header<'_>>> = Vec::new();
                heap.resize_with($limits.fields, MaybeUninit::uninit);
                ($parse)(&mut heap)
            }
            other => other,
        }
    }};
}

impl RequestHead {
    /// Looks whether the input holds a whole head, and checks all that can be wrong with it. Empty lines in front are
    /// skipped (RFC 9112 §2.2).
    ///
    /// # Errors
    /// [`BadRequest`]: answer its status and close. The head then tells nothing that may be acted on, but method
    /// and target are kept for the log where they could be read.
    pub fn parse(&mut self, limits: &HttpLimits) -> Result<Progress, BadRequest> {
        self.parse_by(limits, Reading::UsualFirst)
    }

    pub(super) fn parse_by(&mut self, limits: &HttpLimits, reading: Reading) -> Result<Progress, BadRequest> {
        if self.head_len != 0 {
            return Ok(Progress::Complete);
        }
        if !worth_a_look(&self.input, self.seen, limits.head) {
            return Ok(Progress::Partial);
        }
        let mut input = std::mem::take(&mut self.input);
        let window = window(&input, limits);
        let usual = match reading {
            Reading::UsualFirst => Usual::request(window, limits.fields, &mut self.fields),
            #[cfg(test)]
            Reading::Full => None,
        };
        let mut parsed = match usual {
            Some(usual) => self.take_usual(usual),
            None => self.read_in_full(window, limits),
        };
        if parsed == Err(BadRequest::Version) && lower_minor(request_version(&mut input)) {
            parsed = self.read_in_full(self::window(&input, limits), limits);
        }
        self.input = input;
        match parsed {
            Ok(Progress::Complete) => self.judge_target(limits),
            Ok(Progress::Partial) if self.input.len() >= limits.head => Err(self.too_large(limits)),
            Ok(Progress::Partial) => {
                self.seen = self.input.len();
                Ok(Progress::Partial)
            }
            Err(bad) => Err(bad),
        }
    }

    fn read_in_full(&mut self, window: &[u8], limits: &HttpLimits) -> Result<Progress, BadRequest> {
        with_room_for_fields!(limits, BadRequest::TooManyFields, |room| self.read(window, room))
    }

    fn too_large(&self, limits: &HttpLimits) -> BadRequest {
        let line = window(&self.input, limits).trim_ascii_start();
        if memchr::memchr(b'\n', line).is_none() { BadRequest::TargetTooLong } else { BadRequest::HeadTooLarge }
    }

    fn take_usual(&mut self, usual: Usual) -> Result<Progress, BadRequest> {
        (self.method, self.target, self.version) = (usual.method, usual.target, usual.version);
        self.fields_end = usual.fields_end as u32;
        self.bare_lf = false;
        self.judge(&usual.meaning, BodyLength::None)?;
        self.head_len = usual.head_len();
        Ok(Progress::Complete)
    }

    fn read<'b>(&mut self, input: &'b [u8], room: &mut [MaybeUninit<Header<'b>>]) -> Result<Progress, BadRequest> {
        let mut request = httparse::Request::new(&mut []);
        let parsed = request.parse_with_uninit_headers(input, room);
        let place = |part: &str| Text {
            added: false,
            start: (part.as_ptr() as usize).wrapping_sub(input.as_ptr() as usize) as u32,
            len: part.len() as u32,
        };
        self.method = request.method.map(place).unwrap_or_default();
        self.target = request.path.map(place).unwrap_or_default();
        let head_len = match parsed {
            Ok(httparse::Status::Complete(len)) => len,
            Ok(httparse::Status::Partial) => return Ok(Progress::Partial),
            Err(error) => return Err(explain_request(input, error)),
        };
        self.version = if request.version == Some(0) { Version::Http10 } else { Version::Http11 };
        self.fields.clear();
        let mut meaning = Meaning::default();
        let bare_lf = meaning.read(input, request.headers, &mut self.fields)?;
        let (fields_end, last_bare_lf) = end_of_fields(input, head_len);
        self.fields_end = fields_end as u32;
        self.bare_lf = bare_lf || last_bare_lf;
        self.judge(&meaning, BodyLength::None)?;
        self.head_len = head_len;
        Ok(Progress::Complete)
    }

    /// Holds the fields together against the rules. `unframed` is the body of a request without framing fields.
    pub(in crate::http) fn judge(&mut self, meaning: &Meaning, unframed: BodyLength) -> Result<(), BadRequest> {
        self.body = match (meaning.content_length, meaning.chunked) {
            (Some(_), true) => return Err(BadRequest::LengthAndChunked),
            (None, true) if self.version == Version::Http10 => return Err(BadRequest::TransferEncodingIn10),
            (None, true) => BodyLength::Chunked,
            (Some(length), false) => BodyLength::Length(length),
            (None, false) => unframed,
        };
        match meaning.hosts {
            0 if self.version == Version::Http11 => return Err(BadRequest::NoHost),
            0 | 1 => {}
            _ => return Err(BadRequest::ManyHosts),
        }
        if meaning.bad_host {
            return Err(BadRequest::Host);
        }
        if self.version != Version::Http10 && meaning.expects_other {
            return Err(BadRequest::Expect);
        }
        self.options = meaning.options;
        Ok(())
    }

    /// Finds path, query and authority (RFC 9112 §3.2).
    pub(in crate::http) fn judge_target(&mut self, limits: &HttpLimits) -> Result<Progress, BadRequest> {
        let judged = self.find_path(limits);
        if judged.is_err() {
            self.head_len = 0;
        }
        judged.map(|()| Progress::Complete)
    }

    fn find_path(&mut self, limits: &HttpLimits) -> Result<(), BadRequest> {
        if self.is_connect() {
            return Err(BadRequest::Connect);
        }
        let target = self.target();
        if target.len() > limits.target {
            return Err(BadRequest::TargetTooLong);
        }
        if !is_target(target) {
            return Err(BadRequest::Target);
        }
        if target.starts_with(b"/") || (target == b"*" && self.is_options()) {
            self.set_path_and_query(self.target);
            return Ok(());
        }
        let scheme_len = match target {
            [scheme @ .., _] if has_prefix(scheme, b"http://") => 7,
            [scheme @ .., _] if has_prefix(scheme, b"https://") => 8,
            _ => return Err(BadRequest::Target),
        };
        let behind = target.get(scheme_len..).unwrap_or_default();
        let authority_len = behind.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(behind.len());
        let (authority, path) = behind.split_at(authority_len);
        if authority.contains(&b'@') {
            return Err(BadRequest::UserInfo);
        }
        if authority.is_empty() || authority.starts_with(b":") || !is_host(authority) {
            return Err(BadRequest::Host);
        }
        let start = self.target.start + scheme_len as u32;
        let path_and_query = match path {
            [b'/', ..] => Text { added: false, start: start + authority_len as u32, len: path.len() as u32 },
            _ => {
                let root: &[u8] = if path.is_empty() && self.is_options() { b"*" } else { b"/" };
                let query = path.to_vec();
                let (start, len) = self.fields.stash(|out| {
                    out.extend_from_slice(root);
                    out.extend_from_slice(&query);
                });
                Text { added: true, start, len }
            }
        };
        self.authority = Some(Text { added: false, start, len: authority_len as u32 });
        self.set_path_and_query(path_and_query);
        Ok(())
    }
}

fn has_prefix(text: &[u8], prefix: &[u8]) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

impl ResponseHead {
    /// Looks whether the input holds a whole head, and checks all that can be wrong with it.
    ///
    /// Both Content-Length and Transfer-Encoding: chunked is what counts, the length is not sent on, and the connection
    /// is not used again. RFC 9112 §6.3 allows that; it is safe because our client sees one framing only and
    /// whatever stands behind the body dies with the connection; refusing would break servers that work today.
    ///
    /// # Errors
    /// [`BadResponse`]: answer 502 and close the server's connection.
    pub fn parse(&mut self, limits: &HttpLimits, to: ResponseTo) -> Result<Progress, BadResponse> {
        self.parse_by(limits, to, Reading::UsualFirst)
    }

    pub(super) fn parse_by(
        &mut self,
        limits: &HttpLimits,
        to: ResponseTo,
        reading: Reading,
    ) -> Result<Progress, BadResponse> {
        if self.head_len != 0 {
            return Ok(Progress::Complete);
        }
        if !worth_a_look(&self.input, self.seen, limits.head) {
            return Ok(Progress::Partial);
        }
        let mut input = std::mem::take(&mut self.input);
        let window = window(&input, limits);
        let usual = match reading {
            Reading::UsualFirst => Usual::response(window, limits.fields, &mut self.fields),
            #[cfg(test)]
            Reading::Full => None,
        };
        let mut parsed = match usual {
            Some(usual) => {
                (self.version, self.status, self.reason) = (usual.version, usual.status, usual.reason);
                self.bare_lf = false;
                self.judge(&usual.meaning, to, usual.fields_end, usual.head_len())
            }
            None => self.read_in_full(window, limits, to),
        };
        if parsed == Err(BadResponse::Version) && lower_minor(response_version(&mut input)) {
            parsed = self.read_in_full(self::window(&input, limits), limits, to);
        }
        self.input = input;
        if parsed == Ok(Progress::Partial) {
            self.seen = self.input.len();
            if self.input.len() >= limits.head {
                return Err(BadResponse::HeadTooLarge);
            }
        }
        parsed
    }

    fn read_in_full(&mut self, window: &[u8], limits: &HttpLimits, to: ResponseTo) -> Result<Progress, BadResponse> {
        with_room_for_fields!(limits, BadResponse::TooManyFields, |room| self.read(window, room, to))
    }

    fn read<'b>(
        &mut self,
        input: &'b [u8],
        room: &mut [MaybeUninit<Header<'b>>],
        to: ResponseTo,
    ) -> Result<Progress, BadResponse> {
        let mut response = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        let head_len = match config.parse_response_with_uninit_headers(&mut response, input, room) {
            Ok(httparse::Status::Complete(len)) => len,
            Ok(httparse::Status::Partial) => return Ok(Progress::Partial),
            Err(error) => return Err(explain_response(input, error)),
        };
        // Beyond 599 stand no statuses of the RFC's, but servers use some and clients take them for 5xx (RFC 9110 §15).
        self.status = match response.code {
            Some(status @ 100..=999) => status,
            _ => return Err(BadResponse::Status),
        };
        self.version = if response.version == Some(0) { Version::Http10 } else { Version::Http11 };
        self.reason = find_reason(input);
        self.fields.clear();
        let mut meaning = Meaning::default();
        let bare_lf = meaning.read(input, response.headers, &mut self.fields)?;
        let (fields_end, last_bare_lf) = end_of_fields(input, head_len);
        self.bare_lf = bare_lf || last_bare_lf;
        self.judge(&meaning, to, fields_end, head_len)
    }

    /// Holds the fields together against the rules. With them the head is complete.
    fn judge(
        &mut self,
        meaning: &Meaning,
        to: ResponseTo,
        fields_end: usize,
        head_len: usize,
    ) -> Result<Progress, BadResponse> {
        self.fields_end = fields_end as u32;
        if meaning.chunked && self.version == Version::Http10 {
            return Err(BadResponse::TransferEncodingIn10);
        }
        self.announced = match (meaning.content_length, meaning.chunked) {
            (_, true) => BodyLength::Chunked,
            (Some(length), false) => BodyLength::Length(length),
            (None, false) => BodyLength::UntilClose,
        };
        self.body = if has_body(self.status, to) { self.announced } else { BodyLength::None };
        self.ambiguous = meaning.chunked && meaning.content_length.is_some();
        self.options = meaning.options;
        self.head_len = head_len;
        Ok(Progress::Complete)
    }
}

/// The reason phrase: what follows `HTTP/1.1 200 ` on the first line.
fn find_reason(input: &[u8]) -> Text {
    let first = input.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(0);
    let line_end = memchr::memchr(b'\n', input.get(first..).unwrap_or_default()).map_or(input.len(), |at| first + at);
    let start = (first + b"HTTP/1.1 200 ".len()).min(line_end);
    let reason = input.get(start..line_end).unwrap_or_default();
    let len = reason.strip_suffix(b"\r").unwrap_or(reason).len();
    Text { added: false, start: start as u32, len: len as u32 }
}
