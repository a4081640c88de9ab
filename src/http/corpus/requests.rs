//! Requests: taken or refused, and understood how?

use super::super::*;
use super::{request, show};
use crate::model::global::HttpLimits;

#[track_caller]
fn refused(text: &str, expected: BadRequest) {
    assert_eq!(request(text).map(|head| show(head.target())), Err(expected), "{text:?}");
}

#[track_caller]
fn taken(text: &str, expected: BodyLength) {
    assert_eq!(request(text).map(|head| head.body()), Ok(expected), "{text:?}");
}

#[test]
fn framing_two_readers_could_take_differently_is_refused() {
    use BadRequest::*;
    let post = |fields: &str| format!("POST / HTTP/1.1|Host: a|{fields}||");
    for (fields, bad) in [
        ("Content-Length: 5|Transfer-Encoding: chunked", LengthAndChunked),
        ("Transfer-Encoding: chunked|Content-Length: 5", LengthAndChunked),
        ("Content-Length: 5|Content-Length: 6", ContentLengthsDiffer),
        ("Content-Length: 5|Content-Length: 05x", ContentLength),
        ("Content-Length: 5, 5", ContentLength),
        ("Content-Length: 5,", ContentLength),
        ("Content-Length:", ContentLength),
        ("Content-Length: |Content-Length: 5", ContentLength),
        ("Content-Length: +5", ContentLength),
        ("Content-Length: -5", ContentLength),
        ("Content-Length: 0x5", ContentLength),
        ("Content-Length: 5 5", ContentLength),
        ("Content-Length: 5.0", ContentLength),
        ("Content-Length: 99999999999999999999999", ContentLength),
        ("Content-Length : 5", SpaceBeforeColon),
        ("Content-Length\t: 5", SpaceBeforeColon),
        ("Transfer-Encoding : chunked", SpaceBeforeColon),
        ("Transfer-Encoding: gzip", TransferEncoding),
        ("Transfer-Encoding: gzip, chunked", TransferEncoding),
        ("Transfer-Encoding: chunked, gzip", TransferEncoding),
        ("Transfer-Encoding: chunked, chunked", TransferEncoding),
        ("Transfer-Encoding: chunked|Transfer-Encoding: chunked", TransferEncoding),
        ("Transfer-Encoding: chunked|Transfer-Encoding: identity", TransferEncoding),
        ("Transfer-Encoding: identity", TransferEncoding),
        ("Transfer-Encoding:", TransferEncoding),
        ("Transfer-Encoding: xchunked", TransferEncoding),
        ("Transfer-Encoding: \"chunked\"", TransferEncoding),
        ("Transfer-Encoding: chunked;q=1", TransferEncoding),
        ("Transfer-Encoding: chunked\u{b}", FieldValue),
        ("Transfer-Encoding: \u{b}chunked", FieldValue),
        ("Transfer-Encoding:| chunked", ObsFold),
        ("X: a|\tb", ObsFold),
        (" X: a", ObsFold),
        ("X: a\rTransfer-Encoding: chunked", BareCr),
        ("X\r: a", BareCr),
        ("X: a\0", FieldValue),
        ("X: a\u{7f}", FieldValue),
        ("X", FieldName),
        (": a", FieldName),
        ("X Y: a", FieldName),
        ("X\u{1}: a", FieldName),
        ("X\u{e9}: a", FieldName),
        ("(X): a", FieldName),
        ("Expect: 200-ok", Expect),
        ("Expect: 100-continue, x", Expect),
        ("Host: b", ManyHosts),
        ("host: a", ManyHosts),
    ] {
        refused(&post(fields), bad);
    }
    refused("POST / HTTP/1.0|Transfer-Encoding: chunked||", TransferEncodingIn10);
    refused("POST / HTTP/1.0|Host: a|Content-Length: 3|Transfer-Encoding: chunked||", LengthAndChunked);
}

