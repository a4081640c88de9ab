//! Which messages are taken and which are refused? The table of everything known to be used for smuggling, and the
//! properties that must hold for any input.

use proptest::prelude::*;

use super::h1::encode::{EncodeRequest, EncodeResponse, Framing, encode_request, encode_response};
use super::*;
use crate::model::global::HttpLimits;

/// Parses a request in which `|` stands for CR LF.
fn request(text: &str) -> Result<RequestHead, BadRequest> {
    let mut head = RequestHead::new();
    head.input().extend_from_slice(text.replace('|', "\r\n").as_bytes());
    match head.parse(&HttpLimits::default())? {
        Progress::Complete => Ok(head),
        Progress::Partial => panic!("not a whole head: {text}"),
    }
}

fn response(text: &str, to: ResponseTo) -> Result<ResponseHead, BadResponse> {
    let mut head = ResponseHead::new();
    head.input().extend_from_slice(text.replace('|', "\r\n").as_bytes());
    match head.parse(&HttpLimits::default(), to)? {
        Progress::Complete => Ok(head),
        Progress::Partial => panic!("not a whole head: {text}"),
    }
}

fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace("\r\n", "|")
}

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
        ("GET / HTTP/1.9|Host: a||", Version),
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

    assert!(http11("Expect: 100-Continue|Content-Length: 3").expects_continue());
    assert!(!http11("Expect: 100-Continue").expects_continue());
    assert!(!head("POST / HTTP/1.0|Expect: 100-continue|Content-Length: 3||").expects_continue());
    assert!(http11("TE: gzip, Trailers").te_trailers());
    assert!(!http11("TE: gzip").te_trailers());
}

#[test]
fn heads_have_limits() {
    let limits = HttpLimits { head: 100, fields: 3 };
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

    let many = HttpLimits { head: 100_000, fields: 1000 };
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

// ---- what goes on to the server

#[track_caller]
fn sent(text: &str, options: EncodeRequest<'_>, expected: &str) {
    let mut out = Vec::new();
    encode_request(&request(text).unwrap(), options, &mut out);
    assert_eq!(show(&out), expected);
}

const KEEP: EncodeRequest<'static> = EncodeRequest { keep_alive: true, keep_upgrade: true, extra: &[] };

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
        "GET / HTTP/1.1|Connection: keep-alive, X-A, host, Authorization, x-forwarded-for, Content-Length|Host: h|X-A: 1|\
         X-B: 2|Keep-Alive: 5|Proxy-Connection: x|TE: gzip|Authorization: s|X-Forwarded-For: 1|Upgrade: h2c||",
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
}

