//! A health check over HTTP/2 (`check-proto h2`): one request on a connection of its own.
//!
//! The answer is written out as HTTP/1 and judged by the dialog that judges all answers.

use std::error::Error;
use std::io::Write;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::http::{LAST_CHUNK, chunk_header};
use crate::model::check::HttpCheck;
use crate::model::global::HttpLimits;
use crate::wire::check_dialog::{HttpDialog, Judgement};

/// Fields of HTTP/1 connections, which HTTP/2 has no place for (RFC 9113 §8.2.2).
const CONNECTION_FIELDS: [&str; 6] =
    ["host", "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

/// Asks once. Never waits longer than the caller lets it.
///
/// # Errors
/// The server does not speak HTTP/2, broke the protocol or closed; or what is to be asked cannot be asked in it.
pub(super) async fn ask<S>(
    stream: S,
    check: &HttpCheck,
    target: &str,
    is_tls: bool,
    limits: HttpLimits,
) -> Result<Judgement, Box<dyn Error + Send + Sync>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let request = request(check, target, is_tls)?;
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    let mut links = tokio::task::JoinSet::new(); // ends with this check
    links.spawn(connection);
    let (head, mut body) = sender.send_request(request).await?.into_parts();
    let mut text = Vec::new();
    write!(text, "HTTP/1.1 {} {}\r\n", head.status.as_u16(), head.status.canonical_reason().unwrap_or_default())?;
    let chunked = !head.headers.contains_key(http::header::CONTENT_LENGTH) && check.method != "HEAD";
    if chunked {
        text.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    for (name, value) in &head.headers {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    let mut dialog = HttpDialog::new(check, limits);
    loop {
        if let Some(judgement) = dialog.feed(&text) {
            return Ok(judgement);
        }
        text.clear();
        match body.frame().await {
            None if chunked => {
                let end = dialog.feed(LAST_CHUNK);
                return Ok(end.unwrap_or_else(|| dialog.closed()));
            }
            None => return Ok(dialog.closed()),
            Some(frame) => {
                let Ok(data) = frame?.into_data() else { continue };
                if chunked && !data.is_empty() {
                    chunk_header(data.len(), &mut text);
                }
                text.extend_from_slice(&data);
                if chunked && !data.is_empty() {
                    text.extend_from_slice(b"\r\n");
                }
            }
        }
    }
}

fn request(check: &HttpCheck, target: &str, is_tls: bool) -> Result<Request<Full<Bytes>>, http::Error> {
    let host = check.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
    let host = host.map_or(target, |(_, value)| value);
    let uri = Uri::builder()
        .scheme(if is_tls { Scheme::HTTPS } else { Scheme::HTTP })
        .authority(Authority::try_from(host)?)
        .path_and_query(PathAndQuery::try_from(check.uri.as_str())?)
        .build()?;
    let mut request = Request::new(Full::new(Bytes::copy_from_slice(&check.body)));
    *request.version_mut() = Version::HTTP_2;
    *request.method_mut() = Method::from_bytes(check.method.as_bytes())?;
    *request.uri_mut() = uri;
    for (name, value) in &check.headers {
        if !CONNECTION_FIELDS.iter().any(|field| name.eq_ignore_ascii_case(field)) {
            request.headers_mut().append(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_str(value)?);
        }
    }
    Ok(request)
}