#[test]
fn targets_hosts_and_request_lines() {
    use BadRequest::*;
    for (text, bad) in [
        ("GET / HTTP/1.1||", NoHost),
        ("GET http://a/ HTTP/1.1||", NoHost),
        ("GET / HTTP/1.1|Host: a b||", Host),
        ("GET / HTTP/1.1|Host: a/b||", Host),
        ("GET / HTTP/1.1|Host: u@a||", Host),
        ("GET / HTTP/1.1|Host: a, b:x||", Host),
        ("GET / HTTP/1.1|Host: [::1||", Host),
        ("GET / HTTP/1.0|Host: a|Host: b||", ManyHosts),
        ("GET http://u:p@a/ HTTP/1.1|Host: a||", UserInfo),
        ("GET http:///x HTTP/1.1|Host: a||", Host),
        ("GET http://:80/x HTTP/1.1|Host: a||", Host),
        ("GET ftp://a/x HTTP/1.1|Host: a||", Target),
        ("GET x HTTP/1.1|Host: a||", Target),
        ("GET * HTTP/1.1|Host: a||", Target),
        ("GET /a#b HTTP/1.1|Host: a||", Target),
        ("GET /\u{e9} HTTP/1.1|Host: a||", Target),
        ("GET /\u{7f} HTTP/1.1|Host: a||", Target),
        ("GET /\u{1} HTTP/1.1|Host: a||", Target),
        ("CONNECT a:443 HTTP/1.1|Host: a||", Connect),
        ("G(T / HTTP/1.1|Host: a||", Method),
        ("\u{16}\u{3}\u{1}\u{2}||", Method),
        ("GET / HTTP/2.0|Host: a||", Version),
        ("PRI * HTTP/2.0||SM||", Version),
        ("GET / HTTP/0.9|Host: a||", Version),
        ("GET / HTTP/2.1|Host: a||", Version),
        ("GET / HTTP/1.9||", NoHost),
        ("GET / HTTP/1.19|Host: a||", RequestLine),
        ("GET / HTTP/1.9 |Host: a||", RequestLine),
        ("GET HTTP/1.9|Host: a||", RequestLine),
        ("GET / HTTP/11|Host: a||", RequestLine),
        ("GET / http/1.1|Host: a||", RequestLine),
        ("GET / HTTP/1.1 |Host: a||", RequestLine),
        ("GET  / HTTP/1.1|Host: a||", RequestLine),
        ("GET /  HTTP/1.1|Host: a||", RequestLine),
        ("GET /a b HTTP/1.1|Host: a||", RequestLine),
        ("GET /|Host: a||", RequestLine),
        ("GET /\r HTTP/1.1|Host: a||", Target),
        ("GET / HTTP/1.1\rHost: a||", BareCr),
    ] {
        refused(text, bad);
    }
}

#[test]
fn sound_requests_are_taken() {
    taken("GET / HTTP/1.1|Host: a||", BodyLength::None);
    taken("GET / HTTP/1.2|Host: a||", BodyLength::None);
    taken("||POST / HTTP/1.9|Host: a|Transfer-Encoding: chunked||", BodyLength::Chunked);
    taken("||GET / HTTP/1.1|Host: a||", BodyLength::None);
    taken("GET / HTTP/1.0||", BodyLength::None);
    taken("GET / HTTP/1.1\nHost: a\n\n", BodyLength::None);
    taken("GET / HTTP/1.1|Host:||", BodyLength::None);
    taken("POST / HTTP/1.1|Host: a|Content-Length: 5||", BodyLength::Length(5));
    taken("POST / HTTP/1.1|Host: a|Content-Length: 5|content-length: 5||", BodyLength::Length(5));
    taken("POST / HTTP/1.1|Host: a|Transfer-Encoding: Chunked||", BodyLength::Chunked);
    taken("POST / HTTP/1.1|Host: a|Transfer-Encoding:\tchunked \t||", BodyLength::Chunked);
    taken("GET /?q={a|b}\"<>^` HTTP/1.1|Host: a||".replace("a|b", "a").as_str(), BodyLength::None);
    taken("OPTIONS * HTTP/1.1|Host: a||", BodyLength::None);
    taken("M-SEARCH / HTTP/1.1|Host: [::1]:80|X: \u{e9}\t||", BodyLength::None);
}

#[test]
fn targets_are_taken_apart() {
    #[track_caller]
    fn check(line: &str, path: &str, query: Option<&str>, host: &str) {
        let head = request(&format!("{line} HTTP/1.1|Host: h||")).unwrap();
        assert_eq!(show(head.path()), path);
        assert_eq!(head.query().map(show).as_deref(), query);
        assert_eq!(head.host().map(show).as_deref(), Some(host));
        assert_eq!(show(head.target()), line.split(' ').nth(1).unwrap());
    }
    check("GET /a/b?c=d?e", "/a/b", Some("c=d?e"), "h");
    check("GET /", "/", None, "h");
    check("GET /?", "/", Some(""), "h");
    check("GET http://x:81/y?z", "/y", Some("z"), "x:81");
    check("GET HTTPS://x", "/", None, "x");
    check("GET http://x?q", "/", Some("q"), "x");
    check("OPTIONS http://x", "*", None, "x");
    check("OPTIONS *", "*", None, "h");
}

#[test]
fn who_may_keep_switch_and_wait() {
    let head = |text: &str| request(text).unwrap();
    let http11 = |fields: &str| head(&format!("GET / HTTP/1.1|Host: a|{fields}||"));
    assert!(head("GET / HTTP/1.1|Host: a||").keep_alive());
    assert!(!http11("Connection: keep-alive, Close").keep_alive());
    assert!(!head("GET / HTTP/1.0||").keep_alive());
    assert!(head("GET / HTTP/1.0|Connection: Keep-Alive||").keep_alive());

    assert_eq!(http11("Connection: Upgrade|Upgrade: websocket").upgrade(), Some(&b"websocket"[..]));
    assert_eq!(http11("Upgrade: websocket").upgrade(), None);
    assert_eq!(http11("Connection: Upgrade").upgrade(), None);
    assert_eq!(http11("Connection: Upgrade, HTTP2-Settings|Upgrade: h2c|HTTP2-Settings: x").upgrade(), None);
    assert_eq!(http11("Connection: Upgrade|Upgrade: websocket|Content-Length: 3").upgrade(), None);
    assert_eq!(http11("Connection: Upgrade|Upgrade: websocket|Transfer-Encoding: chunked").upgrade(), None);
    assert_eq!(head("GET / HTTP/1.0|Connection: Upgrade|Upgrade: websocket||").upgrade(), None);

    assert!(http11("TE: gzip, Trailers").te_trailers());
    assert!(!http11("TE: gzip").te_trailers());
}

