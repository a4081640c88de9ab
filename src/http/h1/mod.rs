//! HTTP/1.x on the wire, and what can be wrong with it.

pub(crate) mod case;
pub(crate) mod chunked;
pub(crate) mod encode;
pub(in crate::http) mod meaning;
pub(crate) mod parse;
pub(in crate::http) mod scan;
mod usual;

use std::fmt;

/// Why a request was refused. [`BadRequest::status`] says what to answer; the connection is closed behind it,
/// because where the next request starts is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadRequest {
    RequestLine,
    Method,
    Target,
    UserInfo,
    Connect,
    Version,
    FieldName,
    SpaceBeforeColon,
    ObsFold,
    FieldValue,
    BareCr,
    ContentLength,
    ContentLengthsDiffer,
    LengthAndChunked,
    TransferEncoding,
    TransferEncodingIn10,
    NoHost,
    ManyHosts,
    Host,
    Expect,
    TargetTooLong,
    HeadTooLarge,
    TooManyFields,
}

impl BadRequest {
    /// The status to answer with.
    pub fn status(self) -> u16 {
        match self {
            BadRequest::Connect => 501,
            BadRequest::Version => 505,
            BadRequest::Expect => 417,
            BadRequest::TargetTooLong => 414,
            BadRequest::HeadTooLarge | BadRequest::TooManyFields => 431,
            _ => 400,
        }
    }
}

impl fmt::Display for BadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadRequest::RequestLine => "the request line is not `method target version`",
            BadRequest::Method => "the method has a character no method may have",
            BadRequest::Target => "the request target is malformed",
            BadRequest::UserInfo => "the request target holds user information",
            BadRequest::Connect => "the CONNECT method is not served",
            BadRequest::Version => "the HTTP version is not 1.0 or 1.1",
            BadRequest::FieldName => "a field name is empty or has a character no name may have",
            BadRequest::SpaceBeforeColon => "there is white space between a field name and its colon",
            BadRequest::ObsFold => "a field is folded over two lines",
            BadRequest::FieldValue => "a field value has a control character",
            BadRequest::BareCr => "there is a carriage return without a line feed",
            BadRequest::ContentLength => "content-length is not a number",
            BadRequest::ContentLengthsDiffer => "there are two different content-lengths",
            BadRequest::LengthAndChunked => "there are both content-length and transfer-encoding",
            BadRequest::TransferEncoding => "transfer-encoding is not `chunked`",
            BadRequest::TransferEncodingIn10 => "there is transfer-encoding in HTTP/1.0",
            BadRequest::NoHost => "there is no host field",
            BadRequest::ManyHosts => "there are several host fields",
            BadRequest::Host => "the host is malformed",
            BadRequest::Expect => "the expectation is not `100-continue`",
            BadRequest::TargetTooLong => "the request line is longer than a head may be",
            BadRequest::HeadTooLarge => "the head is larger than allowed",
            BadRequest::TooManyFields => "there are more fields than allowed",
        })
    }
}

impl std::error::Error for BadRequest {}

/// Why a server's response was refused. The client gets 502, the server's connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadResponse {
    StatusLine,
    Version,
    Status,
    FieldName,
    SpaceBeforeColon,
    ObsFold,
    FieldValue,
    BareCr,
    ContentLength,
    ContentLengthsDiffer,
    TransferEncoding,
    TransferEncodingIn10,
    HeadTooLarge,
    TooManyFields,
}

impl fmt::Display for BadResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadResponse::StatusLine => "the status line is not `version status reason`",
            BadResponse::Version => "the HTTP version is not 1.0 or 1.1",
            BadResponse::Status => "the status is not between 100 and 999",
            BadResponse::FieldName => "a field name is empty or has a character no name may have",
            BadResponse::SpaceBeforeColon => "there is white space between a field name and its colon",
            BadResponse::ObsFold => "a field is folded over two lines",
            BadResponse::FieldValue => "a field value has a control character",
            BadResponse::BareCr => "there is a carriage return without a line feed",
            BadResponse::ContentLength => "content-length is not a number",
            BadResponse::ContentLengthsDiffer => "there are two different content-lengths",
            BadResponse::TransferEncoding => "transfer-encoding is not `chunked`",
            BadResponse::TransferEncodingIn10 => "there is transfer-encoding in HTTP/1.0",
            BadResponse::HeadTooLarge => "the head is larger than allowed",
            BadResponse::TooManyFields => "there are more fields than allowed",
        })
    }
}

impl std::error::Error for BadResponse {}
