//! What does a server get to see of a request?

use super::super::*;
use super::{KEEP, request, show};
use crate::model::global::HttpLimits;

#[track_caller]
fn sent(text: &str, options: EncodeRequest<'_>, expected: &str) {
    let mut out = Vec::new();
    encode_request(&request(text).unwrap(), options, &mut out);
    assert_eq!(show(&out), expected);
}

#[test]
fn requests_go_on_with_order_case_and_spacing() {
    sent("GET /a?b HTTP/1.1|hOsT:  h |X-a:1|Accept: */*||", KEEP, "GET /a?b HTTP/1.1|hOsT:  h |X-a:1|Accept: */*||");
    sent("||GET / HTTP/1.1\nHost: h\nX:\t1\n\n", KEEP, "GET / HTTP/1.1|Host: h|X: 1||");
    sent("GET / HTTP/1.1|Host: h\nX:\t1||", KEEP, "GET / HTTP/1.1|Host: h|X: 1||");
    let options = EncodeRequest { keep_alive: false, keep_upgrade: false, extra: &[("Via", b"1.1 me")] };
    sent("GET / HTTP/1.1|Host: h||", options, "GET / HTTP/1.1|Host: h|Connection: close|Via: 1.1 me||");
}

#[test]
fn requests_lose_what_is_for_one_hop_only() {
    sent(
        "GET / HTTP/1.1|Connection: keep-alive, X-A, host, Authorization, x-forwarded-for, Content-Length|Host: h|\
         X-A: 1|X-B: 2|Keep-Alive: 5|Proxy-Connection: x|TE: gzip|Authorization: s|X-Forwarded-For: 1|Upgrade: h2c||",
        KEEP,
        "GET / HTTP/1.1|Host: h|X-B: 2|Authorization: s|X-Forwarded-For: 1||",
    );
    sent(
        "GET / HTTP/1.1|Host: h|Connection: TE|TE: trailers, deflate||",
        KEEP,
        "GET / HTTP/1.1|Host: h|TE: trailers|Connection: TE||",
    );
    sent(
        "GET / HTTP/1.1|Host: h|Connection: Upgrade|Upgrade: websocket|Sec-WebSocket-Key: k||",
        KEEP,
        "GET / HTTP/1.1|Host: h|Sec-WebSocket-Key: k|Connection: upgrade|Upgrade: websocket||",
    );
    sent(
        "POST / HTTP/1.1|Host: h|Connection: Upgrade|Upgrade: websocket|Content-Length: 1||",
        KEEP,
        "POST / HTTP/1.1|Host: h|Content-Length: 1||",
    );
}

#[test]
fn requests_are_framed_anew_where_the_spelling_is_odd() {
    sent(
        "POST / HTTP/1.1|Host: h|Transfer-Encoding:\tCHUNKED|X: 1||",
        KEEP,
        "POST / HTTP/1.1|Host: h|X: 1|Transfer-Encoding: chunked||",
    );
    sent("POST / HTTP/1.1|Host: h|Content-Length:  5|X: 1||", KEEP, "POST / HTTP/1.1|Host: h|X: 1|Content-Length: 5||");
    sent("POST / HTTP/1.1|Host: h|Content-Length: 5|X: 1||", KEEP, "POST / HTTP/1.1|Host: h|Content-Length: 5|X: 1||");
    sent(
        "POST / HTTP/1.1|Host: h|Content-Length: 5|X: 1|Content-Length: 5||",
        KEEP,
        "POST / HTTP/1.1|Host: h|Content-Length: 5|X: 1||",
    );
}

#[test]
fn targets_go_on_in_origin_form_with_the_host_that_counts() {
    sent("GET http://a:81/p?q HTTP/1.1|X: 1|Host: b||", KEEP, "GET /p?q HTTP/1.1|Host: a:81|X: 1||");
    sent("GET http://a HTTP/1.0||", KEEP, "GET / HTTP/1.1|Host: a||");
    sent("OPTIONS http://a HTTP/1.1|Host: a||", KEEP, "OPTIONS * HTTP/1.1|Host: a||");
    sent("GET / HTTP/1.0|Host: a||", KEEP, "GET / HTTP/1.1|Host: a||");
    sent("GET / HTTP/1.0||", KEEP, "GET / HTTP/1.0|Connection: keep-alive||");
    sent("GET / HTTP/1.0||", EncodeRequest::default(), "GET / HTTP/1.0|Connection: close||");
    sent(
        "POST / HTTP/1.0|Host: a|Expect: 100-continue|Content-Length: 1||",
        KEEP,
        "POST / HTTP/1.1|Host: a|Content-Length: 1||",
    );
}