#[test]
fn hops_are_counted_where_they_are_told() {
    for (text, goes_on, left) in [
        ("OPTIONS * HTTP/1.1\r\nHost: x\r\nMax-Forwards: 2\r\n\r\n", true, Some("1")),
        ("TRACE / HTTP/1.1\r\nHost: x\r\nmax-forwards: 1\r\n\r\n", true, Some("0")),
        ("TRACE / HTTP/1.1\r\nHost: x\r\nMax-Forwards: 0\r\n\r\n", false, Some("0")),
        ("GET / HTTP/1.1\r\nHost: x\r\nMax-Forwards: 0\r\n\r\n", true, Some("0")),
        ("OPTIONS / HTTP/1.1\r\nHost: x\r\nMax-Forwards: -1\r\n\r\n", true, Some("-1")),
        ("OPTIONS / HTTP/1.1\r\nHost: x\r\n\r\n", true, None),
    ] {
        let mut head = RequestHead::new();
        head.input().extend_from_slice(text.as_bytes());
        assert_eq!(head.parse(&HttpLimits::default()), Ok(Progress::Complete));
        assert_eq!(head.take_hop(), goes_on, "{text}");
        assert_eq!(head.fields().get(b"max-forwards"), left.map(str::as_bytes), "{text}");
    }
}

#[test]
fn heads_have_limits() {
    let limits = HttpLimits { head: 100, fields: 3, target: 100 };
    let parse = |text: &str, limits: &HttpLimits| {
        let mut head = RequestHead::new();
        head.input().extend_from_slice(text.replace('|', "\r\n").as_bytes());
        head.parse(limits)
    };
    let long = "x".repeat(100);
    assert_eq!(parse(&format!("GET /{long}"), &limits), Err(BadRequest::TargetTooLong));
    assert_eq!(parse(&format!("GET / HTTP/1.1|X: {long}"), &limits), Err(BadRequest::HeadTooLarge));
    assert_eq!(parse(&format!("GET / HTTP/1.1|Host: {long}||"), &limits), Err(BadRequest::HeadTooLarge));
    assert_eq!(parse(&"|".repeat(60), &limits), Err(BadRequest::TargetTooLong));
    assert_eq!(parse("GET / HTTP/1.1|Host: a|X: 1|X: 2||", &limits), Ok(Progress::Complete));
    assert_eq!(parse("GET / HTTP/1.1|Host: a|X: 1|X: 2|X: 3||", &limits), Err(BadRequest::TooManyFields));
    // What follows the head does not count.
    assert_eq!(parse(&format!("GET / HTTP/1.1|Host: a||{long}"), &limits), Ok(Progress::Complete));

    let many = HttpLimits { head: 100_000, fields: 1000, target: 100_000 };
    let fields = |n: usize| format!("GET / HTTP/1.1|Host: a|{}|", "X: 1|".repeat(n - 1));
    assert_eq!(parse(&fields(1000), &many), Ok(Progress::Complete));
    assert_eq!(parse(&fields(1001), &many), Err(BadRequest::TooManyFields));
    assert_eq!(BadRequest::TooManyFields.status(), 431);
    assert_eq!(BadRequest::TargetTooLong.status(), 414);
}

#[test]
fn requests_leave_pipelined_bytes_alone() {
    let mut head = request("POST /1 HTTP/1.1|Host: a|Content-Length: 3||abcGET /2 HTTP/1.1|Host: b||").unwrap();
    assert_eq!(show(head.rest()), "abcGET /2 HTTP/1.1|Host: b||");
    let lent = head.take_input();
    head.put_input(lent);
    assert_eq!(head.path(), b"/1");
    head.next(3);
    assert_eq!(head.parse(&HttpLimits::default()), Ok(Progress::Complete));
    assert_eq!((head.path(), head.host(), head.rest()), (&b"/2"[..], Some(&b"b"[..]), &b""[..]));
}

#[test]
fn a_lent_buffer_makes_no_panic() {
    let mut head = request("GET http://h?x HTTP/1.1|Host: h|Connection: x|X: y||").unwrap();
    let _lent = head.take_input();
    assert_eq!(head.method(), b"");
    assert_eq!(head.fields().get(b"x"), None);
    assert_eq!(head.rest(), b"");
    encode_request(&head, EncodeRequest::default(), &mut Vec::new());
}
