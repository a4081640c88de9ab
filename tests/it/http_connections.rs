//! Connections on both sides: kept, reused, closed, timed out, retried.

use std::net::{Ipv4Addr, TcpListener};

use crate::harness::{Client, DEADLINE, Origin, Reply, Site};

#[test]
fn both_sides_are_kept_and_servers_connections_are_shared() {
    let a = Origin::named("a");
    let proxy = Site::http().global("nbthread 1").server(&a, "").start();
    let mut client = Client::connect(proxy.address("web"));
    for _ in 0..3 {
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(client.response().status, 200);
    }
    let connections: Vec<usize> = a.received().iter().map(|request| request.connection).collect();
    assert_eq!(connections, [0, 0, 0]);
    let stat = proxy.admin("show stat");
    assert!(stat.contains("app,a,"), "{stat}");
}

#[test]
fn old_clients_get_their_connection_closed_unless_they_ask() {
    let a = Origin::named("a");
    let proxy = Site::http().server(&a, "").start();
    let mut old = Client::connect(proxy.address("web"));
    old.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(old.response().text(), "a");
    assert!(old.is_closed());
    let mut asking = Client::connect(proxy.address("web"));
    asking.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(asking.response().header("connection").map(str::to_ascii_lowercase).as_deref(), Some("keep-alive"));
    asking.send("GET / HTTP/1.0\r\nConnection: close\r\n\r\n");
    assert_eq!(asking.response().text(), "a");
    assert!(asking.is_closed());
}

#[test]
fn httpclose_and_server_close_close_what_they_say() {
    let a = Origin::named("a");
    let closing = Site::http().defaults("option httpclose").server(&a, "").start();
    let mut client = Client::connect(closing.address("web"));
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.response().header("connection").map(str::to_ascii_lowercase).as_deref(), Some("close"));
    assert!(client.is_closed());
    let b = Origin::named("b");
    let server_side = Site::http().defaults("option http-server-close").server(&b, "").start();
    let mut client = Client::connect(server_side.address("web"));
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(client.response().status, 200);
    }
    let connections: Vec<usize> = b.received().iter().map(|request| request.connection).collect();
    assert_eq!(connections, [0, 1]);
}

#[test]
fn a_kept_connection_the_server_closed_costs_no_request() {
    let a = Origin::scripted("a", |_| Reply::text(200, "once").then_close());
    let proxy = Site::http().global("nbthread 1").server(&a, "").start();
    let mut client = Client::connect(proxy.address("web"));
    for _ in 0..5 {
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(client.response().text(), "once");
    }
}

#[test]
fn a_client_that_sends_half_a_request_gets_408() {
    let proxy = Site::http().defaults("timeout http-request 300ms").start();
    let mut client = Client::connect(proxy.address("web"));
    client.send("GET / HTTP/1.1\r\nHost: ");
    assert_eq!(client.response().status, 408);
    assert!(client.is_closed());
    proxy.wait_for("cR--");
}

#[test]
fn a_connection_that_says_nothing_is_closed_and_not_logged_when_so_wished() {
    let proxy = Site::http().defaults("timeout http-request 300ms").defaults("option dontlognull").start();
    let mut client = Client::connect(proxy.address("web"));
    // HAProxy sends its 408 even then.
    assert_eq!(client.response().status, 408);
    assert!(client.is_closed());
    proxy.get("/after");
    proxy.wait_for("/after");
    assert!(!proxy.said().contains("<BADREQ>"));
}

#[test]
fn an_idle_kept_connection_is_closed_after_its_timeout() {
    let a = Origin::named("a");
    let proxy = Site::http().defaults("timeout http-keep-alive 300ms").server(&a, "").start();
    let mut client = Client::connect(proxy.address("web"));
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.response().status, 200);
    assert!(client.is_closed());
}

#[test]
fn a_silent_server_is_a_504() {
    let a = Origin::scripted("a", |_| Reply::silence());
    let proxy = Site::http().defaults("timeout server 300ms").server(&a, "").start();
    assert_eq!(proxy.get("/").status, 504);
    let line = proxy.wait_for("\"GET / HTTP/1.1\"");
    assert!(line.contains(" 504 ") && line.contains(" sH-- "), "{line}");
}

#[test]
fn a_refused_connection_is_a_503_after_its_retries() {
    let a = Origin::named("a");
    a.stop();
    let proxy = Site::http().backend("retries 1").server(&a, "").start();
    assert_eq!(proxy.get("/").status, 503);
    let line = proxy.wait_for("\"GET / HTTP/1.1\"");
    assert!(line.contains(" SC-- ") && line.contains("/1 0/0 "), "{line}");
}

