//! Which messages are taken, which are refused, and what is sent on? Tables of everything known to be used for
//! smuggling, and the properties that must hold for any input. In all texts `|` stands for CR LF.

mod properties;
mod requests;
mod responses;
mod sending;

use super::h1::BadResponse;
use super::*;
use crate::model::global::HttpLimits;

/// Parses a request that must be whole.
pub(super) fn request(text: &str) -> Result<RequestHead, BadRequest> {
    let mut head = RequestHead::new();
    head.input().extend_from_slice(text.replace('|', "\r\n").as_bytes());
    match head.parse(&HttpLimits::default())? {
        Progress::Complete => Ok(head),
        Progress::Partial => panic!("not a whole head: {text}"),
    }
}

pub(super) fn response(text: &str, to: ResponseTo) -> Result<ResponseHead, BadResponse> {
    let mut head = ResponseHead::new();
    head.input().extend_from_slice(text.replace('|', "\r\n").as_bytes());
    match head.parse(&HttpLimits::default(), to)? {
        Progress::Complete => Ok(head),
        Progress::Partial => panic!("not a whole head: {text}"),
    }
}

pub(super) fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace("\r\n", "|")
}

pub(super) const KEEP: EncodeRequest<'static> = EncodeRequest { keep_alive: true, keep_upgrade: true, extra: &[] };
