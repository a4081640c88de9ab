//! Responses: taken or refused, and what do clients get to see of them?

use super::super::*;
use super::{response, show};

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
    answered("HTTP/1.2 200 OK|Content-Length: 5||", Other, Length(5), true);
    answered("|HTTP/1.9 200|Transfer-Encoding: chunked||", Other, Chunked, true);
    answered("HTTP/1.1 999 Request denied|Content-Length: 5||", Other, Length(5), true);
}

#[test]
fn responses_no_client_may_see_are_refused() {
    use crate::http::h1::BadResponse::*;
    for (text, bad) in [
        ("HTTP/1.1 20 OK||", Status),
        ("HTTP/1.1 099 OK||", Status),
        ("HTTP/1.1 000 OK||", Status),
        ("HTTP/1.1 2000 OK||", Status),
        ("HTTP/2.0 200 OK||", Version),
        ("HTTP/0.9 200 OK||", Version),
        ("HTTP/1.12 200 OK||", Version),
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
        "HTTP/1.1 200 OK|Connection: X-A|X-A: 1|Keep-Alive: 1|Content-Length: 3|Upgrade: h2c|Set-Cookie: a|\
         Set-Cookie: b||",
        ResponseTo::Other,
    )
    .unwrap();
    let fields: Vec<String> =
        head.end_to_end().map(|(name, value)| format!("{}={}", show(name), show(value))).collect();
    assert_eq!(fields, ["Content-Length=3", "Set-Cookie=a", "Set-Cookie=b"]);
    assert_eq!(head.framing_for(Version::Http2), Framing::Plain);
}