#[test]
fn the_last_retry_goes_to_another_server_with_redispatch() {
    let [a, b] = ["a", "b"].map(Origin::named);
    a.stop();
    let proxy = Site::http().backend("retries 1").backend("option redispatch").server(&a, "").server(&b, "").start();
    assert_eq!(proxy.get_times(2, "/"), ["b", "b"]);
    proxy.wait_for("/+1 ");
}

#[test]
fn without_any_server_the_answer_is_503_at_once() {
    let proxy = Site::http().start();
    let started = std::time::Instant::now();
    assert_eq!(proxy.get("/").status, 503);
    assert!(started.elapsed() < DEADLINE / 4);
    let line = proxy.wait_for("<NOSRV>");
    assert!(line.contains("app/<NOSRV>") && line.contains(" SC-- "), "{line}");
}

#[test]
fn a_full_server_makes_requests_wait_their_turn() {
    let a = Origin::scripted(
        "a",
        |request| {
            if request.target == "/slow" { Reply::silence() } else { Reply::text(200, "a") }
        },
    );
    let proxy = Site::http().defaults("timeout queue 400ms").server(&a, "maxconn 1").start();
    let mut first = Client::connect(proxy.address("web"));
    first.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    a.wait_for_requests(1);
    assert_eq!(proxy.get("/waiting").status, 503);
    let line = proxy.wait_for("/waiting");
    assert!(line.contains(" sQ-- "), "{line}");
    let mut third = Client::connect(proxy.address("web"));
    third.send("GET /third HTTP/1.1\r\nHost: x\r\n\r\n");
    first.break_off();
    assert_eq!(third.response().text(), "a");
}

#[test]
fn a_full_frontend_lets_connections_wait() {
    let a = Origin::named("a");
    // One worker: several may pass the limit by one connection each.
    let proxy = Site::http().global("nbthread 1").frontend("maxconn 1").server(&a, "").start();
    let mut first = Client::connect(proxy.address("web"));
    first.send("GET /first HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(first.response().status, 200);
    let mut second = Client::connect(proxy.address("web"));
    second.send("GET /second HTTP/1.1\r\nHost: x\r\n\r\n");
    // The first one's next request is served while the second connection waits.
    first.send("GET /third HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(first.response().status, 200);
    assert_eq!(second.response().status, 200);
    let order: Vec<String> = a.received().iter().map(|request| request.target.clone()).collect();
    assert_eq!(order, ["/first", "/third", "/second"]);
}

#[test]
fn a_server_that_takes_no_more_of_a_body_is_a_504_and_not_the_clients_fault() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let server = format!("server deaf {}", listener.local_addr().unwrap());
    let proxy = Site::http().defaults("timeout client 300ms").defaults("timeout server 900ms").backend(&server).start();
    let mut client = Client::connect(proxy.address("web"));
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n");
    while client.try_send([b'x'; 65536]).is_ok() {} // until the proxy gives up
    let line = proxy.wait_for("\"POST / HTTP/1.1\"");
    assert!(line.contains(" 504 ") && line.contains(" sD-- "), "{line}");
}

#[test]
fn a_client_that_does_not_finish_its_body_is_a_408_and_not_the_servers_fault() {
    let a = Origin::named("a");
    let proxy = Site::http().defaults("timeout client 600ms").defaults("timeout server 300ms").server(&a, "").start();
    let mut client = Client::connect(proxy.address("web"));
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
    assert_eq!(client.response().status, 408);
    let line = proxy.wait_for("\"POST / HTTP/1.1\"");
    assert!(line.contains(" cH-- "), "{line}");
}

#[test]
fn a_server_that_began_to_answer_does_not_get_the_request_again() {
    let a = Origin::scripted("a", |request| {
        if request.target == "/hint" {
            Reply::raw("HTTP/1.1 103 Early Hints\r\n\r\n").then_close()
        } else {
            Reply::text(200, "a")
        }
    });
    let proxy = Site::http().global("nbthread 1").server(&a, "").start();
    assert_eq!(proxy.get("/").status, 200);
    let mut client = Client::connect(proxy.address("web"));
    client.send("GET /hint HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.response().status, 103);
    assert_eq!(client.response().status, 502);
    let targets: Vec<String> = a.received().into_iter().map(|request| request.target).collect();
    assert_eq!(targets, ["/", "/hint"]);
}
