//! The head of a request as HTTP/2 carries it to a server (RFC 9113 §8.3.1).

use std::io;

use h2::ext::Protocol;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Uri, Version};

use super::super::http2_io::{TooManyFields, append};
use super::http2::Http2Connection;
use crate::http::RequestHead;

/// The head as h2 takes it. `websocket`: the request is for one, by extended CONNECT (RFC 8441 §4).
///
/// # Errors
/// HTTP/2 cannot carry it.
pub(super) fn http2_request(
    head: &RequestHead,
    connection: &Http2Connection,
    websocket: bool,
) -> io::Result<Request<()>> {
    let bad = |error: http::Error| io::Error::new(io::ErrorKind::InvalidInput, error);
    let host = head.host().filter(|host| !host.is_empty()).unwrap_or(connection.authority.as_bytes());
    let authority = Authority::try_from(host).or_else(|_| Authority::try_from("localhost"));
    let uri = Uri::builder()
        .scheme(if connection.is_tls { Scheme::HTTPS } else { Scheme::HTTP })
        .authority(authority.map_err(|error| bad(error.into()))?)
        .path_and_query(path_and_query(head.path_and_query()).map_err(|error| bad(error.into()))?)
        .build()
        .map_err(bad)?;
    let mut request = Request::new(());
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = uri;
    *request.method_mut() = Method::from_bytes(head.method()).map_err(|error| bad(error.into()))?;
    if websocket {
        *request.method_mut() = Method::CONNECT;
        request.extensions_mut().insert(Protocol::from_static("websocket"));
    }
    let fields = request.headers_mut();
    for (name, value) in head.end_to_end() {
        let only_http1 = name.eq_ignore_ascii_case(b"sec-websocket-key") && websocket;
        if !only_http1 {
            append(fields, name, value).map_err(too_many)?;
        }
    }
    if head.te_trailers() {
        append(fields, b"te", b"trailers").map_err(too_many)?;
    }
    Ok(request)
}

fn too_many(error: TooManyFields) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

/// Bytes our parser lets pass and the library does not are percent-encoded, which means the same (RFC 3986 §2.1).
fn path_and_query(text: &[u8]) -> Result<PathAndQuery, http::uri::InvalidUri> {
    PathAndQuery::try_from(text).or_else(|_| {
        let mut encoded = String::with_capacity(text.len() + 16);
        for byte in text {
            match *byte {
                b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                    encoded.push_str(&format!("%{byte:02X}"))
                }
                byte => encoded.push(char::from(byte)),
            }
        }
        PathAndQuery::try_from(encoded)
    })
}
