//! HTTP/1 messages: parsing, framing, rewriting. Pure: bytes in, bytes out.
//!
//! A [`RequestHead`] or [`ResponseHead`] owns the bytes it was parsed from and is used again for the next message, so a
//! keep-alive exchange allocates nothing. What two readers could understand differently is refused (RFC 9112 §11).
//! Knows nothing of sockets, time or configuration beyond [`HttpLimits`](crate::model::global::HttpLimits).

pub(crate) mod body;
#[cfg(test)]
mod corpus;
pub(crate) mod error_page;
pub(crate) mod fields;
pub(crate) mod forwarded;
pub(crate) mod framing;
pub(crate) mod h1;
pub(crate) mod head;
pub(crate) mod hop_by_hop;
mod parts;
pub(crate) mod response;

pub(crate) use body::{BadBody, BodyReader};
pub(crate) use fields::FieldsView;
pub(crate) use framing::BodyLength;
pub(crate) use h1::BadRequest;
pub(crate) use h1::case::respell;
pub(crate) use h1::chunked::{
    ChunkedDecoder, LAST_CHUNK, Piece, chunk_header, end_chunks, end_chunks_with, write_trailers,
};
pub(crate) use h1::encode::{EncodeRequest, EncodeResponse, Framing, encode_request, encode_response};
pub(crate) use head::{Progress, RequestHead, Version};
pub(crate) use parts::{ExtendedConnect, RequestParts};
pub(crate) use response::{ResponseHead, ResponseTo};