#[test]
fn http2_requests_become_the_same_head() {
    let limits = HttpLimits::default();
    let build = |authority: Option<&str>, fields: &[(&str, &str)], body: bool| {
        let mut head = RequestHead::new();
        let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        head.from_parts((b"GET", authority.map(str::as_bytes), b"/p?q"), fields, body, &limits).map(|()| head)
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
    assert_eq!(bad(None, &[]), BadRequest::NoHost);
    assert_eq!(bad(Some("u@h"), &[]), BadRequest::UserInfo);
    assert_eq!(bad(Some("h"), &[("transfer-encoding", "chunked")]), BadRequest::TransferEncoding);
    assert_eq!(bad(Some("h"), &[("x", "a\r\nb: c")]), BadRequest::FieldValue);
    assert_eq!(bad(Some("h"), &[("content-length", "1"), ("content-length", "2")]), BadRequest::ContentLengthsDiffer);
    assert_eq!(bad(Some("h"), &[("x", &"y".repeat(20_000))]), BadRequest::HeadTooLarge);
}

// ---- responses

#[track_caller]
fn answered(text: &str, to: ResponseTo, body: BodyLength, keep_alive: bool) {
    let head = response(text, to).unwrap();
    assert_eq!((head.body(), head.keep_alive()), (body, keep_alive), "{text:?}");
}

#[test]
fn response_bodies_follow_rfc_9112() {
    use BodyLength::*;
    use ResponseTo::*;
    answered("HTTP/1.1 200 OK|Content-Length: 5||", Other, Length(5), true);
    answered("HTTP/1.1 200 OK|Content-Length: 5||", Head, None, true);
    answered("HTTP/1.1 200 OK|Transfer-Encoding: chunked||", Other, Chunked, true);
    answered("HTTP/1.1 200 OK|Transfer-Encoding: chunked|Content-Length: 5||", Other, Chunked, false);
    answered("HTTP/1.1 200 OK||", Other, UntilClose, false);
    answered("HTTP/1.1 200 OK||", Head, None, true);
    answered("HTTP/1.1 204 No Content|Content-Length: 5||", Other, None, true);
    answered("HTTP/1.1 304 Not Modified|Content-Length: 5||", Other, None, true);
    answered("HTTP/1.1 100 Continue||", Other, None, true);
    answered("HTTP/1.1 101 Switching|Connection: upgrade|Upgrade: websocket||", Other, None, false);
    answered("HTTP/1.0 200 OK|Content-Length: 5||", Other, Length(5), false);
    answered("HTTP/1.0 200 OK|Content-Length: 5|Connection: keep-alive||", Other, Length(5), true);
    answered("HTTP/1.1 200|Content-Length: 5|Connection: close||", Other, Length(5), false);
    answered("HTTP/1.1 200 OK\nContent-Length: 5\n\n", Other, Length(5), true);
}

#[test]
fn responses_no_client_may_see_are_refused() {
    use BadResponse::*;
    for (text, bad) in [
        ("HTTP/1.1 20 OK||", Status),
        ("HTTP/1.1 099 OK||", Status),
        ("HTTP/1.1 000 OK||", Status),
        ("HTTP/1.1 600 OK||", Status),
        ("HTTP/1.1 2000 OK||", Status),
        ("HTTP/2.0 200 OK||", Version),
        ("HTTP/1.1  200 OK||", Status),
        ("SSH-2.0-OpenSSH_9||", StatusLine),
        ("ICY 200 OK||", StatusLine),
        ("HTTP/1.1 200 OK|Content-Length: x||", ContentLength),
        ("HTTP/1.1 200 OK|Content-Length:||", ContentLength),
        ("HTTP/1.1 200 OK|Content-Length: 1|Content-Length: 2||", ContentLengthsDiffer),
        ("HTTP/1.1 200 OK|Transfer-Encoding: gzip, chunked||", TransferEncoding),
        ("HTTP/1.0 200 OK|Transfer-Encoding: chunked||", TransferEncodingIn10),
        ("HTTP/1.1 200 OK|X : 1||", SpaceBeforeColon),
        ("HTTP/1.1 200 OK|X: 1| 2||", ObsFold),
        ("HTTP/1.1 200 OK|X: \u{0}||", FieldValue),
        ("HTTP/1.1 200 OK|X: a\rb||", BareCr),
        ("HTTP/1.1 200 O\rK||", BareCr),
        ("HTTP/1.1 200 OK|X Y||", FieldName),
    ] {
        assert_eq!(response(text, ResponseTo::Other).map(|head| head.status()), Err(bad), "{text:?}");
    }
}

#[track_caller]
fn shown(text: &str, to: ResponseTo, client: Version, keep_alive: bool, expected: &str) {
    let options = EncodeResponse { client, keep_alive, keep_upgrade: true, no_store: false, extra: &[] };
    let mut out = Vec::new();
    encode_response(&response(text, to).unwrap(), options, &mut out);
    assert_eq!(show(&out), expected);
}

#[test]
fn responses_go_on_framed_for_their_client() {
    use ResponseTo::*;
    use Version::*;
    let length = "HTTP/1.0 200 Fine|Content-Length: 5|ETag: \"x\"|Connection: close, X-A|X-A: 1|Keep-Alive: x||";
    shown(length, Other, Http11, true, "HTTP/1.1 200 Fine|Content-Length: 5|ETag: \"x\"||");
    shown(length, Head, Http11, true, "HTTP/1.1 200 Fine|Content-Length: 5|ETag: \"x\"||");
    shown(length, Other, Http11, false, "HTTP/1.1 200 Fine|Content-Length: 5|ETag: \"x\"|Connection: close||");
    shown(length, Other, Http10, true, "HTTP/1.1 200 Fine|Content-Length: 5|ETag: \"x\"|Connection: keep-alive||");
    let chunked = "HTTP/1.1 200 OK|Transfer-Encoding: chunked|Content-Length: 7|X: 1||";
    shown(chunked, Other, Http11, true, "HTTP/1.1 200 OK|X: 1|Transfer-Encoding: chunked||");
    shown(chunked, Head, Http11, true, "HTTP/1.1 200 OK|X: 1|Transfer-Encoding: chunked||");
    shown(chunked, Other, Http10, true, "HTTP/1.1 200 OK|X: 1|Connection: close||");
    shown("HTTP/1.1 200||", Other, Http11, true, "HTTP/1.1 200 |Transfer-Encoding: chunked||");
    shown("HTTP/1.1 200 \u{e9}||", Other, Http10, true, "HTTP/1.1 200 \u{e9}|Connection: close||");
    shown("HTTP/1.1 204 N|Content-Length: 0|X: 1||", Other, Http11, true, "HTTP/1.1 204 N|X: 1||");
    shown("HTTP/1.1 304 N|Content-Length: 9||", Other, Http11, true, "HTTP/1.1 304 N|Content-Length: 9||");
    shown("HTTP/1.1 103 Early Hints|Link: x||", Other, Http11, false, "HTTP/1.1 103 Early Hints|Link: x||");
    shown(
        "HTTP/1.1 101 Go|Upgrade: websocket|Connection: Upgrade|Sec-WebSocket-Accept: k||",
        Other,
        Http11,
        true,
        "HTTP/1.1 101 Go|Sec-WebSocket-Accept: k|Connection: upgrade|Upgrade: websocket||",
    );
    shown(
        "HTTP/1.1 200 OK\nContent-Length: 1\nX: 2\n\n",
        Other,
        Http11,
        true,
        "HTTP/1.1 200 OK|X: 2|Content-Length: 1||",
    );
}

#[test]
fn no_store_replaces_cache_control() {
    let head = response("HTTP/1.1 200 OK|Cache-Control: public|Content-Length: 0|A: 1||", ResponseTo::Other).unwrap();
    let options =
        EncodeResponse { client: Version::Http11, keep_alive: true, keep_upgrade: false, no_store: true, extra: &[] };
    let mut out = Vec::new();
    encode_response(&head, options, &mut out);
    assert_eq!(show(&out), "HTTP/1.1 200 OK|Content-Length: 0|A: 1|Cache-Control: no-store||");
}

#[test]
fn responses_for_http2_clients_keep_end_to_end_fields_only() {
    let head = response(
        "HTTP/1.1 200 OK|Connection: X-A|X-A: 1|Keep-Alive: 1|Content-Length: 3|Upgrade: h2c|Set-Cookie: a|Set-Cookie: b||",
        ResponseTo::Other,
    )
    .unwrap();
    let fields: Vec<String> =
        head.end_to_end().map(|(name, value)| format!("{}={}", show(name), show(value))).collect();
    assert_eq!(fields, ["Content-Length=3", "Set-Cookie=a", "Set-Cookie=b"]);
    assert_eq!(head.framing_for(Version::Http2), Framing::Plain);
}

// ---- properties

fn field_line() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        "[A-Za-z][A-Za-z0-9-]{0,12}",
        Just("Connection".to_owned()),
        Just("Transfer-Encoding".to_owned()),
        Just("content-length".to_owned()),
        Just("Upgrade".to_owned()),
        Just("TE".to_owned()),
        Just("Expect".to_owned()),
    ];
    let value = prop_oneof!["[ -~]{0,20}", "[0-9]{1,3}", Just("chunked".to_owned()), Just("close, x-a".to_owned())];
    (name, value, prop_oneof![Just("\r\n"), Just("\n")]).prop_map(|(name, value, end)| format!("{name}: {value}{end}"))
}

