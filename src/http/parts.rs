//! How does an HTTP/2 request become the same head an HTTP/1 request is? Its text is written out as HTTP/1 would have
//! it and indexed on the way, so that rules, forwarding and sending on know one kind of head only.

use super::fields::{Field, Known};
use super::framing::BodyLength;
use super::h1::BadRequest;
use super::h1::meaning::Meaning;
use super::h1::scan::{is_field_value, is_token};
use super::head::{RequestHead, Text, Version};
use crate::model::global::HttpLimits;

/// What an HTTP/2 request says about itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestParts<'a> {
    /// `GET` for an extended CONNECT, as HTTP/1 has it.
    pub method: &'a [u8],
    pub authority: Option<&'a [u8]>,
    /// `:80` or `:443`, by the scheme; nothing for others.
    pub default_port: &'a [u8],
    pub path_and_query: &'a [u8],
    /// The stream did not end with its head.
    pub has_body: bool,
    pub extended_connect: Option<ExtendedConnect<'a>>,
}

/// RFC 8441: the protocol wanted, and the key an HTTP/1 server is given for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExtendedConnect<'a> {
    pub protocol: &'a [u8],
    pub key: &'a [u8],
}

/// Case and a port that goes without saying make no difference (RFC 9110 §4.2.3).
fn names_the_same_host(one: &[u8], other: &[u8], default_port: &[u8]) -> bool {
    let [one, other] = [one, other].map(|host| host.strip_suffix(default_port).unwrap_or(host));
    one.eq_ignore_ascii_case(other)
}

impl RequestHead {
    /// Builds the head of an HTTP/2 request from its pseudo-header fields and fields (RFC 9113 §8.3). Host comes from
    /// `:authority`; cookie lines are joined with `; ` (§8.2.3).
    ///
    /// # Errors
    /// As [`parse`](Self::parse): the same rules hold. Answer the status; the connection can live on.
    #[allow(clippy::wrong_self_convention)] // fills a head that is used again and again
    pub fn from_parts<'f>(
        &mut self,
        parts: RequestParts<'_>,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
        limits: &HttpLimits,
    ) -> Result<(), BadRequest> {
        let RequestParts { method, authority, default_port, path_and_query, has_body, extended_connect } = parts;
        self.clear();
        self.version = Version::Http2;
        self.method = self.append(method, b" ");
        self.target = self.append(path_and_query, b" HTTP/2.0\r\n");
        if !is_token(method) {
            return Err(BadRequest::Method);
        }
        let mut meaning = Meaning::default();
        if let Some(authority) = authority {
            if authority.contains(&b'@') {
                return Err(BadRequest::UserInfo);
            }
            self.append_field(&mut meaning, b"host", authority)?;
            let host = self.fields.received().last();
            self.pseudo_authority =
                host.map(|host| Text { added: false, start: host.value_start, len: host.value_len });
        }
        let mut cookies = Vec::new();
        for (name, value) in fields {
            if name.eq_ignore_ascii_case(b"cookie") {
                cookies.extend_from_slice(if cookies.is_empty() { b"" } else { b"; " });
                cookies.extend_from_slice(value);
            } else if let Some(authority) = authority
                && name.eq_ignore_ascii_case(b"host")
            {
                if !names_the_same_host(authority, value, default_port) {
                    return Err(BadRequest::ManyHosts);
                }
            } else if extended_connect.is_some() && name.eq_ignore_ascii_case(b"sec-websocket-key") {
                // HTTP/2 has none; its server gets ours.
            } else {
                self.append_field(&mut meaning, name, value)?;
            }
            if self.input.len() + cookies.len() > limits.head {
                return Err(BadRequest::HeadTooLarge);
            }
        }
        if !cookies.is_empty() {
            self.append_field(&mut meaning, b"cookie", &cookies)?;
        }
        if let Some(ExtendedConnect { protocol, key }) = extended_connect {
            self.extended_connect = true;
            self.append_field(&mut meaning, b"connection", b"upgrade")?;
            self.append_field(&mut meaning, b"upgrade", protocol)?;
            self.append_field(&mut meaning, b"sec-websocket-key", key)?;
        }
        if self.fields.received().len() > limits.fields {
            return Err(BadRequest::TooManyFields);
        }
        if meaning.hosts == 0 {
            return Err(BadRequest::NoHost);
        }
        if meaning.chunked {
            return Err(BadRequest::TransferEncoding);
        }
        self.judge(&meaning, if has_body { BodyLength::Chunked } else { BodyLength::None })?;
        self.fields_end = self.input.len() as u32;
        self.input.extend_from_slice(b"\r\n");
        self.head_len = self.input.len();
        self.judge_target(limits).map(|_| ())
    }

    /// Appends text and what stands behind it; returns where the text is.
    fn append(&mut self, text: &[u8], behind: &[u8]) -> Text {
        let start = self.input.len() as u32;
        self.input.extend_from_slice(text);
        self.input.extend_from_slice(behind);
        Text { added: false, start, len: text.len() as u32 }
    }

    fn append_field(&mut self, meaning: &mut Meaning, name: &[u8], value: &[u8]) -> Result<(), BadRequest> {
        if !is_token(name) {
            return Err(BadRequest::FieldName);
        }
        if !is_field_value(value) {
            return Err(BadRequest::FieldValue);
        }
        let known = Known::of(name);
        let keep = meaning.add(known, value)?;
        let name = self.append(name, b": ");
        let value = self.append(value, b"\r\n");
        self.fields.push_received(Field {
            start: name.start,
            name_len: name.len,
            value_start: value.start,
            value_len: value.len,
            known,
            removed: !keep,
        });
        Ok(())
    }
}
