//! What do the framing and connection fields of one head say together? Shared by requests and responses.

use httparse::Header;

use super::scan::is_host;
use super::{BadRequest, BadResponse};
use crate::http::fields::{Field, Fields, Known};
use crate::http::framing::{ConnectionOptions, content_length, is_chunked, tokens};

/// What the framing and connection fields of one head say together.
#[derive(Debug, Default)]
pub(in crate::http) struct Meaning {
    pub content_length: Option<u64>,
    pub chunked: bool,
    pub options: ConnectionOptions,
    pub hosts: usize,
    pub bad_host: bool,
    pub expects_other: bool,
}

/// A framing field nobody can act on safely.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) enum BadFraming {
    ContentLength,
    ContentLengthsDiffer,
    TransferEncoding,
}

impl From<BadFraming> for BadRequest {
    fn from(bad: BadFraming) -> Self {
        match bad {
            BadFraming::ContentLength => BadRequest::ContentLength,
            BadFraming::ContentLengthsDiffer => BadRequest::ContentLengthsDiffer,
            BadFraming::TransferEncoding => BadRequest::TransferEncoding,
        }
    }
}

impl From<BadFraming> for BadResponse {
    fn from(bad: BadFraming) -> Self {
        match bad {
            BadFraming::ContentLength => BadResponse::ContentLength,
            BadFraming::ContentLengthsDiffer => BadResponse::ContentLengthsDiffer,
            BadFraming::TransferEncoding => BadResponse::TransferEncoding,
        }
    }
}

impl Meaning {
    /// Takes one field in. `Ok(false)`: a repetition that must not be sent on.
    #[inline]
    pub fn add(&mut self, known: Known, value: &[u8]) -> Result<bool, BadFraming> {
        match known {
            Known::ContentLength => {
                let length = content_length(value).ok_or(BadFraming::ContentLength)?;
                match self.content_length.replace(length) {
                    None => {}
                    Some(before) if before == length => return Ok(false),
                    Some(_) => return Err(BadFraming::ContentLengthsDiffer),
                }
            }
            Known::TransferEncoding => {
                if self.chunked || !is_chunked(value) {
                    return Err(BadFraming::TransferEncoding);
                }
                self.chunked = true;
            }
            Known::Connection => self.options.add(value),
            Known::Host => {
                self.hosts += 1;
                self.bad_host |= !is_host(value);
            }
            Known::Expect => {
                self.expects_other |= tokens(value).any(|token| !token.eq_ignore_ascii_case(b"100-continue"));
            }
            _ => {}
        }
        Ok(true)
    }

    /// Reads all fields into the list; tells whether some line ended in a lone LF.
    pub fn read(&mut self, input: &[u8], headers: &[Header<'_>], fields: &mut Fields) -> Result<bool, BadFraming> {
        let offset = |part: &[u8]| (part.as_ptr() as usize).wrapping_sub(input.as_ptr() as usize);
        let mut bare_lf = false;
        for header in headers {
            let (name, value) = (header.name.as_bytes(), header.value);
            let at = offset(name);
            bare_lf |= input.get(at.wrapping_sub(2)) != Some(&b'\r');
            self.take(Line { at, name, value_at: offset(value), value }, fields)?;
        }
        Ok(bare_lf)
    }

    /// Takes one line in, and puts it into the list.
    #[inline]
    pub fn take(&mut self, line: Line<'_>, fields: &mut Fields) -> Result<(), BadFraming> {
        let Line { at, name, value_at, value } = line;
        let known = Known::of(name);
        let keep = known == Known::Other || self.add(known, value)?;
        let value_at = if value.is_empty() { at + name.len() } else { value_at };
        fields.push_received(Field {
            start: at as u32,
            name_len: name.len() as u32,
            value_start: value_at as u32,
            value_len: value.len() as u32,
            known,
            removed: !keep,
        });
        Ok(())
    }
}

/// One field line, and where its name and its value stand in the head. Where an empty value stands does not matter.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct Line<'a> {
    pub at: usize,
    pub name: &'a [u8],
    pub value_at: usize,
    pub value: &'a [u8],
}

/// Where the empty line that ends a head of this length starts, and whether the line before it ended in a lone LF.
pub(super) fn end_of_fields(input: &[u8], head_len: usize) -> (usize, bool) {
    let empty = if head_len >= 2 && input.get(head_len - 2) == Some(&b'\r') { 2 } else { 1 };
    let end = head_len - empty;
    (end, end < 2 || input.get(end - 2) != Some(&b'\r'))
}