fn request_text() -> impl Strategy<Value = String> {
    let target = prop_oneof!["/[!-~]{0,20}", Just("http://h/x".to_owned()), Just("http://h?x".to_owned())];
    let line = ("[A-Z]{1,7}", target, prop_oneof![Just("1.0"), Just("1.1")]);
    (line, proptest::collection::vec(field_line(), 0..8)).prop_map(|((method, target, version), fields)| {
        format!("{method} {target} HTTP/{version}\r\nHost: h\r\n{}\r\n", fields.concat())
    })
}

fn fields_of(head: &RequestHead) -> Vec<(Vec<u8>, Vec<u8>)> {
    head.fields().iter().map(|(name, value)| (name.to_ascii_lowercase(), value.to_vec())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_head_split_anywhere_parses_as_at_once(text in request_text()) {
        let limits = HttpLimits::default();
        let mut whole = RequestHead::new();
        whole.input().extend_from_slice(text.as_bytes());
        let expected = whole.parse(&limits);
        for cut in 0..text.len() {
            let mut head = RequestHead::new();
            head.input().extend_from_slice(&text.as_bytes()[..cut]);
            let first = head.parse(&limits);
            let result = match first {
                Ok(_) => {
                    head.input().extend_from_slice(&text.as_bytes()[cut..]);
                    head.parse(&limits)
                }
                Err(bad) => Err(bad),
            };
            prop_assert_eq!(result.is_ok(), expected.is_ok(), "cut at {}: {:?} {:?}", cut, result, expected);
            if expected.is_ok() {
                prop_assert_ne!(first, Ok(Progress::Complete));
                prop_assert_eq!(fields_of(&head), fields_of(&whole));
                prop_assert_eq!((head.head_len(), head.body()), (whole.head_len(), whole.body()));
            }
        }
    }

    #[test]
    fn what_is_sent_parses_to_the_same_request(text in request_text(), rest in "[ -~]{0,9}") {
        let limits = HttpLimits::default();
        let mut head = RequestHead::new();
        head.input().extend_from_slice(text.as_bytes());
        head.input().extend_from_slice(rest.as_bytes());
        prop_assume!(head.parse(&limits) == Ok(Progress::Complete));
        let mut out = Vec::new();
        encode_request(&head, KEEP, &mut out);
        let mut again = RequestHead::new();
        again.input().extend_from_slice(&out);
        prop_assert_eq!(again.parse(&limits), Ok(Progress::Complete), "{}", show(&out));
        prop_assert_eq!(again.head_len(), out.len());
        prop_assert_eq!(again.body(), head.body());
        prop_assert_eq!((again.method(), again.path(), again.query()), (head.method(), head.path(), head.query()));
        prop_assert_eq!(again.host(), head.host());
        let mut twice = Vec::new();
        encode_request(&again, KEEP, &mut twice);
        prop_assert_eq!(show(&twice), show(&out));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let limits = HttpLimits { head: 150, fields: 4 };
        let mut head = RequestHead::new();
        *head.input() = bytes.clone();
        let _ = head.parse(&limits);
        let mut head = ResponseHead::new();
        *head.input() = bytes;
        let _ = head.parse(&limits, ResponseTo::Other);
    }
}