#[test]
fn edits_go_on_but_cannot_break_framing() {
    let mut head = request("POST / HTTP/1.1|Host: h|Content-Length: 5|A: 1|B: 2||").unwrap();
    head.set_field(b"a", b"x");
    head.remove_field(b"B");
    head.add_field(b"C", b"1\r\nEvil: 1");
    head.set_field(b"Content-Length", b"99");
    head.add_field(b"Transfer-Encoding", b"chunked");
    head.set_target(b"/n\r\new?q");
    let mut out = Vec::new();
    encode_request(&head, KEEP, &mut out);
    assert_eq!(show(&out), "POST /n%0D%0Aew?q HTTP/1.1|Host: h|a: x|C: 1  Evil: 1|Content-Length: 5||");
    assert_eq!((head.path(), head.query()), (&b"/n%0D%0Aew"[..], Some(&b"q"[..])));

    head.set_field(b"Host", b"new");
    head.add_field(b"Host", b"newer");
    assert_eq!(head.host(), Some(&b"newer"[..]));
    out.clear();
    encode_request(&head, KEEP, &mut out);
    assert!(show(&out).contains("HTTP/1.1|Host: newer|a: x"), "{}", show(&out));
    assert!(!show(&out).contains("new|"), "{}", show(&out));

    head.remove_field(b"Host");
    out.clear();
    encode_request(&head, KEEP, &mut out);
    assert!(show(&out).contains("HTTP/1.1|Host: |a: x"), "{}", show(&out));
}

#[test]
fn http2_requests_become_the_same_head() {
    let limits = HttpLimits::default();
    let build = |authority: Option<&str>, fields: &[(&str, &str)], body: bool| {
        let mut head = RequestHead::new();
        let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let parts = RequestParts {
            method: b"GET",
            authority: authority.map(str::as_bytes),
            default_port: b":80",
            path_and_query: b"/p?q",
            has_body: body,
            extended_connect: None,
        };
        head.from_parts(parts, fields, &limits).map(|()| head)
    };
    let head = build(Some("h:1"), &[("x", "1"), ("cookie", "a=1"), ("y", "2"), ("cookie", "b=2")], false).unwrap();
    assert_eq!((head.version(), head.path(), head.host()), (Version::Http2, &b"/p"[..], Some(&b"h:1"[..])));
    let mut out = Vec::new();
    encode_request(&head, KEEP, &mut out);
    assert_eq!(show(&out), "GET /p?q HTTP/1.1|host: h:1|x: 1|y: 2|cookie: a=1; b=2||");

    let head = build(None, &[("host", "h"), ("te", "trailers")], true).unwrap();
    assert_eq!((head.body(), head.te_trailers()), (BodyLength::Chunked, true));
    out.clear();
    encode_request(&head, KEEP, &mut out);
    assert_eq!(show(&out), "GET /p?q HTTP/1.1|host: h|Transfer-Encoding: chunked|TE: trailers|Connection: TE||");

    assert_eq!(build(Some("h"), &[("content-length", "7")], true).unwrap().body(), BodyLength::Length(7));
    let bad = |authority, fields: &[(&str, &str)]| build(authority, fields, false).map(|_| ()).unwrap_err();
    assert_eq!(bad(Some("h"), &[("host", "other")]), BadRequest::ManyHosts);
    assert_eq!(bad(Some("h:80"), &[("host", "h:81")]), BadRequest::ManyHosts);
    for (authority, host) in
        [("h", "h"), ("H.example", "h.EXAMPLE"), ("h:80", "h"), ("h", "H:80"), ("[::1]", "[::1]:80")]
    {
        assert_eq!(build(Some(authority), &[("host", host)], false).unwrap().host(), Some(authority.as_bytes()));
    }
    assert_eq!(bad(None, &[]), BadRequest::NoHost);
    assert_eq!(bad(Some("u@h"), &[]), BadRequest::UserInfo);
    assert_eq!(bad(Some("h"), &[("transfer-encoding", "chunked")]), BadRequest::TransferEncoding);
    assert_eq!(bad(Some("h"), &[("x", "a\r\nb: c")]), BadRequest::FieldValue);
    assert_eq!(bad(Some("h"), &[("content-length", "1"), ("content-length", "2")]), BadRequest::ContentLengthsDiffer);
    assert_eq!(bad(Some("h"), &[("x", &"y".repeat(20_000))]), BadRequest::HeadTooLarge);
}
