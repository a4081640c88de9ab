//! A message that two readers could end at different bytes is refused, and never reaches a server (RFC 9112 §6).

use crate::harness::{Client, Origin, Reply, Site, eventually};

/// Each must be answered with this status and the connection closed, without any server seeing it.
const REFUSED: &[(&str, u16, &str)] = &[
    (
        "length and chunked",
        400,
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    ("two lengths", 400, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde"),
    ("a list of lengths", 400, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4, 5\r\n\r\nabcde"),
    ("an empty length", 400, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: \r\n\r\n"),
    ("a signed length", 400, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +4\r\n\r\nabcd"),
    ("a length that overflows", 400, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n"),
    ("chunked not last", 400, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n\r\n"),
    ("chunked disguised", 400, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n"),
    ("chunked in 1.0", 400, "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("a space before the colon", 400, "GET / HTTP/1.1\r\nHost: x\r\nContent-Length : 0\r\n\r\n"),
    ("a folded line", 400, "GET / HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n  2\r\n\r\n"),
    ("no host", 400, "GET / HTTP/1.1\r\nX-A: 1\r\n\r\n"),
    ("two hosts", 400, "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"),
    ("a host with a path", 400, "GET / HTTP/1.1\r\nHost: x/y\r\n\r\n"),
    ("a zero byte", 400, "GET / HTTP/1.1\r\nHost: x\r\nX-A: a\0b\r\n\r\n"),
    ("a lone CR", 400, "GET / HTTP/1.1\r\nHost: x\r\nX-A: a\rb\r\n\r\n"),
    ("credentials in the target", 400, "GET http://user@x/ HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("no target", 400, "GET HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("not HTTP at all", 400, "\x16\x03\x01hello\r\n\r\n"),
    ("another version", 505, "GET / HTTP/3.0\r\nHost: x\r\n\r\n"),
    ("another expectation", 417, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 200-maybe\r\nContent-Length: 1\r\n\r\n"),
];

#[test]
fn ambiguous_requests_are_refused_before_any_server_sees_them() {
    let a = Origin::named("a");
    let proxy = Site::http().server(&a, "").start();
    for (what, status, request) in REFUSED {
        let mut client = Client::connect(proxy.address("web"));
        client.send(request);
        let response = client.try_response("GET").unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(response.status, *status, "{what}");
        assert!(client.is_closed(), "{what}: the connection stays open");
    }
    assert!(a.received().is_empty(), "{:?}", a.received());
    proxy.wait_for("PR--");
    assert!(proxy.said().contains("<BADREQ>"));
    assert_eq!(proxy.get("/").text(), "a"); // and it is as well as before
}

#[test]
fn a_chunk_that_breaks_the_rules_ends_the_request() {
    let a = Origin::named("a");
    let proxy = Site::http().server(&a, "").start();
    for (what, body) in [
        ("a bare newline", "4\nwiki\r\n0\r\n\r\n"),
        ("no size", "\r\nwiki\r\n"),
        ("a negative size", "-4\r\nwiki\r\n0\r\n\r\n"),
        ("a prefix", "0x4\r\nwiki\r\n0\r\n\r\n"),
        ("too much data", "3\r\nwiki\r\n0\r\n\r\n"),
        ("a huge size", "ffffffffffffffffff\r\nwiki\r\n0\r\n\r\n"),
    ] {
        let mut client = Client::connect(proxy.address("web"));
        client.send(format!("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{body}"));
        let response = client.try_response("GET");
        assert!(response.as_ref().is_ok_and(|response| response.status == 400), "{what}: {response:?}");
    }
    assert!(a.received().is_empty(), "{:?}", a.received());
}

#[test]
fn heads_have_limits() {
    let a = Origin::named("a");
    let proxy = Site::http().server(&a, "").start();
    let long = "x".repeat(40_000);
    let many = "X-A: 1\r\n".repeat(500);
    for (what, statuses, request) in [
        ("a long target", [414, 400], format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n")),
        ("a long field", [431, 400], format!("GET / HTTP/1.1\r\nHost: x\r\nX-A: {long}\r\n\r\n")),
        ("many fields", [431, 400], format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n")),
    ] {
        let mut client = Client::connect(proxy.address("web"));
        // It may close before all is sent.
        let _ = client.try_send(request);
        let status = client.try_response("GET").map(|response| response.status);
        assert!(status.as_ref().is_ok_and(|status| statuses.contains(status)), "{what}: {status:?}");
    }
    assert!(a.received().is_empty());
}

#[test]
fn a_broken_response_is_a_502_and_its_connection_is_not_used_again() {
    for (what, bytes) in [
        ("no HTTP", "SSH-2.0-OpenSSH_9\r\n\r\n"),
        ("a short status", "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"),
        ("a status out of range", "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n"),
        ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        ("a bad length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
        ("a zero byte", "HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n"),
    ] {
        let a = Origin::scripted("a", move |_| Reply::raw(bytes));
        let proxy = Site::http().server(&a, "").start();
        assert_eq!(proxy.get("/").status, 502, "{what}");
        proxy.wait_for("PH--");
        proxy.get("/");
        let connections: Vec<usize> = a.wait_for_requests(2).iter().map(|request| request.connection).collect();
        assert_eq!(connections, [0, 1], "{what}");
    }
}

#[test]
fn a_response_cut_short_ends_the_clients_connection() {
    let a = Origin::scripted("a", |_| Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").then_close());
    let proxy = Site::http().server(&a, "").start();
    let mut client = Client::connect(proxy.address("web"));
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(client.try_response("GET").is_err(), "a cut body must not look whole");
    proxy.wait_for("SD--");
}

#[test]
fn a_client_that_goes_away_is_logged_as_such() {
    let a = Origin::scripted("a", |_| Reply::silence());
    let proxy = Site::http().server(&a, "").start();
    let mut client = Client::connect(proxy.address("web"));
    client.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    a.wait_for_requests(1);
    client.break_off();
    let line = proxy.wait_for("/slow");
    assert!(line.contains(" CH-- "), "{line}");
    eventually("the server's slot is free", || {
        proxy.admin("show stat").lines().any(|line| line.starts_with("app,a,0,0,0,")).then_some(())
    });
}
