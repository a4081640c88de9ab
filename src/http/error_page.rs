//! What does a client see when the proxy itself must refuse or cannot serve?

use super::framing::BodyLength;
use super::head::Progress;
use super::response::{ResponseHead, ResponseTo, reason_of};
use crate::model::global::HttpLimits;

/// A sentence for people, where the status alone does not say it (HAProxy's own words where it has a page).
fn explanation(status: u16) -> &'static str {
    match status {
        400 => "Your browser sent an invalid request.",
        401 => "You need a valid user and password to access this content.",
        403 => "Request forbidden by administrative rules.",
        404 => "The resource could not be found.",
        405 => "A request was made of a resource using a request method not supported by that resource.",
        407 => "Authentication is required to use this proxy.",
        408 => "Your browser didn't send a complete request in time.",
        410 => "The resource is no longer available and will not be available again.",
        413 => "The request's content is larger than the server will accept.",
        414 => "The request's address is longer than the server will accept.",
        417 => "The request's expectation cannot be met.",
        425 => "Your browser sent early data.",
        429 => "You have sent too many requests in a given amount of time.",
        431 => "The request's header fields are larger than the server will accept.",
        500 => "An internal server error occurred.",
        501 => "The server does not support the functionality required to fulfill the request.",
        502 => "The server returned an invalid or incomplete response.",
        503 => "No server is available to handle this request.",
        504 => "The server didn't respond in time.",
        505 => "The request's HTTP version is not served.",
        _ => "",
    }
}

/// The same page as a head and a body, for clients that speak no HTTP/1. Whether the body is sent,
/// [`ResponseHead::body`] tells: to HEAD it is not.
pub(crate) fn prepare(status: u16, custom: Option<&[u8]>, to: ResponseTo, head: &mut ResponseHead) -> Vec<u8> {
    if let Some(body) = custom.and_then(|raw| prepare_custom(raw, to, head)) {
        return body;
    }
    let reason = reason_of(status);
    let body =
        format!("<html><body><h1>{status} {reason}</h1>\n{}\n</body></html>\n", explanation(status)).into_bytes();
    head.start(status, BodyLength::Length(body.len() as u64), to);
    head.add_field(b"Cache-Control", b"no-cache");
    head.add_field(b"Content-Type", b"text/html");
    body
}

fn prepare_custom(raw: &[u8], to: ResponseTo, head: &mut ResponseHead) -> Option<Vec<u8>> {
    let mut parsed = ResponseHead::new();
    parsed.input().extend_from_slice(raw);
    let limits = HttpLimits { head: raw.len().saturating_add(1), ..HttpLimits::default() };
    // As for HEAD: a page's framing is not read, its body is all that follows its head.
    if parsed.parse(&limits, ResponseTo::Head) != Ok(Progress::Complete) || parsed.status() < 200 {
        return None;
    }
    let body = parsed.rest().to_vec();
    head.start(parsed.status(), BodyLength::Length(body.len() as u64), to);
    head.set_status_reason(parsed.status(), parsed.reason());
    for (name, value) in parsed.end_to_end().filter(|(name, _)| !name.eq_ignore_ascii_case(b"content-length")) {
        head.add_field(name, value);
    }
    Some(body)
}

#[cfg(test)]
mod tests {
    use super::super::h1::encode::{EncodeResponse, encode_response};
    use super::super::head::Version;
    use super::*;

    /// To whom a page goes.
    #[derive(Debug, Clone, Copy)]
    struct PageFor {
        client: Version,
        to: ResponseTo,
        keep_alive: bool,
    }

    /// Appends a whole response. `custom` is the operator's page, a raw HTTP/1 response with its head, whose status and
    /// fields are kept; framing and Connection are written to fit this client. Without one, or if it does not parse, the
    /// built-in page is sent. For HEAD the body is left out, its length told.
    fn render(status: u16, custom: Option<&[u8]>, page: PageFor, out: &mut Vec<u8>) {
        let mut head = ResponseHead::new();
        let body = prepare(status, custom, page.to, &mut head);
        let options = EncodeResponse {
            client: page.client,
            keep_alive: page.keep_alive && page.client != Version::Http2,
            keep_upgrade: false,
            no_store: false,
            extra: &[],
        };
        encode_response(&head, options, out);
        if !head.body().is_empty() {
            out.extend_from_slice(&body);
        }
    }

    #[track_caller]
    fn check(status: u16, custom: Option<&str>, page: PageFor, expected: &str) {
        let custom = custom.map(|text| text.replace('|', "\r\n"));
        let mut out = Vec::new();
        render(status, custom.as_deref().map(str::as_bytes), page, &mut out);
        assert_eq!(String::from_utf8_lossy(&out).replace("\r\n", "|"), expected);
    }

    const CLOSE: PageFor = PageFor { client: Version::Http11, to: ResponseTo::Other, keep_alive: false };
    const KEEP: PageFor = PageFor { keep_alive: true, ..CLOSE };
    const HEAD: PageFor = PageFor { to: ResponseTo::Head, ..CLOSE };

    #[test]
    fn the_built_in_page_says_what_happened() {
        let fields = "Cache-Control: no-cache|Content-Type: text/html|Content-Length: 107|";
        let body = "<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n\
                    </body></html>\n";
        check(503, None, CLOSE, &format!("HTTP/1.1 503 Service Unavailable|{fields}Connection: close||{body}"));
        check(503, None, KEEP, &format!("HTTP/1.1 503 Service Unavailable|{fields}|{body}"));
        check(503, None, HEAD, &format!("HTTP/1.1 503 Service Unavailable|{fields}Connection: close||"));
    }

    #[test]
    fn an_operators_page_keeps_its_words_and_gets_sound_framing() {
        let page = "HTTP/1.0 503 Gone Fishing|Content-Length: 999|Connection: keep-alive|X: 1|Retry-After: 5||<b>|</b>";
        let sent = "HTTP/1.1 503 Gone Fishing|X: 1|Retry-After: 5|Content-Length: 9|Connection: close||<b>|</b>";
        check(503, Some(page), CLOSE, sent);
        check(500, Some("HTTP/1.0 200||x"), KEEP, "HTTP/1.1 200 |Content-Length: 1||x");
    }

    #[test]
    fn a_page_that_does_not_parse_falls_back_to_the_built_in_one() {
        let mut out = Vec::new();
        render(504, Some(b"<html>no head</html>"), CLOSE, &mut out);
        assert!(out.starts_with(b"HTTP/1.1 504 Gateway Timeout\r\n"));
    }
}
